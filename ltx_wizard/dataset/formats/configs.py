"""Settings files of trainers that say where the videos lie: TOML and JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from ltx_wizard.core.clip import Rejected
from ltx_wizard.core.errors import BadDocument, BadInput, WizardError
from ltx_wizard.dataset.formats.entries import Entry, FoundDataset, left_out, one_line
from ltx_wizard.dataset.formats.folders import DEEP, SIDECAR_SUFFIXES, joined, read_sidecars
from ltx_wizard.dataset.formats.paths import find_folder, find_media
from ltx_wizard.dataset.formats.tables import parse_json, read_table
from ltx_wizard.dataset.formats.text import read_dataset_text

if sys.version_info >= (3, 11):
    import tomllib as toml
else:
    import tomlkit as toml  # gradio brings it; tomllib came with Python 3.11

Table = Mapping[str, object]
Part = Callable[[], FoundDataset]

_KNOWN_STRATEGIES = ("textfile", "filename", "instanceprompt")


def read_toml(path: Path) -> FoundDataset:
    """The dataset of diffusion-pipe, musubi-tuner or kohya's scripts. Raises BadDocument for any other."""
    content = _parse_toml(read_dataset_text(path), path.name)
    base = path.parent
    directories, datasets = _tables(content, "directory"), _tables(content, "datasets")
    if directories:
        parts = [_folder_part(base, table, "path", (".txt",)) for table in directories]
        return _joined("diffusion-pipe", path, parts)
    general = cast("Table", content.get("general") or {})
    subsets = [(table, subset) for table in datasets for subset in _tables(table, "subsets")]
    if subsets:
        parts = [_kohya_part(base, {**general, **table, **subset}) for table, subset in subsets]
        return _joined("kohya settings", path, parts)
    if datasets:
        return _joined("musubi-tuner", path, [_musubi_part(base, {**general, **table}) for table in datasets])
    raise BadDocument(
        problem=f"{path.name} names no folder with videos.",
        remedy="Choose the dataset's file (diffusion-pipe, musubi-tuner, kohya), not the training's.",
    )


def read_json_settings(path: Path, content: object) -> FoundDataset | None:
    """The dataset of SimpleTuner or OneTrainer; None where this JSON is neither."""
    if not isinstance(content, list) or not content:
        return None
    tables = [cast("Table", item) for item in cast("list[object]", content) if isinstance(item, dict)]
    backends = [table for table in tables if "instance_data_dir" in table]
    if backends:
        return _joined("SimpleTuner", path, [_simpletuner_part(path.parent, table) for table in backends])
    concepts = [table for table in tables if isinstance(table.get("text"), dict) and "path" in table]
    if concepts:
        return _joined("OneTrainer", path, [_onetrainer_part(path.parent, table) for table in concepts])
    return None


def read_json_file(path: Path) -> object:
    return parse_json(read_dataset_text(path), path.name)


def _joined(title: str, path: Path, parts: Sequence[Part]) -> FoundDataset:
    """What each part finds; one that finds nothing is left out, with the reason."""
    found: list[FoundDataset] = []
    out: list[Rejected] = []
    for number, part in enumerate(parts, start=1):
        try:
            found.append(part())
        except WizardError as error:
            out.append(left_out(f"{path.name}, dataset {number}", error))
    whole = joined(f"{title}, {path.name}", path, found)
    return FoundDataset(whole.title, path, whole.entries, (*whole.left_out, *out), whole.unused, whole.notes)


def _folder_part(base: Path, table: Table, key: str, suffixes: Sequence[str], deep: bool = False) -> Part:
    return lambda: read_sidecars(
        find_folder(_text(table, key), base), suffixes=suffixes, depth=DEEP if deep else 0
    )


def _musubi_part(base: Path, table: Table) -> Part:
    for key in ("video_jsonl_file", "image_jsonl_file"):
        if key in table:
            return lambda: read_table(_list_file(_text(table, key), base))
    key = "video_directory" if "video_directory" in table else "image_directory"
    return _folder_part(base, table, key, _caption_suffixes(table))


def _kohya_part(base: Path, table: Table) -> Part:
    if "metadata_file" in table:
        return lambda: read_table(
            _list_file(_text(table, "metadata_file"), base),
            find_folder(_text(table, "image_dir"), base) if "image_dir" in table else None,
        )
    return _folder_part(base, table, "image_dir", _caption_suffixes(table))


def _simpletuner_part(base: Path, table: Table) -> Part:
    def read() -> FoundDataset:
        strategy = _text(table, "caption_strategy", "textfile")
        if strategy not in _KNOWN_STRATEGIES:
            raise BadInput(
                problem=f"Its captions come by '{strategy}', which is not read here.",
                remedy="Export them as .txt files beside the videos.",
            )
        folder = find_folder(_text(table, "instance_data_dir"), base)
        found = read_sidecars(folder, suffixes=(".txt",), first_line=True, depth=DEEP)
        if strategy == "textfile":
            return found
        prompt = _text(table, "instance_prompt", "") if strategy == "instanceprompt" else ""
        return _captioned(found, lambda entry: prompt or _name_as_caption(entry))

    return read


def _onetrainer_part(base: Path, table: Table) -> Part:
    def read() -> FoundDataset:
        text = cast("Table", table["text"])
        source = _text(text, "prompt_source", "sample")
        deep = table.get("include_subdirectories") is True
        found = read_sidecars(
            find_folder(_text(table, "path"), base), suffixes=(".txt",), depth=DEEP if deep else 0
        )
        if source == "filename":
            return _captioned(found, _name_as_caption)
        if source == "concept":
            raise BadInput(
                problem="Its captions are drawn from one list, so none belongs to a video.",
                remedy="Write one .txt file per video, or caption the clips here.",
            )
        return found

    return read


def _captioned(found: FoundDataset, caption: Callable[[Entry], str]) -> FoundDataset:
    entries = tuple(Entry(entry.named, entry.file, one_line(caption(entry))) for entry in found.entries)
    return FoundDataset(found.title, found.place, entries)


def _name_as_caption(entry: Entry) -> str:
    return entry.file.stem.replace("_", " ")


def _caption_suffixes(table: Table) -> tuple[str, ...]:
    given = _text(table, "caption_extension", "")
    return (given if given.startswith(".") else f".{given}",) if given else SIDECAR_SUFFIXES[:2]


def _list_file(named: str, base: Path) -> Path:
    """A list of captions that the settings name, found like a video."""
    return find_media(named, base)


def _text(table: Table, key: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise BadDocument(
            problem=f"'{key}' is missing or no text.", remedy="Write the path of the folder there."
        )
    return str(value)


def _tables(content: Table, key: str) -> list[Table]:
    value = content.get(key)
    rows = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Table", row) for row in rows if isinstance(row, dict)]


def _parse_toml(text: str, name: str) -> Table:
    try:
        return toml.loads(text.replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:  # both readers raise kinds of ValueError
        raise BadDocument(
            problem=f"{name} is not valid TOML ({str(error)[:80]}).", remedy="Correct it in a text editor."
        ) from error
