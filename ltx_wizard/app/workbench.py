"""The captions of a project as the workbench shows and changes them: findings, coverage, bulk, undo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ltx_wizard.core.caption import word_count
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind, tagged, tags_in
from ltx_wizard.core.errors import BadInput, NotFound
from ltx_wizard.core.lint import Context, Lint, Measured, Part, apply_fix, coverage, lint_all
from ltx_wizard.core.project import Project, ProjectSettings, trained_caption
from ltx_wizard.core.units import plural

if TYPE_CHECKING:
    from ltx_wizard.captioning.measured import Kept as Kept
    from ltx_wizard.dataset.caption_history import Step, Version

# The modules of `dataset` and `captioning` load the video library: they are imported where they are used.
# ruff: noqa: PLC0415


@dataclass(frozen=True)
class Row:
    """One clip of the workbench. trained: the caption as training sees it."""

    clip: Clip
    words: int
    findings: tuple[Lint, ...]
    parts: frozenset[Part]
    trained: str


@dataclass(frozen=True)
class Workbench:
    """All rows, with what holds for the dataset. tags: how many clips have each. undo, redo: what these
    would do, or empty.
    """

    rows: tuple[Row, ...]
    tags: Mapping[str, int]
    findings: Mapping[str, int]
    parts: Mapping[Part, int]
    captioned: int
    undo: str
    redo: str


def read(project: Project) -> Workbench:
    """Everything that the workbench shows of the captions."""
    from ltx_wizard.dataset.caption_history import read_steps
    from ltx_wizard.dataset.dataset import read_clips

    clips = read_clips(project)
    settings = project.read_settings()
    contexts = {clip.id: _context(project, settings, clip) for clip in clips}
    found = lint_all({clip.id: clip.caption for clip in clips}, contexts)
    rows = tuple(
        Row(
            clip=clip,
            words=word_count(clip.caption),
            findings=tuple(found[clip.id]),
            parts=coverage(clip.caption),
            trained=trained_caption(
                clip.caption, contexts[clip.id].trigger, settings.trigger_placement, settings.trigger_pattern
            ),
        )
        for clip in clips
    )
    filled = [row for row in rows if row.words]
    counted = Counter(part for row in filled for part in row.parts)
    steps = read_steps(project)
    return Workbench(
        rows=rows,
        tags=Counter(tag for clip in clips for tag in clip.tags),
        findings=Counter(rule for row in rows for rule in {item.rule for item in row.findings}),
        parts={part: counted[part] for part in Part},
        captioned=len(filled),
        undo=steps.done[-1].title if steps.done else "",
        redo=steps.undone[-1].title if steps.undone else "",
    )


def save(project: Project, clip_id: str, text: str, step: str = "") -> Clip:
    """A caption as it is typed: on disk when this returns. step: a step of its own for Undo, called so."""
    from ltx_wizard.dataset.dataset import set_caption

    return set_caption(project, clip_id, text, step=step)


def accept(project: Project, clip_ids: Iterable[str]) -> int:
    """Drafts that somebody has read count as written; gives how many."""
    chosen = [
        clip
        for clip in _chosen(project, clip_ids)
        if clip.caption.strip() and clip.caption_state is not CaptionState.WRITTEN
    ]
    changes: dict[str, dict[str, object]] = {
        clip.id: {"caption_state": CaptionState.WRITTEN} for clip in chosen
    }
    _write(project, changes, f"accepted {plural(len(chosen), 'caption')}")
    return len(chosen)


def fix(project: Project, clip_ids: Iterable[str], rule: str) -> int:
    """Press one finding's button on each of these clips; gives how many captions changed."""
    settings = project.read_settings()

    def changed(clip: Clip) -> str:
        return apply_fix(clip.caption, rule, _context(project, settings, clip))

    found = lint_all(
        {clip.id: clip.caption for clip in _chosen(project, clip_ids)},
        {clip.id: _context(project, settings, clip) for clip in _chosen(project, clip_ids)},
    )
    fixable = [key for key, items in found.items() if any(item.rule == rule and item.fix for item in items)]
    return _rewrite(project, fixable, changed, "fixed {count}: " + rule.replace("_", " "))


