"""Step 7: training, and watching it. The chart and the samples are drawn by assets/js/train.js."""

from __future__ import annotations

import json

import gradio as gr

from ltx_wizard.app import compare, datasets, jobs, recipes
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobFolder, JobState
from ltx_wizard.ui.boundary import Outcome, opened
from ltx_wizard.ui.components import Markup, empty_state, go_button, h, icon, notice, step_header
from ltx_wizard.ui.page import Data, Page, StepView, Updates, live_panel, panel
from ltx_wizard.ui.words import setting_title, value_text


def build(page: Page) -> StepView:
    head = panel("train-head")
    notice_card = panel("train-notice")
    work = panel("train-work")
    with gr.Row(elem_classes="wz-inline wz-train-bar"):
        run = gr.Dropdown([], label="Run", elem_id="train-run", min_width=240)
        pause = gr.Button("Pause", elem_id="train-pause", min_width=110)
        stop = gr.Button("Stop after this step", elem_id="train-stop", min_width=170)
        resume = gr.Button("Resume", elem_id="train-resume", min_width=110)
    monitor = live_panel("train")
    runs = live_panel("runs")
    sweep = live_panel("sweeps")
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="train-back")
        again = gr.Button("Train again", elem_id="train-again")
        primary = gr.Button("Start training", variant="primary", elem_id="train-primary")

    def render(project: Project | None) -> Updates:
        assert project is not None
        state = _State(project)
        return {
            **of_run(project, state),
            run: gr.update(choices=state.names, value=state.name or None, visible=len(state.names) > 1),
            runs: json.dumps({"project": str(project.folder), "runs": state.names}),
            sweep: json.dumps({"project": str(project.folder), "ready": bool(datasets.clips(project))}),
        }

    def of_run(project: Project, state: _State) -> Updates:
        return {
            head: _head(project, state),
            work: _work(project, state),
            pause: gr.update(value="Go on" if state.paused else "Pause", visible=state.running),
            stop: gr.update(visible=state.running, interactive=not state.stopping),
            resume: gr.update(visible=state.resumable),
            monitor: _monitor_json(project, state.name, state.running),
            primary: gr.update(value=state.primary, interactive=_can_go_on(project, state)),
            again: gr.update(visible=state.done and not state.busy),
        }

    shown = [head, work, pause, stop, resume, monitor, primary, again]

    def show_run(path: str, name: str) -> tuple[object, ...]:
        project = opened(path)
        updates = of_run(project, _State(project, jobs.find_run(project, name)))
        return tuple(updates[part] for part in shown)

    page.light(run.input, show_run, [page.project, run], shown)
    page.on_act(monitor, {"train_again": _train_again})
    page.on_act(runs, {"train_again": _train_again})
    page.on(primary.click, _start_or_go_on, [run])
    page.on(again.click, _start)
    page.on(pause.click, _pause)
    page.on(stop.click, _stop)
    page.on(resume.click, _resume, [run])
    page.on(back.click, lambda path: Outcome(go_to="recipe"))
    return StepView("train", "Train", notice_card, render)


class _State:
    """Which run is shown and what can be done with it: the chosen one, else the one that was at work last."""

    def __init__(self, project: Project, chosen: JobFolder | None = None) -> None:
        runs = jobs.runs(project)
        active = jobs.active_job(project)
        run = chosen or jobs.last_at_work(runs)
        self.names = [run.name for run in reversed(runs)]
        self.name = run.name if run else ""
        self.busy = active is not None
        self.running = run is not None and active is not None and active.folder == run.folder
        self.paused = self.running and run is not None and run.pause_file.exists()
        self.stopping = self.running and run is not None and run.stop_file.exists()
        self.status = jobs.status(run) if run else None
        ended = self.status.state if self.status and not self.running else None
        self.done = ended is JobState.FINISHED
        self.primary = (
            "Training ..." if self.running else "Compare in the Lab" if self.done else "Start training"
        )
        self.resumable = ended in (JobState.STOPPED, JobState.FAILED) and not self.busy


def _can_go_on(project: Project, state: _State) -> bool:
    """To the Lab, or to a training, which needs clips."""
    return not state.busy and (state.done or bool(datasets.clips(project)))


def _start_or_go_on(path: str, run: str | None) -> Outcome | None:
    project = opened(path)
    if _State(project, jobs.find_run(project, run) if run else None).done:
        return Outcome(go_to="lab")
    return _start(path)


def _start(path: str) -> None:
    project = opened(path)
    jobs.start_training(project, recipes.current_recipe(project))


def _train_again(path: str, data: Data) -> Outcome:
    """The recipe of a run, perhaps with what an advice changes, to be looked at before it trains."""
    project, run = opened(path), data["run"]
    changes = compare.advised_changes(project, run, data["advice"]) if data.get("advice") else {}
    compare.train_again(project, run, changes)
    changed = ", ".join(f"{setting_title(key)} {value_text(value)}" for key, value in changes.items())
    text = f"This is the recipe of {run}{f', changed: {changed}' if changed else ''}."
    return Outcome(notice(text, "info", h("p", "Change what you like, then use it.")), go_to="recipe")


def _running(path: str) -> JobFolder:
    active = jobs.active_job(opened(path))
    if active is None:
        raise NotReady(problem="Nothing is running any more.", remedy="Look at the result below.")
    return active


def _pause(path: str) -> None:
    job = _running(path)
    jobs.pause(job, not job.pause_file.exists())


def _stop(path: str) -> None:
    jobs.stop(_running(path))


def _resume(path: str, run: str) -> None:
    jobs.resume_training(opened(path), run)


def _monitor_json(project: Project, name: str, running: bool) -> str:
    """running: a run that is resumed has the same name, and is to be followed again."""
    return json.dumps({"project": str(project.folder), "run": name, "running": running})


def _head(project: Project, state: _State) -> Markup:
    sentence = "Training runs on its own: close this page or the app, and find it here again."
    status = ""
    if state.status:
        status = f"{state.name}: " + ("running" if state.running else state.status.state.value)
    return step_header(7, "Train", sentence, status)


def _work(project: Project, state: _State) -> Markup | str:
    if state.status is None:
        return _before_the_first(project)
    if state.done:
        return notice(
            "Training is finished.",
            "good",
            h("p", "Look along the rows below: the newest sample is not always the best one. "
              "Compare checkpoints in the Lab, then export the one that you like."),
        )  # fmt: skip
    if state.resumable and state.status.state is JobState.STOPPED:
        return notice("Stopped. Everything is saved: Resume goes on exactly where it was.", "info")
    return ""


def _before_the_first(project: Project) -> Markup:
    if not datasets.clips(project):
        return empty_state(
            "chart",
            "Nothing to train on yet",
            "Cut clips in the step Scenes first.",
            go_button("Scenes", "scenes"),
        )
    recipe = recipes.current_recipe(project)
    facts = [
        ("Model", datasets.model_spec(project).title),
        ("Recipe", recipe.title or recipe.name),
        ("Steps", f"{recipe.steps:,}"),
        ("Samples", f"every {recipe.validation.every:,} steps"),
        ("Checkpoints", f"every {recipe.checkpoints.every:,} steps"),
    ]
    missing = jobs.why_not_trained(project, recipe)
    return h(
        "div.wz-ready",
        h("div.wz-empty-icon", icon("chart")),
        h("div.wz-grow", h("h3", "Not ready yet" if missing else "Ready to train"),
          [h("p", missing.problem), h("p.wz-muted", missing.remedy)] if missing else None,
          h("dl.wz-figures", [h("div", h("dt", name), h("dd", value)) for name, value in facts])),
    )  # fmt: skip
