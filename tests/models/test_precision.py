"""Number formats: what the frozen model is kept in, and what gradients in fp16 need."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_transformer import transformer
from torch import Tensor

from ltx_wizard.core.recipe import LoraSettings, MemorySettings
from ltx_wizard.models import precision
from ltx_wizard.models.lora import add_lora
from ltx_wizard.models.precision import autocast_to, loss_scale

CPU, CARD = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("kept", "scaled"), [("fp16", True), ("bf16", False), ("fp32", False)])
def test_only_fp16_on_a_card_scales_its_loss(kept: str, scaled: bool) -> None:
    memory = MemorySettings.model_validate({"precision": kept})
    assert (loss_scale(memory, CARD) > 1) is scaled
    assert loss_scale(memory, CPU) == 1


def test_scaled_gradients_in_fp16_are_those_of_fp32_where_plain_ones_vanish() -> None:
    """A mean over as many numbers as a clip of 49 frames has, though only few of them are calculated."""
    scale = precision._FP16_LOSS_SCALE  # pyright: ignore[reportPrivateUsage]
    model = transformer()
    exact = _gradient(model, torch.float32)
    scaled = _gradient(model, torch.float16, scale)
    plain = _gradient(model, torch.float16)
    assert _error(scaled, exact) < 0.01
    assert _error(plain, exact) > 3 * _error(scaled, exact)


def _gradient(frozen: torch.nn.Module, dtype: torch.dtype, scale: float = 1.0) -> Tensor:
    model = copy.deepcopy(frozen).to(dtype)
    parameters = add_lora(model, LoraSettings(rank=4, alpha=4), seed=1)
    generator = torch.Generator().manual_seed(2)
    for parameter in parameters:
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.02
    hidden, words, target = (
        torch.randn(1, count, width, generator=generator) for count, width in ((12, 128), (5, 64), (12, 128))
    )
    with autocast_to(dtype, CPU):
        predicted = model(
            hidden_states=hidden.to(dtype),
            encoder_hidden_states=words.to(dtype),
            timestep=torch.tensor([[300.0]]),
            encoder_attention_mask=None,
            num_frames=1, height=3, width=4, return_dict=False,
        )[0]  # fmt: skip
    loss = (predicted.float() - target).square().sum() / (2688 * 128)
    (loss * scale).backward()
    return (
        torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
        / scale
    )


def _error(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())
