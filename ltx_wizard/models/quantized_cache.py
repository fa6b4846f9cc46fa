"""Quantised models on disk, so that the next start reads half or a quarter and calculates nothing.
Worker-side.

Nothing here is needed: what is damaged is made anew, a disk without room goes without, and a person may
delete the folder at any time.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ltx_wizard.core import places
from ltx_wizard.core.units import GIB

KEPT = 4
"""Models: a size in two formats, twice. 13B takes 7 to 14 GB each."""

ROOM_LEFT_BYTES = 5 * GIB
"""Never taken from a disk: checkpoints and samples come after."""

_SHARD_BYTES = 512 * 1024**2
"""What main memory holds of it while it is made, twice at most."""

_LAYER_END = "|"
_PARTIAL = ".partial"


class QuantizedCache:
    """One model: entries of a name and its parts, each a tensor. Parts of one name stand in one file."""

    def __init__(self, key: str) -> None:
        self._folder = places.quantized_models() / key

    def exists(self) -> bool:
        return self._folder.is_dir()

    def read(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Every entry. Raises OSError or SafetensorError where it is damaged."""
        with suppress(OSError):
            os.utime(self._folder)  # used now
        for file in sorted(self._folder.glob("*.safetensors")):
            for name, keys in _entries(file).items():
                yield name, {part: read_tensor(file, key) for part, key in keys.items()}

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def writer(self) -> CacheWriter:
        """Writes this model in its place; what nobody needs any more makes room."""
        folder = self._folder
        _remove_left_over(folder.parent)
        _remove_oldest(folder.parent, KEPT - 1)
        return CacheWriter(folder)


def read_tensor(file: Path, key: str) -> Tensor:
    """One tensor of a safetensors file, mapped for itself alone: what is read does not stay in memory until
    the last tensor of its file is done with.
    """
    with safe_open(file, framework="pt") as opened:
        return opened.get_tensor(key)


class CacheWriter:
    """Takes entries in a 'with' and writes them in files of half a GiB, into a folder that appears whole at
    its end, or not at all: where it ends with an error, and where the disk does not take it.
    """

    def __init__(self, folder: Path) -> None:
        self._final = folder
        self._partial = folder.with_name(f".{folder.name}.{os.getpid()}{_PARTIAL}")
        self._held: dict[str, Tensor] = {}
        self._files = 0
        self._given_up = False

    def __enter__(self) -> CacheWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        if kind is None:
            self._write(last=True)
        shutil.rmtree(self._partial, ignore_errors=True)

    def add(self, name: str, parts: Mapping[str, Tensor]) -> None:
        if self._given_up:
            return
        for part, value in parts.items():
            self._held[f"{name}{_LAYER_END}{part}"] = value.detach().cpu().contiguous()
        if _size(self._held) >= _SHARD_BYTES:
            self._write()

    def _write(self, last: bool = False) -> None:
        """What is held, to the next file; the last file puts the folder in its place."""
        try:
            if not self._given_up:
                self._write_file()
                if last:
                    shutil.rmtree(self._final, ignore_errors=True)
                    self._partial.rename(self._final)
        except (OSError, SafetensorError):
            self._given_up = True
            shutil.rmtree(self._partial, ignore_errors=True)
        self._held = {}

    def _write_file(self) -> None:
        self._partial.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._partial).free < _size(self._held) + ROOM_LEFT_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save_file(self._held, self._partial / f"{self._files:04d}.safetensors")
        self._files += 1


def _entries(file: Path) -> dict[str, dict[str, str]]:
    """name -> part -> key in the file."""
    entries: dict[str, dict[str, str]] = {}
    with safe_open(file, framework="pt") as opened:
        for key in opened.keys():  # noqa: SIM118
            name, _, part = key.partition(_LAYER_END)
            entries.setdefault(name, {})[part] = key
    return entries


def _size(tensors: Mapping[str, Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values())


def _remove_left_over(folder: Path) -> None:
    """Half-written models of processes that are gone."""
    for partial in folder.glob(f".*{_PARTIAL}"):
        pid = partial.name.split(".")[-2]
        if not pid.isdigit() or int(pid) == os.getpid() or not psutil.pid_exists(int(pid)):
            shutil.rmtree(partial, ignore_errors=True)


def _remove_oldest(folder: Path, kept: int) -> None:
    """All but those that were used last."""
    models = [(path.stat().st_mtime, path) for path in folder.glob("[!.]*") if path.is_dir()]
    for _, path in sorted(models)[: max(0, len(models) - kept)]:
        shutil.rmtree(path, ignore_errors=True)
