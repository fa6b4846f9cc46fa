"""The memory plan of a project: what its recipe needs, whether this computer has it, and what would help."""

from __future__ import annotations

import functools
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ltx_wizard.app import datasets, settings
from ltx_wizard.app.curves import curves_of
from ltx_wizard.app.system import Gpu, first_gpu, free_disk_gib, memory_gib
from ltx_wizard.core.errors import NotReady, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import JobFolder, TrainJob, list_job_folders
from ltx_wizard.core.units import duration_text
from ltx_wizard.training.budget import (
    DESKTOP_GIB,
    Budget,
    DiskNeed,
    Phase,
    TimeNeed,
    architecture_of,
    predict,
    tokens,
)
from ltx_wizard.training.ladder import stepped_down
from ltx_wizard.training.memory_model import MemoryModel, StepTime, read_memory_model
from ltx_wizard.training.remedy import Remedy, remedy

if TYPE_CHECKING:
    from ltx_wizard.models.spec import ModelSpec

# ruff: noqa: PLC0415 - the modules of `dataset` load the video library; they are imported where they are used

Verdict = Literal["processor", "no_card", "fits", "tight", "unfit", "no_room"]
"""tight: it fits only while nothing else, not even the desktop, uses the card. no_room: not on the disk."""

CARD_SIZES = (8, 12, 16, 24, 32, 48, 80)
"""GB of cards that people have."""

_WARM_UP_STEPS = 3
_FEWEST_STEPS = 5


@dataclass(frozen=True)
class Plan:
    """What a recipe needs on this computer. remedy: only where it does not fit the card. disk_gib: free where
    the project lies. ram_gib: main memory in all.
    """

    budget: Budget
    card: Gpu | None
    memory: MemoryModel
    remedy: Remedy | None
    disk_gib: float
    ram_gib: float

    @property
    def largest(self) -> Phase | None:
        """The phase that needs the most of the card; None for a model that trains on the processor."""
        return self.budget.largest

    @property
    def used(self) -> float:
        """What training takes of the card at its peak, in GiB, the driver's share included."""
        return self.budget.vram_gib + self.budget.context if self.budget.phases else 0.0

    @property
    def verdict(self) -> Verdict:
        """The card first: settings that fit it need another disk space, too."""
        if self.budget.phases and self.card is None:
            return "no_card"
        if self.card is not None and self.used > self.card.vram_gib:
            return "unfit"
        if self.budget.disk.in_project > self.disk_gib:
            return "no_room"
        if not self.budget.phases or self.card is None:
            return "processor"
        return "fits" if self.budget.card <= self.card.vram_gib else "tight"

    @property
    def short_of_ram(self) -> bool:
        """Only where main memory was measured."""
        return self.memory.records > 0 and self.budget.ram > self.ram_gib

    @property
    def card_size(self) -> float:
        """The smallest usual card that holds it, in GB; beyond all of them what it needs."""
        return next((size for size in CARD_SIZES if self.budget.card <= size), round(self.budget.card))


def plan(project: Project, recipe: Recipe) -> Plan:
    """The plan of a recipe for the project's dataset, on the first card of this computer."""
    return plan_for(project, recipe, bucket_counts(project, recipe), first_gpu())


def plan_for(
    project: Project,
    recipe: Recipe,
    buckets: Mapping[str, int],
    card: Gpu | None,
    own_times: Sequence[StepTime] | None = None,
) -> Plan:
    """The same with the clips of each bucket, and for a card, given. own_times: as own_step_times gives them,
    for who makes many plans.
    """
    spec, memory = datasets.model_spec(project), read_memory_model()
    own = own_step_times(project, spec) if own_times is None else own_times
    budget = predict(recipe, spec, buckets, memory, own)
    does_not_fit = card is not None and budget.card > card.vram_gib
    helps = remedy(recipe, spec, buckets, card.vram_gib, memory) if card and does_not_fit else None
    return Plan(budget, card, memory, helps, free_disk_gib(project.folder), memory_gib()[1])


def bucket_counts(project: Project, recipe: Recipe) -> dict[str, int]:
    """How many clips are trained in each bucket; empty without clips."""
    from ltx_wizard.dataset.buckets import plan_buckets

    chosen = plan_buckets(datasets.clips(project), datasets.model_spec(project), recipe.data.buckets)
    return dict(Counter(chosen.assignment.values()))


