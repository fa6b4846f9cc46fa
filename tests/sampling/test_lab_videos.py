"""The Lab's job with the practice model: real videos, swapped LoRAs, interruptions of every kind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ltx_wizard.core.events import Event, Progress, Warned
from ltx_wizard.core.lab import (
    Lab,
    LabCell,
    LabFolder,
    LabGrid,
    LabLora,
    LabPrompt,
    LabSampling,
    in_order_of_use,
)
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import LoraSettings, MemorySettings
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import Job, JobFolder, JobState, LabJob
from ltx_wizard.models.catalog import EMBEDDED
from ltx_wizard.models.lora import add_lora, lora_weights
from ltx_wizard.models.ltx_video import load_transformer
from ltx_wizard.models.weights import find_files
from ltx_wizard.sampling import lab
from ltx_wizard.sampling.lab import run_lab, write_strip

Frames = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """A LoRA with random updates, alpha equal to rank."""
    transformer = load_transformer(EMBEDDED, find_files(EMBEDDED), MemorySettings(), torch.device("cpu"))
    parameters = add_lora(transformer, LoraSettings(rank=4, alpha=4), seed=1)
    generator = torch.Generator().manual_seed(2)
    for parameter in parameters:
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    return lora_weights(transformer)


@pytest.fixture
def asked(project: Project, weights: dict[str, torch.Tensor]) -> Lab:
    """Two LoRAs, the second at half the update of the first, at strengths 1 and 2, with one prompt."""
    project.change_settings(model="embedded")
    halved = {name: value / 2 if "lora_B" in name else value for name, value in weights.items()}
    loras = tuple(_add(project, name, given) for name, given in (("full", weights), ("half", halved)))
    made = Lab(
        model="embedded",
        loras=loras,
        grid=LabGrid(
            loras=("full", "half"), strengths=(1, 2), prompts=(LabPrompt(text="A red circle."),), seeds=(7,)
        ),
        sampling=LabSampling(
            width=64, height=64, frames=9, fps=8, steps=2, guidance=1, first_frame_guidance=1
        ),
    )
    LabFolder(project).write(made)
    return made


def test_strength_is_a_factor_and_a_swapped_lora_leaves_nothing_behind(
    project: Project, asked: Lab, sampled: list[Frames]
) -> None:
    """Half the update at strength 2 is the whole at strength 1, to the last bit: factors of two are exact."""
    run(project)
    cells = by_lora_and_strength(project, asked, sampled)
    assert len(cells) == 5
    assert np.array_equal(cells["full", 1.0], cells["half", 2.0])
    assert not np.array_equal(cells["full", 1.0], cells["half", 1.0])
    sampled.clear()
    rendered_alone = asked.grid.model_copy(update={"loras": ("half",), "strengths": (0.0, 1.0)})
    alone = Project.create(project.folder.parent / "alone", project.read_settings())
    (alone.folder / "half.safetensors").write_bytes((project.folder / "half.safetensors").read_bytes())
    only = asked.model_copy(update={"grid": rendered_alone, "loras": asked.loras[1:]})
    LabFolder(alone).write(only)
    run(alone)
    fresh = by_lora_and_strength(alone, only, sampled)
    assert np.array_equal(fresh["half", 1.0], cells["half", 1.0])
    assert np.array_equal(fresh["", 0.0], cells["", 0.0])


def test_a_run_that_was_deleted_takes_no_videos_of_others_along(project: Project, asked: Lab) -> None:
    file = "runs/0002-old/checkpoints/step-000010/lora.safetensors"
    gone = LabLora(id="0002-old@10", title="old", file=file, digest="d", run="0002-old", step=10)
    grid = asked.grid.model_copy(update={"loras": ("full", gone.id), "strengths": (0.0, 1.0)})
    with_gone = asked.model_copy(update={"grid": grid, "loras": (*asked.loras, gone)})
    LabFolder(project).write(with_gone)
    run(project)
    made = [item.lora for item in in_order_of_use(with_gone, "") if LabFolder(project).made(item.key)]
    assert made == [None, asked.loras[0]]


def test_alphas_of_every_kind_give_the_update_that_they_say(
    project: Project, asked: Lab, weights: dict[str, torch.Tensor], sampled: list[Frames]
) -> None:
    """An alpha of half the rank: as weights of the file, in its header, and as the run's recipe says it."""
    stems = {name: name.rsplit(".lora_", 1)[0] for name in weights}
    alphas = {f"{stem}.alpha": torch.tensor(2.0) for stem in set(stems.values())}
    header = {"lora_adapter_metadata": '{"transformer.r": 4, "transformer.lora_alpha": 2}'}
    loras = (
        asked.loras[1],
        _add(project, "weights", weights | alphas),
        _add(project, "header", weights, header),
        _add(project, "recipe", weights).model_copy(update={"scale": 0.5}),
    )
    names = tuple(lora.id for lora in loras)
    grid = asked.grid.model_copy(update={"loras": names, "strengths": (0.0, 1.0)})
    shown = asked.model_copy(update={"loras": loras, "grid": grid})
    LabFolder(project).write(shown)
    run(project)
    cells = by_lora_and_strength(project, shown, sampled)
    for name in names[1:]:
        assert np.array_equal(cells[name, 1.0], cells["half", 1.0]), name


