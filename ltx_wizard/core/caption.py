"""Captions as text: what may be stored, how it is counted, and one tidy paragraph out of a model's answer.

No model here. What is worth changing in a caption is found by lint.py.
"""

from __future__ import annotations

import ast
import html
import json
import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import cast

from ltx_wizard.core.answer_marks import first_turn, is_timed, plain_lines, untimed

MAX_WORDS = 200
"""The guide: LTX-Video responds best to descriptions under 200 words."""

MIN_WORDS = 20
"""Shorter captions leave out most of the six parts."""

SLOTS = ("[subject]", "[setting]")
"""What a draft leaves for a person to fill in."""

_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>|<!--.*?-->|<\|[A-Za-z_]{1,40}\|>", re.DOTALL)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[A-Za-z]{2,12});")
_SLOT = re.compile(r"\[[a-z ]{3,20}\]")
_FENCED = re.compile(r"```\w*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_MARKDOWN = re.compile(r"\*\*\S|```|^\s*(?:#{1,6}\s|\{\s*[\"'])")
_MARKS = " `*"
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»"}
_JSON_KEYS = (
    "caption",
    "video_caption",
    "detailed_caption",
    "more_detailed_caption",
    "description",
    "prompt",
    "text",
    "answer",
    "response",
    "output",
)
_CUT_JSON = re.compile(r"^\{\s*\"(?:" + "|".join(_JSON_KEYS) + r")\"\s*:\s*\"((?:[^\"\\]|\\.)*)", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*•–‣]\s+|\(?\d{1,2}[.)]\s+|#{1,6}\s+)")
_LABEL = re.compile(
    r"^(?:(?:main|overall|the|detailed|final|visual|video)\s+)*"
    r"(action|movement|motion|appearance|subjects?|characters?|objects?|background|setting|environment|place"
    r"|location|scene|camera(?: (?:movement|work|angles?))?|light(?:ing)?|events?|changes?|timeline|temporal"
    r"|caption|description|summary|details?|mood|style)"
    r"(?:\s+(?:and|&|/)\s+[a-z]+|\s+(?:details?|over time|changes|description))*\s*:\s*",
    re.IGNORECASE,
)
_INLINE_LABEL = re.compile(
    r"(?<!\d[.)])(?<=[\w.;!?,\"”)])[ \t]+(?:\(?\d{1,2}[.)]\s*)?(?=(?:action|movement|motion|appearance|subjects?|background|setting|environment"
    r"|camera(?: (?:movement|work|angle))?|light(?:ing)?|events?(?: over time)?|changes?)\s*:\s)",
    re.IGNORECASE,
)
"""Between parts of an answer that stand in one line: 'Action: a dog runs. Camera: static.'"""

_PREAMBLE = re.compile(
    r"^(?:(?:sure|certainly|of course|okay|ok|absolutely|alright|great|yes|got it|understood|no problem"
    r"|definitely|gladly|perfect)(?: thing)?(?:[,.:!]+\s*|\s*[—–-]+\s+)"
    r"|(?:so,? )?here(?:'s|’s| is| are) (?:my|the|an?|your|one)\b[^.:!?\n]{0,60}\b(?:caption|description"
    r"|attempt|prompt|summary|answer)\b[^.:!?\n]{0,60}[.:!]\s+"
    r"|(?:here(?:'s|’s| is| are| it is| you go)|below is|this is|the following is)\b[^.:!?\n]{0,90}:\s*"
    r"|(?:i (?:will|can|would|'ll|have) |i'll |let me )[^.:!?\n]{0,90}[.:!]\s+"
    r"|(?:based on|according to|judging (?:by|from)|looking at|from|as (?:requested|seen in|shown in)|given)"
    r"(?: the)?(?: provided| given| sampled| \d+)*(?: (?:video|clip|frames?|images?|key ?frames?|stills?|"
    r"sequence|footage|instructions?|measurements?)\b)+"
    r"(?: (?:provided|given|above|shown|you (?:provided|gave)|of the (?:video|clip)))*,?\s+"
    r"|(?:assistant|answer|output|response|final (?:answer|caption)|(?:video |detailed |training )*(?:caption|"
    r"description|prompt))\s*:+\s*"
    r"|(?:caption|description|prompt|summary) (?:of|for) (?:the|this) \w+(?: \w+)?\s*:\s*"
    r"|it (?:shows|depicts) (?=an? )|(?:caption|description)[,.!]\s+)",
    re.IGNORECASE,
)
_MEDIUM = r"(?:video|clip|footage|image|scene|picture|photo(?:graph)?|frames?|sequence|shot|film|animation|recording)"
_SHOWN = (
    r"(?:(?:appears|seems) to (?:show|depict|feature|capture)|shows?|showing|depicts?|depicting|features?|featuring|captures?|capturing|displays?|displaying"
    r"|presents?|presenting|portrays?|portraying|illustrates?|showcases?|showcasing|contains?|is (?:about|of))"
)
_OPENER = re.compile(
    rf"^(?:(?:throughout|during|over the course of|across) (?:the|this)(?: entire| whole)? {_MEDIUM}(?: {_MEDIUM})?,\s+"
    rf"|(?:the|this) (?:video|clip|footage|image|picture|photo(?:graph)?|animation|recording)(?: {_MEDIUM})? is (?=an? (?:[\w-]+,? ){{0,4}}(?:shot|view|close-up|closeup|portrait|scene|clip"
    r"|video|photo(?:graph)?|recording|sequence|footage|still|render(?:ing)?|painting|illustration)\b)"
    rf"|(?:the|this|these)(?: (?:sequence|series|set) of)?(?: (?:provided|given|sampled|following|first|second|third|fourth"
    rf"|next|last|final|middle|\d+))* (?:key ?)?(?:frames?|images|pictures|stills) {_SHOWN}(?: us)?(?: that| how)?\s+"
    rf"|(?:in )?(?:the|this|our)(?: (?:short|brief|given|provided|\w+ing))? {_MEDIUM}(?: {_MEDIUM})?"
    rf"(?:,? (?:we|you|one|the viewer|viewers) (?:can |could |may )?(?:clearly )?(?:see|observe|watch|notice|find)s?(?: that)?"
    rf"|,|\s+(?:opens|begins|starts|ends|opening|starting) (?:with|on)(?! (?:her|his|him|their|them|it|its) )(?: {_SHOWN})?"
    rf"|\s+(?:clearly |first |mainly |primarily )?{_SHOWN}(?: us)?(?: that| how)?)\s+"
    rf"|(?:this|it) is (?:a|an|the) (?:short |brief )?{_MEDIUM}(?: {_MEDIUM})? (?:of|showing|that shows|which shows|featuring|about)\s+"
    rf"|(?:an?|some|the) (?:short |brief |\d+-second )?(?:video|clip|footage|image|picture|photo(?:graph)?|sequence|recording)"
    rf"(?: {_MEDIUM})? (?:of|showing|that shows|which shows|depicting|featuring|capturing)\s+"
    rf"|(?:footage|video|images?) of\s+"
    rf"|(?:here,? )?(?:we|you|one|i|the viewer|viewers) (?:can |could |may )?(?:clearly )?(?:see|observe|watch|notice)s?(?: that)?\s+"
    rf"|(?:depicted|shown|seen|featured|pictured) (?:here |in (?:this|the) {_MEDIUM} )?(?:is|are)\s+)",
    re.IGNORECASE,
)
_FAREWELL = re.compile(
    r"^[(*_]*(?:let me know|i hope|hope this|would you like|if you (?:need|want|would|have|'d)|feel free|please let"
    r"|do you want|(?:please )?note(?: that\b|:)|\(?word count|total words|this (?:caption|description"
    r"|paragraph) |is there anything|i(?:'ve| have)? (?:avoided|kept|focused|tried|included|followed|described"
    r"|omitted|aimed) )",
    re.IGNORECASE,
)
_IMPRESSION = re.compile(
    r"^(?!.*\blight)(?:(?:overall|in (?:summary|conclusion|essence)|to summari[sz]e|altogether), .*\b(?:conve|evok"
    r"|sens|mood|atmosphere|feel|impression|tone|captur|suggest|emphasi|highlight|creat|reflect)"
    r"|(?:the|its) (?:overall|general) (?:mood|atmosphere|feel|feeling|impression|vibe|ambiance)\b"
    r"|the mood (?:of the \w+ )?(?:is|feels|appears)\b)",
    re.IGNORECASE,
)
"""What a model makes of it, at the end of nearly every answer: no part of what can be seen."""

_ABBREVIATIONS = r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)"
_SENTENCE_END = re.compile(rf"{_ABBREVIATIONS}[.!?…]+[\"'”’)\]]*(?=\s|$)")
_KEPT_LABELS = {"camera": re.compile(r"\bcamera\b", re.I), "light": re.compile(r"\blight", re.I)}


