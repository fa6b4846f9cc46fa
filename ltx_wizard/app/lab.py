"""The Lab: what it is asked for, its job, and the LoRA that somebody keeps. No torch here."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from ltx_wizard.app import datasets, jobs, recipes
from ltx_wizard.app.exports import refuse_strength
from ltx_wizard.app.lab_loras import checkpoint_lora, checkpoints, digest, is_run_there, is_there, recipe_of
from ltx_wizard.app.memory_plan import bucket_counts
from ltx_wizard.core.documents import validate_document
from ltx_wizard.core.errors import BadDocument, BadInput, BadSetting, NotFound, NotReady, explain_os_error
from ltx_wizard.core.lab import (
    Lab,
    LabChoice,
    LabFolder,
    LabGrid,
    LabLora,
    LabPrompt,
    LabSampling,
    in_order_of_use,
    missing,
)
from ltx_wizard.core.places import whole_path
from ltx_wizard.core.project import Project, safe_file_stem
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import JobFolder, LabJob
from ltx_wizard.interop.lora_keys import recognise_lora
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.recognise import linear_layers
from ltx_wizard.models.weights import find_files

MOST_LORAS, MOST_STRENGTHS, MOST_PROMPTS, MOST_SEEDS = 24, 12, 12, 12
_FIRST_LORAS = 4
_FIRST_PROMPTS = 2


def current(project: Project) -> Lab:
    """What is asked for, or, before anything was, a proposal: the checkpoints of the newest run and the
    prompts of its samples. What a deleted run left in the grid is not asked for any more: nothing on the page
    could take it out. Raises NotReady without a LoRA, BadDocument for a damaged lab.json.
    """
    folder = LabFolder(project)
    if not folder.exists():
        return _proposal(project)
    lab = folder.read()
    gone = {lora.id for lora in lab.loras if lora.run and not is_run_there(project, lora)}
    kept = tuple(lora_id for lora_id in lab.grid.loras if lora_id not in gone)
    return lab.model_copy(update={"grid": lab.grid.model_copy(update={"loras": kept})})


def choose(project: Project, **changes: object) -> Lab:
    """Change what the grid asks for and write it. loras: ids of checkpoints and of files that were brought
    in; strengths, prompts, seeds; sampling: settings that differ.

    Raises BadSetting with what is wrong; then nothing is changed.
    """
    lab = current(project)
    if "loras" in changes:
        ids = tuple(str(item) for item in _listed(changes.pop("loras")))
        lab = _with_loras(project, _of_their_model(project, lab, ids), ids)
    sampling = changes.pop("sampling", None)
    raw = lab.model_dump()
    raw["grid"] |= changes
    raw["sampling"] |= sampling if isinstance(sampling, dict) else {}
    return _write(project, _checked(raw))


def ask_test(project: Project, name: str, grid: LabGrid) -> Lab:
    """Add the grid of a one-click test; it is made before everything else."""
    lab = current(project)
    others = {key: value for key, value in lab.tests.items() if key != name}
    lab = _with_known(project, lab, grid.loras)
    return _write(project, _checked(lab.model_dump() | {"tests": {name: grid.model_dump(), **others}}))


def drop_test(project: Project, name: str) -> Lab:
    """Take a test away; its videos stay on disk."""
    lab = current(project)
    tests = {key: value.model_dump() for key, value in lab.tests.items() if key != name}
    return _write(project, _checked(lab.model_dump() | {"tests": tests}))


def bring_in(project: Project, path: Path) -> LabLora:
    """Copy a LoRA file made anywhere into the project and add it to the grid.

    Raises NotFound, or BadInput that says why it is no LoRA for this project's model.
    """
    lab = _with_model_of(project, _current_or_empty(project))
    source = whole_path(path)
    spec = find_model(lab.model)
    found = recognise_lora(source, linear_layers(find_files(spec).transformer), spec.title)
    known = next((lora for lora in lab.loras if not lora.run and lora.digest == digest(source)), None)
    if known is not None and is_there(project, known):
        _add(project, lab, known)
        return known
    folder = LabFolder(project)
    file = _free_file(folder.loras_folder, safe_file_stem(source.stem))
    partial = file.with_suffix(".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial)
        partial.replace(file)
    except OSError as error:
        raise explain_os_error(error, file) from error
    finally:  # gone after the replace; what a full disk left of it would keep the disk full
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    lora = LabLora(
        id=f"file:{file.stem}",
        title=file.stem,
        file=project.relative(file),
        digest=digest(file),
        rank=found.rank,
        form=found.form,
    )
    _add(project, lab, lora)
    return lora


def start(project: Project) -> JobFolder:
    """Make what is missing. Raises NotReady where nothing is, Busy while another job runs."""
    lab = current(project)
    if not lab.grid.prompts and not lab.tests:
        raise NotReady(problem="There is no prompt yet.", remedy="Write one, such as a clip's caption.")
    find_files(find_model(lab.model))
    jobs.refuse_while_running(project)
    lab = _write(project, lab.model_copy(update={"recommended": _recommended_id(project, lab)}))
    places = in_order_of_use(lab, project.read_settings().trigger_word)
    if not missing(LabFolder(project), [place for place in places if is_there(project, place.lora)]):
        raise NotReady(
            problem="Every video of this grid is made.", remedy="Add a strength, a prompt or a seed."
        )
    return jobs.start(project, LabJob())


def keep(project: Project, lora_id: str, strength: float) -> Lab:
    """Remember the one to export. Raises BadInput for the base model or an unknown LoRA, BadSetting for a
    strength that no file can have.
    """
    lab = current(project)
    if lab.lora(lora_id) is None or strength == 0:
        raise BadInput(
            problem="The base model is no LoRA: there is nothing of it to keep.",
            remedy="Choose a checkpoint at a strength above 0.",
        )
    refuse_strength(strength)
    return _write(project, lab.model_copy(update={"kept": LabChoice(lora=lora_id, strength=strength)}))


def kept(project: Project) -> tuple[LabLora, float] | None:
    """The LoRA that somebody keeps, and at which strength."""
    folder = LabFolder(project)
    if not folder.exists():
        return None
    lab = folder.read()
    lora = lab.lora(lab.kept.lora) if lab.kept else None
    return (lora, lab.kept.strength) if lora is not None and lab.kept else None


def usual_lora(project: Project, lab: Lab) -> str:
    """Id of the LoRA that a test is about: the kept one, else the recommended, else the last of the grid, of
    those whose file is there. Raises NotReady.
    """
    liked = (lab.kept.lora if lab.kept else "", _recommended_id(project, lab), *reversed(lab.grid.loras))
    for lora in map(lab.lora, liked):
        if lora is not None and is_there(project, lora):
            return lora.id
    raise NotReady(problem="There is no LoRA to test.", remedy="Choose a checkpoint above.")


def sample_size(project: Project, recipe: Recipe) -> tuple[int, int, int]:
    """Width, height, frames: as the recipe says, else as most clips are trained, else the model's own."""
    trained = Counter(bucket_counts(project, recipe)).most_common(1)
    bucket = trained[0][0] if trained else datasets.model_spec(project).default_bucket
    return recipe.validation.size_for(bucket)


