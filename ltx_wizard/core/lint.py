"""What is worth changing in captions, which of it can be changed by one click, and which parts they cover.

Every finding has a rule (its id), a message, and the label of its fix where there is one. Everything here is
a pure function of text. Known limits: the words are English, and a part counts as covered when words for it
are there; whether they are true of the clip, only the measured camera can tell.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from ltx_wizard.core import caption_words as words_of
from ltx_wizard.core.answer_marks import untimed
from ltx_wizard.core.caption import (
    MAX_WORDS,
    MIN_WORDS,
    ends_whole,
    flatten,
    has_markup,
    has_opener,
    has_slots,
    normalised,
    sentences,
    unmarked,
    whole_sentences,
    without_fragment,
    without_opener,
    without_repeats,
    word_count,
)
from ltx_wizard.core.project import TriggerPlacement, has_trigger, trained_caption

_LONG_SENTENCE_WORDS = 12
_REPEATED_SHARE = 0.8
_LOOKED_AT = 5000
"""Characters: about four captions of the greatest length. In a text far longer, such as a log that was imported
as a caption, a rule could look for minutes.
"""

_REPEATED_SENTENCE_WORDS = 5


class Part(str, Enum):
    """The six parts of a caption, in the order in which the guide asks for them."""

    ACTION = "action"
    APPEARANCE = "appearance"
    BACKGROUND = "background"
    CAMERA = "camera"
    LIGHT = "light"
    TIME = "events over time"


MEASURED_METHOD = 5
"""Raised where the same clip may be measured otherwise than before: older measurements are then made again."""


@dataclass(frozen=True)
class Measured:
    """What was measured in a clip, as words: camera ('pans left', 'static'), light ('warm', 'dim').

    camera_sure: whether the camera's movement is certain enough to contradict a caption.
    """

    camera: tuple[str, ...] = ()
    camera_sure: bool = False
    light: tuple[str, ...] = ()

    def camera_sentence(self) -> str:
        """Empty where the camera is not known for sure."""
        if not self.camera or not self.camera_sure:
            return ""
        if self.camera == ("static",):
            return "The camera is static."
        moves = [move for move in self.camera if move != "handheld"]
        if not moves:
            return "The handheld camera shakes slightly."
        who = "The handheld camera" if "handheld" in self.camera else "The camera"
        return f"{who} {_joined(moves)}."

    def light_sentence(self) -> str:
        words = [word for word in self.light if word != "black and white"]
        return f"The light is {_joined(words)}." if words else ""


@dataclass(frozen=True)
class Context:
    """What a caption is judged against. pattern: of the placement. is_image: a still has no movement."""

    trigger: str = ""
    placement: TriggerPlacement = TriggerPlacement.FIRST
    measured: Measured | None = None
    is_image: bool = False
    pattern: str = ""


@dataclass(frozen=True)
class Lint:
    """Something about one caption. rule: its id. message: what to change. fix: the button's words, or empty."""

    rule: str
    message: str
    fix: str = ""


@dataclass(frozen=True)
class DatasetCoverage:
    """How many captions name each part. total: captions that are not empty."""

    total: int
    parts: Mapping[Part, int] = field(default_factory=dict[Part, int])


def lint(caption: str, context: Context | None = None) -> list[Lint]:
    """What is worth changing in one caption; empty for a good one."""
    return list(_linted(caption, context or Context()))


@lru_cache(maxsize=4096)
def _linted(caption: str, context: Context) -> tuple[Lint, ...]:
    """A list of clips is shown again after every change, and nearly all captions are as they were."""
    text = " ".join(caption.split())
    if not text:
        return (Lint("missing", "Write what happens in this clip."),)
    if len(caption) > _LOOKED_AT:
        beginning = _linted(caption[:_LOOKED_AT], context)
        of_whole = (_too_long(word_count(text)), *(item for item in beginning if item.rule not in _OF_WHOLE))
        return tuple(found for found in of_whole if found is not None)
    checks = _OF_NO_CAPTION.get(no_caption(text), _all_rules)
    return tuple(found for found in checks(caption, text, context) if found is not None)


def lint_all(captions: Mapping[str, str], contexts: Mapping[str, Context]) -> dict[str, list[Lint]]:
    """The findings of every caption of a dataset, by clip id, with text repeated between clips."""
    repeated = repeated_between(captions)
    return {
        clip_id: [
            *lint(caption, contexts.get(clip_id)),
            *([repeated[clip_id]] if clip_id in repeated else []),
        ]
        for clip_id, caption in captions.items()
    }


