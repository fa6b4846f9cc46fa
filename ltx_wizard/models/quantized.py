"""Frozen linear layers stored in 8 or 4 bits. Worker-side.

Formats of optimum-quanto (fp8 e4m3, int8, int4) are quantised by that library and calculated here: its own
kernels on NVIDIA cards are compiled at first use, which needs a compiler that few people have, and they keep
every input for the backward pass. int8 and nf4 of bitsandbytes are that library's layers.

A layer is made from its full weight, or from `parts` that were saved before: named tensors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.recipe_groups import Quantization

KEPT_IN_FULL = ("proj_in", "proj_out", "time_embed*", "caption_projection*", "*norm*", "*scale_shift_table*")
"""Small and sensitive: never quantised. Source: the official trainer's exclusions."""


def is_quantized(name: str, module: nn.Module) -> bool:
    """Whether a layer of this name is stored in fewer bits where the recipe asks for that."""
    return type(module) is nn.Linear and not any(fnmatch(name, pattern) for pattern in KEPT_IN_FULL)


def quantized_layer(
    kind: Quantization, layer: nn.Linear, weight: Tensor, bias: Tensor | None
) -> tuple[nn.Module, dict[str, Tensor]]:
    """A frozen layer like `layer` (only its sizes count) from its weight [out, in], and the parts to save.

    weight and bias are on the device, in the format to calculate in. Raises NotReady where this computer
    lacks the library.
    """
    parts = _KINDS[kind].quantize(weight)
    return restored_layer(kind, layer, parts, bias, weight.dtype), parts


def restored_layer(
    kind: Quantization, layer: nn.Linear, parts: Mapping[str, Tensor], bias: Tensor | None, dtype: torch.dtype
) -> nn.Module:
    """A frozen layer from its saved parts, on their device. dtype: the format to calculate in."""
    restored = _KINDS[kind].restore(layer, parts, dtype)
    restored.register_parameter("bias", None if bias is None else nn.Parameter(bias, requires_grad=False))
    return restored.requires_grad_(False)


class PackedLinear(nn.Linear):
    """y = x W^T + b with W stored as bytes: W = scale * values, or scale * values - shift for int4.

    weight: uint8, the bytes of the values [out, in], for int4 two of them in one byte. scale, shift: [out, 1]
    and none, or [groups, 1] each. W exists only while it is multiplied; nothing but W's bytes is kept for
    the backward pass, because the layer is frozen.
    """

    def __init__(
        self, layer: nn.Linear, values: torch.dtype, parts: Mapping[str, Tensor], dtype: torch.dtype
    ) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.values = values
        self.weight = nn.Parameter(parts["weight"], requires_grad=False)
        self.register_buffer("scale", parts["scale"].to(dtype))
        self.register_buffer("shift", parts["shift"].to(dtype) if "shift" in parts else None)
        self.register_parameter("bias", None)

    def full_weight(self) -> Tensor:
        """W [out, in] in the format to calculate in."""
        scale, shift = cast(Tensor, self.scale), cast("Tensor | None", self.shift)
        if shift is None:
            return self.weight.view(self.values).to(scale.dtype).mul_(scale)
        pairs = torch.stack([self.weight & 15, self.weight >> 4], dim=-1)
        groups = pairs.view(scale.shape[0], -1).to(scale.dtype).mul_(scale).sub_(shift)
        return groups.view(self.out_features, self.in_features)

    def forward(self, input: Tensor) -> Tensor:
        return cast(Tensor, _FrozenMatmul.apply(input, self, self.bias))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, values={self.values}"


