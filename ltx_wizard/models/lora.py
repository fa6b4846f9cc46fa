"""A LoRA on a transformer: adding it, its weights by name, and putting weights back. Worker-side.

Names are those of diffusers files: 'transformer.transformer_blocks.0.attn1.to_q.lora_A.weight'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from ltx_wizard.core.errors import BadInput, BadSetting
from ltx_wizard.core.recipe import LoraSettings

ADAPTER = "wizard"
PREFIX = "transformer."


def add_lora(transformer: Any, settings: LoraSettings, seed: int) -> list[nn.Parameter]:  # noqa: ANN401 - a diffusers model
    """Freeze the model and put a LoRA on it: A random by the seed, B zero, both fp32 whatever the base is
    stored in.

    Gives the parameters to train, in a fixed order. Raises BadSetting if no layer has one of the names.
    """
    transformer.requires_grad_(False)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # pyright: ignore[reportArgumentType] - peft takes fractions as well
        lora_dropout=settings.dropout,
        target_modules=list(settings.target_modules),
        init_lora_weights=True,
    )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            transformer.add_adapter(config, adapter_name=ADAPTER)
    except ValueError as error:
        raise BadSetting(
            problem=f"This model has no layers called {' '.join(settings.target_modules)}.",
            remedy="Set the target modules back to their default.",
        ) from error
    # bf16 has steps of 2^-8: late, small updates would be rounded away.
    parameters = lora_parameters(transformer)
    for parameter in parameters:
        parameter.data = parameter.data.to(transformer.proj_in.weight.device, torch.float32)
    return parameters


def lora_parameters(transformer: nn.Module) -> list[nn.Parameter]:
    """What is trained, in the order of the model's layers."""
    return [parameter for parameter in transformer.parameters() if parameter.requires_grad]


def lora_weights(transformer: nn.Module) -> dict[str, Tensor]:
    """A copy of the LoRA's weights on the CPU, fp32, under the names of a diffusers file."""
    state = get_peft_model_state_dict(transformer, adapter_name=ADAPTER)
    return {f"{PREFIX}{name}": value.detach().float().cpu().clone() for name, value in state.items()}


def set_lora_weights(transformer: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put weights back. Raises BadInput where they do not belong to this LoRA."""
    expected = lora_weights(transformer)
    differing = sorted(set(expected) ^ set(weights)) or sorted(
        name for name in expected if expected[name].shape != weights[name].shape
    )
    if differing:
        raise BadInput(
            problem=f"These LoRA weights do not belong to this recipe and model ({differing[0]}).",
            remedy="Use the run that they came from.",
        )
    set_peft_model_state_dict(
        transformer,
        {name.removeprefix(PREFIX): value for name, value in weights.items()},
        adapter_name=ADAPTER,
    )


def folded(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Weights with `scale` multiplied into every B, so that programs which know no alpha apply the same
    update.
    """
    return {
        name: value * scale if name.endswith("lora_B.weight") else value for name, value in weights.items()
    }
