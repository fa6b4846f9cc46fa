"""Step 1: what the LoRA is for. Before a project is open this is also the start screen."""

from __future__ import annotations

import time
from pathlib import Path

import gradio as gr

from ltx_wizard.app import datasets, projects
from ltx_wizard.app.projects import ProjectCard
from ltx_wizard.core.errors import BadInput
from ltx_wizard.core.project import Goal, Project
from ltx_wizard.core.units import duration_text, plural
from ltx_wizard.ui import media
from ltx_wizard.ui.boundary import UNCHANGED, Outcome, opened
from ltx_wizard.ui.components import Markup, button, h, icon, icon_button, notice, step_header
from ltx_wizard.ui.icons import goal_svg
from ltx_wizard.ui.page import Data, Page, StepView, Updates, live_panel, panel
from ltx_wizard.ui.steps import goal_models
from ltx_wizard.ui.words import GOAL_SENTENCES, GOAL_TITLES

_OFFERED = (Goal.STYLE, Goal.CHARACTER, Goal.MOTION, Goal.DETAIL)
"""Control needs pairs of videos; it is offered once they can be imported."""
_FIRST_RECENT = 4
_MOST_RECENT = 12
# The values of the two cards that are chosen reach the server in place of two inputs that nobody sees.
_CHOICES = (
    "(path, step, name, trigger) => [path, step, name, trigger, ...window.wizard.choices('goal', 'model')]"
)


def build(page: Page) -> StepView:
    head = panel("goal-head")
    notice_card = panel("goal-notice")
    recent = panel("goal-recent")
    sample = panel("goal-sample")
    goals = panel("goal-cards")
    with gr.Row(elem_classes="wz-fields"):
        name = gr.Textbox(
            label="Name of the project",
            info="Its folder and its LoRA files are named after it.",
            placeholder="My cat, running",
            max_length=80,
            elem_id="goal-name",
        )
        trigger = gr.Textbox(
            label="Trigger word",
            info="A made-up word that switches the LoRA on.",
            placeholder="proposed from the name",
            max_length=100,
            elem_id="goal-trigger",
        )
    models = goal_models.build(page)
    live_panel("download")
    choices = [gr.Textbox(visible=False, elem_id=f"goal-chosen-{choice}") for choice in ("goal", "model")]
    others = panel("goal-others")
    with gr.Row(elem_classes="wz-footer"):
        primary = gr.Button("Create project", variant="primary", elem_id="goal-primary")

    def render(project: Project | None) -> Updates:
        settings = project.read_settings() if project else None
        shown: Updates = {
            head: _head(project),
            sample: "" if project else _sample_banner(),
            goals: _goal_cards(settings.goal if settings else Goal.STYLE, saved=project is not None),
            **models.render(project),
            recent: "" if project else _recent(projects.recent()),
            others: _others(projects.recent(), project) if project else "",
            primary: gr.update(value="Add videos" if project else "Create project"),
        }
        if settings:
            return {**shown, name: settings.name, trigger: settings.trigger_word}
        return shown

    page.on(primary.click, _create_or_go_on, [name, trigger, *choices], js=_CHOICES)
    page.on(name.blur, _rename, [name])
    page.on(name.submit, _rename, [name])
    page.on(trigger.blur, _set_trigger, [trigger])
    page.on(trigger.submit, _set_trigger, [trigger])
    # Not 'input': Gradio tells of keys that write a letter only, not of what is pasted or deleted.
    page.light(name.change, _propose_trigger, [page.project, name, trigger], [trigger])
    page.on_act(goals, {"goal": lambda path, data: _update(path, goal=Goal(data["value"]))})
    page.on_act(models.cards, {"model": lambda path, data: _update(path, model=data["value"])})
    page.on_act(sample, {"sample": _open_sample})
    for projects_shown in (recent, others):
        actions = {"open": _open_recent, "rename": _rename_other, "duplicate": _duplicate}
        page.on_act(projects_shown, actions)
    return StepView("goal", "Goal", notice_card, render, needs_project=False)


def _create_or_go_on(path: str, name: str, trigger: str, goal: str, model: str) -> Outcome:
    if path:
        return Outcome(go_to="videos")
    if not name.strip():
        raise BadInput(
            problem="The project has no name yet.",
            remedy="Type one into 'Name of the project', such as 'My cat, running'.",
        )
    project = projects.create_project(name, Goal(goal), trigger or projects.propose_trigger(name), model)
    return Outcome(go_to="videos", project=project.folder)


def _open_sample(_path: str, _data: Data) -> Outcome:
    project = projects.create_sample_project()
    message = notice("The sample project is ready. Each step is real: go on with the button below.", "info")
    return Outcome(message, go_to="videos", project=project.folder)


def _open_recent(_path: str, data: Data) -> Outcome:
    project = projects.open_project(Path(data["folder"]))
    return Outcome(project=project.folder, go_to=data.get("step", "videos"))


