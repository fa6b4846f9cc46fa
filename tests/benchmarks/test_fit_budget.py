"""The fit finds the coefficients behind made-up measurements; random recipes only check it."""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import fit_budget

from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.models.catalog import find_model
from ltx_wizard.training.budget import architecture_of, lora_parameters, phases_of, predict, weights_gib
from ltx_wizard.training.memory_model import Coefficients, MemoryModel, read_memory_model

MODELS = ("ltxv-2b-0.9.6-dev", "ltxv-13b-0.9.7-dev")
BUCKETS = ("512x512x49", "768x768x49", "1216x704x121")
KINDS = ("none", "fp8-quanto", "nf4-bnb")
FIXED = Path(__file__).resolve().parents[1] / "memory_model.json"
"""What the fit starts from here, whatever was measured since."""
NAMES = {name: measured for measured, name in fit_budget._PHASES.items()}
TRUE_CHANGES = {
    "recompute_units": 61.0,
    "checkpoint_units": 1.15,
    "kept_units": 30.0,
    "first_frame_once_units": 18.0,
    "sample_units": 26.0,
    "decode_bytes": 90.0,
    "encode_bytes": 140.0,
    "text_bytes": 2.1,
    "text_8bit_bytes": 1.25,
    "reserve_gib": 0.45,
    "offload_blocks": 2.6,
    "ram_gib": 4.0,
    "ram_load_share": 0.6,
}


@pytest.fixture(scope="module")
def truth() -> Coefficients:
    """What the made-up card is like: unlike the coefficients that the fit starts from."""
    start = read_memory_model(FIXED).coefficients
    weights = {**start.weight_bytes, "fp8-quanto": 1.08, "nf4-bnb": 0.57}
    return start.model_copy(update={**TRUE_CHANGES, "weight_bytes": weights, "context_gib": 0.62})


def made_up(
    truth: Coefficients, kind: str, model: str, changes: dict[str, object], name: str
) -> dict[str, Any]:
    """A record as benchmarks/presets.py writes it, of a card with these coefficients."""
    usual: dict[str, object] = {"lora.rank": 32, "validation.prompts": ("a",)}
    recipe, spec = with_settings(Recipe(model=model), {**usual, **changes}), find_model(model)
    bucket = recipe.data.buckets[0]
    phases = {NAMES[item.name]: item.total for item in phases_of(recipe, spec, {bucket: 3}, truth)}
    shape = architecture_of(spec)
    lora_gib = 0.0 if kind == "precision" else 4 * lora_parameters(recipe, shape) / 1024**3
    model_of_truth = MemoryModel(source="", card="", date="", records=0, coefficients=truth)
    return {
        "kind": kind, "name": name, "date": "2026-11-25", "card": "Made-up card", "model": model,
        "limit_gib": 0.0, "recipe": recipe.model_dump(mode="json"), "bucket": bucket, "tokens": 1,
        "phases": {key: {"reserved_gib": size, "allocated_gib": size, "seconds": 6.0}
                   for key, size in phases.items()},
        "weights_gib": weights_gib(recipe.memory, shape, truth) + lora_gib,
        "peak_reserved_gib": max(phases.values()), "context_gib": 0.62, "step_s": 1.5, "steps": 20,
        "host_peak_gib": predict(recipe, spec, {bucket: 3}, model_of_truth).ram, "ok": True, "error": "",
    }  # fmt: skip


@pytest.fixture(scope="module")
def raws(truth: Coefficients) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for model, bucket, quantization in product(MODELS, BUCKETS, KINDS):
        changes: dict[str, object] = {
            "data.buckets": (bucket,),
            "validation.first_frame": quantization == "fp8-quanto",
            "memory.quantization": quantization,
            "memory.text_encoder_8bit": quantization != "none",
            "optimizer.name": "adamw8bit" if quantization == "nf4-bnb" else "adamw",
        }
        found.append(made_up(truth, "preset", model, changes, f"{model} {bucket} {quantization}"))
        if quantization == "fp8-quanto":
            changes = {**changes, "memory.offload": "blocks"}
            found.append(made_up(truth, "preset", model, changes, f"{model} {bucket} offloaded"))
        if quantization == "none":
            for share in (0.0, 0.1):
                kept = {
                    **changes, "memory.gradient_checkpointing": False, "data.first_frame_share": share
                }  # fmt: skip
                found.append(made_up(truth, "preset", model, kept, f"{model} {bucket} kept {share}"))
    for model in MODELS:
        changes = {"data.buckets": ("704x512x73",), "lora.rank": 48}
        found.append(made_up(truth, "recipe", model, changes, f"random {model}"))
    return found


