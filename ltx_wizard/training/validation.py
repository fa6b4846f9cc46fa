"""The validation loss: the same clips, noise levels and noise every time, so that its changes mean the
LoRA. Worker-side.

Neither the recipe's seed nor the step goes into them: the loss of two steps, and of two runs of the same
dataset, is comparable to the last digit. Nothing here touches the random state of training.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import LTXVideoTransformer3DModel

from ltx_wizard.core.events import Validated
from ltx_wizard.core.report import Report, progress
from ltx_wizard.dataset.encode import Example
from ltx_wizard.training.objective import Objective
from ltx_wizard.training.validation_set import SIGMAS, draws_of

STAGE = "Measuring validation loss"


@dataclass(frozen=True)
class Measured:
    """One loss that is measured every time: this clip with this draw of noise at this level."""

    example: Example
    sigma: float
    draw: int


@dataclass(frozen=True)
class FixedSet:
    """All that is measured every time. name: the same where clips, captions, sizes and noise are the same.

    learnt: its clips are trained on.
    """

    measured: tuple[Measured, ...]
    name: str
    learnt: bool

    def summary(self, step: int, losses: Sequence[float]) -> Validated:
        """The event. losses: of each in `measured`, in that order."""
        bands: dict[str, list[float]] = defaultdict(list)
        for item, loss in zip(self.measured, losses, strict=True):
            bands[f"{item.sigma:g}"].append(loss)
        return Validated(
            step=step,
            loss=_mean(losses),
            bands={name: _mean(values) for name, values in bands.items()},
            each=tuple(losses),
            fixed_set=self.name,
            learnt=self.learnt,
        )


def fixed_set(examples: Sequence[Example], most_clips: int, model: str) -> FixedSet:
    """What to measure, of all examples of a run, by noise level. model: the base's name, since a loss belongs
    to it.
    """
    clips = validation_examples(examples, most_clips)
    draws = draws_of(len(clips))
    measured = tuple(
        Measured(clip, sigma, draw) for sigma in SIGMAS for clip in clips for draw in range(draws)
    )
    return FixedSet(measured, _name(measured, model), not clips[0].held_out)


def validation_examples(examples: Sequence[Example], most_clips: int = 8) -> list[Example]:
    """The clips kept out of training; where there are too few clips to keep one out, those that are learnt.
    Of many, `most_clips` evenly over the dataset.
    """
    learnt = [item for item in examples if not item.regularisation and not item.is_copy]
    chosen = [item for item in learnt if item.held_out] or learnt
    count = min(most_clips, len(chosen))
    return [chosen[index * len(chosen) // count] for index in range(count)]


@torch.no_grad()
def validation_loss(
    transformer: LTXVideoTransformer3DModel, objective: Objective, fixed: FixedSet, report: Report
) -> list[float]:
    """The loss of each in `fixed.measured`. Leaves the model in evaluation mode. Raises Cancelled."""
    transformer.eval()
    losses: list[float] = []
    for index, item in enumerate(fixed.measured):
        if index % len(SIGMAS) == 0:  # each is a line in the events file
            progress(report, STAGE, index, len(fixed.measured))
        losses.append(float(objective.fixed_loss(transformer, item.example, item.sigma, item.draw)))
    return losses


def _name(measured: Sequence[Measured], model: str) -> str:
    digest = hashlib.sha256(model.encode())
    for clip in {item.example.clip_id: item.example for item in measured}.values():
        for tensor in (clip.latents, clip.text.embedding):
            digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    for item in measured:
        digest.update(f" {item.example.clip_id} {item.sigma} {item.draw}".encode())
    return digest.hexdigest()[:16]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
