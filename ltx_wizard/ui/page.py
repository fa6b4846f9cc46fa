"""The page as one object: the components that all steps share, and the one way from a click to a change.

A click calls an action with the project's path; the action calls one service. Then the frame and the step are
shown anew from disk. So a reload, a second tab and a restart of the app all show what is on disk.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import gradio as gr
from gradio.components import Component

from ltx_wizard.app import jobs
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.ui import frame
from ltx_wizard.ui.boundary import Outcome, attempt, opened, refused
from ltx_wizard.ui.components import notice
from ltx_wizard.ui.live import revision

Updates = dict[Component, Any]
Data = Mapping[str, str]
Action = Callable[..., "Outcome | None"]
Listener = Callable[..., object]
Repeated = Literal["once", "multiple", "always_last"]

_OF_VALUES = ("blur", "change", "input", "release")
"""Events that tell a new value; the others are pressed."""

_ADDRESS = """async () => {
  while (!window.wizard) await new Promise((done) => setTimeout(done, 20));
  return window.wizard.address();
}"""


@dataclass(frozen=True)
class _Wire:
    listener: Listener
    action: Action
    inputs: Sequence[Component]
    js: str | None = None
    takes_event: bool = False


@dataclass(frozen=True)
class _Light:
    listener: Listener
    function: Callable[..., Any]
    inputs: Sequence[Component]
    outputs: Sequence[Component]


class Render(Protocol):
    """Shows a step from disk. project is None on the start screen."""

    def __call__(self, project: Project | None) -> Updates: ...


@dataclass(frozen=True)
class StepView:
    """One step on the page. needs_project: whether it can be shown before a project is open."""

    name: str
    title: str
    notice: gr.HTML
    render: Render
    needs_project: bool = True


@dataclass
class Page:
    """Collects what the steps want wired; `wire` does it once all components exist."""

    project: gr.Textbox
    step: gr.Textbox
    bus: gr.HTML
    answered: gr.HTML
    nav: gr.HTML
    top: gr.HTML
    views: dict[str, StepView] = field(default_factory=dict[str, StepView])
    _wires: list[_Wire] = field(default_factory=list)
    _lights: list[_Light] = field(default_factory=list)
    _rendering: threading.Lock = field(default_factory=threading.Lock)

    def on(
        self, listener: Listener, action: Action, inputs: Sequence[Component] = (), js: str | None = None
    ) -> None:
        """Call action(project path, *values of inputs) when the listener fires; then show the step anew."""
        self._wires.append(_Wire(listener, action, inputs, js))

    def light(
        self,
        listener: Listener,
        function: Callable[..., Any],
        inputs: Sequence[Component],
        outputs: Sequence[Component],
    ) -> None:
        """Call function(*values) and show what it gives in `outputs` only: nothing else on the page moves."""
        self._lights.append(_Light(listener, function, inputs, outputs))

    def busy(self, listener: Listener, text: str, card: gr.HTML) -> None:
        """Show at once that something takes a while; done in the browser."""
        shown = json.dumps(notice(text, "info"))
        listener(
            fn=None, js=f"() => {shown}", outputs=[card], show_progress="hidden", api_visibility="private"
        )

    def on_act(self, panel: gr.HTML, actions: Mapping[str, Action], inputs: Sequence[Component] = ()) -> None:
        """Call actions[data-do](project path, data, *values) when something in a panel is clicked. The page
        sends one click after the other, in their order; none is left out.
        """

        known = {"stop_job": _stop_job, **actions}

        def dispatch(path: str, data: Data, *values: object) -> Outcome | None:
            return known[str(data.get("do", ""))](path, data, *values)

        self._wires.append(_Wire(panel.act, dispatch, inputs, takes_event=True))

    def wire(self, blocks: gr.Blocks) -> None:
        """Connect everything. Call last, inside the Blocks context."""
        outputs = [block for block in blocks.blocks.values() if isinstance(block, Component)]
        shared = {"outputs": outputs, "show_progress": "hidden", "api_visibility": "private", "queue": True}
        self.on_act(self.bus, {})
        for wire in self._wires:
            function = self._event_listener(wire.action) if wire.takes_event else self._listener(wire)
            wire.listener(
                function,
                inputs=[self.project, self.step, *wire.inputs],
                js=wire.js,
                **{**shared, "trigger_mode": _repeated(wire)},
            )
        notices = [view.notice for view in self.views.values()]
        for light in self._lights:
            light.listener(
                self._light_listener(light),
                inputs=[self.step, *light.inputs],
                **{**shared, "outputs": [*light.outputs, *notices], "trigger_mode": "always_last"},
            )
        blocks.load(self.show, inputs=[self.project, self.step], js=_ADDRESS, **shared)
        # A click while the page looks again: "once" forgets it, "always_last" where it led to.
        self.bus.go(self._go, inputs=[], **{**shared, "trigger_mode": "multiple"})

    def show(self, path: str, step: str, outcome: Outcome | None = None) -> Updates:
        """The frame and one step, from disk."""
        outcome = outcome or Outcome()
        project, outcome = _open(path, outcome)
        view = self._view(step, project)
        updates: Updates = {self.project: str(project.folder) if project else "", self.step: view.name}
        rendered: Updates = {}

        def render() -> Outcome:
            rendered.update(view.render(project))
            return outcome

        with self._rendering:  # so that of two answers the one that is sent later read the disk later
            shown = attempt(render)
        message = outcome.message if not shown.failed else shown.message
        goes = bool(outcome.go_to)
        return {**updates, **rendered, **self._frame(project, view.name, goes), view.notice: message}

    def _frame(self, project: Project | None, step: str, goes: bool) -> Updates:
        """goes: whether somebody asked for this step; else it is the one where an action began."""
        titles = [(view.name, view.title) for view in self.views.values()]
        state = {
            "project": str(project.folder) if project else "",
            "step": step,
            "goes": goes,
            "title": self.views[step].title,
            "name": frame.project_name(project),
            "revision": revision(project) if project else "",
        }
        return {
            self.nav: frame.navigation(titles, step, project),
            self.top: frame.top_bar(project),
            self.bus: json.dumps(state),
        }

    def _listener(self, wire: _Wire) -> Callable[..., Updates]:
        def run(path: str, step: str, *values: object) -> Updates:
            outcome = attempt(lambda: wire.action(path, *values))
            if outcome.failed and path and _tells_value(wire) and len(values) == 1:
                return self._back_in_force(path, step, outcome, wire.inputs[0], str(values[0]))
            return self._after(path, step, outcome)

        return run

    def _event_listener(self, action: Action) -> Callable[..., Updates]:
        def run(event: gr.EventData, path: str, step: str, *values: object) -> Updates:
            data = {str(key): str(value) for key, value in (event._data or {}).items()}
            click, said = data.pop("click", ""), data.pop("said", "")
            outcome = attempt(lambda: action(path, data, *values))
            updates = self._after(path, step, outcome)
            if said:  # a click before this one, in the same line, was refused: the reason stays
                updates = self._without_empty_notices(updates)
            answer = {"click": click, "failed": outcome.failed, "why": outcome.problem}
            return {**updates, self.answered: json.dumps(answer)}

        return run

    def _light_listener(self, light: _Light) -> Callable[..., Updates]:
        def run(step: str, *values: object) -> Updates:
            shown: list[object] = []

            def call() -> None:
                answer = light.function(*values)
                shown.extend(answer if isinstance(answer, tuple) else (answer,))

            outcome = attempt(call)
            card = self._view(step, None, exact=True).notice  # the reason why the last try failed goes
            if outcome.failed:
                return {card: outcome.message}
            if all(part == gr.skip() for part in shown):  # nothing was done: what is said stays
                return {card: gr.skip()}
            return {**dict(zip(light.outputs, shown, strict=True)), card: outcome.message}

        return run

    def _after(self, path: str, step: str, outcome: Outcome) -> Updates:
        """A failed action leaves the page as it is, with the reason on top: nothing typed is lost."""
        if outcome.unchanged:
            return {self.step: gr.skip()}
        if outcome.failed:
            return {self._view(step, None, exact=True).notice: outcome.message}
        shown_path = str(outcome.project) if outcome.project else path
        return self.show(shown_path, outcome.go_to or step, outcome)

    def _back_in_force(self, path: str, step: str, outcome: Outcome, field: Component, typed: str) -> Updates:
        """A field of one line whose value was refused shows the value in force again, and the reason says
        what was refused. A longer text stays to be mended.
        """
        shown: Updates = {}
        attempt(lambda: shown.update(self._view(step, None, exact=True).render(opened(path))))
        if field not in shown or getattr(field, "lines", 1) > 1:
            return self._after(path, step, outcome)
        remedy = f"{outcome.remedy} Not taken: '{typed}'. The field shows what is in force."
        told = refused(outcome.problem, remedy) if outcome.problem else outcome
        return {**self._after(path, step, told), field: shown[field]}

    def _go(self, event: gr.EventData) -> Updates:
        data = event._data or {}
        path, step = str(data.get("project", "")), str(data.get("step", ""))
        if not data.get("again"):
            return self.show(path, step, Outcome(go_to=step))
        updates = self.show(path, step)  # a page that looks again leads nobody there, and what it says stays
        return self._without_empty_notices(updates)

    def _without_empty_notices(self, updates: Updates) -> Updates:
        notices = {view.notice for view in self.views.values()}
        return {part: value for part, value in updates.items() if part not in notices or value}

    def _view(self, step: str, project: Project | None, exact: bool = False) -> StepView:
        first = next(iter(self.views.values()))
        view = self.views.get(step, first)
        return first if view.needs_project and project is None and not exact else view


def _repeated(wire: _Wire) -> Repeated:
    """What Gradio does with an event while the same is still being answered. 'once' forgets it: right for a
    button that is pressed twice, wrong for a value that was changed again, and for a panel, whose every
    click is the same event.
    """
    if wire.takes_event:
        return "multiple"
    return "always_last" if _tells_value(wire) else "once"


def _tells_value(wire: _Wire) -> bool:
    return getattr(wire.listener, "event_name", "") in _OF_VALUES


def when_ready(script: str) -> str:
    """A script that waits for assets/js/wizard.js: Gradio puts it into the page without waiting for it."""
    return f"(function go() {{ window.wizard ? {script} : setTimeout(go, 20); }})()"


def panel(elem_id: str) -> gr.HTML:
    """HTML from the server; a click on something with data-do sends its data."""
    return gr.HTML(
        "",
        elem_id=elem_id,
        apply_default_css=False,
        js_on_load=when_ready("window.wizard.actions(element, trigger, 'act')"),
    )


def live_panel(name: str) -> gr.HTML:
    """A part of the page that a script of assets/js draws from JSON, and updates without redrawing."""
    return gr.HTML(
        "",
        elem_id=f"wz-{name}",
        apply_default_css=False,
        html_template="<div class='wz-live'></div>",
        js_on_load=when_ready(f"window.wizard.mount('{name}', element, props, trigger, watch, 'act')"),
    )


def _open(path: str, outcome: Outcome) -> tuple[Project | None, Outcome]:
    if not path:
        return None, outcome
    try:
        return opened(path), outcome
    except WizardError as error:
        return None, refused(error.problem, error.remedy)


def _stop_job(path: str, _data: Data) -> None:
    """The Stop at the side and on cards that show a running job."""
    job = jobs.active_job(opened(path))
    if job is not None:
        jobs.stop(job)
