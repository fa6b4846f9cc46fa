"""Step 5: what stands between this dataset and a good LoRA. Drawn by assets/js/check.js."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import gradio as gr

from ltx_wizard.app import checking, jobs, recipes
from ltx_wizard.core.errors import BadInput, Busy, NotFound
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import plural
from ltx_wizard.ui import ended
from ltx_wizard.ui.boundary import Outcome, opened
from ltx_wizard.ui.components import Markup, empty_state, go_button, notice, step_header, working_card
from ltx_wizard.ui.page import Data, Page, StepView, Updates, live_panel, panel
from ltx_wizard.ui.steps.check_data import check_json

if TYPE_CHECKING:
    from ltx_wizard.app.checking import Finding

_KEPT = "Stopping keeps what is done, and the next look goes on from there."
_WORKING = {
    "check_clips": ("Looking at clips", f"Every frame is read once. {_KEPT}"),
    "crop": ("Cropping clips", "Written again from your originals. Stopping keeps the clips that are done."),
    "conform": ("Fitting clips to the training size", "Stopping keeps the clips that are done."),
    "caption": ("Writing draft captions", "Stopping keeps the captions that are done."),
    "cut": ("Cutting the parts", "Frame-exact. Stopping keeps the clips that are done."),
}
_CHANGES_CLIPS = frozenset({"crop", "conform", "caption", "cut", "find_scenes", "import_dataset"})
"""While one of these runs, no clip is left out or brought back."""


def build(page: Page) -> StepView:
    head = panel("check-head")
    notice_card = panel("check-notice")
    work = panel("check-work")
    report = live_panel("check")
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="check-back")
        primary = gr.Button("Choose the recipe", variant="primary", elem_id="check-primary")

    def render(project: Project | None) -> Updates:
        assert project is not None
        checked, busy = checking.look(project), _running(project)
        clips, left = len(checked.dataset.clips), len(checked.left_out)
        must = sum(finding.level == "must" for finding in checked.findings)
        return {
            head: _head(checked.findings, clips),
            work: _work(busy) or (_empty() if not clips and not left else outcome_card(project, busy)),
            report: json.dumps(check_json(project, checked, busy)) if clips or left else "",
            primary: gr.update(interactive=not must),
        }

    page.on_act(
        report,
        {
            "fix": _fix,
            "leave_out": _leave_out,
            "bring_back": _bring_back,
            "hold_out": _hold_out,
            "train_on": _train_on,
            "hold_out_automatic": _hold_out_automatic,
            "hold_out_others": _hold_out_others,
            "set_mirror": lambda path, data: _set_copies(path, "data.mirror", data["value"]),
            "set_colour": lambda path, data: _set_copies(path, "data.colour_copies", int(data["value"])),
            "draw_sheet": _draw_sheet,
        },
    )
    page.on(back.click, lambda path: Outcome(go_to="captions"))
    page.on(primary.click, lambda path: Outcome(go_to="recipe"))
    return StepView("check", "Check", notice_card, render)


def _fix(path: str, data: Data) -> Outcome:
    """Findings are computed anew: the page names one and perhaps some of its clips; what still applies is
    fixed.
    """
    project = opened(path)
    finding = checking.find_finding(project, data["finding"])
    if chosen := set(_ids(data)):
        finding = replace(finding, clip_ids=tuple(item for item in finding.clip_ids if item in chosen))
    if chosen and not finding.clip_ids:
        raise NotFound(problem="This is put right for these clips already.", remedy="Look at the list below.")
    if not finding.fix:
        raise BadInput(problem="The app cannot put this right by itself.", remedy=finding.remedy)
    job = jobs.apply_fix(project, finding)
    return Outcome() if job else Outcome(notice(f"Done: {finding.fix_label.lower()}.", "good"))


def _leave_out(path: str, data: Data) -> Outcome:
    project = opened(path)
    _refuse_while_clips_change(project)
    count = checking.leave_out(project, checking.find_finding(project, data["finding"]), _ids(data))
    if not count:
        raise BadInput(problem="No clip was chosen.", remedy="Choose at least one.")
    return Outcome()


def _bring_back(path: str, data: Data) -> Outcome:
    project = opened(path)
    _refuse_while_clips_change(project)
    brought = checking.bring_back(project, _ids(data))
    said = [f"{plural(len(brought.back), 'clip')} back in the dataset."] if brought.back else []
    if brought.to_cut:
        said.append(f"{plural(len(brought.to_cut), 'file')} gone: press 'Cut' in the step Scenes.")
    return Outcome(notice(" ".join(said), "warn" if brought.to_cut else "good"))


def _hold_out(path: str, data: Data) -> Outcome:
    return _keep_for_validation(opened(path), _ids(data))


def _train_on(path: str, data: Data) -> Outcome:
    """Take clips out of those that are kept for validation now, not when the page was drawn."""
    project = opened(path)
    return _keep_for_validation(project, sorted(checking.held_out(project) - set(_ids(data))))


def _keep_for_validation(project: Project, chosen: Sequence[str]) -> Outcome:
    if not chosen:
        raise BadInput(
            problem="No clip is left for validation.",
            remedy="Keep one, or let the app choose. To keep none, set the share to 0 in the step Recipe.",
        )
    checking.choose_held_out(project, chosen)
    return Outcome()


def _hold_out_automatic(path: str, data: Data) -> Outcome:
    checking.choose_held_out(opened(path), ())
    return Outcome()


def _hold_out_others(path: str, data: Data) -> Outcome:
    checking.swap_doubles(opened(path))
    return Outcome()


def _set_copies(path: str, key: str, value: object) -> Outcome:
    recipes.change_setting(opened(path), key, value)
    return Outcome()


def _draw_sheet(path: str, data: Data) -> Outcome:
    jobs.start_contact_sheet(opened(path))
    return Outcome()


def _ids(data: Data) -> list[str]:
    return [clip_id for clip_id in data.get("clips", "").split(",") if clip_id]


def _running(project: Project) -> str:
    job = jobs.active_job(project)
    return job.read_job().settings.kind if job else ""


def _refuse_while_clips_change(project: Project) -> None:
    if _running(project) in _CHANGES_CLIPS:
        raise Busy(
            problem="A job is changing the clips at the moment.",
            remedy="Wait until it is done, or stop it, then try again.",
        )


def _head(found: Sequence[Finding], clips: int) -> Markup:
    sentence = "Problems found here cost minutes; found after a night of training they cost the night."
    counts = [sum(item.level == level for item in found) for level in ("must", "should", "fine")]
    status = f"{plural(clips, 'clip')}: {counts[0]} must fix, {counts[1]} should fix, {counts[2]} fine"
    return step_header(5, "Check", sentence, status if clips else "")


def _empty() -> Markup:
    return empty_state(
        "shield",
        "Nothing to check yet",
        "Cut clips in the step Scenes, then come back.",
        go_button("Scenes", "scenes"),
    )


def _work(busy: str) -> Markup | str:
    return working_card(busy, *_WORKING[busy]) if busy in _WORKING else ""


def outcome_card(project: Project, busy: str) -> Markup | str:
    """What the newest job came to, where it did not all go well: the clips themselves show the rest."""
    return ended.outcome_card(project, busy, (*_WORKING, "contact_sheet"))
