"""Datasets that are one table: a JSON list or object, JSON lines, or CSV with a header."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ltx_wizard.core.clip import Rejected
from ltx_wizard.core.errors import BadDocument, BadInput, WizardError
from ltx_wizard.dataset.formats.entries import (
    CAPTION_COLUMNS,
    MEDIA_COLUMNS,
    Entry,
    FoundDataset,
    left_out,
    one_line,
)
from ltx_wizard.dataset.formats.paths import find_media, is_media
from ltx_wizard.dataset.formats.text import numbered_lines, read_dataset_text

TABLE_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv")

_TITLES = {
    "video": "LTX-2 ltx-trainer",
    "media_path": "LTX-Video-Trainer",
    "file_name": "Hugging Face metadata",
    "video_path": "musubi-tuner list",
    "image_path": "musubi-tuner list",
}
"""Who writes a table with this column."""

_DELIMITERS = ",;\t"
"""A spreadsheet program writes semicolons in countries where a comma stands in numbers."""

_LONGEST_FIELD = 1 << 20


@dataclass(frozen=True)
class _Line:
    """One row. where: 'line 3', 'entry 3'. values: by column, in lower case."""

    where: str
    values: Mapping[str, object]


def read_table(path: Path, base: Path | None = None) -> FoundDataset:
    """Read a table. A row that is of no use is left out, with the reason.

    base: what its paths are relative to; None: the folder of the table. Raises BadDocument where no row can
    be read, and what read_dataset_text raises.
    """
    text = read_dataset_text(path)
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _dataset(path, _csv_lines(text, path.name), [], base or path.parent)
    if suffix == ".jsonl":
        bad: list[Rejected] = []
        return _dataset(path, list(_json_lines(text, path.name, bad)), bad, base or path.parent)
    return read_json_table(path, parse_json(text, path.name), base)


def read_json_table(path: Path, content: object, base: Path | None = None) -> FoundDataset:
    """As read_table, of JSON that is parsed already."""
    if isinstance(content, dict):
        whole = cast("dict[str, object]", content)
        rows = _rows_in(whole)
        if rows is not None:
            return read_json_table(path, rows, base)
        return _map_dataset(path, whole, base or path.parent)
    if not isinstance(content, list):
        raise _no_table(path.name)
    lines: list[_Line] = []
    bad: list[Rejected] = []
    for number, row in enumerate(cast("list[object]", content), start=1):
        where = f"entry {number}"
        if isinstance(row, dict):
            lines.append(_Line(where, _lowered(cast("dict[str, object]", row))))
        else:
            bad.append(_bad_row(path.name, where, "is not an object with a caption and a path"))
    return _dataset(path, lines, bad, base or path.parent)


def _rows_in(content: Mapping[str, object]) -> object | None:
    """The rows of {"data": [...]}, or of the only list of objects that name videos, by whatever name."""
    if isinstance(content.get("data"), list):
        return content["data"]
    lists = [
        value
        for value in content.values()
        if isinstance(value, list) and any(map(_names_media, cast("list[object]", value)))
    ]
    return lists[0] if len(lists) == 1 else None


def _names_media(row: object) -> bool:
    return isinstance(row, dict) and any(
        column in MEDIA_COLUMNS for column in _lowered(cast("dict[str, object]", row))
    )


def parse_json(text: str, name: str) -> object:
    """Raises BadDocument."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadDocument(
            problem=f"{name} is not valid JSON ({str(error)[:80]}).",
            remedy="Correct it in a text editor; a missing comma or bracket is the usual cause.",
        ) from error


def _dataset(path: Path, lines: Sequence[_Line], bad: Sequence[Rejected], base: Path) -> FoundDataset:
    columns = list(dict.fromkeys(column for line in lines for column in line.values))
    media = [column for column in MEDIA_COLUMNS if column in columns]
    captions = [column for column in CAPTION_COLUMNS if column in columns]
    if not media:
        raise _without_column(path.name, columns) if columns else _no_table(path.name)
    entries: list[Entry] = []
    out = list(bad)
    for line in lines:
        try:
            entries.append(_entry(path, line, media, captions, base))
        except WizardError as error:
            out.append(left_out(_first_text(line.values, media) or f"{path.name}, {line.where}", error))
    unused = [column for column in columns if column not in media and column not in captions]
    title = f"{_TITLES.get(media[0], 'table with captions')}, {path.name}"
    notes = () if captions else (f"{path.name} has no captions.",)
    return FoundDataset(title, path, tuple(entries), tuple(out), tuple(unused), notes)


def _entry(path: Path, line: _Line, media: Sequence[str], captions: Sequence[str], base: Path) -> Entry:
    named = _first_text(line.values, media)
    if not named:
        raise BadInput(
            problem=f"{path.name}, {line.where} names no video.", remedy="Write its path, or remove that row."
        )
    return Entry(named, find_media(named, base), one_line(_first_text(line.values, captions)))


