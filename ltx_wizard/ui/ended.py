"""How the last job of a step ended, as a card."""

from __future__ import annotations

from collections.abc import Collection

from ltx_wizard.app import jobs
from ltx_wizard.app.monitor import log_tail
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobState
from ltx_wizard.core.units import plural
from ltx_wizard.ui.components import Markup, error_card, h, notice

_WARNINGS_SHOWN = 3


def outcome_card(project: Project, busy: str, kinds: Collection[str]) -> Markup | str:
    """What the newest job came to, if it is one of these kinds and did not all go well: the step itself shows
    the rest. busy: the kind of job that runs now.
    """
    last = jobs.newest_job(project)
    kind = last.read_job().settings.kind if last and not busy else ""
    if last is None or kind not in kinds:
        return ""
    status, what = jobs.status(last), jobs.describe(last)
    if status.state is JobState.FAILED:
        log = log_tail(last.log_file)
        details = f"{last.log_file}\n\n{log}" if log else ""
        return error_card(f"{what.capitalize()} ended early: {status.problem}", status.remedy, details)
    if status.state is JobState.STOPPED:
        return notice(f"You stopped {what}. What was done by then is kept.", "info")
    if not status.warnings:
        return ""
    more = len(status.warnings) - _WARNINGS_SHOWN
    told = [h("p", warning) for warning in status.warnings[:_WARNINGS_SHOWN]]
    return notice(
        f"{plural(len(status.warnings), 'problem')} while {what}",
        "warn",
        [*told, h("p.wz-muted", f"and {more} more") if more > 0 else None],
    )
