"""Bringing files into a project: each whole or not at all, the broken ones listed with the reason."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pydantic import Field, TypeAdapter, ValidationError

from ltx_wizard.core.caption import storable
from ltx_wizard.core.clip import (
    FOLDERS_KEPT,
    CaptionState,
    Clip,
    MediaKind,
    Rejected,
    Source,
    distinct_names,
)
from ltx_wizard.core.documents import Settings, is_file, read_text, write_text_atomically
from ltx_wizard.core.errors import BadDocument, NoSpace, NotFound, WizardError, explain_os_error
from ltx_wizard.core.project import Project, safe_file_stem
from ltx_wizard.core.report import Report, SilentReport, progress
from ltx_wizard.dataset.dataset import add_rejected, add_source, caption_changes, captions_file, read_sources
from ltx_wizard.dataset.formats.text import read_dataset_text
from ltx_wizard.media.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, MediaFacts, probe

IMPORTED_SUFFIXES = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
IMPORTED_SOURCE = "imported"
"""The caption source of captions that came with the files."""

_TIMED_CAPTIONS_SUFFIX = ".captions.json"
_TEXT_SUFFIX, _KOHYA_SUFFIX = ".txt", ".caption"
_BESIDE = (_TEXT_SUFFIX, _KOHYA_SUFFIX, _TIMED_CAPTIONS_SUFFIX)
_HASHED_BYTES = 1 << 20
_HASH = re.compile(r"[0-9a-f]{32,}")
_LONGEST_SOURCE_STEM = 40
_NAMED_FOLDERS = 5


class TimedCaption(Settings):
    """What happens between two times of a video."""

    model_config = Settings.model_config | {"extra": "ignore"}

    start_s: float = Field(ge=0)
    end_s: float = Field(gt=0)
    caption: str


_TIMED_CAPTIONS: TypeAdapter[list[TimedCaption]] = TypeAdapter(list[TimedCaption])


@dataclass(frozen=True)
class ImportReport:
    """What an import did. skipped_duplicates: names of files whose content is in the project already."""

    added: list[Source] = field(default_factory=list[Source])
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    skipped_duplicates: list[str] = field(default_factory=list[str])


def media_files_in(folder: Path) -> list[Path]:
    """The videos and images directly in a folder, by name. Raises NotFound or NoPermission."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except OSError as error:
        raise explain_os_error(error, folder) from error
    found = sorted(name for name in names if _is_media_name(name))
    if not found:
        inner = _folders_with_media(folder)
        raise NotFound(
            problem=f"There is no video or image directly in {folder}.",
            remedy=f"Choose one of its folders that hold some: {', '.join(inner)}."
            if inner
            else f"Choose a folder with files named {', '.join(IMPORTED_SUFFIXES)}.",
        )
    return [folder / name for name in found]


def _folders_with_media(folder: Path) -> list[str]:
    """The names of the folders within that hold videos or images; at most a few."""
    found: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted((item for item in entries if item.is_dir()), key=lambda item: item.name):
            with suppress(OSError), os.scandir(entry.path) as inner:
                if any(_is_media_name(item.name) for item in inner):
                    found.append(storable(entry.name))
            if len(found) == _NAMED_FOLDERS:
                break
    return found


def import_files(
    project: Project, paths: Sequence[Path], regularisation: bool = False, report: Report | None = None
) -> ImportReport:
    """Bring files into the project. A broken file goes to the rejected list and the rest go on.

    Captions beside a file come along: 'name.txt' for the whole file ('name.mp4.txt' and 'name.caption' as
    well), 'name.captions.json' by time; or those of its name that are given with it. An image becomes a clip
    at once. Captions that are given without their file, or that may belong to several, are listed with the
    broken ones. Raises NoSpace, and Cancelled from the report; files imported before that stay.
    """
    report = report or SilentReport()
    media = [path.expanduser() for path in paths if not _is_sidecar(path)]
    sidecars = _Sidecars([path.expanduser() for path in paths if _is_sidecar(path)], media)
    names = distinct_names([(_shown_name(path), _folder_of(path)) for path in media])
    result = ImportReport()
    for index, (path, name) in enumerate(zip(media, names, strict=True)):
        progress(report, "Importing", index, len(media), name)
        try:
            source = _import_file(project, path, regularisation, sidecars)
        except NoSpace:
            add_rejected(project, result.rejected)
            raise
        except WizardError as error:
            result.rejected.append(_rejected(name, error))
            continue
        if source is None:
            result.skipped_duplicates.append(name)
        else:
            result.added.append(source)
            sidecars.added(path)
    result.rejected.extend(sidecars.unused())
    add_rejected(project, result.rejected)
    progress(report, "Importing", len(media), len(media))
    return result


