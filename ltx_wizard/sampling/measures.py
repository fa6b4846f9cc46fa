"""What can be read off a sampled clip without a model: motion, likeness, sharpness and change, how dark its
border is, the colour of its object.

All clips are uint8 [F, H, W, 3]. No torch here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ltx_wizard.core.measures import SampleMeasures
from ltx_wizard.sampling.frames import Frames
from ltx_wizard.sampling.likeness import TrainingIndex
from ltx_wizard.sampling.motion_amount import motion_amount
from ltx_wizard.sampling.sharpness import sharpness

COLOUR_VALUES: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.12, 0.12),
    "orange": (0.98, 0.55, 0.08),
    "yellow": (0.98, 0.90, 0.15),
    "green": (0.12, 0.65, 0.20),
    "cyan": (0.10, 0.80, 0.85),
    "blue": (0.13, 0.25, 0.88),
    "purple": (0.52, 0.16, 0.72),
    "pink": (0.98, 0.45, 0.72),
    "white": (0.97, 0.97, 0.97),
    "brown": (0.45, 0.26, 0.10),
    "black": (0.05, 0.05, 0.05),
}
"""The named colours of the embedded model's training clips, 0 to 1."""

_BORDER_PX = 16
_DARK_BELOW = 0.2
_STANDS_OUT = 0.22
_BRIGHTNESS_WEIGHT = 0.35
_MIN_OBJECT_SHARE = 0.002


def measure_sample(
    frames: Frames,
    base_frames: Frames | None,
    index: TrainingIndex | None,
    fps: float,
    leave_out: str = "",
) -> SampleMeasures:
    """All measures that need no model. With a base, five seconds of 768 x 512 take two of one processor.

    frames: uint8 [F, H, W, 3]. base_frames: the base model's sample with the same prompt and seed. index: of
    the training frames. leave_out: the clip that the sample started from, which does not count for likeness.
    """
    near = index.nearest(frames, leave_out) if index is not None else None
    measures = SampleMeasures(
        motion=motion_amount(frames, fps),
        sharpness=sharpness(frames),
        likeness=near.likeness if near is not None else None,
        nearest=near.clip_id if near is not None else "",
        nearest_s=near.time_s if near is not None else 0.0,
        likeness_of_clips=index.of_clips if index is not None else None,
        sharpness_of_training=index.sharpness if index is not None else None,
    )
    if base_frames is None:
        return measures
    base_near = index.nearest(base_frames, leave_out) if index is not None else None
    return measures.model_copy(
        update={
            "motion_of_base": motion_amount(base_frames, fps),
            "sharpness_of_base": sharpness(base_frames),
            "likeness_of_base": base_near.likeness if base_near is not None else None,
            "change": mean_absolute_change(frames, base_frames)
            if frames.shape == base_frames.shape
            else None,
        }
    )


def dark_border_share(frames: Frames) -> float:
    """Share of the pixels in the outer 16-pixel border, over all frames, whose mean brightness is under
    .2.
    """
    inside = np.zeros(frames.shape[1:3], dtype=bool)
    inside[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = True
    brightness = frames[:, ~inside].mean(axis=-1) / 255.0
    return float((brightness < _DARK_BELOW).mean())


def object_has_colour(frames: Frames, colour_name: str) -> bool:
    """Whether what stands out from the ground has the named colour, and not nearer another of COLOUR_VALUES.

    Works for filled objects on light grounds and for glowing outlines on dark ones. False where nothing
    stands out. Raises KeyError for a name that is not in COLOUR_VALUES.
    """
    return colour_name in object_colours(frames, {colour_name: COLOUR_VALUES[colour_name]} | COLOUR_VALUES)


def object_colours(frames: Frames, colours: dict[str, tuple[float, float, float]] | None = None) -> list[str]:
    """Names of the colours of what stands out from the ground: the most frequent one, and every one that at
    least a third as many pixels have. Empty where nothing stands out. frames: [F, H, W, 3].
    """
    named = colours or COLOUR_VALUES
    pixels = frames.astype(np.float32) / 255.0
    distance = np.linalg.norm(pixels - _ground(pixels), axis=-1)
    strong = distance > max(_STANDS_OUT, 0.45 * float(np.quantile(distance, 0.995)))
    if strong.mean() < _MIN_OBJECT_SHARE:
        return []
    nearest = _nearest_names(pixels[strong], np.array(list(named.values()), dtype=np.float32))
    votes = np.bincount(nearest, minlength=len(named))
    order = np.argsort(-votes)
    return [list(named)[i] for i in order if votes[i] >= max(1, votes[order[0]] / 3)]


def mean_absolute_change(first: Frames, second: Frames) -> float:
    """Mean absolute difference of two clips of one shape, in steps of 0 to 255."""
    return float(np.abs(first.astype(np.int16) - second.astype(np.int16)).mean())


def _ground(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The ground's colour per frame, [F, 1, 1, 3]: the median of the picture's border."""
    inside = np.zeros(pixels.shape[1:3], dtype=bool)
    inside[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = True
    return np.median(pixels[:, ~inside], axis=1)[:, None, None]


def _nearest_names(pixels: NDArray[np.float32], named: NDArray[np.float32]) -> NDArray[np.intp]:
    """Index of the named colour nearest to each pixel, [P]. Hue counts more than brightness, so that a dim
    or a pale glow keeps its name. pixels: [P, 3]; named: [N, 3].
    """
    pure, brightness = _pure(pixels)
    named_pure, named_brightness = _pure(named)
    hue = np.linalg.norm(pure[:, None] - named_pure[None], axis=-1)
    light = np.abs(brightness[:, None] - named_brightness[None])
    return np.argmin(hue + _BRIGHTNESS_WEIGHT * light, axis=1)


def _pure(colours: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colour without its brightness, [P, 3] with a largest channel of 1, and the brightness [P]."""
    brightness = colours.max(axis=-1)
    lifted = colours + 0.03 * (1.0 - brightness[:, None])
    return lifted / lifted.max(axis=-1, keepdims=True), brightness
