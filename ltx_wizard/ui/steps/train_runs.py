"""Runs side by side and sweeps, as JSON for assets/js/runs.js and sweeps.js."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from starlette.requests import Request

from ltx_wizard.app import compare, memory_plan, recipes, sweep_plan, sweeps
from ltx_wizard.app.compare import RunFacts
from ltx_wizard.app.sweeps import SweepView
from ltx_wizard.core.errors import BadInput
from ltx_wizard.core.recipe import RECIPE_GROUPS, SettingInfo, recipe_settings
from ltx_wizard.core.units import duration_text
from ltx_wizard.ui import media
from ltx_wizard.ui.boundary import opened
from ltx_wizard.ui.words import setting_title, value_text

_NOT_VARIED = ("trackers.", "checkpoints.", "health.")
"""Groups whose settings do not change what is learnt."""

_STATES = {"waiting": "starting"}


def runs_json(request: Request) -> dict[str, object]:
    """All runs, newest first, and all sweeps, newest first."""
    project = opened(request.query_params.get("project", ""))
    return {
        "runs": [_run_json(run) for run in compare.run_facts(project)],
        "sweeps": [_sweep_json(shown) for shown in sweeps.views(project)],
    }


def compare_json(request: Request) -> dict[str, object]:
    """What the chosen runs differ in. Lines of the table in their order."""
    project = opened(request.query_params.get("project", ""))
    compared = compare.compare(project, request.query_params.getlist("run"))
    return {
        "runs": [_run_json(run) for run in compared.runs],
        "differences": [
            {"title": _long_title(item.key), "values": [_shown(value) for value in item.values]}
            for item in compared.differences
        ],
        "best": compared.best,
        "caution": compared.caution,
    }


def sweep_form_json(request: Request) -> dict[str, object]:
    """What can be varied, and what is proposed."""
    project = opened(request.query_params.get("project", ""))
    proposed = sweep_plan.default_axes(recipes.current_recipe(project))
    return {
        "settings": [
            {"key": info.key, "title": _long_title(info.key), "hint": _range_text(info)}
            for info in recipe_settings()
            if info.kind not in ("list", "text") and not info.key.startswith(_NOT_VARIED)
        ],
        "axes": [[key, ", ".join(map(value_text, values))] for key, values in proposed.items()],
    }


def plan_sweep(sent: Mapping[str, object]) -> dict[str, object]:
    """How many runs that would be, and how long they would take."""
    planned = sweep_plan.plan(opened(str(sent.get("project", ""))), sweep_plan.parse_axes(_axes(sent)))
    time = (
        f"{memory_plan.about_text(planned.seconds)}, {planned.source}"
        if planned.seconds is not None
        else "how long a step takes with this recipe was not measured yet"
    )
    return {"runs": len(planned.recipes), "time": time}


def act_on_sweep(sent: Mapping[str, object]) -> dict[str, object]:
    """start, stop, go_on or save. Gives what is to be said."""
    project, name = opened(str(sent.get("project", ""))), str(sent.get("name", ""))
    wish = sent.get("do")
    if wish == "start":
        sweeps.start(project, sweep_plan.parse_axes(_axes(sent)))
    elif wish == "stop":
        sweeps.stop(project, name)
    elif wish == "go_on":
        sweeps.go_on(project, name)
    elif wish == "save":
        files = sweeps.save_summary(project, name)
        return {
            "folder": str(files[0].parent),
            "files": [
                {"name": path.name, "url": media.download_url(project, project.relative(path))}
                for path in files
            ],
        }
    else:
        raise BadInput(problem="The page asked for something unknown.", remedy="Reload the page.")
    return {}


def _axes(sent: Mapping[str, object]) -> list[tuple[str, str]]:
    given = sent.get("axes")
    if not isinstance(given, list):
        return []
    pairs = [cast("list[object]", item) for item in cast("list[object]", given) if isinstance(item, list)]
    return [(str(pair[0]), str(pair[1])) for pair in pairs if len(pair) == 2]


def _run_json(run: RunFacts) -> dict[str, object]:
    return {
        "name": run.name,
        "title": run.title,
        "state": _STATES.get(run.state.value, run.state.value),
        "created": run.created,
        "step": run.step,
        "steps": run.steps,
        "best": list(run.best) if run.best else None,
        "last": list(run.last) if run.last else None,
        "time": duration_text(run.training_s) if run.training_s else "",
        "step_s": run.step_s,
        "peak": run.peak_gib,
        "changes": list(run.changes),
    }


def _sweep_json(shown: SweepView) -> dict[str, object]:
    return {
        "name": shown.name,
        "state": shown.sweep.state,
        "note": shown.sweep.note,
        "created": shown.sweep.created,
        "recipe": shown.sweep.recipe.title or shown.sweep.recipe.name,
        "axes": [
            {"title": setting_title(axis.key), "values": [value_text(value) for value in axis.values]}
            for axis in shown.sweep.axes
        ],
        "entries": [
            {
                "values": [value_text(value) for value in entry.values],
                "run": entry.run,
                "state": entry.state,
                "best": list(entry.facts.best) if entry.facts and entry.facts.best else None,
                "step": entry.facts.step if entry.facts else 0,
                "steps": entry.facts.steps if entry.facts else 0,
                "time": duration_text(entry.facts.training_s) if entry.facts else "",
                "peak": entry.facts.peak_gib if entry.facts else 0.0,
            }
            for entry in shown.entries
        ],
        "best": shown.best,
        "caution": shown.caution,
        "done": shown.done,
        "left": memory_plan.about_text(shown.seconds_left) if shown.seconds_left else "",
        "left_source": shown.left_source,
    }


def _long_title(key: str) -> str:
    """'Rank', and with its group where the name alone says too little."""
    if key == "model":
        return "Base model"
    if key == "name":
        return "Preset"
    group, _, name = key.rpartition(".")
    title = setting_title(key)
    return f"{RECIPE_GROUPS[group]}: {title[:1].lower()}{title[1:]}" if name in ("name", "cycles") else title


def _shown(value: object) -> str:
    text = "–" if value is None else value_text(value)
    return {"true": "on", "false": "off", "": "–"}.get(text, text)


def _range_text(info: SettingInfo) -> str:
    if info.kind == "switch":
        return "on, off"
    if info.choices:
        return ", ".join(info.choices)
    if info.maximum is None:
        return f"from {info.minimum:g}" if info.minimum is not None else ""
    return f"{info.minimum or 0:g} to {info.maximum:g}"
