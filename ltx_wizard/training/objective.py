"""The loss of a batch, for training and for validation alike. Worker-side.

Letters: B batch, C channels, F latent frames, H, W latent rows and columns, N = F H W tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import LTXVideoTransformer3DModel
from torch import Tensor

from ltx_wizard.core.recipe import MemorySettings, NoiseSettings
from ltx_wizard.dataset.batches import Slot
from ltx_wizard.dataset.encode import Example
from ltx_wizard.models.ltx_video import (
    TextEmbedding,
    batch_text,
    pack,
    predict_velocity,
    video_coordinates,
)
from ltx_wizard.models.precision import autocast, storage_dtype
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import ShiftRange
from ltx_wizard.training.flow import draw_sigmas, flow_loss, noisy_latents, velocity


@dataclass(frozen=True)
class Objective:
    """What stays the same from step to step. empty: the embedding of the empty caption, for caption
    dropout.
    """

    spec: ModelSpec
    shift: ShiftRange
    noise: NoiseSettings
    memory: MemorySettings
    device: torch.device
    empty: TextEmbedding

    def loss(
        self, transformer: LTXVideoTransformer3DModel, slots: Sequence[Slot], generator: torch.Generator
    ) -> Tensor:
        """The loss of one batch, fp32 scalar with gradient. Randomness comes from the generator (CPU)
        alone.
        """
        latents = torch.stack([slot.example.latents for slot in slots])
        texts = [self.empty if slot.drop_caption else slot.example.text for slot in slots]
        tokens = latents[0, 0].numel()
        shift = self.shift.at(tokens, clamp=self.noise.clamp_shift)
        sigma = draw_sigmas(len(slots), shift, self.noise, generator)
        noise = torch.randn(latents.shape, generator=generator)
        given = torch.tensor([slot.give_first_frame for slot in slots])
        return self._loss(transformer, latents, noise, sigma, texts, given, _shown(latents, slots))

    def fixed_loss(
        self, transformer: LTXVideoTransformer3DModel, example: Example, sigma: float, draw: int
    ) -> Tensor:
        """The loss of one clip at one noise level, with noise that follows from clip, level and draw: always
        the same.
        """
        generator = torch.Generator().manual_seed(stable_seed("validation", example.clip_id, sigma, draw))
        latents = example.latents[None]
        noise = torch.randn(latents.shape, generator=generator)
        return self._loss(
            transformer, latents, noise, torch.tensor([sigma]), [example.text], torch.tensor([False])
        )

    def _loss(
        self,
        transformer: LTXVideoTransformer3DModel,
        latents: Tensor,
        noise: Tensor,
        sigma: Tensor,
        texts: Sequence[TextEmbedding],
        given: Tensor,
        shown: Tensor | None = None,
    ) -> Tensor:
        """latents, noise: [B, C, F, H, W] on the CPU; sigma, given: [B]. shown: latents whose first frame is
        what is given; None: the clip's own.
        """
        _, _, frames, height, width = latents.shape
        dtype = storage_dtype(self.memory, self.device)
        clean, noise, sigma = (value.to(self.device) for value in (pack(latents), pack(noise), sigma))
        noisy = noisy_latents(clean, noise, sigma)
        is_given = None
        if bool(given.any()):
            is_given = first_frame_mask(given, frames, height * width).to(self.device)
            first = clean if shown is None else pack(shown).to(self.device)
            noisy = torch.where(is_given[..., None], first, noisy)
        coordinates = video_coordinates(
            self.spec, (frames, height, width), self.spec.fps, len(latents), self.device
        )
        with autocast(self.memory, self.device):
            predicted = predict_velocity(
                transformer,
                noisy.to(dtype),
                sigma,
                batch_text(texts, self.device, dtype),
                coordinates,
                is_given,
            )
        counted = None if is_given is None else ~is_given
        return flow_loss(predicted, velocity(clean, noise), counted)


def _shown(latents: Tensor, slots: Sequence[Slot]) -> Tensor | None:
    """The latents with blurred first frames where the examples have them. latents: [B, C, F, H, W]."""
    if all(slot.example.first_frame is None for slot in slots):
        return None
    shown = latents.clone()
    for index, slot in enumerate(slots):
        if slot.example.first_frame is not None:
            shown[index, :, :1] = slot.example.first_frame
    return shown


def first_frame_mask(given: Tensor, frames: int, tokens_per_frame: int) -> Tensor:
    """[B, N], true for the tokens of the first latent frame of clips whose first frame is given. given:
    [B] bool.
    """
    mask = torch.zeros(len(given), frames * tokens_per_frame, dtype=torch.bool)
    mask[:, :tokens_per_frame] = given[:, None]
    return mask


def stable_seed(*parts: object) -> int:
    """A seed that is the same in every process, on every computer."""
    text = " ".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
