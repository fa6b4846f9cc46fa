"""What the step Check shows: findings, variety, clips kept for validation, copies, what was left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ltx_wizard.app import datasets, recipes
from ltx_wizard.core.clip import Clip, told_apart
from ltx_wizard.core.errors import NotFound, NotReady
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import DataSettings, Recipe

if TYPE_CHECKING:
    from ltx_wizard.dataset.augment import Copy
    from ltx_wizard.dataset.doubles import Group
    from ltx_wizard.dataset.finding import Dataset, Finding
    from ltx_wizard.dataset.left_out import BroughtBack, LeftOut
    from ltx_wizard.dataset.variety import Tally

# ruff: noqa: PLC0415 - the modules of `dataset` load the video library, which the window opens without


@dataclass(frozen=True)
class HeldOut:
    """Clips kept out of training, on which the validation loss is measured.

    clips: in the order of the dataset. automatic: chosen by the app. share: of the recipe, by which it
    chooses. doubles: by id of a kept clip, the clip that is trained and tells of it: it looks like it or
    comes from the same few seconds.
    """

    clips: tuple[Clip, ...]
    automatic: bool
    share: float
    doubles: dict[str, Clip]


@dataclass(frozen=True)
class Example:
    """One copy to look at, with its caption before and after."""

    clip: Clip
    copy: Copy
    caption: str


@dataclass(frozen=True)
class Copies:
    """What a recipe makes of the clips that are trained. with_side, with_text: how many of their captions
    name left or right, or may speak of writing. not_offered: kinds of copies, and why not. examples: a few.
    """

    data: DataSettings
    clips: int
    mirrored: int
    recoloured: int
    with_side: int
    with_text: int
    examples: tuple[Example, ...]
    not_offered: tuple[tuple[str, str], ...]

    @property
    def total(self) -> int:
        return self.clips + self.mirrored + self.recoloured


@dataclass(frozen=True)
class Sheet:
    """The picture of all clips. current: it shows the clips as they are now."""

    path: Path
    current: bool
    size_bytes: int
    made_ns: int


@dataclass(frozen=True)
class Checked:
    """A dataset as the step Check shows it, all of it from one look at the disk."""

    dataset: Dataset
    findings: list[Finding]
    variety: list[Tally]
    groups: list[Group]
    held_out: HeldOut
    copies: Copies
    left_out: list[LeftOut]
    sheet: Sheet | None


def look(project: Project) -> Checked:
    from ltx_wizard.dataset.checks import findings_of
    from ltx_wizard.dataset.doubles import groups_of, related
    from ltx_wizard.dataset.left_out import read_left_out
    from ltx_wizard.dataset.variety import variety

    recipe = recipes.current_recipe(project)
    dataset = _dataset(project, recipe)
    groups = groups_of(dataset)
    kept = _held_out(dataset, related(dataset))
    return Checked(
        dataset=dataset,
        findings=findings_of(dataset),
        variety=variety(dataset),
        groups=groups,
        held_out=kept,
        copies=_copies(dataset, recipe, {clip.id for clip in kept.clips}),
        left_out=read_left_out(project),
        sheet=_sheet(project, dataset.clips),
    )


def find_finding(project: Project, finding_id: str) -> Finding:
    """One finding as it is now. Raises NotFound where it applies no more."""
    return named(datasets.check(project), finding_id)


def named(findings: Iterable[Finding], finding_id: str) -> Finding:
    """Raises NotFound where none of them is called so."""
    for finding in findings:
        if finding.id == finding_id:
            return finding
    raise NotFound(problem="That finding is gone: it was fixed already.", remedy="Look at the list below.")


def notes(dataset: Dataset, finding: Finding) -> dict[str, str]:
    """What was measured of each clip that a finding names, in a few words, by clip id."""
    from ltx_wizard.dataset.quality_checks import note_of

    known = [clip for clip in dataset.known if clip.id in set(finding.clip_ids)]
    return {clip.id: note_of(finding.id, clip, dataset.measured[clip.id]) for clip in known}


def leave_out(project: Project, finding: Finding, clip_ids: Collection[str]) -> int:
    """Leave these clips of a finding out; gives how many it was. bring_back undoes it."""
    from ltx_wizard.dataset.left_out import leave_out as leave

    wanted = set(clip_ids) & set(finding.clip_ids)
    return leave(project, [clip for clip in datasets.clips(project) if clip.id in wanted], finding.id)


def bring_back(project: Project, clip_ids: Collection[str]) -> BroughtBack:
    """Put clips that were left out into the dataset again. Raises NotFound if none of them was."""
    from ltx_wizard.dataset.left_out import bring_back as bring

    brought = bring(project, clip_ids)
    if not brought.back and not brought.to_cut:
        raise NotFound(problem="These clips are back already.", remedy="Look at the list below.")
    return brought


def clip_names(project: Project) -> Callable[[Clip], str]:
    """Gives the name of a clip, as findings use it. Reads the sources once."""
    from ltx_wizard.dataset.quality_checks import clip_label

    names = told_apart(datasets.sources(project))
    return lambda clip: clip_label(clip, names)


def find_clip(project: Project, clip_id: str) -> Clip | None:
    """A clip of the dataset, or one that was left out."""
    from ltx_wizard.dataset.left_out import read_left_out

    found = next((clip for clip in datasets.clips(project) if clip.id == clip_id), None)
    if found is not None:
        return found
    return next((item.clip for item in read_left_out(project) if item.clip.id == clip_id), None)


def candidates(project: Project) -> list[Clip]:
    """The clips of which some can be kept for validation: they fit a training size and are to be learnt."""
    planned = datasets.bucket_plan(project).assignment
    return [clip for clip in datasets.clips(project) if clip.id in planned and not clip.regularisation]


def held_out(project: Project, recipe: Recipe | None = None) -> set[str]:
    """Ids of the clips that training would keep for validation now; recipe: not the current one."""
    from ltx_wizard.dataset.doubles import related

    recipe = recipe or recipes.current_recipe(project)
    dataset = _dataset(project, recipe)
    return {clip.id for clip in _held_out(dataset, related(dataset)).clips}


def choose_held_out(project: Project, clip_ids: Iterable[str]) -> None:
    """Keep exactly these clips for validation; none: chosen automatically."""
    from ltx_wizard.dataset.held_out import set_held_out

    set_held_out(project, clip_ids)


def swap_doubles(project: Project) -> None:
    """Keep others in place of those that tell of a clip that is trained. It is the user's choice then.

    Raises NotReady where there are none.
    """
    from ltx_wizard.dataset.doubles import related
    from ltx_wizard.dataset.held_out import undivided

    dataset = _dataset(project, recipes.current_recipe(project))
    groups = related(dataset)
    kept = {clip.id for clip in _held_out(dataset, groups).clips}
    others = undivided(_fitting(dataset), kept, groups)
    if not others:
        raise NotReady(
            problem="Every other clip is like one that is trained, too.",
            remedy="Leave the copies out, or add other videos.",
        )
    choose_held_out(project, others)


def copy_picture(project: Project, clip_id: str, name: str) -> bytes | None:
    """A picture of a clip as a copy shows it, as JPEG; None where there is none."""
    from ltx_wizard.dataset.augment import copy_picture as draw
    from ltx_wizard.dataset.augment import plan_copies

    clip = next((clip for clip in datasets.clips(project) if clip.id == clip_id), None)
    picture = datasets.clip_thumbnail(project, clip) if clip else None
    if clip is None or picture is None:
        return None
    recipe = recipes.current_recipe(project)
    copies = {copy.name: copy.change for copy in plan_copies([clip], recipe.data, recipe.seed)}
    return draw(picture, copies[name]) if name in copies else None


def _dataset(project: Project, recipe: Recipe) -> Dataset:
    from ltx_wizard.dataset.buckets import plan_buckets
    from ltx_wizard.dataset.checks import look_at

    clips, spec = datasets.clips(project), datasets.model_spec(project)
    plan = plan_buckets(clips, spec, recipe.data.buckets)
    return look_at(project.read_settings(), clips, spec, plan, project, recipe.data)


def _held_out(dataset: Dataset, groups: list[set[str]]) -> HeldOut:
    from ltx_wizard.dataset.held_out import divided, held_out_clips

    fitting = _fitting(dataset)
    ids = held_out_clips(fitting, dataset.data.held_out_share, groups)
    return HeldOut(
        clips=tuple(clip for clip in fitting if clip.id in ids),
        automatic=not any(clip.held_out and not clip.regularisation for clip in fitting),
        share=dataset.data.held_out_share,
        doubles=divided(fitting, ids, groups),
    )


def _fitting(dataset: Dataset) -> list[Clip]:
    """The clips that are used: they fit a training size."""
    return [clip for clip in dataset.clips if clip.id in dataset.plan.assignment]


def _copies(dataset: Dataset, recipe: Recipe, kept: set[str]) -> Copies:
    from ltx_wizard.dataset.augment import NOT_OFFERED, mirrored_caption, names_side, names_text, plan_copies

    planned = dataset.plan.assignment
    trained = [clip for clip in dataset.clips if clip.id in planned and clip.id not in kept]
    learnt = [clip for clip in trained if not clip.regularisation]
    copies = plan_copies(trained, recipe.data, recipe.seed)
    by_id = {clip.id: clip for clip in trained}
    mirrored = [copy for copy in copies if copy.change.mirrored]
    recoloured = [copy for copy in copies if not copy.change.mirrored]
    # a caption with left or right shows best what mirroring does
    telling = sorted(mirrored, key=lambda copy: not names_side(by_id[copy.clip_id].caption))
    shown = [*telling[:1], *telling[-1:]] if len(telling) > 1 else telling
    seen = {copy.clip_id for copy in shown}
    shown += [copy for copy in recoloured if copy.clip_id not in seen or len(seen) == len(by_id)][:1]
    trigger = dataset.settings.trigger_word
    examples = tuple(
        Example(
            clip := by_id[copy.clip_id],
            copy,
            mirrored_caption(clip.caption, trigger) if copy.change.mirrored else clip.caption,
        )
        for copy in shown
    )
    return Copies(
        data=recipe.data,
        clips=len(trained),
        mirrored=len(mirrored),
        recoloured=len(recoloured),
        with_side=sum(names_side(clip.caption) for clip in learnt),
        with_text=sum(names_text(clip.caption) for clip in learnt),
        examples=examples,
        not_offered=NOT_OFFERED,
    )


def _sheet(project: Project, clips: Iterable[Clip]) -> Sheet | None:
    from ltx_wizard.dataset.contact_sheet import is_current, sheet_file

    path = sheet_file(project)
    try:
        found = path.stat()
    except OSError:
        return None
    return Sheet(path, is_current(project, clips), found.st_size, found.st_mtime_ns)
