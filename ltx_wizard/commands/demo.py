"""demo: every stage, from videos to a verified LoRA, on the sample project with the practice model."""

from __future__ import annotations

import shutil
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field

from ltx_wizard.app import datasets, jobs, plots, projects, recipes, settings, system
from ltx_wizard.app.curves import curves_of
from ltx_wizard.app.lab import sample_size
from ltx_wizard.app.projects import SampleGuide
from ltx_wizard.commands.console import Console
from ltx_wizard.commands.dataset import cut, draft_captions, find_scenes, fix_findings
from ltx_wizard.commands.following import follow
from ltx_wizard.commands.training import export_lora, lora_step, losses_around, paths_in
from ltx_wizard.core.documents import Document, write_document
from ltx_wizard.core.errors import BadInput, explain_os_error
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import JobFolder, JobStatus, MeasureJob
from ltx_wizard.core.units import duration_text

EXPORT_NAME = "demo-style"


class DemoReport(Document):
    """The content of report.json. Paths are absolute; losses and changes: lower is better."""

    seconds: float = Field(description="The whole demo.")
    validation_loss_before: float
    validation_loss_after: float
    concept_before: float = Field(description="The concept's measure with the trigger word, without LoRA.")
    concept_after: float = Field(description="The same prompts and seeds with the LoRA.")
    untriggered_change: float = Field(description="Change of the measure without the trigger word.")
    untriggered_pixel_change: float = Field(description="Mean absolute change of those samples, of 255.")
    object_kept: float = Field(description="Share of triggered samples whose object has its colour.")
    lora: str
    lora_comfyui: str
    samples: tuple[str, ...]
    loss_chart: str
    project: str
    run: str
    steps: int
    seconds_per_stage: dict[str, float]
    validation_losses: dict[int, float]
    verified: tuple[str, ...]
    versions: dict[str, str]


class Stopwatch:
    """Seconds of each stage, in the order in which they ran."""

    def __init__(self, console: Console) -> None:
        self.seconds: dict[str, float] = {}
        self._console = console

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        self._console.say(f"{title} ...")
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 2)
        self._console.say(f"{title}: {duration_text(self.seconds[name])}.")


def demo(given: Namespace, console: Console) -> int:
    began = time.monotonic()
    out = demo_folder(given.out)
    watch = Stopwatch(console)
    project = make_dataset(_free_project_folder(out), watch, console)
    guide = projects.read_sample_guide()
    recipe = demo_recipe(project, guide, given.steps)
    with watch.stage("train", "Training"):
        run = jobs.start_training(project, recipe)
        trained = follow(run, console)
    with watch.stage("measure", "Comparing samples with and without the LoRA"):
        measuring = jobs.start_measure(project, measure_job(project, guide, recipe, run, trained))
        measured = follow(measuring, console).result
    with watch.stage("export", "Exporting and verifying"):
        exported = export_lora(project, run, lora_step(trained), EXPORT_NAME, 1.0, console)
    lora, comfyui = copy_files([str(exported["lora"]), str(exported["lora_comfyui"])], out / "lora")
    chart = out / "loss.png"
    plots.write_plot(chart, [plots.Line("Training", curves_of(run))], recipe.title or recipe.name)
    before, after = losses_around(trained)
    report = DemoReport.model_validate(
        {
            **{name: measured[name] for name in _MEASURED},
            "validation_loss_before": before,
            "validation_loss_after": after,
            "lora": lora,
            "lora_comfyui": comfyui,
            "samples": copy_files(paths_in(measuring.folder, measured["samples"]), out / "samples"),
            "loss_chart": str(chart),
            "project": str(project.folder),
            "run": run.name,
            "steps": trained.step,
            "seconds_per_stage": watch.seconds,
            "validation_losses": {event.step: event.loss for event in trained.validations},
            "verified": exported["verified"],
            "versions": system.versions(),
            "seconds": round(time.monotonic() - began, 2),
        }
    )
    write_document(out / "report.json", report)
    _tell(report, out, console)
    console.result(report.model_dump(mode="json"))
    return 0


