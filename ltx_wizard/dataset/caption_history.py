"""Every change of a caption or of tags, on disk beside clips.jsonl: for undo, and for each clip's past.

The file only grows at its end: one flushed line for each change, written before the change itself. So a crash
in between leaves a line whose undo changes nothing, and a line that broke off is skipped.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import Field, ValidationError

from ltx_wizard.core.clip import CaptionState, Clip
from ltx_wizard.core.documents import Settings, is_file, read_text, write_lines
from ltx_wizard.core.errors import WizardError, explain_os_error
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import plural

_TYPING_S = 20.0
_CAPTIONER_S = 900.0
_LARGEST_BYTES = 8 * 1024 * 1024
_KEPT_LINES = 4000


class Version(Settings):
    """A caption at one moment."""

    text: str = ""
    state: CaptionState = CaptionState.MISSING
    source: str = ""


Tags = tuple[str, ...]


class Change(Settings):
    """One clip's caption before and after. tags: those before and after; None where they stayed."""

    clip: str
    before: Version
    after: Version
    tags: tuple[Tags, Tags] | None = None


class Entry(Settings):
    """One line. step: what was done; empty for typing and captioners. undoes, redoes: a step's id."""

    id: str
    time: float
    step: str = ""
    changes: tuple[Change, ...] = ()
    undoes: str = ""
    redoes: str = Field(default="", description="The id of a step that was undone and is done again.")


@dataclass(frozen=True)
class Step:
    """What one press of Undo takes back: lines that belong together. ids: of those lines."""

    title: str
    changes: tuple[Change, ...]
    ids: tuple[str, ...]
    last: float


@dataclass(frozen=True)
class Steps:
    """done: what can be undone, newest last. undone: what can be done again, next last."""

    done: tuple[Step, ...] = field(default_factory=tuple)
    undone: tuple[Step, ...] = field(default_factory=tuple)


def history_file(project: Project) -> Path:
    return project.folder / "captions_history.jsonl"


def version_of(clip: Clip) -> Version:
    return Version(text=clip.caption, state=clip.caption_state, source=clip.caption_source)


def record(
    project: Project,
    before: Iterable[Clip],
    after: Mapping[str, Clip],
    step: str = "",
    undoes: str = "",
    redoes: str = "",
) -> None:
    """Append what changes. Call with the project's lock held. Raises WizardError where the disk refuses."""
    changes = tuple(
        change for clip in before if clip.id in after and (change := _change(clip, after[clip.id]))
    )
    if not changes:
        return
    entry = Entry(
        id=secrets.token_hex(6), time=time.time(), step=step, changes=changes, undoes=undoes, redoes=redoes
    )
    _append(history_file(project), entry.model_dump_json())


def _change(before: Clip, after: Clip) -> Change | None:
    old, new = version_of(before), version_of(after)
    if old == new and before.tags == after.tags:
        return None
    tags = (before.tags, after.tags) if before.tags != after.tags else None
    return Change(clip=before.id, before=old, after=new, tags=tags)


def mark(project: Project, undoes: str = "", redoes: str = "") -> None:
    """A step counts as undone or done again although none of its captions stand as it left them."""
    entry = Entry(id=secrets.token_hex(6), time=time.time(), undoes=undoes, redoes=redoes)
    _append(history_file(project), entry.model_dump_json())


def read_entries(project: Project) -> list[Entry]:
    """Oldest first. A line that is not whole is left out."""
    path = history_file(project)
    if not is_file(path):
        return []
    found: list[Entry] = []
    for line in read_text(path).split("\n"):
        try:
            found.append(Entry.model_validate_json(line))
        except ValidationError:
            continue
    return found


