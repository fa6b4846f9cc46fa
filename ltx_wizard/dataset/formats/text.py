"""Text files of a dataset: UTF-8 or UTF-16, each with or without a byte order mark; any line ends."""

from __future__ import annotations

import codecs
from pathlib import Path

from ltx_wizard.core.errors import BadDocument, explain_os_error

_LARGEST_BYTES = 256 << 20
"""A caption file of 100,000 clips has 60 MB. Something larger is none, and would fill the memory."""


def read_dataset_text(path: Path) -> str:
    """The text as it stands, line ends unchanged. Raises BadDocument, NotFound, NoPermission."""
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise BadDocument(
                problem=f"{path.name} is too large for a list of captions.",
                remedy="Choose the file with the captions, or the folder that it lies in.",
            )
        raw = path.read_bytes()
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        return raw.decode(_encoding(raw))
    except UnicodeDecodeError as error:
        raise BadDocument(
            problem=f"{path.name} is not UTF-8 text (byte {error.start + 1:,}).",
            remedy="Open it in a text editor, save it with the encoding UTF-8, and try again.",
        ) from error


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """(number from 1, line) without line ends; empty lines at the end are none. U+2028 ends no line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return list(enumerate(lines, start=1))


def _encoding(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(raw) > 1 and raw[start::2].count(0) > len(raw) / 4:  # no text has null characters
            return encoding
    return "utf-8-sig"