def caption_for(project: Project, source_id: str, start_s: float, end_s: float) -> str:
    """The imported caption of a stretch of a source: the one that covers most of it, at least half."""
    length = max(end_s - start_s, 1e-9)
    best, best_share = "", 0.5
    for timed in _timed_captions(project, source_id):
        share = (min(end_s, timed.end_s) - max(start_s, timed.start_s)) / length
        if share >= best_share - 1e-6:
            best, best_share = timed.caption, max(share, best_share)
    return " ".join(best.split()) or whole_caption(project, source_id)


def whole_caption(project: Project, source_id: str) -> str:
    """The imported caption of a whole source; empty where none came with it."""
    try:
        return " ".join(read_text(project.sources_folder / f"{source_id}{_TEXT_SUFFIX}").split())
    except WizardError:
        return ""


def bring_in_source(
    project: Project, path: Path, regularisation: bool = False, origin: PurePath | None = None
) -> Source:
    """Measure a file and place it among the project's sources. It is not listed yet: that takes add_source.

    origin: where it lay, if `path` is a copy made for the import.
    Raises BadMediaFile, NoSpace, NoPermission or NotFound.
    """
    facts = probe(path)
    source_id = _source_id(path)
    placed = project.sources_folder / f"{source_id}{_suffix(path, facts)}"
    place_file(path, placed)
    warnings = list(facts.warnings)
    if facts.variable_frame_rate:
        warnings.append("Variable frame rate: clips keep their timing and are evened out for training.")
    return Source(
        id=source_id,
        file=project.relative(placed),
        original_name=_shown_name(origin or path),
        original_folder=_folder_of(origin or path),
        kind=facts.kind,
        width=facts.width,
        height=facts.height,
        fps=facts.fps,
        frames=facts.frames,
        duration_s=facts.duration_s,
        rotation=facts.rotation,
        has_audio=facts.has_audio,
        variable_frame_rate=facts.variable_frame_rate,
        regularisation=regularisation,
        warnings=tuple(warnings),
    )


def source_with_content_of(project: Project, path: Path) -> Source | None:
    """The source that holds the same as a file, whatever it is called."""
    wanted = content_hash(path)
    return next((source for source in read_sources(project) if source.id.rsplit("-", 1)[-1] == wanted), None)


def _import_file(project: Project, path: Path, regularisation: bool, sidecars: _Sidecars) -> Source | None:
    """One file; None where its content is in the project already."""
    if is_file(path) and source_with_content_of(project, path) is not None:
        return None
    source = bring_in_source(project, path, regularisation)
    placed = project.path(source.file)
    problems = _import_sidecars(project, path, source.id, sidecars)
    source = source.model_copy(update={"warnings": (*source.warnings, *problems)})
    try:
        add_source(project, source, image_clip(project, source))
    except WizardError:
        placed.unlink(missing_ok=True)
        raise
    return source


def image_clip(project: Project, source: Source) -> Clip | None:
    """An image is a clip by itself, with the caption that came with it; None for a video."""
    if source.kind is not MediaKind.IMAGE:
        return None
    caption = caption_changes(whole_caption(project, source.id), CaptionState.WRITTEN, IMPORTED_SOURCE)
    clip = Clip(
        id=source.id,
        source_id=source.id,
        file=source.file,
        kind=MediaKind.IMAGE,
        width=source.width,
        height=source.height,
        fps=0.0,
        frames=1,
        duration_s=0.0,
        regularisation=source.regularisation,
    )
    return clip.model_copy(update=caption)


def _source_id(path: Path) -> str:
    """A readable name and a hash of the content: the same content always has the same hash."""
    return f"{safe_file_stem(path.stem, _LONGEST_SOURCE_STEM)}-{content_hash(path)}"


def content_hash(path: Path) -> str:
    """Ten hex digits over the size and the first and last MiB: enough to know a file again, and fast."""
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            digest.update(file.read(_HASHED_BYTES))
            file.seek(max(0, size - _HASHED_BYTES))
            digest.update(file.read(_HASHED_BYTES))
    except OSError as error:
        raise explain_os_error(error, path) from error
    return digest.hexdigest()[:10]


def _suffix(path: Path, facts: MediaFacts) -> str:
    """The suffix by content where the name lies: browsers go by it."""
    suffix = path.suffix.lower()
    expected = IMAGE_SUFFIXES if facts.kind is MediaKind.IMAGE else VIDEO_SUFFIXES
    if suffix in expected or (facts.codec == "gif" and suffix == ".gif"):
        return suffix
    return f".{facts.codec}" if facts.kind is MediaKind.IMAGE else ".mp4"


