"""train, resume, sample, export: from a dataset to LoRA files."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from ltx_wizard.app import datasets, exports, jobs, lab, memory_plan, recipes
from ltx_wizard.app.advisor import Advice, advise, recommended_checkpoint
from ltx_wizard.app.lab import sample_size
from ltx_wizard.app.lab_loras import is_there
from ltx_wizard.commands.console import Console
from ltx_wizard.commands.dataset import opened
from ltx_wizard.commands.following import event_count, follow
from ltx_wizard.core.errors import BadSetting, NotFound, NotReady
from ltx_wizard.core.lab import LabLora
from ltx_wizard.core.project import Project, filled_prompt, safe_file_stem
from ltx_wizard.core.recipe import typed_setting, with_settings
from ltx_wizard.core.run import JobFolder, JobState, JobStatus, SampleJob, TrainJob
from ltx_wizard.core.units import duration_text, plural


def train(given: Namespace, console: Console) -> int:
    """Train with the project's recipe, a preset, or either with some settings changed."""
    project = opened(given.project)
    changes = settings_of(given.set, given.steps)
    with_settings(recipes.current_recipe(project), changes)  # a typing error must not change the preset
    if given.preset:
        recipes.choose_preset(project, given.preset)
    for key, value in changes.items():
        recipes.change_setting(project, key, value)
    recipe = recipes.current_recipe(project)
    console.say(memory_plan.headline(memory_plan.plan(project, recipe)) + ".")
    run = jobs.start_training(project, recipe, given.anyway)
    console.say(f"Training {recipe.title or recipe.name}: {plural(recipe.steps, 'step')}. Run: {run.name}")
    return _tell_trained(run, follow(run, console), console)


def resume(given: Namespace, console: Console) -> int:
    """Go on with a run that was stopped or that failed, from its newest checkpoint."""
    project = opened(given.project)
    run = _chosen_run(project, given.run)
    if jobs.status(run).state is JobState.FINISHED:
        raise NotReady(problem=f"The run {run.name} is finished.", remedy="Start a new one: ltx-wizard train")
    known = event_count(run)
    jobs.resume_training(project, run.name)
    console.say(f"Going on with {run.name}.")
    return _tell_trained(run, follow(run, console, known), console)


def sample(given: Namespace, console: Console) -> int:
    """Make sample videos: with the newest checkpoint, with a LoRA file, or with the base model."""
    project = opened(given.project)
    lora = None if given.base else _lora_file(project, given.lora)
    job = jobs.start_sample(project, sample_job(project, given, lora))
    status = follow(job, console)
    samples = paths_in(job.folder, status.result["samples"])
    for path in samples:
        console.say(path)
    console.result({"samples": samples, "lora": str(lora or "")})
    return 0


def export(given: Namespace, console: Console) -> int:
    """Write the LoRA for diffusers and for ComfyUI, and verify both. Without saying which: the one that was
    kept in the Lab, else the recommended checkpoint.
    """
    project = opened(given.project)
    strength = 1.0 if given.strength is None else given.strength
    if given.lora is not None:
        name = given.name or safe_file_stem(given.lora.stem)
        console.result(_written(exports.start_of_file(project, given.lora, name, strength), project, console))
        return 0
    kept = lab.kept(project) if given.run is None and given.step is None else None
    if kept is not None and is_there(project, kept[0]):
        console.result(_export_kept(project, kept, given, console))
        return 0
    run = _chosen_run(project, given.run)
    step = given.step if given.step is not None else _recommended_step(run, console)
    name = given.name or safe_file_stem(project.read_settings().name)
    console.result(export_lora(project, run, step, name, strength, console))
    return 0


def export_lora(
    project: Project, run: JobFolder, step: int, name: str, strength: float, console: Console
) -> dict[str, JsonValue]:
    """Gives lora and lora_comfyui, as full paths, and verified: sentences."""
    exports.refuse_strength(strength)
    written = _written(jobs.start_export(project, run.name, step, name, strength), project, console)
    return {"run": run.name, "step": step, **written}


def _export_kept(
    project: Project, kept: tuple[LabLora, float], given: Namespace, console: Console
) -> dict[str, JsonValue]:
    lora, strength = kept[0], kept[1] if given.strength is None else given.strength
    console.say(f"Taking what was kept in the Lab: {lora.title} at {strength:g}.")
    if not lora.run:
        return _written(
            exports.start_of_lab(project, lora, given.name or lora.title, strength), project, console
        )
    name = given.name or safe_file_stem(project.read_settings().name)
    return export_lora(project, jobs.find_run(project, lora.run), lora.step, name, strength, console)


def _written(job: JobFolder, project: Project, console: Console) -> dict[str, JsonValue]:
    """Follows an export to its end."""
    result = follow(job, console).result
    lora, comfyui = paths_in(project.folder, [result["lora"], result["lora_comfyui"]])
    console.say(f"For diffusers: {lora}")
    console.say(f"For ComfyUI:   {comfyui}")
    verified = result.get("verified", [])
    for sentence in verified if isinstance(verified, list) else []:
        console.say(f"  {sentence}")
    return {"lora": lora, "lora_comfyui": comfyui, "verified": verified}


def settings_of(assignments: Sequence[str], steps: int | None = None) -> dict[str, object]:
    """['lora.rank=16'] -> {'lora.rank': 16}. Raises BadSetting naming an unknown key or a wrong value."""
    changes: dict[str, object] = {}
    for assignment in assignments:
        key, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise BadSetting(
                problem=f"'{assignment}' is not of the form key=value.", remedy="Write it as lora.rank=16."
            )
        changes[key] = typed_setting(key, text)
    if steps is not None:
        changes["steps"] = steps
    return changes


