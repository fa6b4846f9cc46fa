"""Which clips are kept out of training, to measure the validation loss on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ltx_wizard.core.clip import Clip
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Project
from ltx_wizard.dataset.dataset import choose_held_out, project_lock, read_clips, shuffled


def held_out_clips(clips: Sequence[Clip], share: float, seed: int) -> set[str]:
    """Those that the user has marked, else those that choose_held_out gives."""
    marked = {clip.id for clip in clips if clip.held_out and not clip.regularisation}
    return marked or choose_held_out(clips, share, seed)


def without_doubles(
    clips: Sequence[Clip], kept: Collection[str], doubled: Collection[str], seed: int
) -> set[str]:
    """As many clips as are kept now, none of which looks like another, as far as there are any.

    doubled: ids of the clips that look like others. The same for the same ids and seed.
    """
    sure = {clip_id for clip_id in kept if clip_id not in doubled}
    others = [
        clip.id
        for clip in clips
        if clip.id not in doubled and clip.id not in kept and not clip.regularisation
    ]
    swapped = shuffled(others, seed)[: len(kept) - len(sure)]
    missing = len(kept) - len(sure) - len(swapped)
    doubtful = shuffled([clip_id for clip_id in kept if clip_id in doubled], seed)[:missing]
    return {*sure, *swapped, *doubtful}


def set_held_out(project: Project, clip_ids: Iterable[str]) -> None:
    """Mark exactly these clips as kept out of training; none: the choice is automatic again."""
    marked = set(clip_ids)
    with project_lock(project):
        clips = read_clips(project)
        changed = [clip.model_copy(update={"held_out": clip.id in marked}) for clip in clips]
        if changed != clips:
            write_lines(project.clips_file, changed)
