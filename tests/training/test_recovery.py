"""A training whose numbers break: steps are skipped, the run goes back and goes on, and nothing good is lost.

The practice model is trained for real; what is no number is put into its loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from short_runs import new_run, same_weights, short_recipe, stop_after

from ltx_wizard.core.events import EventWriter, Started, Validated, WentBack, read_events
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import JobFolder, JobState
from ltx_wizard.dataset.held_out import set_held_out
from ltx_wizard.training import loop
from ltx_wizard.training.checkpoint import read_lora, read_state
from ltx_wizard.training.health import plateau
from ltx_wizard.training.objective import Objective
from ltx_wizard.training.validation import FixedSet
from ltx_wizard.worker import main


@pytest.fixture(autouse=True)
def held_out(dataset: Project) -> None:
    set_held_out(dataset, ["clip-1"])


def test_a_step_that_is_no_number_changes_nothing_and_is_counted(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break(monkeypatch, calls=(2,))
    _break(monkeypatch, calls=(3,), how=_with_broken_gradient)
    folder = new_run(dataset, _recipe(4, **{"checkpoints.every": 1}))
    assert main([str(folder.folder)]) == 0
    status = folder.status()
    assert [(item.step, item.what, item.in_a_row) for item in status.skipped] == [
        (2, "loss", 1),
        (3, "gradient", 2),
    ]
    assert [item.step for item in status.losses] == [1, 4]
    assert status.returns == ()
    assert folder.saved_steps() == [1, 4], "between bad steps nothing is saved"
    assert all(bool(value.isfinite().all()) for value in read_lora(folder, 4).values())
    assert not same_weights(read_lora(folder, 1), read_lora(folder, 4))


def test_after_three_in_a_row_the_run_goes_back_and_on_with_half_the_rate(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the very weights of a run that was stopped at that checkpoint and told to go on so; and to the same
    once more where it is stopped again afterwards.
    """
    told = new_run(dataset, _recipe(10))
    stop_after(told, 4)
    _go_on(told, WentBack(step=4, from_step=7, reason="Told to.", learning_rate_scale=0.5))
    _break(monkeypatch, calls=(5, 6, 7))
    broken = new_run(dataset, _recipe(10))
    assert main([str(broken.folder)]) == 0
    _break(monkeypatch, calls=(5, 6, 7))
    stopped = new_run(dataset, _recipe(10))
    stop_after(stopped, 7)
    assert stopped.status().state is JobState.STOPPED and len(stopped.status().returns) == 1
    _go_on(stopped)

    status = broken.status()
    (back,) = status.returns
    assert (back.step, back.from_step, back.learning_rate_scale) == (4, 7, 0.5)
    assert "loss of the last 3 steps was not a number" in back.reason
    assert [item.step for item in status.losses] == list(range(1, 11))
    assert status.skipped == ()
    kinds = [event.kind for event in read_events(broken.events_file)]
    assert kinds.count("step_skipped") == 3, "what was given up can still be read"
    rates = [item.learning_rate for item in status.losses]
    assert rates[4] == pytest.approx(_recipe(10).optimizer.lr * 0.5 * _share_of_rate(5))
    for other in (told, stopped):
        assert same_weights(read_lora(broken, 10), read_lora(other, 10))
        assert _losses(other) == _losses(broken)
        assert [item.loss for item in other.status().validations] == [
            item.loss for item in status.validations
        ]