def _proposal(project: Project) -> Lab:
    """Raises NotReady."""
    found = checkpoints(project)
    if not found:
        raise NotReady(
            problem="There is no LoRA to look at yet.",
            remedy="Train one: its checkpoints appear here. Or bring in a LoRA file made elsewhere.",
        )
    run = found[0].run
    steps = [item for item in found if item.run == run]
    lab = _empty(project, recipe_of(project, run))
    chosen = _spread([item.id for item in steps], [item.id for item in steps if item.recommended])
    return _with_loras(project, lab, tuple(chosen))


def _empty(project: Project, recipe: Recipe) -> Lab:
    """A Lab with the recipe's samples as its prompts, else a scene that the model draws, and no LoRA."""
    spec = find_model(recipe.model) if recipe.model else datasets.model_spec(project)
    width, height, frames = sample_size(project, recipe)
    validation = recipe.validation
    prompts = validation.prompts or project.read_settings().validation_prompts or spec.scenes[:1]
    return Lab(
        model=spec.id,
        grid=LabGrid(
            prompts=tuple(LabPrompt(text=text) for text in prompts[:_FIRST_PROMPTS]),
            seeds=(validation.seed,),
        ),
        sampling=LabSampling(
            width=width,
            height=height,
            frames=frames,
            fps=spec.fps,
            steps=validation.sampling_steps,
            guidance=validation.guidance,
            first_frame_guidance=validation.first_frame_guidance,
            negative_prompt=validation.negative_prompt,
        ),
        memory=recipe.memory,
    )


def _current_or_empty(project: Project) -> Lab:
    try:
        return current(project)
    except NotReady:
        return _empty(project, recipes.current_recipe(project))


def _with_model_of(project: Project, lab: Lab) -> Lab:
    """A Lab without any LoRA follows the project's model."""
    return lab if lab.loras else lab.model_copy(update={"model": datasets.model_spec(project).id})