def clean_caption(text: str) -> str:
    """One tidy paragraph out of a model's answer.

    Thoughts, code fences, JSON around it, preambles, openers such as 'The video shows', list markers, times,
    quotes around the whole, repeated sentences, moods and goodbyes go. It ends with a whole sentence, after at most
    MAX_WORDS words. Empty if nothing of substance is left.
    """
    text = _as_prose(_unwrapped(first_turn(text)))
    text = _without_opening(flatten(text))
    said = [untimed(part) for part in sentences(text) if not _FAREWELL.match(part)]
    kept = _unrepeated(without_opener(part) for part in said)
    seen = [part for part in kept if not _IMPRESSION.match(part)] or kept
    text = whole_sentences(without_fragment(_unquoted(" ".join(seen))))
    return text[:1].upper() + text[1:]


def flatten(text: str) -> str:
    """One line of plain text: tags, entities, control characters and double spaces are gone."""
    without_tags = _TAG.sub(" ", text)
    plain = _TAG.sub(" ", html.unescape(without_tags)) if _ENTITY.search(without_tags) else without_tags
    if plain.isprintable():
        return " ".join(plain.split())
    kept = "".join(" " if letter.isspace() else letter for letter in plain if not _is_control(letter))
    return " ".join(kept.split())


def storable(text: str) -> str:
    """Halves of characters, as broken file names and clipped emoji hold them, become '?': UTF-8 has no room
    for them.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def sentences(text: str) -> list[str]:
    """The sentences of one line of text, with their full stops; the last may be unfinished."""
    return list(_sentences(text))


@lru_cache(maxsize=4096)
def _sentences(text: str) -> tuple[str, ...]:
    found: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        found.append(text[start : end.end()].strip())
        start = end.end()
    return tuple(part for part in (*found, text[start:].strip()) if part)


def ends_whole(text: str) -> bool:
    """Whether the last sentence is finished, as far as its last sign tells."""
    return re.search(r"[.!?…][\"'”’)\]]*$", text.strip()) is not None


def without_fragment(text: str) -> str:
    """Without an unfinished last sentence, where a whole one comes before it."""
    parts = sentences(text)
    return " ".join(parts[:-1]) if len(parts) > 1 and not ends_whole(parts[-1]) else text


def without_opener(text: str) -> str:
    """Without 'The video shows' and the like at the front."""
    rest = _OPENER.sub("", text)
    return rest[:1].upper() + rest[1:] if rest != text else text


def has_opener(text: str) -> bool:
    """Whether it begins with 'The video shows' or the like."""
    return _OPENER.match(text) is not None


def without_repeats(text: str) -> str:
    """Every sentence once."""
    return " ".join(_unrepeated(sentences(text)))


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
    """HTML tags or entities, markdown, JSON, line breaks, or characters that cannot be printed."""
    if _TAG.search(text) or _ENTITY.search(text) or _MARKDOWN.search(text):
        return True
    return not text.isprintable() and any(
        _is_control(letter) or letter in "\n\r\t\v\f\u2028\u2029" for letter in text
    )


def unmarked(text: str) -> str:
    """One line of plain text out of HTML, markdown, JSON or a list."""
    return flatten(_as_prose(_unwrapped(text.strip())))


def has_slots(text: str) -> bool:
    """Whether a draft's [subject] or [setting] is still to be filled in."""
    return bool(_SLOT.search(text))