def repeated_between(captions: Mapping[str, str]) -> dict[str, Lint]:
    """Clips whose caption, or a long sentence of it, stands in another clip's caption too.

    Short sentences such as 'The camera is static.' may be the same everywhere.
    """
    parts = {
        clip_id: [normalised(part) for part in sentences(flatten(text))] for clip_id, text in captions.items()
    }
    holders: dict[str, set[str]] = defaultdict(set)
    for clip_id, own in parts.items():
        for part in own:
            if part:
                holders[part].add(clip_id)
    found: dict[str, Lint] = {}
    for clip_id, own in parts.items():
        shared = [
            part
            for part in own
            if len(holders.get(part, ())) > 1 and word_count(part) >= _REPEATED_SENTENCE_WORDS
        ]
        if not shared:
            continue
        others = sorted({other for part in shared for other in holders[part]} - {clip_id})
        share = sum(map(word_count, shared)) / max(1, sum(map(word_count, own)))
        if share >= _REPEATED_SHARE:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            found[clip_id] = Lint(
                "same_text", f"Nearly the same caption as {others[0]}{more}. Say what is different here."
            )
        elif any(word_count(part) >= _LONG_SENTENCE_WORDS for part in shared):
            found[clip_id] = Lint(
                "same_text", f"A whole sentence also stands at {others[0]}. Say what is different here."
            )
    return found


def apply_fix(caption: str, rule: str, context: Context | None = None) -> str:
    """The caption after the one-click fix of a rule; unchanged where the rule has none."""
    context = context or Context()
    fix = _FIXES.get(rule)
    return fix(caption, context) if fix else caption


@lru_cache(maxsize=4096)
def coverage(caption: str) -> frozenset[Part]:
    """Which of the six parts a caption names."""
    text = flatten(caption[:_LOOKED_AT])
    named: dict[Part, Callable[[str], bool]] = {
        Part.ACTION: words_of.names_motion,
        Part.APPEARANCE: words_of.names_appearance,
        Part.BACKGROUND: words_of.names_background,
        Part.CAMERA: words_of.names_camera,
        Part.LIGHT: words_of.names_light,
        Part.TIME: words_of.names_time,
    }
    return frozenset(part for part, is_named in named.items() if is_named(text))


def dataset_coverage(captions: Mapping[str, str]) -> DatasetCoverage:
    counts: Counter[Part] = Counter()
    filled = [caption for caption in captions.values() if caption.strip()]
    for caption in filled:
        counts.update(coverage(caption))
    return DatasetCoverage(len(filled), {part: counts[part] for part in Part})


def contradiction(caption: str, measured: Measured | None) -> str:
    """What the caption says of the camera against what was measured, as one sentence; empty if they agree."""
    found = _contradicting(caption, measured)
    return found[1] if found else ""


def _all_rules(caption: str, text: str, context: Context) -> list[Lint | None]:
    words = word_count(text)
    measured = context.measured or Measured()
    plain = flatten(text)
    named = coverage(plain)
    has_parts = words >= 6  # a stump of a caption is 'short', which says it all
    against = contradiction(text, context.measured)
    return [
        _too_long(words),
        _when(words < MIN_WORDS, "short", f"Only {words} words: say what moves, what it looks like, and where."),
        _when(has_markup(caption), "markup", "It holds HTML, markdown, line breaks or characters that cannot be printed.", "Clean the text"),
        _when(_names_times(plain), "times", "It names times or frames of the video: say what happens, one thing after the other.", "Take the times out"),
        _when(has_slots(text), "slots", "Replace the words in brackets by what can be seen."),
        _when(has_opener(text), "opener", "Start with the action, not with 'The video shows'.", "Start with the action"),
        _when(_ABSENT.search(plain) is not None, "absent", "Say what is there: the model takes 'there is no dog' for a dog.", _absent_fix(plain)),
        _when(has_parts and not context.is_image and Part.ACTION not in named, "motion", "Say what moves, or that it keeps still."),
        _when(has_parts and Part.CAMERA not in named, "camera", "Say what the camera does, or from where it looks.", _add(measured.camera_sentence())),
        _when(has_parts and Part.LIGHT not in named, "light", "Say where the light comes from, or the time of day.", _add(measured.light_sentence())),
        _when(bool(against), "contradiction", against, _camera_fix(text, context.measured)),
        _when(without_repeats(plain) != " ".join(sentences(plain)), "repeats", "A sentence stands in it twice.", "Keep it once"),
        _when(_is_cut(text), "cut_off", "It ends in the middle of a sentence.", _cut_fix(text)),
        *_trigger_rules(text, context),
    ]  # fmt: skip


