"""Step 8, its second part: the dataset for another trainer."""

from __future__ import annotations

import gradio as gr

from ltx_wizard.app import datasets, formats, jobs
from ltx_wizard.core.places import typed_path
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobState
from ltx_wizard.core.units import plural
from ltx_wizard.ui.boundary import opened
from ltx_wizard.ui.components import Markup, error_card, h, icon, notice, working_card
from ltx_wizard.ui.page import Page, Updates, panel

_KIND = "export_dataset"
_TRIGGER = [("Written into the captions", "write"), ("Left to the trainer", "leave")]
_NOTES = {
    "write": "Captions hold {trigger}, as they are trained here. Do not give it to the trainer too.",
    "leave": "Captions do not hold {trigger}: give it to the trainer, which writes it in front of them.",
}


class DatasetExport:
    """The fold with format, trigger word and folder, and the state of a running or finished export."""

    def __init__(self, page: Page) -> None:
        self._state = panel("export-dataset-state")
        with gr.Accordion(
            "Export the dataset", open=False, elem_classes="wz-advanced", elem_id="export-dataset"
        ):
            gr.HTML(
                "<p class='wz-muted'>Clips and captions in a folder of their own, as another trainer reads"
                " them. Files are linked where the disk allows it, so they take no space twice.</p>",
                apply_default_css=False,
            )
            with gr.Row(elem_classes="wz-inline-end"):
                self._format = gr.Dropdown([], label="For", elem_id="export-dataset-format", min_width=260)
                self._trigger = gr.Dropdown(
                    _TRIGGER, label="Trigger word", elem_id="export-dataset-trigger", min_width=190
                )
            with gr.Row(elem_classes="wz-inline-end"):
                self._folder = gr.Textbox(
                    label="Folder (a new one)", max_lines=1, elem_id="export-dataset-folder", min_width=260
                )
                self._start = gr.Button("Export", size="sm", elem_id="export-dataset-start", min_width=120)
            self._note = panel("export-dataset-note")
        page.light(
            self._format.input,
            _choose_format,
            [page.project, self._format],
            [self._trigger, self._folder, self._note],
        )
        page.light(self._trigger.input, _note, [page.project, self._trigger], [self._note])
        page.on(self._start.click, _export, [self._format, self._trigger, self._folder])

    def render(self, project: Project, busy: str) -> Updates:
        known = formats.formats()
        captioned = sum(bool(clip.caption.strip()) for clip in datasets.clips(project))
        first = known[0]
        return {
            self._format: gr.update(choices=[(item.title, item.name) for item in known], value=first.name),
            self._trigger: _usual_trigger(first.with_trigger),
            self._folder: str(formats.default_folder(project, first.name)),
            self._note: _note(str(project.folder), _usual_trigger(first.with_trigger)),
            self._start: gr.update(
                value=f"Export {plural(captioned, 'clip')}", interactive=bool(captioned) and not busy
            ),
            self._state: _state(project, busy),
        }


def _choose_format(path: str, name: str) -> tuple[object, str, Markup | str]:
    chosen = next(item for item in formats.formats() if item.name == name)
    trigger = _usual_trigger(chosen.with_trigger)
    return trigger, str(formats.default_folder(opened(path), name)), _note(path, trigger)


def _usual_trigger(with_trigger: bool) -> str:
    return "write" if with_trigger else "leave"


def _note(path: str, trigger: str) -> Markup | str:
    word = opened(path).read_settings().trigger_word
    if not word:
        return h("p.wz-muted", "This project has no trigger word.")
    before, after = _NOTES[trigger].split("{trigger}")
    return h("p.wz-muted", before, h("code", word), after)


def _export(path: str, name: str, trigger: str, folder: str) -> None:
    project = opened(path)
    place = typed_path(folder) if folder.strip() else None
    formats.start_export(project, name, place, with_trigger=trigger == "write")


def _state(project: Project, busy: str) -> Markup | str:
    """Of the newest job only: what an export wrote is no news after another job."""
    if busy == _KIND:
        return working_card(_KIND, "Writing the dataset", "The folder appears when it is whole.")
    last = jobs.last_job(project, _KIND)
    if busy or last is None or not jobs.is_newest(project, last):
        return ""
    status = jobs.status(last)
    if status.state is JobState.FAILED:
        return error_card(status.problem, status.remedy)
    if status.state is not JobState.FINISHED:
        return ""
    more = h(
        "div",
        h("p", str(status.result["hint"])),
        h("p.wz-place", icon("folder"), h("code", str(status.result["folder"]))),
    )
    return notice(formats.export_text(status), "warn" if status.result["left_out"] else "good", more)
