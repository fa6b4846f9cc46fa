"""What a model takes from the hub: its files, what is here already, what the disk lacks. No torch here."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ltx_wizard.core.errors import BadInput, NoSpace, NotFound
from ltx_wizard.core.units import bytes_text
from ltx_wizard.models.hub import HubFile, list_files
from ltx_wizard.models.spec import Downloadable
from ltx_wizard.models.weights import hub_cache, hub_parts

SPARE_BYTES = 512 * 1024**2
"""What a disk keeps free besides the model: logs, the project, the system. Not measured."""

_FOLDER_FILES = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")


@dataclass(frozen=True)
class DownloadPlan:
    """What fetching a model takes. Sizes in bytes; have_bytes counts partial files too.

    place: the hub's cache. missing: files that are not there yet, or not whole.
    """

    files: tuple[HubFile, ...]
    missing: tuple[HubFile, ...]
    total_bytes: int
    have_bytes: int
    free_bytes: int
    place: Path

    @property
    def remaining_bytes(self) -> int:
        return self.total_bytes - self.have_bytes

    @property
    def short_bytes(self) -> int:
        """How much the disk lacks; 0: it fits."""
        return max(0, self.remaining_bytes + SPARE_BYTES - self.free_bytes) if self.remaining_bytes else 0


def wanted_files(spec: Downloadable, endpoint: str = "") -> tuple[HubFile, ...]:
    """The files of a model that come from the hub, as it lists them now. Raises WizardError."""
    listed: dict[str, tuple[HubFile, ...]] = {}
    wanted: dict[tuple[str, str], HubFile] = {}
    for part, repository, inside in hub_parts(spec):
        if repository not in listed:
            listed[repository] = list_files(repository, endpoint)
        found = _files_of_part(listed[repository], inside)
        _refuse_unusable(spec, part, found, listed[repository], inside)
        wanted.update({(file.repository, file.path): file for file in found})
    return tuple(wanted.values())


def plan_of(files: Iterable[HubFile]) -> DownloadPlan:
    """Compare with the cache and the disk. Asks nobody. Raises NoPermission and the like."""
    all_files = tuple(files)
    cache = hub_cache()
    missing = tuple(file for file in all_files if not _is_there(file))
    total = sum(file.size for file in all_files)
    partial = sum(min(file.size, size_of(partial_file(file.repository, file.blob))) for file in missing)
    return DownloadPlan(
        files=all_files,
        missing=missing,
        total_bytes=total,
        have_bytes=total - sum(file.size for file in missing) + partial,
        free_bytes=free_space(cache),
        place=cache,
    )


def refuse_without_space(spec: Downloadable, plan: DownloadPlan) -> None:
    """Raise NoSpace, saying how much is missing."""
    if plan.short_bytes:
        raise NoSpace(
            problem=f"{spec.title} needs {bytes_text(plan.remaining_bytes)} more; {plan.place} has "
            f"{bytes_text(plan.free_bytes)} free.",
            remedy=f"Free {bytes_text(plan.short_bytes)} there, or set HF_HOME to a folder on a larger disk "
            "and start LTX Wizard again.",
        )


def _files_of_part(listed: Iterable[HubFile], inside: str) -> list[HubFile]:
    """A single file, or what is loaded from a folder: weights, settings, vocabulary; nothing below it."""
    if inside.endswith(".safetensors"):
        return [file for file in listed if file.path == inside]
    folder = f"{inside}/" if inside else ""
    patterns = [f"{folder}{name}" for name in _FOLDER_FILES]
    return [
        file
        for file in listed
        if file.path.count("/") == folder.count("/")
        and any(fnmatchcase(file.path, pattern) for pattern in patterns)
    ]


def _refuse_unusable(
    spec: Downloadable, part: str, found: list[HubFile], listed: Iterable[HubFile], inside: str
) -> None:
    if not found:
        raise NotFound(
            problem=f"The hub has no {part.replace('_', ' ')} of {spec.title}: there is no "
            f"{inside or 'file of it'}.",
            remedy="Choose another variant of this model, or get a newer LTX Wizard.",
        )
    if not spec.has_weights(part) or any(file.path.endswith(".safetensors") for file in found):
        return
    folder = f"{inside}/" if inside else ""
    pickles = [file.path for file in listed if file.path.startswith(folder) and _is_pickle(file.path)]
    raise BadInput(
        problem=f"{spec.title} has its {part.replace('_', ' ')} in {pickles[0]}, a format that can run code "
        "on your computer."
        if pickles
        else f"{spec.title} has no weights in {inside or 'its folder'}.",
        remedy="Choose a model that has its weights as safetensors.",
    )


def _is_pickle(name: str) -> bool:
    return name.endswith((".bin", ".pt", ".pth", ".ckpt"))


def _is_there(file: HubFile) -> bool:
    places = (snapshot_file(file, file.commit), blob_file(file.repository, file.blob))
    return any(has_size(place, file.size) for place in places)


def storage(repository: str) -> Path:
    """The folder of a repository in the cache."""
    from huggingface_hub.file_download import repo_folder_name

    return hub_cache() / repo_folder_name(repo_id=repository, repo_type="model")


def snapshot_file(file: HubFile, commit: str) -> Path:
    """Under its name in the repository, a link to the blob where links are allowed."""
    return storage(file.repository) / "snapshots" / commit / file.path


def blob_file(repository: str, blob: str) -> Path:
    """The whole file, under the name of its content."""
    return storage(repository) / "blobs" / blob


def partial_file(repository: str, blob: str) -> Path:
    """What came of a file so far."""
    return storage(repository) / "blobs" / f"{blob}.incomplete"


def has_size(path: Path, size: int) -> bool:
    """Whether the file is there with so many bytes."""
    return size_of(path) == size and path.is_file()


def size_of(path: Path) -> int:
    """0 for what is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def free_space(folder: Path) -> int:
    """Bytes free where this folder is, or will be."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free
