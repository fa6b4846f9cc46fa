"""Samples while training: from words, and from the first frame of a clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LTXVideoTransformer3DModel

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.documents import read_document
from ltx_wizard.core.measures import SampleMeasures
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.recipe import MemorySettings, Recipe, with_settings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import JobFolder, SampleJob
from ltx_wizard.dataset.dataset import add_clips
from ltx_wizard.dataset.encode import Encoders, Example, encode_texts
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import read_clip
from ltx_wizard.models.catalog import EMBEDDED
from ltx_wizard.models.ltx_video import TextEmbedding, load_transformer
from ltx_wizard.models.weights import find_files
from ltx_wizard.sampling.sample import run_sample
from ltx_wizard.training.previews import Previews, clip_to_start_from

CPU = torch.device("cpu")
PROMPTS = ("{trigger} A red square.", "A blue square.")
ENCODERS = Encoders(EMBEDDED, find_files(EMBEDDED), MemorySettings(), CPU)
COLOURS = {"clip-0": (220, 30, 30), "clip-1": (30, 60, 220)}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two clips of 80x64 pixels, of one colour each with a bright bar at the left."""
    settings = ProjectSettings.model_validate({"name": "Test", "model": "embedded", "trigger_word": "zib."})
    project = Project.create(tmp_path / "project", settings)
    project.clips_folder.mkdir(parents=True, exist_ok=True)
    for name, colour in COLOURS.items():
        frames = np.full((17, 64, 80, 3), colour, np.uint8)
        frames[:, :, :32] = (250, 240, 200)
        path = project.clips_folder / f"{name}.mp4"
        write_video(frames, path, 8)
        clip = Clip(
            id=name, source_id="source", file=project.relative(path), kind=MediaKind.VIDEO,
            width=80, height=64, fps=8, frames=17, duration_s=17 / 8,
        )  # fmt: skip
        add_clips(project, [clip])
    return project


@pytest.fixture(scope="module")
def transformer() -> LTXVideoTransformer3DModel:
    return load_transformer(EMBEDDED, ENCODERS.files, MemorySettings(), CPU)


def test_each_prompt_is_sampled_from_words_and_then_from_a_first_frame(
    project: Project, transformer: LTXVideoTransformer3DModel
) -> None:
    folder, report = JobFolder(project.runs_folder / "0001-run"), SilentReport()
    previews = _previews(project, transformer, _recipe(first_frame=True))
    previews.make(0, folder, {0}, report)
    told = [event for event in report.events if event.kind == "sample"]
    assert [(event.prompt_index, event.prompt) for event in told] == [
        (1, "A blue square."),
        (2, "zib. A red square. (from a first frame)"),
        (3, "A blue square. (from a first frame)"),
    ]
    given = read_clip(project.clips_folder / "clip-1.mp4", 64, 64, 1, 8)[0]
    from_words, *from_frame = [_first_picture(folder.folder / event.file) for event in told]
    for picture in from_frame:
        assert _psnr(picture, given) > max(20.0, _psnr(from_words, given) + 6.0)


def test_a_recipe_without_first_frames_makes_one_sample_a_prompt(
    project: Project, transformer: LTXVideoTransformer3DModel
) -> None:
    folder, report = JobFolder(project.runs_folder / "0001-run"), SilentReport()
    _previews(project, transformer, _recipe(first_frame=False)).make(5, folder, set(), report)
    told = [event for event in report.events if event.kind == "sample"]
    assert [(event.step, event.prompt_index, event.prompt) for event in told] == [
        (5, 0, "zib. A red square."),
        (5, 1, "A blue square."),
    ]


