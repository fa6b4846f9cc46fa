"""Which clips are kept out of training, to measure the validation loss on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ltx_wizard.core.clip import Clip
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Project
from ltx_wizard.dataset.dataset import choose_held_out, project_lock, read_clips, shuffled, whole_groups

_SEED = 42
"""Not the recipe's: the losses of all runs of a dataset are to be comparable."""


def held_out_clips(clips: Sequence[Clip], share: float, groups: Iterable[Collection[str]] = ()) -> set[str]:
    """Those that the user has marked, else those that choose_held_out gives. groups: as related gives."""
    marked = {clip.id for clip in clips if clip.held_out and not clip.regularisation}
    return marked or choose_held_out(clips, share, _SEED, groups)


def divided(
    clips: Iterable[Clip], kept: Collection[str], groups: Iterable[Collection[str]]
) -> dict[str, Clip]:
    """By id of a clip that is kept out of training, one that is trained and tells of it. clips: all used."""
    by_id = {clip.id: clip for clip in clips}
    found: dict[str, Clip] = {}
    for group in groups:
        trained = next((by_id[item] for item in sorted(group) if item in by_id and item not in kept), None)
        if trained is not None:
            found.update(dict.fromkeys((item for item in group if item in kept), trained))
    return found


def undivided(clips: Sequence[Clip], kept: Collection[str], groups: Sequence[Collection[str]]) -> set[str]:
    """As many clips as are kept now, or as near as groups that are kept or trained whole allow.

    What can stay stays; others come in the order of the automatic choice.
    """
    doubtful = divided(clips, kept, groups)
    learnt = {clip.id for clip in clips if not clip.regularisation}
    sure = {clip_id for clip_id in kept if clip_id not in doubtful}
    order = [*sorted(sure), *shuffled(learnt - sure, _SEED)]
    return whole_groups(order, min(len(kept), len(learnt) - 1), clips, groups)


def set_held_out(project: Project, clip_ids: Iterable[str]) -> None:
    """Mark exactly these clips as kept out of training; none: the choice is automatic again."""
    marked = set(clip_ids)
    with project_lock(project):
        clips = read_clips(project)
        changed = [clip.model_copy(update={"held_out": clip.id in marked}) for clip in clips]
        if changed != clips:
            write_lines(project.clips_file, changed)