class _FrozenMatmul(torch.autograd.Function):
    """The product with a frozen weight: its gradient needs the weight again, and not the input."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, layer: PackedLinear, bias: Tensor | None) -> Tensor:  # noqa: ANN401
        ctx.layer, ctx.dtype = layer, input.dtype
        weight = layer.full_weight()
        return functional.linear(input.to(weight.dtype), weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        weight = ctx.layer.full_weight()
        return torch.matmul(gradients[0].to(weight.dtype), weight).to(ctx.dtype), None, None


@dataclass(frozen=True)
class _Kind:
    """How one format is made and read back."""

    quantize: Callable[[Tensor], dict[str, Tensor]]
    restore: Callable[[nn.Linear, Mapping[str, Tensor], torch.dtype], nn.Module]


def _quanto_8bit(name: str) -> Callable[[Tensor], dict[str, Tensor]]:
    def quantize(weight: Tensor) -> dict[str, Tensor]:
        quanto = _library("optimum.quanto", "optimum-quanto")
        qtype = quanto.qtypes[name]
        scale = quanto.AbsmaxOptimizer()(weight, qtype=qtype, axis=0)
        scale = scale.masked_fill(scale == 0, 1)  # a row of zeros: 0 / 0 is none
        values = torch.ops.quanto.quantize_symmetric(weight, dtype=qtype.dtype, axis=0, scale=scale)
        return {"weight": values.view(torch.uint8), "scale": scale}

    return quantize


def _quanto_int4(weight: Tensor) -> dict[str, Tensor]:
    quanto = _library("optimum.quanto", "optimum-quanto")
    group = _int4_group(weight.shape[1])
    scale, shift = quanto.MaxOptimizer()(weight, qtype=quanto.qint4, axis=0, group_size=group)
    values = torch.ops.quanto.quantize_affine(
        weight, bits=4, axis=0, group_size=group, scale=scale, shift=shift
    )
    pairs = values.view(weight.shape[0], -1, 2)
    return {"weight": pairs[..., 0] | (pairs[..., 1] << 4), "scale": scale, "shift": shift}


def _int4_group(inputs: int) -> int:
    """Weights of a row that share one scale: what optimum-quanto chooses, 128 for all of LTX-Video."""
    if inputs <= 128:
        return inputs
    return next((group for group in (128, 96, 64, 32) if inputs % group == 0), inputs)


def _packed(values: torch.dtype) -> Callable[[nn.Linear, Mapping[str, Tensor], torch.dtype], nn.Module]:
    return lambda layer, parts, dtype: PackedLinear(layer, values, parts, dtype)


def _bnb_int8(weight: Tensor) -> dict[str, Tensor]:
    bnb = _library("bitsandbytes", "bitsandbytes")
    values, scale, _ = bnb.functional.int8_vectorwise_quant(weight.to(torch.float16))
    return {"weight": values, "SCB": scale}


def _restore_bnb_int8(layer: nn.Linear, parts: Mapping[str, Tensor], _dtype: torch.dtype) -> nn.Module:
    bnb = _library("bitsandbytes", "bitsandbytes")
    # It says at every single product that inputs are cast to fp16.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    restored = bnb.nn.Linear8bitLt(
        layer.in_features, layer.out_features, bias=False, has_fp16_weights=False, device="meta"
    )
    values = parts["weight"]
    restored.weight = bnb.nn.Int8Params(
        values, requires_grad=False, has_fp16_weights=False, CB=values, SCB=parts["SCB"]
    )
    return restored


def _bnb_nf4(weight: Tensor) -> dict[str, Tensor]:
    bnb = _library("bitsandbytes", "bitsandbytes")
    values, state = bnb.functional.quantize_4bit(
        weight.contiguous(), blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    return {"weight": values, **state.as_dict(packed=True)}


def _restore_bnb_nf4(layer: nn.Linear, parts: Mapping[str, Tensor], dtype: torch.dtype) -> nn.Module:
    bnb = _library("bitsandbytes", "bitsandbytes")
    restored = bnb.nn.Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=False,
        compute_dtype=dtype,
        compress_statistics=True,
        quant_type="nf4",
        device="meta",
    )
    # On a CPU it would rearrange the weight at the first evaluation, and then cannot train any more.
    restored.support_avx512bf16_for_cpu = False
    values = parts["weight"]
    stats = {name: part for name, part in parts.items() if name != "weight"}
    restored.weight = bnb.nn.Params4bit.from_prequantized(
        values, stats, requires_grad=False, device=values.device, module=restored
    )
    return restored


def _library(module: str, package: str) -> Any:  # noqa: ANN401 - a library without types
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotReady(
            problem=f"This quantisation needs the package {package}, which is not installed.",
            remedy="Start LTX Wizard with launch.sh or launch.bat again, or choose quantization 'none'.",
        ) from error


_KINDS: dict[Quantization, _Kind] = {
    "fp8-quanto": _Kind(_quanto_8bit("qfloat8_e4m3fn"), _packed(torch.float8_e4m3fn)),
    "int8-quanto": _Kind(_quanto_8bit("qint8"), _packed(torch.int8)),
    "int4-quanto": _Kind(_quanto_int4, _packed(torch.uint8)),
    "int8-bnb": _Kind(_bnb_int8, _restore_bnb_int8),
    "nf4-bnb": _Kind(_bnb_nf4, _restore_bnb_nf4),
}
