"""The dataset of a project on disk: sources, scenes and clips with their captions.

Every list is read from disk at every call, and every change happens under the project's lock and is written
whole, so that the window, the command line and a worker can use one project at the same moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from ltx_wizard.core.caption import storable
from ltx_wizard.core.clip import CaptionState, Clip, Rejected, Source, SourceScenes
from ltx_wizard.core.documents import read_lines, write_lines
from ltx_wizard.core.errors import BadSetting, Busy, NotFound, explain_os_error
from ltx_wizard.core.project import Project
from ltx_wizard.core.substitute import PatternError, PatternTooSlow, substitute
from ltx_wizard.dataset import caption_history

LOCK_TIMEOUT_S = 30.0

Replacement = tuple[str, str, str]
"""Clip id, caption before, caption after."""


def read_sources(project: Project) -> list[Source]:
    """What was imported, in the order in which it was."""
    return read_lines(project.sources_file, Source)


def read_rejected(project: Project) -> list[Rejected]:
    """Files that were offered and could not be used, with the reason."""
    return read_lines(project.rejected_file, Rejected)


def read_scenes(project: Project) -> dict[str, SourceScenes]:
    """The cut list of each source that has one, by source id."""
    return {scenes.source_id: scenes for scenes in read_lines(project.scenes_file, SourceScenes)}


def read_clips(project: Project) -> list[Clip]:
    """All training examples, in the order of their sources and times."""
    return read_lines(project.clips_file, Clip)


def read_removed_clips(project: Project) -> list[Clip]:
    """Clips that are no longer cut, kept for their captions. Newest last."""
    return read_lines(removed_clips_file(project), Clip)


def removed_clips_file(project: Project) -> Path:
    return project.folder / "clips_removed.jsonl"


@contextmanager
def project_lock(project: Project) -> Iterator[None]:
    """Hold the project while it is changed. Not reentrant. Raises Busy, NoSpace or NoPermission."""
    lock = FileLock(project.lock_file, timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise Busy(
            problem="Another window or job is writing to this project and does not finish.",
            remedy="Close the other window or stop the job, then try again.",
        ) from error
    except OSError as error:
        raise explain_os_error(error, project.folder) from error
    try:
        yield
    finally:
        lock.release()


def add_source(project: Project, source: Source, clip: Clip | None = None) -> None:
    """Append a source, with its clip where the source is an image."""
    with project_lock(project):
        write_lines(project.sources_file, [*read_sources(project), source])
        if clip is not None:
            write_lines(project.clips_file, _in_order([*read_clips(project), clip], read_sources(project)))


def add_rejected(project: Project, rejected: Sequence[Rejected]) -> None:
    """Remember files that cannot be used; the newest reason for a name replaces older ones."""
    if not rejected:
        return
    names = {item.name for item in rejected}
    with project_lock(project):
        kept = [item for item in read_rejected(project) if item.name not in names]
        write_lines(project.rejected_file, [*kept, *rejected])


def write_scenes(project: Project, scenes: SourceScenes) -> None:
    """Replace the cut list of one source."""
    with project_lock(project):
        merged = {**read_scenes(project), scenes.source_id: scenes}
        write_lines(project.scenes_file, merged.values())


def add_clips(project: Project, clips: Sequence[Clip]) -> None:
    """Add clips; one with a known id replaces the old record."""
    with project_lock(project):
        new = {clip.id: clip for clip in clips}
        kept = [clip for clip in read_clips(project) if clip.id not in new]
        write_lines(project.clips_file, _in_order([*kept, *new.values()], read_sources(project)))


def update_clip(project: Project, clip_id: str, **changes: object) -> Clip:
    """Change fields of one clip. Raises NotFound or BadSetting."""
    return update_clips(project, {clip_id: changes})[clip_id]


def update_clips(
    project: Project,
    changes: dict[str, dict[str, object]],
    step: str = "",
    undoes: str = "",
    redoes: str = "",
) -> dict[str, Clip]:
    """Change fields of several clips in one write; gives them by id. Raises NotFound or BadSetting.

    Captions that change are remembered in the project's history. step: how Undo names this; undoes, redoes:
    the step of that history that this takes back or does again.
    """
    with project_lock(project):
        clips = read_clips(project)
        changed = {clip.id: _changed(clip, changes[clip.id]) for clip in clips if clip.id in changes}
        missing = sorted(set(changes) - set(changed))
        if missing:
            raise NotFound(
                problem=f"There is no clip called {missing[0]} in this project.",
                remedy="It may have been removed; reload the page.",
            )
        if any(changed.get(clip.id, clip) != clip for clip in clips):
            caption_history.record(project, clips, changed, step, undoes, redoes)
            write_lines(project.clips_file, [changed.get(clip.id, clip) for clip in clips])
    return changed


def remove_clips(project: Project, clip_ids: Iterable[str]) -> None:
    """Take clips out of the dataset. Their captions are kept, in case the same clip is cut again."""
    gone = set(clip_ids)
    with project_lock(project):
        clips = read_clips(project)
        removed = [clip for clip in clips if clip.id in gone]
        if not removed:
            return
        remember_captions(project, removed)
        write_lines(project.clips_file, [clip for clip in clips if clip.id not in gone])
        _delete_clip_files(project, removed)


def set_caption(project: Project, clip_id: str, text: str, source: str = "you", step: str = "") -> Clip:
    """Save a caption as typed: empty is missing, anything else counts as written. step: how Undo names it."""
    changes = caption_changes(text, CaptionState.WRITTEN, source)
    return update_clips(project, {clip_id: changes}, step=step)[clip_id]


def caption_changes(text: str, state: CaptionState, source: str) -> dict[str, object]:
    """The fields of a clip that a new caption changes."""
    if not text.strip():
        return {"caption": "", "caption_state": CaptionState.MISSING, "caption_source": ""}
    return {"caption": storable(text), "caption_state": state, "caption_source": source}


def replace_in_captions(
    project: Project,
    find: str,
    replace: str,
    regex: bool = False,
    preview: bool = False,
    clip_ids: Iterable[str] | None = None,
) -> list[Replacement]:
    """Search and replace in captions: all, or those of clip_ids. preview: only say what would change. A clip
    without a caption has nothing to replace, not even for a pattern that matches the empty text.

    Raises BadSetting for a bad pattern, or one that takes too long.
    """
    if not find:
        raise BadSetting(problem="There is nothing to search for.", remedy="Type the words to replace.")
    wanted = None if clip_ids is None else set(clip_ids)
    chosen = [clip for clip in read_clips(project) if clip.caption and (wanted is None or clip.id in wanted)]
    replaced = _replaced(find, replace, regex, [clip.caption for clip in chosen])
    found = [
        (clip.id, clip.caption, after)
        for clip, after in zip(chosen, replaced, strict=True)
        if after != clip.caption
    ]
    if found and not preview:
        states = {clip.id: clip for clip in chosen}
        update_clips(
            project,
            {
                clip_id: caption_changes(after, states[clip_id].caption_state, states[clip_id].caption_source)
                for clip_id, _, after in found
            },
            step=f"replaced '{find}' by '{replace}'",
        )
    return found


def set_regularisation(project: Project, source_id: str, regularisation: bool) -> None:
    """Mark a source and its clips as ordinary material without the trigger word, or take the mark away."""
    with project_lock(project):
        _find_source(project, source_id)
        write_lines(
            project.sources_file,
            [
                source.model_copy(update={"regularisation": regularisation})
                if source.id == source_id
                else source
                for source in read_sources(project)
            ],
        )
        write_lines(
            project.clips_file,
            [
                clip.model_copy(update={"regularisation": regularisation})
                if clip.source_id == source_id
                else clip
                for clip in read_clips(project)
            ],
        )


def remove_source(project: Project, source_id: str) -> None:
    """Take a source, its scenes and its clips out of the project. The user's own file is not touched."""
    with project_lock(project):
        source = _find_source(project, source_id)
        clips = read_clips(project)
        removed = [clip for clip in clips if clip.source_id == source_id]
        remember_captions(project, removed)
        write_lines(project.clips_file, [clip for clip in clips if clip.source_id != source_id])
        scenes = read_scenes(project)
        if scenes.pop(source_id, None) is not None:
            write_lines(project.scenes_file, scenes.values())
        write_lines(project.sources_file, [item for item in read_sources(project) if item.id != source_id])
        _delete_clip_files(project, removed)
        path = project.path(source.file)
        for companion in (path, path.with_name(f"{source_id}.txt"), captions_file(project, source_id)):
            _delete(companion)


