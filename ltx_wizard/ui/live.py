"""What the page asks for while it is open: the running job, a training as it goes, captions being typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ltx_wizard.app import jobs, monitor, system
from ltx_wizard.core.errors import BadInput, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobFolder, JobStatus
from ltx_wizard.core.units import duration_text, rate_text
from ltx_wizard.ui import lab_live, workbench_live
from ltx_wizard.ui.boundary import opened
from ltx_wizard.ui.download_panel import act, download_json, ongoing_json
from ltx_wizard.ui.steps import train_runs
from ltx_wizard.ui.steps.check_data import clips_json
from ltx_wizard.ui.steps.train_data import Had, run_curves_json, run_json, save_plots

_LARGEST_BODY = 256 * 1024
"""A thousand clips, each with its name, have 80 KiB."""


def live_routes() -> list[Route]:
    return [
        Route("/wizard/live/status", _answer(_status)),
        Route("/wizard/live/run", _answer(_run)),
        Route("/wizard/live/run/curves", _answer(_run_curves)),
        Route("/wizard/live/run/plot", _posted(save_plots), methods=["POST"]),
        Route("/wizard/live/runs", _answer(train_runs.runs_json)),
        Route("/wizard/live/runs/compare", _answer(train_runs.compare_json)),
        Route("/wizard/live/sweep", _answer(train_runs.sweep_form_json)),
        Route("/wizard/live/sweep/plan", _posted(train_runs.plan_sweep), methods=["POST"]),
        Route("/wizard/live/sweep/do", _posted(train_runs.act_on_sweep), methods=["POST"]),
        Route("/wizard/live/caption", _posted(_store_caption), methods=["POST"]),
        Route("/wizard/live/captions", _answer(_captions)),
        Route("/wizard/live/check/clips", _answer(clips_json)),
        Route("/wizard/live/captions/clip", _answer(workbench_live.clip_json)),
        Route("/wizard/live/captions/do", _posted(_change_captions), methods=["POST"]),
        Route("/wizard/live/captions/preview", _posted(workbench_live.preview), methods=["POST"]),
        Route("/wizard/live/captioners", _answer(workbench_live.captioners_json)),
        Route("/wizard/live/captioners/do", _posted(workbench_live.captioners_act), methods=["POST"]),
        Route("/wizard/live/lab", _answer(lab_live.lab_json)),
        Route("/wizard/live/lab/do", _posted(_change_lab), methods=["POST"]),
        Route("/wizard/live/download", _answer(_download)),
        Route("/wizard/live/download/do", _posted(act), methods=["POST"]),
    ]


def revision(project: Project) -> str:
    """Changes when another page, the command line or a job has changed what a step shows."""
    files = (
        project.settings_file,
        project.sources_file,
        project.rejected_file,
        project.scenes_file,
        project.clips_file,
        project.recipe_file,
        project.runs_folder,
        project.exports_folder,
        project.folder / "lab" / "lab.json",
    )
    return "-".join(str(_changed_at(path)) for path in files)


def job_json(job: JobFolder) -> dict[str, object]:
    """A running job, as the strip at the side and the cards in the steps show it."""
    status = jobs.status(job)
    done, total = _done_and_total(status)
    return {
        "kind": (job.folder.parent.name == "runs" and "train") or _kind(job),
        "name": job.name,
        "title": jobs.describe(job),
        "done": done,
        "total": total,
        "text": _progress_text(status, done, total),
        "left": _time_left(job, status, done, total),
        "stopping": job.stop_file.exists(),
        "paused": job.pause_file.exists(),
    }


def machine_json() -> dict[str, object]:
    """Card or computer, with the memory in use."""
    cards = system.gpus() if system.first_gpu() else []
    if cards:
        card = cards[0]
        return {"used": card.used_gib, "total": card.vram_gib, "temperature": card.temperature_c}
    used, total = system.memory_gib()
    return {"used": used, "total": total, "temperature": 0}


def _status(request: Request) -> dict[str, object]:
    shared: dict[str, object] = {"machine": machine_json(), "downloads": ongoing_json()}
    path = request.query_params.get("project", "")
    if not path:
        return shared
    project = opened(path)
    job = jobs.active_job(project)
    return {**shared, "job": job_json(job) if job else None, "revision": revision(project)}


def _run(request: Request) -> dict[str, object]:
    project, job = _asked_run(request)
    return run_json(project, job, Had(request.query_params))


def _run_curves(request: Request) -> dict[str, object]:
    return run_curves_json(_asked_run(request)[1], Had(request.query_params))


def _asked_run(request: Request) -> tuple[Project, JobFolder]:
    project = opened(request.query_params.get("project", ""))
    return project, jobs.find_run(project, request.query_params.get("run", ""))


def _download(request: Request) -> dict[str, object]:
    query = request.query_params
    return download_json(query.get("model", ""), ask_hub=query.get("ask") == "1")


def _posted(action: Callable[[dict[str, object]], dict[str, object]]) -> Callable[[Request], object]:
    """A browser sends a page of another site's JSON only after asking; the guards then refuse it."""

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        if len(body) > _LARGEST_BODY or request.headers.get("content-type", "") != "application/json":
            return JSONResponse({"problem": "That is too long.", "remedy": "Shorten it."}, 413)
        return await run_in_threadpool(_attempt_json, lambda: action(_sent_object(body)))

    return endpoint


