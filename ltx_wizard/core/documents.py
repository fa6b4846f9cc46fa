"""Documents on disk: typed, versioned, written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ltx_wizard.core.errors import BadDocument, NotFound, explain_os_error


class Settings(BaseModel):
    """A frozen group of settings. A misspelt key is an error, never a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Document(Settings):
    """A settings group that is a file of its own and so carries a version."""

    current_version: ClassVar[int] = 1
    schema_version: int = 1


D = TypeVar("D", bound=BaseModel)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Replace path by content in one step: a crash or a full disk leaves the old file whole.

    Raises NoSpace, NoPermission or another WizardError.
    """
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:  # gone after the replace; left by everything that can interrupt a write
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """With those above it; one that is there is fine. Raises NoSpace, NoPermission or another WizardError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, path) from error


def write_text_atomically(path: Path, text: str) -> None:
    """As write_bytes_atomically, in UTF-8 with plain newlines."""
    write_bytes_atomically(path, text.encode("utf-8"))


def read_text(path: Path) -> str:
    """The UTF-8 text of a file. Raises WizardError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise explain_os_error(error, path) from error
    except UnicodeDecodeError as error:
        raise BadDocument(
            problem=f"{path.name} is not a text file.",
            remedy="Restore it from a backup, or remove it.",
        ) from error


def read_bytes_from(path: Path, offset: int) -> tuple[bytes, int]:
    """What a growing file holds from an offset on, and its size; a file that is not there is empty.

    Raises WizardError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(min(offset, size))
            return file.read(), size
    except FileNotFoundError:
        return b"", 0
    except OSError as error:
        raise explain_os_error(error, path) from error


def is_file(path: Path) -> bool:
    """Whether a file is there. Raises WizardError where the system does not let us look."""
    try:
        return S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a name with a null character is nobody's
        return False
    except OSError as error:
        raise explain_os_error(error, path) from error


def write_document(path: Path, document: BaseModel) -> None:
    """Write one document as indented JSON, atomically."""
    write_text_atomically(path, document.model_dump_json(indent=2) + "\n")


def read_document(path: Path, kind: type[D]) -> D:
    """Read one document.

    Raises NotFound, or BadDocument naming every wrong key at once.
    """
    return parse_document(read_text(path), kind, path.name)


def parse_document(text: str, kind: type[D], name: str) -> D:
    """Parse one JSON object into a document; `name` stands in the message."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadDocument(
            problem=f"{name} is damaged: it is not valid JSON ({error}).",
            remedy="Restore it from a backup of the project folder.",
        ) from error
    return validate_document(raw, kind, name)


def validate_document(raw: object, kind: type[D], name: str) -> D:
    """Check a parsed object against a document type. Raises BadDocument with all problems."""
    refuse_newer_version(raw, kind, name)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_problem_text(item["loc"], item["msg"], item["type"]) for item in error.errors())
        raise BadDocument(
            problem=f"{name} has settings that LTX Wizard does not understand: {problems}.",
            remedy="Correct or remove those settings.",
        ) from error


def refuse_newer_version(raw: object, kind: type[BaseModel], name: str) -> None:
    """Raise BadDocument if the file was written by a newer LTX Wizard."""
    version = raw.get("schema_version") if isinstance(raw, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if issubclass(kind, Document) and isinstance(version, int) and version > kind.current_version:
        raise BadDocument(
            problem=f"{name} was written by a newer LTX Wizard (format {version}).",
            remedy="Update LTX Wizard, then open it again.",
        )


def write_lines(path: Path, documents: Iterable[BaseModel]) -> None:
    """Write documents as JSON lines, atomically."""
    write_text_atomically(path, "".join(document.model_dump_json() + "\n" for document in documents))


def read_lines(path: Path, kind: type[D]) -> list[D]:
    """Read JSON lines; a file that is not there is an empty list."""
    try:
        text = read_text(path)
    except NotFound:
        return []
    return [
        parse_document(line, kind, f"{path.name}, line {number}")
        for number, line in enumerate(text.split("\n"), start=1)  # splitlines would also cut at U+2028
        if line.strip()
    ]


def _problem_text(location: tuple[int | str, ...], message: str, kind: str) -> str:
    where = ".".join(str(part) for part in location) or "the file"
    return f"{where}: unknown setting" if kind == "extra_forbidden" else f"{where}: {message}"
