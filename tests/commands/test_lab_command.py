"""`ltx-wizard lab`: the words that it takes and what it says."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from pathlib import Path

import pytest
from made_up import add_trained_run, save_lora

from ltx_wizard.app import lab as service
from ltx_wizard.cli import main
from ltx_wizard.commands.training import sample_job
from ltx_wizard.core.lab import LabCell, LabFolder, Strip, wanted
from ltx_wizard.core.measures import SampleMeasures
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import LoraSettings, Recipe
from ltx_wizard.core.run import Job, JobFolder, TrainJob


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def trained(project: Project) -> Project:
    add_trained_run(project)
    return project


def make_all(project: Project) -> None:
    """As if the job had run."""
    folder = LabFolder(project)
    folder.cells_folder.mkdir(parents=True, exist_ok=True)
    for place in wanted(service.current(project), "zib style."):
        cell = LabCell(
            request=place.request, base="", seconds=2.0, created=time.time(),
            measures=SampleMeasures(change=None if place.lora is None else 12.5, motion=0.1),
            strip=Strip(count=1, columns=1, width=64, height=64, fps=8),
        )  # fmt: skip
        for file in (folder.video(place.key), folder.strip(place.key)):
            file.write_bytes(b"x")
        folder.cell_file(place.key).write_text(cell.model_dump_json())


def run(project: Project, *words: str) -> int:
    return main(["lab", "--project", str(project.folder), *words])


def test_it_asks_for_what_the_words_say_and_tells_every_video(
    trained: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = save_lora(tmp_path / "mine.safetensors", 3)
    words = [
        "--checkpoint",
        "10",
        "--lora",
        str(mine),
        "--strengths",
        "0.5,1",
        "--prompt",
        "two",
        "--seed",
        "7",
    ]
    assert run(trained, *words, "--only-keep") == 0
    grid = service.current(trained).grid
    assert [lora.rsplit("@")[-1] for lora in grid.loras] == ["10", "file:mine"]
    assert (grid.strengths, grid.seeds, [item.text for item in grid.prompts]) == ((0, 0.5, 1), (7,), ["two"])
    make_all(trained)
    capsys.readouterr()
    assert run(trained, "--keep", "mine@0.5", "--json") == 0
    answered, said = capsys.readouterr()
    assert "  step 10 at 0.5: change 12.5, motion 10.0 %" in said
    assert "Kept: mine at 0.5." in said
    answer = json.loads(answered)
    assert len(answer["videos"]) == 5
    assert answer["videos"][1]["measures"]["change"] == 12.5
    assert answer["kept"] == {"lora": "file:mine", "strength": 0.5}
    assert answer["recommended"].endswith("@20")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--checkpoint", "11"], "no checkpoint of step 11"),
        (["--strengths", "much"], "are no numbers"),
        (["--strengths", "9"], "not between -4 and 4"),
        (["--lora", "nowhere.safetensors"], "no file"),
        (["--only-keep", "--keep", "99@1"], "names none of the grid"),
        (["--run", "nobody"], ""),
    ],
)
def test_wrong_words_are_problems_with_a_remedy(
    trained: Project, words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[0] == "--run":
        words = [*words, "--checkpoint", "10"]
    assert run(trained, *words) == 1
    said = capsys.readouterr().err
    assert problem in said
    assert "What to do:" in said


def test_a_sample_of_a_checkpoint_has_the_scale_that_it_was_trained_with(trained: Project) -> None:
    """A checkpoint holds the weights as they are trained: alpha / rank is the recipe's to say."""
    job = Job(
        settings=TrainJob(
            recipe=Recipe(model="embedded", lora=LoraSettings(rank=4, alpha=8)), dataset_fingerprint=""
        ),
        created=time.time(),
    )
    run_folder = JobFolder.create(trained.runs_folder, "doubled", job)
    file = save_lora(run_folder.checkpoint_folder(5) / "lora.safetensors", 1)
    given = Namespace(prompt=["one"], seed=None, strength=0.5, model="", lora=None)
    asked = sample_job(trained, given, file)
    assert (asked.strength, asked.scale) == (0.5, 2.0)
    given.lora = file
    assert sample_job(trained, given, file).scale == 1.0