def normalised(sentence: str) -> str:
    """Letters and digits in small letters: equal for sentences that differ in signs and spaces only."""
    return " ".join(re.findall(r"\w+", sentence.lower()))


def _unwrapped(text: str) -> str:
    """Out of a code fence, and out of the JSON that some servers are asked for."""
    fenced = _FENCED.search(text)
    if fenced and fenced.group(1).strip():
        text = fenced.group(1).strip()
    if text[:1] not in "{[":
        return text
    try:
        return _spoken(json.loads(text)) or text
    except (ValueError, RecursionError):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # as Python prints it
            return _spoken(ast.literal_eval(text)) or text
        cut = _CUT_JSON.match(text)
        return cut.group(1).replace('\\"', '"').replace("\\n", " ") if cut else text


def _spoken(value: object) -> str:
    """The text in a JSON answer: the caption by its key, else all texts one after the other."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(_spoken(item) for item in cast("list[object]", value))
    if isinstance(value, dict):
        named = {
            str(key).strip("<> ").lower(): item for key, item in cast("dict[object, object]", value).items()
        }
        for key in _JSON_KEYS:
            if named.get(key):
                return _spoken(named[key])
        for item in named.values():
            if isinstance(item, dict) and any(
                key in _JSON_KEYS for key in cast("dict[object, object]", item)
            ):
                return _spoken(cast("object", item))
        return "\n".join(f"- {key}: {_spoken(item)}" for key, item in named.items() if _spoken(item))
    return ""


def _as_prose(text: str) -> str:
    """List items and labelled lines become sentences; **bold** and the like lose their signs."""
    text = re.sub(r"\*\*(.+?)\*\*|__(.+?)__", lambda match: match.group(1) or match.group(2), text)
    if len(_INLINE_LABEL.findall(text)) > 1:
        text = _INLINE_LABEL.sub("\n", text)
    lines = [line for line in plain_lines(text) if not _LABEL.fullmatch(f"{_BULLET.sub('', line)}:")]
    is_list = sum(bool(_BULLET.match(line) or _LABEL.match(line)) or is_timed(line) for line in lines) > 1
    return " ".join(filter(None, (_as_sentence(line) if is_list else line for line in lines)))


def _as_sentence(line: str) -> str:
    line = _BULLET.sub("", line).strip(" *_")
    label = _LABEL.match(line)
    if label:
        line = line[label.end() :].strip(" *_")
        kind = label.group(1).lower()[:6].strip("ing")
        known = next((name for name in _KEPT_LABELS if kind.startswith(name[:5])), "")
        if line and known and not _KEPT_LABELS[known].search(line):
            line = f"The {known} is {line[:1].lower()}{line[1:]}" if known == "light" else f"Camera: {line}"
    if not line or line.endswith(":"):
        return "" if line.count(" ") < 8 else line
    line = line[:1].upper() + line[1:]
    return line if ends_whole(line) or line[-1] in ",;" else f"{line}."


def _without_opening(text: str) -> str:
    while True:
        shorter = _unquoted(_OPENER.sub("", _PREAMBLE.sub("", text)))
        if shorter == text:
            return shorter
        text = shorter


def _unquoted(text: str) -> str:
    """Without quotes around the whole; those around words inside it stay."""
    text = text.strip(_MARKS)
    closing = _QUOTES.get(text[:1], "")
    if not closing:
        return text
    inside = re.sub(r"(?<=\w)['’](?=\w)", "", text[1:-1])
    wraps = closing not in inside or inside[inside.index(closing) - 1 : inside.index(closing)].isspace()
    if text.endswith(closing) and len(text) > 1 and wraps:
        return text[1:-1].strip(_MARKS)
    is_apostrophe = closing in "'’"
    opened_only = not is_apostrophe and text.count(closing) + (closing != text[0]) == 1
    return text[1:].strip(_MARKS) if opened_only else text


def _unrepeated(parts: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    kept: list[str] = []
    for part in parts:
        key = normalised(part)
        if key not in seen:
            kept.append(part)
        seen.add(key)
    return kept


def _is_control(letter: str) -> bool:
    """Control, format, private and broken characters; not white space, nor the joiners that emoji need."""
    if letter.isspace() or letter in "\u200c\u200d\ufe0f":
        return False
    return unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs", "Cn")
