"""What the step Captions says of a captioner at work, and of how it ended."""

from __future__ import annotations

from ltx_wizard.app import caption_jobs, datasets, jobs
from ltx_wizard.app.caption_jobs import Outcome, Reason
from ltx_wizard.core.clip import told_apart
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobState
from ltx_wizard.core.units import plural, timecode_text
from ltx_wizard.ui.boundary import opened
from ltx_wizard.ui.components import Markup, button, h, icon, working_card
from ltx_wizard.ui.live import job_json
from ltx_wizard.ui.page import Action

_SHOWN_CLIPS = 6
_LOOK = {
    JobState.FINISHED: ("good", "check"),
    JobState.STOPPED: ("info", "info"),
    JobState.FAILED: ("bad", "alert"),
}


def working(project: Project) -> Markup:
    """The captioner that works now."""
    job = jobs.active_job(project)
    return working_card(
        caption_jobs.KIND,
        f"Writing captions with {caption_jobs.running_title(project)}",
        "Each caption appears below as soon as it is written. Stopping keeps them.",
        job_json(job) if job else None,
    )


def ended(project: Project) -> Markup | str:
    """How the last captioning ended, until it is closed or another job was started."""
    found = caption_jobs.outcome(project)
    if found is None:
        return ""
    look, symbol = _LOOK.get(found.state, ("info", "info"))
    if found.state is JobState.FINISHED and found.left:
        look, symbol = "warn", "alert"
    return h(
        "div.wz-notice",
        icon(symbol),
        h("div", h("strong", _headline(found)), [h("p", line) for line in _lines(found)],
          _reasons(project, found.reasons), _buttons(found)),
        h("button.wz-icon-btn.wz-dismiss", icon("x"), type="button", title="Close", data_do="close_report"),
        class_=f"wz-{look} wz-caption-report",
        role="alert" if found.state is JobState.FAILED else "status",
    )  # fmt: skip


def actions() -> dict[str, Action]:
    """What the buttons of the report do."""
    return {
        "go_on": lambda path, _data: _go_on(path),
        "close_report": lambda path, _data: caption_jobs.close_report(opened(path)),
    }


def _go_on(path: str) -> None:
    caption_jobs.go_on(opened(path))


def _headline(found: Outcome) -> str:
    if found.state is JobState.FAILED:
        return found.problem
    if found.state is JobState.STOPPED:
        return f"Stopped: {_written(found.written)}, {plural(len(found.left), 'clip')} to go."
    if found.left:
        return f"{plural(len(found.left), 'clip')} got no caption from {found.captioner}."
    if not found.written:
        return "Nothing to do: these clips have captions."
    return f"{_written(found.written)} with {found.captioner}."


def _lines(found: Outcome) -> list[str]:
    """What it means, and what happens next."""
    if found.state is JobState.FAILED:
        kept = f"{_written(found.written)} and kept." if found.written else ""
        return [line for line in (found.remedy, kept) if line]
    if found.state is JobState.STOPPED:
        return ["Going on captions the others; what is written stays as it is."]
    if found.left:
        return [f"{_written(found.written)}."] if found.written else []
    if not found.written:
        return ["To write them anew, tick 'Also rewrite captions that exist' under Captioner."]
    return ["They are drafts: read each beside its clip, correct it, then press Accept (a)."]


def _written(count: int) -> str:
    return (
        f"{plural(count, 'caption')} {'is' if count == 1 else 'are'} written" if count else "no caption yet"
    )


def _reasons(project: Project, reasons: tuple[Reason, ...]) -> Markup | None:
    """Which clips failed and why, the clips by the names that a person knows."""
    if not reasons:
        return None
    names = told_apart(datasets.sources(project))
    clips = {clip.id: clip for clip in datasets.clips(project)}

    def name(clip_id: str) -> str:
        clip = clips.get(clip_id)
        return f"{names.get(clip.source_id, clip.id)} at {timecode_text(clip.start_s)}" if clip else clip_id

    def named(reason: Reason) -> str:
        more = len(reason.clip_ids) - _SHOWN_CLIPS
        shown = ", ".join(name(clip_id) for clip_id in reason.clip_ids[:_SHOWN_CLIPS])
        return f"{shown} and {more} more" if more > 0 else shown

    return h("ul.wz-reasons", [h("li", h("b", named(reason)), f": {reason.text}") for reason in reasons])


def _buttons(found: Outcome) -> Markup | None:
    if not found.left:
        return None
    count = plural(len(found.left), "clip")
    label = f"Go on with {count}" if found.state is JobState.STOPPED else f"Try {count} again"
    return h(
        "div.wz-line",
        button(label, "go_on", look="small soft"),
        h("button.wz-btn.small", "Choose a captioner", type="button", data_open_captioner="1"),
    )
