"""What models answered: captions, and what is none, as they write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ltx_wizard.captioning.answer import caption_in

CAPTIONS: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[1] / "core" / "lint_captions.yaml").read_text(encoding="utf-8")
)

GOOD = (
    "A woman in a red coat walks over a stone bridge and stops at its middle. Her hair lifts in the wind. "
    "The camera follows her from behind. Grey light falls from the sky."
)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with identifying people in images.",
        "I’m sorry, I can’t assist with that request.",
        "I apologize, but I'm not able to provide a description of this content.",
        "Unfortunately, I can't provide a caption because the frames are too dark.",
        "There is no video provided. Please share the video frames.",
        "I don't see any images in your message. Could you please share them?",
        "The provided frames are completely black, so no description can be given.",
        "It looks like you've shared several frames. What would you like me to do with them?",
        "As an AI language model, I cannot watch videos.",
    ],
)
def test_excuses_are_no_captions(answer: str) -> None:
    assert caption_in(answer)[1] == "an excuse instead of a caption"


def test_an_excuse_among_what_is_described_goes_and_the_rest_stays() -> None:
    assert caption_in(f"{GOOD} I cannot identify the person in this video.") == (GOOD, "")
    assert caption_in(f"I'm unable to identify her. {GOOD}") == (GOOD, "")
    said = f'{GOOD} She says "I cannot see the video".'
    assert caption_in(said) == (said, "")


@pytest.mark.parametrize(
    "loop",
    [
        "and looks to the left and looks to the right ",
        "and then the man in the blue shirt turns around and the man in the red shirt turns around ",
        "the " * 4,
    ],
)
def test_words_that_go_round_are_no_caption(loop: str) -> None:
    assert caption_in("A cat sits on a sofa " + loop * 8)[1] == "the same words over and over"


def test_a_whole_sentence_that_comes_again_is_dropped_once() -> None:
    assert caption_in(f"{GOOD} {GOOD}") == (GOOD, "")


@pytest.mark.parametrize("answer", ["", "<think>The frames show", "```\n```", "#### !!! ***** ???? ----"])
def test_nothing_and_signs_are_no_captions(answer: str) -> None:
    assert caption_in(answer)[1]


@pytest.mark.parametrize(
    "entry", [*CAPTIONS["good"], *CAPTIONS["good_later"]], ids=lambda entry: entry["text"][:40]
)
def test_a_good_caption_comes_through_as_it_is(entry: dict[str, Any]) -> None:
    text = entry["text"][:1].upper() + entry["text"][1:]
    assert caption_in(text) == (text, "")


def test_what_somebody_says_in_a_clip_is_no_excuse() -> None:
    said = '"I can\'t see you," says the boy in a dark cellar. His torch dies. The camera is static.'
    assert caption_in(said) == (said, "")
