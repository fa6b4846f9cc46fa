"""Layers in 8 and 4 bits: the library's own weights, ordinary products, and nothing kept for the gradient."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_transformer import FORMATS
from torch import Tensor, nn
from torch.nn import functional

from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.recipe_groups import Quantization
from ltx_wizard.models.quantized import PackedLinear, is_quantized, quantized_layer, restored_layer

QUANTO: tuple[Quantization, ...] = ("fp8-quanto", "int8-quanto", "int4-quanto")
QTYPES = {"fp8-quanto": "qfloat8_e4m3fn", "int8-quanto": "qint8", "int4-quanto": "qint4"}
WIDTHS = [(48, 256), (24, 96), (24, 192), (24, 250)]
"""Outputs and inputs: for int4 groups of 128, a row that is one group, groups of 96, again a row."""


def make(
    kind: Quantization, outputs: int = 48, inputs: int = 256, dtype: torch.dtype = torch.float32
) -> tuple[nn.Module, dict[str, Tensor], Tensor, Tensor]:
    """A layer, its parts, and the weight and bias that it was made of."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(outputs, inputs, generator=generator).to(dtype) * 0.05
    weight[0] *= 40  # a row of another size
    bias = torch.randn(outputs, generator=generator).to(dtype)
    layer, parts = quantized_layer(kind, nn.Linear(inputs, outputs, device="meta"), weight, bias)
    return layer, parts, weight, bias


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """optimum-quanto compiles what unpacks its int4 on a CPU, for two minutes. This does the same."""
    from optimum.quanto.library.extensions import cpp

    def unpack(packed: Tensor, bits: int) -> Tensor:
        return torch.cat([packed & 15, packed >> bits])

    monkeypatch.setattr(cpp.ext, "_lib", SimpleNamespace(unpack=unpack))


def as_optimum_quanto_stores(kind: Quantization, weight: Tensor) -> Tensor:
    """The weight after that library's own way there and back: its layer, its defaults."""
    from optimum.quanto import QLinear, qtypes

    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False).to(weight.dtype)
    layer.weight.data.copy_(weight)
    quantized: Any = QLinear.from_module(layer, weights=qtypes[QTYPES[kind]])
    quantized.freeze()
    return quantized.weight.dequantize()


@pytest.mark.parametrize(("outputs", "inputs"), WIDTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", QUANTO)
def test_the_weight_is_the_one_that_optimum_quanto_stores(
    kind: Quantization, dtype: torch.dtype, outputs: int, inputs: int
) -> None:
    layer, _, weight, _ = make(kind, outputs, inputs, dtype)
    assert isinstance(layer, PackedLinear)
    full = layer.full_weight()
    assert full.dtype is dtype
    assert torch.equal(full, as_optimum_quanto_stores(kind, weight))
    assert not torch.equal(full, weight)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("fp8-quanto", 0.04),
        ("int8-quanto", 0.01),
        ("int4-quanto", 0.16),
        ("int8-bnb", 0.02),
        ("nf4-bnb", 0.16),
    ],
)
def test_a_format_loses_no_more_than_its_bits(kind: Quantization, error: float) -> None:
    layer, _, weight, bias = make(kind)
    input = torch.randn(2, 7, 256, generator=torch.Generator().manual_seed(0))
    plain = functional.linear(input, weight, bias)
    lost = float((layer(input) - plain).norm() / plain.norm())
    assert 0 < lost < error


@pytest.mark.parametrize(("outputs", "inputs"), WIDTHS)
@pytest.mark.parametrize("kind", QUANTO)
def test_product_and_gradient_are_those_of_a_plain_layer_with_that_weight(
    kind: Quantization, outputs: int, inputs: int
) -> None:
    layer, _, _, bias = make(kind, outputs, inputs)
    assert isinstance(layer, PackedLinear)
    input, plain = (torch.linspace(-1, 1, 5 * inputs).view(1, 5, inputs).requires_grad_() for _ in range(2))
    ours, theirs = layer(input), functional.linear(plain, layer.full_weight(), bias)
    towards = torch.randn(ours.shape)
    ours.backward(towards)
    theirs.backward(towards)
    assert input.grad is not None and plain.grad is not None
    assert torch.equal(ours, theirs)
    assert torch.allclose(input.grad, plain.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["int8-bnb", "nf4-bnb"])
