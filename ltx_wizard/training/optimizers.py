"""Optimizers and learning rate schedules. Worker-side. A new one is a line in a table here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.recipe import OptimizerSettings, ScheduleSettings

_LINEAR_END = 0.1
"""The linear schedule ends at a tenth, as the official trainer's does.
"""


def build_optimizer(settings: OptimizerSettings, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """Raises NotReady where this computer cannot run the kind."""
    return _OPTIMIZERS[settings.name](settings, parameters)


def learning_rate_at(step: int, steps: int, peak: float, schedule: ScheduleSettings) -> float:
    """The learning rate of optimizer step `step`, counted from 1 to `steps`: warm-up, then the schedule."""
    warmup = min(schedule.warmup_steps, steps - 1)
    if step <= warmup:
        return peak * step / (warmup + 1)
    progress = (step - warmup - 1) / max(1, steps - warmup - 1)
    return peak * _SCHEDULES[schedule.name](progress, schedule.cycles)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def _adamw(settings: OptimizerSettings, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        parameters,
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=parameters[0].is_cuda or None,
    )


def _adamw8bit(settings: OptimizerSettings, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    return _bitsandbytes("AdamW8bit", settings, parameters)


def _paged_adamw8bit(
    settings: OptimizerSettings, parameters: Sequence[nn.Parameter]
) -> torch.optim.Optimizer:
    return _bitsandbytes("PagedAdamW8bit", settings, parameters)


def _bitsandbytes(
    kind: str, settings: OptimizerSettings, parameters: Sequence[nn.Parameter]
) -> torch.optim.Optimizer:
    """One of that library's optimizers, which keep their state in 8 bits."""
    if not parameters[0].is_cuda:
        raise NotReady(
            problem=f"The optimizer {settings.name} needs an NVIDIA card.",
            remedy="Choose 'adamw' in the recipe: the same method in full precision.",
        )
    try:
        from bitsandbytes import optim  # noqa: PLC0415 - not everywhere installed
    except ImportError as error:
        raise NotReady(
            problem=f"The optimizer {settings.name} needs the package bitsandbytes, which is not installed.",
            remedy="Start LTX Wizard with launch.sh or launch.bat again, or choose 'adamw'.",
        ) from error
    made: torch.optim.Optimizer = getattr(optim, kind)(
        list(parameters),
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )
    return made


def _linear(progress: float, _cycles: int) -> float:
    return 1.0 - (1.0 - _LINEAR_END) * progress


def _cosine(progress: float, cycles: int) -> float:
    """From 1 to 0, `cycles` times; the end of the last cycle is 0."""
    if progress >= 1.0:
        return 0.0
    return 0.5 * (1.0 + math.cos(math.pi * ((progress * cycles) % 1.0)))


def _constant(_progress: float, _cycles: int) -> float:
    return 1.0


_OPTIMIZERS: dict[str, Callable[[OptimizerSettings, Sequence[nn.Parameter]], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adamw8bit": _adamw8bit,
    "paged-adamw8bit": _paged_adamw8bit,
}
_SCHEDULES: dict[str, Callable[[float, int], float]] = {
    "linear": _linear,
    "cosine": _cosine,
    "constant": _constant,
}