def captions_file(project: Project, source_id: str) -> Path:
    """Captions by time that came with a video, as a list of start_s, end_s, caption."""
    return project.sources_folder / f"{source_id}.captions.json"


def fingerprint(project: Project) -> str:
    """A short hash of what training sees: captions, roles, buckets and files of all clips.

    It stays the same when the project folder is copied or moved: file times and absolute paths do not enter.
    """
    digest = hashlib.sha256()
    for clip in sorted(read_clips(project), key=lambda clip: clip.id):
        seen = (
            clip.id,
            " ".join(clip.caption.split()),
            clip.regularisation,
            clip.held_out,
            clip.bucket,
            clip.frames,
            _size_bytes(project, clip.training_file),
        )
        digest.update(repr(seen).encode("utf-8"))
    return digest.hexdigest()[:16]


def choose_held_out(
    clips: Sequence[Clip], share: float, seed: int, groups: Iterable[Collection[str]] = ()
) -> set[str]:
    """Clips to keep out of training for the validation loss; the same for the same ids, share, seed, groups.

    Only from clips that show what is to be learnt, not from regularisation; at least one of three or more.
    groups: ids of clips that tell of one another. They are kept out whole, or where there are too many of
    them, not at all; only where no choice leaves all of them whole does it pay no heed to them.
    """
    ids = [clip.id for clip in clips if not clip.regularisation]
    if share <= 0 or len(ids) < 3:
        return set()
    count = min(max(1, round(share * len(ids))), len(ids) - 1)
    order = shuffled(ids, seed)
    return whole_groups(order, count, clips, groups) or set(order[:count])


