"""Is overfitting told, and is the right checkpoint recommended? On the CPU, with the embedded model.

    python overfitting.py [--json] [--seeds 1 2 3 4 5] [--steps 300]

Per seed, two runs of the app's own training on neon clips that are drawn for it, 96 x 96 pixels and 9 frames:

- made to overfit: 4 clips, rank 64, 300 steps, a checkpoint every 10;
- healthy: 12 clips, rank 16, a tenth of the steps.

Eight clips of their own are kept out of training in both, as 'kept out' marks them in the app: the app
judges by them. The truth comes from 32 fresh clips of the same style that the app never sees: the lowest
point of the curve through the losses of all checkpoints on them. The single lowest of these losses is told as
well; it wobbles, as neighbours differ by less than a percent. Goals: the first run is called overfitting and
the recommended checkpoint is within 20 % of the true optimum in every seed; the second run is never called
so, at no validation on its way.

The thresholds in ltx_wizard/training/health.py were set on seeds 100 to 103.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent / "embedded_model"))

import torch
from sample_videos import Captioned, neon_clips

from ltx_wizard.app.advisor import advise, recommended_checkpoint
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.events import Validated
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, JobState, JobStatus, TrainJob, list_job_folders
from ltx_wizard.dataset.dataset import add_clips, fingerprint
from ltx_wizard.dataset.encode import Encoders, Example
from ltx_wizard.media.transcode import write_video
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.lora import add_lora, set_lora_weights
from ltx_wizard.models.ltx_video import TextEmbedding, load_text_encoder, load_transformer, load_vae
from ltx_wizard.models.precision import training_device
from ltx_wizard.models.weights import find_files, shift_range
from ltx_wizard.training.checkpoint import read_lora
from ltx_wizard.training.health import fitted
from ltx_wizard.training.objective import Objective, stable_seed
from ltx_wizard.training.validation import SIGMAS
from ltx_wizard.worker import main as work

SIDE_PX, FRAMES, FPS = 96, 9, 8
TRIGGER = "nobuzik style."
HELD_OUT, FRESH = 8, 32
STEPS, EVERY, HEALTHY_SHARE = 300, 10, 10
WITHIN = 0.2


@dataclass(frozen=True)
class Kind:
    """One of the two runs."""

    name: str
    clips: int
    rank: int
    steps: int

    def recipe(self, seed: int) -> Recipe:
        return with_settings(
            Recipe(model="embedded"),
            {
                "steps": self.steps,
                "seed": seed,
                "lora.rank": self.rank,
                "lora.alpha": self.rank,
                "optimizer.lr": 2.5e-4,
                "schedule.warmup_steps": self.steps // 20,
                "data.buckets": (f"{SIDE_PX}x{SIDE_PX}x{FRAMES}",),
                "data.batch_size": 4,
                "memory.precision": "fp32",
                "memory.gradient_checkpointing": False,
                "checkpoints.every": EVERY,
                "checkpoints.keep": 1000,
                "validation.every": 100_000,
                "validation.loss_every": EVERY,
            },
        )


def kinds(steps: int) -> tuple[Kind, Kind]:
    """The run that is made to overfit, and the healthy one."""
    return Kind("overfitting", 4, 64, steps), Kind("healthy", 12, 16, steps // HEALTHY_SHARE)


@dataclass(frozen=True)
class Row:
    """One seed. called_at: the validation at which the app says it first. off: how far the recommended step
    is from the true optimum, as a share of that. lowest_single: the checkpoint with the lowest loss on fresh
    clips. loss_above, last_above: by how much the loss on fresh clips is above that, at the recommended and
    at the last checkpoint. fresh, held_out, healthy: losses by step.
    """

    seed: int
    called_overfitting: bool
    called_at: int | None
    recommended: int
    true_optimum: int
    off: float
    lowest_single: int
    off_lowest_single: float
    loss_above: float
    last_above: float
    healthy_called: bool
    healthy_recommended: int
    seconds: float
    fresh: dict[int, float]
    held_out: dict[int, float]
    healthy: dict[int, float]

    @property
    def good(self) -> bool:
        return self.called_overfitting and self.off <= WITHIN and not self.healthy_called


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--steps", type=int, default=STEPS, help="of the run that is made to overfit")
    parser.add_argument(
        "--keep",
        type=Path,
        default=None,
        help="keep the runs here; judge those that are there",
    )
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    with tempfile.TemporaryDirectory() as made:
        folder: Path = given.keep or Path(made)
        os.environ["LTX_WIZARD_HOME"] = str(folder / "home")
        rows = [_told(_judge(seed, given.steps, folder), given.json) for seed in given.seeds]
    good = sum(row.good for row in rows)
    if given.json:
        print(
            json.dumps({"within": WITHIN, "good": good, "of": len(rows), "rows": [asdict(r) for r in rows]})
        )
    else:
        print(f"{good} of {len(rows)} seeds as they should be.")
    return 0 if good == len(rows) else 1


def _told(row: Row, as_json: bool) -> Row:
    print(
        f"seed {row.seed}: overfitting {'called' if row.called_overfitting else 'NOT called'} "
        f"(first at step {row.called_at}), recommended {row.recommended}, true optimum {row.true_optimum} "
        f"({row.off:.0%} off; lowest single loss at {row.lowest_single}, {row.off_lowest_single:.0%} off); "
        f"loss {row.loss_above:.1%} above the lowest, that of the last checkpoint {row.last_above:.0%}; "
        f"healthy run {'CALLED OVERFITTING' if row.healthy_called else 'not called so'}; {row.seconds:.0f} s",
        file=sys.stderr if as_json else sys.stdout,
        flush=True,
    )
    return row


def _judge(seed: int, steps: int, folder: Path) -> Row:
    began = time.monotonic()
    overfitting, healthy = kinds(steps)
    clips = neon_clips(healthy.clips + HELD_OUT + FRESH, seed, SIDE_PX, FRAMES)
    learnt, kept_out = clips[: healthy.clips], clips[healthy.clips : healthy.clips + HELD_OUT]
    well = _trained(folder / f"{seed}-healthy", healthy, learnt, kept_out, seed)
    run = _trained(folder / f"{seed}-overfitting", overfitting, learnt, kept_out, seed)
    losses = _fresh_losses(run, overfitting.recipe(seed), clips[healthy.clips + HELD_OUT :])
    lowest = min(losses, key=lambda step: losses[step])
    optimum = _optimum(losses)
    recommended = _recommended(run)
    return Row(
        seed=seed,
        called_overfitting=_is_called(run.status(), overfitting, seed),
        called_at=_first_call(run.status(), overfitting, seed),
        recommended=recommended,
        true_optimum=optimum,
        off=round(abs(recommended - optimum) / optimum, 3),
        lowest_single=lowest,
        off_lowest_single=round(abs(recommended - lowest) / lowest, 3),
        loss_above=round(losses[recommended] / losses[lowest] - 1, 4),
        last_above=round(losses[steps] / losses[lowest] - 1, 4),
        healthy_called=_first_call(well.status(), healthy, seed) is not None,
        healthy_recommended=_recommended(well),
        seconds=round(time.monotonic() - began, 1),
        fresh={step: round(loss, 5) for step, loss in losses.items()},
        held_out={item.step: round(item.loss, 5) for item in run.status().validations},
        healthy={item.step: round(item.loss, 5) for item in well.status().validations},
    )


def _trained(
    folder: Path, kind: Kind, learnt: Sequence[Captioned], kept_out: Sequence[Captioned], seed: int
) -> JobFolder:
    """A project with these clips, trained as the app does it; or the run that was kept, which goes on."""
    kept = list_job_folders(folder / "runs")
    run = kept[0] if kept else _new_run(folder, kind, learnt, kept_out, seed)
    if run.status().state is not JobState.FINISHED:
        work([str(run.folder)])
    status = run.status()
    if status.state is not JobState.FINISHED:
        raise SystemExit(f"{kind.name}, seed {seed}: {status.problem} {status.remedy}")
    return run


def _new_run(
    folder: Path, kind: Kind, learnt: Sequence[Captioned], kept_out: Sequence[Captioned], seed: int
) -> JobFolder:
    project = Project.create(
        folder, ProjectSettings.model_validate({"name": "x", "model": "embedded", "trigger_word": TRIGGER})
    )
    project.clips_folder.mkdir(parents=True, exist_ok=True)
    used = [*learnt[: kind.clips], *kept_out]
    add_clips(project, [_clip(project, n, clip, n >= kind.clips) for n, clip in enumerate(used)])
    settings = TrainJob(recipe=kind.recipe(seed), dataset_fingerprint=fingerprint(project))
    return JobFolder.create(project.runs_folder, "run", Job(settings=settings, created=time.time()))


def _clip(project: Project, number: int, clip: Captioned, held_out: bool) -> Clip:
    frames, caption = clip
    path = project.clips_folder / f"clip-{number:03d}.mp4"
    write_video(frames, path, FPS)
    return Clip(
        id=f"clip-{number:03d}", source_id="drawn", file=project.relative(path), kind=MediaKind.VIDEO,
        width=SIDE_PX, height=SIDE_PX, fps=FPS, frames=FRAMES, duration_s=FRAMES / FPS, caption=caption,
        caption_state=CaptionState.WRITTEN, held_out=held_out,
    )  # fmt: skip


def _is_called(status: JobStatus, kind: Kind, seed: int) -> bool:
    return any(advice.id == "overfitting" for advice in advise(status, kind.recipe(seed), kind.clips))


def _first_call(status: JobStatus, kind: Kind, seed: int) -> int | None:
    """The first validation after which the running training would have been called overfitting."""
    for count, last in enumerate(status.validations, start=1):
        if _is_called(_until(status, count, last), kind, seed):
            return last.step
    return None


def _until(status: JobStatus, count: int, last: Validated) -> JobStatus:
    losses = tuple(item for item in status.losses if item.step <= last.step)
    return replace(status, state=JobState.RUNNING, validations=status.validations[:count], losses=losses)


def _recommended(run: JobFolder) -> int:
    found = recommended_checkpoint(run.status(), run.saved_steps())
    assert found is not None
    return found.step


def _optimum(losses: Mapping[int, float]) -> int:
    points = fitted([Validated(step=step, loss=loss) for step, loss in losses.items()])
    return min(points, key=lambda point: point.loss).step


def _fresh_losses(run: JobFolder, recipe: Recipe, fresh: Sequence[Captioned]) -> dict[int, float]:
    """By checkpoint, the mean over fresh clips and the noise levels of the validation loss."""
    kept = run.folder / "fresh.json"
    if kept.is_file():
        return {int(step): loss for step, loss in json.loads(kept.read_text(encoding="utf-8")).items()}
    spec = find_model(recipe.model)
    encoders = Encoders(spec, find_files(spec), recipe.memory, training_device())
    parts = (spec, encoders.files, recipe.memory, encoders.device)
    examples, empty = _encoded(fresh, encoders)
    transformer = load_transformer(*parts)
    add_lora(transformer, recipe.lora, recipe.seed)
    transformer.eval()
    objective = Objective(
        spec, shift_range(encoders.files), recipe.noise, recipe.memory, encoders.device, empty
    )
    losses: dict[int, float] = {}
    for step in run.saved_steps():
        set_lora_weights(transformer, read_lora(run, step))
        with torch.no_grad():
            levels = [float(_at_level(objective, transformer, examples, sigma)) for sigma in SIGMAS]
        losses[step] = sum(levels) / len(levels)
    kept.write_text(json.dumps(losses), encoding="utf-8")
    return losses


def _encoded(clips: Sequence[Captioned], encoders: Encoders) -> tuple[list[Example], TextEmbedding]:
    parts = (encoders.spec, encoders.files, encoders.memory, encoders.device)
    text, vae = load_text_encoder(*parts), load_vae(*parts)
    bucket = f"{SIDE_PX}x{SIDE_PX}x{FRAMES}"
    examples = [
        Example(
            clip_id=f"fresh-{number}",
            bucket=bucket,
            latents=vae.encode(frames),
            text=text.encode(f"{TRIGGER} {caption}"),
            regularisation=False,
            held_out=True,
        )
        for number, (frames, caption) in enumerate(clips)
    ]
    return examples, text.encode("")


def _at_level(
    objective: Objective, transformer: torch.nn.Module, examples: Sequence[Example], sigma: float
) -> torch.Tensor:
    """As Objective.fixed_loss, of all clips in one pass: they are of one size."""
    latents = torch.stack([example.latents for example in examples])
    noise = torch.stack(
        [
            torch.randn(
                example.latents.shape,
                generator=torch.Generator().manual_seed(stable_seed("fresh", example.clip_id, sigma)),
            )
            for example in examples
        ]
    )
    count = len(examples)
    return objective._loss(
        transformer,  # pyright: ignore[reportArgumentType]
        latents,
        noise,
        torch.full((count,), sigma),
        [example.text for example in examples],
        torch.zeros(count, dtype=torch.bool),
    )


if __name__ == "__main__":
    sys.exit(main())
