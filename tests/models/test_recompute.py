"""Activations that are calculated twice: the same gradients, for less memory."""

from __future__ import annotations

import pytest
import tiny_transformer as tiny
import torch
from diffusers import LTXVideoTransformer3DModel
from tiny_transformer import FORMATS
from torch import Tensor

from ltx_wizard.core.recipe import LoraSettings
from ltx_wizard.core.recipe_groups import Quantization
from ltx_wizard.models.lora import add_lora
from ltx_wizard.models.quantized import is_quantized, quantized_layer
from ltx_wizard.models.recompute import enable_recompute


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def quantised(kind: Quantization) -> LTXVideoTransformer3DModel:
    model = tiny.transformer()
    for name, layer in [item for item in model.named_modules() if is_quantized(*item)]:
        assert isinstance(layer, torch.nn.Linear)
        owner, _, field = name.rpartition(".")
        made, _ = quantized_layer(kind, layer, layer.weight.detach(), layer.bias.detach())
        setattr(model.get_submodule(owner), field, made)
    return model


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_those_without_recompute(dropout: float) -> None:
    plain = tiny.with_lora(tiny.transformer(), dropout)
    recomputed = tiny.with_lora(tiny.transformer(), dropout)
    enable_recompute(recomputed, dropout=dropout > 0)
    for seed in range(2):
        assert same(tiny.gradients(plain, seed), tiny.gradients(recomputed, seed))


def test_dropout_that_is_not_announced_would_be_another_one() -> None:
    """So the test above does see whether random numbers are the same both times."""
    plain, recomputed = (tiny.with_lora(tiny.transformer(), 0.4) for _ in range(2))
    enable_recompute(recomputed, dropout=False)
    assert not same(tiny.gradients(plain), tiny.gradients(recomputed))


@pytest.mark.parametrize("kind", FORMATS)
def test_gradients_are_those_without_recompute_in_every_format(kind: Quantization) -> None:
    plain, recomputed = (tiny.with_lora(quantised(kind)) for _ in range(2))
    enable_recompute(recomputed, dropout=False)
    assert same(tiny.gradients(plain), tiny.gradients(recomputed))


def test_the_first_block_is_trained_as_well() -> None:
    """Nothing before it wants a gradient, and torch skips a block whose input wants none."""
    model = tiny.with_lora(tiny.transformer())
    enable_recompute(model, dropout=False)
    first = [value for name, value in tiny.gradients(model).items() if "transformer_blocks.0." in name]
    assert len(first) == 16
    assert all(float(value.abs().max()) > 0 for value in first)


def test_a_lora_before_the_blocks_gets_its_gradient() -> None:
    found = []
    for recompute in (False, True):
        model = tiny.transformer()
        add_lora(model, LoraSettings(rank=4, alpha=4, target_modules=("proj_in", "linear_1", "to_q")), seed=0)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data.fill_(0.05)
        if recompute:
            enable_recompute(model, dropout=False)
        found.append(tiny.gradients(model))
    assert any("proj_in" in name for name in found[0])
    assert any("caption_projection" in name for name in found[0])
    plain, recomputed = found
    for name, value in plain.items():  # what comes from several blocks is added up in another order
        assert torch.allclose(recomputed[name], value, rtol=1e-4, atol=1e-7), name


def test_a_block_is_calculated_twice_in_training_and_once_without_gradients() -> None:
    model = tiny.with_lora(tiny.transformer())
    enable_recompute(model, dropout=False)
    calls: list[bool] = []
    model.transformer_blocks[1].register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    tiny.gradients(model)
    assert calls == [False, True]
    calls.clear()
    with torch.no_grad():
        tiny.predict(model)
    assert calls == [False]


def test_the_first_pass_keeps_nothing_of_the_blocks() -> None:
    kept = {}
    for recompute in (False, True):
        model = tiny.with_lora(tiny.transformer(4)).train()
        if recompute:
            enable_recompute(model, dropout=False)
        kept[recompute] = bytes_kept_by(model)
    assert kept[True] < kept[False] / 5


def bytes_kept_by(model: LTXVideoTransformer3DModel) -> int:
    """For the backward pass, weights aside."""
    weights = {value.untyped_storage().data_ptr() for value in model.parameters()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        address = value.untyped_storage().data_ptr()
        if address not in weights:
            kept[address] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        output = tiny.predict(model)
    assert output.requires_grad
    return sum(kept.values())


def test_it_can_be_switched_off_again() -> None:
    model = tiny.with_lora(tiny.transformer())
    expected = tiny.gradients(model)
    enable_recompute(model, dropout=False)
    assert same(tiny.gradients(model), expected)
    model.disable_gradient_checkpointing()
    calls: list[int] = []
    model.transformer_blocks[0].register_forward_hook(lambda *_: calls.append(1))
    assert same(tiny.gradients(model), expected)
    assert len(calls) == 1


def test_autocast_holds_in_both_passes() -> None:
    model = tiny.with_lora(tiny.transformer())
    enable_recompute(model, dropout=False)
    formats: list[torch.dtype] = []
    model.transformer_blocks[0].attn1.to_q.register_forward_hook(
        lambda _module, _inputs, output: formats.append(output.dtype)
    )
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        output = tiny.predict(model)
    output.float().square().mean().backward()
    assert formats == [torch.bfloat16] * 2
