"""What models write around a caption: thoughts, turns, tables, rules, times and numbers of frames."""

from __future__ import annotations

import re

_THOUGHT = re.compile(
    r"[<◁](?P<word>think(?:ing)?|thoughts?|reasoning|analysis)[>▷].*?[<◁]/(?P=word)[>▷]"
    r"|^.*?[<◁]/(?:think(?:ing)?|thoughts?|reasoning|analysis)[>▷]"
    r"|<\|begin_of_thought\|>.*?<\|end_of_thought\|>",
    re.DOTALL | re.IGNORECASE,
)
_OPEN_THOUGHT = re.compile(
    r"(?:[<◁](?:think(?:ing)?|thoughts?|reasoning|analysis)[>▷]|<\|begin_of_thought\|>).*\Z",
    re.DOTALL | re.IGNORECASE,
)
_END_OF_TURN = re.compile(
    r"<\|(?:im_end|endoftext|end_of_text|eot_id|eom_id|end|eos)\|>|<end_of_turn>|<end_of_utterance>|</s>"
)
_ROLE = re.compile(r"^\s*(?:<\|im_start\|>\s*)?(?:assistant|model|ai)\s*\n", re.IGNORECASE)
_ASKED = re.compile(r"^\s*(?:user|human)\s*:.*?\n\s*(?:assistant|ai)\s*:\s*", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]{0,80}>")

_RULE = re.compile(r"^\s*(?:[-*_=~]\s*){3,}$")
_ROW = re.compile(r"^\s*\|(.+)\|\s*$")
_ROW_RULE = re.compile(r"^[\s|:-]+$")
_NOTES = re.compile(
    r"^\W*(?:notes?|explanations?|reasoning|disclaimer|comments?|word count|additional (?:notes|information)"
    r"|key (?:points|details|elements))\W*$",
    re.IGNORECASE,
)
_TITLE = re.compile(r"^(?:#{1,6}\s(?!.*[.!?:]\W*$)|\W*title\W*:)", re.IGNORECASE)
_EMPHASIS = re.compile(r"(?<![\w*])\*(?![\s*])([^*\n]+?)(?<!\s)\*(?![\w*])|(?<!`)`([^`\n]+)`(?!`)")
_LINE_END = re.compile(r"\\r?\\n|\\n(?=[A-Z*#\\\s-]|$)")

_UNIT = r"\s?(?:s|secs?|seconds?)\b"
_TIME = rf"(?:\d{{1,2}}(?::\d{{2}}){{1,2}}(?:[.,]\d+)?(?:{_UNIT})?|\d+(?:\.\d+)?{_UNIT})"
_SPAN = rf"(?:(?:\d+(?:\.\d+)?\s*[-–—~]\s*)?{_TIME}(?:\s*(?:[-–—~]+|to|and|until)\s*(?:{_TIME}|end))?)"
_BRACKETED = re.compile(
    rf"\s*(?:[\[(]\s*{_SPAN}\s*[\])]|<\s*{_SPAN}\s*>)(?:\s*[:–—-]+(?=\s))?", re.IGNORECASE
)
_TIMED = re.compile(
    rf"^(?:{_SPAN}\s*(?:[:|]|[-–—]+(?=\s))\s*"
    rf"|(?:at|by|from|between|around)\s+(?:about |around |approximately |roughly )?(?:the )?(?:time )?{_SPAN}"
    r"(?:[- ]mark| into the \w+)?\s*,\s*"
    r"|(?:key ?)?(?:frame|shot|scene|clip|caption|image|picture|segment)s?\s*#?\d+"
    r"(?:\s*(?:[-–—]|and|to)\s*\d+)?\s*(?:\([^()]*\)\s*)?(?:[:.]|[-–—]+(?=\s))\s*"
    r"|in (?:the )?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|next|last|final|opening|closing"
    r"|initial|following|subsequent|later)(?: (?:few|two|three))? (?:key ?)?frames?\s*,\s*)",
    re.IGNORECASE,
)


def first_turn(text: str) -> str:
    """What the model answered, without its thoughts and without a turn that it made up after its own."""
    text = _OPEN_THOUGHT.sub("", _THOUGHT.sub("", text))
    turns = _END_OF_TURN.split(text)
    spoken = next((turn for turn in turns if _TAG.sub("", turn).strip()), "")
    return _ROLE.sub("", _ASKED.sub("", _LINE_END.sub("\n", spoken))).strip()


def plain_lines(text: str) -> list[str]:
    """The lines that say something: rules, quote marks, emphasis and what comes under 'Notes' are gone, and
    the rows of a table are 'label: text'.
    """
    lines = [line.strip().removeprefix(">").strip() for line in text.splitlines()]
    kept: list[str] = []
    for index, line in enumerate(lines):
        if kept and _NOTES.match(line):
            break
        row = _ROW.match(line)
        if row:
            is_header = index + 1 < len(lines) and _is_row_rule(lines[index + 1])
            line = "" if is_header or _is_row_rule(line) else _row_text(row[1])
        if line and not _RULE.match(line):
            kept.append(_EMPHASIS.sub(lambda found: found[1] or found[2], line))
    told = [line for line in kept if not _TITLE.match(line)]
    return told or kept


def is_timed(line: str) -> bool:
    """Whether a line begins with a time or the number of a frame."""
    return bool(_TIMED.match(line) or _BRACKETED.match(line))


def untimed(sentence: str) -> str:
    """Without the times and numbers of frames that were given to the model: a caption has none of them."""
    rest = _TIMED.sub("", _BRACKETED.sub("", _TIMED.sub("", sentence)).strip())
    return rest if rest == sentence else rest[:1].upper() + rest[1:]


def _is_row_rule(line: str) -> bool:
    return "-" in line and "|" in line and _ROW_RULE.match(line) is not None


def _row_text(row: str) -> str:
    cells = [cell.strip(" *") for cell in row.split("|")]
    cells = [cell for cell in cells if cell]
    return f"{cells[0]}: {', '.join(cells[1:])}" if len(cells) > 1 else " ".join(cells)
