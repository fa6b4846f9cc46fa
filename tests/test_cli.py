"""The command line, as people and scripts use it: exit status, what is on stdout, what is on stderr."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_files import original_transformer, write_header_only

from ltx_wizard.app import datasets, jobs, projects, workbench
from ltx_wizard.app.projects import SampleGuide
from ltx_wizard.app.settings import recent_projects
from ltx_wizard.cli import main
from ltx_wizard.commands.console import Console, ConsoleReport, printable
from ltx_wizard.commands.demo import DemoReport
from ltx_wizard.commands.following import JobStopped, follow
from ltx_wizard.commands.training import sample_job, settings_of
from ltx_wizard.core import places
from ltx_wizard.core.clip import CaptionState
from ltx_wizard.core.errors import BadSetting, JobFailed
from ltx_wizard.core.events import Progress
from ltx_wizard.core.places import ROOT
from ltx_wizard.core.project import Goal, Project
from ltx_wizard.core.report import progress
from ltx_wizard.core.run import CaptionJob, FindScenesJob
from ltx_wizard.dataset.dataset import update_clip

MakeVideo = Callable[..., Path]
Run = Callable[..., "Answer"]


class Answer:
    """What a command left: its exit status and both streams."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> dict:
        """The last line of stdout."""
        return json.loads(self.out.splitlines()[-1])

    def is_problem(self, problem: str, remedy: str) -> bool:
        """Whether it failed with these words on stderr, and without a traceback."""
        return (
            self.status == 1
            and problem in self.err
            and f"What to do: {remedy}" in self.err
            and "Traceback" not in self.err
        )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """run('check', '--json') in this process."""

    def run_command(*words: object) -> Answer:
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        shown = capsys.readouterr()
        return Answer(status, shown.out, shown.err)

    return run_command


@pytest.fixture
def practice(project: Project) -> Project:
    """A project for the practice model that takes short clips."""
    project.change_settings(
        model="embedded",
        trigger_word="zorbex",
        scenes={"min_clip_s": 1.0, "max_clip_s": 8.0, "min_scene_s": 0.5},
    )
    return project


def calm(frames: int) -> np.ndarray:
    """One scene: a pale square slides over a grey ground."""
    pictures = np.full((frames, 64, 128, 3), 90, np.uint8)
    for index in range(frames):
        pictures[index, 20:44, index : index + 24] = 220
    return pictures


@pytest.fixture
def cut_project(practice: Project, make_video: MakeVideo, run: Run) -> Project:
    """The same with one clip."""
    assert run("import", "--project", practice.folder, make_video(frames=calm(24))).status == 0
    assert run("split", "--project", practice.folder).status == 0
    return practice


def started(*words: object) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ltx_wizard.cli", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"it never said '{words}'")


# Words and options


def test_help_names_every_command(run: Run) -> None:
    answer = run("--help")
    assert answer.status == 0
    words = [
        "ui",
        "demo",
        "new",
        "import",
        "split",
        "caption",
        "check",
        "train",
        "resume",
        "sample",
        "lab",
        "export",
        "doctor",
    ]
    assert all(re.search(rf"^    {word} ", answer.out, re.MULTILINE) for word in words)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--presett", "x"], "--presett"),
        (["train", "--steps", "many"], "--steps"),
        (["train", "--steps", "0"], "0 is less than 1"),
        (["split", "--detector", "magic"], "invalid choice: 'magic'"),
        (["new"], "--project"),
        (["new", "--project", "x", "--goal", "fame"], "invalid choice: 'fame'"),
        (["import", "--project", "x"], "PATH"),
        (["demo"], "--out"),
        (["caption", "--json"], "--json"),
    ],
)
def test_wrong_options_end_with_2_and_say_where_to_read(words: list[str], problem: str, run: Run) -> None:
    answer = run(*words)
    assert answer.status == 2
    assert problem in answer.err
    assert "What to do: Read: ltx-wizard" in answer.err
    assert answer.out == ""


def test_ui_starts_the_window_with_its_own_options() -> None:
    process = started("ui", "--help")
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    assert "--listen" in out
    assert "--no-browser" in out


