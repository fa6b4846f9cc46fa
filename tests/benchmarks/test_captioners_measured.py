"""The script that measures captioners runs every model on the CPU, and judges what was recorded."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, Florence2ForConditionalGeneration, Qwen3VLForConditionalGeneration

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import captioners
import random_captioners
from captioners import LIMITS_GIB, Record, cells, check

from ltx_wizard.core import places
from ltx_wizard.models.captioner_models import (
    CAPTIONER_MODELS,
    DRIVER_GIB,
    CaptionerModel,
    captioner_model,
)

GOOD = Record("qwen3vl-4b", 8.0, "nf4", 2, 3.4, 6.9, 20.0, 9.0, 150.0, "NVIDIA Test", "2026-11-25", "x", True)


@pytest.mark.parametrize("name", ["florence2-base", "qwen3vl-2b"])
def test_a_cell_is_measured_by_the_apps_own_job(tmp_path: Path, name: str) -> None:
    out = tmp_path / "records.json"
    words = ["--measure", "--tiny", "--device", "cpu", "--only", name, "--limits", "0"]
    assert captioners.main([*words, "--work", str(tmp_path), "--out", str(out)]) == 0
    (record,) = json.loads(out.read_text())
    assert record["ok"], record["error"]
    assert record["captioner"] == name and record["precision"] == "float32"
    assert record["clips_per_minute"] > 0 and record["words"] >= 8
    assert list(tmp_path.iterdir()) == [out]  # it tidies up


def test_a_record_within_its_card_is_no_contradiction() -> None:
    wrong, missing = check([GOOD])
    assert wrong == []
    assert "qwen3vl-4b on 8 GiB" not in missing and "qwen3vl-4b on the whole card" in missing
    assert len(missing) == len(cells(LIMITS_GIB)) - 1


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (replace(GOOD, peak_gib=8.3), "qwen3vl-4b on 8 GiB: took 8.3 GiB"),
        (replace(GOOD, ok=False, error="out of memory"), "the app says that it fits, and it failed"),
        (replace(GOOD, captioner="gone"), "no such captioner"),
    ],
)
def test_a_record_that_contradicts_the_app_is_told(record: Record, said: str) -> None:
    (wrong,) = check([record])[0]
    assert said in wrong


def test_what_is_recorded_does_not_contradict_the_app(capsys: pytest.CaptureFixture[str]) -> None:
    assert captioners.main(["--check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["measured"] + len(found["not_measured"]) >= len(cells(LIMITS_GIB))
    assert found["wrong"] == []
    assert found["measured"] == len(captioners.read_records(places.CAPTIONER_MEASURES))


def test_cards_are_measured_only_with_models_that_fit() -> None:
    assert {model.id for model, limit in cells((8.0,))} == {
        *("florence2-base", "florence2-large", "qwen3vl-2b", "qwen3vl-4b")
    }


def test_more_clips_at_once_than_the_app_takes_now_are_to_be_measured_again() -> None:
    wrong, missing = check([replace(GOOD, batch=8, peak_gib=9.0)])
    assert wrong == []
    assert "qwen3vl-4b on 8 GiB with 2 clips at once; 8 took 9.0 GiB" in missing


@pytest.mark.parametrize(
    "record",
    [record for record in captioners.read_records(places.CAPTIONER_MEASURES) if record.ok],
    ids=lambda record: f"{record.captioner}@{record.limit_gib:.0f}",
)
def test_what_the_app_takes_at_once_fits_by_what_was_measured(record: Record) -> None:
    """Weights, driver and clips, as measured; and that this sum tells what was measured without a limit."""
    model = captioner_model(record.captioner)
    assert model is not None
    needs = record.weights_gib + DRIVER_GIB + model.clip_gib * captioners.batch_now(record)
    assert needs <= (record.limit_gib or captioners.WHOLE_CARD_GIB)
    if not record.limit_gib:
        measured = record.weights_gib + DRIVER_GIB + model.clip_gib * record.batch
        assert measured == pytest.approx(record.peak_gib, rel=0.03)


@pytest.mark.parametrize("index", [0, 2])
def test_weights_written_in_shards_are_those_that_transformers_saves(tmp_path: Path, index: int) -> None:
    folder = random_captioners.put_in_cache(CAPTIONER_MODELS[index], tmp_path)
    kind = (Florence2ForConditionalGeneration, Qwen3VLForConditionalGeneration)[index // 2]
    with torch.device("meta"):
        model = kind(AutoConfig.from_pretrained(folder))
    written = {name: part.shape for shard in random_captioners._shards(model) for name, part in shard.items()}
    with safe_open(folder / "model.safetensors", "pt") as file:
        saved = {name: file.get_tensor(name).shape for name in file.keys()}  # noqa: SIM118
    assert written == saved


@pytest.mark.parametrize("model", CAPTIONER_MODELS, ids=lambda model: model.id)
def test_full_sizes_have_as_many_parameters_as_the_app_says(model: CaptionerModel) -> None:
    with torch.device("meta"):
        if model.family == "florence2":
            built = Florence2ForConditionalGeneration(random_captioners.florence2_config(model.id))
        else:
            built = Qwen3VLForConditionalGeneration(random_captioners.qwen3vl_config(model.id))
    count = sum(part.numel() for part in built.parameters())
    assert count / 1e9 == pytest.approx(model.parameters_b, rel=0.03)
    assert 2 * count / 1024**3 == pytest.approx(model.bf16_gib, rel=0.03)
    if model.nf4_gib:
        small = sum(
            layer.weight.numel()
            for name, layer in built.named_modules()
            if isinstance(layer, torch.nn.Linear) and "visual" not in name and "lm_head" not in name
        )
        assert (2 * (count - small) + 0.5625 * small) / 1024**3 == pytest.approx(model.nf4_gib, rel=0.05)
