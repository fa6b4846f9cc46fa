"""The workbench of the step Captions as JSON: the list, one clip in detail, and what its buttons do.

The page asks over routes of its own, so that a list of hundreds of clips passes through no component, and an
answer holds only the rows that changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from starlette.requests import Request

from ltx_wizard.app import captioners, datasets, workbench
from ltx_wizard.app.workbench import Row, Workbench
from ltx_wizard.core.caption import MAX_WORDS, MIN_WORDS
from ltx_wizard.core.clip import MediaKind, told_apart
from ltx_wizard.core.errors import BadInput, WizardError
from ltx_wizard.core.lint import Part
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import plural, timecode_text
from ltx_wizard.ui import media
from ltx_wizard.ui.boundary import opened

if TYPE_CHECKING:
    from ltx_wizard.app.workbench import Kept

Json = dict[str, object]
_PARTS = tuple(Part)
_PREVIEWED = 100


def list_json(request: Request) -> Json:
    """Every clip, short: what the list and the filters need."""
    project = opened(request.query_params.get("project", ""))
    shown = workbench.read(project)
    names = told_apart(datasets.sources(project))
    return {
        "project": str(project.folder),
        "least_words": MIN_WORDS,
        "most_words": MAX_WORDS,
        "clips": [
            {**_fixed(project, row, names.get(row.clip.source_id, row.clip.id)), **_row(row)}
            for row in shown.rows
        ],
        "summary": _summary(shown),
    }


def clip_json(request: Request) -> Json:
    """One clip with its findings, its past and its measured motion. measure=1: measure it if needed."""
    query = request.query_params
    project = opened(query.get("project", ""))
    clip_id = query.get("clip", "")
    try:
        motion = workbench.motion_of(project, clip_id, measure=query.get("measure") == "1")
    except WizardError:
        motion = None  # too short, or damaged: the step Check says so
    row = next((row for row in workbench.read(project).rows if row.clip.id == clip_id), None)
    if row is None:
        workbench.find_clip(project, clip_id)
        raise BadInput(problem="This clip is gone.", remedy="Reload the page.")
    past = workbench.past_of(project, clip_id)
    return {
        **_row(row),
        **_detail(row),
        "past": [{"until": until, "text": was.text, "source": was.source} for until, was in past],
        "motion": _motion(motion) if motion else None,
    }


def _motion(kept: Kept) -> Json:
    return {
        "camera": " and ".join(kept.camera),
        "sure": kept.camera_sure,
        "light": ", ".join(kept.light),
        "subject": kept.subject_direction if kept.subject_moves else "",
        "cuts": len(kept.cuts_s),
    }


def save(sent: Json) -> Json:
    """A caption as it is typed. On disk when this returns; the answer says what else changed by it.

    was: what stood there when it was typed. Where another window has written something else since, that stays
    among the earlier captions, and replaced says so.
    """
    project = _project(sent)
    clip_id = str(sent.get("clip", ""))
    before = workbench.read(project)
    was, text = sent.get("was"), str(sent.get("text", ""))
    stood = next((row.clip.caption for row in before.rows if row.clip.id == clip_id), was)
    replaced = was is not None and stood not in (was, text)
    workbench.save(project, clip_id, text, step="typed over a newer caption" if replaced else "")
    after = workbench.read(project)
    row = next(row for row in after.rows if row.clip.id == clip_id)
    return {
        **_changes(before, after),
        **_row(row),
        **_detail(row),
        "saved": row.clip.caption,
        "replaced": replaced,
    }


def act(sent: Json) -> Json:
    """One of the workbench's buttons. Gives the rows that changed and a sentence of what was done."""
    project, do = _project(sent), str(sent.get("do", ""))
    action = _ACTIONS.get(do)
    if action is None:
        raise BadInput(problem="The page asked for something unknown.", remedy="Reload the page.")
    before = workbench.read(project)
    told = action(project, sent)
    return {**_changes(before, workbench.read(project)), "told": told}


def preview(sent: Json) -> Json:
    """What search and replace would do, with the first captions before and after."""
    find = str(sent.get("find", ""))
    found = workbench.preview_replace(
        _project(sent), _clips(sent), find, str(sent.get("replace", "")), sent.get("regex") is True
    )
    return {
        "count": len(found),
        "changes": [{"clip": clip, "before": old, "after": new} for clip, old, new in found[:_PREVIEWED]],
    }


def captioners_json(request: Request) -> Json:
    """The captioners to choose from, the server that is set, and the instruction."""
    project = opened(request.query_params.get("project", ""))
    return _captioners(project)


