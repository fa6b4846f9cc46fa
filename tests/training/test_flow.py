"""Noise levels, targets and loss, against numbers that were computed elsewhere and against diffusers."""

from __future__ import annotations

import pytest
import torch

from ltx_wizard.core.recipe import NoiseSettings
from ltx_wizard.models.weights import LTX_SHIFT, ShiftRange
from ltx_wizard.training.flow import clean_latents, draw_sigmas, flow_loss, noisy_latents, velocity

SHIFTS = {576: 0.7896, 1024: 0.95, 2688: 1.5458, 4032: 2.0271, 8192: 3.5167, 13376: 5.3729}

OFFICIAL = {
    576: (0.658, 0.298, 0.529, 0.688, 0.813, 0.919),
    1024: (0.688, 0.334, 0.569, 0.721, 0.835, 0.931),
    2688: (0.785, 0.475, 0.704, 0.824, 0.902, 0.961),
    13376: (0.993, 0.977, 0.991, 0.995, 0.998, 0.999),
}
"""Tokens: mean and the 5, 25, 50, 75, 95 % quantiles of the unclamped shifted logit-normal, from 2e6
draws.
"""

STRETCHED = {
    576: (0.604, 0.154, 0.440, 0.641, 0.796, 0.930),
    1024: (0.626, 0.168, 0.470, 0.669, 0.816, 0.937),
    2688: (0.697, 0.219, 0.573, 0.757, 0.873, 0.959),
    4032: (0.741, 0.258, 0.644, 0.810, 0.904, 0.969),
    13376: (0.839, 0.360, 0.810, 0.913, 0.960, 0.988),
}
"""The same of the stretched one with a tenth drawn uniformly."""

DRAWS = 400_000
TOLERANCE = 0.005


def _statistics(sigmas: torch.Tensor) -> list[float]:
    quantiles = torch.quantile(
        sigmas[:: max(1, len(sigmas) // 200_000)], torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    )
    return [float(sigmas.mean()), *quantiles.tolist()]


@pytest.mark.parametrize(("tokens", "shift"), SHIFTS.items())
def test_shift_is_linear_in_the_tokens_without_a_clamp(tokens: int, shift: float) -> None:
    assert LTX_SHIFT.at(tokens) == pytest.approx(shift, abs=2e-4)


def test_shift_agrees_with_the_pipeline_that_samples() -> None:
    from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift

    for tokens in (108, 1024, 2688, 4096, 13376):
        assert LTX_SHIFT.at(tokens) == pytest.approx(calculate_shift(tokens, 1024, 4096, 0.95, 2.05))


def test_a_clamped_shift_stays_within_the_schedules_own_range() -> None:
    assert LTX_SHIFT.at(13376, clamp=True) == 2.05
    assert LTX_SHIFT.at(100, clamp=True) == 0.95


def test_the_shift_range_is_the_models_own() -> None:
    assert ShiftRange(0.5, 1.5, 0, 100).at(50) == 1.0


@pytest.mark.parametrize(("tokens", "expected"), OFFICIAL.items())
def test_shifted_logit_normal_has_the_official_trainers_distribution(
    tokens: int, expected: tuple[float, ...]
) -> None:
    noise = NoiseSettings(sampling="shifted_logit_normal", uniform_share=0.0)
    sigmas = draw_sigmas(DRAWS, LTX_SHIFT.at(tokens), noise, torch.Generator().manual_seed(1))
    assert _statistics(sigmas) == pytest.approx(list(expected), abs=TOLERANCE)


@pytest.mark.parametrize(("tokens", "expected"), STRETCHED.items())
def test_stretched_logit_normal_covers_all_levels_at_every_size(
    tokens: int, expected: tuple[float, ...]
) -> None:
    noise = NoiseSettings(sampling="stretched_logit_normal", uniform_share=0.1)
    sigmas = draw_sigmas(DRAWS, LTX_SHIFT.at(tokens), noise, torch.Generator().manual_seed(2))
    assert _statistics(sigmas) == pytest.approx(list(expected), abs=TOLERANCE)


def test_uniform_draws_are_uniform() -> None:
    sigmas = draw_sigmas(DRAWS, 5.0, NoiseSettings(sampling="uniform"), torch.Generator().manual_seed(3))
    assert _statistics(sigmas) == pytest.approx([0.5, 0.05, 0.25, 0.5, 0.75, 0.95], abs=TOLERANCE)


def test_the_high_share_comes_on_top_from_very_noisy_levels() -> None:
    noise = NoiseSettings(sampling="uniform", uniform_share=0.0, high_sigma_share=0.4, high_sigma_min=0.85)
    sigmas = draw_sigmas(DRAWS, 0.0, noise, torch.Generator().manual_seed(4))
    assert float((sigmas > 0.85).float().mean()) == pytest.approx(0.4 + 0.6 * 0.15, abs=TOLERANCE)


def test_sigmas_are_never_zero_and_never_above_one() -> None:
    sigmas = draw_sigmas(DRAWS, -6.0, NoiseSettings(), torch.Generator().manual_seed(5))
    assert float(sigmas.min()) >= 1e-3
    assert float(sigmas.max()) <= 1.0


def test_clean_latents_come_back_from_noise_and_velocity() -> None:
    latents, noise = (
        torch.randn(3, 8, 2, 4, 4, dtype=torch.float64),
        torch.randn(3, 8, 2, 4, 4, dtype=torch.float64),
    )
    sigma = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    noisy = noisy_latents(latents, noise, sigma)
    assert torch.allclose(noisy[2], noise[2])
    assert torch.allclose(clean_latents(noisy, velocity(latents, noise), sigma), latents)


def test_noise_is_blended_as_the_samplers_scheduler_does() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler()
    latents, noise = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    timestep = scheduler.timesteps[300:301]
    sigma = timestep / 1000
    ours = noisy_latents(latents, noise, sigma)
    assert torch.allclose(ours, scheduler.scale_noise(latents, timestep, noise), atol=1e-6)


def test_mismatched_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        noisy_latents(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2))


def test_loss_does_not_depend_on_how_many_tokens_are_masked() -> None:
    target = torch.zeros(1, 10, 4)
    predicted = torch.full((1, 10, 4), 3.0)
    half = torch.arange(10)[None] < 5
    assert float(flow_loss(predicted, target)) == pytest.approx(9.0)
    assert float(flow_loss(predicted, target, half)) == pytest.approx(9.0)


def test_masked_tokens_get_no_gradient() -> None:
    predicted = torch.randn(2, 6, 4, requires_grad=True)
    counted = torch.ones(2, 6, dtype=torch.bool)
    counted[0, :2] = False
    flow_loss(predicted, torch.zeros(2, 6, 4), counted).backward()
    assert predicted.grad is not None
    assert float(predicted.grad[0, :2].abs().max()) == 0.0
    assert float(predicted.grad[0, 2:].abs().min()) > 0.0


def test_each_clip_weighs_the_same_whatever_part_of_it_counts() -> None:
    predicted = torch.stack([torch.full((4, 2), 1.0), torch.full((4, 2), 3.0)])
    counted = torch.tensor([[True, True, True, True], [True, False, False, False]])
    assert float(flow_loss(predicted, torch.zeros(2, 4, 2), counted)) == pytest.approx((1.0 + 9.0) / 2)


def test_loss_is_computed_in_fp32() -> None:
    loss = flow_loss(torch.ones(1, 2, 2, dtype=torch.bfloat16), torch.zeros(1, 2, 2, dtype=torch.bfloat16))
    assert loss.dtype is torch.float32
