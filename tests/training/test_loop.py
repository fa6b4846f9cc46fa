"""Training the practice model for real, a few steps: what is written, and that stopping changes no result."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.events import SampleReady, StepDone, Validated, read_events
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, JobState, TrainJob
from ltx_wizard.dataset.dataset import add_clips, fingerprint
from ltx_wizard.training.checkpoint import read_lora, read_state
from ltx_wizard.worker import main

COLOURS = {"red": (220, 30, 30), "blue": (30, 60, 220), "green": (30, 170, 50)}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def dataset(tmp_path: Path) -> Project:
    """Three clips of a square that moves, 64x64, and one ordinary clip."""
    import numpy as np

    from ltx_wizard.media.transcode import write_video

    settings = ProjectSettings.model_validate(
        {"name": "Test", "model": "embedded", "trigger_word": "zib style."}
    )
    project = Project.create(tmp_path / "project", settings)
    clips = []
    for index, (name, colour) in enumerate([*COLOURS.items(), ("red", (250, 0, 0))]):
        frames = np.full((17, 64, 64, 3), 200, np.uint8)
        for frame in range(17):
            frames[frame, 20:44, frame : frame + 24] = colour
        path = project.clips_folder / f"clip-{index}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(frames, path, 8)
        clips.append(
            Clip(
                id=f"clip-{index}", source_id="source", file=project.relative(path), kind=MediaKind.VIDEO,
                width=64, height=64, fps=8, frames=17, duration_s=17 / 8,
                caption=f"A {name} square moves to the right.", caption_state=CaptionState.WRITTEN,
                regularisation=index == 3,
            )
        )  # fmt: skip
    add_clips(project, clips)
    return project


def _recipe(steps: int, **changes: object) -> Recipe:
    return with_settings(
        Recipe(model="embedded"),
        {
            "steps": steps,
            "lora.rank": 4,
            "lora.alpha": 4,
            "lora.dropout": 0.1,
            "optimizer.lr": 2e-3,
            "schedule.warmup_steps": 2,
            "data.buckets": ("64x64x17",),
            "data.batch_size": 2,
            "data.gradient_accumulation_steps": 2,
            "data.first_frame_share": 0.3,
            "data.caption_dropout": 0.3,
            "checkpoints.every": 2,
            "validation.loss_every": 4,
            **changes,
        },
    )


def _run(project: Project, recipe: Recipe) -> JobFolder:
    settings = TrainJob(recipe=recipe, dataset_fingerprint=fingerprint(project))
    return JobFolder.create(project.runs_folder, "test", Job(settings=settings, created=time.time()))


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_leaves_losses_samples_and_checkpoints_and_the_loss_falls(dataset: Project) -> None:
    recipe = _recipe(
        24,
        **{
            "checkpoints.every": 8,
            "checkpoints.keep": 2,
            "validation.every": 12,
            "validation.prompts": ("{trigger} A red square.",),
            "validation.sampling_steps": 2,
            "data.caption_dropout": 0.0,
            "data.held_out_share": 0.4,
        },
    )
    folder = _run(dataset, recipe)
    assert main([str(folder.folder)]) == 0
    status = folder.status()
    assert status.state is JobState.FINISHED
    assert [item.step for item in status.losses] == list(range(1, 25))
    assert [item.step for item in status.validations] == [0, 4, 8, 12, 16, 20, 24]
    assert status.validations[-1].loss < status.validations[0].loss
    assert [(item.step, item.prompt) for item in status.samples] == [
        (step, "zib style. A red square.") for step in (0, 12, 24)
    ]
    assert all((folder.folder / item.file).stat().st_size > 500 for item in status.samples)
    assert folder.saved_steps() == [16, 24]
    assert status.result["lora"] == "checkpoints/step-000024/lora.safetensors"


def test_lora_weights_stay_fp32_and_b_leaves_zero(dataset: Project) -> None:
    folder = _run(dataset, _recipe(2))
    main([str(folder.folder)])
    weights = read_lora(folder, 2)
    assert all(value.dtype is torch.float32 for value in weights.values())
    assert all(value.any() for name, value in weights.items() if name.endswith("lora_B.weight"))


def test_the_same_seed_gives_the_same_lora_and_another_seed_another(dataset: Project) -> None:
    folders = [_run(dataset, _recipe(3, seed=seed)) for seed in (1, 1, 2)]
    for folder in folders:
        main([str(folder.folder)])
    first, again, other = (read_lora(folder, 3) for folder in folders)
    assert _same(first, again)
    assert not _same(first, other)


def test_a_stopped_run_saves_its_step_and_resumes_to_the_same_weights(dataset: Project) -> None:
    straight, stopped = _run(dataset, _recipe(9)), _run(dataset, _recipe(9))
    main([str(straight.folder)])
    _stop_after(stopped, 5)
    assert stopped.status().state is JobState.STOPPED
    assert stopped.saved_steps()[-1] == stopped.status().step >= 5
    stopped.stop_file.unlink()
    assert main([str(stopped.folder)]) == 0
    assert _same(read_lora(straight, 9), read_lora(stopped, 9))
    assert [item.step for item in stopped.status().losses] == list(range(1, 10))
    straight_losses = [item.loss for item in straight.status().losses]
    assert [item.loss for item in stopped.status().losses] == straight_losses
    assert [item.loss for item in stopped.status().validations] == [
        item.loss for item in straight.status().validations
    ]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on Windows")
def test_a_killed_run_resumes_to_bit_identical_weights(dataset: Project) -> None:
    """The worker as a process of its own, killed at a random moment of its training."""
    straight, killed = _run(dataset, _recipe(16)), _run(dataset, _recipe(16))
    assert _worker(straight).wait(timeout=300) == 0
    worker = _worker(killed)
    wanted = random.randint(1, 12)
    _wait_for_step(killed, wanted, worker)
    time.sleep(random.random() * 0.1)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(timeout=30)
    assert killed.status().state is JobState.RUNNING, "it had time to end"
    assert _worker(killed).wait(timeout=300) == 0
    assert killed.status().state is JobState.FINISHED
    assert _same(read_lora(straight, 16), read_lora(killed, 16)), f"killed after step {wanted}"


def test_a_damaged_newest_checkpoint_is_passed_over(dataset: Project) -> None:
    straight, damaged = _run(dataset, _recipe(6)), _run(dataset, _recipe(6))
    main([str(straight.folder)])
    _stop_after(damaged, 4)
    newest = damaged.saved_steps()[-1]
    lora = damaged.checkpoint_folder(newest) / "lora.safetensors"
    lora.write_bytes(lora.read_bytes()[:200])
    damaged.stop_file.unlink()
    assert main([str(damaged.folder)]) == 0
    assert any("damaged" in warning for warning in damaged.status().warnings)
    assert _same(read_lora(straight, 6), read_lora(damaged, 6))


def test_a_loss_that_is_no_number_ends_the_run_with_a_remedy(dataset: Project) -> None:
    from safetensors.torch import load_file, save_file

    main([str(_run(dataset, _recipe(1)).folder)])
    for path in dataset.cache_folder.rglob("latents/*.safetensors"):
        save_file({"value": load_file(path)["value"] * torch.nan}, path)
    folder = _run(dataset, _recipe(3))
    assert main([str(folder.folder)]) == 1
    status = folder.status()
    assert "no longer a number" in status.problem
    assert "learning rate" in status.remedy
    assert folder.saved_steps() == []


def test_latents_and_text_are_encoded_once(dataset: Project) -> None:
    main([str(_run(dataset, _recipe(1)).folder)])
    cached = {path: path.stat().st_mtime_ns for path in dataset.cache_folder.rglob("*.safetensors")}
    assert len([path for path in cached if path.parent.name == "latents"]) == 4
    main([str(_run(dataset, _recipe(1)).folder)])
    assert cached == {path: path.stat().st_mtime_ns for path in dataset.cache_folder.rglob("*.safetensors")}


def test_a_full_disk_while_saving_keeps_older_checkpoints(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    from ltx_wizard.training import checkpoint

    real = checkpoint.save_file
    calls: list[Path] = []

    def save_until_full(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        calls.append(path)
        if len(calls) > 2:
            path.write_bytes(b"half")
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        real(tensors, path, metadata=metadata)

    monkeypatch.setattr(checkpoint, "save_file", save_until_full)
    folder = _run(dataset, _recipe(6))
    assert main([str(folder.folder)]) == 1
    assert "disk is full" in folder.status().problem
    assert folder.saved_steps() == [2]
    assert read_state(folder, 2).step == 2
    assert [path.name for path in folder.checkpoints_folder.iterdir()] == ["step-000002"]


def _stop_after(folder: JobFolder, step: int) -> None:
    """Run in this process; the stop file appears once a step is reported."""
    from ltx_wizard.core import events

    writer = events.EventWriter.write

    def write(self: events.EventWriter, event: events.Event) -> None:
        writer(self, event)
        if isinstance(event, StepDone) and event.step == step:
            folder.stop_file.touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events.EventWriter, "write", write)
        assert main([str(folder.folder)]) == 0


def _worker(folder: JobFolder) -> subprocess.Popen[bytes]:
    with folder.log_file.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ltx_wizard.worker", str(folder.folder)],
            stdout=log,
            stderr=log,
            env={"GOMP_SPINCOUNT": "1000", **os.environ},
        )


def _wait_for_step(folder: JobFolder, step: int, worker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        events = read_events(folder.events_file)
        if any(isinstance(event, StepDone) and event.step >= step for event in events):
            return
        assert worker.poll() is None, folder.log_file.read_text(encoding="utf-8")
        time.sleep(0.01)
    raise AssertionError("the worker does not come to that step")


def test_events_of_a_run_name_every_kind_that_the_page_shows(dataset: Project) -> None:
    folder = _run(
        dataset, _recipe(2, **{"validation.prompts": ("A red square.",), "validation.sampling_steps": 2})
    )
    main([str(folder.folder)])
    kinds = {type(event) for event in read_events(folder.events_file)}
    assert {StepDone, Validated, SampleReady} <= kinds
