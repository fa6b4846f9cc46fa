"""The ladder: which setting is given up next, what a run's events make of its memory settings."""

from __future__ import annotations

import pytest

from ltx_wizard.core.events import SettingChanged
from ltx_wizard.core.recipe import MemorySettings, Recipe, with_settings
from ltx_wizard.core.recipe_groups import check_offload
from ltx_wizard.training.ladder import OFFLOADABLE, Stage, does_not_fit, next_rung, stepped_down

ROOMY = MemorySettings(gradient_checkpointing=False, vae_tiling=False)
STAGES: tuple[Stage, ...] = ("text", "clips", "load", "train", "validation", "samples")


def _way_down(memory: MemorySettings, stage: Stage) -> list[tuple[str, str]]:
    taken: list[tuple[str, str]] = []
    while rung := next_rung(memory, stage):
        taken.append((rung.setting.removeprefix("memory."), rung.value))
        assert rung.settings != memory
        assert len(taken) < 10, "the ladder has no end"
        memory = rung.settings
    return taken


@pytest.mark.parametrize(
    ("stage", "rungs"),
    [
        ("text", [("text_encoder_8bit", "on")]),
        ("clips", [("vae_tiling", "on")]),
        ("load", [("quantization", "fp8-quanto"), ("quantization", "nf4-bnb"), ("offload", "blocks")]),
        (
            "train",
            [
                ("gradient_checkpointing", "on"),
                ("quantization", "fp8-quanto"),
                ("quantization", "nf4-bnb"),
                ("offload", "blocks"),
            ],
        ),
        ("validation", [("quantization", "fp8-quanto"), ("quantization", "nf4-bnb"), ("offload", "blocks")]),
        (
            "samples",
            [
                ("vae_tiling", "on"),
                ("quantization", "fp8-quanto"),
                ("quantization", "nf4-bnb"),
                ("offload", "blocks"),
            ],
        ),
    ],
)
def test_each_stage_goes_down_by_what_helps_it_in_the_written_order(
    stage: Stage, rungs: list[tuple[str, str]]
) -> None:
    assert _way_down(ROOMY, stage) == rungs


@pytest.mark.parametrize("quantization", ["int8-quanto", "int8-bnb"])
def test_eight_bits_go_to_four(quantization: str) -> None:
    memory = MemorySettings.model_validate({"quantization": quantization})
    assert _way_down(memory, "train") == [("quantization", "nf4-bnb"), ("offload", "blocks")]


@pytest.mark.parametrize("quantization", ["int4-quanto", "nf4-bnb", "int8-bnb", "fp8-quanto", "none"])
@pytest.mark.parametrize("stage", ["load", "train", "samples"])
def test_offloaded_blocks_are_stored_as_offloading_can(quantization: str, stage: Stage) -> None:
    memory = MemorySettings.model_validate({"quantization": quantization})
    while rung := next_rung(memory, stage):
        memory = rung.settings
    assert memory.offload == "blocks"
    assert memory.quantization in OFFLOADABLE
    assert memory.quantization == "fp8-quanto"


@pytest.mark.parametrize("stage", ["load", "samples"])
def test_offloading_brings_gradient_checkpointing_along(stage: Stage) -> None:
    """These stages do not ask for it themselves, and offloaded blocks cannot be trained without."""
    memory = MemorySettings(gradient_checkpointing=False)
    while rung := next_rung(memory, stage):
        memory = rung.settings
    assert memory.offload == "blocks"
    assert memory.gradient_checkpointing
    check_offload(memory)


def test_offloaded_blocks_can_still_be_made_smaller() -> None:
    assert _way_down(MemorySettings(offload="blocks"), "train") == [("quantization", "fp8-quanto")]
    assert _way_down(MemorySettings(offload="blocks", quantization="int8-quanto"), "train") == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_events_of_a_run_lead_to_the_settings_of_its_last_rung(stage: Stage) -> None:
    memory, changes = ROOMY, list[SettingChanged]()
    while rung := next_rung(memory, stage):
        memory = rung.settings
        changes.append(SettingChanged(setting=rung.setting, value=rung.value, reason=rung.reason))
    assert changes
    assert stepped_down(ROOMY, changes) == memory


def test_changes_of_something_else_are_passed_over() -> None:
    changes = [
        SettingChanged(setting="data.batch_size", value="1", reason=""),
        SettingChanged(setting="memory.teleport", value="on", reason=""),
        SettingChanged(setting="memory.quantization", value="fp1", reason=""),
    ]
    assert stepped_down(ROOMY, changes) == ROOMY


def test_a_rung_says_in_a_sentence_what_happened_and_what_is_done() -> None:
    rung = next_rung(MemorySettings(quantization="nf4-bnb"), "samples")
    assert rung is not None
    text = SettingChanged(setting=rung.setting, value=rung.value, reason=rung.reason).text
    assert text == (
        "Offload is now blocks. The card ran out of memory while making samples; the frozen model now waits "
        "in main memory and comes block by block, which takes longer; its blocks are stored in fp8-quanto."
    )


def test_a_run_that_may_not_step_down_is_told_the_setting_that_it_needs() -> None:
    recipe = with_settings(Recipe(), {"memory.step_down": False, "memory.gradient_checkpointing": False})
    error = does_not_fit(recipe, "train")
    assert "forbids" in error.problem
    assert "'Gradient checkpointing' to on" in error.remedy
    assert "'Step down'" in error.remedy


@pytest.mark.parametrize(
    ("stage", "changes", "words"),
    [
        ("train", {"data.batch_size": 2}, "batch size to 1"),
        ("train", {}, "paged-adamw8bit"),
        ("train", {"optimizer.name": "adamw8bit"}, "smaller size"),
        ("samples", {}, "for the samples"),
        ("clips", {}, "fewer frames"),
        ("load", {}, "smaller model"),
        ("text", {"memory.text_encoder_8bit": True}, "larger card"),
    ],
)
def test_at_the_end_of_the_ladder_the_cheapest_thing_left_is_named(
    stage: Stage, changes: dict[str, object], words: str
) -> None:
    lowest = {"memory.offload": "blocks", "memory.quantization": "fp8-quanto"}
    error = does_not_fit(with_settings(Recipe(), {**lowest, **changes}), stage)
    assert words in error.remedy
    assert "forbids" not in error.problem
