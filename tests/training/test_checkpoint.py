"""Checkpoints: what an optimizer remembers comes back to the bit, and a save that fails harms nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from ltx_wizard.core.errors import BadInput, NoSpace, NotFound
from ltx_wizard.core.events import Warned
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import JobFolder
from ltx_wizard.training import checkpoint
from ltx_wizard.training.checkpoint import (
    CheckpointState,
    newest_good_step,
    read_lora,
    read_state,
    restore_optimizer,
    save_checkpoint,
)

Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]

LORA = {"transformer.to_q.lora_A.weight": torch.arange(6.0).view(2, 3)}


def adamw(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=1e-2)


def adamw8bit(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The library's own, which calculates on a CPU as well."""
    from bitsandbytes import optim

    return optim.AdamW8bit(parameters, lr=1e-2)


class WrappingSgd(torch.optim.SGD):
    """Momentum that stands as bitsandbytes writes its own: in a mapping of its own, beside a whole number of
    steps, which it wants back as an int and unwrapped.
    """

    WRAP = "__bnb_optimizer_quant_state__"

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__(parameters, lr=0.1, momentum=0.9)
        self.loaded: dict[int, dict[str, Any]] = {}

    def state_dict(self) -> dict[str, Any]:
        written = super().state_dict()
        written["state"] = {
            index: {"step": 7, "factor": 0.25, self.WRAP: dict(values)}
            for index, values in written["state"].items()
        }
        return written

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loaded = state_dict["state"]


SMALL = ((64, 128), (4, 3))
"""bitsandbytes keeps the second in 32 bits."""

LARGE = ((400, 256), (4, 3))
"""From 100,000 numbers on, it pages the state."""


def parameters(device: str = "cpu", shapes: tuple[tuple[int, int], ...] = SMALL) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator).to(device)) for shape in shapes]


def train(values: list[nn.Parameter], optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last + 1):
        generator = torch.Generator().manual_seed(step)
        for value in values:
            value.grad = torch.randn(value.shape, generator=generator).to(value.device)
        optimizer.step()


def save(
    folder: JobFolder, step: int, optimizer: torch.optim.Optimizer, keep: int = 10, lora: Any = None
) -> Path:
    state = CheckpointState(step=step, rank=4, alpha=4, model="embedded", optimizer="x")
    return save_checkpoint(folder, state, LORA if lora is None else lora, optimizer, keep)


def assert_a_resumed_run_ends_the_same(
    folder: JobFolder, make: Make, device: str = "cpu", shapes: tuple[tuple[int, int], ...] = SMALL
) -> None:
    """Six steps at once, and three, a checkpoint, and three: the same weights to the bit."""
    whole = parameters(device, shapes)
    train(whole, make(whole), 1, 6)
    first = parameters(device, shapes)
    before = make(first)
    train(first, before, 1, 3)
    save(folder, 3, before)
    resumed = [nn.Parameter(value.detach().clone()) for value in first]
    after = make(resumed)
    restore_optimizer(folder, 3, after)
    train(resumed, after, 4, 6)
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))
    without = [nn.Parameter(value.detach().clone()) for value in first]
    train(without, make(without), 4, 6)
    assert not torch.equal(without[0], whole[0])  # what it remembered does count


@pytest.mark.parametrize("make", [adamw, adamw8bit])
def test_a_resumed_optimizer_goes_on_to_the_bit(tmp_path: Path, make: Make) -> None:
    assert_a_resumed_run_ends_the_same(JobFolder(tmp_path), make)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
@pytest.mark.parametrize("kind", ["AdamW8bit", "PagedAdamW8bit"])
def test_a_resumed_optimizer_goes_on_to_the_bit_on_a_card(tmp_path: Path, kind: str) -> None:
    from bitsandbytes import optim

    assert_a_resumed_run_ends_the_same(
        JobFolder(tmp_path), lambda values: getattr(optim, kind)(values, lr=1e-2), "cuda"
    )


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="memory that can leave the card needs an NVIDIA card"
)
def test_a_resumed_optimizer_is_paged_again_on_a_card(tmp_path: Path) -> None:
    from bitsandbytes import optim

    def make(values: list[nn.Parameter]) -> torch.optim.Optimizer:
        return optim.PagedAdamW8bit(values, lr=1e-2)

    assert_a_resumed_run_ends_the_same(JobFolder(tmp_path), make, "cuda", LARGE)
    values = parameters("cuda", LARGE)
    resumed = make(values)
    restore_optimizer(JobFolder(tmp_path), 3, resumed)
    assert paged_of(resumed, values) == [True, False]


