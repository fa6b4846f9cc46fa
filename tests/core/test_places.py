from __future__ import annotations

from pathlib import Path

import pytest

from ltx_wizard.core import places
from ltx_wizard.core.errors import BadInput


def test_a_typed_path_may_have_quotes_spaces_and_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for text in ("~/my videos", '"~/my videos"', "  '~/my videos' ", f"{tmp_path}/x/../my videos"):
        assert places.typed_path(text) == tmp_path.resolve() / "my videos"


def test_a_quote_that_belongs_to_the_name_stays(tmp_path: Path) -> None:
    assert places.typed_path(f"{tmp_path}/dogs'").name == "dogs'"


@pytest.mark.parametrize("text", ["~nobody-of-this-name/x", "a\0b"])
def test_what_cannot_be_a_path_says_so(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        places.typed_path(text)
    assert "cannot be a path" in caught.value.problem
    assert "\0" not in caught.value.problem


def test_the_home_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "here"))
    assert places.projects() == tmp_path / "here" / "projects"
    monkeypatch.setenv("LTX_WIZARD_HOME", "  ")
    assert places.home() == Path.home() / "LTX-Wizard"
