"""Learning rates over a run, and optimizers with the recipe's numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.recipe import OptimizerSettings, ScheduleSettings
from ltx_wizard.training.optimizers import build_optimizer, learning_rate_at

STEPS = 100


def _rates(schedule: ScheduleSettings) -> list[float]:
    return [learning_rate_at(step, STEPS, 1.0, schedule) for step in range(1, STEPS + 1)]


def test_warm_up_rises_in_a_line_and_never_starts_at_zero() -> None:
    rates = _rates(ScheduleSettings(name="constant", warmup_steps=9))
    assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert rates[10:] == [1.0] * 90


def test_linear_falls_from_the_peak_to_a_tenth() -> None:
    rates = _rates(ScheduleSettings(name="linear", warmup_steps=0))
    assert rates[0] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates))


def test_cosine_ends_at_zero_and_starts_again_as_often_as_asked() -> None:
    once = _rates(ScheduleSettings(name="cosine", warmup_steps=0))
    assert once[0] == 1.0
    assert once[-1] == pytest.approx(0.0, abs=1e-9)
    assert once[50] == pytest.approx(0.5, abs=0.02)
    twice = _rates(ScheduleSettings(name="cosine", warmup_steps=0, cycles=2))
    assert twice[49] < 0.01
    assert twice[50] > 0.99


def test_warm_up_longer_than_the_run_still_trains() -> None:
    assert learning_rate_at(1, 1, 1.0, ScheduleSettings(warmup_steps=100)) == 1.0
    assert all(rate > 0 for rate in _rates(ScheduleSettings(warmup_steps=1000)))


def test_adamw_takes_the_recipes_numbers() -> None:
    parameter = nn.Parameter(torch.ones(2))
    group = build_optimizer(OptimizerSettings(lr=0.05), [parameter]).param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.05, (0.9, 0.95), 0.001)


def test_adamw8bit_without_an_nvidia_card_says_what_to_choose() -> None:
    with pytest.raises(NotReady) as caught:
        build_optimizer(OptimizerSettings(name="adamw8bit"), [nn.Parameter(torch.ones(2))])
    assert "adamw" in caught.value.remedy
