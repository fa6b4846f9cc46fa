from __future__ import annotations

import json
from pathlib import Path

import pytest

from ltx_wizard.core import places
from ltx_wizard.core.recipe import Preset, Recipe, read_preset, with_settings
from ltx_wizard.models.catalog import EMBEDDED, find_model
from ltx_wizard.training.budget import (
    LTXV_2B,
    LTXV_13B,
    Budget,
    architecture_of,
    lora_parameters,
    predict,
    tokens,
    weights_gib,
)
from ltx_wizard.training.memory_model import StepTime, read_memory_model

SMALL, LARGE = find_model("ltxv-2b-0.9.6-dev"), find_model("ltxv-13b-0.9.7-dev")
SPECS = {"2b": SMALL, "13b": LARGE}
MEASURED_STEPS = [
    ("13b", "768x512x49", True, "none", 28.4),
    ("13b", "768x768x49", True, "none", 29.5),
    ("13b", "1216x704x121", True, "none", 36.9),
    ("13b", "768x512x49", False, "none", 60.2),
    ("13b", "768x512x49", True, "int8-quanto", 16.7),
    ("2b", "768x512x49", True, "none", 4.87),
    ("2b", "768x768x49", True, "none", 5.23),
    ("2b", "1216x704x121", True, "none", 9.1),
    ("2b", "768x512x49", False, "none", 14.9),
]
"""GiB reserved by one training step, rank 32. Of diffusers and peft on an H200, 2026-11-24; the first two of
2B are the app's own on an H100 (benchmarks/results/precisions-2b.json), which takes a tenth less there.
"""


def recipe(**changes: object) -> Recipe:
    """Rank 32 and one validation prompt. A double underscore stands for a point."""
    given = {key.replace("__", "."): value for key, value in changes.items()}
    return with_settings(Recipe(), {"lora.rank": 32, "validation.prompts": ("a",), **given})


def phase(budget: Budget, name: str) -> float:
    return next(item.total for item in budget.phases if item.name == name)


def test_parameters_are_those_of_the_real_configurations() -> None:
    assert LTXV_2B.parameters == 1_923_385_472
    assert LTXV_13B.parameters == 13_042_569_344


def test_a_lora_has_the_parameters_that_the_modules_give() -> None:
    attention = recipe()
    everything = recipe(lora__target_modules=(*attention.lora.target_modules, "ff.net.0.proj", "ff.net.2"))
    assert lora_parameters(attention, LTXV_13B) == 16 * 4096 * 32 * 48
    assert lora_parameters(everything, LTXV_13B) == 26 * 4096 * 32 * 48
    assert lora_parameters(recipe(lora__target_modules=("proj_out",)), LTXV_2B) == 32 * (2048 + 128)


def test_a_lora_of_the_real_model_has_as_many(small_transformer: object) -> None:
    """Against peft, on the architecture at a small size."""
    from ltx_wizard.core.recipe import LoraSettings
    from ltx_wizard.models.lora import add_lora
    from ltx_wizard.training.budget import Architecture

    shape = Architecture("small", layers=2, width=32, text_width=24, channels=16)
    modules = ("to_q", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "linear_2")
    settings = LoraSettings(rank=4, alpha=4, target_modules=modules)
    parameters = add_lora(small_transformer, settings, seed=1)
    timestep_embedder = 4 * (32 + 32)  # a second linear_2, in time_embed.emb.timestep_embedder
    expected = lora_parameters(Recipe(lora=settings), shape) + timestep_embedder
    assert sum(parameter.numel() for parameter in parameters) == expected


def test_tokens_are_those_of_the_facts() -> None:
    assert [tokens(bucket, SMALL) for bucket in ("768x512x49", "768x768x49", "1216x704x121")] == [
        2688,
        4032,
        13376,
    ]


@pytest.mark.parametrize(("size", "bucket", "checkpointing", "quantization", "reserved"), MEASURED_STEPS)
def test_a_step_is_predicted_within_a_tenth_of_what_was_measured(
    size: str, bucket: str, checkpointing: bool, quantization: str, reserved: float
) -> None:
    settings = recipe(memory__gradient_checkpointing=checkpointing, memory__quantization=quantization)
    predicted = phase(predict(settings, SPECS[size], {bucket: 1}), "training")
    assert predicted == pytest.approx(reserved, rel=0.10)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({}, {"data__batch_size": 2}),
        ({}, {"lora__rank": 64}),
        ({}, {"memory__gradient_checkpointing": False}),
        ({"optimizer__name": "adamw8bit"}, {}),
        ({"optimizer__name": "paged-adamw8bit"}, {"optimizer__name": "adamw8bit"}),
        ({"memory__quantization": "fp8-quanto"}, {}),
        ({"memory__quantization": "nf4-bnb"}, {"memory__quantization": "int8-bnb"}),
        ({"memory__offload": "blocks"}, {}),
        ({}, {"memory__precision": "fp32"}),
        ({}, {"lora__target_modules": ("to_q", "to_k", "to_v", "to_out.0", "ff.net.2")}),
    ],
)
@pytest.mark.parametrize("spec", [SMALL, LARGE], ids=["2b", "13b"])
def test_what_saves_memory_is_predicted_to_need_less(spec: object, less: dict, more: dict) -> None:  # type: ignore[type-arg]
    model = SPECS["13b"] if spec is LARGE else SPECS["2b"]
    buckets = {"768x512x49": 4}
    lighter, heavier = (predict(recipe(**changes), model, buckets) for changes in (less, more))
    assert phase(lighter, "training") < phase(heavier, "training")


