"""The Lab as JSON for assets/js/lab*.js, and what its buttons do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import cast

from starlette.requests import Request

from ltx_wizard.app import jobs, lab, lab_tests, lab_view
from ltx_wizard.app.lab_figures import figures
from ltx_wizard.app.lab_view import LabView, Place
from ltx_wizard.core.errors import BadInput, NotReady
from ltx_wizard.core.lab import MAIN, LabCell, LabFolder, LabGrid
from ltx_wizard.core.measures import readings
from ltx_wizard.core.project import Project, filled_prompt
from ltx_wizard.core.units import duration_text, plural
from ltx_wizard.ui import media
from ltx_wizard.ui.boundary import opened

Json = dict[str, object]


def lab_json(request: Request) -> Json:
    """stamp: of the grids as the page has them; where they are still so, they are left out."""
    project = opened(request.query_params.get("project", ""))
    return page_json(project, request.query_params.get("stamp", ""))


def page_json(project: Project, known: str = "") -> Json:
    """Everything that the page shows; grids and choices only where they differ from those of the stamp."""
    try:
        view = lab_view.view(project)
    except NotReady as nothing:
        return {
            "project": str(project.folder),
            "empty": {"problem": nothing.problem, "remedy": nothing.remedy},
        }
    content = _content(project, view)
    stamp = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
    answer: Json = {"project": str(project.folder), "stamp": stamp, "status": _status(view)}
    return answer if stamp == known else {**answer, **content}


def act(sent: Json) -> Json:
    """One of the Lab's buttons. Gives the page as it is then."""
    project = opened(str(sent.get("project", "")))
    action = _ACTIONS.get(str(sent.get("do", "")))
    if action is None:
        raise BadInput(problem="The page asked for something unknown.", remedy="Reload the page.")
    told = action(project, sent)
    return {**page_json(project), "told": told}


def _status(view: LabView) -> Json:
    return {
        "running": view.running,
        "paused": view.paused,
        "stopping": view.stopping,
        "now": view.now,
        "made": view.made,
        "total": view.total,
        "left": view.left,
        "time": _time_words(view),
        "problem": view.problem,
        "remedy": view.remedy,
        "warnings": list(view.warnings),
    }


def _time_words(view: LabView) -> str:
    """Time for what is missing, by the videos that were made; nothing where nothing was."""
    if not view.left:
        return ""
    if view.seconds_left is None:
        return "the first video tells how long one takes"
    return f"about {duration_text(view.seconds_left)}" + (" left" if view.running else "")


def _content(project: Project, view: LabView) -> Json:
    shown = view.lab
    several = len({item.run for item in view.checkpoints}) > 1
    return {
        "untouched": view.untouched,
        "checkpoints": [
            {
                "id": item.id, "run": item.run, "step": item.step, "recommended": item.recommended,
                "why": item.why, "chosen": item.id in shown.grid.loras,
            }
            for item in view.checkpoints
        ],
        "several": several,
        "files": [
            {"id": lora.id, "title": lora.title, "note": f"rank {lora.rank}, {lora.form} names",
             "chosen": lora.id in shown.grid.loras}
            for lora in shown.loras if not lora.run
        ],
        "strengths": list(shown.grid.strengths),
        "prompts": [_prompt(project, item.text) for item in shown.grid.prompts],
        "seeds": list(shown.grid.seeds),
        "sampling": shown.sampling.model_dump(),
        "loras": {lora.id: {"title": lora.title, "run": lora.run, "step": lora.step} for lora in shown.loras},
        "kept": shown.kept.model_dump() if shown.kept else None,
        "grid": _grid(project, view, MAIN, shown.grid),
        "tests": [_test(project, view, test) for test in lab_tests.TESTS],
        "sheets": _sheets(project),
    }  # fmt: skip


def _prompt(project: Project, text: str) -> Json:
    return {"text": text, "filled": filled_prompt(text, project.read_settings().trigger_word)}


def _grid(project: Project, view: LabView, name: str, grid: LabGrid) -> Json:
    """pairs: for each prompt and seed its places, by 'lora id|strength'; the base model's is '|0'."""
    recommended = {item.id: item.why for item in view.checkpoints if item.recommended}
    pairs: list[Json] = []
    for place in (item for item in view.places if item.wanted.grid == name):
        item = place.wanted
        if item.pair == len(pairs):
            clip = item.prompt.first_frame
            pairs.append({"prompt": item.request.prompt, "seed": item.seed, "clip": clip, "cells": {}})
        key = f"{item.lora.id if item.lora else ''}|{item.strength:g}"
        cast("Json", pairs[item.pair]["cells"])[key] = _cell(project, place)
    return {
        "name": name,
        "rows": [
            {"id": lora.id, "title": lora.title, "why": recommended.get(lora.id, ""),
             "recommended": lora.id in recommended}
            for lora_id in grid.loras if (lora := view.lab.lora(lora_id)) is not None
        ],
        "strengths": [strength for strength in grid.strengths if strength],
        "pairs": pairs,
    }  # fmt: skip


