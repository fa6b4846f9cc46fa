from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from pydantic import Field

from ltx_wizard.core.documents import (
    Document,
    Settings,
    parse_document,
    read_document,
    read_lines,
    read_text,
    write_bytes_atomically,
    write_document,
    write_lines,
    write_text_atomically,
)
from ltx_wizard.core.errors import BadDocument, BadInput, NoPermission, NoSpace, NotFound, WizardError


class Shelf(Settings):
    width_cm: int = Field(80, ge=10)


class Cupboard(Document):
    current_version = 2
    name: str
    shelf: Shelf = Shelf()


@pytest.mark.parametrize(
    "text", ["", "plain", "Größe 📼 'quoted' \"twice\"\nsecond line\r\nthird", "a" * 1_000_000]
)
def test_text_comes_back_as_it_was_written(tmp_path: Path, text: str) -> None:
    path = tmp_path / "new folder" / "note.txt"
    write_text_atomically(path, text)
    assert path.read_bytes() == text.encode("utf-8")


def test_a_document_comes_back_as_it_was_written(tmp_path: Path) -> None:
    cupboard = Cupboard(name="Küche 🍽", shelf=Shelf(width_cm=120))
    write_document(tmp_path / "cupboard.json", cupboard)
    assert read_document(tmp_path / "cupboard.json", Cupboard) == cupboard


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cupboard.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"name": "edited on Windows"}')
    assert read_document(path, Cupboard).name == "edited on Windows"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_leaves_the_old_file_whole_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    monkeypatch.setattr(moment, refuse)
    with pytest.raises(NoSpace) as caught:
        write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["note.txt"]
    assert str(path) in caught.value.problem
    assert "Free some space" in caught.value.remedy


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_truly_full_device_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    really_open = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: really_open(Path("/dev/full"), mode))
    with pytest.raises(NoSpace):
        write_text_atomically(path, "new" * 100_000)
    monkeypatch.undo()
    assert path.read_text() == "old"


def test_an_interrupted_write_leaves_the_old_file_whole_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["note.txt"]


def test_lines_are_replaced_all_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shelves.jsonl"
    before = [Shelf(width_cm=width) for width in (20, 30)]
    write_lines(path, before)
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(NoSpace):
        write_lines(path, [Shelf(width_cm=40)])
    assert read_lines(path, Shelf) == before


def test_a_folder_that_may_not_be_written_says_so(
    tmp_path: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "note.txt").write_text("old")
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    folder.chmod(0o555)
    with without_rights(), pytest.raises(NoPermission) as caught:
        write_text_atomically(folder / "note.txt", "new")
    assert (folder / "note.txt").read_text() == "old"
    assert "permissions" in caught.value.remedy


def test_a_folder_below_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WizardError) as caught:
        write_bytes_atomically(tmp_path / "file" / "note.txt", b"")
    assert caught.value.remedy


def test_a_long_name_that_the_disk_takes_is_written(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / ("n" * 200 + ".txt"), "text")
    assert len(names_in(tmp_path)) == 1


def test_a_name_too_long_for_the_disk_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="too long"):
        write_text_atomically(tmp_path / ("n" * 300), "text")
    assert names_in(tmp_path) == []


def test_every_wrong_key_is_named_at_once() -> None:
    raw = {"nmae": "x", "shelf": {"width": 3, "width_cm": "wide"}, "colour": "red"}
    with pytest.raises(BadDocument) as caught:
        parse_document(json.dumps(raw), Cupboard, "cupboard.json")
    for key in ("nmae", "name", "shelf.width", "shelf.width_cm", "colour"):
        assert key in caught.value.problem
    assert caught.value.problem.startswith("cupboard.json")
    assert caught.value.problem.count("unknown setting") == 3


@pytest.mark.parametrize("raw", ["[]", "null", '"text"', "3"])
def test_what_is_not_an_object_is_refused(raw: str) -> None:
    with pytest.raises(BadDocument):
        parse_document(raw, Cupboard, "cupboard.json")


def test_a_file_of_a_newer_version_is_refused_with_the_remedy_to_update() -> None:
    with pytest.raises(BadDocument) as caught:
        parse_document('{"schema_version": 3, "name": "x", "unknown": 1}', Cupboard, "cupboard.json")
    assert "newer" in caught.value.problem
    assert "Update" in caught.value.remedy
    assert parse_document('{"schema_version": 2, "name": "x"}', Cupboard, "").name == "x"


@pytest.mark.parametrize("content", [b"", b"{", b'{"name": "x"', b"\x00" * 40])
def test_a_damaged_file_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cupboard.json"
    path.write_bytes(content)
    with pytest.raises(BadDocument, match=r"cupboard\.json is damaged"):
        read_document(path, Cupboard)


def test_a_deeply_nested_file_is_damaged_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "cupboard.json"
    path.write_text("[" * 100_000)
    with pytest.raises(BadDocument):
        read_document(path, Cupboard)


def test_a_file_that_is_not_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(BadDocument, match="not a text file"):
        read_text(tmp_path / "x.json")


def test_a_missing_document_is_not_found_and_missing_lines_are_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_document(tmp_path / "x.json", Cupboard)
    assert read_lines(tmp_path / "x.jsonl", Shelf) == []


def test_lines_with_any_character_come_back_one_to_one(tmp_path: Path) -> None:
    """U+2028 and others end a line for some programs, not in JSON lines."""
    cupboards = [Cupboard(name=f"a{character}b") for character in "\n\r\u2028\u2029\x85\x0b\x1c\"'<"]
    write_lines(tmp_path / "x.jsonl", cupboards)
    assert read_lines(tmp_path / "x.jsonl", Cupboard) == cupboards


def test_a_wrong_line_is_named_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"width_cm": 20}\n\n{"width_cm": 1}\n')
    with pytest.raises(BadDocument, match=r"x\.jsonl, line 3"):
        read_lines(tmp_path / "x.jsonl", Shelf)