def _rename_other(_path: str, data: Data) -> Outcome:
    projects.rename_project(opened(data["folder"]), data.get("answer", ""))
    return Outcome()


def _duplicate(_path: str, data: Data) -> Outcome:
    original = opened(data["folder"])
    copy = projects.duplicate_project(original, f"{original.read_settings().name} copy"[:80])
    return Outcome(
        notice(f"Made '{copy.read_settings().name}'. Its videos, clips and captions are its own.", "good")
    )


def _rename(path: str, name: str) -> Outcome | None:
    if not path or name.strip() == opened(path).read_settings().name:
        return UNCHANGED
    projects.rename_project(opened(path), name)
    return None


def _set_trigger(path: str, trigger: str) -> Outcome | None:
    if not path or trigger.strip() == opened(path).read_settings().trigger_word:
        return UNCHANGED
    projects.update(opened(path), trigger_word=trigger.strip())
    return None


def _update(path: str, **changes: object) -> None:
    projects.update(opened(path), **changes)


def _propose_trigger(path: str, name: str, trigger: str) -> object:
    """A proposal follows the name while it is typed; a word of the user's own is left alone."""
    mine = bool(trigger) and trigger not in _proposals
    if path or mine or not name.strip():
        return gr.skip()
    proposal = projects.propose_trigger(name)
    _proposals.add(proposal)
    return proposal


_proposals: set[str] = set()


def _head(project: Project | None) -> Markup:
    sentence = (
        "What do you want to make? The goal decides how many clips you need and which settings are proposed."
    )
    return step_header(1, "Goal", sentence, f"Project folder: {project.folder}" if project else "")


def _sample_banner() -> Markup:
    return h(
        "div.wz-banner",
        h("div.wz-banner-icon", icon("spark")),
        h("div.wz-grow", h("strong", "New to this? Try the sample project"),
          h("p", "Videos, captions and a small practice model come with the app: the whole road in minutes, "
                 "with no download and no graphics card.")),
        button("Try the sample project", "sample", look="soft", symbol="play"),
    )  # fmt: skip


def _goal_cards(chosen: Goal, saved: bool) -> Markup:
    cards = [
        h(
            "label.wz-choice.wz-goal",
            h("input", type="radio", name="goal", value=goal.value, checked=goal is chosen,
              data_change="goal" if saved else None),
            Markup(goal_svg(goal.value)),
            h("strong", GOAL_TITLES[goal]),
            h("p", GOAL_SENTENCES[goal]),
            h("span.wz-muted", datasets.wanted_clips(goal)[2].split(",")[0]),
        )
        for goal in _OFFERED
    ]  # fmt: skip
    return h("div.wz-goals", cards, role="radiogroup", aria_label="Goal")


def _recent(cards: list[ProjectCard]) -> Markup | str:
    """On top of the start screen: who comes back wants to go on."""
    if not cards:
        return ""
    first, more = cards[:_FIRST_RECENT], cards[_FIRST_RECENT:_MOST_RECENT]
    return h(
        "div",
        h("h2", "Go on with"),
        h("div.wz-recents", [_recent_card(card) for card in first]),
        h(
            "details.wz-more-recents",
            h("summary", plural(len(more), "older project")),
            h("div.wz-recents", [_recent_card(card) for card in more]),
        )
        if more
        else None,
        h("h2.wz-new-project", "Or begin a new project"),
    )


def _others(cards: list[ProjectCard], current: Project) -> Markup | str:
    others = [card for card in cards if card.folder != current.folder][:_MOST_RECENT]
    if not others:
        return ""
    return h("div", h("h2", "Other projects"), h("div.wz-recents", [_recent_card(card) for card in others]))


def _recent_card(card: ProjectCard) -> Markup:
    folder = str(card.folder)
    picture = (
        media.file_url(Project(card.folder), Project(card.folder).relative(card.thumbnail))
        if card.thumbnail
        else ""
    )
    return h(
        "div.wz-recent",
        h("button.wz-recent-open",
          h("div.wz-thumb", h("img", src=picture, alt="", loading="lazy") if picture else icon("film")),
          h("strong", card.name),
          h("span.wz-muted",
            f"{GOAL_TITLES[card.goal]} · {plural(card.clips, 'clip')} · {_ago(card.last_opened_s)}"),
          type="button", data_do="open", data_folder=folder),
        h("div.wz-recent-tools",
          icon_button("edit", "Rename", "rename", folder=folder, ask="New name", answer=card.name),
          icon_button("copy", "Duplicate", "duplicate", folder=folder)),
    )  # fmt: skip


def _ago(moment_s: float) -> str:
    seconds = max(0.0, time.time() - moment_s)
    if seconds < 90:
        return "just now"
    if seconds < 86_400:
        return f"{duration_text(seconds)} ago"
    return f"{plural(round(seconds / 86_400), 'day')} ago"
