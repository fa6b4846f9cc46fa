"""Text in pictures: a font that has the letters, from this computer where ours lacks them.

Pillow brings a font with Latin letters and matplotlib one with Greek and Cyrillic ones. Chinese, Japanese,
Korean and others come from a font of the system; where there is none, whoever draws says something else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from unicodedata import category, name

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont

_SUFFIXES = (".ttf", ".otf", ".ttc")
_FIRST = (
    "notosanscjk", "sourcehansans", "arial unicode", "msyh", "yugoth", "meiryo", "malgun", "simsun",
    "pingfang", "hiragino", "applesdgothicneo", "stheiti", "wqy", "droidsansfallback", "nanumgothic",
    "notosans", "segoeui", "nirmala", "leelaw", "arial", "dejavusans", "unifont",
)  # fmt: skip
"""How names of fonts begin that have many letters and read well, the best first; then any other."""

_MOST_FONTS = 1000
_BOXES_ONLY = "lastresort"
"""The font of macOS with a box for each script."""

_AS_EMOJI = "\ufe0f"
_NOBODYS = "\U0010fffd"
"""A letter that no font has: what it draws for it, it draws for every letter that it lacks."""


def lettering(text: str, size_px: int, otherwise: str = "") -> tuple[str, Font]:
    """What to draw, and in which font. Signs such as emoji that no font has are left out; where letters are
    missing in every font, it is `otherwise`.
    """
    signs = frozenset(letter for letter in text if not letter.isspace())
    words = frozenset(letter for letter in signs if category(letter)[0] in "LNM" and letter != _AS_EMOJI)
    font = _font_with(signs, size_px) or (_font_with(words, size_px) if words else None)
    if font is None:
        return (otherwise if signs else ""), ImageFont.load_default(size_px)
    lacking = {letter for letter in signs - words if not _has(font, letter)}
    return " ".join("".join(letter for letter in text if letter not in lacking).split()), font


@lru_cache(maxsize=512)
def _font_with(letters: frozenset[str], size_px: int) -> Font | None:
    for font in (ImageFont.load_default(size_px), *_loaded(_brought(), size_px)):
        if all(_has(font, letter) for letter in letters):
            return font
    rarest = max((letter for letter in letters if letter.isalpha()), default="")
    if not rarest:  # an emoji is in a font that is drawn in colours, if in any
        return None
    script = name(rarest, rarest).split(" ", 1)[0]
    if script not in _of_script:
        _of_script[script] = _paths_with(rarest)
    fonts = _loaded(_of_script[script], size_px)
    return next((font for font in fonts if all(_has(font, letter) for letter in letters)), None)


_of_script: dict[str, tuple[Path, ...]] = {}
"""Fonts of the system by the script that they have: looked for once, as there may be hundreds."""


def _paths_with(letter: str) -> tuple[Path, ...]:
    paths = _of_the_system()
    return tuple(path for path in paths if any(_has(font, letter) for font in _loaded((path,), 12)))


def _loaded(paths: tuple[Path, ...], size_px: int) -> Iterator[Font]:
    for path in paths:
        try:
            yield ImageFont.truetype(str(path), size_px)
        except (OSError, ValueError):
            continue


def _has(font: Font, letter: str) -> bool:
    """Told by the picture: it is another than that of a letter which no font has."""
    try:
        shown = _drawn(font, letter)
        return any(shown) and shown != _drawn(font, _NOBODYS)
    except (OSError, ValueError):
        return False


def _drawn(font: Font, letter: str) -> bytes:
    picture = Image.new("1", (64, 64))
    ImageDraw.Draw(picture).text((16, 16), letter, 1, font)
    return picture.tobytes()


def _brought() -> tuple[Path, ...]:
    """The font that matplotlib brings, without loading it."""
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        return ()
    return (Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf",)


def _of_the_system() -> tuple[Path, ...]:
    """The fonts of this computer, those first that likely have the letters."""
    found: list[Path] = []
    for folder in font_folders():
        for root, _, files in os.walk(folder):
            found += [Path(root, file) for file in sorted(files) if file.lower().endswith(_SUFFIXES)]
            if len(found) > _MOST_FONTS:
                break
    drawn = [path for path in found if _BOXES_ONLY not in path.stem.lower()]
    return tuple(sorted(drawn[:_MOST_FONTS], key=lambda path: (_rank(path), "bold" in path.stem.lower())))


def _rank(path: Path) -> int:
    stem = path.stem.lower()
    return next((place for place, first in enumerate(_FIRST) if stem.startswith(first)), len(_FIRST))


def font_folders() -> list[Path]:
    """Where the system keeps fonts."""
    if sys.platform == "win32":
        windows, own = os.environ.get("WINDIR", r"C:\Windows"), os.environ.get("LOCALAPPDATA", "")
        return [Path(windows, "Fonts"), *([Path(own, "Microsoft", "Windows", "Fonts")] if own else [])]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), Path.home() / "Library" / "Fonts"]
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    shared = (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    return [Path(data, "fonts"), Path.home() / ".fonts", *(Path(place, "fonts") for place in shared if place)]
