"""The measuring script runs every cell on the CPU, and goes on where one does not fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.autograd import DeviceType

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import anchor

CPU = torch.device("cpu")


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> list[dict[str, Any]]:
    out = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", ["anchor.py", "--out", str(out), "--device", "cpu", "--tiny", *more])
    anchor.main()
    return json.loads(out.read_text(encoding="utf-8"))


def test_every_cell_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = run(tmp_path, monkeypatch)
    assert [record["who"] for record in records] == list(anchor.WHO)
    assert all(record["ok"] and record["step_min_s"] > 0 for record in records), records
    assert [record["recomputed"] for record in records] == [True, False, True, False]


def test_a_cell_that_breaks_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(anchor, "_anchor_step", broken)
    records = run(tmp_path, monkeypatch)
    assert [record["ok"] for record in records] == [False, True, True, True]
    assert "no such thing" in records[0]["error"]


def test_after_the_time_limit_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = run(tmp_path, monkeypatch, "--limit-s", "0")
    assert not any(record["ok"] for record in records)
    assert all("time limit" in record["error"] for record in records)


def test_activations_are_recomputed_where_they_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bool] = []

    def measure(_cell: anchor.Cell, recompute: bool, _device: torch.device) -> dict[str, Any]:
        tried.append(recompute)
        if not recompute:
            raise torch.OutOfMemoryError
        return {"recomputed": recompute}

    monkeypatch.setattr(anchor, "_timed", measure)
    cell = anchor.Cell("tiny", 24, (2, 3, 4), "ours")
    assert anchor.timed(cell, {}, CPU) == {"recomputed": True}
    assert tried == [False, True]


def test_busy_counts_kernels_and_copies_once() -> None:
    def event(name: str, micros: float, where: str = "CUDA", annotation: bool = False) -> SimpleNamespace:
        return SimpleNamespace(
            name=name,
            device_type=getattr(DeviceType, where),
            is_user_annotation=annotation,
            time_range=SimpleNamespace(elapsed_us=lambda: micros),
        )

    found = anchor.busy(
        [
            event("gemm", 1000.0),
            event("Memcpy HtoD", 500.0),
            event("Optimizer.step#AdamW.step", 9000.0, annotation=True),
            event("cudaLaunchKernel", 7000.0, "CPU"),
        ]
    )
    assert found == {"busy_s": 0.0015, "kernels_s": 0.001, "copies_s": 0.0005, "kernels": 1}