def test_layers_of_bitsandbytes_have_a_gradient_towards_their_input(kind: Quantization) -> None:
    layer, _, weight, _ = make(kind)
    input = torch.randn(1, 5, 256, requires_grad=True)
    layer(input).sum().backward()
    assert input.grad is not None
    expected = weight.sum(0)
    assert float((input.grad[0, 0] - expected).norm() / expected.norm()) < 0.15


@pytest.mark.parametrize("kind", QUANTO)
def test_nothing_of_the_input_is_kept_for_the_gradient(kind: Quantization) -> None:
    layer, _, _, _ = make(kind)
    input = torch.randn(1, 5, 256, requires_grad=True)
    assert saved_by(lambda: layer(input)) == 0
    plain = nn.Linear(256, 48)
    assert saved_by(lambda: plain(input)) > 0  # the hook does see what is kept


def saved_by(calculate: Any) -> int:
    """How many tensors a calculation keeps for its backward pass."""
    kept: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        kept.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        calculate()
    return len(kept)


@pytest.mark.parametrize("kind", QUANTO)
def test_an_input_of_another_format_gets_its_gradient_in_its_own(kind: Quantization) -> None:
    """As under autocast: a layer in bf16, an input in fp32."""
    layer, _, _, _ = make(kind, dtype=torch.bfloat16)
    input = torch.randn(1, 5, 256, requires_grad=True)
    output = layer(input)
    output.sum().backward()
    assert output.dtype is torch.bfloat16
    assert input.grad is not None
    assert input.grad.dtype is torch.float32


@pytest.mark.parametrize("kind", FORMATS)
def test_a_layer_comes_back_from_its_parts(kind: Quantization) -> None:
    layer, parts, _, bias = make(kind)
    copies = {name: part.clone() for name, part in parts.items()}
    again = restored_layer(kind, nn.Linear(256, 48, device="meta"), copies, bias, torch.float32)
    input = torch.randn(1, 5, 256)
    assert torch.equal(layer(input), again(input))
    assert not any(parameter.requires_grad for parameter in again.parameters())


@pytest.mark.parametrize(
    ("kind", "bytes_each"),
    [("fp8-quanto", 1.0), ("int8-quanto", 1.0), ("int4-quanto", 0.5), ("int8-bnb", 1.0), ("nf4-bnb", 0.5)],
)
def test_a_weight_takes_the_room_of_its_bits(kind: Quantization, bytes_each: float) -> None:
    _, parts, weight, _ = make(kind, 512, 512)
    stored = sum(part.nbytes for part in parts.values())
    assert bytes_each <= stored / weight.numel() < bytes_each * 1.15


def test_a_layer_without_bias_has_none() -> None:
    plain = nn.Linear(256, 48, bias=False, device="meta")
    layer, _ = quantized_layer("fp8-quanto", plain, torch.randn(48, 256), None)
    assert layer.bias is None
    assert layer(torch.zeros(1, 256)).abs().sum() == 0


def test_zeros_stay_zeros() -> None:
    for kind in QUANTO:
        layer, _ = quantized_layer(kind, nn.Linear(256, 48, device="meta"), torch.zeros(48, 256), None)
        assert layer(torch.ones(1, 256)).abs().sum() == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("transformer_blocks.0.attn1.to_q", True),
        ("transformer_blocks.27.ff.net.0.proj", True),
        ("transformer_blocks.3.attn2.to_out.0", True),
        ("proj_in", False),
        ("proj_out", False),
        ("time_embed.emb.timestep_embedder.linear_1", False),
        ("caption_projection.linear_1", False),
    ],
)
def test_only_layers_inside_blocks_are_quantised(name: str, expected: bool) -> None:
    assert is_quantized(name, nn.Linear(2, 2)) is expected


def test_only_plain_layers_are_quantised() -> None:
    layer, _, _, _ = make("int8-quanto")
    assert not is_quantized("transformer_blocks.0.attn1.norm_q", nn.RMSNorm(4))
    assert not is_quantized("transformer_blocks.0.attn1.to_q", layer)


@pytest.mark.parametrize(("kind", "module"), [("fp8-quanto", "optimum.quanto"), ("nf4-bnb", "bitsandbytes")])
def test_a_library_that_is_missing_is_named(
    kind: Quantization, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotReady, match=r"package (optimum-quanto|bitsandbytes), which is not installed"):
        make(kind)
