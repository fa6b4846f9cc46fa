"""What is made of the samples when a LoRA is measured."""

from __future__ import annotations

import numpy as np
import pytest

from ltx_wizard.core.run import MeasurePrompt
from ltx_wizard.sampling.concept import _Key, summarise
from ltx_wizard.sampling.measures import dark_border_share

PROMPTS = (MeasurePrompt(text="{trigger} A red circle.", object_colour="red"),)


def _clip(ground: int) -> np.ndarray:
    frames = np.full((3, 96, 96, 3), ground, np.uint8)
    frames[:, 40:60, 40:60] = (219, 30, 30)
    return frames


def test_each_figure_comes_from_its_own_samples() -> None:
    clips = {
        _Key(0, 1, triggered=True, with_lora=False): _clip(200),
        _Key(0, 1, triggered=True, with_lora=True): _clip(10),
        _Key(0, 1, triggered=False, with_lora=False): _clip(200),
        _Key(0, 1, triggered=False, with_lora=True): _clip(190),
    }
    figures = summarise(clips, PROMPTS, dark_border_share)
    assert figures["concept_before"] == 0.0
    assert figures["concept_after"] == 1.0
    assert figures["untriggered_change"] == 0.0
    assert figures["untriggered_pixel_change"] == pytest.approx(10 * (1 - 400 / 96**2))
    assert figures["object_kept"] == 1.0


def test_a_lora_that_works_without_its_trigger_is_told_by_the_untriggered_change() -> None:
    clips = {
        _Key(0, 1, triggered, with_lora): _clip(10 if with_lora else 200)
        for triggered in (True, False)
        for with_lora in (True, False)
    }
    assert summarise(clips, PROMPTS, dark_border_share)["untriggered_change"] == 1.0
