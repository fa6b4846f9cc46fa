"""The files that a dataset names, found from where it lies, and never outside its folder by a trick."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from ltx_wizard.core.caption import storable
from ltx_wizard.core.errors import BadInput, NotFound, WizardError, explain_os_error
from ltx_wizard.media.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES

MEDIA_SUFFIXES = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)

_MOST_FOLDERS = 100
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def find_media(named: str, base: Path) -> Path:
    """The video or image that a dataset in the folder `base` names.

    A relative path lies in that folder. An absolute one is used where it exists; of a dataset that was moved,
    the same file is looked for in the folder. A name without an ending gets that of a file that is there; one
    that is not there is looked for in the folders beside the table, and taken if it lies in one of them.
    Raises NotFound, or BadInput for a path that leads out of the folder, or for an address on the internet.
    """
    for candidate in _candidates(named, base):
        found = _with_ending(candidate)
        if found is not None:
            return found
    below = _one_folder_down(named.strip(), base)
    if below is not None:
        return below
    raise NotFound(
        problem=f"The dataset names {storable(named)}, and it is not there.",
        remedy="Put the file where the dataset looks for it, then import again: what is here already stays.",
    )


def _with_ending(candidate: Path) -> Path | None:
    """The file, if it is there; a name without an ending gets that of a file that is."""
    if _is_file(candidate):
        return candidate
    endings = MEDIA_SUFFIXES if not is_media(candidate) else ()
    longer = (candidate.with_name(candidate.name + ending) for ending in endings)
    return next((path for path in longer if _is_file(path)), None)


def _one_folder_down(named: str, base: Path) -> Path | None:
    if _absolute_parts(named) is not None:
        return None
    try:
        inner = folders_in(base)[:_MOST_FOLDERS]
    except WizardError:
        return None
    found = [path for folder in inner if (path := _with_ending(folder / named.replace("\\", "/")))]
    return found[0] if len(found) == 1 else None


def find_folder(named: str, base: Path) -> Path:
    """The same for a folder that a trainer's settings name, which may be the one that they lie in."""
    for candidate in [*_candidates(named, base), *([base] if _absolute_parts(named.strip()) else [])]:
        if _is_folder(candidate):
            return candidate
    raise NotFound(
        problem=f"The folder {storable(named)} is not there.",
        remedy="Correct its path in the file, or choose the folder with the videos instead of the file.",
    )


def is_media(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in MEDIA_SUFFIXES and not path.name.startswith(".")


def files_in(folder: Path) -> list[Path]:
    """The files directly in a folder, by name, without hidden ones. Raises NotFound or NoPermission."""
    return _listed(folder, folders=False)


def folders_in(folder: Path) -> list[Path]:
    """The folders directly in a folder, by name, without hidden ones. Raises NotFound or NoPermission."""
    return _listed(folder, folders=True)


def _listed(folder: Path, folders: bool) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [item.name for item in entries if (item.is_dir() if folders else item.is_file())]
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _candidates(named: str, base: Path) -> list[Path]:
    """Where it may be, the likeliest first. Raises BadInput."""
    text = named.strip()
    if not text or "\0" in text:
        raise BadInput(problem="The dataset names no file here.", remedy="Write the path of the video.")
    if _ADDRESS.match(text):
        raise BadInput(
            problem=f"{storable(text)} is an address on the internet.",
            remedy="Download the videos first, and write their paths into the dataset.",
        )
    absolute = _absolute_parts(text)
    if absolute is not None:
        moved = [base.joinpath(*absolute[start:]) for start in range(len(absolute))]
        return [*_whole(text), *moved]
    inside = base / text.replace("\\", "/")
    steps = os.path.relpath(inside, base)  # by name: a link that lies in the folder is its owner's choice
    if steps == ".." or steps.startswith(f"..{os.sep}"):
        raise BadInput(
            problem=f"{storable(text)} leads out of the folder of the dataset.",
            remedy="Put the file into that folder, or write its whole path.",
        )
    # A name may hold a backslash where the system allows it.
    return [inside] if inside == base / text else [inside, base / text]


def _absolute_parts(text: str) -> tuple[str, ...] | None:
    """The steps of an absolute path of this or another system, without its root and '..'; else None."""
    windows, posix = PureWindowsPath(text), PurePosixPath(text)
    if windows.drive or text.startswith("\\\\"):
        parts = windows.parts[1:]
    elif posix.is_absolute() or text.startswith("~"):
        parts = posix.parts[1:]
    else:
        return None
    return tuple(part for part in parts if part != "..")


def _whole(text: str) -> list[Path]:
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # the home of an unknown user
        return []
    return [path] if path.is_absolute() else []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, or a folder that may not be looked into
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
