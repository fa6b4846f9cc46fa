"""One LoRA training step of LTX-Video, written down once more as plain formulas, to compare the app with.

Written from the formulas, not from the app's code, and for readability, not for speed: no diffusers, no peft,
no autocast. Everything is calculated in the format of the weights that are given, fp64 in the comparison. The
tables of positions and noise levels are defined in fp32 by the model; `tables` chooses in what they are made.
Letters: B batch, C channels, F latent frames, H, W latent rows and columns, N = F H W tokens, T text tokens,
D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

NORM_EPS, QK_NORM_EPS = 1e-6, 1e-5
EXTENT = (20.0, 2048.0, 2048.0)
"""Seconds, pixel rows and pixel columns that positions are divided by."""


@dataclass(frozen=True)
class Lora:
    """a: [rank, in], b: [out, rank] by the name of the layer. The layer's weight becomes W + scale b a."""

    a: Mapping[str, Tensor]
    b: Mapping[str, Tensor]
    scale: float


@dataclass(frozen=True)
class Step:
    """latents, noise: [B, C, F, H, W]; sigma: [B]; texts: a [T, D] each; first_frame_given: one each."""

    latents: Tensor
    noise: Tensor
    sigma: Tensor
    texts: tuple[Tensor, ...]
    first_frame_given: tuple[bool, ...]
    fps: float


def step_loss(
    weights: Mapping[str, Tensor], lora: Lora, step: Step, heads: int, tables: torch.dtype
) -> Tensor:
    """The loss of a batch: the mean over clips of each clip's mean squared error over the tokens that are
    not given.
    """
    merged = dict(weights)
    for name, a in lora.a.items():
        merged[f"{name}.weight"] = weights[f"{name}.weight"] + lora.scale * lora.b[name] @ a
    dtype = weights["proj_in.weight"].dtype
    losses = []
    for clip, (text, given) in enumerate(zip(step.texts, step.first_frame_given, strict=True)):
        clean = step.latents[clip].to(dtype)
        noise = step.noise[clip].to(dtype)
        sigma = step.sigma[clip]
        level = torch.full_like(clean, float(sigma))
        if given:
            level[:, 0] = 0.0  # the first latent frame is shown as it is
        noisy = (1 - level) * clean + level * noise
        told = 1000 * level[0].flatten().to(tables)  # [N]
        predicted = _transformer(
            merged,
            _tokens(noisy),
            told,
            text.to(dtype),
            positions(clean.shape[1:], step.fps, clean, tables),
            heads,
        )
        error = ((predicted - _tokens(noise - clean)) ** 2).mean(dim=-1)  # [N]
        first_frame = clean.shape[2] * clean.shape[3]
        losses.append(error[first_frame:].mean() if given else error.mean())
    return torch.stack(losses).mean()


def _tokens(latents: Tensor) -> Tensor:
    """[C, F, H, W] to [N, C]: frame by frame, row by row."""
    return latents.reshape(latents.shape[0], -1).T


def positions(shape: torch.Size, fps: float, like: Tensor, tables: torch.dtype) -> Tensor:
    """[N, 3], each about from 0 to 1: time, row, column. The first latent frame holds one picture, the others
    eight: a latent frame stands where its first picture is, (8 f - 7) / fps, and the first at 0.
    """
    frames, rows, columns = shape
    grid = [
        (max(8 * f - 7, 0) / fps, 32.0 * y, 32.0 * x)
        for f in range(frames)
        for y in range(rows)
        for x in range(columns)
    ]
    return torch.tensor(grid, dtype=torch.float64, device=like.device).to(tables) / torch.tensor(
        EXTENT, dtype=tables, device=like.device
    )


