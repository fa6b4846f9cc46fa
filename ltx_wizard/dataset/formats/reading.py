"""Which dataset lies in a folder or a file, told from its content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ltx_wizard.core.errors import (
    BadDocument,
    BadInput,
    NoPermission,
    NotFound,
    WizardError,
    explain_os_error,
)
from ltx_wizard.core.places import whole_path
from ltx_wizard.core.units import plural
from ltx_wizard.dataset.formats.archives import ARCHIVE_SUFFIX, read_archives
from ltx_wizard.dataset.formats.configs import read_json_file, read_json_settings, read_toml
from ltx_wizard.dataset.formats.entries import FoundDataset
from ltx_wizard.dataset.formats.folders import (
    DEEP,
    joined,
    read_caption_folder,
    read_repeated_folders,
    read_sidecars,
    repeated_folders,
)
from ltx_wizard.dataset.formats.lists import CAPTION_LISTS, MEDIA_LISTS, find_lists, read_lists
from ltx_wizard.dataset.formats.paths import files_in, folders_in, is_media
from ltx_wizard.dataset.formats.tables import TABLE_SUFFIXES, read_json_table, read_table

_FIRST_TABLES = ("dataset", "metadata", "captions")
"""Names that the trainers use, in the order in which they are looked for."""

_SETTINGS = ("dataset.toml", "multidatabackend.json", "concepts.json")
_NAMED = 5
_PACKED = (".parquet", ".arrow", ".zip", ".gz", ".7z", ".rar")


def read_dataset(place: Path) -> FoundDataset:
    """The dataset in a folder or file. Files that are missing or refused are in left_out, one by one.

    Raises NotFound where there is none, BadDocument or BadInput where it cannot be read.
    """
    path = whole_path(place)
    found = _read_folder(path) if _is_folder(path) else _read_file(path)
    if not found.entries and not found.left_out:
        raise _nothing(path)
    return found


def _read_file(path: Path) -> FoundDataset:
    suffix, name = path.suffix.lower(), path.name.lower()
    if suffix == ".toml":
        return read_toml(path)
    if suffix == ".json":
        content = read_json_file(path)
        return read_json_settings(path, content) or read_json_table(path, content)
    if suffix in TABLE_SUFFIXES:
        return read_table(path)
    if name in CAPTION_LISTS or name in MEDIA_LISTS:
        lists = find_lists(path.parent, {item.name for item in files_in(path.parent)})
        if lists is None:
            raise NotFound(
                problem=f"{path.name} is one of two lists, and the other is not beside it.",
                remedy=f"Put {MEDIA_LISTS[0]} and {CAPTION_LISTS[0]} into one folder.",
            )
        return read_lists(*lists)
    if suffix == ARCHIVE_SUFFIX:
        return read_archives([path], path)
    if suffix in _PACKED:
        raise _packed(path)
    if not path.exists():
        raise NotFound(problem=f"{path} does not exist.", remedy="Check the spelling of the path.")
    raise BadInput(
        problem=f"{path.name} is no dataset.",
        remedy="Choose the folder, or a file that ends with .json, .jsonl, .csv, .toml or .txt.",
    )


def _read_folder(folder: Path) -> FoundDataset:
    """The table of a folder, else its lists, else captions beside the videos, else what its folders hold."""
    files = files_in(folder)
    table = _known_table(files)
    if table is not None:
        return _told_unnamed(_read_known_table(table, folder), files)
    lists = find_lists(folder, {file.name for file in files})
    if lists is not None:
        return _told_unnamed(read_lists(*lists), files)
    archives = [file for file in files if file.suffix.lower() == ARCHIVE_SUFFIX]
    if archives and not any(map(is_media, files)):
        return read_archives(archives, folder)
    repeated = repeated_folders(folder)
    if repeated:
        return read_repeated_folders(folder, repeated)
    beside = read_sidecars(folder)
    other = _only_table(files)
    if beside.captions or (beside.entries and other is None):
        return _captioned_or_nothing(beside, folder)
    return _read_parts(folder) if other is None else _read_only_table(other, folder)


def _told_unnamed(found: FoundDataset, files: Sequence[Path]) -> FoundDataset:
    """With a note on the videos in the folder that its table does not name: they are not imported."""
    named = {entry.file for entry in found.entries}
    others = [file.name for file in files if is_media(file) and file not in named]
    if not others or not found.entries:
        return found
    shown = ", ".join(others[:_NAMED]) + (f" and {len(others) - _NAMED} more" if len(others) > _NAMED else "")
    table = found.title.rsplit(", ", 1)[-1]
    note = f"{plural(len(others), 'file')} in this folder not named in {table}, and so not imported: {shown}."
    return replace(found, notes=(*found.notes, note))


def _known_table(files: Sequence[Path]) -> Path | None:
    """The settings or the table of a folder, by the names that trainers give them."""
    by_name = {file.name.lower(): file for file in files}
    tables = [f"{stem}{suffix}" for stem in _FIRST_TABLES for suffix in TABLE_SUFFIXES]
    return next((by_name[name] for name in (*_SETTINGS, *tables) if name in by_name), None)


def _read_known_table(table: Path, folder: Path) -> FoundDataset:
    """A table that is none, such as a program's own metadata.json, does not hide captions beside videos."""
    try:
        return _read_file(table)
    except BadDocument as error:
        beside = read_sidecars(folder)
        if not beside.captions:
            raise
        notes = (*beside.notes, f"{table.name} was not used. {error.problem}")
        return replace(beside, notes=notes)


