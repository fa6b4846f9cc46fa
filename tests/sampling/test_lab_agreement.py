"""Same seed, checkpoint and strength: the same frames from training, from the Lab and from plain diffusers.

Raw frames are compared, because compression differs from run to run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.lab import LabFolder, LabGrid, LabLora, LabPrompt
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import ExportJob, Job, JobFolder, TrainJob
from ltx_wizard.dataset.dataset import add_clips, fingerprint
from ltx_wizard.models import ltx_video
from ltx_wizard.models.catalog import EMBEDDED
from ltx_wizard.sampling import lab
from ltx_wizard.sampling.verify import run_export
from ltx_wizard.worker import main

Frames = np.ndarray[Any, np.dtype[np.uint8]]

WORDS = "zib style. A red circle moves up."
STRENGTHS = (0.55, 1.0, 2.0)
STRANGER = """
import sys, numpy as np, torch
from PIL import Image
from diffusers import FlowMatchEulerDiscreteScheduler, LTXConditionPipeline, LTXPipeline
from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition
model, checkpoint, exported, picture, out = sys.argv[1:]
asked = dict(prompt="zib style. A red circle moves up.", negative_prompt="blurry", width=64, height=64,
             num_frames=9, frame_rate=8, num_inference_steps=3, output_type="np")
def sample(pipe, file, strength, guidance=2.0, **more):
    pipe.set_progress_bar_config(disable=True)
    pipe.unload_lora_weights()
    pipe.load_lora_weights(file, adapter_name="mine")
    pipe.set_adapters(["mine"], [strength])
    seed = torch.Generator().manual_seed(7)
    video = pipe(**asked, **more, guidance_scale=guidance, generator=seed).frames[0]
    return (video * 255).round().clip(0, 255).astype("uint8")
made = {}
pipe = LTXPipeline.from_pretrained(model, torch_dtype=torch.float32)
for strength in (0.55, 1.0, 2.0):
    made[f"checkpoint {strength}"] = sample(pipe, checkpoint, strength * 2)  # its alpha is twice its rank
    made[f"exported {strength}"] = sample(pipe, exported, strength)
parts = {**pipe.components, "scheduler": FlowMatchEulerDiscreteScheduler.from_config(
    pipe.scheduler.config, use_dynamic_shifting=False, shift_terminal=None)}
pipe = LTXConditionPipeline(**parts)
made["causal"] = sample(pipe, exported, 0.75, guidance=3.0,
                        conditions=[LTXVideoCondition(image=Image.open(picture), frame_index=0)])
