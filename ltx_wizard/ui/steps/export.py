"""Step 9: files for diffusers and ComfyUI, verified against the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gradio as gr

from ltx_wizard.app import exports, jobs, lab
from ltx_wizard.app.advisor import RecommendedCheckpoint, recommended_checkpoint
from ltx_wizard.app.exports import ExportedLora
from ltx_wizard.core.errors import NotReady, WizardError
from ltx_wizard.core.lab import LabLora
from ltx_wizard.core.project import Project, safe_file_stem
from ltx_wizard.core.run import JobState
from ltx_wizard.core.units import bytes_text, plural
from ltx_wizard.ui import media
from ltx_wizard.ui.boundary import Outcome, opened
from ltx_wizard.ui.components import (
    Markup,
    empty_state,
    error_card,
    go_button,
    h,
    icon,
    step_header,
    working_card,
)
from ltx_wizard.ui.page import Page, StepView, Updates, panel
from ltx_wizard.ui.steps.export_dataset import DatasetExport

LEAST_STRENGTH, MOST_STRENGTH = 0.05, 2.0
"""Where the slider ends, unless what was kept in the Lab lies outside."""
_WHOLE_FILE = "the file as it is"


def build(page: Page) -> StepView:
    head = panel("export-head")
    notice_card = panel("export-notice")
    with gr.Row(elem_classes="wz-card wz-export-form"):
        run = gr.Dropdown([], label="Run or LoRA file", elem_id="export-run", min_width=200)
        step = gr.Dropdown([], label="Checkpoint", elem_id="export-step", min_width=160)
        name = gr.Textbox(label="Name of the file", max_length=60, elem_id="export-name", min_width=200)
        strength = gr.Slider(
            LEAST_STRENGTH,
            MOST_STRENGTH,
            step=0.05,
            value=1.0,
            label="Strength folded in",
            elem_id="export-strength",
            elem_classes="wz-slider",
            min_width=180,
        )
    why = panel("export-why")
    work = panel("export-work")
    made = panel("export-made")
    dataset = DatasetExport(page)
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="export-back")
        primary = gr.Button("Export the LoRA", variant="primary", elem_id="export-primary")

    def render(project: Project | None) -> Updates:
        assert project is not None
        names = _runs_with_checkpoints(project)
        files = {lora.id: lora for lora in exports.made_elsewhere(project)}
        kept = _kept(project, names, files)
        chosen = kept.run if kept else next(iter((*names, *files)), None)
        choices = [
            *((run, run) for run in names),
            *((f"{file.title} (file)", file.id) for file in files.values()),
        ]
        job = jobs.active_job(project)
        kind = job.read_job().settings.kind if job else ""
        done = exports.exports(project)
        return {
            **dataset.render(project, kind),
            head: _head(len(done)),
            run: gr.update(choices=choices, value=chosen),
            **dict(zip((step, why), _steps_and_why(project, chosen, kept), strict=True)),
            strength: _strength_update(kept.strength if kept else 1.0),
            name: _proposed_name(project, chosen),
            work: _work(project, kind == "export", bool(choices)),
            made: _made(project, done),
            primary: gr.update(interactive=bool(chosen) and job is None),
        }

    def choose_run(path: str, chosen: str, typed: str) -> tuple[object, object, str]:
        project = opened(path)
        proposals = {_proposed_name(project, None), *(lora.title for lora in exports.made_elsewhere(project))}
        named = _proposed_name(project, chosen) if typed in proposals else typed
        return *_steps_and_why(project, chosen, None), named

    page.light(run.input, choose_run, [page.project, run, name], [step, why, name])
    page.on(primary.click, _export, [run, step, name, strength])
    page.on(back.click, lambda path: Outcome(go_to="lab"))
    return StepView("export", "Export", notice_card, render)


@dataclass(frozen=True)
class _Kept:
    """What was kept in the Lab, where it can be exported. run: its name, or the id of a file."""

    run: str
    step: int
    strength: float


def _kept(project: Project, runs: Sequence[str], files: Mapping[str, LabLora]) -> _Kept | None:
    """None without one, and where it is gone."""
    found = lab.kept(project)
    if found is None:
        return None
    lora, strength = found
    if lora.id in files:
        return _Kept(lora.id, 0, strength)
    is_there = lora.run in runs and lora.step in jobs.find_run(project, lora.run).saved_steps()
    return _Kept(lora.run, lora.step, strength) if is_there else None


def _strength_update(value: float) -> object:
    return gr.update(value=value, minimum=min(LEAST_STRENGTH, value), maximum=max(MOST_STRENGTH, value))


def _steps_and_why(project: Project, chosen: str | None, kept: _Kept | None) -> tuple[object, Markup | str]:
    """The field of the checkpoints, and what speaks for the chosen one."""
    if not chosen:
        return _step_update([], None), ""
    file = _file(project, chosen)
    if file is not None:
        return gr.update(choices=[(_WHOLE_FILE, 0)], value=0, interactive=False), _why_file(
            project, file, kept
        )
    checkpoints, proposed = checkpoint_choices(project, chosen)
    if kept:
        return _step_update(checkpoints, kept.step), _why("You kept this checkpoint in the Lab.")
    return _step_update(checkpoints, proposed.step if proposed else None), _why_of(proposed)


def _why_file(project: Project, file: LabLora, kept: _Kept | None) -> Markup:
    """What the file is, or why it cannot be exported and what to do."""
    try:
        found = exports.fit_to_lab(project, file)
    except WizardError as error:
        return h("p.wz-warned.wz-place", icon("alert"), h("span", f"{error.problem} {error.remedy}"))
    said = "You kept this LoRA in the Lab. " if kept else ""
    return _why(
        f"{said}It was made elsewhere: rank {found.rank}, {plural(len(found.layers), 'layer')}, {found.form} "
        "names. Both files are written from it, and what its header says of maker and licence stays."
    )


def _file(project: Project, chosen: str) -> LabLora | None:
    return next((lora for lora in exports.made_elsewhere(project) if lora.id == chosen), None)


def _proposed_name(project: Project, chosen: str | None) -> str:
    file = _file(project, chosen) if chosen else None
    return file.title if file else safe_file_stem(project.read_settings().name)


def _export(path: str, run: str, step: int | None, name: str, strength: float) -> None:
    project = opened(path)
    file = _file(project, run) if run else None
    if file is not None:
        exports.start_of_lab(project, file, name.strip() or file.title, strength)
        return
    if not run or step is None:
        raise NotReady(
            problem="No checkpoint is chosen.", remedy="Train first, then choose a run and a checkpoint."
        )
    jobs.start_export(project, run, int(step), name.strip(), strength)


def _runs_with_checkpoints(project: Project) -> list[str]:
    return [run.name for run in reversed(jobs.runs(project)) if run.saved_steps()]


def checkpoint_choices(
    project: Project, run: str
) -> tuple[list[tuple[str, int]], RecommendedCheckpoint | None]:
    """Those on disk, newest first; the name says how far each is. And the one that is proposed."""
    folder = jobs.find_run(project, run)
    steps = folder.saved_steps()[::-1]
    proposed = recommended_checkpoint(jobs.status(folder), steps)
    return [(_checkpoint_name(step, steps[0], proposed), step) for step in steps], proposed


def _checkpoint_name(step: int, last: int, proposed: RecommendedCheckpoint | None) -> str:
    """'step 1,400 (recommended)'."""
    words = ["recommended"] if proposed and proposed.basis == "validation" and proposed.step == step else []
    words += ["last"] if step == last else []
    return f"step {step:,}" + (f" ({', '.join(words)})" if words else "")


def _step_update(checkpoints: list[tuple[str, int]], step: int | None) -> object:
    return gr.update(choices=checkpoints, value=step, interactive=True)


def _why_of(proposed: RecommendedCheckpoint | None) -> Markup | str:
    return _why(f"Step {proposed.step:,} is recommended. {proposed.why}") if proposed else ""


def _why(text: str) -> Markup:
    return h("p.wz-muted.wz-place", icon("check"), h("span", text))


def _head(count: int) -> Markup:
    sentence = (
        "Two files with the same content, for diffusers and for ComfyUI. Both are loaded back and checked."
    )
    return step_header(9, "Export", sentence, f"{count} exported" if count else "")


def _work(project: Project, busy: bool, has_checkpoints: bool) -> Markup | str:
    if busy:
        return working_card(
            "export", "Writing and verifying the files", "The model is loaded once to check every key."
        )
    if not has_checkpoints:
        return empty_state(
            "box",
            "Nothing to export yet",
            "Checkpoints appear here as soon as a training has saved one, and LoRA files that you bring into "
            "the Lab.",
            go_button("Train", "train"),
        )
    last = jobs.last_job(project, "export")
    status = jobs.status(last) if last else None
    if status and status.state is JobState.FAILED:
        return error_card(status.problem, status.remedy)
    return ""


def _made(project: Project, done: list[ExportedLora]) -> Markup | str:
    if not done:
        return ""
    return h(
        "section.wz-section",
        h("h2", "Your LoRA files", h("span.wz-count", len(done))),
        h("div.wz-exports", [_card(project, item) for item in done]),
        h(
            "p.wz-muted.wz-place",
            icon("folder"),
            h("span", "In the folder ", h("code", str(project.exports_folder))),
        ),
    )


def _card(project: Project, item: ExportedLora) -> Markup:
    return h(
        "article.wz-export",
        h("div.wz-line", h("span.wz-big-mark", icon("check")), h("div.wz-grow", h("strong", item.file.stem),
          h("p.wz-muted", f"{_origin(item)} · {bytes_text(item.size)}"))),
        h("div.wz-downloads",
          _download(project, item, "For diffusers and Python", comfy=False),
          _download(project, item, "For ComfyUI: put it into models/loras", comfy=True)),
        h("ul.wz-verified", [h("li", icon("check"), line) for line in item.verified]),
        h("details.wz-snippet",
          h("summary", "Use it in Python"),
          h("div.wz-code", h("button.wz-btn.small.quiet", icon("copy"), "Copy", type="button", data_copy="1"),
            h("pre", item.snippet))),
    )  # fmt: skip


def _origin(item: ExportedLora) -> str:
    return f"from {item.made_from}" if item.made_from else f"{item.run}, step {item.step:,}"


def _download(project: Project, item: ExportedLora, what: str, comfy: bool) -> Markup | None:
    file = item.comfyui_file if comfy else item.file
    if file is None:
        return None
    return h(
        "a.wz-lora-file",
        icon("download"),
        h("span", h("strong", file.name), h("small", what)),
        href=media.download_url(project, project.relative(file)),
        download=file.name,
    )
