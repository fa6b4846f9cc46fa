"""Where the trigger word goes in a template, and in place of a class word."""

from __future__ import annotations

import pytest

from ltx_wizard.core.lint import Context, lint
from ltx_wizard.core.project import TriggerPlacement, trained_caption

TEMPLATE, CLASS = TriggerPlacement.TEMPLATE, TriggerPlacement.CLASS


@pytest.mark.parametrize(
    ("caption", "placement", "pattern", "trained"),
    [
        ("A dog runs.", TEMPLATE, "In {trigger} style. {caption}", "In blorp style. A dog runs."),
        ("A dog\nruns.", TEMPLATE, "{caption}  Made of {trigger}.", "A dog runs. Made of blorp."),
        ("A dog runs.", TEMPLATE, "", "blorp A dog runs."),
        ("A dog runs.", TEMPLATE, "only {caption}", "blorp A dog runs."),
        ("A blorp dog runs.", TEMPLATE, "In {trigger} style. {caption}", "A blorp dog runs."),
        ("A dog runs. The dog stops.", CLASS, "dog", "A blorp runs. The dog stops."),
        ("A Dog runs.", CLASS, "dog", "A blorp runs."),
        ("A hotdog lies there.", CLASS, "dog", "blorp A hotdog lies there."),
        ("A cat runs.", CLASS, "dog", "blorp A cat runs."),
        ("A cat runs.", CLASS, "", "blorp A cat runs."),
        (r"A \1 dog.", CLASS, "dog", r"A \1 blorp."),
    ],
)
def test_the_word_is_placed_once_and_never_left_out(
    caption: str, placement: TriggerPlacement, pattern: str, trained: str
) -> None:
    assert trained_caption(caption, "blorp", placement, pattern) == trained
    assert trained_caption(trained, "blorp", placement, pattern) == trained


def test_a_trigger_with_signs_of_patterns_is_taken_as_it_is() -> None:
    assert trained_caption("A dog runs.", r"b\1(", CLASS, "dog") == r"A b\1( runs."


def test_the_lint_judges_the_caption_as_it_is_trained() -> None:
    text = "A dog runs over a meadow and a blorp sits in tall grass. The camera is static. Low evening sun."
    doubled = Context("blorp", TEMPLATE, pattern="{trigger}, {caption} {trigger}")
    assert "trigger_doubled" not in [
        item.rule for item in lint(text, doubled)
    ]  # it is there: nothing is added
    other = text.replace("a blorp", "a cat")
    assert "trigger_doubled" in [item.rule for item in lint(other, doubled)]