def _read_only_table(table: Path, folder: Path) -> FoundDataset:
    """Any JSON may be the only one of a folder: where it is no table, the dataset may lie further down."""
    try:
        return _read_file(table)
    except BadDocument as error:
        try:
            return _read_parts(folder)
        except NotFound:
            raise error from None


def _only_table(files: Sequence[Path]) -> Path | None:
    """A table by any other name, where there is but one."""
    media = {file.stem for file in files if is_media(file)}
    tables = [
        file for file in files if file.suffix.lower() in (*TABLE_SUFFIXES, ".toml") and file.stem not in media
    ]
    return tables[0] if len(tables) == 1 else None


def _read_parts(folder: Path) -> FoundDataset:
    """A folder of folders: splits with a table each ('train', 'test'), or captions further down."""
    tables = [table for inner in folders_in(folder) if (table := _table_of(inner))]
    if tables:
        parts = [_read_file(table) for table in tables]
        title = f"{parts[0].title.split(',')[0]} in {plural(len(parts), 'folder')}"
        return joined(title, folder, parts)
    return read_caption_folder(folder) or _captioned_or_nothing(read_sidecars(folder, depth=DEEP), folder)


def _table_of(folder: Path) -> Path | None:
    try:
        return _known_table(files_in(folder))
    except NoPermission:
        return None


def _captioned_or_nothing(found: FoundDataset, folder: Path) -> FoundDataset:
    if found.captions or found.left_out:
        return found
    if found.entries:
        raise NotFound(
            problem=f"There are videos in {folder}, but no captions.",
            remedy="Add them as videos instead: give this folder to 'Or a folder or file on this computer'.",
        )
    raise _nothing(folder)


def _packed(path: Path) -> BadInput:
    return BadInput(
        problem=f"{path.name} is packed: LTX Wizard reads datasets of plain files.",
        remedy="Unpack it, or save its table as metadata.csv, then choose the folder.",
    )


def _nothing(path: Path) -> WizardError:
    packed = [file for file in _near_files(path) if file.suffix.lower() in _PACKED]
    if packed:
        return _packed(packed[0])
    return NotFound(
        problem=f"There is no dataset in {path}.",
        remedy="Choose a folder that holds videos with captions, or the file that lists them.",
    )


def _near_files(folder: Path) -> list[Path]:
    """What lies in a folder and directly in those within."""
    try:
        return [*files_in(folder), *(file for inner in folders_in(folder) for file in files_in(inner))]
    except WizardError:
        return []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise explain_os_error(error, path) from error
