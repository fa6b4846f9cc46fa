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
    """What an action leaves to show. message: a card; go_to: the step to show; project: what to open."""

    message: Markup = NOTHING
    go_to: str = ""
    project: Path | None = None
    failed: bool = False


def attempt(action: Callable[[], Outcome | None]) -> Outcome:
    """Do it. A WizardError becomes problem and remedy; anything else is a bug, logged with its traceback."""
    try:
        return action() or Outcome()
    except WizardError as error:
        return Outcome(error_card(error.problem, error.remedy), failed=True)
    except Exception as error:  # the one place in the window that may: style rule 8
        return Outcome(bug_card(error), failed=True)


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
