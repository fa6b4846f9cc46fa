"""Datasets that are folders: beside each video or image a text file of the same name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ltx_wizard.core.caption import storable
from ltx_wizard.core.clip import Rejected
from ltx_wizard.core.errors import BadInput, NoPermission, WizardError
from ltx_wizard.core.units import plural
from ltx_wizard.dataset.formats.entries import Entry, FoundDataset, caption_of, left_out, one_line
from ltx_wizard.dataset.formats.paths import files_in, folders_in, is_media
from ltx_wizard.dataset.formats.tables import parse_json
from ltx_wizard.dataset.formats.text import numbered_lines, read_dataset_text

SIDECAR_SUFFIXES = (".txt", ".caption", ".json")

BESIDE = "videos with captions beside them"

DEEP = 3
"""How many folders down captions are looked for: a wrong path must not lead through a whole disk."""

_MOST_FOLDERS = 2000

_REPEATED = re.compile(r"^(\d+)_(.+)$")
"""kohya's names of folders: how often to repeat, and the concept."""

_NO_CAPTION_NAMES = re.compile(
    r"^(readme|license|licence|notes?|requirements|metadata|dataset)\b", re.IGNORECASE
)


def repeated_folders(folder: Path) -> list[Path]:
    """The folders named 'N_name' in a folder that hold videos or images."""
    return [
        inner
        for inner in folders_in(folder)
        if _REPEATED.match(inner.name) and any(map(is_media, files_in(inner)))
    ]


def read_repeated_folders(folder: Path, inner: Sequence[Path]) -> FoundDataset:
    """kohya's 'N_name' folders. The repeats are named in the notes: here every clip is seen equally often."""
    return joined(
        "kohya folders", folder, [read_sidecars(item, root=folder) for item in inner], _repeats(inner)
    )


def read_caption_folder(folder: Path) -> FoundDataset | None:
    """Videos in one folder and their captions in another ('videos' and 'labels', as CogVideoX has them); None
    where it is not so.
    """
    files = {inner: files_in(inner) for inner in folders_in(folder)}
    media = [inner for inner, held in files.items() if any(map(is_media, held))]
    texts = [
        inner
        for inner, held in files.items()
        if inner not in media and held and all(file.suffix.lower() in SIDECAR_SUFFIXES for file in held)
    ]
    if len(media) != 1 or len(texts) != 1:
        return None
    reader = _Sidecars(SIDECAR_SUFFIXES, first_line=False, root=folder)
    reader.add(media[0], 0, texts[0])
    title = f"videos in '{media[0].name}' and captions in '{texts[0].name}'"
    return FoundDataset(title, folder, tuple(reader.entries), (*reader.out, *reader.orphans))


def read_sidecars(
    folder: Path,
    title: str = BESIDE,
    suffixes: Sequence[str] = SIDECAR_SUFFIXES,
    first_line: bool = False,
    depth: int = 0,
    root: Path | None = None,
) -> FoundDataset:
    """Each video or image of a folder with the caption beside it, where there is one.

    suffixes: of the captions, the first that is there counts. first_line: the file holds several captions,
    one a line, as SimpleTuner reads it. depth: how far to go into the folders within. root: the folder that
    files are named from; None: this one.
    Raises NotFound or NoPermission.
    """
    reader = _Sidecars(tuple(suffix.lower() for suffix in suffixes), first_line, root or folder)
    reader.add(folder, depth)
    orphans = reader.orphans if any(entry.caption for entry in reader.entries) else []
    notes = (
        (f"{plural(reader.several, 'file')} held several captions, one a line; the first was taken.",)
        if reader.several
        else ()
    )
    return FoundDataset(title, folder, tuple(reader.entries), (*reader.out, *orphans), notes=notes)


def joined(title: str, place: Path, parts: Sequence[FoundDataset], notes: Sequence[str] = ()) -> FoundDataset:
    """Several datasets as one; a file that several of them name counts once."""
    entries: dict[tuple[Path, str], Entry] = {}
    for part in parts:
        for entry in part.entries:
            entries.setdefault((entry.file, entry.file_name), entry)
    return FoundDataset(
        title,
        place,
        tuple(entries.values()),
        tuple(item for part in parts for item in part.left_out),
        tuple(dict.fromkeys(column for part in parts for column in part.unused)),
        (*notes, *dict.fromkeys(note for part in parts for note in part.notes)),
    )


class _Sidecars:
    """Collects what several folders hold."""

    def __init__(self, suffixes: tuple[str, ...], first_line: bool, root: Path) -> None:
        self._suffixes = suffixes
        self._first_line = first_line
        self._root = root
        self.entries: list[Entry] = []
        self.out: list[Rejected] = []
        self.orphans: list[Rejected] = []
        self.several = 0
        self._folders = 0

    def add(self, folder: Path, depth: int, captions: Path | None = None) -> None:
        """captions: where they lie; None: beside the videos."""
        self._folders += 1
        if self._folders > _MOST_FOLDERS:
            raise BadInput(
                problem=f"There are more than {_MOST_FOLDERS:,} folders here.",
                remedy="Choose the folder of the dataset itself.",
            )
        files = files_in(folder)
        beside = files if captions is None else files_in(captions)
        texts = {file.name.lower(): file for file in beside if file.suffix.lower() in self._suffixes}
        used: set[str] = set()
        for file in files:
            if is_media(file):
                self._add_file(file, texts, used)
        self.orphans += [
            _orphan(file, self._named(file))
            for name, file in texts.items()
            if name not in used and _is_orphan(file)
        ]
        for inner in folders_in(folder) if depth else []:
            with suppress(NoPermission):
                self.add(inner, depth - 1)

    def _add_file(self, file: Path, texts: dict[str, Path], used: set[str]) -> None:
        wanted = [f"{stem}{suffix}".lower() for suffix in self._suffixes for stem in (file.stem, file.name)]
        name = next((name for name in wanted if name in texts), "")
        used |= {other for other in wanted if other in texts}
        caption = ""
        if name:
            try:
                caption = self._caption(texts[name])
            except WizardError as error:
                self.out.append(left_out(self._named(texts[name]), error))
        self.entries.append(Entry(self._named(file), file, caption))

    def _named(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()

    def _caption(self, file: Path) -> str:
        text = read_dataset_text(file)
        if file.suffix.lower() == ".json":
            parse_json(text, file.name)
            return caption_of(text)
        lines = [line for _, line in numbered_lines(text) if line.strip()]
        if self._first_line and len(lines) > 1:
            self.several += 1
            return one_line(lines[0])
        return one_line(text)


def _is_orphan(file: Path) -> bool:
    return file.suffix.lower() != ".json" and not _NO_CAPTION_NAMES.match(file.stem)


def _orphan(file: Path, named: str) -> Rejected:
    return Rejected(
        name=storable(named),
        problem=f"There is no video or image called {file.stem} beside it.",
        remedy="Put the video into that folder, or give both the same name.",
    )


def _repeats(inner: Sequence[Path]) -> list[str]:
    counts = {match[2]: int(match[1]) for folder in inner if (match := _REPEATED.match(folder.name))}
    repeated = [f"{name} {count} times" for name, count in counts.items() if count > 1]
    return [f"Repeats are not taken over: {', '.join(repeated)}."] if repeated else []
