"""The trigger word in captions that were written for another trainer: found, and taken out.

Here it is a setting of the project and stands in no caption, so that it can be moved and is never doubled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

PLACEHOLDER = "[trigger]"
"""ai-toolkit's sign for it in captions."""

_FEWEST_CAPTIONS = 3
"""Two captions may begin alike by chance."""

_LONGEST = 40
_FIRST_WORD = re.compile(r"^([\w<>-]+)([,.:;]?)\s+(\S+)")
_ODD = re.compile(r"\d|[_<>]|[a-z][A-Z]|^[^aeiouyAEIOUY\W\d_]{3,}$")
"""No ordinary word: with a digit, an underline, <> or a capital inside, or without a vowel."""

_ARTICLES = frozenset({"a", "an", "the", "one", "two", "this", "his", "her", "its", "their"})
_ORDINARY = frozenset(
    re.split(
        r"\s+",
        """a above aerial after an animated animation anime as at before behind below between black blue boy
        bright by camera cartoon child cinematic clip close close-up closeup cloudy dark day during evening
        fast finally first footage from gently girl green hand-held handheld he here high image in indoors
        inside it long low man many medium morning next night on one outdoors outside over people person
        photo picture portrait quickly realistic red scene several she shot slow slow-motion slowly softly
        some somewhere static suddenly sunny that the then there these they this those three time-lapse
        timelapse today tracking two under video videos view vintage we when where while white wide with
        without woman""",
    )
)


def find_trigger(captions: Sequence[str]) -> str:
    """The made-up word that every caption begins with; empty where there is none.

    It is taken for one where no ordinary word is written like it, or where a new sentence begins after it
    ('kozufel A cat ...', 'kozufel, a cat ...').
    """
    written = [caption for caption in captions if caption]
    if len(written) < _FEWEST_CAPTIONS:
        return ""
    starts = [_FIRST_WORD.match(caption) for caption in written]
    words = {start[1] if start else "" for start in starts}
    word = words.pop()
    if words or not 3 <= len(word) <= _LONGEST or word.lower() in _ORDINARY:
        return ""
    stands_apart = all(start and _begins_anew(start[2], start[3]) for start in starts)
    return word if _ODD.search(word) or stands_apart else ""


def without_trigger(caption: str, trigger: str) -> str:
    """The caption without that word, or ai-toolkit's placeholder, before or after its sentences.

    Inside a sentence the word stays, where it is a name; a placeholder there becomes the word.
    """
    for word in (PLACEHOLDER, trigger):
        if word:
            caption = _without_first(caption, word)
            caption = re.sub(rf"(?<=[.!?,;])\s*{re.escape(word)}[\s.]*$", "", caption, flags=re.IGNORECASE)
    return " ".join(caption.replace(PLACEHOLDER, trigger).split())


def _without_first(caption: str, word: str) -> str:
    start = re.match(rf"{re.escape(word)}([,.:;]*)\s+(?=\S)", caption, flags=re.IGNORECASE)
    if start is None:
        return caption
    rest = caption[start.end() :]
    apart = word == PLACEHOLDER or _ODD.search(word) or _begins_anew(start[1], rest.split()[0])
    return rest if apart else caption


def _begins_anew(mark: str, following: str) -> bool:
    """A letter that is neither small nor capital, as of Chinese, may begin a sentence; so may a draft's
    '[subject]'.
    """
    first = following[:1]
    return (
        bool(mark)
        or first == "["
        or (first.isalpha() and not first.islower())
        or following.lower() in _ARTICLES
    )
