"""Step 2, its second way in: a dataset of another trainer, with captions."""

from __future__ import annotations

import gradio as gr

from ltx_wizard.app import formats, jobs
from ltx_wizard.app.formats import DatasetLook
from ltx_wizard.core.clip import Rejected
from ltx_wizard.core.errors import BadInput
from ltx_wizard.core.places import typed_path
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobState
from ltx_wizard.core.units import plural
from ltx_wizard.ui.boundary import opened
from ltx_wizard.ui.components import Markup, button, error_card, h, icon, notice, working_card
from ltx_wizard.ui.page import Data, Page, Updates, panel

DATASET_TITLE = "Import a dataset with captions"
"""What the fold is called, here and where other messages point to it."""

_KIND = "import_dataset"
_SHOWN = 50
"""So many files that are left out are shown; the rest are listed after the import."""


class DatasetImport:
    """The fold with a path, what lies there, and the state of a running or finished import."""

    def __init__(self, page: Page, ordinary: gr.Checkbox) -> None:
        with gr.Accordion(DATASET_TITLE, open=False, elem_classes="wz-advanced", elem_id="videos-dataset"):
            gr.HTML(
                "<p class='wz-muted'>As trainers keep them: dataset.json, metadata.csv, videos.txt with"
                " prompts.txt, text files beside the videos, and more. Each file becomes a clip, uncut.</p>",
                apply_default_css=False,
            )
            with gr.Row(elem_classes="wz-inline-end"):
                path = gr.Textbox(
                    label="Its folder, or the file that lists it, on this computer",
                    placeholder="/home/me/datasets/cat",
                    max_lines=1,
                    elem_id="videos-dataset-path",
                )
                look = gr.Button("Look at it", size="sm", elem_id="videos-dataset-look", min_width=120)
            self._found = panel("videos-dataset-found")
        self._state = panel("videos-dataset-state")
        page.light(look.click, _look, [page.project, path], [self._found])
        page.light(path.submit, _look, [page.project, path], [self._found])
        page.on_act(self._found, {"import": _import}, [path, ordinary])

    def render(self, project: Project, busy: str) -> Updates:
        return {self._found: "", self._state: _state(project, busy)}


def _look(path: str, typed: str) -> Markup:
    if not typed.strip():
        raise BadInput(problem="No folder or file is given.", remedy="Type or paste its path first.")
    return _found(formats.look_at(opened(path), typed_path(typed)))


def _import(path: str, data: Data, typed: str, ordinary: bool) -> None:
    formats.start_import(opened(path), typed_path(typed), data.get("trigger", ""), ordinary)


def _found(look: DatasetLook) -> Markup:
    return h(
        "div.wz-found",
        h("strong", f"{look.summary}."),
        [h("p", remark) for remark in look.remarks],
        _left_out(look.left_out) if look.left_out else None,
        _import_buttons(look) if look.clips else None,
    )


def _import_buttons(look: DatasetLook) -> list[Markup]:
    label = f"Import {plural(look.clips, 'clip')}"
    if not look.trigger:
        return [h("div.wz-found-actions", button(label, "import", look="soft", symbol="download"))]
    words = (
        ". It looks like a trigger word: it becomes that of the project and leaves the captions, so that it "
        "is not written twice."
    )
    return [
        h("p", "Every caption begins with ", h("code", look.trigger), words),
        h(
            "div.wz-found-actions",
            button(label, "import", look="soft", symbol="download", trigger=look.trigger),
            button("Import, and leave it in the captions", "import", look="quiet"),
        ),
    ]


def _left_out(left_out: tuple[Rejected, ...]) -> Markup:
    more = len(left_out) - _SHOWN
    return h(
        "details",
        h("summary", f"{plural(len(left_out), 'file')} cannot be used"),
        h("ul.wz-left-out",
          [h("li", icon("alert"), h("span", h("strong", item.name), f" {item.problem} {item.remedy}"))
           for item in left_out[:_SHOWN]],
          h("li", f"and {more} more") if more > 0 else None),
    )  # fmt: skip


def _state(project: Project, busy: str) -> Markup | str:
    """Of the newest job only: what an import did is no news after another job."""
    if busy == _KIND:
        return working_card(
            _KIND,
            "Importing the dataset",
            "Every frame is looked at once. Stopping keeps the clips that are done.",
        )
    last = jobs.last_job(project, _KIND)
    if busy or last is None or not jobs.is_newest(project, last):
        return ""
    status = jobs.status(last)
    if status.state is JobState.FAILED:
        return error_card(status.problem, status.remedy)
    if status.state is JobState.STOPPED:
        return notice("The import was stopped. Import again to go on: what is here stays.", "info")
    if status.state is not JobState.FINISHED:
        return ""
    return notice(formats.import_text(status), "warn" if status.result.get("problems") else "good")
