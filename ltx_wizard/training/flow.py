"""Flow matching: noise levels, noisy latents, the velocity to predict, and its loss. Worker-side.

x_sigma = (1 - sigma) x + sigma e; velocity v = e - x; sigma in (0, 1]. Letters: B batch, C channels, N latent
tokens. Sources: rectified flow, arXiv 2209.03003; sigma sampling as the LTX trainers describe it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ltx_wizard.core.recipe import NoiseSettings

_Z_999 = 3.0902
_Z_005 = -2.5758
"""Standard normal quantiles of 99.9 % and 0.5 %, between which the stretched sampler stretches."""
_EPSILON = 1e-3


def draw_sigmas(count: int, shift: float, noise: NoiseSettings, generator: torch.Generator) -> Tensor:
    """Noise levels [count], fp32, on the generator's device. shift: mu(N) of these clips' tokens."""
    sigmas = _draw_main(count, shift, noise, generator)
    uniform = _EPSILON + (1 - _EPSILON) * torch.rand(count, generator=generator)
    high = noise.high_sigma_min + (1 - noise.high_sigma_min) * torch.rand(count, generator=generator)
    choice = torch.rand(count, generator=generator)
    take_high = choice < noise.high_sigma_share
    take_uniform = (choice >= noise.high_sigma_share) & (
        choice < noise.high_sigma_share + (1 - noise.high_sigma_share) * noise.uniform_share
    )
    sigmas = torch.where(take_high, high, torch.where(take_uniform, uniform, sigmas))
    return sigmas.clamp(_EPSILON, 1.0)


def noisy_latents(latents: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Blend latents towards noise. latents, noise: [B, ...], one dtype; sigma: [B]. Raises ValueError on
    a mismatch.
    """
    if latents.shape != noise.shape or len(sigma) != len(latents):
        raise ValueError(f"shapes differ: {latents.shape}, {noise.shape}, {sigma.shape}")
    level = sigma.view(-1, *[1] * (latents.ndim - 1)).to(latents)
    return (1 - level) * latents + level * noise


def velocity(latents: Tensor, noise: Tensor) -> Tensor:
    """What the model must predict."""
    return noise - latents


def clean_latents(noisy: Tensor, predicted: Tensor, sigma: Tensor) -> Tensor:
    """The clean latents that a prediction implies: x_sigma - sigma v."""
    return noisy - sigma.view(-1, *[1] * (noisy.ndim - 1)).to(noisy) * predicted


def flow_loss(predicted: Tensor, target: Tensor, counted: Tensor | None = None) -> Tensor:
    """Mean squared error in fp32. predicted, target: [B, N, C]; counted: [B, N], 1 where a token counts.

    Each clip's mean is over its counted tokens, then over the batch: the loss does not depend on how many
    are masked.
    """
    error = (predicted.float() - target.float()).square().mean(dim=-1)
    if counted is None:
        return error.mean()
    weight = counted.to(error)
    return ((error * weight).mean(dim=1) / weight.mean(dim=1).clamp(min=1e-8)).mean()


def _draw_main(count: int, shift: float, noise: NoiseSettings, generator: torch.Generator) -> Tensor:
    if noise.sampling == "uniform":
        return _EPSILON + (1 - _EPSILON) * torch.rand(count, generator=generator)
    sigmas = torch.sigmoid(torch.randn(count, generator=generator) + shift)
    if noise.sampling == "shifted_logit_normal":
        return sigmas
    low = torch.sigmoid(torch.tensor(shift + _Z_005))
    high = torch.sigmoid(torch.tensor(shift + _Z_999))
    stretched = (sigmas - low) / (high - low)
    reflected = torch.where(stretched < _EPSILON, 2 * _EPSILON - stretched, stretched)
    return reflected.clamp(0.0, 1.0)
