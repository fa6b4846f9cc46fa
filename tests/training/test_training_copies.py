"""Mirrored and recoloured copies in a real training of the practice model: what is trained, and that stopping
changes no result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LTXVideoTransformer3DModel

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.events import Event, EventWriter, StepDone
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.recipe import MemorySettings, NoiseSettings, Recipe, with_settings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import Job, JobFolder, TrainJob
from ltx_wizard.dataset import encode
from ltx_wizard.dataset.batches import Batches, Slot
from ltx_wizard.dataset.dataset import add_clips, fingerprint
from ltx_wizard.dataset.encode import Encoders, Example
from ltx_wizard.dataset.held_out import set_held_out
from ltx_wizard.media.transcode import write_video
from ltx_wizard.models.catalog import EMBEDDED
from ltx_wizard.models.ltx_video import TextEmbedding
from ltx_wizard.models.weights import ShiftRange, find_files
from ltx_wizard.training.checkpoint import read_lora
from ltx_wizard.training.loop import Prepared, prepare
from ltx_wizard.training.objective import Objective
from ltx_wizard.training.validation import validation_examples
from ltx_wizard.worker import main

COPIES = {"data.mirror": "all", "data.colour_copies": 1, "data.first_frame_blur": 1.0}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def dataset(tmp_path: Path) -> Project:
    """Three clips of a square that moves to the right."""
    settings = ProjectSettings.model_validate({"name": "Test", "model": "embedded", "trigger_word": "zib."})
    project = Project.create(tmp_path / "project", settings)
    clips: list[Clip] = []
    for index, colour in enumerate([(220, 30, 30), (30, 60, 220), (30, 170, 50)]):
        frames = np.full((17, 64, 64, 3), 200, np.uint8)
        for frame in range(17):
            frames[frame, 20:44, frame : frame + 24] = colour
        path = project.clips_folder / f"clip-{index}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(frames, path, 8)
        clips.append(
            Clip.model_validate(
                {
                    "id": f"clip-{index}",
                    "source_id": "source",
                    "file": project.relative(path),
                    "kind": MediaKind.VIDEO,
                    "width": 64,
                    "height": 64,
                    "fps": 8.0,
                    "frames": 17,
                    "duration_s": 17 / 8,
                    "caption": f"A square of colour {index} moves to the right.",
                    "caption_state": CaptionState.WRITTEN,
                }
            )
        )
    add_clips(project, clips)
    return project


def _recipe(**changes: object) -> Recipe:
    settings: dict[str, object] = {
        "model": "embedded",
        "data.buckets": ("64x64x17",),
        "data.first_frame_share": 0.5,
        "data.held_out_share": 0.0,
        "lora.rank": 4,
        "memory.precision": "fp32",
        "validation.prompts": (),
        "checkpoints.every": 100,
    }
    base = Recipe.model_validate({"model": "embedded", "steps": 6})
    settings.pop("model")
    return with_settings(base, {**settings, **changes})


def _prepare(project: Project, recipe: Recipe) -> Prepared:
    encoders = Encoders(EMBEDDED, find_files(EMBEDDED), recipe.memory, CPU)
    return prepare(project, recipe, encoders, SilentReport())


def _run(project: Project, recipe: Recipe, name: str) -> JobFolder:
    job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint=fingerprint(project)), created=0.0)
    return JobFolder.create(project.runs_folder, name, job)


def test_copies_stand_behind_the_clips_and_carry_their_own_caption(dataset: Project) -> None:
    prepared = _prepare(dataset, _recipe(**COPIES))
    ids = [example.clip_id for example in prepared.examples]
    assert ids[:3] == ["clip-0", "clip-1", "clip-2"]
    assert ids[3:5] == ["clip-0~mirrored", "clip-0~colour-1"]
    assert len(ids) == 9
    by_id = {example.clip_id: example for example in prepared.examples}
    mirrored, original = by_id["clip-0~mirrored"], by_id["clip-0"]
    assert mirrored.is_copy and not original.is_copy
    assert not torch.equal(mirrored.latents, original.latents)
    assert not torch.equal(by_id["clip-0~colour-1"].latents, original.latents)
    assert mirrored.text is prepared.texts["zib. A square of colour 0 moves to the left."]
    assert original.text is prepared.texts["zib. A square of colour 0 moves to the right."]
    assert by_id["clip-0~colour-1"].text is original.text
    for example in prepared.examples:
        assert example.first_frame is not None and example.first_frame.shape[1] == 1
    assert validation_examples(prepared.examples) == prepared.examples[:3]
    seen = {slot.example.clip_id for batch in _first(prepared.examples, 9) for slot in batch}
    assert seen == set(ids)


def test_without_copies_nothing_is_added(dataset: Project) -> None:
    examples = _prepare(dataset, _recipe()).examples
    assert [example.clip_id for example in examples] == ["clip-0", "clip-1", "clip-2"]
    assert all(example.first_frame is None for example in examples)


def test_a_clip_kept_out_has_no_copies_in_training(dataset: Project) -> None:
    set_held_out(dataset, ["clip-1"])
    examples = _prepare(dataset, _recipe(**{**COPIES, "data.held_out_share": 0.5})).examples
    assert [example.clip_id for example in examples if example.held_out] == ["clip-1"]
    assert not any(example.clip_id.startswith("clip-1~") for example in examples)
    assert validation_examples(examples) == [examples[1]]


def test_a_run_keeps_to_the_clips_that_were_kept_out_when_it_began(dataset: Project) -> None:
    recipe = _recipe(**{"data.held_out_share": 0.5})
    encoders = Encoders(EMBEDDED, find_files(EMBEDDED), recipe.memory, CPU)
    set_held_out(dataset, ["clip-1"])
    began: dict[tuple[str, ...] | None, list[str]] = {
        ("clip-2", "gone"): ["clip-2"],
        (): [],
        None: ["clip-1"],
    }
    for began_with, expected in began.items():
        examples = prepare(dataset, recipe, encoders, SilentReport(), began_with).examples
        assert [example.clip_id for example in examples if example.held_out] == expected


def test_copies_are_encoded_once_and_are_the_same_again(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _prepare(dataset, _recipe(**COPIES)).examples
    loads: list[object] = []
    monkeypatch.setattr(encode, "load_vae", lambda *arguments: loads.append(arguments))
    again = _prepare(dataset, _recipe(**COPIES)).examples
    assert not loads
    for one, other in zip(first, again, strict=True):
        assert one.clip_id == other.clip_id
        assert torch.equal(one.latents, other.latents)


def test_another_seed_gives_other_colours_and_the_same_mirror(dataset: Project) -> None:
    one = {item.clip_id: item.latents for item in _prepare(dataset, _recipe(**COPIES)).examples}
    other = {item.clip_id: item.latents for item in _prepare(dataset, _recipe(**COPIES, seed=7)).examples}
    assert torch.equal(one["clip-0~mirrored"], other["clip-0~mirrored"])
    assert not torch.equal(one["clip-0~colour-1"], other["clip-0~colour-1"])


def test_a_stopped_run_with_copies_ends_with_the_weights_of_one_that_was_not(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _run(dataset, _recipe(**COPIES), "whole")
    assert main([str(whole.folder)]) == 0
    stopped = _run(dataset, _recipe(**COPIES), "stopped")
    write = EventWriter.write

    def stop_at_two(self: EventWriter, event: Event) -> None:
        write(self, event)
        if isinstance(event, StepDone) and event.step == 2:
            stopped.stop_file.touch()

    with monkeypatch.context() as patch:
        patch.setattr(EventWriter, "write", stop_at_two)
        assert main([str(stopped.folder)]) == 0
    stopped.stop_file.unlink()
    assert main([str(stopped.folder)]) == 0
    one, other = read_lora(whole, 6), read_lora(stopped, 6)
    assert one and all(torch.equal(one[key], other[key]) for key in one)


def test_the_given_first_frame_is_the_blurred_one(small_transformer: LTXVideoTransformer3DModel) -> None:
    objective = Objective(
        EMBEDDED, ShiftRange(0.95, 2.05, 1024, 4096), NoiseSettings(), MemorySettings(precision="fp32"), CPU,
        TextEmbedding(torch.zeros(2, 24)),
    )  # fmt: skip
    latents = torch.randn(16, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    soft = torch.full((16, 1, 2, 2), 0.25)
    seen: list[torch.Tensor] = []
    small_transformer.proj_in.register_forward_pre_hook(lambda _module, given: seen.append(given[0].clone()))
    for first_frame in (None, soft):
        text = TextEmbedding(torch.zeros(2, 24))
        example = Example("clip", "64x64x17", latents, text, False, False, first_frame)
        generator = torch.Generator().manual_seed(1)
        objective.loss(small_transformer, [Slot(example, False, True)], generator)
    own, blurred = seen
    assert torch.equal(own[0, :4], latents[:, 0].reshape(16, 4).T)
    assert bool((blurred[0, :4] == 0.25).all())
    assert torch.equal(own[0, 4:], blurred[0, 4:])


def _first(examples: list[Example], count: int) -> list[list[Any]]:
    batches = Batches(examples, _recipe(**COPIES).data, seed=1)
    return [batches.next() for _ in range(count)]