def test_each_sample_is_measured_against_the_base_and_the_clips_that_are_trained(
    project: Project, transformer: LTXVideoTransformer3DModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """clip-1 is kept out of training."""

    def sample(_self: object, _request: Any, _on_step: object) -> Any:
        return read_clip(project.clips_folder / f"{shown[-1]}.mp4", 64, 64, 9, 8)

    monkeypatch.setattr("ltx_wizard.training.previews.Sampler.sample", sample)
    folder, report = JobFolder(project.runs_folder / "0001-run"), SilentReport()
    previews = _previews(project, transformer, _recipe(first_frame=False))
    shown: list[str] = []
    for step, clip_id in ((0, "clip-1"), (5, "clip-0")):
        shown.append(clip_id)
        previews.make(step, folder, set(), report)
    told = [event for event in report.events if event.kind == "sample"]
    base, trained = told[0].measures, told[2].measures
    assert base is not None
    assert trained is not None
    assert (base.change, base.motion_of_base) == (None, None)
    assert base.nearest == trained.nearest == "clip-0"
    assert trained.likeness is not None
    assert trained.likeness > 0.9
    assert trained.likeness_of_base == base.likeness
    assert trained.change is not None
    assert trained.change > 20
    beside = (folder.folder / told[2].file).with_suffix(".json")
    assert read_document(beside, SampleMeasures) == trained


def test_each_kind_of_sample_has_its_own_guidance(
    project: Project, transformer: LTXVideoTransformer3DModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def sample(_self: object, request: Any, _on_step: object) -> Any:
        asked.append(request)
        return np.zeros((request.frames, request.height, request.width, 3), np.uint8)

    monkeypatch.setattr("ltx_wizard.training.previews.Sampler.sample", sample)
    folder = JobFolder(project.runs_folder / "0001-run")
    _previews(project, transformer, _recipe(first_frame=True)).make(0, folder, set(), SilentReport())
    assert [request.guidance for request in asked] == [1.0, 1.0, 4.5, 4.5]
    assert [request.first_frame is None for request in asked] == [True, True, False, False]
    assert {request.seed for request in asked} == {42}
    assert asked[2].first_frame.shape == (64, 64, 3)


def test_the_clip_to_start_from_is_kept_out_of_training_and_of_the_samples_size() -> None:
    learnt = _example("a", bucket="64x64x17")
    held_out = replace(learnt, clip_id="b", held_out=True)
    other_size = replace(held_out, clip_id="c", bucket="96x64x17")
    ordinary = replace(learnt, clip_id="d", regularisation=True)
    assert clip_to_start_from([ordinary, learnt, other_size, held_out], "64x64x17") == "b"
    assert clip_to_start_from([ordinary, other_size, learnt], "64x64x17") == "a"
    assert clip_to_start_from([ordinary, other_size], "64x64x17") == "c"


@pytest.mark.parametrize("given", ["clip-1", "clips/clip-1.mp4"])
def test_a_sample_job_starts_from_a_clip_or_from_a_file(project: Project, given: str) -> None:
    folder = JobFolder(project.jobs_folder / "sample")
    job = SampleJob(
        model="embedded", prompts=("A red square.",), width=64, height=64, frames=9, fps=8,
        sampling_steps=4, guidance=1.0, first_frame=given,
    )  # fmt: skip
    run_sample(project, folder, job, SilentReport())
    (made,) = folder.samples_folder.iterdir()
    expected = read_clip(project.clips_folder / "clip-1.mp4", 64, 64, 1, 8)[0]
    assert _psnr(_first_picture(made), expected) > 20


def _recipe(first_frame: bool) -> Recipe:
    return with_settings(
        Recipe(model="embedded"),
        {
            "validation.prompts": PROMPTS,
            "validation.sampling_steps": 4,
            "validation.guidance": 1.0,
            "validation.frames": 9,
            "validation.first_frame": first_frame,
        },
    )


def _previews(project: Project, transformer: LTXVideoTransformer3DModel, recipe: Recipe) -> Previews:
    settings = project.read_settings()
    wanted = [*Previews.prompts_of(recipe, settings), recipe.validation.negative_prompt]
    texts = encode_texts(project, wanted, ENCODERS, SilentReport())
    examples = [_example("clip-0", "64x64x17"), replace(_example("clip-1", "64x64x17"), held_out=True)]
    return Previews(project, recipe, ENCODERS, transformer, texts, examples)


def _example(clip_id: str, bucket: str) -> Example:
    return Example(clip_id, bucket, torch.zeros(1), TextEmbedding(torch.zeros(1, 1)), False, False)


def _first_picture(path: Path) -> np.ndarray:
    return read_clip(path, 64, 64, 1, 8)[0]


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    """dB, of pictures in 8 bits."""
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return 10 * np.log10(255.0**2 / max(error, 1e-12))