def _map_dataset(path: Path, content: Mapping[str, object], base: Path) -> FoundDataset:
    """{path: caption}, or {path: {"caption": ...}} as kohya's scripts write it."""
    entries: list[Entry] = []
    out: list[Rejected] = []
    unused: set[str] = set()
    of_objects = False
    for named, value in content.items():
        if isinstance(value, dict):
            of_objects = True
            row = _lowered(cast("dict[str, object]", value))
            caption = _first_text(row, CAPTION_COLUMNS)
            unused |= set(row) - set(CAPTION_COLUMNS)
        elif isinstance(value, str):
            caption = value
        else:
            raise _no_table(path.name)
        try:
            entries.append(Entry(named, find_media(named, base), one_line(caption)))
        except WizardError as error:
            out.append(left_out(named, error))
    if not entries and not any(is_media(Path(named)) for named in content):
        raise _no_table(path.name)
    title = "kohya metadata" if of_objects else "LTX-Video-Trainer captions by path"
    return FoundDataset(f"{title}, {path.name}", path, tuple(entries), tuple(out), tuple(sorted(unused)))


def _json_lines(text: str, name: str, bad: list[Rejected]) -> Iterator[_Line]:
    """One object a line; a line that is none goes to `bad`."""
    for number, line in numbered_lines(text):
        where = f"line {number}"
        if not line.strip():
            continue
        try:
            row = parse_json(line, f"{name}, {where}")
        except BadDocument as error:
            bad.append(left_out(f"{name}, {where}", error))
            continue
        if isinstance(row, dict):
            yield _Line(where, _lowered(cast("dict[str, object]", row)))
        else:
            bad.append(_bad_row(name, where, "is not an object with a caption and a path"))


def _csv_lines(text: str, name: str) -> list[_Line]:
    """Rows by the names of the header. Quotes may hold delimiters and line ends. Raises BadDocument."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    header_line = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(field.strip() for field in row)]
    except csv.Error as error:
        raise BadDocument(
            problem=f"{name} is not valid CSV from line {reader.line_num} on ({error}).",
            remedy='Put captions with commas in "double quotes", and write a quote inside one twice.',
        ) from error
    finally:
        csv.field_size_limit(before)
    if not rows:
        raise _no_table(name)
    header, body = _header(rows)
    for number, row in body:
        if len(row) > len(header):
            raise BadDocument(
                problem=f"{name}, line {number} has {len(row)} fields; the header has {len(header)}.",
                remedy='Put captions with commas in "double quotes".',
            )
    return [_Line(f"line {number}", dict(zip(header, row, strict=False))) for number, row in body]


def _header(rows: Sequence[tuple[int, list[str]]]) -> tuple[list[str], Sequence[tuple[int, list[str]]]]:
    """The names of the columns, and the rows below. Where the first row holds a video already, there is no
    header: then that column holds the videos, and of the others the one with the longest texts the captions.
    """
    first = [field.strip().lower() for field in rows[0][1]]
    place = next((index for index, field in enumerate(first) if is_media(Path(field))), None)
    if place is None or set(first) & {*MEDIA_COLUMNS, *CAPTION_COLUMNS}:
        return first, rows[1:]
    lengths = [sum(len(row[index]) for _, row in rows if index < len(row)) for index in range(len(first))]
    lengths[place] = -1
    header = [f"column {index + 1}" for index in range(len(first))]
    header[place] = MEDIA_COLUMNS[0]
    if len(first) > 1:
        header[lengths.index(max(lengths))] = CAPTION_COLUMNS[0]
    return header, rows


def _first_text(values: Mapping[str, object], columns: Sequence[str]) -> str:
    """The first of these columns that holds text. Of several captions in a list, the first."""
    for column in columns:
        value = values.get(column)
        if isinstance(value, list) and value:
            value = cast("list[object]", value)[0]
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def _lowered(row: Mapping[str, object]) -> dict[str, object]:
    return {str(column).strip().lower(): value for column, value in row.items()}


def _bad_row(name: str, where: str, what: str) -> Rejected:
    return Rejected(name=f"{name}, {where}", problem=f"It {what}.", remedy="Correct or remove it.")


def _without_column(name: str, columns: Sequence[str]) -> BadDocument:
    has = ", ".join(columns[:8])
    return BadDocument(
        problem=f"{name} has no column that names videos. It has: {has}.",
        remedy=f"Name that column one of {', '.join(MEDIA_COLUMNS[:5])}; and the captions: caption.",
    )


def _no_table(name: str) -> BadDocument:
    return BadDocument(
        problem=f"{name} is no list of videos with captions.",
        remedy="It should be a list of objects with caption and video, or a CSV with those columns.",
    )
