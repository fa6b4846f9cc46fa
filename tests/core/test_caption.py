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
        ("</s><s>The image shows a dog.</s><pad>", "A dog."),
        ("{'<MORE_DETAILED_CAPTION>': 'The image shows a dog. It\\'s brown.'}", "A dog. It's brown."),
        ("The image is a close-up shot of a dog. It runs.", "A close-up shot of a dog. It runs."),
        ("Throughout the video, a dog runs.", "A dog runs."),
        ("The video begins with her dog running.", "The video begins with her dog running."),
        ("Got it! A dog runs.", "A dog runs."),
        ("Absolutely — here is the caption: A dog runs.", "A dog runs."),
        ("Okay, so here's my attempt at a caption.\n\nA dog runs. It jumps.", "A dog runs. It jumps."),
        ("Certainly! Here it is:\n\n---\n\nA dog runs.\n\n---\n\nLet me know!", "A dog runs."),
        ("> A dog runs.\n> It jumps.", "A dog runs. It jumps."),
        ("A dog in a *red* collar chases `it`.", "A dog in a red collar chases it."),
        ("## Caption\nA dog runs.\n\n## Notes\n- I kept it short.", "A dog runs."),
        ("A dog runs. I avoided any speculation.", "A dog runs."),
        (
            "| Aspect | What |\n|---|:---|\n| Action | A dog runs |\n| Camera | static |",
            "A dog runs. Camera: static.",
        ),
        ("◁think▷A dog?◁/think▷A dog runs.", "A dog runs."),
        ("<reasoning>A dog?</reasoning><answer>A dog runs.</answer>", "A dog runs."),
        ("A dog runs.<|endoftext|>Human: What else?", "A dog runs."),
        ("assistant\nA dog runs.", "A dog runs."),
        ("A dog runs.\\n\\nIt jumps.", "A dog runs. It jumps."),
        ('"A dog runs." \n\n(Word count: 3)', "A dog runs."),
        ("[0:00] A dog runs. [0:02] It jumps.", "A dog runs. It jumps."),
        ("0:00-0:02: A dog runs\n0:02-0:04: It jumps", "A dog runs. It jumps."),
        ("At 0.0s, a dog runs. By 2.5 seconds, it jumps.", "A dog runs. It jumps."),
        ("**0.0 s** – A dog runs.\n**1.5 s** – It jumps.", "A dog runs. It jumps."),
        ("<0.5 seconds> A dog runs (1.2s).", "A dog runs."),
        ("Frame 1: A dog runs.\nFrames 2-3: It jumps.", "A dog runs. It jumps."),
        ("In the first frame, a dog runs. In the last frame, it jumps.", "A dog runs. It jumps."),
        ("Caption 1: A dog runs.", "A dog runs."),
        ("A 50 s clock shows 10:30 at 12 fps.", "A 50 s clock shows 10:30 at 12 fps."),
        ('{"range": "0:00-0:05", "scene": {"caption": "A dog runs."}}', "A dog runs."),
        ("A dog runs. The overall mood of the image is calm.", "A dog runs."),
        ("A dog runs. In summary, the clip conveys a sense of joy.", "A dog runs."),
        ("A dog runs. Overall, warm light creates long shadows.", None),
        ("The overall mood of the image is calm.", None),
        ("A dog rolls its eyes*, as one says.", None),
        ("Frame 1 (0.0s): A dog runs. Frame 2 (1.0s): It jumps.", "A dog runs. It jumps."),
        ("The sequence of frames shows a dog. The last frame shows a cat.", "A dog. A cat."),
        ("These frames show a dog running.", "A dog running."),
        ("User: describe\nAssistant: A dog runs.", "A dog runs."),
        ("Description of the video: A dog runs.", "A dog runs."),
        ("Title: A Dog\n\nDescription: A dog runs.", "A dog runs."),
        ("# A Dog\n\nA dog runs.", "A dog runs."),
        (
            "1. Action: a dog runs 2. Camera: static 3. Lighting: soft",
            "A dog runs. Camera: static. The light is soft.",
        ),
        ("Action: A dog runs. Setting: A beach. Camera: static.", "A dog runs. A beach. Camera: static."),
        ("A dog runs. (This description is based on the frames.)", "A dog runs."),
        ("I can see a dog running.", "A dog running."),
        ("It shows a dog running.", "A dog running."),
        ("A dog runs. The shot is a steady close-up.", None),
    ],
)
def test_answers_of_models_are_tidied(answer: str, caption: str | None) -> None:
    """None: it stays as it is."""
    assert clean_caption(answer) == (answer if caption is None else caption)


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
