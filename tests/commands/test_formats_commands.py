"""import-dataset and export-dataset as a script calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ltx_wizard.cli import main
from ltx_wizard.core.project import Project
from ltx_wizard.dataset.dataset import read_clips


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def dataset(tmp_path: Path, make_video: Callable[..., Path], numbered: Callable[..., object]) -> Path:
    folder = tmp_path / "ds"
    folder.mkdir()
    for number, text in enumerate(("runs.", "sits.", "sleeps.")):
        make_video(f"{number}.mp4", frames=numbered(9, first=number), folder=folder)
        (folder / f"{number}.txt").write_text(f"kozufel, a cat {text}")
    return folder


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_in_and_out(
    project: Project, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--project", str(project.folder)]
    assert main(["import-dataset", *where, str(dataset), "--look", "--json"]) == 0
    assert last_json(capsys)["trigger"] == "kozufel"
    assert read_clips(project) == []

    assert main(["import-dataset", *where, str(dataset), "--json"]) == 0
    result = last_json(capsys)
    assert (result["added"], result["trigger"]) == (3, "kozufel")
    assert [clip.caption for clip in read_clips(project)] == ["a cat runs.", "a cat sits.", "a cat sleeps."]
    assert project.read_settings().trigger_word == "kozufel"

    out = tmp_path / "out"
    words = ["export-dataset", *where, "--format", "ltx-trainer-jsonl", "--out", str(out)]
    assert main(words) == 0
    assert '--lora-trigger "kozufel"' in capsys.readouterr().out
    assert "kozufel" not in (out / "dataset.jsonl").read_text()
    assert main(words) == 1
    assert "not an empty folder" in capsys.readouterr().err
    assert main([*words[:-1], str(tmp_path / "two"), "--trigger", "write"]) == 0
    assert "kozufel a cat runs." in (tmp_path / "two" / "dataset.jsonl").read_text()


def test_the_word_can_stay(project: Project, dataset: Path) -> None:
    before = project.read_settings().trigger_word
    where = ["--project", str(project.folder)]
    assert main(["import-dataset", *where, str(dataset), "--keep-trigger"]) == 0
    assert read_clips(project)[0].caption == "kozufel, a cat runs."
    assert project.read_settings().trigger_word == before


def test_what_breaks_while_it_is_imported_is_told_too(
    project: Project, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "1.mp4").write_bytes(b"")
    (dataset / "4.txt").write_text("Of no video.")
    assert main(["import-dataset", "--project", str(project.folder), str(dataset)]) == 0
    said = capsys.readouterr().out
    assert said.count("Cannot use 1.mp4: 1.mp4 is empty: it has 0 bytes.") == 1
    assert said.count("Cannot use 4.txt:") == 1
    assert "2 files could not be used: see the reasons" in said


def test_the_formats_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export-dataset"]) == 0
    said = capsys.readouterr().out
    assert "ltx-trainer " in said
    assert "diffusion-pipe" in said


def test_problems_have_a_remedy(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--project", str(project.folder)]
    assert main(["import-dataset", *where, str(tmp_path / "nowhere")]) == 1
    assert "What to do:" in capsys.readouterr().err
    assert main(["export-dataset", *where, "--format", "other"]) == 1
    assert "no dataset format called other" in capsys.readouterr().err
    assert main(["export-dataset", *where, "--format", "kohya"]) == 1
    assert "no clip that could be written" in capsys.readouterr().err
