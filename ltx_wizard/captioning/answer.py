"""What a model answered: a caption, or something that is none."""

from __future__ import annotations

import re

from ltx_wizard.core.caption import clean_caption, word_count
from ltx_wizard.core.lint import is_refusal, without_refusal

_EXCUSE = re.compile(
    r"^[\s*_#>-]*(?:i['’]?m sorry|i am sorry|sorry,|i cannot|i can['’]?t|as an ai\b|(?:i am|i['’]?m) unable"
    r" to|unfortunately, i\b)",
    re.IGNORECASE,
)
_LONGEST_WORD = 45
_FEWEST_LETTERS = 0.6
"""Of all signs that are no space; English text has about 0.97."""

_LOOP_WORDS, _LOOP_SHARE, _LOOP_LENGTH = 12, 0.4, 20
"""Words that repeat those before them: so many in a row, that share of the text, in loops so long at most."""

_LITTLE_WORDS = 20
"""A caption that is shorter says too little."""


def caption_in(answer: str) -> tuple[str, str]:
    """The caption in an answer, cleaned; and why it is none, as what_is_wrong says it.

    An excuse among sentences that describe ('I cannot name him.') goes, and they stay.
    """
    caption = clean_caption(answer)
    if is_refusal(caption):
        rest = without_refusal(caption)
        caption = rest if word_count(rest) >= _LITTLE_WORDS else caption
    return caption, what_is_wrong(answer, caption)


def what_is_wrong(answer: str, caption: str) -> str:
    """Why an answer is no caption, to follow '... gave'; empty: it may be one. caption: the answer, cleaned.

    Cleaning drops a loop at the end of an answer; so that counts where it leaves little.
    """
    if not caption:
        return "an empty caption"
    if _EXCUSE.match(caption) or is_refusal(caption):
        return "an excuse instead of a caption"
    if _is_no_text(caption):
        return "signs instead of words"
    if _is_loop(caption) or (word_count(caption) < _LITTLE_WORDS and _is_loop(answer)):
        return "the same words over and over"
    return ""


def _is_no_text(text: str) -> bool:
    signs = [letter for letter in text if not letter.isspace()]
    letters = sum(letter.isalpha() for letter in signs)
    longest = max(len(word) for word in text.split())
    return letters < _FEWEST_LETTERS * len(signs) or longest > _LONGEST_WORD or "\ufffd\ufffd" in text


def _is_loop(text: str) -> bool:
    return _repeated_words(text) > max(_LOOP_WORDS, _LOOP_SHARE * word_count(text))


def _repeated_words(text: str) -> int:
    """The longest run of words that only repeats what came up to _LOOP_LENGTH words before."""
    words = re.findall(r"[^\W_]+", text.lower())
    longest = 0
    for length in range(1, _LOOP_LENGTH + 1):
        run = 0
        for index in range(length, len(words)):
            run = run + 1 if words[index] == words[index - length] else 0
            longest = max(longest, run)
    return longest
