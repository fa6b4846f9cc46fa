"""The card is full: how that is recognised, and how everything is let go of. Worker-side."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ltx_wizard.core.errors import WizardError
from ltx_wizard.models.precision import release_memory
from ltx_wizard.training.ladder import Stage

_WORDS = ("out of memory", "status_alloc_failed")
"""CUDA itself and its libraries (cuBLAS, cuDNN) report a full card as an ordinary RuntimeError."""


class CardFull(Exception):
    """The card ran out of memory at this stage. The run may go on with other settings."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(f"The graphics card ran out of memory (stage {stage}).")
        self.stage: Stage = stage


@contextmanager
def during(stage: Stage) -> Iterator[None]:
    """Running out of memory in here becomes CardFull. The innermost stage counts."""
    try:
        yield
    except (RuntimeError, WizardError) as error:
        if not is_card_full(error):
            raise
        raise CardFull(stage) from error


def is_card_full(error: BaseException) -> bool:
    """Whether this error, or the one that it was made from, is the card's."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    if isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS):
        return True
    return error.__cause__ is not None and is_card_full(error.__cause__)


def let_go() -> None:
    """Give the card back what nothing refers to any more. Call it outside the except block: a caught error
    keeps alive every tensor of the frames that it went through.
    """
    gc.collect()
    release_memory()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