def _transformer(
    w: Mapping[str, Tensor], noisy: Tensor, told: Tensor, text: Tensor, place: Tensor, heads: int
) -> Tensor:
    """The velocity [N, C] of one clip. noisy: [N, C]; told: [N]; text: [T, its width]; place: [N, 3]."""
    x = _linear(w, "proj_in", noisy)
    width = x.shape[1]
    time = _time_features(told).to(x.dtype)
    time = _linear(w, "time_embed.emb.timestep_embedder.linear_1", time)
    time = _linear(w, "time_embed.emb.timestep_embedder.linear_2", functional.silu(time))  # [N, D]
    modulation = _linear(w, "time_embed.linear", functional.silu(time)).view(-1, 6, width)
    text = _linear(w, "caption_projection.linear_1", text)
    text = _linear(w, "caption_projection.linear_2", functional.gelu(text, approximate="tanh"))
    rotation = _rotation(place, width, x.dtype)
    blocks = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("transformer_blocks."))
    for index in range(blocks):
        block = f"transformer_blocks.{index}"
        table = w[f"{block}.scale_shift_table"] + modulation  # [N, 6, D]
        shift1, scale1, gate1, shift2, scale2, gate2 = table.unbind(1)
        inner = _rms_norm(x, NORM_EPS) * (1 + scale1) + shift1
        x = x + gate1 * _attention(w, f"{block}.attn1", inner, inner, heads, rotation)
        x = x + _attention(w, f"{block}.attn2", x, text, heads, None)
        inner = _rms_norm(x, NORM_EPS) * (1 + scale2) + shift2
        inner = functional.gelu(_linear(w, f"{block}.ff.net.0.proj", inner), approximate="tanh")
        x = x + gate2 * _linear(w, f"{block}.ff.net.2", inner)
    shift, scale = (w["scale_shift_table"] + time[:, None]).unbind(1)
    x = functional.layer_norm(x, (width,), eps=1e-6) * (1 + scale) + shift
    return _linear(w, "proj_out", x)


def _linear(w: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _rms_norm(x: Tensor, eps: float) -> Tensor:
    return x / ((x**2).mean(dim=-1, keepdim=True) + eps).sqrt()


def _attention(
    w: Mapping[str, Tensor],
    name: str,
    x: Tensor,
    source: Tensor,
    heads: int,
    rotation: tuple[Tensor, Tensor] | None,
) -> Tensor:
    query = _rms_norm(_linear(w, f"{name}.to_q", x), QK_NORM_EPS) * w[f"{name}.norm_q.weight"]
    key = _rms_norm(_linear(w, f"{name}.to_k", source), QK_NORM_EPS) * w[f"{name}.norm_k.weight"]
    value = _linear(w, f"{name}.to_v", source)
    if rotation is not None:
        query, key = _rotate(query, rotation), _rotate(key, rotation)
    query, key, value = (part.unflatten(1, (heads, -1)).transpose(0, 1) for part in (query, key, value))
    scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
    mixed = torch.softmax(scores, dim=-1) @ value
    return _linear(w, f"{name}.to_out.0", mixed.transpose(0, 1).flatten(1))


def _rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Each pair of neighbouring channels (a, b) is turned by its angle. rotation: cos and sin, [N, D / 2]."""
    cos, sin = rotation
    a, b = x[:, 0::2], x[:, 1::2]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(1)


def _rotation(place: Tensor, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin [N, D / 2]. D // 6 frequencies from pi/2 to 1e4 pi/2 in equal ratios; for each of them
    time, row and column; pairs that are left over come first and are not turned.
    """
    count = width // 6
    exponents = torch.linspace(0.0, 1.0, count, dtype=place.dtype, device=place.device)
    frequencies = 10000.0**exponents * math.pi / 2.0
    angles = (frequencies * (2 * place[..., None] - 1)).transpose(1, 2).flatten(1)  # [N, 3 count]
    still = torch.zeros(len(place), (width - 6 * count) // 2, dtype=place.dtype, device=place.device)
    angles = torch.cat([still, angles], dim=1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _time_features(told: Tensor) -> Tensor:
    """[N, 256]: cosines, then sines, of 128 frequencies from 1 down towards 1e-4."""
    steps = torch.arange(128, dtype=told.dtype, device=told.device)
    angles = told[:, None] * torch.exp(-math.log(10000.0) * steps / 128)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