def test_ui_gives_the_status_of_the_window(run: Run) -> None:
    assert run("ui", "--no-such-option").status == 2


def test_doctor_gives_json_that_agrees_with_its_status(run: Run) -> None:
    answer = run("doctor", "--json")
    assert {"Python", "Memory", "torch"} <= {item["name"] for item in answer.json["findings"]}
    assert answer.status == (0 if answer.json["good"] else 1)
    assert len(answer.out.splitlines()) == 1
    assert "Graphics card" in answer.err  # what people read does not mix with what scripts read
    assert "Graphics card" in run("doctor").out


# Projects


def test_new_makes_the_project_in_exactly_the_folder_that_was_named(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "My cat, röd 🐈"
    answer = run(
        "new", "--project", folder, "--goal", "character", "--trigger", "mewl", "--model", "embedded"
    )
    assert answer.status == 0
    settings = Project.open(folder).read_settings()
    assert (settings.name, settings.goal, settings.trigger_word, settings.model) == (
        *("My cat, röd 🐈", Goal.CHARACTER, "mewl", "embedded"),
    )
    assert recent_projects() == [folder]


def test_new_proposes_a_trigger_word_unless_none_is_wanted(run: Run, tmp_path: Path) -> None:
    run("new", "--project", tmp_path / "a")
    run("new", "--project", tmp_path / "b", "--trigger", "")
    assert Project.open(tmp_path / "a").read_settings().trigger_word.isalpha()
    assert Project.open(tmp_path / "b").read_settings().trigger_word == ""


def test_new_leaves_nothing_behind_where_it_fails(run: Run, tmp_path: Path, project: Project) -> None:
    before = project.settings_file.read_bytes()
    (tmp_path / "file").write_text("mine")
    assert run("new", "--project", project.folder).is_problem("already a project", "Open it")
    assert run("new", "--project", tmp_path / "file").is_problem("is a file", "Name a folder")
    assert run("new", "--project", tmp_path / "a", "--model", "sora").is_problem("'sora'", "Choose one of")
    assert run("new", "--project", tmp_path / "a", "--name", "x" * 81).is_problem("81 characters", "Use 80")
    assert run("new", "--project", tmp_path / "a", "--trigger", "t" * 101).is_problem(
        "trigger_word", "Correct"
    )
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "file").read_text() == "mine"
    assert project.settings_file.read_bytes() == before