@pytest.fixture(scope="module")
def results(raws: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    half = len(raws) // 2
    (folder / "one.json").write_text(json.dumps(raws[:half]))
    (folder / "two.json").write_text(json.dumps(raws[half:]))
    return folder


@pytest.fixture(scope="module")
def fitted(results: Path) -> MemoryModel:
    return fit_budget.fit(fit_budget.read_records(results), read_memory_model(FIXED))


@pytest.mark.parametrize("name", [*TRUE_CHANGES, "first_frame_units"])
def test_the_coefficients_behind_the_measurements_are_found(
    fitted: MemoryModel, truth: Coefficients, name: str
) -> None:
    assert getattr(fitted.coefficients, name) == pytest.approx(getattr(truth, name), rel=0.05)


def test_bytes_of_measured_kinds_are_found_and_unmeasured_ones_stay(
    fitted: MemoryModel, truth: Coefficients
) -> None:
    found, start = fitted.coefficients.weight_bytes, read_memory_model(FIXED).coefficients.weight_bytes
    assert found["fp8-quanto"] == pytest.approx(1.08, rel=0.01)
    assert found["nf4-bnb"] == pytest.approx(0.57, rel=0.01)
    assert found["none"] == 2.0
    assert found["int8-bnb"] == start["int8-bnb"]
    assert fitted.coefficients.context_gib == 0.62


def test_predictions_follow_and_the_model_says_what_it_comes_from(fitted: MemoryModel) -> None:
    assert fitted.worst_error_fit is not None
    assert fitted.worst_error_check is not None
    assert fitted.worst_error_fit < 0.01
    assert fitted.worst_error_check < 0.02
    assert (fitted.card, fitted.date) == ("Made-up card", "2026-11-25")
    assert "Made-up card" in fitted.source
    assert f"{fitted.records} trainings" in fitted.source


def test_the_drivers_share_is_taken_from_runs_alone_on_a_card(
    raws: list[dict[str, Any]], tmp_path: Path
) -> None:
    crowded = [
        {**raw, "alone_on_card": number < 3, "context_gib": 0.62 if number < 3 else 9.0}
        for number, raw in enumerate(raws)
    ]
    (tmp_path / "one.json").write_text(json.dumps(crowded))
    model = fit_budget.fit(fit_budget.read_records(tmp_path), read_memory_model(FIXED))
    assert model.coefficients.context_gib == 0.62


def test_random_recipes_are_compared_and_never_fitted(raws: list[dict[str, Any]], tmp_path: Path) -> None:
    """Absurd peaks of random recipes change the check, and nothing else."""
    absurd = [
        {**raw, "peak_reserved_gib": 500.0, "phases": {"train": {"reserved_gib": 500.0, "seconds": 1.0}}}
        if raw["kind"] == "recipe"
        else raw
        for raw in raws
    ]
    (tmp_path / "honest.json").write_text(json.dumps(raws))
    honest = fit_budget.fit(fit_budget.read_records(tmp_path), read_memory_model(FIXED))
    (tmp_path / "z.json").write_text(json.dumps(absurd))
    other = fit_budget.fit(fit_budget.read_records(tmp_path), read_memory_model(FIXED))
    assert other.coefficients == honest.coefficients
    assert other.records == honest.records
    assert other.worst_error_check is not None
    assert other.worst_error_check > 0.9


def test_a_record_that_ran_out_of_memory_is_left_out_and_a_newer_file_counts(
    raws: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps([raws[0], {**raws[1], "ok": False}, {**raws[2], "peak_reserved_gib": 0.0}])
    )
    (tmp_path / "b.json").write_text(json.dumps([{**raws[0], "peak_reserved_gib": 77.0}]))
    records = fit_budget.read_records(tmp_path)
    assert [(record.name, record.peak_gib) for record in records] == [(raws[0]["name"], 77.0)]


def test_step_times_are_those_of_one_pass(
    raws: list[dict[str, Any]], tmp_path: Path, truth: Coefficients
) -> None:
    changes: dict[str, object] = {
        "data.buckets": ("768x512x49",), "data.batch_size": 2, "data.gradient_accumulation_steps": 3
    }  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps([made_up(truth, "preset", MODELS[1], changes, "three")]))
    time = fit_budget.fit(fit_budget.read_records(tmp_path), read_memory_model(FIXED)).step_times[0]
    assert (time.architecture, time.tokens, time.step_s) == ("13b", 2 * 2688, 0.5)


def test_the_script_writes_the_model_and_reports_one_json_object_last(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "memory_model.json"
    assert fit_budget.main(["--results", str(results), "--out", str(out)]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["checked"] == 2
    assert last["worst_error_check"] < 0.02
    assert read_memory_model(out).records == last["records"] > 20


def test_a_model_that_is_far_off_is_reported_with_status_one(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit_budget.main(["--results", str(results), "--check"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["worst_error_fit"] > 0.10


def test_without_measurements_there_is_nothing_to_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit_budget.main(["--results", str(tmp_path), "--out", str(tmp_path / "model.json")]) == 1
    assert "nothing to fit" in capsys.readouterr().err
    assert not (tmp_path / "model.json").exists()