def sample_job(project: Project, given: Namespace, lora: Path | None) -> SampleJob:
    """Prompts, size and seed as asked for; else as the recipe makes its samples."""
    settings, spec, recipe = (
        project.read_settings(),
        datasets.sampling_model(project, given.model),
        recipes.current_recipe(project),
    )
    prompts = given.prompt or recipe.validation.prompts or settings.validation_prompts
    if not prompts:
        raise NotReady(problem="There is no prompt to sample.", remedy='Give one: --prompt "A cat runs"')
    width, height, frames = sample_size(project, recipe)
    is_distilled = spec.standing == "distilled"
    return SampleJob(
        model=spec.id,
        lora_file=str(lora or ""),
        strength=given.strength,
        scale=1.0 if lora is None or given.lora is not None else _checkpoint_scale(project),
        prompts=tuple(filled_prompt(prompt, settings.trigger_word) for prompt in prompts),
        seed=recipe.validation.seed if given.seed is None else given.seed,
        width=width,
        height=height,
        frames=frames,
        fps=spec.fps,
        sampling_steps=spec.sampling.steps if is_distilled else recipe.validation.sampling_steps,
        guidance=spec.sampling.guidance if is_distilled else recipe.validation.guidance,
        negative_prompt=recipe.validation.negative_prompt,
        memory=recipe.memory,
    )


def paths_in(folder: Path, files: object) -> list[str]:
    """Full paths of what a job's result names relative to a folder."""
    return [str(folder / str(file)) for file in files] if isinstance(files, list) else []


def losses_around(status: JobStatus) -> tuple[float | None, float | None]:
    """The validation loss before the first step and after the last; None where it was not measured."""
    if not status.validations:
        return None, None
    return status.validations[0].loss, status.validations[-1].loss


def _tell_trained(run: JobFolder, status: JobStatus, console: Console) -> int:
    seconds = status.result.get("seconds", 0.0)
    lora = paths_in(run.folder, [status.result["lora"]])[0]
    before, after = losses_around(status)
    took = duration_text(float(seconds)) if isinstance(seconds, (int, float)) else ""
    console.say(f"Trained {plural(status.step, 'step')} in {took}: {lora}")
    if before is not None and after is not None:
        console.say(f"Validation loss: {before:.4f} before, {after:.4f} after.")
    advice = _tell_advice(run, status, console)
    console.result(
        {
            "run": run.name,
            "folder": str(run.folder),
            "steps": status.step,
            "seconds": seconds,
            "validation_loss_before": before,
            "validation_loss_after": after,
            "lora": lora,
            "lora_step": lora_step(status),
            "advice": [item.id for item in advice],
            "samples": paths_in(run.folder, [item.file for item in status.samples]),
        }
    )
    return 0


def _tell_advice(run: JobFolder, status: JobStatus, console: Console) -> list[Advice]:
    """What the curves say, and which checkpoint to keep where it is not the last."""
    if lora_step(status) != status.step:
        found = recommended_checkpoint(status, run.saved_steps())
        console.say(
            f"Keep the checkpoint of step {lora_step(status):,}. {found.why if found else ''}".strip()
        )
    settings = run.read_job().settings
    advice = advise(status, settings.recipe) if isinstance(settings, TrainJob) else []
    for item in advice:
        console.say(f"{item.title}. {item.text}")
        for sentence in item.to_do:
            console.say(f"  {sentence}")
    return advice


def lora_step(status: JobStatus) -> int:
    """The step of the LoRA that a finished training offers."""
    step = status.result.get("lora_step")
    return step if isinstance(step, int) else status.step


def _chosen_run(project: Project, name: str | None) -> JobFolder:
    """The run of that name, or the newest. Raises NotFound."""
    if name:
        return jobs.find_run(project, name)
    runs = jobs.runs(project)
    if not runs:
        raise NotFound(problem="This project has no run yet.", remedy="Make one with: ltx-wizard train")
    return runs[-1]


def _recommended_step(run: JobFolder, console: Console) -> int:
    found = recommended_checkpoint(jobs.status(run), run.saved_steps())
    if found is None:
        return _newest_step(run)
    console.say(f"Taking the checkpoint of step {found.step:,}. {found.why}")
    return found.step


def _newest_step(run: JobFolder) -> int:
    steps = run.saved_steps()
    if not steps:
        raise NotReady(
            problem=f"The run {run.name} has no checkpoint yet.", remedy="Let it train on: ltx-wizard resume"
        )
    return steps[-1]


def _checkpoint_scale(project: Project) -> float:
    """Alpha / rank of the newest run: a checkpoint holds the weights as they are trained, without it."""
    settings = _chosen_run(project, None).read_job().settings
    lora = settings.recipe.lora if isinstance(settings, TrainJob) else None
    return lora.alpha / lora.rank if lora else 1.0


def _lora_file(project: Project, file: Path | None) -> Path:
    """The LoRA file that was named, or the newest checkpoint's. Raises NotFound or NotReady."""
    if file is None:
        run = _chosen_run(project, None)
        return run.checkpoint_folder(_newest_step(run)) / "lora.safetensors"
    path = file.expanduser().resolve()
    if not path.is_file():
        raise NotFound(problem=f"There is no LoRA file {file}.", remedy="Check the path.")
    return path
