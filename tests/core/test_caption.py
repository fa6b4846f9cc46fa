from __future__ import annotations

import pytest

from ltx_wizard.core.caption import (
    MAX_WORDS,
    clean_caption,
    flatten,
    has_slots,
    lint,
    whole_sentences,
    word_count,
)

GOOD = "A brown dog runs along a sandy beach towards the sea. The camera is static. The light is warm."


def rules(text: str) -> set[str]:
    return {item.rule for item in lint(text)}


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("<think>A dog? Yes.</think> A dog runs.", "A dog runs."),
        ("so it is a dog</think>A dog runs.", "A dog runs."),
        ("```\nA dog runs.\n```", "A dog runs."),
        ("The video shows a dog running.", "A dog running."),
        ("In this clip, we see a dog running.", "A dog running."),
        ("Sure! Here is the caption: a dog runs.", "A dog runs."),
        ("A dog\n\nruns  <b>fast</b> &amp; far.", "A dog runs fast & far."),
        ('"A dog runs."', "A dog runs."),
        ("The scene changes to night.", "The scene changes to night."),
        ("The video camera pans left.", "The video camera pans left."),
        ("", ""),
    ],
)
def test_answers_of_models_are_tidied(answer: str, caption: str) -> None:
    assert clean_caption(answer) == caption


def test_long_text_ends_with_a_whole_sentence() -> None:
    text = "This is one sentence. " * 80
    shortened = whole_sentences(text)
    assert word_count(shortened) <= MAX_WORDS
    assert shortened.endswith("sentence.")
    assert word_count(whole_sentences("word " * 300)) == MAX_WORDS


def test_flattening_keeps_all_languages_and_emoji() -> None:
    for text in ("Ein Hund läuft.", "犬が走る。", "كلب يجري", "Family 👩‍👩‍👧 ❤️", "3 < 5 and 7 > 2"):
        assert flatten(text) == text


def test_escaped_tags_do_not_come_to_life() -> None:
    assert flatten("a &lt;script&gt;alert(1)&lt;/script&gt; dog") == "a alert(1) dog"


def test_a_good_caption_has_nothing_to_change() -> None:
    assert lint(GOOD) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "missing"),
        ("A dog.", "short"),
        ("word " * 201, "long"),
        (f"{GOOD}\nMore.", "markup"),
        ("[subject] moves to the left in [setting]. The camera is static.", "slots"),
        (f"The video shows a dog. {GOOD}", "opener"),
        ("I'm sorry, I can't describe the camera in this one.", "refusal"),
        ("A brown dog runs along a sandy beach towards the sea.", "camera"),
        (f"{GOOD} The camera is static.", "repeats"),
        ("A brown dog runs along a beach while the camera", "cut_off"),
    ],
)
def test_each_rule_is_found(text: str, rule: str) -> None:
    assert rule in rules(text)


def test_brackets_with_other_content_are_not_slots() -> None:
    assert has_slots("[subject] runs")
    assert not has_slots("A sign reads [EXIT 24].")
