"""The dataset of a project: videos, scenes, clips, captions, checks. Every list comes from disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ltx_wizard.app.settings import read_app_settings
from ltx_wizard.core.clip import Clip, Rejected, Source, SourceScenes
from ltx_wizard.core.errors import BadInput, NotFound, WizardError
from ltx_wizard.core.places import whole_path
from ltx_wizard.core.project import Goal, Project
from ltx_wizard.core.recipe import DataSettings
from ltx_wizard.models.catalog import CATALOG, EMBEDDED, find_model, models_for_lora, named, needs_look_up
from ltx_wizard.models.lookup import look_up
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import refuse_incomplete

if TYPE_CHECKING:
    from ltx_wizard.core.clip import Scene
    from ltx_wizard.core.report import Report
    from ltx_wizard.dataset.buckets import BucketPlan
    from ltx_wizard.dataset.checks import Finding
    from ltx_wizard.dataset.importing import ImportReport

# The modules of `dataset` load the video library (half a second): they are imported where they are used, so
# that the window opens without them.
# ruff: noqa: PLC0415


def sources(project: Project) -> list[Source]:
    from ltx_wizard.dataset.dataset import read_sources

    return read_sources(project)


def rejected(project: Project) -> list[Rejected]:
    from ltx_wizard.dataset.dataset import read_rejected

    return read_rejected(project)


def clear_rejected(project: Project) -> None:
    """Empty the list of broken files. The files themselves were never imported."""
    project.rejected_file.unlink(missing_ok=True)


def clips(project: Project) -> list[Clip]:
    from ltx_wizard.dataset.dataset import read_clips

    return read_clips(project)


def scenes(project: Project) -> dict[str, SourceScenes]:
    from ltx_wizard.dataset.dataset import read_scenes

    return read_scenes(project)


def import_paths(
    project: Project, paths: list[Path], regularisation: bool = False, report: Report | None = None
) -> ImportReport:
    """Import files. Broken ones are listed with the reason, the rest go on."""
    from ltx_wizard.dataset.importing import import_files

    return import_files(project, paths, regularisation=regularisation, report=report)


def import_folder(
    project: Project, folder: Path, regularisation: bool = False, report: Report | None = None
) -> ImportReport:
    """Import every video and image of a folder on this computer. Raises NotFound or NoPermission."""
    from ltx_wizard.dataset.importing import media_files_in

    return import_paths(project, media_files_in(whole_path(folder)), regularisation, report)


def remove_source(project: Project, source_id: str) -> None:
    from ltx_wizard.dataset import dataset, left_out

    left_out.forget_source(project, source_id)
    dataset.remove_source(project, source_id)


def set_regularisation(project: Project, source_id: str, regularisation: bool) -> None:
    from ltx_wizard.dataset import dataset

    dataset.set_regularisation(project, source_id, regularisation)


def source_thumbnail(project: Project, source: Source) -> Path | None:
    """A picture from the middle of the source; None where it cannot be made."""
    from ltx_wizard.media.video import write_thumbnails

    return _first_of(
        lambda: write_thumbnails(
            project.path(source.file), [source.frames // 2], project.thumbnails_folder, stem=source.id
        )
    )


def scene_thumbnail(project: Project, source_id: str, scene: Scene) -> Path | None:
    from ltx_wizard.dataset import scenes as scene_functions

    return _first_of(lambda: [scene_functions.scene_thumbnail(project, source_id, scene)])


def clip_thumbnail(project: Project, clip: Clip) -> Path | None:
    from ltx_wizard.dataset import scenes as scene_functions

    return _first_of(lambda: [scene_functions.clip_thumbnail(project, clip)])


def scene_index(project: Project, source_id: str, start_frame: int) -> int:
    """Which scene of a video begins there. Raises NotFound where none does any more."""
    for index, scene in enumerate(_scenes_of(project, source_id).scenes):
        if scene.start_frame == start_frame:
            return index
    raise NotFound(
        problem="This scene is not there any more: it was merged or split.",
        remedy="Look at the strip below and choose again.",
    )


def merge_scene(project: Project, source_id: str, index: int) -> None:
    """Join a scene with the next one."""
    from ltx_wizard.dataset.scenes import merge_with_next

    _edit_scenes(project, source_id, lambda scenes: merge_with_next(scenes, index))


def split_scene(project: Project, source_id: str, index: int, at_s: float) -> None:
    """Cut a scene in two at a time of the video, in seconds."""
    from ltx_wizard.dataset.scenes import frame_at, split_at

    scene = _scenes_of(project, source_id).scenes[index]
    source = next((item for item in sources(project) if item.id == source_id), None)
    if source is None:
        raise NotFound(problem="This video is no longer in the project.", remedy="Reload the page.")
    frame, begins_s = frame_at(project.path(source.file), source, scene, at_s)
    _edit_scenes(project, source_id, lambda scenes: split_at(scenes, index, frame, begins_s))


def toggle_scene(project: Project, source_id: str, index: int) -> None:
    """Leave a scene out, or take it back in, with what was left out of it in the step Check."""
    from ltx_wizard.dataset.left_out import bring_back_within
    from ltx_wizard.dataset.scenes import toggle_keep

    _edit_scenes(project, source_id, lambda scenes: toggle_keep(scenes, index))
    scene = _scenes_of(project, source_id).scenes[index]
    if scene.keep:
        bring_back_within(project, source_id, scene.start_frame, scene.end_frame)


def planned_clips(project: Project) -> int:
    """How many clips cutting would leave."""
    from ltx_wizard.dataset.left_out import without_left_out
    from ltx_wizard.dataset.scenes import plan_pieces

    settings = project.read_settings().scenes
    found = scenes(project)
    pieces = [
        piece
        for source in sources(project)
        if source.id in found
        for piece in plan_pieces(source, found[source.id].scenes, settings)
    ]
    return len(without_left_out(project, pieces))


def remove_clip(project: Project, clip_id: str) -> None:
    """Leave one clip out; the step Check can bring it back."""
    from ltx_wizard.dataset.left_out import leave_out

    leave_out(project, [clip for clip in clips(project) if clip.id == clip_id])


def model_spec(project: Project) -> ModelSpec:
    """The model that this project trains; the practice model until one is chosen."""
    chosen = project.read_settings().model
    return find_model(chosen) if chosen else EMBEDDED


def sampling_model(project: Project, model: str = "") -> ModelSpec:
    """What draws sample videos: the project's model, or another on which its LoRAs work.

    Raises BadInput for one of another architecture, NotFound for an unknown one.
    """
    trained = model_spec(project)
    spec = find_model(model) if model else trained
    if spec.architecture == trained.architecture:
        return spec
    fitting = ", ".join(other.id for other in models_for_lora(trained))
    raise BadInput(
        problem=f"A LoRA for {trained.title} does not fit {spec.title}.",
        remedy=f"Choose one of {fitting or trained.id}.",
    )


def models() -> tuple[ModelSpec, ...]:
    """Every base model that the app knows, also those that cannot be trained."""
    return CATALOG


def spec_of(model: str) -> ModelSpec:
    """What is known of a model on this computer; asks no server. Raises NotFound, BadInput."""
    return find_model(model)


def recognise_model(text: str) -> ModelSpec:
    """What a person typed as a model: a catalog id, a folder, a .safetensors file, a hub repository or its
    page.

    A repository that is not known yet is looked up on the hub (a few kilobytes). Raises NotFound, also where
    something of a folder is missing, BadInput, DownloadFailed.
    """
    typed = named(text)
    if not typed:
        raise BadInput(
            problem="No model was given.",
            remedy="Type the path of a folder or a .safetensors file, or a hub repository: owner/name.",
        )
    if needs_look_up(typed):
        settings = read_app_settings()
        if settings.hub_offline:
            raise NotFound(
                problem=f"{typed} is not on this computer, and LTX Wizard is set to stay offline.",
                remedy="Go online in the Hub settings, or give a model on this computer.",
            )
        look_up(typed, settings.hub_endpoint)
    spec = find_model(typed)
    refuse_incomplete(spec)
    return spec


def wanted_clips(goal: Goal) -> tuple[int, int, str]:
    """(fewest, enough, in words): how many clips a goal needs."""
    from ltx_wizard.dataset.checks import WANTED_CLIPS

    return WANTED_CLIPS[goal]


def wanted_buckets(project: Project) -> tuple[str, ...]:
    """The buckets of the recipe that would train now; empty: the model's own."""
    from ltx_wizard.app.recipes import current_recipe  # recipes is built on this module

    return current_recipe(project).data.buckets