def _cell(project: Project, place: Place) -> Json:
    if place.cell is None:
        return {"state": place.state}
    folder, key = LabFolder(project), place.wanted.key
    version = f"{place.cell.created:.0f}"
    return {
        "state": "made",
        "key": key,
        "video": media.file_url(project, project.relative(folder.video(key)), version),
        "strip": media.file_url(project, project.relative(folder.strip(key)), version),
        "layout": place.cell.strip.model_dump(),
        "frames": place.cell.request.frames,
        "fps": place.cell.request.fps,
        "measures": [asdict(figure) for figure in figures(place.cell.measures)],
        "readings": readings(place.cell.measures),
        "seconds": duration_text(place.cell.seconds),
        "made_on": _made_on(place.cell),
    }


def _made_on(cell: LabCell) -> str:
    request = cell.request
    return (
        f"{request.width} x {request.height}, {plural(request.frames, 'frame')}, "
        f"{plural(request.steps, 'step')}, guidance {request.guidance:g}, {cell.device}"
    )


def _test(project: Project, view: LabView, test: lab_tests.Test) -> Json:
    about: Json = {"name": test.name, "title": test.title, "what": test.what, "guide": test.guide}
    grid = view.lab.tests.get(test.name)
    if grid is None:
        return {**about, "asked": False}
    reading = lab_tests.reading(view, test.name)
    return {
        **about,
        "asked": True,
        "grid": _grid(project, view, test.name, grid),
        "reading": {
            "verdict": reading.verdict,
            "title": reading.title,
            "text": reading.text,
            "look": reading.look,
            "to_do": list(reading.to_do),
        },
    }


def _sheets(project: Project) -> list[Json]:
    folder = LabFolder(project).sheets_folder
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    newest: list[Json] = [
        {"name": path.name, "url": media.download_url(project, project.relative(path))}
        for path in reversed(files)
        if path.suffix in (".png", ".mp4")
    ]
    return newest[:2]


def _choose(project: Project, sent: Json) -> str:
    changes: dict[str, object] = {
        name: sent[name] for name in ("loras", "strengths", "seeds", "sampling") if name in sent
    }
    if "prompts" in sent:
        texts = [str(text).strip() for text in cast("list[object]", sent["prompts"])]
        changes["prompts"] = [{"text": text} for text in dict.fromkeys(texts) if text]
    lab.choose(project, **changes)
    return ""


def _start(project: Project, _sent: Json) -> str:
    lab.start(project)
    return ""


def _pause(project: Project, _sent: Json) -> str:
    job = jobs.last_job(project, "lab")
    if job is not None and jobs.is_active(job):
        jobs.pause(job, not job.pause_file.exists())
    return ""


def _stop(project: Project, _sent: Json) -> str:
    job = jobs.last_job(project, "lab")
    if job is not None and jobs.is_active(job):
        jobs.stop(job)
    return ""


def _test_asked(project: Project, sent: Json) -> str:
    """Its videos come next; the job that makes them is started unless one of the Lab's runs already."""
    lab_tests.ask(project, str(sent.get("test", "")))
    view = lab_view.view(project)
    if not view.running and view.left:
        lab.start(project)
    return ""


def _test_dropped(project: Project, sent: Json) -> str:
    lab.drop_test(project, str(sent.get("test", "")))
    return ""


def _bring_in(project: Project, sent: Json) -> str:
    path = str(sent.get("path", "")).strip().strip('"')
    if not path:
        raise BadInput(problem="No file was given.", remedy="Write the path of a .safetensors file.")
    lora = lab.bring_in(project, Path(path).expanduser())
    return f"{lora.title} is in the grid: rank {lora.rank}, {lora.form} names."


def _keep(project: Project, sent: Json) -> str:
    lab.keep(project, str(sent.get("lora", "")), float(str(sent.get("strength", "0"))))
    return ""


def _sheet(project: Project, sent: Json) -> str:
    from ltx_wizard.app import lab_sheet  # noqa: PLC0415 - loads the video library

    return f"{lab_sheet.write(project, str(sent.get('kind', 'png'))).name} is written."


_ACTIONS: dict[str, Callable[[Project, Json], str]] = {
    "choose": _choose,
    "start": _start,
    "pause": _pause,
    "stop": _stop,
    "test": _test_asked,
    "drop_test": _test_dropped,
    "bring_in": _bring_in,
    "keep": _keep,
    "sheet": _sheet,
}