def fix_everything(project: Project, clip_ids: Iterable[str]) -> int:
    """Press every button there is on each of these clips, as one step."""
    settings = project.read_settings()

    def changed(clip: Clip) -> str:
        context, text = _context(project, settings, clip), clip.caption
        for item in lint_all({clip.id: text}, {clip.id: context})[clip.id]:
            text = apply_fix(text, item.rule, context) if item.fix else text
        return text

    return _rewrite(project, clip_ids, changed, "fixed {count}")


def preview_replace(
    project: Project, clip_ids: Iterable[str], find: str, replace: str, regex: bool
) -> list[tuple[str, str, str]]:
    """(clip id, before, after) of the captions that would change. Raises BadSetting for a bad pattern."""
    from ltx_wizard.dataset.dataset import replace_in_captions

    return replace_in_captions(project, find, replace, regex=regex, preview=True, clip_ids=clip_ids)


def replace_all(project: Project, clip_ids: Iterable[str], find: str, replace: str, regex: bool) -> int:
    from ltx_wizard.dataset.dataset import replace_in_captions

    return len(replace_in_captions(project, find, replace, regex=regex, clip_ids=clip_ids))


def add_around(project: Project, clip_ids: Iterable[str], before: str, after: str) -> int:
    """Put text in front of and behind captions that are not empty and do not have it there already."""
    front, back = before.strip(), after.strip()
    if not front and not back:
        raise BadInput(problem="There is nothing to add.", remedy="Type what goes in front or behind.")

    def changed(clip: Clip) -> str:
        text = clip.caption.strip()
        if not text:
            return clip.caption
        if front and not text.lower().startswith(front.lower()):
            text = f"{front} {text}"
        if back and not text.lower().endswith(back.lower()):
            text = f"{text} {back}"
        return text

    return _rewrite(project, clip_ids, changed, "added text to {count}")


def tag(project: Project, clip_ids: Iterable[str], add: str = "", remove: str = "") -> int:
    """Give these clips tags, or take some away, as one step; gives how many changed.

    add, remove: words with commas or spaces between them. Raises BadInput for what cannot be a tag.
    """
    new, gone = tags_in(add) if add.strip() else (), tags_in(remove) if remove.strip() else ()
    if not new and not gone:
        tags_in("")
    changes: dict[str, dict[str, object]] = {}
    for clip in _chosen(project, clip_ids):
        tags = tagged(clip.tags, new, gone)
        if tags != clip.tags:
            changes[clip.id] = {"tags": tags}
    what = f"tagged {plural(len(changes), 'clip')} {' '.join(new)}" if new else ""
    what = what or f"took {' '.join(gone)} off {plural(len(changes), 'clip')}"
    _write(project, changes, what)
    return len(changes)


def undo(project: Project) -> str:
    """Take back the newest step; says what was done. Captions that were changed since by others stay."""
    from ltx_wizard.dataset.caption_history import read_steps

    done = read_steps(project).done
    if not done:
        raise BadInput(problem="There is nothing to undo.", remedy="Nothing was changed here yet.")
    _go(project, done[-1], back=True)
    return f"Undone: {done[-1].title}."


def redo(project: Project) -> str:
    from ltx_wizard.dataset.caption_history import read_steps

    undone = read_steps(project).undone
    if not undone:
        raise BadInput(problem="There is nothing to do again.", remedy="Nothing was undone since.")
    _go(project, undone[-1], back=False)
    return f"Done again: {undone[-1].title}."


def restore(project: Project, clip_id: str, text: str) -> int:
    """Bring an older text of a clip back."""
    return _rewrite(project, [clip_id], lambda _clip: text, "brought back an older caption")


def past_of(project: Project, clip_id: str) -> list[tuple[float, Version]]:
    """Older captions of a clip, newest first, with the time until which each stood."""
    from ltx_wizard.dataset.caption_history import past_of

    return past_of(project, clip_id)


