"""Checkpoints: the LoRA and what the optimizer remembers, so that training goes on exactly. Worker-side.

checkpoints/step-000150/ holds lora.safetensors, optimizer.safetensors and state.json. The folder appears
whole, by one rename. Random numbers need no place here: they follow from the seed and the step.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltx_wizard.core.documents import Document, read_document, write_document
from ltx_wizard.core.errors import BadDocument, BadInput, NoSpace, NotFound, WizardError, explain_os_error
from ltx_wizard.core.events import Warned
from ltx_wizard.core.report import Report
from ltx_wizard.core.run import JobFolder

LORA_FILE = "lora.safetensors"
_OPTIMIZER_FILE = "optimizer.safetensors"
_STATE_FILE = "state.json"
_FULL = ("code: 28,", "No space", "code: 122,", "uota exceeded", "code: 112,", "os error 112)")
"""How a full disk or quota reads: on Linux and macOS, and as Windows numbers it."""

_PAGED = {"state1", "state2"}
"""What bitsandbytes makes with get_state_buffer (0.50, optim/optimizer.py)."""


class CheckpointState(Document):
    """The content of state.json. bad_in_a_row: steps before it that changed nothing, being no numbers."""

    step: int
    rank: int
    alpha: float
    model: str
    optimizer: str
    bad_in_a_row: int = 0
    scalars: dict[str, float] = Field(default_factory=dict[str, float])


def save_checkpoint(
    folder: JobFolder,
    state: CheckpointState,
    lora: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    keep: int,
    spared: Collection[int] = (),
) -> Path:
    """Write one checkpoint, then delete the oldest beyond `keep`, but for the steps `spared`. Raises NoSpace
    or NoPermission; older ones stay. A later one that lies there was damaged and passed over: it is not
    counted, and stays until its step is saved again.
    """
    final = folder.checkpoint_folder(state.step)
    partial = final.with_name(f".{final.name}.partial")
    tensors, scalars = _flatten(optimizer)
    try:
        for left in final.parent.glob(".step-*.partial"):  # of a run that was killed while it saved
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir(parents=True)
        _save(dict(lora), partial / LORA_FILE)
        _save(tensors, partial / _OPTIMIZER_FILE)
        write_document(partial / _STATE_FILE, state.model_copy(update={"scalars": scalars}))
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise explain_os_error(error, final) from error
    except WizardError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    until_now = [step for step in folder.saved_steps() if step <= state.step]
    for step in until_now[:-keep]:
        if step not in spared:
            shutil.rmtree(folder.checkpoint_folder(step), ignore_errors=True)
    return final


def read_state(folder: JobFolder, step: int) -> CheckpointState:
    """Raises NotFound or BadDocument."""
    return read_document(folder.checkpoint_folder(step) / _STATE_FILE, CheckpointState)


def read_lora(folder: JobFolder, step: int) -> dict[str, Tensor]:
    """The LoRA's weights at a step, fp32. Raises NotFound or BadInput."""
    return read_weights(folder.checkpoint_folder(step) / LORA_FILE)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A safetensors file. Raises NotFound, or BadInput where it is damaged or something else."""
    if not path.is_file():
        raise NotFound(problem=f"{path.name} is not there.", remedy="Choose another checkpoint or file.")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadInput(
            problem=f"{path.name} is damaged or no safetensors file.",
            remedy="Choose another checkpoint or file.",
        ) from error


def newest_good_step(folder: JobFolder, report: Report, until: int | None = None) -> int:
    """The newest checkpoint that reads, up to a step; damaged ones are reported and passed over. 0: none."""
    for step in reversed(folder.saved_steps()):
        if until is not None and step > until:
            continue
        try:
            read_state(folder, step)
            read_lora(folder, step)
            read_weights(folder.checkpoint_folder(step) / _OPTIMIZER_FILE)
            return step
        except (BadInput, BadDocument, NotFound):
            report.emit(Warned(message=f"The checkpoint of step {step} is damaged and is passed over."))
    return 0


def restore_optimizer(folder: JobFolder, step: int, optimizer: torch.optim.Optimizer) -> None:
    """Put back what the optimizer remembered at a step. Raises BadInput."""
    tensors = read_weights(folder.checkpoint_folder(step) / _OPTIMIZER_FILE)
    state: dict[int, dict[str, Any]] = {}
    for name, value in [*tensors.items(), *read_state(folder, step).scalars.items()]:
        index, _, key = name.partition(".")
        # bitsandbytes counts steps in plain integers and takes nothing else.
        whole = isinstance(value, float) and value.is_integer()
        state.setdefault(int(index), {})[key] = int(value) if whole else value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    _page(optimizer)


def _page(optimizer: torch.optim.Optimizer) -> None:
    """bitsandbytes loads what it had paged as ordinary tensors of the card: back into memory that can leave
    the card, wherever it would make it so itself.
    """
    make_buffer: Callable[..., Tensor] | None = getattr(optimizer, "get_state_buffer", None)
    if make_buffer is None or not getattr(optimizer, "is_paged", False):
        return
    for parameter, values in optimizer.state.items():
        for key in _PAGED & values.keys():
            buffer = make_buffer(parameter, dtype=values[key].dtype)
            if getattr(buffer, "is_paged", False):
                values[key] = buffer.copy_(values[key])


def _flatten(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, float]]:
    """'3.exp_avg' -> tensor, a copy, and what is a plain number apart."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, float] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in _unwrapped(values):
            if isinstance(value, Tensor):
                # bitsandbytes' tables are one tensor for all parameters, which safetensors refuses.
                tensors[f"{index}.{key}"] = value.detach().to("cpu", copy=True).contiguous()
            else:
                scalars[f"{index}.{key}"] = value
    return tensors, scalars


def _unwrapped(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """bitsandbytes wraps its tensors once more, and takes them back unwrapped."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from value.items()
        else:
            yield key, value


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    """On the disk itself: an older checkpoint is deleted next, and power may fail. Raises NoSpace where the
    disk is full: the library reports that as an error of its own.
    """
    try:
        save_file(tensors, path, metadata={"format": "pt"})
        with path.open("rb+") as written:
            os.fsync(written.fileno())
    except SafetensorError as error:
        if any(words in str(error) for words in _FULL):
            raise NoSpace(
                problem="The disk is full: the checkpoint could not be saved.",
                remedy="Free some space, then press Resume. Older checkpoints are unchanged.",
            ) from error
        raise OSError(str(error)) from error
