"""Runs of a few steps with the practice model, in this process."""

from __future__ import annotations

import time

import pytest
import torch

from ltx_wizard.core import events
from ltx_wizard.core.events import StepDone, StepSkipped
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob
from ltx_wizard.dataset.dataset import fingerprint
from ltx_wizard.worker import main


def short_recipe(steps: int, **changes: object) -> Recipe:
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


def new_run(project: Project, recipe: Recipe) -> JobFolder:
    settings = TrainJob(recipe=recipe, dataset_fingerprint=fingerprint(project))
    return JobFolder.create(project.runs_folder, "test", Job(settings=settings, created=time.time()))


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def stop_after(folder: JobFolder, step: int, skipped: bool = False) -> None:
    """Run in this process; the stop file appears once a step is reported, or reported as skipped."""
    writer = events.EventWriter.write

    def write(self: events.EventWriter, event: events.Event) -> None:
        writer(self, event)
        if isinstance(event, StepSkipped if skipped else StepDone) and event.step == step:
            folder.stop_file.touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events.EventWriter, "write", write)
        assert main([str(folder.folder)]) == 0