def motion_of(project: Project, clip_id: str, measure: bool = False) -> Kept | None:
    """The measured motion of a clip; measure: take the time (about 0.2 s for each second) if it is not known.

    None for an image, or where it is not known. Raises NotFound, BadMediaFile.
    """
    from ltx_wizard.captioning.measured import known_motion, measure_clip

    clip = find_clip(project, clip_id)
    if clip.kind is MediaKind.IMAGE:
        return None
    return known_motion(project, clip) or (measure_clip(project, clip) if measure else None)


def find_clip(project: Project, clip_id: str) -> Clip:
    """Raises NotFound."""
    for clip in _chosen(project, [clip_id]):
        return clip
    raise NotFound(
        problem=f"There is no clip called {clip_id} in this project.",
        remedy="It may have been removed; reload the page.",
    )


def _context(project: Project, settings: ProjectSettings, clip: Clip) -> Context:
    return Context(
        trigger="" if clip.regularisation else settings.trigger_word,
        placement=settings.trigger_placement,
        pattern=settings.trigger_pattern,
        measured=_measured(project, clip),
        is_image=clip.kind is MediaKind.IMAGE,
    )


_known: dict[tuple[str, str], tuple[int, Measured | None]] = {}


def _measured(project: Project, clip: Clip) -> Measured | None:
    """Read again only when the kept measurement has changed: a list has hundreds of clips."""
    from ltx_wizard.captioning.measured import as_measured, known_motion, motion_file

    if clip.kind is MediaKind.IMAGE:
        return None
    try:
        stamp = motion_file(project, clip).stat().st_mtime_ns
    except OSError:
        return None
    key = (str(project.folder), clip.file)
    if key not in _known or _known[key][0] != stamp:
        _known[key] = (stamp, as_measured(known_motion(project, clip)))
    return _known[key][1]


def _chosen(project: Project, clip_ids: Iterable[str]) -> list[Clip]:
    from ltx_wizard.dataset.dataset import read_clips

    wanted = set(clip_ids)
    return [clip for clip in read_clips(project) if clip.id in wanted]


def _rewrite(project: Project, clip_ids: Iterable[str], change: Callable[[Clip], str], step: str) -> int:
    """Change texts as one step. A draft stays a draft: only reading or typing makes it more."""
    from ltx_wizard.dataset.dataset import caption_changes

    changes: dict[str, dict[str, object]] = {}
    for clip in _chosen(project, clip_ids):
        text = change(clip)
        if text != clip.caption:
            state = clip.caption_state if clip.caption.strip() else CaptionState.WRITTEN
            changes[clip.id] = caption_changes(text, state, clip.caption_source or "you")
    _write(project, changes, step.replace("{count}", plural(len(changes), "caption")))
    return len(changes)


def _write(project: Project, changes: dict[str, dict[str, object]], step: str) -> None:
    from ltx_wizard.dataset.dataset import update_clips

    if changes:
        update_clips(project, changes, step=step)


def _go(project: Project, step: Step, back: bool) -> None:
    from ltx_wizard.dataset.caption_history import version_of
    from ltx_wizard.dataset.dataset import update_clips

    here = {clip.id: clip for clip in _chosen(project, _clips_of(step))}
    changes: dict[str, dict[str, object]] = {}
    for change in step.changes:
        old, new = (change.after, change.before) if back else (change.before, change.after)
        clip = here.get(change.clip)
        if clip is not None and old != new and version_of(clip) == old:
            changes[clip.id] = {
                "caption": new.text, "caption_state": new.state, "caption_source": new.source
            }  # fmt: skip
        if clip is not None and change.tags and clip.tags == change.tags[1 if back else 0]:
            changes.setdefault(clip.id, {})["tags"] = change.tags[0 if back else 1]
    if not changes:
        _forget(project, step, back)
    elif back:
        update_clips(project, changes, undoes=step.ids[-1])
    else:
        update_clips(project, changes, redoes=step.ids[-1])


def _forget(project: Project, step: Step, back: bool) -> None:
    """Nothing of the step stands any more: count it as undone or redone, so that the next one can be."""
    from ltx_wizard.dataset.caption_history import mark

    mark(project, undoes=step.ids[-1] if back else "", redoes="" if back else step.ids[-1])


def _clips_of(step: Step) -> Sequence[str]:
    return [change.clip for change in step.changes]
