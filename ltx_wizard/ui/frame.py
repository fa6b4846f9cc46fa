"""What surrounds every step: the steps at the side with their state, the card, the running job, the top."""

from __future__ import annotations

from ltx_wizard.app import system
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.ui.components import Markup, badge, h, icon
from ltx_wizard.ui.overview import StepState, step_states
from ltx_wizard.ui.words import GOAL_TITLES

_SYMBOLS = {"done": "check", "warn": "alert", "busy": "dot", "todo": "dot", "off": "dot"}


def project_name(project: Project | None) -> str:
    if project is None:
        return ""
    try:
        return project.read_settings().name
    except WizardError:
        return project.folder.name


def navigation(titles: list[tuple[str, str]], current: str, project: Project | None) -> Markup:
    """The side of the window. Every step can be reached at any time once a project is open."""
    states = step_states(project) if project else {}
    steps = [
        _nav_item(number, name, title, name == current, states.get(name), project is not None)
        for number, (name, title) in enumerate(titles, start=1)
    ]
    return h(
        "div.wz-side",
        h("a.wz-brand", _logo(), h("span", "LTX Wizard"), href="/", data_home="1"),
        h("nav.wz-steps", steps, aria_label="Steps"),
        h("div.wz-grow"),
        h("div", id="wz-fetches"),
        _job_strip(),
        _machine(),
    )


def top_bar(project: Project | None) -> Markup:
    """Project, goal, save state."""
    left = (
        [h("strong", project_name(project)), badge(GOAL_TITLES[project.read_settings().goal], "soft")]
        if project
        else [h("strong", "Welcome")]
    )
    return h(
        "div.wz-top",
        h("div.wz-top-left", left),
        h("div.wz-top-right",
          h("span.wz-saved", icon("check"), h("span", "All changes saved", data_save_text="1"),
            data_save="saved")
          if project else None,
          h("button.wz-icon-btn", icon("home"), type="button", title="All projects", data_home="1")
          if project else None,
          h("button.wz-icon-btn", icon("sun"), type="button", title="Light or dark", data_theme_toggle="1")),
    )  # fmt: skip


def _nav_item(
    number: int, name: str, title: str, current: bool, state: StepState | None, enabled: bool
) -> Markup:
    kind = state.kind if state else "off"
    mark = icon("check") if kind == "done" else icon("alert") if kind == "warn" else str(number)
    classes = f"is-{kind}" + (" is-current" if current else "")
    return h(
        "button.wz-step",
        h("span.wz-mark", mark),
        h("span.wz-step-title", title),
        h("span.wz-step-note", state.note) if state and state.note else None,
        class_=classes,
        type="button",
        data_go=name,
        disabled=not enabled and name != "goal",
        aria_current="step" if current else None,
    )


def _job_strip() -> Markup:
    """Filled by the page's poller; keeps its size, so that nothing jumps."""
    return h(
        "div.wz-strip",
        h("div.wz-strip-row",
          h("span.wz-strip-title", "No job running", data_strip_title="1"),
          h("button.wz-strip-stop", "Stop", type="button", data_stop_job="1", hidden=True)),
        h("div.wz-bar", h("i", data_strip_bar="1")),
        h("div.wz-strip-text", Markup("&nbsp;"), data_strip_text="1"),
        id="wz-strip",
    )  # fmt: skip


def _machine() -> Markup:
    card = system.first_gpu()
    used, total = (card.used_gib, card.vram_gib) if card else system.memory_gib()
    name = card.name if card else "This computer"
    note = f"{total:.0f} GB graphics memory" if card else f"No NVIDIA card · {total:.0f} GB"
    return h(
        "div.wz-machine",
        h("div.wz-machine-name", icon("chip"), h("span", name)),
        h(
            "div.wz-bar.thin",
            h("i", style=f"width:{100 * used / max(total, 0.1):.0f}%", data_machine_bar="1"),
        ),
        h("div.wz-strip-text", note, data_machine_text="1", data_note=note),
    )


def _logo() -> Markup:
    return Markup(
        '<svg viewBox="0 0 32 32" class="wz-logo" aria-hidden="true">'
        '<defs><linearGradient id="wzg" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="#7c6cf5"/>'
        '<stop offset="1" stop-color="#3d8bfd"/></linearGradient></defs>'
        '<rect width="32" height="32" rx="9" fill="url(#wzg)"/>'
        '<path d="M9 22V10M9 22h6M17 22l6-12M17 10l6 12" '
        'stroke="#fff" stroke-width="2.4" stroke-linecap="round" fill="none"/></svg>'
    )