def _too_long(words: int) -> Lint | None:
    return _when(
        words > MAX_WORDS, "long", f"{words} words: shorten it to {MAX_WORDS}.", "Cut after a sentence"
    )


_OF_WHOLE = ("long", "short", "cut_off")
"""Rules that the beginning of a text says nothing about."""


@lru_cache(maxsize=4096)
def no_caption(text: str) -> str:
    """What a text is that is no caption: 'refusal', 'language' (another one) or 'tags'; empty: it may be one."""
    text = text[:_LOOKED_AT]
    if is_refusal(text):
        return "refusal"
    if is_foreign(text):
        return "language"
    return "tags" if _is_tags(text) else ""


def _refusal_only(_caption: str, text: str, _context: Context) -> list[Lint | None]:
    rest = without_refusal(text)
    fix = "Drop that sentence" if word_count(rest) >= MIN_WORDS else ""
    return [Lint("refusal", "This is a model's excuse, not a caption. Write it, or caption it again.", fix)]


def _foreign_only(_caption: str, text: str, context: Context) -> list[Lint | None]:
    message = "The model reads English: write this caption in English. Nothing else was looked at here."
    return [Lint("language", message), *_trigger_rules(text, context)]


def _tags_only(_caption: str, text: str, context: Context) -> list[Lint | None]:
    message = "These are tags: the model reads sentences. Say what moves, what it looks like, and where."
    return [Lint("tags", message), *_trigger_rules(text, context)]


_OF_NO_CAPTION = {"refusal": _refusal_only, "language": _foreign_only, "tags": _tags_only}


def _trigger_rules(text: str, context: Context) -> list[Lint | None]:
    if not context.trigger.strip():
        return []
    trained = trained_caption(text, context.trigger, context.placement, context.pattern)
    word = context.trigger.strip()
    return [
        _when(not has_trigger(trained, word), "trigger_missing", f"The trigger word {word} is missing.", "Put it in front"),
        _when(count_trigger(trained, word) > 1, "trigger_doubled", f"The trigger word {word} stands in it more than once.", "Keep it once"),
    ]  # fmt: skip


def count_trigger(text: str, trigger: str) -> int:
    """How often the trigger word stands in a text as a word, in any case."""
    return len(_trigger_pattern(trigger).findall(text)) if trigger.strip() else 0


def _trigger_pattern(trigger: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(trigger.strip().rstrip('.,;:!'))}(?!\w)[,:;]?", re.IGNORECASE)


def _when(applies: bool, rule: str, message: str, fix: str = "") -> Lint | None:
    return Lint(rule, message, fix) if applies else None


def _add(sentence: str) -> str:
    return f"Add '{sentence}'" if sentence else ""


# Refusals and absences ------------------------------------------------------------------------------------

