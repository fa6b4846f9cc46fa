"""The download of the chosen model as the page shows it, and what its buttons do.

The page asks over routes of its own: a token typed there passes through no component that keeps its value.
"""

from __future__ import annotations

from ltx_wizard.app import downloads
from ltx_wizard.app.downloads import DownloadView
from ltx_wizard.core.errors import BadInput
from ltx_wizard.core.units import bytes_text, duration_text


def download_json(model: str, ask_hub: bool = True) -> dict[str, object]:
    """What the panel shows: a title, a line, a bar while it runs, a button, and what went wrong."""
    view = downloads.view(model, ask_hub)
    hub = downloads.hub_settings()
    return {
        "state": view.state,
        "title": _title(view),
        "text": _text(view),
        "file": view.progress.message if view.progress else "",
        "share": _share(view),
        "button": _button(view),
        "stopping": view.stopping,
        "problem": view.problem,
        "remedy": view.remedy,
        "hub": {"endpoint": hub.endpoint, "offline": hub.offline, "token": hub.has_token},
    }


def ongoing_json() -> list[dict[str, object]]:
    """Downloads at the side of the window, on every step: those that run, and those that failed."""
    return [
        {
            "id": item.id,
            "model": item.model,
            "title": item.view.title,
            "step": item.step.lower(),
            "where": item.step,
            "share": _share(item.view),
            "text": _amount(item.view) or _title(item.view),
            "left": _left(item.view),
            "stopping": item.view.stopping,
            "problem": item.view.problem,
            "remedy": item.view.remedy,
        }
        for item in downloads.ongoing()
    ]


def act(sent: dict[str, object]) -> dict[str, object]:
    """One of the buttons: start, stop, token, hub. Raises WizardError; gives what the panel shows then."""
    model, do = str(sent.get("model", "")), str(sent.get("do", ""))
    if do == "start":
        downloads.start(model)
    elif do == "stop":
        downloads.stop(model)
    elif do == "token":
        downloads.store_token(str(sent.get("token", "")))
    elif do == "hub":
        downloads.change_hub(str(sent.get("endpoint", "")), sent.get("offline") is True)
    else:
        raise BadInput(problem="The page asked for something unknown.", remedy="Reload the page.")
    return download_json(model)


def _title(view: DownloadView) -> str:
    if view.state == "here":
        return f"{view.title} is on this computer."
    if view.state == "running":
        stage = view.progress.stage if view.progress else "Starting"
        return "Stopping ..." if view.stopping else stage
    if view.plan is None:
        return f"{view.title} is not on this computer yet."
    if view.plan.remaining_bytes == 0:
        return "Everything is fetched; it only has to be put in its place."
    return f"Needs {bytes_text(view.plan.remaining_bytes)} download"


def _text(view: DownloadView) -> str:
    if view.state == "running":
        return _progress_text(view)
    if view.state != "missing":
        return ""
    if view.plan is None:
        return f"Missing: {', '.join(view.missing)}."
    plan = view.plan
    there = f"{bytes_text(plan.have_bytes)} of {bytes_text(plan.total_bytes)} there already, "
    return f"{there if plan.have_bytes else ''}{bytes_text(plan.free_bytes)} free at {plan.place}"


def _progress_text(view: DownloadView) -> str:
    return " · ".join(part for part in (_amount(view), _left(view)) if part)


def _amount(view: DownloadView) -> str:
    """How far and how fast."""
    now = view.progress
    if now is None or now.unit != "bytes":
        return ""
    rate = f" · {bytes_text(round(now.per_second))}/s" if now.per_second > 0 else ""
    return f"{bytes_text(now.done)} of {bytes_text(now.total)}{rate}"


def _left(view: DownloadView) -> str:
    counted = view.progress is not None and view.progress.unit == "bytes"
    return f"{duration_text(view.seconds_left)} left" if counted and view.seconds_left else ""


def _share(view: DownloadView) -> float:
    """Of the model that is here, 0 to 1."""
    if view.progress is not None and view.progress.total:
        return view.progress.done / view.progress.total
    if view.plan is not None and view.plan.total_bytes:
        return view.plan.have_bytes / view.plan.total_bytes
    return 0.0


def _button(view: DownloadView) -> str:
    """The words on it; empty: none."""
    if view.state != "missing":
        return ""
    if view.plan is None:
        return "Ask again"
    return "Download"