def paged_of(optimizer: torch.optim.Optimizer, values: list[nn.Parameter]) -> list[bool]:
    """Of each parameter, whether both of its states are paged."""
    states = [[optimizer.state[value][key] for key in ("state1", "state2")] for value in values]
    return [all(getattr(state, "is_paged", False) for state in pair) for pair in states]


def test_what_was_paged_is_paged_again_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A buffer that says that it is paged stands in for the card's memory: large states alone are such."""
    from bitsandbytes import optim

    handed_out: list[torch.Tensor] = []

    def buffer(_self: object, value: nn.Parameter, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        made = torch.zeros_like(value, dtype=dtype)
        if value.numel() >= 1000:
            made.is_paged = True  # pyright: ignore[reportAttributeAccessIssue]
            handed_out.append(made)
        return made

    monkeypatch.setattr(optim.PagedAdamW8bit, "get_state_buffer", buffer)
    monkeypatch.setattr(optim.PagedAdamW8bit, "prefetch_state", lambda *_: None)

    def make(values: list[nn.Parameter]) -> torch.optim.Optimizer:
        return optim.PagedAdamW8bit(values, lr=1e-2)

    folder = JobFolder(tmp_path)
    assert_a_resumed_run_ends_the_same(folder, make)
    values = parameters()
    resumed = make(values)
    handed_out.clear()
    restore_optimizer(folder, 3, resumed)
    assert paged_of(resumed, values) == [True, False]
    assert [value.shape for value in handed_out] == [values[0].shape] * 2
    assert all(value.count_nonzero() for value in handed_out)  # the saved numbers are in them
    train(values, resumed, 4, 4)
    assert paged_of(resumed, values) == [True, False]


def test_wrapped_tensors_come_back_unwrapped_and_whole_numbers_as_such(tmp_path: Path) -> None:
    values = parameters()
    optimizer = WrappingSgd(values)
    train(values, optimizer, 1, 2)
    momentum = [optimizer.state[value]["momentum_buffer"].clone() for value in values]
    save(JobFolder(tmp_path), 2, optimizer)
    fresh = WrappingSgd(parameters())
    restore_optimizer(JobFolder(tmp_path), 2, fresh)
    assert [set(state) for state in fresh.loaded.values()] == [{"step", "factor", "momentum_buffer"}] * 2
    for state, expected in zip(fresh.loaded.values(), momentum, strict=True):
        assert (state["step"], state["factor"]) == (7, 0.25)
        assert type(state["step"]) is int
        assert torch.equal(state["momentum_buffer"], expected)


def test_what_is_saved_does_not_follow_the_training(tmp_path: Path) -> None:
    folder, values = JobFolder(tmp_path), parameters()
    optimizer = adamw(values)
    train(values, optimizer, 1, 1)
    save(folder, 1, optimizer)
    tensors, _ = checkpoint._flatten(optimizer)
    train(values, optimizer, 2, 2)
    fresh = adamw(values)
    restore_optimizer(folder, 1, fresh)
    assert torch.equal(fresh.state_dict()["state"][0]["exp_avg"], tensors["0.exp_avg"])


def test_a_checkpoint_holds_its_lora_and_its_state(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    saved = save(folder, 3, adamw(parameters()))
    assert sorted(path.name for path in saved.iterdir()) == [
        "lora.safetensors", "optimizer.safetensors", "state.json"
    ]  # fmt: skip
    lora = read_lora(folder, 3)
    assert lora.keys() == LORA.keys()
    assert all(torch.equal(lora[name], LORA[name]) for name in LORA)
    state = read_state(folder, 3)
    assert (state.step, state.rank, state.alpha, state.model) == (3, 4, 4.0, "embedded")


def test_only_the_newest_are_kept_and_one_step_can_be_saved_again(tmp_path: Path) -> None:
    folder, optimizer = JobFolder(tmp_path), adamw(parameters())
    for step in (1, 2, 3, 3):
        save(folder, step, optimizer, keep=2)
    assert folder.saved_steps() == [2, 3]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-000002",
        "step-000003",
    ]


def test_while_one_is_written_the_kept_ones_and_the_best_are_there_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As much as the memory plan counts on the disk."""
    folder, optimizer, there = JobFolder(tmp_path), adamw(parameters()), list[int]()
    real = checkpoint.write_document

    def count(path: Path, document: Any) -> None:
        there.append(len(list((tmp_path / "checkpoints").iterdir())))
        real(path, document)

    monkeypatch.setattr(checkpoint, "write_document", count)
    for step in range(1, 9):
        state = CheckpointState(step=step, rank=4, alpha=4, model="embedded", optimizer="x")
        save_checkpoint(folder, state, LORA, optimizer, 4, spared={1})
    assert max(there) == 4 + 1 + 1
    assert folder.saved_steps() == [1, 5, 6, 7, 8]


def test_a_damaged_one_that_was_passed_over_does_not_count_as_newer(tmp_path: Path) -> None:
    """A run that goes on before it keeps what it saves until then."""
    folder, optimizer = JobFolder(tmp_path), adamw(parameters())
    for step in (1, 2, 4):
        save(folder, step, optimizer, keep=9)
    (folder.checkpoint_folder(4) / "lora.safetensors").write_bytes(b"half")
    save(folder, 3, optimizer, keep=1)
    assert newest_good_step(folder, SilentReport()) == 3
    assert folder.saved_steps() == [3, 4]


def test_what_a_kill_left_half_written_goes_with_the_next_save(tmp_path: Path) -> None:
    folder, optimizer = JobFolder(tmp_path), adamw(parameters())
    (tmp_path / "checkpoints" / ".step-000002.partial").mkdir(parents=True)
    (tmp_path / "checkpoints" / ".step-000002.partial" / "lora.safetensors").write_bytes(b"half")
    save(folder, 5, optimizer)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000005"]


def test_a_checkpoint_is_on_the_disk_before_an_older_one_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, optimizer = JobFolder(tmp_path), adamw(parameters())
    save(folder, 1, optimizer, keep=1)
    synced: list[str] = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        assert folder.saved_steps() == [1]
        synced.extend(
            path.name
            for path in (tmp_path / "checkpoints" / ".step-000002.partial").iterdir()
            if path.stat().st_ino == os.fstat(descriptor).st_ino
        )
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    save(folder, 2, optimizer, keep=1)
    assert {"lora.safetensors", "optimizer.safetensors"} <= set(synced)
    assert folder.saved_steps() == [2]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError('Error while serializing: Io(Os { code: 28, message: "No space left on device" })'),
        SafetensorError("Error while serializing: I/O error: Disk quota exceeded (os error 122)"),
        SafetensorError(
            "Error while serializing: I/O error: There is not enough space on the disk. (os error 112)"
        ),
    ],
)
def test_a_full_disk_is_said_and_leaves_the_older_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    folder, optimizer = JobFolder(tmp_path), adamw(parameters())
    save(folder, 1, optimizer, keep=1)

    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(NoSpace):
        save(folder, 2, optimizer, keep=1)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000001"]
    assert read_lora(folder, 1).keys() == LORA.keys()


@pytest.mark.parametrize("file", ["lora.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_is_passed_over_and_said(tmp_path: Path, file: str, damage: str) -> None:
    folder, values = JobFolder(tmp_path), parameters()
    optimizer = adamw(values)
    train(values, optimizer, 1, 1)
    for step in (1, 2):
        save(folder, step, optimizer)
    path = tmp_path / "checkpoints" / "step-000002" / file
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.unlink()
    report = SilentReport()
    assert newest_good_step(folder, report) == 1
    assert [event.message for event in report.events if isinstance(event, Warned)] == [
        "The checkpoint of step 2 is damaged and is passed over."
    ]


def test_no_good_checkpoint_is_step_zero(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    assert newest_good_step(folder, SilentReport()) == 0
    save(folder, 1, adamw(parameters()))
    shutil.rmtree(tmp_path / "checkpoints" / "step-000001")
    (tmp_path / "checkpoints" / "step-000001").mkdir()
    assert newest_good_step(folder, SilentReport()) == 0
    with pytest.raises(NotFound):
        read_lora(folder, 1)


def test_something_else_than_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(BadInput, match="damaged or no safetensors file"):
        checkpoint.read_weights(path)
