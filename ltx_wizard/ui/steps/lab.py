"""Step 8: the Lab. Drawn by assets/js/lab*.js, from ui/lab_live.py."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr

from ltx_wizard.app import exports, jobs, lab
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.lab import LabFolder
from ltx_wizard.core.project import Project
from ltx_wizard.ui.boundary import Outcome, opened
from ltx_wizard.ui.components import Markup, step_header
from ltx_wizard.ui.page import Page, StepView, Updates, live_panel, panel


def build(page: Page) -> StepView:
    head = panel("lab-head")
    notice_card = panel("lab-notice")
    bench = live_panel("lab")
    with gr.Row(elem_classes="wz-lab-upload"):
        upload = gr.UploadButton("Choose a LoRA file", file_types=[".safetensors"], elem_id="lab-upload")
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="lab-back")
        primary = gr.Button("Export a LoRA", variant="primary", elem_id="lab-primary")

    def render(project: Project | None) -> Updates:
        assert project is not None
        kept = lab.kept(project)
        label = f"Export {kept[0].title} at {kept[1]:g}" if kept else "Export a LoRA"
        return {
            head: _head(project),
            bench: json.dumps({"project": str(project.folder), "stamp": _stamp(project)}),
            primary: gr.update(value=label, interactive=_has_loras(project)),
        }

    page.on(upload.upload, _bring_in, [upload])
    page.on(primary.click, lambda path: Outcome(go_to="export"))
    page.on(back.click, lambda path: Outcome(go_to="train"))
    return StepView("lab", "Lab", notice_card, render)


def _bring_in(path: str, file: str | None) -> None:
    if not file:
        raise NotReady(problem="No file arrived.", remedy="Choose it again.")
    lab.bring_in(opened(path), Path(file))


def _stamp(project: Project) -> str:
    """Changes whenever the page should ask again, whoever changed the Lab."""
    file = LabFolder(project).lab_file
    changed = file.stat().st_mtime_ns if file.is_file() else 0
    job = jobs.last_job(project, "lab")
    return f"{changed} {job.name if job else ''} {bool(job and jobs.is_active(job))}"


def _has_loras(project: Project) -> bool:
    return any(run.saved_steps() for run in jobs.runs(project)) or bool(exports.made_elsewhere(project))


def _head(project: Project) -> Markup:
    sentence = (
        "The last checkpoint is not always the best, and the best strength is rarely 1. Look at them side by "
        "side, then keep one."
    )
    kept = lab.kept(project)
    return step_header(8, "Lab", sentence, f"kept: {kept[0].title} at {kept[1]:g}" if kept else "")
