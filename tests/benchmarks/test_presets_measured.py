"""What presets say of memory is what was measured: benchmarks/presets.py --check, and how it judges."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import presets as measuring
from ltx_wizard.core.recipe import Preset, with_settings


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return measuring.read_results()


@pytest.fixture
def preset() -> Preset:
    return next(item for item in measuring.read_presets() if item.name == "ltxv-13b-balanced-24gb")


def test_every_preset_is_measured_within_its_limit_and_predicted_within_a_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert measuring.check() == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["presets"] >= 44
    assert last["over_limit"] == last["unmeasured"] == []
    assert last["worst_prediction_error"] < 0.10


def test_the_files_say_what_was_measured(records: list[dict[str, Any]]) -> None:
    for item in measuring.read_presets():
        if item.min_vram_gib:
            record = measuring.measurement_of(item, records)
            assert record is not None
            assert item.measured is not None, item.name
            assert item.measured.peak_gib == round(record["peak_reserved_gib"], 1), item.name
            assert item.measured.limit_gib == record["limit_gib"], item.name


@pytest.mark.parametrize(
    "change",
    [
        {"lora.rank": 65, "lora.alpha": 65},
        {"data.buckets": ("768x768x49",)},
        {"data.batch_size": 2},
        {"memory.quantization": "none"},
        {"memory.gradient_checkpointing": False},
        {"optimizer.name": "adamw"},
    ],
)
def test_a_preset_that_was_changed_since_is_not_measured(
    preset: Preset, records: list[dict[str, Any]], change: dict[str, object]
) -> None:
    changed = preset.model_copy(update={"name": "changed", "recipe": with_settings(preset.recipe, change)})
    assert measuring.measurement_of(preset, records) is not None
    alike = [record for record in records if record["name"] == preset.name]
    assert measuring.measurement_of(changed, alike) is None


def test_a_run_without_waiting_gradients_does_not_count_for_one_with_them(
    preset: Preset, records: list[dict[str, Any]]
) -> None:
    own = next(record for record in records if record["name"] == preset.name)
    single = {**own, "recipe": {**own["recipe"], "data": {**own["recipe"]["data"]}}}
    single["recipe"]["data"]["gradient_accumulation_steps"] = 1
    assert measuring.measurement_of(preset, [single]) is None
    once = with_settings(preset.recipe, {"data.gradient_accumulation_steps": 1})
    assert measuring.measurement_of(preset.model_copy(update={"recipe": once}), [own]) is own


@pytest.mark.parametrize(
    ("change", "named"),
    [({"peak_reserved_gib": 23.5}, "over_limit"), ({"ok": False, "error": "out of memory"}, "unmeasured")],
)
def test_a_preset_that_needs_too_much_or_failed_is_named(
    records: list[dict[str, Any]],
    change: dict[str, object],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "ltxv-13b-best-24gb"
    alike = (
        "ltxv-13b-best-24gb",
        "ltxv-13b-best-32gb",
    )  # the same memory settings: each counts for the other
    changed = [{**record, **change} if record["name"] in alike else record for record in records]
    monkeypatch.setattr(measuring, "read_results", lambda: changed)
    assert measuring.check() == 1
    assert name in json.loads(capsys.readouterr().out.splitlines()[-1])[named]


def test_random_recipes_are_always_the_same_and_like_no_preset() -> None:
    for model in measuring.MODELS.values():
        first = list(measuring.random_recipes(model, 5))
        assert first == list(measuring.random_recipes(model, 5))
        taken = {measuring._memory_key(measuring.measured_recipe(item)) for item in measuring.read_presets()
                 if item.min_vram_gib}  # fmt: skip
        assert not taken & {measuring._memory_key(recipe) for _, recipe in first}