def test_the_sample_project_comes_with_videos(run: Run, tmp_path: Path) -> None:
    assert run("new", "--project", tmp_path / "s", "--sample").status == 0
    sources = datasets.sources(Project.open(tmp_path / "s"))
    assert {source.regularisation for source in sources} == {True, False}


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["import", "film.mp4"],
        ["split"],
        ["caption"],
        ["train"],
        ["resume"],
        ["sample"],
        ["lab"],
        ["export"],
    ],
)
def test_every_command_refuses_what_is_not_a_project(words: list[str], run: Run, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    no_project = "is not an LTX Wizard project"
    how = "Make it with: ltx-wizard new --project"
    assert run(*words, "--project", tmp_path / "nowhere").is_problem(no_project, how)
    assert run(*words, "--project", tmp_path / "empty").is_problem(no_project, how)
    assert run(*words, "--project", tmp_path / "film.mp4").is_problem("is a file, not a project", "Name the")
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_project_of_a_newer_version_is_left_alone(run: Run, project: Project) -> None:
    text = project.settings_file.read_text().replace('"schema_version": 1', '"schema_version": 99')
    project.settings_file.write_text(text)
    answer = run("check", "--project", project.folder)
    assert answer.is_problem("written by a newer LTX Wizard (format 99)", "Update LTX Wizard")
    assert project.settings_file.read_text() == text


def test_a_project_without_permission_says_so(run: Run, project: Project, without_rights: Callable) -> None:
    project.folder.chmod(0)
    with without_rights():
        answer = run("check", "--project", project.folder)
    project.folder.chmod(0o755)
    assert answer.is_problem("does not let LTX Wizard use", "Change the permissions")


# Import


def test_import_lists_the_broken_files_and_brings_in_the_rest(
    run: Run, project: Project, make_video: MakeVideo, tmp_path: Path
) -> None:
    good = make_video("a good one.mp4")
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("not a video")
    answer = run("import", "--project", project.folder, empty, good, text, tmp_path / "gone.mp4")
    assert answer.status == 0
    assert [source.original_name for source in datasets.sources(project)] == ["a good one.mp4"]
    for name in ("empty.mp4", "text.mp4", "gone.mp4"):
        assert re.search(rf"^Cannot use {name}: .+", answer.out, re.MULTILINE)
    assert "does not exist" in answer.out
    assert answer.out.splitlines()[-1] == "1 file added."


def test_import_fails_where_nothing_was_added(
    run: Run, project: Project, make_video: MakeVideo, tmp_path: Path
) -> None:
    good = make_video()
    assert run("import", "--project", project.folder, tmp_path / "gone.mp4").is_problem(
        "Nothing was added", "Look at the reason"
    )
    assert run("import", "--project", project.folder, good).status == 0
    again = run("import", "--project", project.folder, good)
    assert again.is_problem("Nothing was added", "Look")
    assert "already in the project" in again.out


def test_import_takes_folders_and_marks_regularisation(
    run: Run, project: Project, make_video: MakeVideo, tmp_path: Path
) -> None:
    inbox = tmp_path / "in box"
    inbox.mkdir()
    make_video("one.mp4", folder=inbox)
    make_video("two.mp4", frames=16, folder=inbox)
    assert run("import", "--project", project.folder, inbox, "--regularisation").status == 0
    assert [source.regularisation for source in datasets.sources(project)] == [True, True]


def test_a_folder_without_permission_is_listed_and_the_rest_goes_on(
    run: Run, project: Project, make_video: MakeVideo, tmp_path: Path, home: Path, without_rights: Callable
) -> None:
    locked, good = tmp_path / "locked", make_video()
    locked.mkdir()
    locked.chmod(0)
    home.mkdir()
    for folder in (home, project.folder):
        folder.chmod(0o777)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and "pytest" in str(folder):
            folder.chmod(0o755)
    good.chmod(0o644)
    with without_rights():
        answer = run("import", "--project", project.folder, locked, good)
    locked.chmod(0o755)
    assert answer.status == 0
    assert "does not let LTX Wizard use" in answer.out
    assert len(datasets.sources(project)) == 1


# Scenes, captions, checks


def test_split_finds_scenes_and_cuts_them(run: Run, practice: Project, make_video: MakeVideo) -> None:
    run("import", "--project", practice.folder, make_video(frames=calm(64)))
    found = run("split", "--project", practice.folder, "--only-find", "--max-clip", "3")
    assert found.status == 0
    assert datasets.clips(practice) == []
    assert practice.read_settings().scenes.max_clip_s == 3
    assert run("split", "--project", practice.folder).status == 0
    assert len(datasets.clips(practice)) == datasets.planned_clips(practice) == 3


def test_the_threshold_is_that_of_the_detector(run: Run, practice: Project, make_video: MakeVideo) -> None:
    run("import", "--project", practice.folder, make_video())
    words = ["split", "--project", practice.folder, "--only-find", "--detector", "content"]
    assert run(*words, "--threshold", "40", "--min-scene", "0.4").status == 0
    scenes = practice.read_settings().scenes
    assert (scenes.detector, scenes.content_threshold, scenes.adaptive_threshold) == ("content", 40, 3)
    assert scenes.min_scene_s == 0.4
    assert run(*words, "--threshold", "900").is_problem("content_threshold", "Give a value")
    assert practice.read_settings().scenes == scenes


def test_steps_out_of_order_say_which_command_comes_first(run: Run, practice: Project) -> None:
    folder = practice.folder
    assert run("split", "--project", folder).is_problem("no videos", "Add some with: ltx-wizard import")
    assert run("caption", "--project", folder).is_problem("no clips", "Make some with: ltx-wizard split")
    assert run("train", "--project", folder).is_problem("There are no clips yet", "")
    assert run("resume", "--project", folder).is_problem("no run yet", "Make one with: ltx-wizard train")
    assert run("sample", "--project", folder).is_problem("no run yet", "Make one with: ltx-wizard train")
    assert run("export", "--project", folder).is_problem("no run yet", "Make one with: ltx-wizard train")
    assert run("resume", "--project", folder, "--run", "9").is_problem("no job in", "Choose a run")
    assert jobs.runs(practice) == []


def test_caption_drafts_what_is_missing(run: Run, cut_project: Project) -> None:
    answer = run("caption", "--project", cut_project.folder)
    assert answer.status == 0
    assert "Captions written: 1" in answer.out
    assert datasets.clips(cut_project)[0].caption_state is CaptionState.DRAFT
    workbench.save(cut_project, datasets.clips(cut_project)[0].id, "Mine.")
    assert "Already there: 1" in run("caption", "--project", cut_project.folder).out
    assert datasets.clips(cut_project)[0].caption == "Mine."
    run("caption", "--project", cut_project.folder, "--overwrite")
    assert datasets.clips(cut_project)[0].caption != "Mine."


def test_an_unknown_captioner_is_refused_before_work_begins(run: Run, cut_project: Project) -> None:
    answer = run("caption", "--project", cut_project.folder, "--captioner", "oracle")
    assert answer.is_problem("no captioner called oracle", "Choose one of: motion")
    assert jobs.last_job(cut_project, "caption") is None


def test_check_fails_while_something_must_be_fixed(run: Run, practice: Project) -> None:
    answer = run("check", "--project", practice.folder, "--json")
    assert answer.status == 1
    assert answer.json["ready"] is False
    assert answer.json["findings"][0]["level"] == "must"
    shown = run("check", "--project", practice.folder)
    assert shown.status == 1
    assert "[Must be fixed] There are no clips yet" in shown.out
    assert "1 thing must be fixed first." in shown.out


def test_check_fix_does_what_the_app_can_do(run: Run, cut_project: Project) -> None:
    before = run("check", "--project", cut_project.folder, "--json")
    offered = {finding["fix"] for finding in before.json["findings"]} - {""}
    assert {"conform", "draft_captions"} <= offered  # 128 x 64, and no caption
    after = run("check", "--project", cut_project.folder, "--fix", "--json")
    assert {"captions", "sizes"} <= set(after.json["fixed"])
    clip = datasets.clips(cut_project)[0]
    assert clip.caption
    assert cut_project.path(clip.conformed_file).is_file()
    left = {finding["fix"] for finding in after.json["findings"]}
    assert not left & {"conform", "draft_captions"}
    assert after.status == (0 if after.json["ready"] else 1)


def test_check_fix_does_not_take_back_what_is_fine(run: Run, cut_project: Project) -> None:
    clip = datasets.clips(cut_project)[0]
    update_clip(cut_project, clip.id, crop=(0, 0, clip.width, clip.height))
    after = run("check", "--project", cut_project.folder, "--fix", "--json")
    assert "uncrop" in {finding["fix"] for finding in after.json["findings"]}
    assert "cropped" not in after.json["fixed"]
    assert datasets.clips(cut_project)[0].crop == (0, 0, clip.width, clip.height)


def test_a_crop_is_taken_back(run: Run, cut_project: Project) -> None:
    whole = datasets.clips(cut_project)[0]
    assert run("check", "--project", cut_project.folder, "--uncrop").is_problem(
        "No clip is cropped", "Their names"
    )
    update_clip(cut_project, whole.id, crop=(0, 16, 128, 32), height=32)
    assert run("check", "--project", cut_project.folder, "--uncrop", "nobody").is_problem(
        "nobody", "Their names"
    )
    both = run("check", "--project", cut_project.folder, "--fix", "--uncrop", whole.id)
    assert both.is_problem("--fix crops", "Give one")
    after = run("check", "--project", cut_project.folder, "--uncrop", whole.id, "--json")
    assert "Whole picture: 1 clip, done." in after.err
    assert after.json["fixed"] == ["cropped"]
    clip = datasets.clips(cut_project)[0]
    assert (clip.crop, clip.height) == (None, 64)


@pytest.mark.skipif(os.name == "nt", reason="closed pipes are told in another way there")
def test_who_reads_only_the_beginning_is_told_of_no_broken_disk() -> None:
    command = [sys.executable, "-m", "ltx_wizard.cli", "models"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None and program.stderr is not None
        program.stdout.close()
        said = program.stderr.read()
    assert (said, program.returncode) == ("", 1)


# Training options


def test_settings_are_read_from_the_command_line() -> None:
    given = ["lora.rank=16", "data.buckets=64x64x9, 96x64x9", "validation.prompts=A cat, running", "seed = 7"]
    assert settings_of(given, steps=5) == {
        "lora.rank": 16,
        "data.buckets": ("64x64x9", "96x64x9"),
        "validation.prompts": ("A cat, running",),
        "seed": 7,
        "steps": 5,
    }
    assert settings_of(["validation.prompts="]) == {"validation.prompts": ()}
    assert settings_of(['validation.prompts=["a b", "c"]']) == {"validation.prompts": ("a b", "c")}
    with pytest.raises(BadSetting, match="not a JSON list"):
        settings_of(["validation.prompts=[oops"])


@pytest.mark.parametrize(
    ("words", "problem", "remedy"),
    [
        (["--preset", "warp-speed"], "no preset called warp-speed", "Choose one of: "),
        (["--set", "lora.rnk=4"], "no setting called lora.rnk", "The settings are: steps, seed, lora.rank"),
        (["--set", "lora.rank"], "not of the form key=value", "Write it as"),
        (["--set", "lora.rank=0"], "lora.rank", "Give another value"),
        (["--set", "optimizer.lr=fast"], "optimizer.lr", "Type a number"),
        (["--set", "data.buckets=huge"], "data.buckets", "Give another value"),
    ],
)
def test_a_wrong_recipe_starts_nothing(
    words: list[str], problem: str, remedy: str, run: Run, cut_project: Project
) -> None:
    answer = run("train", "--project", cut_project.folder, *words)
    assert answer.is_problem(problem, remedy)
    assert jobs.runs(cut_project) == []
    assert not cut_project.recipe_file.exists()


def test_a_lora_file_that_is_not_there_is_refused(run: Run, cut_project: Project, tmp_path: Path) -> None:
    words = ["sample", "--project", cut_project.folder, "--prompt", "A cat", "--lora"]
    assert run(*words, tmp_path / "gone.safetensors").is_problem("There is no LoRA file", "Check the path")


# Following a job


def test_a_failed_job_fails_with_its_own_problem_and_remedy(cut_project: Project) -> None:
    job = jobs.start(cut_project, CaptionJob(captioner="oracle"))
    with pytest.raises(JobFailed) as caught:
        follow(job, Console(stream=io.StringIO()))
    assert caught.value.problem == "There is no captioner called oracle."
    assert "Choose one of: motion" in caught.value.remedy
    assert str(job.log_file) in caught.value.remedy


def test_a_job_that_was_stopped_elsewhere_ends_as_stopped(practice: Project, make_video: MakeVideo) -> None:
    datasets.import_paths(practice, [make_video(frames=1500)])
    job = jobs.start(practice, FindScenesJob())
    jobs.stop(job)
    with pytest.raises(JobStopped, match=r"Stopped: finding scenes\."):
        follow(job, Console(stream=io.StringIO()))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_asks_the_worker_to_stop(practice: Project, make_video: MakeVideo) -> None:
    datasets.import_paths(practice, [make_video(frames=6000)])
    process = started("split", "--project", practice.folder)
    read_until(process, "Finding scenes: ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "Press Ctrl+C again" in out
    assert err.startswith("Stopped: finding scenes.\nWhat to do: ")
    job = jobs.last_job(practice, "find_scenes")
    assert job is not None
    assert job.status().state.value == "stopped"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_a_second_ctrl_c_ends_a_worker_that_does_not_stop(practice: Project, make_video: MakeVideo) -> None:
    datasets.import_paths(practice, [make_video(frames=6000)])
    process = started("split", "--project", practice.folder)
    read_until(process, "Finding scenes: ")
    job = jobs.last_job(practice, "find_scenes")
    assert job is not None
    worker = json.loads(job.worker_file.read_text())["pid"]
    os.kill(worker, signal.SIGSTOP)  # as if it hung
    process.send_signal(signal.SIGINT)
    read_until(process, "Press Ctrl+C again")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "Ended before the step was done." in err
    assert not jobs.is_active(job)


# Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_that_updates() -> None:
    stream = Terminal()
    console = Console(stream=stream)
    report = ConsoleReport(console)
    progress(report, "Cutting", 1, 20, "a long name")
    progress(report, "Cutting", 12, 20)
    progress(report, "Cutting", 20, 20)
    console.say("Done.")
    first, second, wiped, done = stream.getvalue().split("\r")[1:]
    assert first == "Cutting: 1 of 20, a long name"
    assert second.rstrip() == "Cutting: 12 of 20"
    assert len(second) == len(first)  # nothing of the longer line stays
    assert wiped.strip() == ""
    assert done == "Done.\n"


def test_without_a_terminal_a_stage_is_one_plain_line() -> None:
    stream = io.StringIO()
    console = Console(stream=stream)
    for done in range(20):
        console.progress(Progress(stage="Cutting", done=done, total=20))
    console.progress(Progress(stage="Paused", done=0, total=0))
    assert stream.getvalue() == "Cutting: 0 of 20\nPaused\n"


def test_a_download_is_told_in_bytes_with_rate_and_time_left() -> None:
    stream = io.StringIO()
    console = Console(stream=stream)
    event = Progress(stage="Downloading", done=2**30, total=3 * 2**30, unit="bytes", per_second=2**26)
    console.progress(event)
    console.progress(event.model_copy(update={"stage": "Checking", "per_second": 0.0}))
    assert stream.getvalue() == (
        "Downloading: 1.0 GB of 3.0 GB, 64.0 MB/s, 32 s left\nChecking: 1.0 GB of 3.0 GB\n"
    )


def test_an_old_console_shows_question_marks_for_what_it_does_not_know() -> None:
    old = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert printable("katze 🐈 \udcff.mp4", old) == "katze ? ?.mp4"
    Console(stream=old).say("katze 🐈")


# Demo


def test_demo_refuses_a_file_and_a_folder_without_permission(
    run: Run, tmp_path: Path, without_rights: Callable
) -> None:
    file, locked = tmp_path / "file", tmp_path / "locked"
    file.write_text("mine")
    locked.mkdir(mode=0o555)
    assert run("demo", "--out", file).is_problem("is a file", "Name a folder")
    assert run("demo", "--out", file / "below").status == 1
    with without_rights():
        answer = run("demo", "--out", locked / "demo")
    assert answer.is_problem("does not let LTX Wizard use", "Change the permissions")
    assert file.read_text() == "mine"


@pytest.fixture
def small_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SampleGuide:
    """A sample project and a preset that differ from the app's own in their size only."""
    sample, presets = tmp_path / "sample", tmp_path / "presets"
    for reel in ("videos/neon-reel-1", "regularisation/ordinary-reel-1"):
        (sample / reel).parent.mkdir(parents=True)
        for ending in (".mp4", ".captions.json"):
            shutil.copy(places.SAMPLE_PROJECT / f"{reel}{ending}", (sample / reel).parent)
    whole = projects.read_sample_guide()
    guide = whole.model_copy(update={"prompts": whole.prompts[:1], "sampling_steps": 2})
    (sample / "sample.json").write_text(guide.model_dump_json())
    shutil.copytree(places.PRESETS, presets)
    preset = presets / f"{guide.preset}.yaml"
    few = preset.read_text().replace("sampling_steps: 25", "sampling_steps: 2")
    preset.write_text(few)
    monkeypatch.setattr(places, "SAMPLE_PROJECT", sample)
    monkeypatch.setattr(places, "PRESETS", presets)
    return guide


@pytest.mark.slow
def test_demo_leaves_everything_and_does_not_overwrite_an_earlier_one(
    run: Run, small_sample: SampleGuide, tmp_path: Path
) -> None:
    from safetensors import safe_open

    out = tmp_path / "my demo"
    (out / "project").mkdir(parents=True)
    (out / "project" / "mine.txt").write_text("kept")
    began = time.monotonic()
    answer = run("demo", "--out", out, "--steps", "3", "--json")
    assert answer.status == 0, answer.err
    result = answer.json
    report = DemoReport.model_validate_json((out / "report.json").read_text())
    assert report == DemoReport.model_validate(result)
    assert 0 < report.seconds <= time.monotonic() - began
    assert sum(report.seconds_per_stage.values()) <= report.seconds
    assert list(report.seconds_per_stage) == (
        ["import", "scenes", "cut", "caption", "check", "conform", "train", "measure", "export"]
    )
    assert report.steps == 3
    assert report.validation_losses[0] == report.validation_loss_before
    assert report.validation_losses[3] == report.validation_loss_after
    for share in (report.concept_before, report.concept_after, report.object_kept):
        assert 0 <= share <= 1
    assert {Path(report.lora).parent, Path(report.lora_comfyui).parent} == {out / "lora"}
    for file, stem in ((report.lora, "transformer."), (report.lora_comfyui, "diffusion_model.")):
        with safe_open(file, "np") as weights:
            assert all(key.startswith(stem) for key in weights.keys())  # noqa: SIM118 - not a dict
    assert sorted(report.samples) == sorted(str(path) for path in (out / "samples").glob("*.mp4"))
    both = 2 * 2  # with and without trigger word, with and without LoRA
    assert len(report.samples) == len(small_sample.prompts) * len(small_sample.seeds) * both == 8
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert report.verified
    assert report.project == str(out / "project-2")
    assert (out / "project" / "mine.txt").read_text() == "kept"
    assert recent_projects() == []  # a demo is not the user's work


def test_models_lists_the_catalog(run: Run) -> None:
    shown = run("models")
    assert shown.status == 0
    assert "ltxv-13b-0.9.7-dev" in shown.out
    assert (
        shown.out.index("To train") < shown.out.index("Older versions") < shown.out.index("For sampling only")
    )
    listed = {model["id"]: model for model in run("models", "--json").json["models"]}
    assert set(listed) == {spec.id for spec in datasets.models()}
    assert not listed["ltxv-2b-0.9.8-distilled"]["trainable"]
    assert listed["ltxv-2b-0.9.6-dev"]["part_gib"]["transformer"] == pytest.approx(5.91, abs=0.01)


def test_models_recognises_a_file_and_refuses_what_is_none(run: Run, tmp_path: Path) -> None:
    file = write_header_only(tmp_path / "ltxv-13b-0.9.8-dev.safetensors", original_transformer("13b"))
    found = run("models", file, "--json").json["model"]
    assert (found["variant"], found["architecture"]) == ("ltxv-13b-0.9.8-dev", "ltxv-13b")
    assert "It is treated as ltxv-13b-0.9.8-dev." in run("models", file).out
    lora = write_header_only(tmp_path / "lora.safetensors", {"transformer.a.lora_A.weight": (8, 8)})
    assert run("models", lora).is_problem("is a LoRA, not a model.", "Choose the base model")


def test_samples_of_a_distilled_model_take_8_steps_without_guidance(run: Run, tmp_path: Path) -> None:
    run("new", "--project", tmp_path / "p", "--model", "ltxv-13b-0.9.7-dev")
    project = Project.open(tmp_path / "p")
    given = argparse.Namespace(prompt=["A cat"], seed=None, strength=1.0, model="ltxv-13b-0.9.8-distilled")
    job = sample_job(project, given, None)
    assert (job.model, job.sampling_steps, job.guidance) == ("ltxv-13b-0.9.8-distilled", 8, 1.0)
    given.model = ""
    assert sample_job(project, given, None).guidance > 1
    answer = run("sample", "--project", tmp_path / "p", "--base", "--model", "ltxv-2b-0.9.8-distilled")
    assert answer.is_problem("does not fit LTX-Video 2B 0.9.8 distilled", "Choose one of ltxv-13b-0.9.7-dev")