_REFUSAL = re.compile(
    r"\b(?:i(?:'|’)?m (?:sorry|unable|not able|afraid)|i am (?:sorry|unable|not able|afraid|an ai)|i apologi[sz]e|my apologies|(?:we |i )(?:can ?not|can(?:'|’)t|could ?n(?:'|’)t|could not|won(?:'|’)t|do(?:n(?:'|’)t| not) (?:have|see)|am not)\b[^.]{0,40}\b(?:describe|see|view|provide|help|assist|identify|process|access|generate|fulfil+|create|analy[sz]e|watch|determine|ability|able|caption|comment)"
    r"|as an? (?:ai|artificial|large|language|text)\b|language model|unable to (?:view|see|process|provide|assist|describe|access|analy[sz]e|generate|determine|identify|watch)|(?:no|without a|without an|without any) (?:video|image|frame|clip|picture)s? (?:was|were|is|are|has been|have been|provided|attached|given)|please (?:provide|upload|share|attach|send)\b"
    r"|against my (?:guidelines|policy|policies)|content policy|violates? (?:the|our|my)|not (?:possible|able) to (?:describe|see|view|provide|determine)"
    r"|what would you like|how (?:can|may) i (?:help|assist)|(?:would|do) you (?:like|want) me to|you(?:'|’)?(?:ve| have)? (?:shared|uploaded|attached)\b|(?:don(?:'|’)t|do not) (?:actually )?(?:see|have) (?:any |the |an? )?(?:video|image|frame|clip|picture|footage|attachment)"
    r"|no (?:description|caption) (?:can|could) be|(?:can(?:'|’)?t|cannot|could not|couldn(?:'|’)t) be (?:described|captioned|determined)\b)",
    re.IGNORECASE,
)  # fmt: skip
_QUOTED = re.compile(r"[\"“«][^\"”»]*[\"”»]")
_ABSENT = re.compile(
    r"\b(?:there(?:'s|’s| is| are| was| were| appears? to be| seems? to be| remains?)(?: absolutely| clearly| also| currently)? (?:no|not|none|nobody|nothing|neither|never|hardly any)\b|there (?:is|are)n(?:'|’)t\b|there(?: (?:is|are))? (?:no|not)\b"
    r"|no (?:[\w-]+ ){1,5}?(?:is|are|can be|could be|were|was) (?:\w+ )?(?:visible|seen|present|shown|heard|depicted|in view|in sight|noticeable|apparent|detected|identified|included)"
    r"|(?:no one|nobody|nothing)(?: else)? (?:is|can be|else|appears|moves in the)\b|(?:is|are) (?:absent|missing|not (?:visible|present|shown|seen|in view|pictured))|(?:absence|lack) of (?!movement|motion|camera)|devoid of|with(?:out)? (?:no|any) (?:visible |other |additional |further )?(?:people|person|text|objects?|animals?|characters?|humans?|music|sound|subtitles|logos?|watermarks?|movement of people)"
    r"|with no (?:\w+ )?(?:people|person|text|objects?|animals?|characters?|humans?|music|sound|one)\b|does(?: not|n(?:'|’)t) (?:show|contain|include|feature|have) (?:any|a|an|other))",
    re.IGNORECASE,
)  # fmt: skip


def is_refusal(text: str) -> bool:
    """Whether it holds a model's excuse, such as 'I cannot watch videos'; what is quoted is no excuse."""
    return _REFUSAL.search(_QUOTED.sub(" ", text)) is not None


def without_refusal(text: str) -> str:
    """Without the sentences that are an excuse."""
    return " ".join(part for part in sentences(flatten(text)) if not is_refusal(part))


def _without(text: str, pattern: re.Pattern[str]) -> str:
    """Without the sentences that the pattern finds something in."""
    return " ".join(part for part in sentences(text) if not pattern.search(part))


def _absent_fix(plain: str) -> str:
    """Only where whole short sentences can go, so that nothing of value goes along."""
    gone = [part for part in sentences(plain) if _ABSENT.search(part)]
    is_safe = bool(_without(plain, _ABSENT)) and all(_ABSENT.match(part) for part in gone)
    return "Drop that sentence" if is_safe else ""


# Other languages, tags and times --------------------------------------------------------------------------

_WORD = re.compile(r"[^\W\d_]+")
_ENGLISH = frozenset(
    _WORD.findall("the a an and of with to his her its from at into while is are as behind over")
)
_FOREIGN = frozenset(
    _WORD.findall(
        "der die das und mit ein eine einen einem einer ist auf dem den von sich le la les un une des du et dans avec "
        "sur qui est au el los las una con por del y que lo gli di che nel della il e os um uma com em da het een van "
        "op met och en på av är med i w na z się jest og som til bir ve bu"
    )
)
_FOREIGN_SHARE, _ENGLISH_SHARE, _FEWEST_WORDS = 0.2, 0.08, 6
"""Small words make up about a third of a text in any of these languages."""

_TAGS, _WORDS_A_TAG = 6, 3.0


def is_foreign(text: str) -> bool:
    """Whether a text is in another language than English, as its letters or its small words tell."""
    letters = [letter for letter in _QUOTED.sub(" ", text) if letter.isalpha()]
    latin = sum(letter < "\u0250" for letter in letters)
    if letters and latin < len(letters) / 2:
        return True
    words = _WORD.findall(text.lower())
    if len(words) < _FEWEST_WORDS:
        return False
    foreign, english = (sum(word in known for word in words) / len(words) for known in (_FOREIGN, _ENGLISH))
    return foreign >= _FOREIGN_SHARE and english < _ENGLISH_SHARE


