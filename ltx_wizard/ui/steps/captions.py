"""Step 4: what each clip shows, in words. The workbench is drawn by assets/js/captions*.js.

This file holds its frame: the head, a running job, the trigger word, and starting a captioner.
"""

from __future__ import annotations

import json

import gradio as gr

from ltx_wizard.app import datasets, jobs, projects
from ltx_wizard.core.clip import CaptionState, Clip
from ltx_wizard.core.errors import BadInput
from ltx_wizard.core.project import (
    CAPTION_PLACE,
    TRIGGER_PLACE,
    Project,
    ProjectSettings,
    TriggerPlacement,
)
from ltx_wizard.core.units import plural
from ltx_wizard.ui.boundary import UNCHANGED, Outcome, opened
from ltx_wizard.ui.components import Markup, button, empty_state, go_button, h, step_header
from ltx_wizard.ui.live import revision
from ltx_wizard.ui.page import Data, Page, StepView, Updates, live_panel, panel
from ltx_wizard.ui.steps import captions_job

_PATTERN_LABELS = {
    TriggerPlacement.TEMPLATE: "Template, with {trigger} and {caption}",
    TriggerPlacement.CLASS: "Word that the trigger word replaces",
}
_PLACEMENTS = [
    ("In front of the caption", TriggerPlacement.FIRST.value),
    ("Behind the caption", TriggerPlacement.LAST.value),
    ("In a template", TriggerPlacement.TEMPLATE.value),
    ("In place of a word", TriggerPlacement.CLASS.value),
    ("Not added", TriggerPlacement.NONE.value),
]


def build(page: Page) -> StepView:
    head = panel("captions-head")
    notice_card = panel("captions-notice")
    work = panel("captions-work")
    bench = live_panel("captions")
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="captions-back")
        primary = gr.Button("Check the dataset", variant="primary", elem_id="captions-primary")
    with gr.Accordion("Advanced: trigger word", open=False, elem_classes="wz-advanced"), gr.Row():
        trigger = gr.Textbox(label="Trigger word", max_length=100, elem_id="captions-trigger")
        placement = gr.Dropdown(_PLACEMENTS, label="Where it goes in training", elem_id="captions-placement")
        pattern = gr.Textbox(label="Template", max_length=300, elem_id="captions-pattern")

    def render(project: Project | None) -> Updates:
        assert project is not None
        settings, clips, busy = project.read_settings(), datasets.clips(project), _busy(project)
        return {
            head: _head(clips),
            work: _work(project, clips, busy),
            bench: json.dumps(
                {"project": str(project.folder), "count": len(clips), "stamp": revision(project)}
            ),
            trigger: settings.trigger_word,
            placement: settings.trigger_placement.value,
            pattern: _pattern_field(settings),
        }

    page.on(trigger.blur, _set_trigger, [trigger])
    page.on(trigger.submit, _set_trigger, [trigger])
    page.on(placement.input, lambda path, value: _change(path, trigger_placement=value), [placement])
    page.on(pattern.blur, _set_pattern, [pattern])
    page.on(pattern.submit, _set_pattern, [pattern])
    page.on_act(work, {"draft": lambda path, data: _start(path, "motion", False), **captions_job.actions()})
    page.on_act(bench, {"remove": _remove, "recaption": _recaption})
    page.on(back.click, lambda path: Outcome(go_to="scenes"))
    page.on(primary.click, lambda path: Outcome(go_to="check"))
    return StepView("captions", "Captions", notice_card, render)


def _start(path: str, captioner: str, overwrite: bool, clip_ids: tuple[str, ...] = ()) -> None:
    jobs.start_caption(opened(path), captioner, overwrite=overwrite, clip_ids=clip_ids)


def _recaption(path: str, data: Data) -> None:
    clip_ids = tuple(filter(None, data.get("clips", "").split(",")))
    if not clip_ids:
        raise BadInput(
            problem="No clip is chosen.", remedy="Choose clips, or change the filters so that some show."
        )
    _start(path, data.get("captioner", "motion"), data.get("overwrite") == "true", clip_ids)


def _remove(path: str, data: Data) -> None:
    datasets.remove_clip(opened(path), data["clip"])


def _set_trigger(path: str, trigger: str) -> Outcome | None:
    if trigger.strip() == opened(path).read_settings().trigger_word:
        return UNCHANGED
    _change(path, trigger_word=trigger.strip())
    return None


def _set_pattern(path: str, pattern: str) -> Outcome | None:
    """Raises BadInput for a template without its two places."""
    settings = opened(path).read_settings()
    text = " ".join(pattern.split())
    if text == settings.trigger_pattern:
        return UNCHANGED
    is_template = settings.trigger_placement is TriggerPlacement.TEMPLATE
    if text and is_template and not (TRIGGER_PLACE in text and CAPTION_PLACE in text):
        raise BadInput(
            problem="The template needs the places {trigger} and {caption}.",
            remedy="For example: In the style of {trigger}. {caption}",
        )
    _change(path, trigger_pattern=text)


def _pattern_field(settings: ProjectSettings) -> dict[str, object]:
    label = _PATTERN_LABELS.get(settings.trigger_placement, "")
    return gr.update(label=label, value=settings.trigger_pattern, visible=bool(label))


def _change(path: str, **changes: object) -> None:
    projects.update(opened(path), **changes)


def _busy(project: Project) -> str:
    job = jobs.active_job(project)
    return job.read_job().settings.kind if job else ""


def _head(clips: list[Clip]) -> Markup:
    sentence = (
        "Say what happens, in the order in which it happens. What you leave out becomes part of the LoRA."
    )
    written = sum(clip.caption_state is CaptionState.WRITTEN for clip in clips)
    return step_header(4, "Captions", sentence, f"{written} of {len(clips)} written" if clips else "")


def _work(project: Project, clips: list[Clip], busy: str) -> Markup | str:
    if not clips:
        return empty_state(
            "text",
            "No clips yet",
            "Cut your videos in the step Scenes; images become clips by themselves.",
            go_button("Scenes", "scenes"),
        )
    if busy == "caption":
        return captions_job.working(project)
    report = captions_job.ended(project)
    if report:
        return report
    missing = [clip for clip in clips if not clip.caption.strip()]
    if not missing:
        return ""
    return h(
        "div.wz-banner",
        h("div.wz-grow", h("strong", f"{plural(len(missing), 'clip')} without a caption"),
          h("p", "A draft from motion names camera and movement; a captioner also says who and where.")),
        button("Draft from motion", "draft", look="soft", symbol="spark"),
        h("button.wz-btn", "Choose a captioner", type="button", data_open_captioner="1"),
    )  # fmt: skip
