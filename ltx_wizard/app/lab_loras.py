"""The LoRAs that the Lab can show: checkpoints of a project's runs, and files of them. No torch here."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ltx_wizard.app import advisor, jobs, recipes
from ltx_wizard.core.errors import BadInput, explain_os_error
from ltx_wizard.core.lab import Lab, LabLora
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import JobFolder, TrainJob
from ltx_wizard.models.catalog import find_model

if TYPE_CHECKING:
    from ltx_wizard.app.advisor import RecommendedCheckpoint

_LORA_FILE = "lora.safetensors"
_HASHED_BYTES = 1 << 20


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk that the Lab can show. id: as a LabLora's. why: of the recommended one."""

    id: str
    run: str
    step: int
    recommended: bool
    why: str


def checkpoints(project: Project) -> list[Checkpoint]:
    """Of every run, the newest run first, its steps in order."""
    found: list[Checkpoint] = []
    for run in reversed(jobs.runs(project)):
        steps = run.saved_steps()
        best = _recommended(run, steps)
        found += [
            Checkpoint(
                id=_checkpoint_id(run.name, step),
                run=run.name,
                step=step,
                recommended=best is not None and best.step == step,
                why=best.why if best is not None and best.step == step else "",
            )
            for step in steps
        ]
    return found


def checkpoint_lora(project: Project, lab: Lab, lora_id: str) -> LabLora | None:
    """None where its file is not there. Raises BadInput for a run of another model."""
    run_name, _, step_text = lora_id.rpartition("@")
    if not step_text.isdigit():
        return None
    step = int(step_text)
    runs = {run.name: run for run in jobs.runs(project)}
    run = runs.get(run_name)
    if run is None:  # its folder was deleted
        return None
    file = run.checkpoint_folder(step) / _LORA_FILE
    if not file.is_file():
        return None
    recipe = recipe_of(project, run.name)
    if recipe.model and find_model(recipe.model).architecture != find_model(lab.model).architecture:
        raise BadInput(
            problem=f"{run.name} was trained on another model than this Lab shows.",
            remedy="Take the others out first: a Lab shows one model at a time.",
        )
    return LabLora(
        id=lora_id,
        title=f"step {step:,}" + (f" of {run.name}" if len(runs) > 1 else ""),
        file=project.relative(file),
        digest=digest(file),
        scale=recipe.lora.alpha / recipe.lora.rank,
        run=run.name,
        step=step,
        rank=recipe.lora.rank,
    )


def is_there(project: Project, lora: LabLora | None) -> bool:
    """Whether its file is on disk; the base model, None, always is."""
    return lora is None or project.path(lora.file).is_file()


def is_run_there(project: Project, lora: LabLora) -> bool:
    """Whether the run that it is a checkpoint of was not deleted; a single checkpoint may be."""
    return (project.runs_folder / lora.run).is_dir()


def recipe_of(project: Project, run: str) -> Recipe:
    """What a run was trained with."""
    settings = jobs.find_run(project, run).read_job().settings
    return settings.recipe if isinstance(settings, TrainJob) else recipes.current_recipe(project)


def digest(path: Path) -> str:
    """A hash of a file's content, made once for each state of the file."""
    try:
        stat = path.stat()
        return _hashed(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _recommended(run: JobFolder, steps: Sequence[int]) -> RecommendedCheckpoint | None:
    return advisor.recommended_checkpoint(jobs.status(run), steps)


def _checkpoint_id(run: str, step: int) -> str:
    return f"{run}@{step}"


@functools.lru_cache(maxsize=256)
def _hashed(path: Path, _size: int, _modified_ns: int) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_HASHED_BYTES):
            hashed.update(part)
    return hashed.hexdigest()[:20]