np.savez(out, **made)
assert "ltx_wizard" not in sys.modules
"""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[Frames]:
    """Every video that anything of ours makes from now on, before it is compressed."""
    made: list[Frames] = []
    sample = ltx_video.Sampler.sample

    def keep(self: ltx_video.Sampler, *given: Any, **named: Any) -> Frames:
        made.append(sample(self, *given, **named))
        return made[-1]

    monkeypatch.setattr(ltx_video.Sampler, "sample", keep)
    return made


@pytest.fixture
def trained(project: Project, make_video: Callable[..., Path]) -> JobFolder:
    """A run that is not started yet: two steps at a high learning rate, samples at the end."""
    project.change_settings(model="embedded", trigger_word="zib style.")
    clips: list[Clip] = []
    for index in range(2):
        frames = np.full((17, 64, 64, 3), 200, np.uint8)
        for frame in range(17):
            frames[frame, 20:44, frame : frame + 24] = (220, 30 + 180 * index, 30)
        file = make_video(f"clip-{index}.mp4", frames, fps=8, folder=project.folder)
        clips.append(
            Clip(
                id=f"clip-{index}", source_id="source", file=project.relative(file), kind=MediaKind.VIDEO,
                width=64, height=64, fps=8, frames=17, duration_s=17 / 8,
                caption="A red square moves to the right.", caption_state=CaptionState.WRITTEN,
            )
        )  # fmt: skip
    add_clips(project, clips)
    recipe = with_settings(
        Recipe(model="embedded"),
        {
            "steps": 2, "lora.rank": 4, "lora.alpha": 8, "optimizer.lr": 1e-2, "schedule.warmup_steps": 0,
            "data.buckets": ("64x64x17",), "validation.prompts": ("{trigger} A red circle moves up.",),
            "validation.seed": 7, "validation.sampling_steps": 3, "validation.guidance": 2.0,
            "validation.negative_prompt": "blurry", "validation.frames": 9, "validation.loss_every": 100,
        },
    )  # fmt: skip
    settings = TrainJob(recipe=recipe, dataset_fingerprint=fingerprint(project))
    return JobFolder.create(project.runs_folder, "test", Job(settings=settings, created=time.time()))


@pytest.mark.slow
def test_training_the_lab_and_plain_diffusers_make_the_same_frames(
    project: Project,
    trained: JobFolder,
    sampled: list[Frames],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ltx_wizard.app import lab as app_lab

    assert main([str(trained.folder)]) == 0
    of_base, of_training = sampled
    sampled.clear()
    assert np.abs(of_base.astype(int) - of_training).mean() > 1  # the LoRA does something

    asked = app_lab.choose(project, strengths=STRENGTHS)
    assert asked.grid.prompts == (LabPrompt(text="{trigger} A red circle moves up."),)
    lab.run_lab(project, JobFolder(project.jobs_folder / "lab"), SilentReport())
    by_strength = _by_strength(project, sampled)
    assert np.array_equal(by_strength[0.0], of_base)
    assert np.array_equal(by_strength[1.0], of_training)

    export = ExportJob(run=trained.name, step=2, name="kept")
    exported = project.path(
        str(run_export(project, JobFolder(project.jobs_folder / "export"), export, SilentReport())["lora"])
    )
    picture = tmp_path / "first.png"
    sampled.clear()
    causal = _causal_from_a_frame(project, exported, picture, sampled, monkeypatch)

    checkpoint = trained.checkpoint_folder(2) / "lora.safetensors"
    theirs = _plain_diffusers(checkpoint, exported, picture, tmp_path)
    for strength in STRENGTHS:
        assert _same(by_strength[strength], theirs[f"checkpoint {strength}"])
        # An exported file holds bf16, 8 bits of every weight. Measured: at most 2, .17 on average.
        difference = np.abs(by_strength[strength].astype(int) - theirs[f"exported {strength}"])
        assert difference.max() <= 4
        assert difference.mean() < 0.5
    assert _same(causal, theirs["causal"])


def _by_strength(project: Project, sampled: list[Frames]) -> dict[float, Frames]:
    """The Lab's videos in the order in which they were made."""
    folder = LabFolder(project)
    made = [folder.read_cell(file.stem) for file in folder.cells_folder.glob("*.json")]
    ordered = sorted((cell for cell in made if cell is not None), key=lambda cell: cell.created)
    return {cell.request.strength: frames for cell, frames in zip(ordered, sampled, strict=True)}


def _causal_from_a_frame(
    project: Project, exported: Path, picture: Path, sampled: list[Frames], monkeypatch: pytest.MonkeyPatch
) -> Frames:
    """The exported file brought in, strength .75, from a picture, with the pipeline of newer models."""
    from PIL import Image

    from ltx_wizard.app import lab as app_lab

    causal = replace(EMBEDDED, coordinates="causal", max_caption_tokens=256)
    monkeypatch.setattr(lab, "find_model", lambda _model: causal)
    brought: LabLora = app_lab.bring_in(project, exported)
    folder = LabFolder(project)
    asked = folder.read()
    Image.fromarray(sampled_picture()).save(picture)
    grid = LabGrid(
        loras=(brought.id,),
        strengths=(0.75,),
        prompts=(LabPrompt(text=WORDS, first_frame=str(picture)),),
        seeds=(7,),
    )
    sampling = asked.sampling.model_copy(update={"first_frame_guidance": 3.0})
    folder.write(asked.model_copy(update={"grid": grid, "sampling": sampling}))
    lab.run_lab(project, JobFolder(project.jobs_folder / "lab"), SilentReport())
    return sampled[-1]


def sampled_picture() -> Frames:
    picture = np.full((64, 64, 3), 210, np.uint8)
    picture[20:44, 16:40] = (220, 40, 30)
    return picture


def _plain_diffusers(checkpoint: Path, exported: Path, picture: Path, tmp_path: Path) -> dict[str, Frames]:
    out = tmp_path / "theirs.npz"
    files = (EMBEDDED.source, checkpoint, exported, picture, out)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, *map(str, files)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(out))


def _same(ours: Frames, theirs: Frames) -> bool:
    """To a step of 1 of 255 in at most one value of a thousand: a text's padding is left out here and masked
    there, so sums are taken in another order. Measured: fewer than one of ten thousand.
    """
    difference = np.abs(ours.astype(int) - theirs.astype(int))
    return bool(difference.max() <= 1 and (difference > 0).mean() <= 0.001)
