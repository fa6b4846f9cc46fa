"""Advice: what is seen in the curves is said once, with figures, a remedy and its place on the plot."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from ltx_wizard.app.advisor import Advice, advise, recommended_checkpoint
from ltx_wizard.core.events import (
    CheckpointSaved,
    Event,
    Failed,
    Finished,
    SampleReady,
    Started,
    StepDone,
    StepSkipped,
    Validated,
    WentBack,
)
from ltx_wizard.core.measures import SampleMeasures
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import JobStatus, fold

STEPS = 1000
RECIPE = with_settings(
    Recipe(), {"lora.rank": 64, "lora.alpha": 64, "steps": STEPS, "data.caption_dropout": 0.05}
)
BANDS = ("0.2", "0.6", "0.95")

Curve = Callable[[float], float]


def falling(share: float) -> float:
    return 0.4 + 0.6 * math.exp(-2 * share)


def valley(share: float) -> float:
    return 0.6 + 0.4 * math.exp(-12 * share) + 0.28 * share


def history(
    training: Curve = falling, validation: Curve = falling, learnt: bool = False, bands: Curve | None = None
) -> list[Event]:
    """A run of 1,000 steps, validated every 50, saved every 100. bands: the curve at the highest noise."""
    chance = random.Random(1)
    events: list[Event] = [Started(pid=1, steps=STEPS)]
    for step in range(STEPS + 1):
        if step:
            loss = training(step / STEPS) * math.exp(chance.gauss(-0.03, 0.25))
            events.append(step_done(step, loss))
        if step % 100 == 0 and step:
            events.append(CheckpointSaved(step=step, file=f"checkpoints/step-{step:06d}"))
        if step % 50 == 0:
            events.append(validated(step, validation, bands or validation, chance, learnt))
    return events


def step_done(step: int, loss: float) -> StepDone:
    return StepDone(step=step, steps=STEPS, loss=loss, learning_rate=1e-4, grad_norm=1, step_s=1)


def validated(step: int, low: Curve, high: Curve, chance: random.Random, learnt: bool) -> Validated:
    values = [
        [curve(step / STEPS) * clip * math.exp(chance.gauss(0, 0.002)) for clip in (0.8, 1.0, 1.2)]
        for curve in (low, low, high)
    ]
    each = tuple(loss for band in values for loss in band)
    return Validated(
        step=step,
        loss=sum(each) / len(each),
        bands={name: sum(band) / len(band) for name, band in zip(BANDS, values, strict=True)},
        each=each,
        fixed_set="one",
        learnt=learnt,
    )


def said(events: list[Event], clips: int = 12, recipe: Recipe = RECIPE) -> list[Advice]:
    return advise(fold(events), recipe, clips)


def ids(events: list[Event]) -> list[str]:
    return [advice.id for advice in said(events)]


def test_overfitting_is_called_with_what_to_do_and_where_to_see_it() -> None:
    (advice,) = said(history(validation=valley))
    assert (advice.id, advice.severity) == ("overfitting", "warning")
    lowest = next(mark for mark in advice.marks if mark.label == "lowest")
    assert lowest.series == "validation" and 200 <= lowest.from_step == lowest.to_step <= 350
    assert f"Stop near step {lowest.from_step:,}" in advice.to_do[0]
    assert any("rank to 32" in item and "12 clips" in item for item in advice.to_do)
    assert any("poses" in item for item in advice.to_do)
    assert advice.changes == {
        "steps": lowest.from_step,
        "lora.rank": 32,
        "lora.alpha": 32,
        "data.caption_dropout": 0.1,
    }
    with_settings(RECIPE, dict(advice.changes))
    assert {mark.series for mark in advice.marks} == {"validation", "loss"}


@pytest.mark.parametrize(
    ("clips", "rank", "advised"), [(4, 128, 32), (30, 128, 64), (60, 128, 64), (4, 8, 4)]
)
def test_the_rank_to_lower_to_is_the_guides_for_so_many_clips(clips: int, rank: int, advised: int) -> None:
    recipe = with_settings(RECIPE, {"lora.rank": rank, "lora.alpha": 16})
    (advice,) = said(history(validation=valley), clips, recipe)
    assert advice.changes["lora.rank"] == advised
    assert "lora.alpha" not in advice.changes, "an alpha of its own stays"


def test_where_only_detail_rises_the_advice_says_so() -> None:
    (advice,) = said(history(validation=valley, bands=falling))
    assert "noise 0.2 and 0.6, where detail is learnt" in advice.text


def test_a_run_that_goes_well_is_told_so_and_at_its_end_that_it_may_go_on() -> None:
    assert ids(history()) == ["learning"]
    (advice,) = said([*history(), Finished(step=STEPS)])
    assert (advice.id, advice.severity, advice.changes) == ("still-learning", "good", {"steps": 1500})


def test_nothing_is_said_before_there_is_something_to_say() -> None:
    assert said([]) == []
    assert said(history()[:60]) == []


def test_a_curve_that_has_become_level_is_a_note_and_one_that_never_moved_a_warning() -> None:
    level = said(history(validation=lambda share: 0.6 + 0.4 * math.exp(-15 * share)))
    assert [item.id for item in level] == ["plateau"]
    assert level[0].marks[0].from_step < 500
    (nothing,) = said(history(training=lambda _: 0.9, validation=lambda _: 0.9))
    assert (nothing.id, nothing.severity) == ("nothing-learnt", "warning")
    assert nothing.changes == {"optimizer.lr": 2 * RECIPE.optimizer.lr}


def test_what_is_advised_is_within_what_a_recipe_may_have() -> None:
    fastest = with_settings(RECIPE, {"optimizer.lr": 0.1})
    (nothing,) = said(history(training=lambda _: 0.9, validation=lambda _: 0.9), recipe=fastest)
    assert nothing.changes == {} and "Raise the learning rate" not in " ".join(nothing.to_do)
    faster = with_settings(RECIPE, {"optimizer.lr": 0.08})
    (nothing,) = said(history(training=lambda _: 0.9, validation=lambda _: 0.9), recipe=faster)
    assert nothing.changes == {"optimizer.lr": 0.1}

    def later(events: list[Event], by: int) -> list[Event]:
        moved = [
            item.model_copy(update={"step": item.step * by})
            if isinstance(item, (StepDone, Validated))
            else item
            for item in events
        ]
        return [*moved, Finished(step=STEPS * by)]

    (advice,) = said(later(history(), 150))
    assert advice.changes == {"steps": 200_000}
    assert "still-learning" not in ids(later(history(), 200)), "there is no longer run"


def test_a_loss_that_climbs_away_comes_first() -> None:
    def climbs(share: float) -> float:
        return falling(share) if share < 0.9 else 4.0

    first = said(history(training=climbs, validation=valley))[0]
    assert (first.id, first.severity) == ("diverging", "problem")
    assert 890 <= first.marks[0].from_step <= 930, "since when, not only where it is now"
    assert first.changes == {"optimizer.lr": RECIPE.optimizer.lr / 2}


def test_a_lora_that_does_worse_than_none_is_a_problem() -> None:
    found = said(history(training=lambda _: 1.1, validation=lambda share: 1.0 + 0.3 * (share > 0)))
    assert found[0].id == "harmful"


def test_steps_that_were_no_number_are_told_and_many_of_them_are_a_warning() -> None:
    events = history()
    few = [*events[:500], StepSkipped(step=450, steps=STEPS, what="loss", in_a_row=1), *events[500:]]
    (note,) = [item for item in said(few) if item.id == "skipped"]
    assert note.severity == "note" and "1 step of 1,000" in note.text
    many = [StepSkipped(step=STEPS, steps=STEPS, what="gradient", in_a_row=1)] * 30
    (warning,) = [item for item in said([*events, *many]) if item.id == "skipped"]
    assert warning.severity == "warning" and "damaged clip" in warning.to_do[0]


def test_a_run_that_went_back_is_told_with_the_rate_for_the_next() -> None:
    back = WentBack(step=400, from_step=450, reason="The loss was not a number.", learning_rate_scale=0.5)
    first = said([*history(), back])[0]
    assert (first.id, first.changes) == ("went-back", {"optimizer.lr": RECIPE.optimizer.lr / 2})
    assert first.marks[0].from_step == 400
    failed = said([*history(), back, Failed(problem="The training broke.", remedy="Lower it.", step=900)])[0]
    assert (failed.id, failed.severity) == ("broken", "problem")
    assert failed.changes == {"optimizer.lr": RECIPE.optimizer.lr / 8}


def sample(step: int, index: int, **measures: object) -> SampleReady:
    return SampleReady(
        step=step, prompt_index=index, prompt="x", seed=1, file="x.mp4",
        measures=SampleMeasures.model_validate(measures),
    )  # fmt: skip


def test_samples_that_barely_move_are_a_warning_where_the_base_models_do() -> None:
    def advised(*measures: dict[str, float]) -> list[str]:
        made = [sample(200, 0, motion=0.1, motion_of_base=0.1)]
        made += [sample(400, index, **given) for index, given in enumerate(measures)]
        return ids([*history(), *made])

    still, lively = {"motion": 0.02, "motion_of_base": 0.1}, {"motion": 0.09, "motion_of_base": 0.1}
    assert "static" in advised(still, lively)
    assert "static" not in advised(still, lively, lively)
    assert "static" not in advised({"motion": 0.0, "motion_of_base": 0.001})
    assert "static" not in advised({})
    (advice,) = [item for item in said([*history(), sample(400, 0, **still)]) if item.id == "static"]
    assert "step 400" in advice.text and advice.changes == {"data.first_frame_blur": 1.0}


def test_samples_that_are_training_frames_are_a_warning_unless_the_clips_are_as_alike() -> None:
    def advised(**measures: object) -> list[str]:
        return ids([*history(), sample(400, 0, **measures)])

    assert "memorised" in advised(likeness=0.97, likeness_of_clips=0.6, nearest="clip-7")
    assert "memorised" not in advised(likeness=0.97, likeness_of_clips=0.99)
    assert "memorised" not in advised(likeness=0.97, likeness_of_base=0.98)
    assert "memorised" not in advised(likeness=0.7)


def test_validation_on_clips_that_are_learnt_is_not_taken_for_more_than_it_is() -> None:
    assert "nothing-held-out" in ids(history(validation=valley, learnt=True))
    assert "overfitting" not in ids(history(validation=valley, learnt=True))


def test_where_the_best_moment_was_not_saved_a_shorter_interval_is_advised() -> None:
    events = [
        event
        for event in history(validation=valley)
        if not isinstance(event, CheckpointSaved) or event.step >= 600
    ]
    recipe = with_settings(RECIPE, {"checkpoints.every": 600})
    advice = {item.id: item for item in said(events, 12, recipe)}["saved-too-seldom"]
    every = advice.changes["checkpoints.every"]
    assert isinstance(every, int) and 50 <= every <= 90


def test_losses_may_be_given_by_those_who_have_them_at_hand() -> None:
    status = fold(history(validation=valley))
    losses = [(item.step, item.loss) for item in status.losses]
    bare = fold([event for event in history(validation=valley) if not isinstance(event, StepDone)])
    assert advise(bare, RECIPE, 12) == []
    assert advise(bare, RECIPE, 12, losses) == advise(status, RECIPE, 12)


def test_the_recommended_checkpoint_says_why() -> None:
    status = fold(history(validation=valley))
    found = recommended_checkpoint(status, range(100, 1001, 100))
    assert found is not None
    assert found.step in (200, 300) and found.basis == "validation"
    assert "lowest of all checkpoints" in found.why and "step 1,000" in found.why
    far = recommended_checkpoint(status, [700, 1000])
    assert far is not None and far.step == 700 and "was lowest near step" in far.why


def test_of_a_healthy_run_the_last_checkpoint_is_recommended() -> None:
    found = recommended_checkpoint(fold(history()), [500, 1000])
    assert found is not None and (found.step, found.basis) == (1000, "validation")


def test_without_validation_the_last_one_is_all_there_is() -> None:
    assert recommended_checkpoint(JobStatus(), []) is None
    found = recommended_checkpoint(JobStatus(), [100, 200])
    assert found is not None and (found.step, found.basis, found.loss) == (200, "last", None)