def _is_tags(text: str) -> bool:
    """Whether it is a list such as '1girl, solo, long hair, outdoors', as image models take it."""
    parts = [part.split() for part in re.split(r"[,;]", text) if part.strip()]
    if len(parts) < _TAGS or len(sentences(text)) > 1:
        return False
    return sum(map(len, parts)) / len(parts) < _WORDS_A_TAG and not ends_whole(text)


def _names_times(plain: str) -> bool:
    return any(untimed(part) != part for part in sentences(plain))


def _without_times(text: str) -> str:
    return " ".join(filter(None, map(untimed, sentences(flatten(text)))))


# Unfinished sentences -------------------------------------------------------------------------------------

_DANGLING = re.compile(r"\b(?:the|a|an|and|or|but|with|of|its|their|his|into|from|at|which|whose|very|is|are|while|as|because|then and)[.…]*$", re.I)  # fmt: skip


def _is_cut(text: str) -> bool:
    if word_count(text) < 6:
        return False
    return not ends_whole(text) or text.endswith(("...", "…")) or _DANGLING.search(text) is not None


def _finish(text: str) -> str:
    """Without the unfinished sentence; with a full stop where it is the only one and reads like a whole."""
    if not _is_cut(text):
        return text
    parts = sentences(text)
    if len(parts) > 1:
        return " ".join(parts[:-1]) if ends_whole(text) else without_fragment(text)
    return text if _DANGLING.search(text) else f"{text.rstrip(' ,;:-–—')}."


def _cut_fix(text: str) -> str:
    if len(sentences(text)) > 1:
        return "Drop the unfinished sentence"
    return "" if _DANGLING.search(text) else "Add a full stop"


# The camera against the measurement -----------------------------------------------------------------------

_ADVERBS = r"(?:\s+(?:then|also|now|first|very|slowly|gently|quickly|smoothly|steadily|slightly|gradually|subtly|softly|briskly|rapidly|swiftly|continuously|begins to|starts to|continues to|is|and|physically))*"
_TO = r"(?:\s+(?:slowly|gently|quickly|smoothly|steadily|slightly|gradually|subtly|softly|rapidly|swiftly|back|further|a little|a bit|around|over|across|from|the|to|towards?|its|scene|room|view|frame|in|along|with|him|her|it|them|subject))*"
_SIDE = rf"(?:pan|track|truck|slide|glide|sweep|move|travel|drift|turn|swing|follow|whip|dolly|shift|scroll|roam|rotate|pans-|swivel)(?:s|es|ed|n?ing|p?ed|ped|ping|led|ling)?{_TO}\s+(?P<side>left|right)(?:ward|wards)?"
_RISE = rf"(?:tilt|crane|pedestal|boom|rise|move|lift|sweep|travel|glide|float|drift|pan|lower|descend|climb|ascend)(?:s|es|ed|n?ing|ing)?{_TO}\s+(?P<rise>up|down|upwards?|downwards?)"
_ZOOM_IN = r"(?:zoom(?:s|ed|ing)?(?:[\s-]+\w+){0,2}?[\s-]+in|push(?:es|ed|ing)?(?: (?!back|out|away)\w+)?[\s-]in|push-in|doll(?:y|ies|ied|ying)(?: (?!back|out|away)\w+)?[\s-](?:in|forward)|moves? (?:\w+ )?(?:closer|forward|in)\b|moving (?:\w+ )?(?:closer|forward)|creeps? (?:\w+ )?(?:closer|in|forward)|closes in|tracks? (?:\w+ )?(?:in|forward)|approaches)"
_ZOOM_OUT = r"(?:zoom(?:s|ed|ing)?(?:[\s-]+\w+){0,2}?[\s-]+out|pull(?:s|ed|ing)?(?: \w+)?[\s-](?:back|out|away)|pull-(?:back|out)|doll(?:y|ies|ied|ying)(?: \w+)?[\s-](?:out|back\w*)|moves? (?:\w+ )?(?:back|away|backwards?|out)\b|moving (?:\w+ )?(?:back|away|backwards?)|backs away|retreats|recedes|tracks? (?:\w+ )?(?:back|out)\w*)"
_CAMERA_WORDS = r"(?:camera|view|shot|lens|perspective|frame|framing|viewpoint)"
_STILL = re.compile(
    rf"(?:\b{_CAMERA_WORDS}\b{_ADVERBS}(?:\s+(?:is|stays|remains|keeps|holds|sits|stands|rests|are|kept|stayed|held|was|being|itself|completely|perfectly|entirely|fully|absolutely|almost))*\s+(?:locked[- ]off|locked|static|still|fixed|stationary|motionless|steady and still|unmoving|immobile|in place|on a tripod)"
    rf"|\b(?:static|fixed|stationary|locked[- ]off|locked|motionless|unmoving|immobile|still)[, ]+(?:[\w-]+[, ]+){{0,4}}?{_CAMERA_WORDS}\b|\b(?:on|from|with) a (?:fixed |steady |sturdy )?tripod|\btripod[- ](?:mounted|shot)|{_CAMERA_WORDS} (?:does not|doesn(?:'|’)t|never|doesn't) (?:move|pan|tilt|zoom)|\bno camera (?:movement|motion|move)|without (?:any )?camera (?:movement|motion)|without moving the camera)",
    re.IGNORECASE,
)  # fmt: skip
_NEGATED = re.compile(
    r"\b(?:does not|doesn(?:'|’)t|do not|never|no|without|not|neither|nor)\b(?:\s+\w+){0,3}\s*$", re.I
)
_OWN_MOVES = re.compile(
    r"(?:^|(?<=, )|(?<=and ))(?:pans|tilts|zooms|dollies)\b|\b(?:panning|tilting|zooming|dollying|(?:push|pull)-(?:in|back|out)|(?:slow|gentle|smooth|quick) (?:pan|tilt|zoom))\b", re.I
)  # fmt: skip
_AXES = {
    "pans left": ("side", "left"), "pans right": ("side", "right"), "tilts up": ("rise", "up"), "tilts down": ("rise", "down"),
    "zooms in": ("zoom", "in"), "zooms out": ("zoom", "out"),
}  # fmt: skip


