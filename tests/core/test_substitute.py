from __future__ import annotations

import time

import pytest

from ltx_wizard.core.substitute import PatternError, PatternTooSlow, substitute


def test_matches_are_replaced_by_pythons_rules() -> None:
    texts = ["A cat runs.", "Übergröße — 日本 \udcff", ""]
    assert substitute(r"(\w+) runs", r"\1 sleeps", texts) == ["A cat sleeps.", *texts[1:]]
    assert substitute("^", "x ", ["a\nb"]) == ["x a\nb"]
    assert substitute(r"(?i)(CAT) # who", r"dog", ["A cat # who"]) == ["A dog"]
    assert substitute("(?x) (cat)  # who", r"\1s", ["A cat."]) == ["A cats."]
    assert substitute("(?m)^", "x ", ["a\nb"]) == ["x a\nx b"]


@pytest.mark.parametrize(
    ("find", "replace"),
    [("(", "x"), ("a", r"\7"), ("a", r"\g<nope>"), ("a{99999999999}", "x"), ("(?<=a+)b", "x")],
)
def test_a_bad_pattern_says_why(find: str, replace: str) -> None:
    with pytest.raises(PatternError) as caught:
        substitute(find, replace, ["a"])
    assert str(caught.value)


@pytest.mark.parametrize("find", ["(a+)+$", "(a|aa)+$", "(.*)*x$", "(?:a|b|ab)*c"])
def test_a_pattern_that_would_take_for_ever_is_ended(find: str) -> None:
    began = time.monotonic()
    with pytest.raises(PatternTooSlow):
        substitute(find, "x", ["ab" * 20 + "a" * 60 + "!"], longest_s=1.0)
    assert time.monotonic() - began < 10


def test_captions_that_would_fill_the_memory_are_refused() -> None:
    with pytest.raises(PatternError, match="too long"):
        substitute("", "x" * 10_000, ["a" * 1500] * 50, longest_s=30)


def test_a_pattern_that_repeats_often_but_ends_is_no_reason_to_refuse() -> None:
    captions = ["A cat runs through the grass, and a dog barks. " * 20] * 500
    assert len(substitute(r"(\w+\s)+barks", "x", captions, longest_s=30)) == 500
