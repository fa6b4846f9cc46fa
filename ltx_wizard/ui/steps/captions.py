"""Step 4: what each clip shows, in words. The list and the editor are drawn by assets/js/captions.js."""

from __future__ import annotations

import json

import gradio as gr

from ltx_wizard.app import datasets, jobs, projects
from ltx_wizard.core.caption import word_count
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.errors import BadInput
from ltx_wizard.core.lint import lint
from ltx_wizard.core.project import Project, ProjectSettings, TriggerPlacement, trained_caption
from ltx_wizard.core.units import plural, timecode_text
from ltx_wizard.ui import media
from ltx_wizard.ui.boundary import Outcome, opened
from ltx_wizard.ui.components import Markup, button, empty_state, h, notice, step_header, working_card
from ltx_wizard.ui.page import Data, Page, StepView, Updates, live_panel, panel

_PLACEMENTS = [
    ("In front of the caption", TriggerPlacement.FIRST.value),
    ("Behind the caption", TriggerPlacement.LAST.value),
    ("Not added", TriggerPlacement.NONE.value),
]


def build(page: Page) -> StepView:
    head = panel("captions-head")
    notice_card = panel("captions-notice")
    work = panel("captions-work")
    editor = live_panel("captions")
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="captions-back")
        primary = gr.Button("Check the dataset", variant="primary", elem_id="captions-primary")
    with gr.Accordion(
        "Advanced: trigger word, search and replace, captioner", open=False, elem_classes="wz-advanced"
    ):
        with gr.Row():
            trigger = gr.Textbox(label="Trigger word", max_length=100, elem_id="captions-trigger")
            placement = gr.Dropdown(
                _PLACEMENTS, label="Where it goes in training", elem_id="captions-placement"
            )
        with gr.Row(elem_classes="wz-inline-end"):
            find = gr.Textbox(label="Search", elem_id="captions-find")
            replace = gr.Textbox(label="Replace by", elem_id="captions-replace")
            regex = gr.Checkbox(label="Regular expression", elem_id="captions-regex", min_width=150)
            preview = gr.Button("Preview", size="sm", elem_id="captions-preview", min_width=100)
        found = panel("captions-found")
        with gr.Row(elem_classes="wz-inline-end"):
            captioner = gr.Dropdown([], label="Captioner", elem_id="captions-captioner")
            overwrite = gr.Checkbox(label="Also rewrite captions that exist", elem_id="captions-overwrite")
            run_captioner = gr.Button("Run", size="sm", elem_id="captions-run", min_width=100)

    def render(project: Project | None) -> Updates:
        assert project is not None
        settings, clips, busy = project.read_settings(), datasets.clips(project), _busy(project)
        names = jobs.captioners()
        return {
            head: _head(clips),
            work: _work(clips, busy),
            editor: json.dumps(_editor_json(project, settings, clips)),
            trigger: settings.trigger_word,
            placement: settings.trigger_placement.value,
            captioner: gr.update(choices=[(title, name) for name, title in names], value=names[0][0]),
            run_captioner: gr.update(interactive=bool(clips) and not busy),
            found: "",
        }

    page.on(trigger.blur, _set_trigger, [trigger])
    page.on(trigger.submit, _set_trigger, [trigger])
    page.on(placement.input, lambda path, value: _change(path, trigger_placement=value), [placement])
    page.light(preview.click, _preview, [page.project, find, replace, regex], [found])
    page.on_act(found, {"replace": _replace}, [find, replace, regex])
    page.on(run_captioner.click, _caption, [captioner, overwrite])
    page.on_act(work, {"draft": lambda path, data: _caption(path, "motion", False)})
    page.on_act(editor, {"remove": _remove, "draft_one": _draft_one})
    page.on(back.click, lambda path: Outcome(go_to="scenes"))
    page.on(primary.click, lambda path: Outcome(go_to="check"))
    return StepView("captions", "Captions", notice_card, render)


def _caption(path: str, captioner: str, overwrite: bool) -> None:
    jobs.start_caption(opened(path), captioner, overwrite=overwrite)


