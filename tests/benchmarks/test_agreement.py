"""The app's step agrees with the plain formulas, and the comparison sees a difference where there is one."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import agreement
import random_models

from ltx_wizard.core.recipe import MemorySettings

CPU = torch.device("cpu")
TEXT_WIDTH = random_models.TRANSFORMERS["tiny"]["caption_channels"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_models.write_transformer(tmp_path_factory.mktemp("agreement"), "tiny")


@pytest.mark.parametrize("case", agreement.CASES, ids=lambda case: case.name)
def test_in_full_precision_loss_and_gradients_are_those_of_the_formulas(
    folder: Path, case: agreement.Case
) -> None:
    step = agreement.make_step(case, TEXT_WIDTH)
    ours = agreement.ours("tiny", folder, step, MemorySettings(precision="fp32"), CPU)
    expected = agreement.reference("tiny", folder, step, CPU, torch.float32)
    found = agreement.compare(ours, expected)
    assert found["loss_error"] < 1e-6
    assert found["gradient_error"] < 1e-5
    assert found["worst_cosine"] > 0.99999
    assert found["tensors"] == 2 * 2 * 10


def test_another_frame_rate_noise_level_or_mask_is_seen(folder: Path) -> None:
    step = agreement.make_step(agreement.CASES[1], TEXT_WIDTH)
    ours = agreement.ours("tiny", folder, step, MemorySettings(precision="fp32"), CPU)
    for other in (
        replace(step, fps=25.0),
        replace(step, sigma=step.sigma + 0.01),
        replace(step, first_frame_given=(False,)),
    ):
        expected = agreement.reference("tiny", folder, other, CPU, torch.float32)
        assert agreement.compare(ours, expected)["gradient_error"] > 1e-3


def test_a_cell_that_fails_is_recorded_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        agreement,
        "PRECISIONS",
        {"int8-quanto": {"quantization": "int8-quanto"}, "broken": {"offload": "nowhere"}, "fp32": {}},
    )
    monkeypatch.setattr(agreement, "CASES", agreement.CASES[:1])
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    out = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", ["agreement.py", "--out", str(out), "--device", "cpu", "--tiny"])
    agreement.main()
    records = json.loads(out.read_text(encoding="utf-8"))
    assert [(record["name"], record["ok"]) for record in records] == [
        ("int8-quanto", True),
        ("broken", False),
        ("fp32", True),
        (agreement.FP64_TABLES, True),
    ]
    assert 1e-3 < records[0]["gradient_error"] < 0.05
    assert "nowhere" in records[1]["error"] or "offload" in records[1]["error"]
    assert "int8-quanto" in capsys.readouterr().out.splitlines()[-4]
