"""What was measured on a sample video, and what that means in words.

The limits here are the only ones. Where they come from stands beside each: benchmarks/measures.py measures
what they rest on.
"""

from __future__ import annotations

from pydantic import Field

from ltx_wizard.core.documents import Document

STATIC_SHARE = 0.5
"""Below this share of the base model's motion a sample is called static output. For eight of ten
moving cameras the amount found is 0.77 to 1.07 of the true one, so half is a difference to rely on.
"""

LIVELY_SHARE = 2.0
STILL = 0.003
"""Frame widths a second: less is a still picture, with the base model or without it. Still clips with noise
measure 0.000 to 0.001, a camera that moves by half a percent of the width each second 0.003 to 0.005.
"""

COPIED = 0.9
"""Most degraded copies of training frames reach this, and no fresh frame of the same concept, film or
photograph did. A whole clip that by chance looks like a trained one can: there 0.99 was seen.
"""

CLOSE = 0.75
"""Between this and COPIED lie strongly degraded copies and the most similar fresh frames (0.83 at most)."""

SOFT_SHARE, CRISP_SHARE = 0.8, 1.3
"""Of the base model's sharpness: a Gaussian of 1.2 pixels takes 13 to 28 % off."""

SAME_LEVELS = 1.0
"""Of 255: two writings of one video differ by up to about that."""


class SampleMeasures(Document):
    """The measures of one sample. None: not measured, for want of what it is measured against.

    The base is the base model's sample with the same prompt and seed.
    """

    motion: float | None = Field(
        default=None,
        description="Amount of motion: the mean length of the optical flow over all pixels and frames, in "
        "frame widths a second. 0.1: on average the picture moves by a tenth of its width each second.",
    )
    motion_of_base: float | None = Field(default=None, description="The same, of the base.")
    likeness: float | None = Field(
        default=None, description="To the nearest training frame, 0 to 1; the highest of some of its frames."
    )
    likeness_of_base: float | None = Field(default=None, description="The same, of the base.")
    likeness_of_clips: float | None = Field(
        default=None, description="Of training clips to each other: the highest of some. None with one clip."
    )
    nearest: str = Field(default="", description="Id of the clip that holds the nearest training frame.")
    nearest_s: float = Field(default=0.0, description="Where in that clip the frame is, in seconds.")
    sharpness: float | None = Field(
        default=None,
        description="Share of the contrast that lies in fine detail, less the noise, 0 to 1. To compare "
        "videos of one size and of like content.",
    )
    sharpness_of_base: float | None = Field(default=None, description="The same, of the base.")
    sharpness_of_training: float | None = Field(
        default=None, description="The same, of the training clips at this size: the median."
    )
    change: float | None = Field(
        default=None, description="Mean absolute difference to the base, in steps of 0 to 255."
    )
    prompt_agreement: float | None = Field(
        default=None, description="Mean cosine of prompt and frames by a CLIP model; None: none is here."
    )
    prompt_agreement_of_base: float | None = Field(default=None, description="The same, of the base.")


def readings(measures: SampleMeasures) -> list[str]:
    """What stands out, a sentence each; most important first, empty where nothing does."""
    found = (_likeness(measures), _motion(measures), _sharpness(measures), _change(measures))
    return [text for text in found if text]


def _likeness(measures: SampleMeasures) -> str:
    if measures.likeness is None or measures.likeness < CLOSE:
        return ""
    where = f"a training frame of {measures.nearest}, at {measures.nearest_s:.1f} s"
    if measures.likeness_of_clips is not None and measures.likeness_of_clips >= measures.likeness:
        return f"Like {where}; but your clips are as like each other."
    if measures.likeness_of_base is not None and measures.likeness_of_base >= measures.likeness:
        return f"Like {where}; but so is what the base model makes."
    if measures.likeness >= COPIED:
        return f"Nearly the same as {where}: memorised."
    return f"Close to {where}."


def _motion(measures: SampleMeasures) -> str:
    motion, base = measures.motion, measures.motion_of_base
    if motion is None:
        return ""
    if motion < STILL and (base is None or base >= STILL):
        return "Does not move: static output." if base is not None else "Does not move."
    if base is None or base < STILL:
        return ""
    if motion < STATIC_SHARE * base:
        return f"Moves {_share(motion / base)} as much as the base model: static output."
    if motion > LIVELY_SHARE * base:
        return f"Moves {motion / base:.0f} times as much as the base model."
    return ""


def _sharpness(measures: SampleMeasures) -> str:
    mine, base, clips = measures.sharpness, measures.sharpness_of_base, measures.sharpness_of_training
    if mine is None or base is None or base <= 0:
        return ""
    if mine < SOFT_SHARE * base:
        also = " Your clips are soft as well." if clips is not None and clips < SOFT_SHARE * base else ""
        return f"Softer than the base model: {mine / base:.0%} of its sharpness.{also}"
    if mine > CRISP_SHARE * base:
        return f"Sharper than the base model: {mine / base:.0%} of its sharpness."
    return ""


def _change(measures: SampleMeasures) -> str:
    if measures.change is None or measures.change >= SAME_LEVELS:
        return ""
    return "The same as the base model's video: the LoRA does nothing here yet."


def _share(share: float) -> str:
    """0.34: 'a third'."""
    words = ((0.1, "a tenth"), (0.2, "a fifth"), (0.25, "a quarter"), (1 / 3, "a third"), (0.4, "two fifths"))
    value, text = min(words, key=lambda item: abs(item[0] - share))
    if abs(value - share) < 0.03:
        return text
    return "less than a tenth" if share < 0.1 else f"{share:.0%}"
