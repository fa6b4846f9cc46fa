"""Captions as text: cleaning what a model or a person wrote, and what is wrong with one. No model here."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

MAX_WORDS = 200
"""The guide: LTX-Video responds best to descriptions under 200 words."""

MIN_WORDS = 6
SLOTS = ("[subject]", "[setting]")
"""What a draft leaves for a person to fill in."""

_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>|<!--.*?-->", re.DOTALL)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[A-Za-z]{2,12});")
_SLOT = re.compile(r"\[[a-z ]{3,20}\]")
_THOUGHT = re.compile(r"<think>.*?</think>|^.*?</think>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^```\w*\s*|\s*```$")
_OPENER = re.compile(
    r"^(?:(?:sure|certainly|of course|here (?:is|are)[^.:!]*|caption|description)[,.:!]+\s*"
    r"|(?:in )?(?:the|this) (?:video|clip|footage|image|scene)(?: clip)?"
    r"(?:,(?: we (?:can )?see)?|\s+(?:shows|depicts|features|captures|displays|presents)(?: that)?)\s+)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:i'?m sorry|i cannot|i can'?t|as an ai|unable to (?:view|see|process))\b", re.IGNORECASE
)
_CAMERA = re.compile(
    r"\b(?:camera|shot|close-?up|pans?|tilts?|zooms?|dolly|handheld|tracking|static|wide|angle|view)\b", re.I
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


@dataclass(frozen=True)
class Lint:
    """Something about one caption. rule: its id. message: what to change."""

    rule: str
    message: str


def clean_caption(text: str) -> str:
    """One tidy paragraph out of a model's answer.

    Thoughts, code fences, openers such as 'The video shows' and line breaks go. It ends with a whole
    sentence, after at most MAX_WORDS words.
    """
    text = _FENCE.sub("", _THOUGHT.sub("", text).strip()).strip()
    text = flatten(text).strip(" \"'“”")
    shorter = _OPENER.sub("", text)
    while shorter != text:
        text = shorter
        shorter = _OPENER.sub("", text)
    text = whole_sentences(text)
    return text[:1].upper() + text[1:]


def flatten(text: str) -> str:
    """One line of plain text: tags, entities, control characters and double spaces are gone."""
    without_tags = _TAG.sub(" ", text)
    plain = _TAG.sub(" ", html.unescape(without_tags)) if _ENTITY.search(without_tags) else without_tags
    kept = "".join(" " if letter.isspace() else letter for letter in plain if not _is_control(letter))
    return " ".join(kept.split())


def storable(text: str) -> str:
    """Halves of characters, as broken file names and clipped emoji hold them, become '?': UTF-8 has no room
    for them.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def whole_sentences(text: str, max_words: int = MAX_WORDS) -> str:
    """At most max_words words, cut after a sentence; a single longer sentence is cut after a word."""
    words = text.split()
    if len(words) <= max_words:
        return text
    shortened = " ".join(words[:max_words])
    ends = [match.end() for match in _SENTENCE_END.finditer(shortened)]
    return shortened[: ends[-1]] if ends else shortened


def word_count(text: str) -> int:
    return len(text.split())


def has_markup(text: str) -> bool:
    """HTML tags or entities, line breaks, or characters that cannot be printed."""
    return bool(_TAG.search(text) or _ENTITY.search(text)) or any(
        _is_control(letter) or letter in "\n\r\t\v\f\u2028\u2029" for letter in text
    )


def has_slots(text: str) -> bool:
    """Whether a draft's [subject] or [setting] is still to be filled in."""
    return bool(_SLOT.search(text))


def lint(caption: str) -> list[Lint]:
    """What is worth changing in one caption; empty for a good one."""
    text = " ".join(caption.split())
    if not text:
        return [Lint("missing", "Write what happens in this clip.")]
    return [Lint(rule, message) for rule, applies, message in _rules(caption, text) if applies]


def _rules(caption: str, text: str) -> list[tuple[str, bool, str]]:
    words = word_count(text)
    return [
        ("long", words > MAX_WORDS, f"{words} words: shorten it to {MAX_WORDS}."),
        ("short", words < MIN_WORDS, "Very short: say what moves, what it looks like, and where."),
        ("markup", has_markup(caption), "It holds HTML, line breaks or invisible characters."),
        ("slots", has_slots(text), "Replace the words in brackets by what can be seen."),
        ("opener", bool(_OPENER.match(text)), "Start with the action, not with 'The video shows'."),
        ("refusal", bool(_REFUSAL.search(text)), "This is a model's excuse, not a caption."),
        ("camera", words >= MIN_WORDS and not _CAMERA.search(text), "Say what the camera does."),
        ("repeats", _repeats(text), "A sentence stands in it twice."),
        ("cut_off", words >= MIN_WORDS and text[-1].isalnum(), "It ends in the middle of a sentence."),
    ]


def _repeats(text: str) -> bool:
    sentences = [part.strip().lower() for part in _SENTENCE_END.split(text) if part.strip()]
    return any(count > 1 for count in Counter(sentences).values())


def _is_control(letter: str) -> bool:
    """Control, format, private and broken characters; not white space, nor the joiners that emoji need."""
    if letter.isspace() or letter in "\u200c\u200d\ufe0f":
        return False
    return unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs", "Cn")