def test_more_tokens_never_need_less_of_anything() -> None:
    sizes = ["256x256x9", "512x512x9", "512x512x49", "768x512x49", "768x768x49", "1216x704x121"]
    for changes in ({}, {"memory__vae_tiling": False}, {"memory__gradient_checkpointing": False}):
        budgets = [predict(recipe(**changes), LARGE, {size: 3}) for size in sizes]
        for name in ("clips", "training", "samples"):
            needs = [phase(budget, name) for budget in budgets]
            assert needs == sorted(needs)
        assert [budget.disk.cache for budget in budgets] == sorted(budget.disk.cache for budget in budgets)


def test_the_largest_bucket_counts() -> None:
    both = predict(recipe(), LARGE, {"512x512x49": 40, "1216x704x121": 1})
    assert phase(both, "training") == phase(predict(recipe(), LARGE, {"1216x704x121": 1}), "training")


def test_accumulation_costs_at_most_the_gradients_that_wait() -> None:
    """Within a step of several passes, gradients of the first are there while the second one computes."""
    one, four = (
        phase(predict(recipe(data__gradient_accumulation_steps=count), LARGE, {"768x512x49": 1}), "training")
        for count in (1, 4)
    )
    two = predict(recipe(data__gradient_accumulation_steps=2), LARGE, {"768x512x49": 1})
    gradients = 4 * lora_parameters(recipe(), LTXV_13B) / 1024**3
    assert one <= four <= one + gradients + 1e-9
    assert four == phase(two, "training")


def test_tiling_bounds_what_a_larger_picture_needs() -> None:
    tiled, whole = (
        predict(recipe(memory__vae_tiling=tiling), SMALL, {"1216x704x121": 1}) for tiling in (True, False)
    )
    assert phase(whole, "clips") > 2 * phase(tiled, "clips") - phase(tiled, "clips") / 2
    small = [
        phase(predict(recipe(memory__vae_tiling=tiling), SMALL, {"512x512x49": 1}), "clips")
        for tiling in (True, False)
    ]
    assert small[0] == small[1]


def test_offloaded_blocks_leave_little_on_the_card_and_wait_in_main_memory() -> None:
    memory = read_memory_model()
    offloaded = recipe(memory__offload="blocks")
    gib = weights_gib(offloaded.memory, LTXV_13B, memory.coefficients)
    assert gib < 2
    assert predict(offloaded, LARGE).ram > predict(recipe(memory__quantization="nf4-bnb"), LARGE).ram - 20


def test_without_prompts_no_samples_are_made() -> None:
    budget = predict(recipe(validation__prompts=()), LARGE, {"768x512x49": 3})
    assert "samples" not in [item.name for item in budget.phases]
    assert budget.disk.samples == 0


def test_the_card_has_to_hold_the_driver_and_the_desktop_as_well() -> None:
    budget = predict(recipe(), LARGE)
    assert budget.card == pytest.approx(budget.vram_gib + budget.context + 1.0)
    assert budget.vram_gib == max(item.total for item in budget.phases)


def test_the_practice_model_needs_no_graphics_memory() -> None:
    budget = predict(recipe(), EMBEDDED, {"192x192x17": 10})
    assert (budget.phases, budget.vram_gib, budget.card) == ((), 0.0, 0.0)
    assert 0 < budget.disk.total < 1


def test_disk_holds_the_checkpoints_that_are_kept_and_the_one_being_written() -> None:
    settings = recipe(steps=1000, checkpoints__every=100, checkpoints__keep=4, health__keep_best=False)
    lora = 4 * lora_parameters(settings, LTXV_13B) / 1024**3
    assert predict(settings, LARGE).disk.checkpoints == pytest.approx((4 + 1) * 3 * lora)
    with_best = with_settings(settings, {"health.keep_best": True})
    assert predict(with_best, LARGE).disk.checkpoints == pytest.approx((4 + 1 + 1) * 3 * lora)
    few = with_settings(settings, {"checkpoints.keep": 50})
    assert predict(few, LARGE).disk.checkpoints == pytest.approx(10 * 3 * lora)