def _draft_one(path: str, data: Data) -> None:
    jobs.start_caption(opened(path), "motion", overwrite=True, clip_ids=(data["clip"],))


def _remove(path: str, data: Data) -> None:
    datasets.remove_clip(opened(path), data["clip"])


def _set_trigger(path: str, trigger: str) -> None:
    if trigger.strip() != opened(path).read_settings().trigger_word:
        _change(path, trigger_word=trigger.strip())


def _change(path: str, **changes: object) -> None:
    projects.update(opened(path), **changes)


def _preview(path: str, find: str, replace: str, regex: bool) -> Markup:
    if not find:
        raise BadInput(problem="There is nothing to search for.", remedy="Type the words to replace.")
    changes = datasets.replace_text(opened(path), find, replace, regex=regex, preview=True)
    return _changes_list(changes)


def _replace(path: str, _data: Data, find: str, replace: str, regex: bool) -> Outcome:
    changes = datasets.replace_text(opened(path), find, replace, regex=regex, preview=False)
    return Outcome(notice(f"{plural(len(changes), 'caption')} changed.", "good"))


def _busy(project: Project) -> str:
    job = jobs.active_job(project)
    return job.read_job().settings.kind if job else ""


def _head(clips: list[Clip]) -> Markup:
    sentence = (
        "Say what happens, in the order in which it happens: subject, action, place, camera, light. "
        "What you describe stays changeable; what you leave out becomes part of the LoRA."
    )
    written = sum(clip.caption_state is CaptionState.WRITTEN for clip in clips)
    return step_header(4, "Captions", sentence, f"{written} of {len(clips)} written" if clips else "")


def _work(clips: list[Clip], busy: str) -> Markup | str:
    if not clips:
        return empty_state(
            "text", "No clips yet", "Cut your videos in step 3; images become clips by themselves."
        )
    if busy == "caption":
        return working_card("caption", "Writing draft captions", "They appear below as they are written.")
    missing = [clip for clip in clips if not clip.caption.strip()]
    if not missing:
        return ""
    return h(
        "div.wz-banner",
        h("div.wz-grow", h("strong", f"{plural(len(missing), 'clip')} without a caption"),
          h("p", "A draft from measured motion names camera and movement; you add who and where.")),
        button("Draft captions from motion", "draft", look="soft", symbol="spark"),
    )  # fmt: skip


def _editor_json(project: Project, settings: ProjectSettings, clips: list[Clip]) -> dict[str, object]:
    names = {source.id: source.original_name for source in datasets.sources(project)}
    return {
        "project": str(project.folder),
        "trigger": settings.trigger_word,
        "clips": [_clip_json(project, settings, clip, names.get(clip.source_id, clip.id)) for clip in clips],
    }


def _clip_json(project: Project, settings: ProjectSettings, clip: Clip, name: str) -> dict[str, object]:
    trigger = "" if clip.regularisation else settings.trigger_word
    return {
        "id": clip.id,
        "name": name,
        "at": "image" if clip.kind is MediaKind.IMAGE else timecode_text(clip.start_s),
        "duration": round(clip.duration_s, 2),
        "is_image": clip.kind is MediaKind.IMAGE,
        "size": f"{clip.width} × {clip.height}",
        "url": media.file_url(project, clip.file, f"{clip.frames}"),
        "picture": media.clip_picture(project, clip),
        "caption": clip.caption,
        "state": clip.caption_state.value,
        "source": clip.caption_source,
        "words": word_count(clip.caption),
        "lint": [item.message for item in lint(clip.caption)],
        "trained": trained_caption(clip.caption, trigger, settings.trigger_placement),
        "regularisation": clip.regularisation,
    }


def _changes_list(changes: list[tuple[str, str, str]]) -> Markup:
    if not changes:
        return notice("No caption holds that.", "info")
    rows = [h("li", h("del", before), h("ins", after)) for _, before, after in changes[:20]]
    more = h("p.wz-muted", f"and {len(changes) - 20} more") if len(changes) > 20 else None
    return h(
        "div.wz-changes",
        h("ul", rows),
        more,
        button(f"Replace in {plural(len(changes), 'caption')}", "replace", look="soft"),
    )
