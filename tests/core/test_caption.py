from __future__ import annotations

import pytest

from ltx_wizard.core.caption import (
    MAX_WORDS,
    clean_caption,
    flatten,
    has_slots,
    whole_sentences,
    word_count,
)


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
        ("<think>never closed A dog", ""),
        ('{"caption": "A dog runs."}', "A dog runs."),
        ('```json\n{"caption": "A dog runs. It stops."}\n```', "A dog runs. It stops."),
        ('{"caption": "A dog runs. It sto', "A dog runs."),
        ('{"action": "a dog runs", "lighting": "soft"}', "A dog runs. The light is soft."),
        ("- A dog runs\n- It jumps over a wall", "A dog runs. It jumps over a wall."),
        (
            "Here is a detailed description:\n1. **Action:** A dog runs\n2. **Camera:** static",
            "A dog runs. Camera: static.",
        ),
        ("**Caption**\nA dog runs. It jumps.", "A dog runs. It jumps."),
        ("A dog runs. It jumps. A dog runs. A dog runs. A do", "A dog runs. It jumps."),
        ("A dog runs. Let me know if you want it shorter!", "A dog runs."),
        ("Based on the provided frames, a dog runs.", "A dog runs."),
        ("This is a video of a dog on a beach.", "A dog on a beach."),
        ('"A sign reads "STOP" and a dog runs."', 'A sign reads "STOP" and a dog runs.'),
        ('A sign reads "STOP."', 'A sign reads "STOP."'),
        ("'The dog's ball rolls.'", "The dog's ball rolls."),
        ("A close-up shot of a dog.", "A close-up shot of a dog."),
        ("Mr. Brown walks 3.5 metres. He stops.", "Mr. Brown walks 3.5 metres. He stops."),
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


def test_brackets_with_other_content_are_not_slots() -> None:
    assert has_slots("[subject] runs")
    assert not has_slots("A sign reads [EXIT 24].")