def _claims(sentence: str) -> set[tuple[str, str]]:
    """What a sentence says of the camera's movement, as (axis, direction); ('still', '') for a fixed one."""
    found: set[tuple[str, str]] = set()
    if _STILL.search(sentence):
        found.add(("still", ""))
    for start, clause in _camera_clauses(sentence):
        for pattern, claim in _PATTERNS:
            for match in pattern.finditer(clause):
                if not _NEGATED.search(sentence[: start + match.start()][-40:]):
                    found.add(claim(match))
    return found


def _camera_clauses(sentence: str) -> list[tuple[int, str]]:
    """From each word for the camera to the next clause; what another subject does is left out."""
    clauses: list[tuple[int, str]] = []
    for match in re.finditer(rf"\b{_CAMERA_WORDS}\b", sentence, re.IGNORECASE):
        rest = sentence[match.end() :]
        rest = re.sub(r"^\s+(?:that|which)\b", lambda skipped: " " * len(skipped.group()), rest)
        end = re.search(
            r"\b(?:as|while|when|where|who|which|that|before|after|until|because)\b|[;:.!?]|,\s+(?:the|a|an|he|she|they|his|her)\b",
            rest,
        )
        clauses.append((match.end(), rest[: end.start()] if end else rest))
    clauses += [
        (match.start(), sentence[match.start() : match.end() + 30]) for match in _OWN_MOVES.finditer(sentence)
    ]
    return clauses


def _direction(match: re.Match[str]) -> tuple[str, str]:
    side = match.groupdict().get("side")
    if side:
        return "side", side.lower()
    return "rise", "up" if match["rise"].lower().startswith("up") else "down"


_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[str, str]]], ...] = (
    (re.compile(rf"\b{_SIDE}\b", re.I), _direction),
    (re.compile(rf"\b{_RISE}\b", re.I), _direction),
    (re.compile(r"\b(?:rises|ascends|climbs|rising|ascending)\b", re.I), lambda _match: ("rise", "up")),
    (re.compile(r"\b(?:descends|lowers|sinks|descending|lowering)\b", re.I), lambda _match: ("rise", "down")),
    (re.compile(rf"\b{_ZOOM_IN}", re.I), lambda _match: ("zoom", "in")),
    (re.compile(rf"\b{_ZOOM_OUT}", re.I), lambda _match: ("zoom", "out")),
    (re.compile(r"\bpan(?:s|ning)?\b(?!.*\b(?:left|right|up|down)\w*\b)", re.I), lambda _match: ("side", "")),
    (re.compile(r"\b(?:follows|tracks|tracking|following|chases|circles|orbits|circling|orbiting|arcs)\b(?!.*\b(?:left|right|up|down|in|back|forward)\b)", re.I), lambda _match: ("some", "")),
)  # fmt: skip


