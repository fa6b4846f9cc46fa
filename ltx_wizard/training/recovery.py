"""Going back: a run whose numbers broke goes on from its last good checkpoint. Worker-side."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from ltx_wizard.core.errors import JobFailed
from ltx_wizard.core.events import WentBack
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.report import Report
from ltx_wizard.core.run import JobFolder
from ltx_wizard.training.checkpoint import newest_good_step, read_state


class Broken(Exception):
    """Training cannot go on from where it is. reason: one sentence. good_step: up to there all was well."""

    def __init__(self, step: int, good_step: int, reason: str) -> None:
        super().__init__(reason)
        self.step, self.good_step, self.reason = step, good_step, reason


def with_lowered_rate(recipe: Recipe, returns: Sequence[WentBack]) -> Recipe:
    """The recipe as it goes on after these returns."""
    if not returns:
        return recipe
    lr = recipe.optimizer.lr * returns[-1].learning_rate_scale
    return recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"lr": lr})})


def go_back(folder: JobFolder, recipe: Recipe, broken: Broken, report: Report) -> None:
    """Drop what is newer than the last good checkpoint, and say so. The next attempt restores it: weights,
    optimizer and, since all that is random follows from seed and step, the random state.

    recipe: as the run began with it. Raises JobFailed, and drops nothing, where the run went back often
    enough.
    """
    good_step = _last_good_step(folder, broken.good_step, report)
    returns, health = folder.status().returns, recipe.health
    if len(returns) >= health.go_backs:
        raise _gives_up(recipe, broken, good_step, returns)
    scale = (returns[-1].learning_rate_scale if returns else 1.0) * health.go_back_lr
    # Dropped first: a run that is killed here starts from the good one, too.
    for step in folder.saved_steps():
        if step > good_step:
            shutil.rmtree(folder.checkpoint_folder(step), ignore_errors=True)
    report.emit(
        WentBack(step=good_step, from_step=broken.step, reason=broken.reason, learning_rate_scale=scale)
    )


def _last_good_step(folder: JobFolder, until: int, report: Report) -> int:
    """0: none. One that was saved between bad steps may hold weights that are broken already."""
    step = newest_good_step(folder, report, until)
    while step and read_state(folder, step).bad_in_a_row:
        step = newest_good_step(folder, report, step - 1)
    return step


def _gives_up(recipe: Recipe, broken: Broken, good_step: int, returns: Sequence[WentBack]) -> JobFailed:
    lr = with_lowered_rate(recipe, returns).optimizer.lr
    kept = f"The checkpoint of step {good_step:,} is good and is kept. " if good_step else ""
    again = " It has broken before." if returns else ""
    return JobFailed(
        problem=f"The training broke. {broken.reason}{again}",
        remedy=f"{kept}Lower the learning rate in the recipe, to {lr / 4:.1g} or less, and train again. "
        "If that does not help, look for a damaged clip in the step Check.",
    )
