"""Projects: make, open, rename, duplicate, list."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from ltx_wizard.app import settings as app_settings
from ltx_wizard.core import places
from ltx_wizard.core.clip import Clip
from ltx_wizard.core.documents import Settings, parse_document, read_lines, read_text, validate_document
from ltx_wizard.core.errors import BadInput, NotFound, WizardError, explain_os_error
from ltx_wizard.core.project import (
    MAX_NAME_CHARACTERS,
    Goal,
    Project,
    ProjectSettings,
    SceneSettings,
    TriggerPlacement,
    safe_file_stem,
)
from ltx_wizard.core.run import MeasurePrompt
from ltx_wizard.models.catalog import find_model, named

SAMPLE_NAME = "Sample project"
_TRIGGER_CONSONANTS = "bdfgklmnprtvz"
_TRIGGER_VOWELS = "aeiou"


class SampleGuide(Settings):
    """The content of sample.json: how the sample project is set up and how its effect is measured."""

    trigger_word: str
    goal: Goal
    model: str
    preset: str
    scenes: SceneSettings
    prompts: tuple[MeasurePrompt, ...]
    measure: str
    sampling_steps: int
    guidance: float
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class ProjectCard:
    """What the list of recent projects shows of one."""

    folder: Path
    name: str
    goal: Goal
    clips: int
    last_opened_s: float
    thumbnail: Path | None


def create_project(
    name: str, goal: Goal, trigger_word: str = "", model: str = "", folder: Path | None = None
) -> Project:
    """Make a project in a folder; None: a new one in the user's projects, named after the project.

    Raises BadInput for an empty or too long name or a folder with a project, NotFound for an unknown model.
    """
    clean = _checked_name(name)
    chosen = find_model(named(model)).id if model else ""  # of a path: the whole path, wherever it was typed
    settings = _checked_settings(clean, goal, trigger_word.strip(), chosen)
    project = Project.create(folder or _free_folder(places.projects(), clean), settings)
    app_settings.remember_project(project.folder)
    return project


def read_sample_guide() -> SampleGuide:
    return parse_document(read_text(places.SAMPLE_PROJECT / "sample.json"), SampleGuide, "sample.json")


def create_sample_project(name: str = SAMPLE_NAME, folder: Path | None = None) -> Project:
    """A project with videos, captions and settings that come with the app. folder: as for create_project."""
    from ltx_wizard.dataset.importing import import_files, media_files_in  # noqa: PLC0415 - loads the video library

    guide = read_sample_guide()
    project = create_project(name, guide.goal, guide.trigger_word, guide.model, folder)
    project.change_settings(
        scenes=guide.scenes.model_dump(),
        recipe=guide.preset,
        trigger_placement=TriggerPlacement.FIRST,
        validation_prompts=tuple(prompt.text for prompt in guide.prompts[:2]),
    )
    import_files(project, media_files_in(places.SAMPLE_PROJECT / "videos"))
    import_files(project, media_files_in(places.SAMPLE_PROJECT / "regularisation"), regularisation=True)
    return project


def open_project(folder: Path) -> Project:
    """Raises NotFound or BadDocument."""
    project = Project.open(folder)
    app_settings.remember_project(project.folder)
    return project


def rename_project(project: Project, new_name: str) -> ProjectSettings:
    """Change the name that people see. The folder keeps its own, so that nothing that points to it breaks."""
    return project.change_settings(name=_checked_name(new_name))


def duplicate_project(project: Project, new_name: str) -> Project:
    """Copy videos, cuts, clips and captions into a new project; its runs and jobs stay behind."""
    clean = _checked_name(new_name)
    folder = _free_folder(project.folder.parent, clean)
    left_behind = shutil.ignore_patterns("runs", "jobs", "exports", ".lock", "*.tmp")
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(project.folder, partial, ignore=left_behind)
        partial.rename(folder)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(partial, ignore_errors=True)
        cause = error if error.errno else OSError(str(error))
        raise explain_os_error(cause, folder) from error
    copy = Project.open(folder)
    copy.change_settings(name=clean)
    app_settings.remember_project(copy.folder)
    return copy


def update(project: Project, **changes: object) -> ProjectSettings:
    """Change goal, trigger word, model, scene settings or prompts. Raises BadDocument."""
    return project.change_settings(**changes)


def recent() -> list[ProjectCard]:
    """The projects opened last, newest first; those that cannot be read are left out."""
    cards: list[ProjectCard] = []
    for folder in app_settings.recent_projects():
        try:
            cards.append(_card(Project.open(folder)))
        except WizardError:
            continue
    return cards


def propose_trigger(name: str) -> str:
    """A made-up word that no caption holds by chance, always the same for the same name."""
    state = sum(ord(letter) * 31**index for index, letter in enumerate(name.lower()))
    letters: list[str] = []
    for position in range(7):
        alphabet = _TRIGGER_VOWELS if position % 2 else _TRIGGER_CONSONANTS
        letters.append(alphabet[state % len(alphabet)])
        state = state // len(alphabet) + 7919 * (position + 1)
    return "".join(letters)


def _card(project: Project) -> ProjectCard:
    settings = project.read_settings()
    clips = read_lines(project.clips_file, Clip)
    pictures = sorted(project.thumbnails_folder.glob("*.jpg")) if project.thumbnails_folder.is_dir() else []
    return ProjectCard(
        folder=project.folder,
        name=settings.name,
        goal=settings.goal,
        clips=len(clips),
        last_opened_s=project.settings_file.stat().st_mtime,
        thumbnail=pictures[0] if pictures else None,
    )


def _checked_settings(name: str, goal: Goal, trigger_word: str, model: str) -> ProjectSettings:
    raw = {"name": name, "goal": goal, "trigger_word": trigger_word, "model": model}
    return validate_document(raw, ProjectSettings, "The new project")


def _checked_name(name: str) -> str:
    clean = " ".join(name.split())
    if not clean:
        raise BadInput(
            problem="The project has no name.", remedy="Give it a name, such as 'My cat, running'."
        )
    if len(clean) > MAX_NAME_CHARACTERS:
        raise BadInput(
            problem=f"The name has {len(clean)} characters.",
            remedy=f"Use {MAX_NAME_CHARACTERS} or fewer.",
        )
    return clean


def _free_folder(parent: Path, name: str) -> Path:
    """parent/name, or name-2, name-3 where that is taken."""
    stem = safe_file_stem(name)
    folder = parent / stem
    number = 2
    while folder.exists():
        folder = parent / f"{stem}-{number}"
        number += 1
    return folder


def project_in(folder: Path) -> Project:
    """For the command line: the project, or a message that says how to make one."""
    try:
        return open_project(folder)
    except NotFound as error:
        raise NotFound(
            error.problem, f"Make it with: ltx-wizard new --project {json.dumps(str(folder))}"
        ) from error
