"""Learning rates over a run, and optimizers with the recipe's numbers."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
import torch
from torch import nn

from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.recipe import OptimizerSettings, ScheduleSettings
from ltx_wizard.training.optimizers import build_optimizer, learning_rate_at, set_learning_rate

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


KINDS_8BIT = {"adamw8bit": "AdamW8bit", "paged-adamw8bit": "PagedAdamW8bit"}


@pytest.mark.parametrize("name", KINDS_8BIT)
def test_8_bits_without_an_nvidia_card_say_what_to_choose(name: str) -> None:
    settings = OptimizerSettings.model_validate({"name": name})
    with pytest.raises(NotReady, match=name) as caught:
        build_optimizer(settings, [nn.Parameter(torch.ones(2))])
    assert "'adamw'" in caught.value.remedy


class OnACard(nn.Parameter):
    """A parameter that says that it lies on a card."""

    @property
    def is_cuda(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return True


@pytest.mark.parametrize(("name", "kind"), KINDS_8BIT.items())
def test_8_bit_optimizers_are_the_librarys_with_the_recipes_numbers(name: str, kind: str) -> None:
    settings = OptimizerSettings.model_validate({"name": name, "lr": 0.05, "weight_decay": 0.3, "beta2": 0.9})
    optimizer = build_optimizer(settings, [OnACard(torch.ones(2))])
    assert type(optimizer).__name__ == kind
    group = optimizer.param_groups[0]
    assert (group["lr"], tuple(group["betas"])) == (0.05, (settings.beta1, 0.9))
    assert (group["eps"], group["weight_decay"]) == (settings.epsilon, 0.3)


def test_8_bits_without_the_library_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    settings = OptimizerSettings.model_validate({"name": "adamw8bit"})
    with pytest.raises(NotReady, match="package bitsandbytes, which is not installed"):
        build_optimizer(settings, [OnACard(torch.ones(2))])


def test_8_bits_learn_what_full_precision_learns() -> None:
    """A least squares problem, by the library's own arithmetic on a CPU."""
    from bitsandbytes import optim

    generator = torch.Generator().manual_seed(0)
    inputs, wanted = torch.randn(64, 64, generator=generator), torch.randn(64, 128, generator=generator)
    losses = {}
    for name, make in {"8 bits": optim.AdamW8bit, "full": torch.optim.AdamW}.items():
        weight = nn.Parameter(torch.zeros(64, 128))  # larger than what the library keeps in 32 bits
        optimizer = make([weight], lr=0.05)
        for _ in range(60):
            optimizer.zero_grad()
            loss = (inputs @ weight - wanted).square().mean()
            loss.backward()
            optimizer.step()
        losses[name] = float(loss.detach())
        if name == "8 bits":
            assert optimizer.state[weight]["state1"].dtype is torch.uint8
    assert losses["full"] < 0.5
    assert losses["8 bits"] == pytest.approx(losses["full"], rel=0.1)


def test_the_rate_can_be_set_for_every_group() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.ones(2))]} for _ in range(2)], lr=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
