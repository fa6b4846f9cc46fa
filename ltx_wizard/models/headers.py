"""What a safetensors file holds, from its header alone. No torch, no tensor is read.

The file begins with the length of its header (8 bytes) and the header (JSON): name, format, shape and place
of every tensor. What is no such file, or not all of it, is refused with what it is instead.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ltx_wizard.core.errors import BadInput, NotFound, explain_os_error

GET_AGAIN = "Download the file again and compare its size with the one on the page it is from."

_LONGEST_HEADER = 100_000_000  # the limit of the safetensors format
_PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")


@dataclass(frozen=True)
class Header:
    """The header of one safetensors file, or of all files of a folder. dtypes: as the format names them."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """The header of a .safetensors file, or of all of them in a folder, checked against the file's size.

    Raises NotFound for a missing file, BadInput for one that is empty, cut off, damaged or no safetensors.
    """
    if path.is_dir():
        return _header_of_folder(path)
    _refuse_suffix(path)
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise NotFound(
            problem=f"There is no file {path}.", remedy="Check the path, or choose another model."
        ) from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    return _read_once(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _read_once(path: Path, size: int, _modified_ns: int) -> Header:
    """Read again only when the file has changed: the window asks often."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            text = file.read(1)
            if (
                text != b"{"
            ):  # else any beginning is a length: 640 looks like a pickle, 15,392 like a web page
                _refuse_other_formats(path, start)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or (length <= _LONGEST_HEADER and length > size - 8):
                raise _cut_off(path, "it ends before its list of weights does")
            if length > _LONGEST_HEADER or length < 2:
                raise _no_safetensors(path)
            text += file.read(length - 1)
    except OSError as error:
        raise explain_os_error(error, path) from error
    return _parsed(path, text, data_bytes=size - 8 - length)


def _parsed(path: Path, text: bytes, data_bytes: int) -> Header:
    try:
        entries = cast("dict[str, Any]", json.loads(text))
        metadata = {str(key): str(value) for key, value in (entries.pop("__metadata__", None) or {}).items()}
        shapes = {name: tuple(int(size) for size in entry["shape"]) for name, entry in entries.items()}
        dtypes = {name: str(entry["dtype"]) for name, entry in entries.items()}
        ends = [int(entry["data_offsets"][1]) for entry in entries.values()]
    except (ArithmeticError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _no_safetensors(path) from error
    if not shapes:
        raise BadInput(problem=f"{path.name} holds no weights.", remedy="Choose another file.")
    end = max(ends)
    if end > data_bytes:
        missing = end - data_bytes
        raise _cut_off(path, f"{_size_words(missing)} of {_size_words(end)} are missing")
    if end < data_bytes:
        raise BadInput(
            problem=f"{path.name} is damaged: {_size_words(data_bytes - end)} too long.",
            remedy=GET_AGAIN,
        )
    return Header(path, shapes, dtypes, metadata)


def _header_of_folder(folder: Path) -> Header:
    """All .safetensors files of a folder as one. Raises BadInput where a part of several is missing."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path for path in folder.iterdir() if path.suffix in _PICKLES)
        if pickles:
            raise _pickle(pickles[0])
        raise NotFound(
            problem=f"There are no weights in {folder}.",
            remedy="Choose a folder that holds .safetensors files, or download the model again.",
        )
    for index in folder.glob("*.safetensors.index.json"):
        missing = sorted(shards_of(index) - {file.name for file in files})
        if missing:
            raise BadInput(
                problem=f"{folder} is not complete: {missing[0]} is missing.",
                remedy="Download the model again.",
            )
    headers = [read_header(file) for file in files]
    return Header(
        path=folder,
        shapes={name: shape for header in headers for name, shape in header.shapes.items()},
        dtypes={name: dtype for header in headers for name, dtype in header.dtypes.items()},
        metadata={key: text for header in headers for key, text in header.metadata.items()},
    )


def shards_of(index: Path) -> set[str]:
    """The files that a *.safetensors.index.json names. Raises NotFound, or BadInput where it is damaged."""
    weight_map: Any = read_config(index).get("weight_map", {})
    names: list[Any] = list(weight_map.values()) if isinstance(weight_map, dict) else [None]
    if not all(isinstance(name, str) for name in names):
        raise BadInput(problem=f"{index} cannot be read.", remedy="Download the model again.")
    return set(names)


def read_config(path: Path) -> Mapping[str, Any]:
    """A JSON object. Raises NotFound or BadInput."""
    try:
        config: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound(
            problem=f"{path.name} is missing in {path.parent}.",
            remedy="Choose the folder of a whole model, or download it again.",
        ) from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(problem=f"{path} cannot be read.", remedy="Download the model again.") from error
    if not isinstance(config, dict):
        raise BadInput(problem=f"{path} cannot be read.", remedy="Download the model again.")
    return cast("dict[str, Any]", config)


def _size_words(size: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"


def _refuse_suffix(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise _pickle(path)
    if suffix == ".gguf":
        raise BadInput(
            problem=f"{path.name} is a GGUF file, made for drawing, not for training.",
            remedy="Get the .safetensors file of this model in bf16.",
        )


def _refuse_other_formats(path: Path, start: bytes) -> None:
    """By the first bytes, whatever the name says."""
    if not start:
        raise BadInput(problem=f"{path.name} is empty.", remedy=GET_AGAIN)
    if start.startswith(b"PK") or (start[0] == 0x80 and len(start) > 1 and start[1] in range(2, 6)):
        raise _pickle(path)
    if start.startswith(b"version "):
        raise BadInput(
            problem=f"{path.name} is only a note where the file lies (Git LFS), not the file.",
            remedy="Get the file itself with 'git lfs pull', or download it from the page of the model.",
        )
    if start.lstrip()[:1] == b"<":
        raise BadInput(
            problem=f"{path.name} is a web page, not a model.",
            remedy="Download it with the page's download button; you may have to log in first.",
        )


def _pickle(path: Path) -> BadInput:
    return BadInput(
        problem=f"{path.name} is in a format that can run code on your computer (pickle).",
        remedy="Get the .safetensors version of this model.",
    )


def _no_safetensors(path: Path) -> BadInput:
    return BadInput(
        problem=f"{path.name} is no safetensors file, or its beginning is damaged.",
        remedy="Choose a .safetensors file. " + GET_AGAIN,
    )


def _cut_off(path: Path, how: str) -> BadInput:
    return BadInput(problem=f"{path.name} is cut off: {how}.", remedy=GET_AGAIN)
