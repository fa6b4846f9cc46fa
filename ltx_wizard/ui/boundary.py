"""Where the window meets the rest: every call of a click passes here, and every failure becomes a card."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.ui.components import NOTHING, Markup, error_card

_LOG = logging.getLogger("ltx_wizard")


@dataclass(frozen=True)
class Outcome:
    """What an action leaves to show. message: a card; go_to: the step to show; project: what to open.

    problem, remedy: why it failed, in words, where the card says just that. unchanged: nothing was done, and
    the page stays as it is, with what it says.
    """

    message: Markup = NOTHING
    go_to: str = ""
    project: Path | None = None
    failed: bool = False
    problem: str = ""
    remedy: str = ""
    unchanged: bool = False


UNCHANGED = Outcome(unchanged=True)
"""Of a field that is left as it was: the reason why another was refused stays to be read."""


def attempt(action: Callable[[], Outcome | None]) -> Outcome:
    """Do it. A WizardError becomes problem and remedy; anything else is a bug, logged with its traceback."""
    try:
        return action() or Outcome()
    except WizardError as error:
        return refused(error.problem, error.remedy)
    except Exception as error:  # the one place in the window that may: style rule 8
        return Outcome(bug_card(error), failed=True)


def refused(problem: str, remedy: str) -> Outcome:
    return Outcome(error_card(problem, remedy), failed=True, problem=problem, remedy=remedy)


def bug_card(error: Exception) -> Markup:
    """Nobody foresaw this: say so, and give what a bug report needs."""
    _LOG.error("A bug in LTX Wizard", exc_info=error)
    return error_card(
        "Something went wrong inside LTX Wizard. Your project is on disk and unchanged by this.",
        "Try again. If it happens again, please report it with the details below.",
        "".join(traceback.format_exception(error))[-4000:],
    )


def opened(path: str) -> Project:
    """The project of this page. Raises NotFound or BadDocument."""
    return Project.open(Path(path))