def _sent_object(body: bytes) -> dict[str, object]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict):
        raise BadInput(problem="What you typed did not arrive whole.", remedy="Type it again.")
    return sent


def _captions(request: Request) -> dict[str, object]:
    """The stamp is taken before the list is read: what changes in between is then seen as a change."""
    stamp = revision(opened(request.query_params.get("project", "")))
    return {**workbench_live.list_json(request), "stamp": stamp}


def _store_caption(sent: dict[str, object]) -> dict[str, object]:
    answer = workbench_live.save(sent)
    return {**answer, "revision": revision(opened(str(sent.get("project", ""))))}


def _change_captions(sent: dict[str, object]) -> dict[str, object]:
    answer = workbench_live.act(sent)
    return {**answer, "revision": revision(opened(str(sent.get("project", ""))))}


def _change_lab(sent: dict[str, object]) -> dict[str, object]:
    answer = lab_live.act(sent)
    return {**answer, "revision": revision(opened(str(sent.get("project", ""))))}


def _answer(function: Callable[[Request], dict[str, object]]) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(_attempt_json, lambda: function(request))

    return endpoint


def _attempt_json(action: Callable[[], dict[str, object]]) -> Response:
    try:
        return JSONResponse(action(), headers={"Cache-Control": "no-store"})
    except WizardError as error:
        return JSONResponse({"problem": error.problem, "remedy": error.remedy}, 422)


def _done_and_total(status: JobStatus) -> tuple[int, int]:
    if status.progress and status.progress.total:
        return status.progress.done, status.progress.total
    return status.step, status.steps


def _progress_text(status: JobStatus, done: int, total: int) -> str:
    if status.progress:
        stage = status.progress.message or status.progress.stage.replace("_", " ")
        rate = f" · {rate_text(status.progress.per_second)}" if status.progress.per_second > 0 else ""
        return f"{stage} {done:,} of {total:,}{rate}" if total > 1 else stage
    return f"step {done:,} of {total:,}" if total else "starting"


def _time_left(job: JobFolder, status: JobStatus, done: int, total: int) -> str:
    """Of a training, all that is still to come; of other jobs, what they do now."""
    if status.steps:
        seconds = monitor.seconds_left(job, status)
        return f"{duration_text(seconds)} left" if seconds else ""
    if status.progress is not None and status.progress.per_second > 0:
        return f"{duration_text((total - done) / status.progress.per_second)} left"
    elapsed = status.updated_at - status.started_at
    if done and total and elapsed > 2:
        return f"{duration_text(elapsed / done * (total - done))} left"
    return ""


def _kind(job: JobFolder) -> str:
    try:
        return job.read_job().settings.kind
    except WizardError:
        return ""


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
