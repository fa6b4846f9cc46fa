"""Names in every script are drawn legibly, whatever fonts this computer has."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import ImageFont

from ltx_wizard.media import lettering as module
from ltx_wizard.media.lettering import lettering


@pytest.fixture(autouse=True)
def without_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without fonts of its own."""
    monkeypatch.setattr(module, "font_folders", lambda: [])
    monkeypatch.setattr(module, "_of_script", {})
    module._font_with.cache_clear()


@pytest.mark.parametrize(
    "text", ["bikes.mp4 at 0:05", "naïve – “Ärger” · 2", "Привет, мир.mp4", "ταξίδι 3.mov"]
)
def test_latin_greek_and_cyrillic_letters_are_always_there(text: str) -> None:
    assert lettering(text, 12)[0] == text


@pytest.mark.parametrize("text", ["日本語.mp4", "서울 산책", "ไทย", "旅 2024.mov at 0:03"])
def test_letters_that_no_font_has_are_not_drawn_as_boxes(text: str) -> None:
    assert lettering(text, 12, "Clip 3")[0] == "Clip 3"
    assert lettering(text, 12)[0] == ""


def test_signs_without_a_picture_are_left_out_and_the_letters_stay() -> None:
    assert lettering("🎉 party ❤️‍🔥 night.mp4", 12, "Clip 1")[0] in ("party night.mp4", "party ❤ night.mp4")
    assert lettering("🎉", 12, "Clip 1")[0] == "Clip 1"
    assert lettering("  ", 12, "Clip 1")[0] == ""


def test_a_font_of_the_system_draws_what_ours_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = find_spec("matplotlib")
    assert matplotlib is not None and matplotlib.origin is not None
    with_maths = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "STIXGeneral.ttf"
    letter = "\U0001d504"  # one that of matplotlib's fonts only this has
    assert lettering(letter, 12, "Clip 1")[0] == "Clip 1"
    module._font_with.cache_clear()
    module._of_script.clear()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "Maths.TTF").write_bytes(with_maths.read_bytes())
    boxes = with_maths.with_name("LastResortHE-Regular.ttf")
    if boxes.is_file():  # newer versions of matplotlib bring it
        (tmp_path / "LastResort.otf").write_bytes(boxes.read_bytes())
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr(module, "font_folders", lambda: [tmp_path, tmp_path / "missing"])
    shown, font = lettering(letter, 12, "Clip 1")
    assert shown == letter
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert font.getname()[0] == "STIXGeneral"
    assert lettering("日本語", 12, "Clip 1")[0] == "Clip 1"  # what is left has boxes only


def test_the_folders_of_fonts_are_those_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert all(folder.is_absolute() for folder in module.font_folders())