def test_time_grows_with_tokens_batch_and_accumulation_and_names_its_card() -> None:
    anchor = predict(recipe(), LARGE, {"768x512x49": 5}).time
    assert anchor is not None
    assert anchor.source == read_memory_model().card
    assert anchor.training == pytest.approx(anchor.step_s * 1500)
    four = predict(recipe(data__gradient_accumulation_steps=4), LARGE, {"768x512x49": 5}).time
    assert four is not None
    assert four.step_s == pytest.approx(4 * anchor.step_s)
    larger = predict(recipe(data__batch_size=8), LARGE, {"768x512x49": 5}).time
    assert larger is not None
    assert larger.step_s > 4 * anchor.step_s


def own_time(step_s: float, **changes: object) -> StepTime:
    usual: dict[str, object] = {
        "architecture": "13b", "quantization": "none", "offload": "none", "gradient_checkpointing": True,
        "tokens": 2688, "step_s": step_s, "card": "this computer",
    }  # fmt: skip
    return StepTime.model_validate({**usual, **changes})


def test_earlier_steps_on_this_card_are_preferred_to_measured_ones() -> None:
    budget = predict(recipe(), LARGE, {"768x512x49": 5}, own_times=[own_time(4.4)])
    assert budget.time is not None
    assert (budget.time.step_s, budget.time.own) == (4.4, True)


def test_earlier_steps_with_other_settings_do_not_count() -> None:
    others = [own_time(4.4, quantization="nf4-bnb"), own_time(9.9, offload="blocks")]
    budget = predict(recipe(), LARGE, {"768x512x49": 5}, own_times=others)
    assert budget.time is not None
    assert not budget.time.own


def test_between_measured_sizes_time_is_interpolated() -> None:
    times = [own_time(1.0, tokens=2000), own_time(3.0, tokens=4000)]
    budget = predict(recipe(), LARGE, {"960x512x49": 5}, own_times=times)  # 3360 tokens
    assert budget.time is not None
    assert budget.time.step_s == pytest.approx(2.36)


@pytest.mark.parametrize(("clips", "losses"), [(20, 2 * 5), (2, 2 * 5), (1, 10), (200, 8 * 5)])
def test_validation_is_counted_as_one_forward_pass_for_each_loss(clips: int, losses: int) -> None:
    wanted = recipe(
        steps=100,
        validation__loss_every=30,
        checkpoints__every=50,
        memory__gradient_checkpointing=True,
        data__batch_size=2,
    )
    own = own_time(8.0, gradient_checkpointing=True, tokens=2 * 2688)
    time = predict(wanted, LARGE, {"768x512x49": clips}, own_times=[own]).time
    assert time is not None
    rounds = len({0, 30, 60, 90, 50, 100})
    assert time.validation == pytest.approx(rounds * losses * 8.0 / 2 / 4)
    assert time.total - time.again == pytest.approx(time.encoding)
    assert time.again == pytest.approx(time.training + time.samples + time.validation + (time.loading or 0))


def test_where_nothing_alike_was_measured_there_is_no_time() -> None:
    memory = read_memory_model().model_copy(update={"step_times": (own_time(1.0),)})
    assert predict(recipe(memory__offload="blocks"), LARGE, memory=memory).time is None


def test_a_model_in_a_folder_is_judged_by_its_own_configuration(tmp_path: Path) -> None:
    from dataclasses import replace

    (tmp_path / "transformer").mkdir()
    config = {"num_attention_heads": 32, "attention_head_dim": 128, "num_layers": 48}
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(config))
    assert architecture_of(replace(SMALL, source=str(tmp_path), local=True)) == LTXV_13B
    config["num_layers"] = 12
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(config))
    own = architecture_of(replace(SMALL, source=str(tmp_path), local=True))
    assert (own.layers, own.width) == (12, 4096)


def presets() -> list[Preset]:
    found = [read_preset(path) for path in sorted(places.PRESETS.glob("*.yaml"))]
    return [preset for preset in found if preset.min_vram_gib > 0]


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: preset.name)
def test_every_preset_is_predicted_to_fit_the_card_that_it_is_for(preset: Preset) -> None:
    """At its largest rank, with samples from words and from a first frame. A tenth is the prediction's own
    accuracy; benchmarks/presets.py --check compares the measured peak itself.
    """
    settings = with_settings(preset.recipe, {"validation.prompts": ("a",), "validation.first_frame": True})
    budget = predict(settings, find_model(preset.models[0]))
    assert budget.vram_gib <= 1.10 * (preset.min_vram_gib - 1.0)
