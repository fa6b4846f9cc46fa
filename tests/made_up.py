"""What a project's files say of clips that nobody cut and of a run that nobody trained."""

from __future__ import annotations

import time
from pathlib import Path

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.events import EventWriter, Finished, Started
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob


def captioned_clips(count: int) -> list[Clip]:
    """Of 768x512x49. Their files are not there."""
    return [
        Clip(
            id=f"c{n}", source_id="s", file=f"clips/c{n}.mp4", kind=MediaKind.VIDEO, width=768, height=512,
            fps=24, frames=49, duration_s=2.04, caption=f"A cat {n} runs over a meadow.",
            caption_state=CaptionState.WRITTEN,
        )
        for n in range(count)
    ]  # fmt: skip


def add_trained_run(project: Project) -> JobFolder:
    """A finished run of the practice model with checkpoints of steps 10 and 20."""
    project.change_settings(model="embedded", trigger_word="zib style.")
    validation = {"prompts": ("{trigger} one",), "width": 64, "height": 64, "frames": 9}
    recipe = with_settings(
        Recipe(model="embedded"), {f"validation.{name}": value for name, value in validation.items()}
    )
    job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint=""), created=time.time())
    run = JobFolder.create(project.runs_folder, "test", job)
    writer = EventWriter(run.events_file)
    writer.write(Started(pid=1, steps=20))
    writer.write(Finished(step=20))
    writer.close()
    for step in (10, 20):
        save_lora(run.checkpoint_folder(step) / "lora.safetensors", step)
    return run


def save_lora(file: Path, value: float) -> Path:
    """A LoRA of rank 4 for one layer of the practice model, every weight the same."""
    import numpy as np
    from safetensors.numpy import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    name = "transformer.transformer_blocks.0.attn1.to_q"
    halves = {"A": np.full((4, 192), value, np.float32), "B": np.full((192, 4), value, np.float32)}
    save_file({f"{name}.lora_{half}.weight": tensor for half, tensor in halves.items()}, file)
    return file