def captioners_act(sent: Json) -> Json:
    """server: set it; check: ask it; forget: its key; delete: a model's files; instruction: the project's own
    words. wrong: what a server that answers still lacks.
    """
    project, do = _project(sent), str(sent.get("do", ""))
    told, more = "", dict[str, object]()
    if do == "server":
        captioners.set_server(
            str(sent.get("address", "")), str(sent.get("model", "")), str(sent.get("key", ""))
        )
        told = "Saved." if captioners.server().address else "No server is set now."
    elif do == "check":
        more = _checked()
    elif do == "forget":
        captioners.forget_key()
        told = "The key is deleted."
    elif do == "delete":
        told = captioners.delete_model(str(sent.get("captioner", "")))
    elif do == "instruction":
        captioners.set_instruction(project, str(sent.get("text", "")))
        told = "Saved."
    else:
        raise BadInput(problem="The page asked for something unknown.", remedy="Reload the page.")
    return {**_captioners(project), "told": told, **more}


def _checked() -> Json:
    """What the server offers, and whether captions can come from it as it is set."""
    offered = captioners.server_models()
    try:
        return {"models": offered, "told": captioners.check_server(offered)}
    except WizardError as error:
        return {"models": offered, "wrong": f"{error.problem} {error.remedy}"}


def _captioners(project: Project) -> Json:
    server = captioners.server()
    return {
        "choices": [asdict(choice) for choice in captioners.choices(project)],
        "server": asdict(server),
        "instruction": captioners.instruction(project),
    }


def _project(sent: Json) -> Project:
    return opened(str(sent.get("project", "")))


def _clips(sent: Json) -> list[str]:
    """Ids by name, or 'all'."""
    named = sent.get("clips")
    if named == "all":
        return [clip.id for clip in datasets.clips(_project(sent))]
    return [str(item) for item in cast("list[object]", named)] if isinstance(named, list) else []


def _fixed(project: Project, row: Row, name: str) -> Json:
    """What stays as it is while captions change."""
    clip = row.clip
    return {
        "id": clip.id,
        "name": name,
        "at": "image" if clip.kind is MediaKind.IMAGE else timecode_text(clip.start_s),
        "duration": round(clip.duration_s, 2),
        "is_image": clip.kind is MediaKind.IMAGE,
        "size": f"{clip.width} × {clip.height}",
        "url": media.file_url(project, clip.file, f"{clip.frames}"),
        "picture": media.clip_picture(project, clip),
        "regularisation": clip.regularisation,
        "held_out": clip.held_out,
    }


def _row(row: Row) -> Json:
    return {
        "id": row.clip.id,
        "caption": row.clip.caption,
        "state": row.clip.caption_state.value,
        "source": row.clip.caption_source,
        "words": row.words,
        "tags": row.clip.tags,
        "rules": [item.rule for item in row.findings],
        "parts": "".join("1" if part in row.parts else "0" for part in _PARTS),
    }


def _detail(row: Row) -> Json:
    return {
        "findings": [asdict(item) for item in row.findings],
        "lint": [item.message for item in row.findings],
        "trained": row.trained,
    }


def _summary(shown: Workbench) -> Json:
    return {
        "findings": dict(shown.findings),
        "parts": [{"name": part.value, "count": shown.parts[part]} for part in _PARTS],
        "tags": dict(shown.tags),
        "captioned": shown.captioned,
        "undo": shown.undo,
        "redo": shown.redo,
    }


def _changes(before: Workbench, after: Workbench) -> Json:
    known = {row.clip.id: row for row in before.rows}
    return {
        "rows": [_row(row) for row in after.rows if known.get(row.clip.id) != row],
        "summary": _summary(after),
    }


def _accept(project: Project, sent: Json) -> str:
    return f"{plural(workbench.accept(project, _clips(sent)), 'draft')} accepted."


def _fix(project: Project, sent: Json) -> str:
    rule = str(sent.get("rule", ""))
    count = (
        workbench.fix(project, _clips(sent), rule)
        if rule
        else workbench.fix_everything(project, _clips(sent))
    )
    return f"{plural(count, 'caption')} changed."


def _replace(project: Project, sent: Json) -> str:
    find, by = str(sent.get("find", "")), str(sent.get("replace", ""))
    count = workbench.replace_all(project, _clips(sent), find, by, sent.get("regex") is True)
    return f"{plural(count, 'caption')} changed."


def _around(project: Project, sent: Json) -> str:
    count = workbench.add_around(
        project, _clips(sent), str(sent.get("before", "")), str(sent.get("after", ""))
    )
    return f"{plural(count, 'caption')} changed."


def _tag(project: Project, sent: Json) -> str:
    add, remove = str(sent.get("add", "")), str(sent.get("remove", ""))
    count = workbench.tag(project, _clips(sent), add, remove)
    if not count:
        return "Every one of these clips has it already." if add.strip() else "None of these clips has it."
    return f"{plural(count, 'clip')} changed."


def _restore(project: Project, sent: Json) -> str:
    workbench.restore(project, str(sent.get("clip", "")), str(sent.get("text", "")))
    return "The older caption is back."


_ACTIONS: dict[str, Callable[[Project, Json], str]] = {
    "accept": _accept,
    "fix": _fix,
    "replace": _replace,
    "around": _around,
    "tag": _tag,
    "restore": _restore,
    "undo": lambda project, _sent: workbench.undo(project),
    "redo": lambda project, _sent: workbench.redo(project),
}