def refuse_unfit(project: Project, recipe: Recipe) -> None:
    """Raise NotReady with a remedy if this computer cannot hold the training: its card, its disk, or, without
    a card, the processor. Not where the user's settings say to train all the same. That a computer has no
    card is told by the plan, and not refused.
    """
    if settings.read_app_settings().ignore_memory_plan:
        return
    made = plan(project, recipe)
    reason = _why_unfit(made, recipe)
    if reason is None:
        return
    problem, remedy = reason
    anyway = "To train regardless, tick 'Train all the same' in the step Recipe, or use --anyway."
    raise NotReady(problem=problem, remedy=f"{remedy} {anyway}")


def _why_unfit(made: Plan, recipe: Recipe) -> tuple[str, str] | None:
    """Problem and remedy."""
    if made.card is None:
        return _why_no_card(made, recipe)
    if made.verdict == "unfit":
        return (
            f"This recipe needs {made.used:.1f} GB of graphics memory; your {made.card.name} has "
            f"{made.card.vram_gib:.0f} GB.",
            remedy_text(made),
        )
    if made.verdict == "no_room":
        return f"{headline(made)}.", room_text(made)
    return None


def _why_no_card(made: Plan, recipe: Recipe) -> tuple[str, str] | None:
    """What the processor cannot do."""
    eight_bits = recipe.optimizer.name != "adamw"
    if made.budget.phases and (eight_bits or recipe.memory.text_encoder_8bit):
        return (
            f"This recipe needs an NVIDIA card with {made.card_size:g} GB; this computer has none.",
            "Train on a computer that has one, or choose the practice model in the step Goal.",
        )
    if eight_bits:
        return (
            f"The optimizer {recipe.optimizer.name} needs an NVIDIA card; this computer has none.",
            "Choose 'adamw' in the recipe: the same method in full precision.",
        )
    if recipe.memory.text_encoder_8bit:
        return (
            "A text encoder in 8 bits needs an NVIDIA card; this computer has none.",
            "Switch 'Text encoder 8bit' off in the recipe.",
        )
    return (f"{headline(made)}.", room_text(made)) if made.verdict == "no_room" else None


def headline(made: Plan) -> str:
    """'Fits: 19.4 of 24 GB; about 1 h 50 min'."""
    time = f"; {about_text(made.budget.time.total)}" if made.budget.time else ""
    if made.verdict == "no_room":
        return (
            f"The disk is too full: this training writes {made.budget.disk.in_project:.1f} GB, "
            f"{made.disk_gib:.1f} GB are free"
        )
    if made.verdict == "processor":
        return f"No graphics card needed: it trains on the processor{time}"
    if made.card is None:
        where = f" on an {made.budget.time.source}" if made.budget.time and not made.budget.time.own else ""
        return f"Needs an NVIDIA card with {made.card_size:g} GB: {made.used:.1f} GB at the peak{time}{where}"
    if made.verdict == "unfit":
        return f"Does not fit: needs {made.used:.1f} GB, your card has {made.card.vram_gib:.0f} GB"
    word = "Fits" if made.verdict == "fits" else "Fits barely"
    return f"{word}: {made.used:.1f} of {made.card.vram_gib:.0f} GB{time}"


def detail(made: Plan) -> str:
    """What stands under the headline: what to close or change, and where the time comes from."""
    first = ""
    if made.verdict == "tight":
        first = (
            f"Less than {DESKTOP_GIB:g} GB is left for the desktop: close other programs before you train. "
        )
    elif made.verdict == "unfit":
        first = f"{remedy_text(made)} "
    elif made.verdict == "no_room":
        first = f"{room_text(made)} "
    elif made.verdict == "no_card":
        first = "This computer has no NVIDIA card. "
    return f"{first}{_ram_sentence(made)}{_time_sentence(made)}".strip()


def room_text(made: Plan) -> str:
    """What makes room on the disk."""
    short = math.ceil(10 * (made.budget.disk.in_project - made.disk_gib)) / 10
    fewer = "lower 'Checkpoints kept' or raise 'Checkpoint every N steps'"
    return f"Free {short:.1f} GB there, or {fewer}."


def _ram_sentence(made: Plan) -> str:
    """Where it holds less than is needed: the system then ends the training, or swaps for hours."""
    if not made.short_of_ram:
        return ""
    return (
        f"It needs about {made.budget.ram:.0f} GB of main memory; this computer has {made.ram_gib:.0f} GB: "
        "the system may end it. "
    )


def _time_sentence(made: Plan) -> str:
    time = made.budget.time
    if time is not None:
        return time_text(time, made.card is not None)
    return "How long a step takes with these settings was not measured yet." if made.budget.phases else ""