def test_what_is_made_is_not_made_again_when_the_grid_grows(
    project: Project, asked: Lab, sampled: list[Frames]
) -> None:
    run(project)
    before = {path: path.stat().st_mtime_ns for path in LabFolder(project).cells_folder.iterdir()}
    sampled.clear()
    wider = asked.grid.model_copy(update={"strengths": (0.0, 0.5, 1.0, 2.0)})
    LabFolder(project).write(asked.model_copy(update={"grid": wider}))
    assert run(project) == {"made": 2}
    assert len(sampled) == 2
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_grid_that_grows_while_it_is_made_is_made_whole(project: Project, asked: Lab) -> None:
    """Another prompt comes in the middle: its words are encoded once the others are made."""

    def grow(_event: Event) -> None:
        prompts = (*asked.grid.prompts, LabPrompt(text="A blue square."))
        LabFolder(project).write(
            asked.model_copy(update={"grid": asked.grid.model_copy(update={"prompts": prompts})})
        )

    assert run(project, Watching(grow)) == {"made": 10}


def test_stopping_keeps_what_is_made_and_measures_come_out_the_same(project: Project, asked: Lab) -> None:
    report = Watching(lambda _: None, stop_after=3)
    with pytest.raises(Cancelled):
        run(project, report)
    done = made_cells(project)
    assert 0 < len(done) < 5
    run(project)
    interrupted = {cell.request.key: cell.measures for cell in made_cells(project)}
    for path in LabFolder(project).cells_folder.iterdir():
        path.unlink()
    run(project)
    for cell in made_cells(project):
        ours, theirs = cell.measures.model_dump(), interrupted[cell.request.key].model_dump()
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            if isinstance(value, float):
                assert theirs[name] == pytest.approx(value, rel=0.05, abs=0.02), name  # x264 under load


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on Windows")
def test_a_killed_worker_is_continued_where_it_was(project: Project, asked: Lab) -> None:
    job = Job(settings=LabJob(), created=time.time())
    folder = JobFolder.create(project.jobs_folder, "lab", job)
    process = subprocess.Popen(
        [sys.executable, "-m", "ltx_wizard.worker", str(folder.folder)], stderr=subprocess.DEVNULL
    )
    wait_for(lambda: len(made_cells(project)) >= 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {cell.request.key: cell.created for cell in made_cells(project)}

    again = JobFolder.create(project.jobs_folder, "lab", job)
    from ltx_wizard.worker import main

    assert main([str(again.folder)]) == 0
    status = again.status()
    assert status.state is JobState.FINISHED
    assert status.result == {"made": 5 - len(before)}
    after = {cell.request.key: cell.created for cell in made_cells(project)}
    assert before.items() <= after.items()
    assert len(after) == 5


def test_pausing_waits_and_the_time_is_not_counted(
    project: Project, asked: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = JobFolder(project.jobs_folder / "lab")
    folder.folder.mkdir(parents=True)
    folder.pause_file.touch()
    clock = PausedClock(folder, sleeps=5)
    monkeypatch.setattr(lab, "time", clock)
    report = SilentReport()
    run(project, report)
    assert [event.stage for event in report.events if isinstance(event, Progress)].count("Paused") == 1
    assert clock.now > 1
    assert [cell.seconds for cell in made_cells(project)] == pytest.approx([0.0] * 5)


def test_a_lora_whose_file_is_gone_is_passed_over_and_said(project: Project, asked: Lab) -> None:
    project.path(asked.loras[0].file).unlink()
    report = SilentReport()
    assert run(project, report) == {"made": 3}
    assert [event.message for event in report.events if isinstance(event, Warned)] == [
        "The file of full is gone: its videos cannot be made."
    ]


@pytest.mark.parametrize(
    "memory",
    [MemorySettings(quantization="int8-quanto"), MemorySettings(offload="blocks")],
    ids=["int8", "offload"],
)
def test_loras_are_swapped_on_a_model_that_is_kept_as_in_training(
    project: Project, asked: Lab, sampled: list[Frames], memory: MemorySettings
) -> None:
    kept = asked.model_copy(update={"memory": memory})
    LabFolder(project).write(kept)
    run(project)
    cells = by_lora_and_strength(project, kept, sampled)
    assert np.array_equal(cells["full", 1.0], cells["half", 2.0])
    assert np.abs(cells["full", 1.0].astype(int) - cells["", 0.0]).mean() > 1


def test_a_cell_says_how_it_was_made_and_how_it_differs(project: Project, asked: Lab) -> None:
    run(project)
    cells = {(cell.request.lora, cell.request.strength): cell for cell in made_cells(project)}
    base = cells["", 0.0]
    full = cells[asked.loras[0].digest, 2.0]
    assert full.base == base.request.key == base.base
    assert base.seconds > 0
    assert full.measures.change is not None
    assert cells[asked.loras[1].digest, 1.0].measures.change is not None
    assert 0 < (cells[asked.loras[1].digest, 1.0].measures.change or 0) < full.measures.change


def test_a_strip_holds_the_frames_in_order_and_no_more_than_a_page_can_hold(tmp_path: Path) -> None:
    frames = np.repeat(np.linspace(0, 250, 100).astype(np.uint8)[:, None, None, None], 3, axis=3)
    frames = np.ascontiguousarray(np.broadcast_to(frames, (100, 60, 90, 3)))
    strip = write_strip(frames, 24, tmp_path / "strip.jpg")
    assert (strip.count, strip.width, strip.height, strip.fps) == (48, 90, 60, pytest.approx(24 * 48 / 100))
    with Image.open(tmp_path / "strip.jpg") as picture:
        sheet = np.array(picture).astype(int)
    levels = [
        sheet[row * 60 + 30, column * 90 + 45].mean()
        for row in range(6) for column in range(8) if row * 8 + column < strip.count
    ]  # fmt: skip
    assert levels == sorted(levels)
    assert levels[0] < 3
    assert levels[-1] > 247
    large = write_strip(np.zeros((2, 512, 768, 3), np.uint8), 24, tmp_path / "large.jpg")
    assert (large.width, large.height) == (256, 171)


class PausedClock:
    """Time that passes only while somebody sleeps; after some sleeps the pause ends."""

    def __init__(self, folder: JobFolder, sleeps: int) -> None:
        self._folder, self._sleeps, self.now = folder, sleeps, 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._sleeps -= 1
        if self._sleeps == 0:
            self._folder.pause_file.unlink()


class Watching(SilentReport):
    """Calls after every event; asks to stop after so many finished videos' worth of events."""

    def __init__(self, then: Callable[[Event], None], stop_after: int = 0) -> None:
        super().__init__()
        self._then, self._stop_after = then, stop_after
        self._steps = 0

    def emit(self, event: Event) -> None:
        super().emit(event)
        self._then(event)
        self._steps += getattr(event, "message", "").startswith("Video")

    def stop_requested(self) -> bool:
        return bool(self._stop_after) and self._steps >= self._stop_after


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[Frames]:
    """Every video before it is compressed, in the order of making."""
    made: list[Frames] = []
    write = lab.write_sample

    def keep(path: Path, frames: Frames, fps: float) -> None:
        made.append(frames)
        write(path, frames, fps)

    monkeypatch.setattr(lab, "write_sample", keep)
    return made


def run(project: Project, report: SilentReport | None = None) -> dict[str, Any]:
    return run_lab(project, JobFolder(project.jobs_folder / "lab"), report or SilentReport())


def made_cells(project: Project) -> list[LabCell]:
    folder = LabFolder(project)
    found = [folder.read_cell(file.stem) for file in folder.cells_folder.glob("*.json")]
    return [cell for cell in found if cell is not None]


def by_lora_and_strength(
    project: Project, asked: Lab, sampled: list[Frames]
) -> dict[tuple[str, float], Frames]:
    order = in_order_of_use(asked, project.read_settings().trigger_word)
    return {
        (item.lora.id if item.lora else "", item.strength): frames
        for item, frames in zip(order, sampled, strict=True)
    }


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, "the worker ended"
        assert time.monotonic() < end
        time.sleep(0.05)


def _add(
    project: Project, name: str, tensors: dict[str, torch.Tensor], header: dict[str, str] | None = None
) -> LabLora:
    file = project.folder / f"{name}.safetensors"
    save_file(tensors, file, metadata={"format": "pt", **(header or {})})
    assert load_file(file)
    return LabLora(id=name, title=name, file=project.relative(file), digest=name)
