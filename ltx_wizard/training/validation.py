"""The validation loss: the same clips, noise levels and noise every time, so that its changes mean the
LoRA. Worker-side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import LTXVideoTransformer3DModel

from ltx_wizard.core.report import Report, progress
from ltx_wizard.dataset.encode import Example
from ltx_wizard.training.objective import Objective

STAGE = "Measuring validation loss"

SIGMAS = (0.2, 0.4, 0.6, 0.8, 0.95)
"""Evenly over the noise levels, and one where nearly only the words decide."""

_MOST_CLIPS = 8
"""Enough for a steady mean; more would cost minutes on large models."""


def validation_examples(examples: Sequence[Example]) -> list[Example]:
    """The clips kept out of training; where there are too few clips to keep one out, the first that are
    learnt.
    """
    learnt = [item for item in examples if not item.regularisation and not item.is_copy]
    held_out = [item for item in learnt if item.held_out]
    return (held_out or learnt)[:_MOST_CLIPS]


@torch.no_grad()
def validation_loss(
    transformer: LTXVideoTransformer3DModel,
    objective: Objective,
    examples: Sequence[Example],
    seed: int,
    report: Report,
) -> float:
    """Mean over clips and SIGMAS. Raises Cancelled."""
    transformer.eval()
    losses: list[float] = []
    for index, example in enumerate(examples):
        progress(report, STAGE, index, len(examples))
        losses += [float(objective.fixed_loss(transformer, example, sigma, seed)) for sigma in SIGMAS]
    return sum(losses) / len(losses)