@lru_cache(maxsize=1024)
def _contradicting(caption: str, measured: Measured | None) -> tuple[str, str] | None:
    """(the sentence, what is wrong with it)."""
    if measured is None or not measured.camera or not measured.camera_sure:
        return None
    known = {_AXES[move] for move in measured.camera if move in _AXES}
    is_static = measured.camera == ("static",)
    seen = f"measured: the camera {_words(measured)}"
    for part in sentences(flatten(caption)):
        claims = _claims(part)
        moves = {claim for claim in claims if claim[0] != "still"}
        if is_static and moves:
            return part, f"It says that the camera moves; {seen}."
        if known and not moves and ("still", "") in claims:
            return part, f"It says that the camera stands still; {seen}."
        wrong = [claim for claim in moves if claim[0] in ("side", "rise", "zoom") and not _fits(claim, known)]
        if known and wrong:
            return part, f"It says that the camera {_said(wrong[0])}; {seen}."
    return None


def _fits(claim: tuple[str, str], known: set[tuple[str, str]]) -> bool:
    axis, direction = claim
    return any(axis == one and direction in ("", other) for one, other in known)


def _said(claim: tuple[str, str]) -> str:
    verb = {"side": "pans", "rise": "tilts", "zoom": "zooms"}[claim[0]]
    return f"{verb} {claim[1]}".strip()


def _words(measured: Measured) -> str:
    return "is static" if measured.camera == ("static",) else _joined(list(measured.camera))


def _camera_fix(text: str, measured: Measured | None) -> str:
    """Only a sentence that begins with the camera is replaced as a whole."""
    found = _contradicting(text, measured)
    if not found or measured is None or not _OF_THE_CAMERA.match(found[0]):
        return ""
    return f"Say '{measured.camera_sentence()}'"


_OF_THE_CAMERA = re.compile(
    r"(?:the |a |an )?(?:[\w-]+ )?(?:camera|shot|view|lens)\b(?![^.]*\b(?:as|while|follow|show|reveal|on|to (?:show|reveal))\w*\b)", re.I
)  # fmt: skip


def _with_measured_camera(text: str, context: Context) -> str:
    found = _contradicting(text, context.measured)
    if not found or context.measured is None or not _camera_fix(text, context.measured):
        return text
    return flatten(text).replace(found[0], context.measured.camera_sentence(), 1)


def _joined(words: list[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


# Fixes ----------------------------------------------------------------------------------------------------


def _appended(text: str, sentence: str) -> str:
    if not sentence:
        return text
    whole = text.strip()
    return f"{whole if ends_whole(whole) else whole.rstrip(' ,;:') + '.'} {sentence}"


def _one_trigger(text: str, context: Context) -> str:
    pattern = _trigger_pattern(context.trigger)
    first = pattern.search(text)
    if not first:
        return text
    return (
        " ".join((text[: first.end()] + pattern.sub(" ", text[first.end() :])).split())
        .replace(" .", ".")
        .replace(" ,", ",")
    )


_FIXES: dict[str, Callable[[str, Context], str]] = {
    "long": lambda text, _: whole_sentences(" ".join(text.split())),
    "markup": lambda text, _: unmarked(text),
    "times": lambda text, _: _without_times(text),
    "opener": lambda text, _: without_opener(" ".join(text.split())),
    "absent": lambda text, _: _without(flatten(text), _ABSENT),
    "camera": lambda text, context: _appended(text, (context.measured or Measured()).camera_sentence()),
    "light": lambda text, context: _appended(text, (context.measured or Measured()).light_sentence()),
    "contradiction": _with_measured_camera,
    "repeats": lambda text, _: without_repeats(" ".join(text.split())),
    "cut_off": lambda text, _: _finish(" ".join(text.split())),
    "refusal": lambda text, _: without_refusal(text),
    "trigger_missing": lambda text, context: f"{context.trigger.strip()} {text.strip()}",
    "trigger_doubled": _one_trigger,
}