def whole_groups(
    order: Sequence[str], count: int, clips: Iterable[Clip], groups: Iterable[Collection[str]]
) -> set[str]:
    """At most `count` clips, the first in `order` first, and of each group all or none. Where every group is
    larger, one of at most twice that, but not more than a third of `order`.

    clips: all that are used; others of a group do not count. A group with one that is not in `order`, such
    as a regularisation clip, is always trained.
    """
    used = {clip.id for clip in clips}
    group_of = {clip_id: used.intersection(group) for group in groups for clip_id in group}
    allowed, chosen = set(order), set[str]()
    for most in (count, min(2 * count, len(order) // 3)):
        for clip_id in order:
            group = group_of.get(clip_id, {clip_id})
            if group <= allowed and len(chosen | group) <= most:
                chosen |= group
        if chosen:
            break
    return chosen


def shuffled(clip_ids: Iterable[str], seed: int) -> list[str]:
    """In an order that is the same for the same ids and seed, whatever order they came in."""
    return sorted(clip_ids, key=lambda clip_id: hashlib.sha256(f"{seed} {clip_id}".encode()).digest())


def _changed(clip: Clip, changes: dict[str, object]) -> Clip:
    try:
        return Clip.model_validate({**clip.model_dump(), **changes})
    except ValidationError as error:
        fields = ", ".join(".".join(str(part) for part in item["loc"]) for item in error.errors())
        raise BadSetting(
            problem=f"The clip {clip.id} cannot be changed like that: {fields} does not fit.",
            remedy="Correct the value.",
        ) from error


def _replaced(find: str, replace: str, regex: bool, texts: list[str]) -> list[str]:
    if not regex:
        return [text.replace(find, replace) for text in texts]
    try:
        return substitute(find, replace, texts)
    except PatternError as error:
        raise BadSetting(
            problem=f"'{find}' is not a valid search pattern: {error}.",
            remedy="Correct the pattern, or switch regular expressions off.",
        ) from error
    except PatternTooSlow as error:
        raise BadSetting(
            problem=f"The pattern '{find}' takes too long: {error}. Nothing was changed.",
            remedy="Write it without a repeat inside a repeat, such as (a+)+ or (.*)*.",
        ) from error


def _find_source(project: Project, source_id: str) -> Source:
    for source in read_sources(project):
        if source.id == source_id:
            return source
    raise NotFound(
        problem=f"There is no video called {source_id} in this project.",
        remedy="It may have been removed; reload the page.",
    )


def _in_order(clips: Sequence[Clip], sources: Sequence[Source]) -> list[Clip]:
    position = {source.id: index for index, source in enumerate(sources)}
    return sorted(clips, key=lambda clip: (position.get(clip.source_id, len(position)), clip.start_frame))


def remember_captions(project: Project, removed: Sequence[Clip]) -> None:
    """Keep what somebody wrote: the captions of clips that go. For callers that hold the project's lock."""
    captioned = {clip.id: clip for clip in removed if clip.caption or clip.tags}
    if captioned:
        older = [clip for clip in read_removed_clips(project) if clip.id not in captioned]
        write_lines(removed_clips_file(project), [*older, *captioned.values()])


def _delete_clip_files(project: Project, clips: Sequence[Clip]) -> None:
    """Delete what was cut. A source image that is a clip itself stays until its source is removed."""
    for clip in clips:
        for file in (clip.file, clip.conformed_file):
            if file.startswith(f"{project.clips_folder.name}/"):
                _delete(project.path(file))


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _size_bytes(project: Project, file: str) -> int:
    try:
        return project.path(file).stat().st_size
    except OSError:
        return -1
