"""The measures of a video as the Lab shows them: a name, a figure, and what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ltx_wizard.core.measures import SampleMeasures


@dataclass(frozen=True)
class Figure:
    """note: what the figure is, and what it is to be compared with."""

    name: str
    value: str
    note: str


def figures(measures: SampleMeasures) -> list[Figure]:
    """What was measured, in a fixed order."""
    return list(_figures(measures))


def _figures(measures: SampleMeasures) -> Iterator[Figure]:
    if measures.change is not None:
        note = "Mean absolute difference to the base model's video, of 255."
        yield Figure("change", f"{measures.change:.1f}", note)
    if measures.motion is not None:
        base = _other(measures.motion_of_base, "The base model's", 100, 1, " %")
        note = f"Mean optical flow, in percent of the picture's width a second.{base}"
        yield Figure("motion", f"{100 * measures.motion:.1f} %", note)
    if measures.likeness is not None:
        base = _other(measures.likeness_of_base, "The base model's")
        clips = _other(measures.likeness_of_clips, "Your clips to each other")
        note = f"To the nearest training frame, 0 to 1; near 1 is a copy.{base}{clips}"
        yield Figure("like training", f"{measures.likeness:.2f}", note)
    if measures.sharpness is not None:
        base = _other(measures.sharpness_of_base, "The base model's")
        clips = _other(measures.sharpness_of_training, "Your clips'")
        note = f"Share of the picture's contrast that lies in fine detail, 0 to 1.{base}{clips}"
        yield Figure("sharpness", f"{measures.sharpness:.2f}", note)
    if measures.prompt_agreement is not None:
        base = _other(measures.prompt_agreement_of_base, "The base model's")
        note = f"Mean cosine of prompt and frames, by the CLIP model on this computer.{base}"
        yield Figure("prompt", f"{measures.prompt_agreement:.2f}", note)


def _other(value: float | None, whose: str, times: float = 1, digits: int = 2, unit: str = "") -> str:
    return "" if value is None else f" {whose}: {times * value:.{digits}f}{unit}."
