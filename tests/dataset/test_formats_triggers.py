from __future__ import annotations

import pytest

from ltx_wizard.dataset.formats.triggers import find_trigger, without_trigger


@pytest.mark.parametrize("word", ["ohwx7", "sks", "m0nCat", "BW_STYLE", "<cat-toy>"])
def test_an_odd_word_before_every_caption_is_found(word: str) -> None:
    captions = [f"{word} {text}" for text in ("runs fast.", "sits in the sun.", "jumps.")]
    assert find_trigger([*captions, ""]) == word


@pytest.mark.parametrize("between", [" A ", ", a ", ". The "])
def test_a_pronounceable_word_is_found_where_a_sentence_begins_after_it(between: str) -> None:
    assert find_trigger([f"kozufel{between}cat {text}" for text in ("runs.", "sits.", "jumps.")]) == "kozufel"


@pytest.mark.parametrize("text", ["[subject] moves to the left in [setting].", "猫が走る。", "قطة تجري."])
def test_a_draft_and_a_caption_without_capitals_begin_after_it_too(text: str) -> None:
    captions = [f"kozufel {text} {number}" for number in range(3)]
    assert find_trigger(captions) == "kozufel"
    assert without_trigger(captions[0], "kozufel") == f"{text} 0"


@pytest.mark.parametrize(
    "captions",
    [
        ["A cat runs.", "A dog runs.", "A bird flies."],
        ["Cats run home.", "Cats sleep long.", "Cats eat fish."],
        ["Outdoors, a cat runs.", "Outdoors, a dog sits.", "Outdoors, a man walks."],
        ["sks A cat.", "sks A dog.", "A bird."],
        ["sks A cat.", "sks A dog."],
        ["sks", "sks", "sks"],
        [],
    ],
)
def test_ordinary_openings_are_no_trigger(captions: list[str]) -> None:
    assert find_trigger(captions) == ""


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("kozufel A cat runs.", "A cat runs."),
        ("Kozufel, a cat runs.", "a cat runs."),
        ("A cat runs. kozufel", "A cat runs."),
        ("[trigger] A cat runs.", "A cat runs."),
        ("A photo of [trigger] at home.", "A photo of kozufel at home."),
        ("A cat sits beside kozufel.", "A cat sits beside kozufel."),
        ("kozufeling A cat.", "kozufeling A cat."),
        ("Kozufel runs home.", "Kozufel runs home."),
        ("kozufel", "kozufel"),
        ("", ""),
    ],
)
def test_the_word_leaves_the_ends_of_a_caption(caption: str, expected: str) -> None:
    assert without_trigger(caption, "kozufel") == expected


def test_without_a_trigger_only_the_placeholder_goes() -> None:
    assert without_trigger("[trigger], a cat near [trigger] sits.", "") == "a cat near sits."