def remedy_text(made: Plan) -> str:
    """'To make it fit, keep the frozen model in fp8: it then needs 18.4 GB.'"""
    if made.remedy is None:
        return "Nothing here makes it fit: choose smaller sizes under 'Buckets', or a smaller model."
    return f"To make it fit, {made.remedy.text}: it then needs {after_remedy(made):.1f} GB."


def after_remedy(made: Plan) -> float:
    """What training takes of the card once the remedy is applied, in GiB; 0 without one."""
    return made.remedy.card - DESKTOP_GIB if made.remedy else 0.0


def time_text(time: TimeNeed, has_card: bool = True) -> str:
    """'4.4 s a step, measured on an NVIDIA H100; ...', and what is counted."""
    where = f"measured on an {time.source}"
    if time.own:
        where = "as in your earlier runs here"
    elif has_card:
        where += "; your card's own speed shows after the first steps"
    counted = ["samples"] * bool(time.samples) + ["validation"]
    counted += ["encoding"] * (time.encoding is not None)
    words = f"{', '.join(counted[:-1])} and {counted[-1]} are" if counted[1:] else f"{counted[0]} is"
    return f"{_seconds(time.step_s)} a step, {where}. {words[:1].upper()}{words[1:]} included."


def disk_text(disk: DiskNeed) -> str:
    """'On disk: 8.0 GB: checkpoints 7.9, encoded clips and captions 0.1.'; next to nothing is left out."""
    parts = [
        ("checkpoints", disk.checkpoints),
        ("encoded clips and captions", disk.cache),
        ("the model in fewer bits", disk.quantised),
        ("samples about", disk.samples),
    ]
    listed = ", ".join(f"{name} {size:.1f}" for name, size in parts if size >= 0.05)
    return f"On disk: {disk.total:.1f} GB{': ' if listed else ''}{listed}."


def about_text(seconds: float) -> str:
    """7380 -> 'about 2 h 5 min': no more precise than such a prediction is."""
    coarse = 300 if seconds >= 3600 else 60 if seconds >= 600 else 10
    return f"about {duration_text(max(coarse, round(seconds / coarse) * coarse))}"


def source_text(memory: MemoryModel) -> str:
    """Where the prediction comes from, and how good it is."""
    if memory.worst_error_check is None:
        return memory.source
    return (
        f"{memory.source} Measurements kept out of the fit differ by {memory.worst_error_check:.0%} at most."
    )


def own_step_times(project: Project, spec: ModelSpec) -> list[StepTime]:
    """What steps of this project's earlier runs with this model took, newest first in the list."""
    found: list[StepTime] = []
    for folder in list_job_folders(project.runs_folder):
        try:
            modified = folder.events_file.stat().st_mtime_ns
        except OSError:
            continue
        run = _run_time(folder.folder, modified)
        if run is None or run.recipe.model != spec.id:
            continue
        sizes = bucket_counts(project, run.recipe)
        clips = sum(sizes.values())
        if not clips:
            continue
        mean = sum(tokens(bucket, spec) * count for bucket, count in sizes.items()) / clips
        found.append(_own_time(run, spec, round(mean)))
    return found


@dataclass(frozen=True)
class _RunTime:
    """recipe: with the memory settings that the run came to. step_s: the median."""

    recipe: Recipe
    step_s: float


@functools.lru_cache(maxsize=64)
def _run_time(folder: Path, _modified_ns: int) -> _RunTime | None:
    """None for a run that is too short to judge, or damaged. Read again only when it has gone on."""
    job = JobFolder(folder)
    try:
        given, curves = job.read_job().settings, curves_of(job)
    except WizardError:
        return None
    steps = [step_s for step_s in curves.columns["step_s"][_WARM_UP_STEPS:] if step_s > 0]
    if not isinstance(given, TrainJob) or len(steps) < _FEWEST_STEPS:
        return None
    memory = stepped_down(given.recipe.memory, curves.others.changes)
    return _RunTime(given.recipe.model_copy(update={"memory": memory}), statistics.median(steps))


def _own_time(run: _RunTime, spec: ModelSpec, clip_tokens: int) -> StepTime:
    data, memory = run.recipe.data, run.recipe.memory
    return StepTime(
        architecture=architecture_of(spec).name,
        quantization=memory.quantization,
        offload=memory.offload,
        gradient_checkpointing=memory.gradient_checkpointing,
        tokens=max(1, clip_tokens * data.batch_size),
        step_s=run.step_s / data.gradient_accumulation_steps,
        card="this computer",
    )


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 1 else f"{value:.1f} s"
