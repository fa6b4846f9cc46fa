"""Which clips are kept out of training, to measure the validation loss on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ltx_wizard.core.clip import Clip
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Project
from ltx_wizard.dataset.dataset import choose_held_out, project_lock, read_clips


def held_out_clips(clips: Sequence[Clip], share: float, seed: int) -> set[str]:
    """Those that the user has marked, else those that choose_held_out gives."""
    marked = {clip.id for clip in clips if clip.held_out and not clip.regularisation}
    return marked or choose_held_out(clips, share, seed)


def set_held_out(project: Project, clip_ids: Iterable[str]) -> None:
    """Mark exactly these clips as kept out of training; none: the choice is automatic again."""
    marked = set(clip_ids)
    with project_lock(project):
        clips = read_clips(project)
        changed = [clip.model_copy(update={"held_out": clip.id in marked}) for clip in clips]
        if changed != clips:
            write_lines(project.clips_file, changed)
