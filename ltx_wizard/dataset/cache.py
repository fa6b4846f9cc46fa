"""What was encoded once: latents and text embeddings on disk, under cache/<encoder id>/. Worker-side.

A file's name is a hash of everything that its content depends on, so an entry is right or absent, never
stale. A damaged file counts as absent.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ltx_wizard.core.documents import write_bytes_atomically
from ltx_wizard.core.project import Project

_FIELD = "value"


class EncodedCache:
    """Tensors by key, for one encoder."""

    def __init__(self, project: Project, encoder_id: str) -> None:
        self._folder = project.cache_folder / encoder_id

    def read(self, kind: str, key: str) -> Tensor | None:
        """kind: 'latents', or 'text' with what sets its embeddings apart."""
        path = self._path(kind, key)
        if not path.is_file():
            return None
        try:
            return load_file(path)[_FIELD]
        except (SafetensorError, KeyError, OSError):
            return None

    def write(self, kind: str, key: str, value: Tensor) -> None:
        """Raises NoSpace where the disk is full; nothing half-written stays."""
        write_bytes_atomically(self._path(kind, key), save({_FIELD: value.contiguous()}))

    def _path(self, kind: str, key: str) -> Path:
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._folder / kind / f"{name}.safetensors"


def file_key(path: Path) -> str:
    """A hash of a file's content: the same after the project was copied or the clip was written again
    alike.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:32]
