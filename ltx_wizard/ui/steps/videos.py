"""Step 2: the material."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from ltx_wizard.app import datasets, formats, jobs
from ltx_wizard.core.clip import MediaKind, Rejected, Source, told_apart
from ltx_wizard.core.documents import is_file
from ltx_wizard.core.errors import BadInput, NotFound
from ltx_wizard.core.places import typed_path
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import bytes_text, plural, timecode_text
from ltx_wizard.ui import media
from ltx_wizard.ui.boundary import Outcome, opened
from ltx_wizard.ui.components import (
    Markup,
    badge,
    button,
    empty_state,
    h,
    icon,
    icon_button,
    notice,
    step_header,
)
from ltx_wizard.ui.page import Data, Page, StepView, Updates, panel
from ltx_wizard.ui.steps.videos_dataset import DATASET_TITLE, DatasetImport

if TYPE_CHECKING:
    from ltx_wizard.app.datasets import ImportReport

_FILE_TYPES = [
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".wmv",
    ".flv", ".3gp", ".ogv", ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".txt", ".json",
]  # fmt: skip
"""Captions may be dropped along with their videos."""

_DATASET_WORDS = f"'{DATASET_TITLE}'"

_GONE = "its file is gone: remove it here, then add it again"
_REMOVE = "Remove this file with its clips and captions? Your original stays where it is."


def build(page: Page) -> StepView:
    head = panel("videos-head")
    notice_card = panel("videos-notice")
    with gr.Row(elem_classes="wz-import"):
        with gr.Column(scale=3, min_width=280):
            upload = gr.File(
                label="Drop videos or images here",
                file_count="multiple",
                file_types=_FILE_TYPES,
                elem_id="videos-upload",
                height=168,
            )
        with gr.Column(scale=3, min_width=280, elem_classes="wz-card wz-import-folder"):
            folder = gr.Textbox(
                label="Or a folder or file on this computer",
                placeholder="/home/me/Videos/cat",
                elem_id="videos-folder",
            )
            with gr.Row(elem_classes="wz-inline"):
                add_folder = gr.Button("Add it", elem_id="videos-add-folder", size="sm")
                ordinary = gr.Checkbox(
                    label="Ordinary videos (regularisation)",
                    elem_id="videos-regularisation",
                )
    dataset = DatasetImport(page, ordinary)
    table = panel("videos-table")
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="videos-back")
        primary = gr.Button("Go on to scenes", variant="primary", elem_id="videos-primary")

    def render(project: Project | None) -> Updates:
        assert project is not None
        sources = datasets.sources(project)
        job = jobs.active_job(project)
        return {
            **dataset.render(project, job.read_job().settings.kind if job else ""),
            head: _head(project, sources),
            table: _lists(project, sources, datasets.rejected(project)),
            upload: None,
            primary: gr.update(interactive=bool(sources)),
        }

    page.busy(upload.upload, "Reading your files: each frame is looked at once ...", notice_card)
    page.on(upload.upload, _import_uploads, [upload, ordinary])
    page.busy(add_folder.click, "Reading that folder ...", notice_card)
    page.on(add_folder.click, _import_folder, [folder, ordinary])
    page.on(folder.submit, _import_folder, [folder, ordinary])
    page.on(back.click, lambda path: Outcome(go_to="goal"))
    page.on(primary.click, lambda path: Outcome(go_to="scenes"))
    page.on_act(
        table, {"remove": _remove, "regularisation": _set_regularisation, "clear_rejected": _clear_rejected}
    )
    return StepView("videos", "Videos", notice_card, render)


def _import_uploads(path: str, files: list[str] | None, ordinary: bool) -> Outcome:
    """Uploads arrive as temporary copies; the project makes its own, then they go."""
    paths = [Path(file) for file in files or []]
    try:
        report = datasets.import_paths(opened(path), paths, regularisation=ordinary)
    finally:
        for temporary in paths:
            temporary.unlink(missing_ok=True)
    return Outcome(_import_message(len(report.added), len(report.rejected), len(report.skipped_duplicates)))


def _import_folder(path: str, folder: str, ordinary: bool) -> Outcome:
    """A folder, or a single file."""
    if not folder.strip():
        raise BadInput(problem="No folder is given.", remedy="Type or paste its path first.")
    chosen = typed_path(folder)
    project = opened(path)
    report = (
        datasets.import_paths(project, [chosen], regularisation=ordinary)
        if is_file(chosen)
        else _import_videos(project, chosen, ordinary)
    )
    table = "" if is_file(chosen) else formats.table_in(chosen)
    counts = (len(report.added), len(report.rejected), len(report.skipped_duplicates))
    return Outcome(_import_message(*counts, more=_table_hint(table) if table else None))


def _import_videos(project: Project, folder: Path, ordinary: bool) -> ImportReport:
    """Raises NotFound, which names the dataset where the folder holds one instead of videos."""
    try:
        return datasets.import_folder(project, folder, regularisation=ordinary)
    except NotFound as error:
        table = formats.table_in(folder)
        if not table:
            raise
        raise NotFound(
            problem=f"There are no videos directly in {folder}, but a dataset with captions ({table}).",
            remedy=f"Give this folder to {_DATASET_WORDS}.",
        ) from error


def _table_hint(table: str) -> Markup:
    return h(
        "p",
        f"This folder also holds captions ({table}). To use them, give it to {_DATASET_WORDS}.",
    )


def _import_message(added: int, rejected: int, skipped: int, more: Markup | None = None) -> Markup:
    parts = [f"{plural(added, 'file')} added"]
    if skipped:
        parts.append(f"{plural(skipped, 'file')} already here")
    if rejected:
        parts.append(f"{plural(rejected, 'file')} could not be used: see the reasons below")
    return notice(". ".join(parts) + ".", "warn" if rejected or not added else "good", more)


def _remove(path: str, data: Data) -> None:
    datasets.remove_source(opened(path), data["id"])


def _set_regularisation(path: str, data: Data) -> None:
    datasets.set_regularisation(opened(path), data["id"], data["flag"] == "1")


def _clear_rejected(path: str, _data: Data) -> None:
    datasets.clear_rejected(opened(path))


def _head(project: Project, sources: list[Source]) -> Markup:
    fewest, _, words = datasets.wanted_clips(project.read_settings().goal)
    sentence = (
        f"Bring the material the LoRA learns from. This goal wants {words}; "
        "longer videos give several clips each."
    )
    learnt = [source for source in sources if not source.regularisation]
    ordinary = len(sources) - len(learnt)
    total_s = sum(source.duration_s for source in learnt)
    status = (
        f"{plural(len(learnt), 'file')}, {timecode_text(total_s)} of video"
        + (f", {ordinary} ordinary" if ordinary else "")
        if sources
        else f"0 of {fewest} clips"
    )
    return step_header(2, "Videos", sentence, status)


def _lists(project: Project, sources: list[Source], rejected: list[Rejected]) -> Markup:
    if not sources and not rejected:
        return empty_state(
            "film",
            "No videos yet",
            "Drop files above, or give a folder. Videos: mp4, mov, mkv, webm, avi, gif. Images: jpg, png, "
            "webp. Captions may come along as .txt files of the same names.",
        )
    return h(
        "div",
        _broken_list(rejected) if rejected else None,
        _table(project, [source for source in sources if not source.regularisation], "Material to learn"),
        _table(
            project,
            [source for source in sources if source.regularisation],
            "Ordinary videos (regularisation)",
            "They keep prompts without the trigger word as they were.",
        ),
    )


def _table(project: Project, sources: list[Source], title: str, note: str = "") -> Markup | None:
    if not sources:
        return None
    names = told_apart(datasets.sources(project))
    rows = [_row(project, source, names.get(source.id, source.original_name)) for source in sources]
    columns = ("", "Name", "Length", "Size", "fps", "Audio", "File", "Finding", "")
    return h(
        "section.wz-section",
        h("h2", title, h("span.wz-count", len(sources))),
        h("p.wz-muted", note) if note else None,
        h("div.wz-table-box",
          h("table.wz-table",
            h("thead", h("tr", [h("th", column) for column in columns])),
            h("tbody", rows))),
    )  # fmt: skip


def _row(project: Project, source: Source, name: str) -> Markup:
    size = _file_size(project, source)
    is_image = source.kind is MediaKind.IMAGE
    flag = "0" if source.regularisation else "1"
    mark = "Use as material to learn" if source.regularisation else "Mark as ordinary (regularisation)"
    return h(
        "tr",
        h("td", h("div.wz-thumb.small",
                  h("img", src=media.source_picture(project, source), alt="", loading="lazy"))),
        h("td.wz-name", h("span", name, title=name)),
        h("td.num", "image" if is_image else timecode_text(source.duration_s)),
        h("td.num", f"{source.width} × {source.height}"),
        h("td.num", "" if is_image else f"{source.fps:.3g}"),
        h("td", icon("sound") if source.has_audio else h("span.wz-muted", "none")),
        h("td.num", size),
        h("td", _findings(source) if size else badge(_GONE, "bad")),
        h("td.wz-tools",
          icon_button("undo" if source.regularisation else "shield", mark, "regularisation",
                      id=source.id, flag=flag),
          icon_button("trash", "Remove from the project", "remove", id=source.id, confirm=_REMOVE)),
    )  # fmt: skip


def _findings(source: Source) -> Markup:
    notes = [*source.warnings]
    if source.rotation:
        notes.append(f"turned by {source.rotation}°")
    if not notes:
        return badge("good", "good")
    return h("span", [badge(note, "warn") for note in notes])


def _broken_list(rejected: list[Rejected]) -> Markup:
    return h(
        "section.wz-section.wz-broken",
        h("h2", "Could not be used", h("span.wz-count", len(rejected)),
          h("span.wz-grow"), button("Clear this list", "clear_rejected", look="small quiet")),
        h("ul", [h("li", icon("alert"),
                   h("div", h("strong", item.name), h("p", f"{item.problem} {item.remedy}")))
                 for item in rejected]),
    )  # fmt: skip


def _file_size(project: Project, source: Source) -> str:
    """Empty where the file was deleted from the project."""
    try:
        return bytes_text(project.path(source.file).stat().st_size)
    except OSError:
        return ""