def _of_their_model(project: Project, lab: Lab, ids: Sequence[str]) -> Lab:
    """A grid of checkpoints of another model only becomes a Lab of that model, with its run's samples."""
    runs = {lora_id.rpartition("@")[0] for lora_id in ids} & {run.name for run in jobs.runs(project)}
    if not runs or any(lora_id.startswith("file:") for lora_id in ids):
        return lab
    recipes_of_runs = [recipe_of(project, run) for run in sorted(runs)]
    models = {find_model(recipe.model or lab.model).architecture for recipe in recipes_of_runs}
    if len(models) > 1 or find_model(lab.model).architecture in models:
        return lab
    other = _empty(project, recipes_of_runs[-1])
    return other.model_copy(update={"loras": lab.loras, "kept": lab.kept})


def _spread(ids: Sequence[str], must: Sequence[str]) -> list[str]:
    """A few of them: those that must be, the last, and others evenly between."""
    if len(ids) <= _FIRST_LORAS:
        return list(ids)
    places = {round(index * (len(ids) - 1) / (_FIRST_LORAS - 1)) for index in range(_FIRST_LORAS)}
    chosen = {ids[place] for place in places}
    for item in must:
        if item not in chosen:
            middle = sorted(chosen, key=ids.index)[1]
            chosen = (chosen - {middle}) | {item}
    return sorted(chosen, key=ids.index)


def _add(project: Project, lab: Lab, lora: LabLora) -> None:
    others = [other for other in lab.loras if other.id != lora.id]
    grid = lab.grid.model_dump() | {"loras": tuple(dict.fromkeys((*lab.grid.loras, lora.id)))}
    raw = lab.model_dump() | {"loras": [*(item.model_dump() for item in others), lora.model_dump()]}
    _write(project, _checked({**raw, "grid": grid}))


def _with_loras(project: Project, lab: Lab, ids: tuple[str, ...]) -> Lab:
    """The grid with these LoRAs, in the order of their training; files that were brought in come last."""
    lab = _with_known(project, lab, ids)
    order = [item.id for item in checkpoints(project)]
    rank = {lora_id: place for place, lora_id in enumerate(order)}
    chosen = sorted(dict.fromkeys(ids), key=lambda lora_id: rank.get(lora_id, len(order)))
    return lab.model_copy(update={"grid": lab.grid.model_copy(update={"loras": tuple(chosen)})})


def _with_known(project: Project, lab: Lab, ids: Sequence[str]) -> Lab:
    """Every checkpoint that is asked for becomes one of the Lab's LoRAs. Raises NotFound or BadInput."""
    known = {lora.id: lora for lora in lab.loras}
    for lora_id in ids:
        fresh = checkpoint_lora(project, lab, lora_id) if not lora_id.startswith("file:") else None
        if fresh is not None:
            known[lora_id] = fresh
        elif lora_id not in known:
            raise NotFound(problem="This checkpoint is gone.", remedy="Reload the page.")
    return lab.model_copy(update={"loras": tuple(known.values())})


def _recommended_id(project: Project, lab: Lab) -> str:
    """Of the grid's LoRAs the recommended one of the newest run; else the last checkpoint among them."""
    best = [item.id for item in checkpoints(project) if item.recommended and item.id in lab.grid.loras]
    return best[0] if best else lab.grid.loras[-1] if lab.grid.loras else ""


def _checked(raw: Mapping[str, object]) -> Lab:
    try:
        lab = validate_document(raw, Lab, "The Lab")
    except BadDocument as error:
        raise BadSetting(problem=error.problem, remedy="Change it to a value within its range.") from error
    grid, spec = lab.grid, find_model(lab.model)
    for what, count, most in (
        ("checkpoints", len(grid.loras), MOST_LORAS),
        ("strengths", len(grid.strengths), MOST_STRENGTHS),
        ("prompts", len(grid.prompts), MOST_PROMPTS),
        ("seeds", len(grid.seeds), MOST_SEEDS),
    ):
        if count > most:
            raise BadSetting(problem=f"{count} {what} are too many.", remedy=f"Choose up to {most}.")
    sampling = lab.sampling
    fits = spec.size_grid.allows(sampling.width) and spec.size_grid.allows(sampling.height)
    if not fits or not spec.frame_grid.allows(sampling.frames):
        nearest = (spec.size_grid.nearest(sampling.width), spec.size_grid.nearest(sampling.height))
        raise BadSetting(
            problem=f"{spec.title} cannot make videos of {sampling.width} x {sampling.height} with "
            f"{sampling.frames} frames.",
            remedy=f"The nearest are {nearest[0]} x {nearest[1]} with "
            f"{spec.frame_grid.nearest(sampling.frames)} frames.",
        )
    return lab


def _write(project: Project, lab: Lab) -> Lab:
    LabFolder(project).write(lab)
    return lab


def _listed(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else ()


def _free_file(folder: Path, stem: str) -> Path:
    number = 1
    while True:
        file = folder / (f"{stem}.safetensors" if number == 1 else f"{stem}-{number}.safetensors")
        if not file.exists():
            return file
        number += 1