def bucket_plan(project: Project) -> BucketPlan:
    """Which clip is trained at which size."""
    from ltx_wizard.dataset.buckets import plan_buckets

    return plan_buckets(clips(project), model_spec(project), wanted_buckets(project))


def check(project: Project) -> list[Finding]:
    """Everything that stands between this dataset and a good LoRA."""
    from ltx_wizard.dataset.checks import check_dataset

    return check_dataset(
        project.read_settings(),
        clips(project),
        model_spec(project),
        bucket_plan(project),
        project=project,
        data=_data_settings(project),
    )


def _data_settings(project: Project) -> DataSettings:
    from ltx_wizard.app.recipes import current_recipe  # recipes is built on this module

    return current_recipe(project).data


def _scenes_of(project: Project, source_id: str) -> SourceScenes:
    found = scenes(project).get(source_id)
    if found is None:
        raise NotFound(problem="This video has no scenes yet.", remedy="Press 'Find scenes' first.")
    return found


def _edit_scenes(
    project: Project, source_id: str, edit: Callable[[tuple[Scene, ...]], tuple[Scene, ...]]
) -> None:
    from ltx_wizard.dataset.dataset import write_scenes

    edited = edit(_scenes_of(project, source_id).scenes)
    write_scenes(project, SourceScenes(source_id=source_id, scenes=edited, detector="edited"))


def _first_of(make: Callable[[], list[Path]]) -> Path | None:
    """A missing thumbnail is a grey box, not a failed page."""
    try:
        made = make()
    except WizardError:
        return None
    return made[0] if made else None
