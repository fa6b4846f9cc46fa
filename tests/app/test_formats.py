from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ltx_wizard.app import formats, jobs
from ltx_wizard.commands.console import Console
from ltx_wizard.commands.following import follow
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.errors import BadInput, NotReady
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import ExportDatasetJob, ImportDatasetJob, JobFolder, JobSettings, JobStatus
from ltx_wizard.dataset.dataset import add_clips

MakeVideo = Callable[..., Path]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[JobSettings]:
    """What would be started: the worker itself is tested elsewhere."""
    asked: list[JobSettings] = []

    def start(project: Project, settings: JobSettings, name: str = "") -> JobFolder:
        asked.append(settings)
        return JobFolder(project.jobs_folder / "0001-x")

    monkeypatch.setattr(jobs, "start", start)
    return asked


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "ds"
    folder.mkdir()
    texts = ("runs.", "sits.", "sleeps.")
    rows = [
        {"caption": f"kozufel A cat {text}", "video": f"{number}.mp4", "audio": "x.wav"}
        for number, text in enumerate(texts)
    ]
    for row in rows:
        (folder / row["video"]).touch()
    rows += [{"caption": "", "video": "0.mp4"}, {"caption": "x", "video": "gone.mp4"}]
    (folder / "dataset.json").write_text(json.dumps(rows))
    return folder


def test_a_look_says_what_lies_there_and_changes_nothing(project: Project, dataset: Path) -> None:
    look = formats.look_at(project, dataset)
    assert look.summary == "LTX-2 ltx-trainer, dataset.json: 4 videos, 3 captions"
    assert (look.clips, look.captions, look.trigger) == (4, 3, "kozufel")
    assert [item.name for item in look.left_out] == ["gone.mp4"]
    assert look.remarks == (
        "1 file without a caption: you can write it later.",
        "Not used here: audio.",
    )
    assert not project.sources_file.exists()


def test_the_projects_own_trigger_word_is_no_news(project: Project, dataset: Path) -> None:
    project.change_settings(trigger_word="Kozufel")
    assert formats.look_at(project, dataset).trigger == ""


def test_a_table_in_a_folder_of_videos_is_noticed(dataset: Path, tmp_path: Path) -> None:
    assert formats.table_in(dataset) == "LTX-2 ltx-trainer, dataset.json: 4 videos, 3 captions"
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "a.mp4").touch()
    assert formats.table_in(beside) == ""
    (beside / "a.txt").write_text("A cat.")
    assert formats.table_in(beside) == ""
    assert formats.table_in(tmp_path / "gone") == ""


def test_an_import_is_a_job(project: Project, dataset: Path, started: list[JobSettings]) -> None:
    formats.start_import(project, dataset, "kozufel", regularisation=True)
    assert started == [ImportDatasetJob(path=str(dataset), trigger="kozufel", regularisation=True)]


def test_an_import_of_nothing_says_why(project: Project, tmp_path: Path, started: list[JobSettings]) -> None:
    path = tmp_path / "dataset.json"
    path.write_text('[{"caption": "x", "video": "gone.mp4"}]')
    with pytest.raises(NotReady, match=r"gone\.mp4"):
        formats.start_import(project, path)
    assert started == []


def test_an_export_takes_the_usual_place_for_the_trigger_word(
    filmed: Project, started: list[JobSettings]
) -> None:
    captioned(filmed)
    formats.start_export(filmed, "ltx-trainer")
    formats.start_export(filmed, "ai-toolkit")
    formats.start_export(filmed, "ai-toolkit", filmed.folder / "x", with_trigger=False)
    place = filmed.exports_folder
    assert started == [
        ExportDatasetJob(format="ltx-trainer", folder=str(place / "dataset-ltx-trainer"), with_trigger=False),
        ExportDatasetJob(format="ai-toolkit", folder=str(place / "dataset-ai-toolkit"), with_trigger=True),
        ExportDatasetJob(format="ai-toolkit", folder=str(filmed.folder / "x"), with_trigger=False),
    ]


def test_an_export_is_refused_before_a_job_is_made(filmed: Project, started: list[JobSettings]) -> None:
    with pytest.raises(NotReady):
        formats.start_export(filmed, "ltx-trainer")
    captioned(filmed)
    with pytest.raises(BadInput, match="not an empty folder"):
        formats.start_export(filmed, "ltx-trainer", filmed.sources_folder)
    assert started == []


def test_the_usual_folder_is_always_a_new_one(project: Project) -> None:
    for _ in range(2):
        formats.default_folder(project, "kohya").mkdir(parents=True)
    assert formats.default_folder(project, "kohya").name == "dataset-kohya-3"


def test_results_in_words() -> None:
    done = JobStatus(
        result={"title": "finetrainers pair", "added": 3, "captioned": 1, "known": 2, "problems": 1}
    )
    assert formats.import_text(done) == (
        "finetrainers pair: 3 clips added. 1 clip here already got a caption. 2 files already here. "
        "1 file could not be used: see the reasons."
    )
    written = JobStatus(result={"title": "kohya", "clips": 2, "left_out": ["1 clip without a caption"]})
    assert formats.export_text(written) == ("2 clips written for kohya. Left out: 1 clip without a caption.")


def test_a_worker_does_both(project: Project, make_video: MakeVideo, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    make_video("a.mp4", frames=9, folder=folder)
    (folder / "a.txt").write_text("A cat runs.")
    done = follow(formats.start_import(project, folder), Console(as_json=True))
    assert done.result["added"] == 1
    done = follow(formats.start_export(project, "sidecars", tmp_path / "out"), Console(as_json=True))
    assert done.result["clips"] == 1
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".mp4", ".txt"]


def captioned(project: Project) -> None:
    """One clip with a caption; its file does not matter here."""
    clip = Clip(
        id="c", source_id="s", file="clips/c.mp4", kind=MediaKind.VIDEO, width=64, height=32, fps=8,
        frames=9, duration_s=1, caption="A cat runs.", caption_state=CaptionState.WRITTEN,
    )  # fmt: skip
    add_clips(project, [clip])