def read_steps(project: Project) -> Steps:
    """Typing into one caption, or one captioner's run, is one step however many lines it took."""
    done: list[Step] = []
    undone: list[Step] = []
    for entry in read_entries(project):
        if entry.undoes:
            taken_back = next((step for step in reversed(done) if entry.undoes in step.ids), None)
            if taken_back:
                done.remove(taken_back)
                undone.append(taken_back)
        elif entry.redoes:
            again = next((step for step in reversed(undone) if entry.redoes in step.ids), None)
            if again:
                undone.remove(again)
                done.append(again)
        else:
            undone.clear()
            if done and _belongs(done[-1], entry):
                done[-1] = _joined(done[-1], entry)
            else:
                done.append(Step(_title(entry.step, entry.changes), entry.changes, (entry.id,), entry.time))
    return Steps(tuple(done), tuple(undone))


def past_of(project: Project, clip_id: str, longest: int = 20) -> list[tuple[float, Version]]:
    """What a clip's caption was, newest first, each text once, not the present one: (until when, what)."""
    found: dict[str, tuple[float, Version]] = {}
    named: set[str] = set()
    present = ""
    for entry in read_entries(project):
        for change in entry.changes:
            if change.clip == clip_id:
                present = change.after.text
                found.pop(change.before.text, None)
                found[change.before.text] = (entry.time, change.before)
                (named.add if entry.step else named.discard)(change.before.text)
    kept = [item for text, item in found.items() if text.strip() and text != present]
    return _without_typing(kept, named)[::-1][:longest]


def _without_typing(
    versions: Sequence[tuple[float, Version]], named: Collection[str]
) -> list[tuple[float, Version]]:
    """A version that was gone after seconds, as after a pause in a word, is not worth showing, unless a step
    with a name ended it. named: the texts that one did.
    """
    before: list[tuple[float, Version] | None] = [None, *versions[:-1]]
    return [
        item
        for item, last in zip(versions, before, strict=False)
        if last is None
        or item[0] - last[0] > _TYPING_S
        or item[1].source != last[1].source
        or item[1].text in named
    ]


def _belongs(step: Step, entry: Entry) -> bool:
    """Whether a line goes on with the step before it."""
    last, first = step.changes[-1], entry.changes[0]
    if entry.step or step.title != _title("", step.changes) or len(entry.changes) != 1:
        return False
    if _is_typed(last.after) != _is_typed(first.after):
        return False
    if _is_typed(first.after):
        same = len(step.changes) == 1 and last.clip == first.clip and last.after == first.before
        return same and entry.time - step.last < _TYPING_S
    is_one_run = last.after.source == first.after.source and entry.time - step.last < _CAPTIONER_S
    return is_one_run and all(change.clip != first.clip for change in step.changes)


def _joined(step: Step, entry: Entry) -> Step:
    (new,) = entry.changes
    if _is_typed(new.after):
        changes = (step.changes[0].model_copy(update={"after": new.after}),)
    else:
        changes = (*step.changes, new)
    return replace(
        step, title=_title("", changes), changes=changes, ids=(*step.ids, entry.id), last=entry.time
    )


def _title(step: str, changes: Sequence[Change]) -> str:
    if step:
        return step
    if _is_typed(changes[-1].after):
        return "typed a caption"
    return f"{plural(len(changes), 'caption')} by {changes[-1].after.source}"


def _is_typed(version: Version) -> bool:
    """A caption that was emptied has no source."""
    return version.source in ("you", "")


def _append(path: Path, line: str) -> None:
    """Whole or not at all: what a full disk took of it goes again."""
    size = path.stat().st_size if is_file(path) else -1
    try:
        if size > _LARGEST_BYTES:
            _shorten(path)
            size = path.stat().st_size
        broken = size > 0 and not _ends_whole(path)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n" if broken else f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, size) if size >= 0 else path.unlink()
        raise explain_os_error(error, path) from error


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _shorten(path: Path) -> None:
    """Years of editing: the oldest changes go."""
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if line]
    entries: list[Entry] = []
    for line in lines[-_KEPT_LINES:]:
        try:
            entries.append(Entry.model_validate_json(line))
        except ValidationError:
            continue
    try:
        write_lines(path, entries[len(entries) // 2 :] if len(lines) < _KEPT_LINES else entries)
    except WizardError:
        return  # no room: the append says so
