"""A full card is told from other errors, and at which stage it was full."""

from __future__ import annotations

import pytest
import torch

from ltx_wizard.core.errors import BadInput
from ltx_wizard.training.shortage import CardFull, during, is_card_full

FULL = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def _explained(cause: Exception) -> BadInput:
    """As the loading of a model explains what went wrong."""
    try:
        raise BadInput("It cannot be loaded.", "Get it again.") from cause
    except BadInput as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        _explained(RuntimeError("CUDA error: out of memory")),
    ],
)
def test_a_full_card_is_recognised_whoever_reports_it(error: Exception) -> None:
    assert is_card_full(error)
    with pytest.raises(CardFull) as caught, during("samples"):
        raise error
    assert caught.value.stage == "samples"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        _explained(ValueError("bad header")),
        MemoryError(),
        OSError(28, "No space left on device"),
    ],
)
def test_other_errors_pass_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, during("train"):
        raise error
    assert caught.value is error


def test_the_innermost_stage_counts() -> None:
    with pytest.raises(CardFull) as caught, during("train"), during("validation"):
        raise FULL
    assert caught.value.stage == "validation"