_MEASURED = (
    "concept_before",
    "concept_after",
    "untriggered_change",
    "untriggered_pixel_change",
    "object_kept",
)


def demo_folder(out: Path) -> Path:
    """The folder for the results, made if it is not there. Raises BadInput for a file, or NoPermission."""
    folder = out.expanduser().resolve()
    try:
        if folder.exists() and not folder.is_dir():
            raise BadInput(
                problem=f"{out} is a file.", remedy="Name a folder; it is made if it is not there."
            )
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return folder


def make_dataset(folder: Path, watch: Stopwatch, console: Console) -> Project:
    """The sample project, cut, captioned, checked, and fitted to the model where the check asks for it."""
    with watch.stage("import", "Importing the sample videos"):
        project = projects.create_sample_project("Demo", folder)
        settings.forget_project(project.folder)  # a demo is not the user's work
    with watch.stage("scenes", "Finding scenes"):
        find_scenes(project, console)
    with watch.stage("cut", "Cutting clips"):
        cut(project, console)
    with watch.stage("caption", "Writing missing captions"):
        draft_captions(project, console, "motion", overwrite=False)
    with watch.stage("check", "Checking the dataset"):
        findings = datasets.check(project)
        for finding in findings:
            console.say(f"  {finding.level}: {finding.title}")
    with watch.stage("conform", "Fitting clips to the model"):
        fix_findings(project, [finding for finding in findings if finding.fix == "conform"], console)
    return project


def demo_recipe(project: Project, guide: SampleGuide, steps: int | None) -> Recipe:
    """The guide's preset, shortened where that was asked for."""
    recipe = recipes.choose_preset(project, guide.preset)
    return recipes.change_setting(project, "steps", steps) if steps else recipe


def measure_job(
    project: Project, guide: SampleGuide, recipe: Recipe, run: JobFolder, trained: JobStatus
) -> MeasureJob:
    """The guide's prompts and seeds on what the run left."""
    spec = datasets.model_spec(project)
    width, height, frames = sample_size(project, recipe)
    lora = run.folder / str(trained.result["lora"])
    return MeasureJob(
        model=spec.id,
        lora_file=project.relative(lora),
        measure=guide.measure,
        trigger_word=project.read_settings().trigger_word,
        prompts=guide.prompts,
        seeds=guide.seeds,
        width=width,
        height=height,
        frames=frames,
        fps=spec.fps,
        sampling_steps=guide.sampling_steps,
        guidance=guide.guidance,
        negative_prompt=recipe.validation.negative_prompt,
        memory=recipe.memory,
    )


def copy_files(files: Sequence[str], folder: Path) -> list[str]:
    """Copy files into a folder, each whole or not at all; gives where they are now. Raises WizardError."""
    copied: list[str] = []
    for file in files:
        source, placed = Path(file), folder / Path(file).name
        partial = placed.with_name(f".{placed.name}.tmp")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial)
            partial.replace(placed)
        except OSError as error:
            raise explain_os_error(error, placed) from error
        copied.append(str(placed))
    return copied


def _free_project_folder(out: Path) -> Path:
    """out/project; where an earlier demo left one, out/project-2 and so on."""
    folder, number = out / "project", 2
    while folder.exists():
        folder = out / f"project-{number}"
        number += 1
    return folder


def _tell(report: DemoReport, out: Path, console: Console) -> None:
    console.say()
    console.say(f"Done in {duration_text(report.seconds)}. Everything is in {out}.")
    console.say(
        f"  Validation loss        {report.validation_loss_before:.3f} -> {report.validation_loss_after:.3f}"
    )
    console.say(f"  Style in the samples   {report.concept_before:.2f} -> {report.concept_after:.2f}")
    console.say(
        f"  Without the trigger    {report.untriggered_change:.2f} changed, "
        f"{report.untriggered_pixel_change:.1f} of 255 per pixel"
    )
    console.say(f"  Objects kept           {report.object_kept:.0%}")
    console.say(f"  LoRA                   {report.lora}")
