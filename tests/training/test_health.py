"""What curves say: each fault is seen in a curve that has it, and in no other."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from ltx_wizard.core.events import Validated
from ltx_wizard.training.health import (
    DivergenceWatch,
    best_checkpoint,
    divergence,
    fitted,
    overfitting,
    plateau,
)

Curve = Callable[[float], float]
"""Loss by the share of the run that is over."""

BANDS = ("0.2", "0.4", "0.6", "0.8", "0.95")
CLIPS = 4


def falling(share: float) -> float:
    return 0.4 + 0.6 * math.exp(-2 * share)


def valley(share: float) -> float:
    """Lowest at a quarter, at the end 35 % above that."""
    return 0.6 + 0.4 * math.exp(-12 * share) + 0.28 * share


def level(share: float) -> float:
    return 0.6 + 0.4 * math.exp(-15 * share)


def validations(curve: Curve, seed: int = 0, wobble: float = 0.01, steps: int = 1000) -> list[Validated]:
    """21 of them. Clips and noise levels differ as real ones do; wobble is what a whole validation is off by,
    and half of that what each clip is off besides.
    """
    chance = random.Random(seed)
    clips = [chance.uniform(0.6, 1.6) for _ in range(CLIPS)]
    found: list[Validated] = []
    for number in range(21):
        step, shared = number * steps // 20, chance.gauss(0, wobble)
        each = [
            clip * (1.5 - place / 5) * curve(number / 20) * math.exp(shared + chance.gauss(0, wobble / 2))
            for place in range(len(BANDS))
            for clip in clips
        ]
        bands = {
            name: sum(each[place * CLIPS : (place + 1) * CLIPS]) / CLIPS for place, name in enumerate(BANDS)
        }
        loss = sum(each) / len(each)
        found.append(Validated(step=step, loss=loss, bands=bands, each=tuple(each), fixed_set="one"))
    return found


def training(curve: Curve, seed: int = 0, steps: int = 1000) -> list[tuple[int, float]]:
    """Single losses spread as those of real steps: by half of the mean."""
    chance = random.Random(seed + 1)
    return [(step, curve(step / steps) * math.exp(chance.gauss(-0.125, 0.5))) for step in range(1, steps + 1)]


@pytest.mark.parametrize("seed", range(10))
def test_validation_that_rises_while_training_falls_is_overfitting(seed: int) -> None:
    found = overfitting(validations(valley, seed), training(falling, seed))
    assert found is not None
    assert 150 <= found.best.step <= 400
    assert found.best.step < found.since_step <= 600
    assert found.rise == pytest.approx(0.25, abs=0.1)
    assert found.training[1] < found.training[0]
    assert found.bands == BANDS


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("curve", [falling, level])
@pytest.mark.parametrize("wobble", [0.01, 0.05])
def test_a_run_that_goes_well_is_never_called_overfitting(curve: Curve, seed: int, wobble: float) -> None:
    """Not at its end, and at no validation before it."""
    seen, losses = validations(curve, seed, wobble), training(falling, seed)
    for count in range(len(seen) + 1):
        until = seen[count - 1].step if count else 0
        assert overfitting(seen[:count], losses[:until]) is None, count


def test_one_validation_far_up_is_chance() -> None:
    seen = validations(falling)
    seen[-1] = seen[-1].model_copy(
        update={"loss": seen[-1].loss * 1.5, "each": tuple(1.5 * loss for loss in seen[-1].each)}
    )
    assert overfitting(seen, training(falling)) is None


def test_one_clip_alone_that_rises_is_not_enough() -> None:
    """The mean is up by a third, and three clips of four are where they were."""
    seen = validations(level)
    for index in range(12, 21):
        each = [
            loss * (1 + 0.15 * (index - 11)) if place % CLIPS == 0 else loss
            for place, loss in enumerate(seen[index].each)
        ]
        seen[index] = seen[index].model_copy(update={"each": tuple(each), "loss": sum(each) / len(each)})
    assert seen[-1].loss > 1.25 * seen[8].loss
    assert overfitting(seen, training(falling)) is None


def test_training_that_rises_as_well_is_no_overfitting() -> None:
    assert overfitting(validations(valley), training(lambda share: 0.4 + share)) is None


def test_losses_of_clips_that_are_learnt_show_no_overfitting() -> None:
    seen = [item.model_copy(update={"learnt": True}) for item in validations(valley)]
    assert overfitting(seen, training(falling)) is None
    assert best_checkpoint(seen, [200, 1000]) is None


def test_events_without_single_losses_are_judged_by_their_means() -> None:
    plain = [Validated(step=item.step, loss=item.loss) for item in validations(valley)]
    assert overfitting(plain, training(falling)) is not None
    assert overfitting(
        [Validated(step=item.step, loss=item.loss) for item in validations(level, wobble=0.05)],
        training(falling),
    ) is None  # fmt: skip


def test_a_dataset_changed_in_the_middle_begins_anew() -> None:
    """Other clips with other losses: that is no rise."""
    seen = validations(falling)
    for index in range(15, 21):
        seen[index] = seen[index].model_copy(
            update={"loss": 2 * seen[index].loss, "each": (), "fixed_set": "two"}
        )
    assert overfitting(seen, training(falling)) is None
    best = best_checkpoint(seen, [500, 1000])
    assert best is not None and best.step == 1000


@pytest.mark.parametrize("seed", range(5))
def test_a_plateau_is_seen_with_where_it_begins(seed: int) -> None:
    found = plateau(validations(level, seed, wobble=0.003))
    assert found is not None
    assert 200 <= found.since_step <= 600
    assert found.improved == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("curve", [falling, valley])
def test_a_curve_that_moves_is_no_plateau(curve: Curve) -> None:
    assert plateau(validations(curve, wobble=0.003)) is None


def test_a_run_that_learns_nothing_is_a_plateau_without_improvement() -> None:
    found = plateau(validations(lambda share: 0.9, wobble=0.003))
    assert found is not None and found.improved < 0.02 and found.since_step == 0


def test_a_plateau_needs_some_validations() -> None:
    assert plateau([]) is None
    assert plateau(validations(level)[:4]) is None


@pytest.mark.parametrize("seed", range(10))
def test_a_loss_that_climbs_far_is_divergence_with_the_last_good_step(seed: int) -> None:
    losses = training(falling, seed)[:600]
    broken = [(step, loss * (1 + (step - 600) / 15)) for step, loss in training(falling, seed + 50)[600:700]]
    found = divergence([*losses, *broken])
    assert found is not None
    assert 400 <= found.good_step <= 615
    assert found.now > 2 * found.before


@pytest.mark.parametrize("seed", range(10))
def test_a_run_that_goes_well_never_diverges(seed: int) -> None:
    watch = DivergenceWatch()
    for curve in (falling, lambda share: 0.7 - 0.65 * share, lambda share: 0.5):
        for step, loss in training(curve, seed):
            assert watch.add(step, loss) is None
        watch = DivergenceWatch()


def test_a_spike_is_no_divergence_and_leaves_no_trace() -> None:
    watch = DivergenceWatch()
    for step, loss in training(falling):
        assert watch.add(step, 1e30 if step in (300, 301, 302) else loss) is None


def test_a_loss_that_is_no_number_is_left_out() -> None:
    watch = DivergenceWatch()
    for step, loss in training(falling):
        assert watch.add(step, math.nan if step % 3 else loss) is None
    broken = [item.model_copy(update={"loss": math.nan}) for item in validations(falling)]
    assert plateau(broken) is None and overfitting(broken, []) is None
    assert best_checkpoint(broken, [1000]) is None


@pytest.mark.parametrize("seed", range(10))
def test_the_best_checkpoint_is_the_one_nearest_to_the_lowest_point(seed: int) -> None:
    best = best_checkpoint(validations(valley, seed), range(100, 1001, 100))
    assert best is not None
    assert best.step in (200, 300)
    assert best.last.step == 1000 and best.last.loss > 1.2 * best.loss
    assert not best.tie


@pytest.mark.parametrize("seed", range(5))
def test_the_fitted_curve_finds_the_bottom_of_a_flat_valley_through_wobble(seed: int) -> None:
    """Single losses wobble by 1 %; from 20 % before the bottom to 20 % after, the valley moves by less."""

    def flat(share: float) -> float:
        return 0.6 + 0.05 * math.log(max(share, 0.01) / 0.3) ** 2

    curve = fitted(validations(flat, seed, wobble=0.01))
    assert 240 <= min(curve, key=lambda point: point.loss).step <= 360


def test_few_validations_are_taken_as_they_are() -> None:
    seen = [item for item in validations(valley) if item.step in (0, 100, 400, 1000)]
    assert [(point.step, point.loss) for point in fitted(seen)] == [
        (item.step, item.loss) for item in seen[1:]
    ]


def test_a_checkpoint_between_validations_is_judged_by_the_line_between_them() -> None:
    best = best_checkpoint(validations(valley, wobble=0), [30, 260, 900])
    assert best is not None and best.step == 260
    low, high = sorted(p.loss for p in fitted(validations(valley, wobble=0)) if p.step in (250, 300))
    assert low <= best.loss <= high


def test_of_checkpoints_that_are_equally_good_the_last_is_taken() -> None:
    seen = validations(level, wobble=0.001)
    best = best_checkpoint(seen, [200, 500, 700, 1000])
    assert best is not None and best.tie and best.step == 1000


def test_without_checkpoints_or_validations_there_is_no_best() -> None:
    assert best_checkpoint(validations(valley), []) is None
    assert best_checkpoint([], [100]) is None
