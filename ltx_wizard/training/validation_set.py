"""At which noise levels, and how often, the validation loss measures a clip. No torch here."""

from __future__ import annotations

import math

SIGMAS = (0.2, 0.4, 0.6, 0.8, 0.95)
"""Evenly over the noise levels, and one where nearly only the words decide."""

_FEWEST_LOSSES = 10
"""Whether a change is more than chance is judged by the spread over single losses: one clip is therefore
measured with two draws of noise. Each is one forward pass, about a quarter of a step with batch 1."""


def draws_of(clips: int) -> int:
    """How many draws of noise each clip is measured with at each level."""
    return math.ceil(_FEWEST_LOSSES / (max(1, clips) * len(SIGMAS)))


def losses_measured(clips: int) -> int:
    """Forward passes of one validation."""
    return clips * len(SIGMAS) * draws_of(clips)
