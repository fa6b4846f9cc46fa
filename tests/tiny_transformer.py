"""A transformer of the real architecture with random weights, on disk and in use: 2 blocks, 128 wide."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import LTXVideoTransformer3DModel
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import random_models

from ltx_wizard.core.recipe import LoraSettings
from ltx_wizard.models.lora import add_lora, lora_parameters

CPU = torch.device("cpu")
FORMATS = ("fp8-quanto", "int8-quanto", "int4-quanto", "int8-bnb", "nf4-bnb")


def write_folder(folder: Path, shard_bytes: int = 10**9, dtype: torch.dtype = torch.float32) -> Path:
    """In diffusers layout; in several files where they may not be as large."""
    return random_models.write_transformer(folder, "tiny", dtype=dtype, shard_bytes=shard_bytes)


def write_single_file(folder: Path) -> Path:
    """As Lightricks names and stores it."""
    return random_models.write_transformer(folder, "tiny", "single-file", dtype=torch.float32)


def transformer(layers: int = 2) -> LTXVideoTransformer3DModel:
    """In memory, fp32, frozen."""
    sizes = random_models.transformer_config("tiny") | {"num_layers": layers}
    model = LTXVideoTransformer3DModel(**sizes)
    for name, value in model.state_dict().items():
        random_models._fill(name, value)
    return model.eval().requires_grad_(False)


def predict(model: LTXVideoTransformer3DModel, seed: int = 0) -> Tensor:
    """For fixed random tokens and words, [1, 12, 128], in the model's number format."""
    generator = torch.Generator().manual_seed(seed)
    device, dtype = model.proj_in.weight.device, model.proj_in.weight.dtype

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, dtype)

    mask: Any = None
    return model(
        hidden_states=random(1, 12, 128),
        encoder_hidden_states=random(1, 5, 64),
        timestep=torch.tensor([[300.0]], device=device),
        encoder_attention_mask=mask,
        num_frames=1,
        height=3,
        width=4,
        return_dict=False,
    )[0]


def with_lora(model: LTXVideoTransformer3DModel, dropout: float = 0.0) -> LTXVideoTransformer3DModel:
    """A LoRA of rank 4 whose B is not zero, so that every part of it has a gradient."""
    add_lora(model, LoraSettings(rank=4, alpha=4, dropout=dropout), seed=0)
    generator = torch.Generator().manual_seed(1)
    for parameter in lora_parameters(model):
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def gradients(model: LTXVideoTransformer3DModel, seed: int = 0) -> dict[str, Tensor]:
    """Of the LoRA, by name, for one step in training mode; dropout follows from the seed."""
    model.train()
    model.zero_grad(set_to_none=True)
    torch.manual_seed(seed)
    predict(model, seed).float().square().mean().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert all(value is not None for value in found.values())
    return {name: value.detach().clone() for name, value in found.items() if value is not None}