def place_file(path: Path, placed: Path) -> None:
    """Hard link, which takes no space, or copy. Afterwards the file is there whole, or not at all."""
    temporary = placed.with_name(f".{placed.name}.{secrets.token_hex(4)}.tmp")
    try:
        placed.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), temporary)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            shutil.copyfile(path, temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(placed)
    except OSError as error:
        if placed.parent.is_dir():
            temporary.unlink(missing_ok=True)
        raise explain_os_error(error, placed.parent) from error


def _import_sidecars(project: Project, path: Path, source_id: str, sidecars: _Sidecars) -> list[str]:
    """Copy the captions of a file. Broken ones are a warning."""
    warnings: list[str] = []
    for suffix, target in (
        (_TEXT_SUFFIX, project.sources_folder / f"{source_id}{_TEXT_SUFFIX}"),
        (_TIMED_CAPTIONS_SUFFIX, captions_file(project, source_id)),
    ):
        sidecar = sidecars.of(path, suffix)
        if sidecar is None:
            continue
        try:
            text = read_dataset_text(sidecar)
            if suffix == _TIMED_CAPTIONS_SUFFIX:
                _parse_timed_captions(text, sidecar.name)
        except NoSpace:
            raise
        except WizardError as error:
            warnings.append(storable(f"Its captions were not used: {error.problem} {error.remedy}"))
            continue
        write_text_atomically(target, text)
    return warnings


def _timed_captions(project: Project, source_id: str) -> list[TimedCaption]:
    file = captions_file(project, source_id)
    try:
        return _parse_timed_captions(read_text(file), file.name)
    except WizardError:
        return []


def _parse_timed_captions(text: str, name: str) -> list[TimedCaption]:
    try:
        return _TIMED_CAPTIONS.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadDocument(
            problem=f"{name} is not a list of start_s, end_s and caption ({where}: {first['msg']}).",
            remedy="Correct it and import the video again, or write the captions in the app.",
        ) from error


class _Sidecars:
    """The captions that were given with files, and those that lie beside them."""

    def __init__(self, given: Sequence[Path], media: Sequence[Path]) -> None:
        self._given: dict[str, list[Path]] = defaultdict(list)
        for path in given:
            self._given[path.name.lower()].append(path)
        self._media = Counter(path.name.lower() for path in media)
        self._listed: dict[Path, dict[str, Path]] = {}
        self._added: set[str] = set()
        self._used: set[Path] = set()

    def of(self, path: Path, suffix: str) -> Path | None:
        """The captions of a file: those beside it, else those of its name that were given, if no other file
        could be meant.
        """
        name = f"{path.stem}{suffix}".lower()
        names = [name, f"{path.name}{suffix}".lower()]
        names += [f"{path.stem}{_KOHYA_SUFFIX}".lower()] if suffix == _TEXT_SUFFIX else []
        beside = self._beside(path.parent)
        found = next((beside[one] for one in names if one in beside), None)
        given = self._given.get(name, [])
        if found is None and len(given) == 1 and self._media[path.name.lower()] <= 1:
            found = given[0]
        if found is not None:
            self._used.add(found.absolute())
        return found

    def added(self, path: Path) -> None:
        """Remember that a file came in."""
        self._added.add(path.stem.lower())

    def unused(self) -> list[Rejected]:
        """Captions that were given, and why no file has them."""
        left = [path for paths in self._given.values() for path in paths if path.absolute() not in self._used]
        return [_of_several(path) if _stem(path) in self._added else _without_file(path) for path in left]

    def _beside(self, folder: Path) -> dict[str, Path]:
        """The captions in a folder, by their names in small letters."""
        if folder not in self._listed:
            try:
                with os.scandir(folder) as entries:
                    paths = [folder / entry.name for entry in entries if entry.is_file()]
            except OSError:  # the file itself says what is wrong
                paths = []
            self._listed[folder] = {
                path.name.lower(): path for path in sorted(paths) if path.name.lower().endswith(_BESIDE)
            }
        return self._listed[folder]


def _is_sidecar(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith((_TEXT_SUFFIX, _TIMED_CAPTIONS_SUFFIX))


def _stem(sidecar: Path) -> str:
    """What its video is called."""
    return sidecar.name.lower().removesuffix(_TIMED_CAPTIONS_SUFFIX).removesuffix(_TEXT_SUFFIX)


def _without_file(sidecar: Path) -> Rejected:
    return Rejected(
        name=_shown_name(sidecar),
        problem="These captions belong to none of the files that were added.",
        remedy="Add them together with a video or image of the same name that is not here yet.",
    )


def _of_several(sidecar: Path) -> Rejected:
    return Rejected(
        name=_shown_name(sidecar),
        problem="Several files of that name were added: to which one these captions belong is not certain.",
        remedy="Give the files different names, or add them one folder after the other.",
    )


def _is_media_name(name: str) -> bool:
    return name.lower().endswith(IMPORTED_SUFFIXES) and not name.startswith(".")


def _folder_of(path: PurePath) -> str:
    """The last folders above a file. The folder of an upload is named by a hash and tells nobody anything."""
    above = (Path.cwd() / path).parent
    names = [name for name in above.parts if name != above.anchor][-FOLDERS_KEPT:]
    return "" if names and _HASH.fullmatch(names[-1]) else storable("/".join(names))


def _shown_name(path: PurePath) -> str:
    """A name that can be written as UTF-8, whatever bytes the disk holds."""
    return storable(path.name or str(path))


def _rejected(name: str, error: WizardError) -> Rejected:
    return Rejected(name=name, problem=storable(error.problem), remedy=storable(error.remedy))