def test_a_run_that_breaks_again_stops_and_keeps_its_last_good_checkpoint(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between two bad steps, so that a checkpoint is there whose weights are in doubt."""
    _break(monkeypatch, from_call=5)
    folder = new_run(dataset, _recipe(12))
    stop_after(folder, 6, skipped=True)
    assert read_state(folder, 6).bad_in_a_row == 2
    good = read_lora(folder, 4)
    assert _go_on(folder) == 1
    status = folder.status()
    assert [(item.step, item.from_step) for item in status.returns] == [(4, 7)]
    assert status.state is JobState.FAILED
    assert "broke" in status.problem and "before" in status.problem
    assert "checkpoint of step 4 is good" in status.remedy and "learning rate" in status.remedy
    assert folder.saved_steps() == [2, 4]
    assert same_weights(read_lora(folder, 4), good)
    assert [item.step for item in status.losses] == [1, 2, 3, 4]


def test_a_loss_that_climbs_far_sends_the_run_back(dataset: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, from_call=31, how=lambda loss: loss * 20)
    folder = new_run(dataset, _recipe(60, **{"checkpoints.every": 15, "data.batch_size": 1}))
    assert main([str(folder.folder)]) == 1
    status = folder.status()
    (back,) = status.returns
    assert back.step == 30 < back.from_step < 60
    starts = [event.step for event in read_events(folder.events_file) if isinstance(event, Started)]
    assert starts == [0, 30]
    assert "climbed" in back.reason and "climbed" in status.problem
    assert {15, 30} <= set(folder.saved_steps())
    assert math.isfinite(status.losses[-1].loss)


def test_a_run_that_learns_nothing_is_a_plateau(dataset: Project) -> None:
    folder = new_run(dataset, _recipe(12, **{"optimizer.lr": 1e-9, "validation.loss_every": 1}))
    assert main([str(folder.folder)]) == 0
    found = plateau(folder.status().validations)
    assert found is not None and found.improved < 0.001
    assert folder.saved_steps()[-1] == 12


def test_the_best_checkpoint_is_kept_and_offered_though_it_is_old(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    _valley(monkeypatch, lowest=4)
    folder = new_run(dataset, _recipe(10, **{"checkpoints.keep": 1}))
    assert main([str(folder.folder)]) == 0
    assert folder.saved_steps() == [4, 10]
    assert folder.status().result["lora"] == "checkpoints/step-000004/lora.safetensors"
    assert folder.status().result["steps"] == 10


def test_early_stop_ends_the_run_once_the_validation_loss_has_clearly_risen(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    _valley(monkeypatch, lowest=4)
    changes = {"validation.loss_every": 1, "health.early_stop": True, "checkpoints.every": 4}
    folder = new_run(dataset, _recipe(40, **changes))
    assert main([str(folder.folder)]) == 0
    status = folder.status()
    assert status.state is JobState.FINISHED
    assert 5 < status.step < 20
    assert folder.saved_steps()[-1] == status.step, "its last step is saved"
    assert "ended early" in status.warnings[-1]
    assert status.result["lora_step"] == 4


def _recipe(steps: int, **changes: object) -> Recipe:
    return short_recipe(
        steps, **{"data.gradient_accumulation_steps": 1, "validation.loss_every": 100, **changes}
    )


def _share_of_rate(step: int) -> float:
    """Of the linear schedule over 10 steps after 2 of warm-up."""
    return 1 - 0.9 * (step - 3) / 7


def _with_broken_gradient(loss: torch.Tensor) -> torch.Tensor:
    loss.register_hook(lambda gradient: gradient * math.nan)
    return loss


def _break(
    monkeypatch: pytest.MonkeyPatch,
    calls: Sequence[int] = (),
    from_call: int | None = None,
    how: Callable[[torch.Tensor], torch.Tensor] = lambda loss: loss * math.nan,
) -> None:
    """Change the loss of these forward passes, counted from now on; from_call: of all from that one on."""
    real, count = Objective.loss, [0]

    def loss(self: Objective, *arguments: Any) -> torch.Tensor:
        count[0] += 1
        value = real(self, *arguments)
        is_meant = count[0] in calls or (from_call is not None and count[0] >= from_call)
        return how(value) if is_meant else value

    monkeypatch.setattr(Objective, "loss", loss)


def _valley(monkeypatch: pytest.MonkeyPatch, lowest: int) -> None:
    """Validation losses that are lowest at a step and rise by a tenth with each step from there."""

    def summary(self: FixedSet, step: int, losses: Sequence[float]) -> Validated:
        loss = 0.5 + 0.05 * abs(step - lowest)
        return Validated(
            step=step, loss=loss, bands={"0.2": loss, "0.8": loss}, each=(loss,) * 4, fixed_set="x"
        )

    monkeypatch.setattr(loop, "validation_loss", lambda *_given: [])
    monkeypatch.setattr(FixedSet, "summary", summary)


def _go_on(folder: JobFolder, told: WentBack | None = None) -> int:
    if told is not None:
        EventWriter(folder.events_file).write(told)
    folder.stop_file.unlink()
    return main([str(folder.folder)])


def _losses(folder: JobFolder) -> list[tuple[int, float]]:
    return [(item.step, item.loss) for item in folder.status().losses]
