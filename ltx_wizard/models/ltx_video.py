"""LTX-Video, 2B and 13B and models of that architecture: loading, encoding, and one prediction. Worker-side.

Letters: B batch, C channels, F latent frames, H, W latent rows and columns, N = F H W tokens, T text tokens,
D width.
Positions, normalisation and timestep are those of the diffusers pipeline that will run the LoRA; tests
compare.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXConditionPipeline,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)
from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from torch import Tensor, nn
from transformers import AutoTokenizer, BitsAndBytesConfig, T5EncoderModel

from ltx_wizard.core.errors import BadInput, BadSetting, JobFailed, NotReady
from ltx_wizard.core.recipe import MemorySettings
from ltx_wizard.models.damage import damage_text, is_damage, is_memory_full, refuse_without_words
from ltx_wizard.models.loading import empty_transformer, load_frozen
from ltx_wizard.models.precision import autocast_to, release_memory, storage_dtype
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import ModelFiles

TIMESTEP_SCALE = 1000.0
"""The transformer takes 1000 sigma, as a float: what the sampler's schedule gives it."""

diffusers_logging.disable_progress_bar()


@dataclass(frozen=True)
class TextEmbedding:
    """A caption as the transformer reads it, without its padding: embedding [T, D] of the tokens that count.

    Leaving padding out is exact: the transformer's mask removes it.
    """

    embedding: Tensor


@dataclass(frozen=True)
class TextBatch:
    """embeddings [B, T, D], zero where padded; mask [B, T], 1 where a token counts."""

    embeddings: Tensor
    mask: Tensor


class TextEncoder:
    """The tokenizer and T5. Encodes with the full padded length, as the pipelines do. masks_padding: whether
    T5 is kept from seeing the padding; where it sees it, the embedding depends on it.
    """

    def __init__(self, tokenizer: Any, model: T5EncoderModel, max_tokens: int, masks_padding: bool) -> None:  # noqa: ANN401
        self._tokenizer = tokenizer
        self._model = model
        self._max_tokens = max_tokens
        self._masks_padding = masks_padding

    @torch.no_grad()
    def encode(self, caption: str) -> TextEmbedding:
        """The embedding of one caption, on the CPU, in the format that the encoder calculates in."""
        inputs = self._tokenizer(
            [caption],
            padding="max_length",
            max_length=self._max_tokens,
            truncation=True,
            add_special_tokens=True,
            return_tensors="pt",
        )
        mask = inputs.attention_mask.bool().to(self._model.device) if self._masks_padding else None
        hidden = self._model(inputs.input_ids.to(self._model.device), attention_mask=mask)[0][0]
        counted = inputs.attention_mask[0].bool()
        return TextEmbedding(hidden[counted.to(hidden.device)].cpu().contiguous())


def load_text_encoder(
    spec: ModelSpec, files: ModelFiles, memory: MemorySettings, device: torch.device
) -> TextEncoder:
    """Raises NotReady if 8 bits are asked for without an NVIDIA card, BadInput for damaged files."""
    dtype = storage_dtype(memory, device)
    with _damage_explained(spec.title, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(str(files.tokenizer))
        refuse_without_words(tokenizer)
    # Straight to the card: main memory never holds the whole encoder.
    extra: dict[str, Any] = {"device_map": {"": device.index or 0}} if device.type == "cuda" else {}
    if memory.text_encoder_8bit:
        if device.type != "cuda":
            raise NotReady(
                problem="A text encoder in 8 bits needs an NVIDIA card.",
                remedy="Switch 'Text encoder 8bit' off in the recipe.",
            )
        extra["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    with _damage_explained(spec.title, "text encoder"):
        model = T5EncoderModel.from_pretrained(
            str(files.text_encoder), dtype=dtype, use_safetensors=True, **extra
        )
    _freeze(model, None if extra else device)
    return TextEncoder(tokenizer, model, spec.max_caption_tokens, spec.masks_padding)


class VideoEncoder:
    """The VAE: clips to normalised latents."""

    def __init__(self, vae: AutoencoderKLLTXVideo) -> None:
        self.vae = vae

    @torch.no_grad()
    def encode(self, frames: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
        """Normalised latents [C, F, H, W], fp32 on the CPU, of uint8 frames [frames, height, width, 3].

        The mode of the posterior, not a draw: the same clip gives the same latents every time.
        """
        pixels = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float().div_(127.5).sub_(1.0)
        # Rounded once, at the end: calculated in bf16, light pixels were off by up to half a shade.
        encoded: Any = self.vae.encode(pixels.to(self.vae.device, self.vae.dtype))
        latents: Tensor = encoded.latent_dist.mode()
        mean = self.vae.latents_mean.view(1, -1, 1, 1, 1).to(latents.device, torch.float32)
        std = self.vae.latents_std.view(1, -1, 1, 1, 1).to(latents.device, torch.float32)
        config: Any = self.vae.config
        scaling = float(config.scaling_factor)
        return ((latents.float() - mean) * scaling / std)[0].cpu()


def load_vae(
    spec: ModelSpec, files: ModelFiles, memory: MemorySettings, device: torch.device
) -> VideoEncoder:
    with _damage_explained(spec.title, "video encoder"):
        vae = AutoencoderKLLTXVideo.from_pretrained(
            str(files.vae), torch_dtype=storage_dtype(memory, device), use_safetensors=True
        )
    _freeze(vae, device)
    if memory.vae_slicing:
        vae.enable_slicing()
    if memory.vae_tiling:
        vae.enable_tiling()
    return VideoEncoder(vae)


def load_transformer(
    spec: ModelSpec, files: ModelFiles, memory: MemorySettings, device: torch.device
) -> LTXVideoTransformer3DModel:
    """The frozen base, on the device, in the precision of the recipe. Raises BadInput for damaged files."""
    dtype = storage_dtype(memory, device)
    with _damage_explained(spec.title, "transformer"):
        return load_frozen(files.transformer, memory, device, dtype)


def transformer_structure(spec: ModelSpec, files: ModelFiles) -> LTXVideoTransformer3DModel:
    """Its layers without their weights, on the meta device. Raises BadInput for damaged files."""
    with _damage_explained(spec.title, "transformer"):
        return empty_transformer(files.transformer)


def load_scheduler(files: ModelFiles) -> FlowMatchEulerDiscreteScheduler:
    """Raises BadInput for damaged files."""
    with _damage_explained("the model", "scheduler"):
        loaded = FlowMatchEulerDiscreteScheduler.from_pretrained(str(files.scheduler))
    return cast("FlowMatchEulerDiscreteScheduler", loaded)


def _scheduler_like(
    scheduler: FlowMatchEulerDiscreteScheduler,
    **changes: Any,  # noqa: ANN401 - whatever the library takes
) -> FlowMatchEulerDiscreteScheduler:
    changed = FlowMatchEulerDiscreteScheduler.from_config(scheduler.config, **changes)
    return cast("FlowMatchEulerDiscreteScheduler", changed)


def video_coordinates(
    spec: ModelSpec, latent_shape: tuple[int, int, int], fps: float, batch: int, device: torch.device
) -> Tensor:
    """Where each latent token is: seconds, pixel row, pixel column; [B, 3, N], fp32.

    latent_shape: F, H, W. 'plain' is LTXPipeline's form, t = 8 f / fps; 'causal' is LTXConditionPipeline's,
    t = max(8 f - 7, 0) / fps, because the first latent frame holds one picture and the others eight.
    """
    axes = [torch.arange(size, dtype=torch.float32, device=device) for size in latent_shape]
    t, y, x = (axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij"))
    ticks = t * spec.temporal_compression
    if spec.coordinates == "causal":
        ticks = (ticks + 1 - spec.temporal_compression).clamp(min=0)
    coordinates = torch.stack([ticks / fps, y * spec.spatial_compression, x * spec.spatial_compression])
    return coordinates.expand(batch, -1, -1)


def batch_text(texts: Sequence[TextEmbedding], device: torch.device, dtype: torch.dtype) -> TextBatch:
    """Captions side by side, padded to the longest of them."""
    longest = max(len(text.embedding) for text in texts)
    width = texts[0].embedding.shape[-1]
    embeddings = torch.zeros(len(texts), longest, width, device=device, dtype=dtype)
    mask = torch.zeros(len(texts), longest, device=device, dtype=torch.int64)
    for row, text in enumerate(texts):
        embeddings[row, : len(text.embedding)] = text.embedding.to(device, dtype)
        mask[row, : len(text.embedding)] = 1
    return TextBatch(embeddings, mask)


def predict_velocity(
    transformer: LTXVideoTransformer3DModel,
    latents: Tensor,
    sigma: Tensor,
    text: TextBatch,
    coordinates: Tensor,
    clean: Tensor | None = None,
) -> Tensor:
    """The model's velocity [B, N, C] for noisy tokens.

    latents: [B, N, C]. sigma: [B]. coordinates: [B, 3, N]. clean: [B, N], true for tokens that are given
    (first frame): they are told sigma 0. Without any, one timestep a clip is enough, which is exact and
    faster.
    """
    timestep = (sigma * TIMESTEP_SCALE).view(-1, 1)
    if clean is not None:
        timestep = timestep.expand(-1, latents.shape[1]).masked_fill(clean, 0.0)
    mask = None if bool(text.mask.all()) else text.mask
    return transformer(
        hidden_states=latents,
        encoder_hidden_states=text.embeddings,
        timestep=timestep,
        encoder_attention_mask=mask,  # pyright: ignore[reportArgumentType] - None skips the mask
        video_coords=coordinates,
        return_dict=False,
    )[0]


@dataclass(frozen=True)
class SampleRequest:
    """One sample video. Sizes in pixels and frames; steps: of the sampler. guidance 1: without guidance.
    first_frame: uint8 [height, width, 3], the picture that the video starts from (image-to-video).
    """

    text: TextEmbedding
    negative: TextEmbedding
    width: int
    height: int
    frames: int
    fps: float
    steps: int
    guidance: float
    seed: int
    first_frame: np.ndarray[Any, np.dtype[np.uint8]] | None = None


class Sampler:
    """diffusers' own pipelines for this model, without its text encoder: LTXPipeline and
    LTXImageToVideoPipeline, or LTXConditionPipeline for both where the model's coordinates are causal.

    The transformer may be one that is being trained: its base in few bits, its LoRA in fp32.
    """

    def __init__(
        self,
        spec: ModelSpec,
        transformer: LTXVideoTransformer3DModel,
        vae: AutoencoderKLLTXVideo,
        scheduler: FlowMatchEulerDiscreteScheduler,
    ) -> None:
        causal = spec.coordinates == "causal"
        if causal and scheduler.config["use_dynamic_shifting"]:
            # LTXConditionPipeline brings its own noise levels and gives the scheduler no shift.
            scheduler = _scheduler_like(scheduler, use_dynamic_shifting=False, shift_terminal=None)
        parts: dict[str, Any] = {
            "transformer": transformer, "vae": vae, "scheduler": scheduler,
            "text_encoder": None, "tokenizer": None,
        }  # fmt: skip
        self._causal = causal
        self._levels_of = spec.sampling.levels_of
        self.pipeline: Any = LTXConditionPipeline(**parts) if causal else LTXPipeline(**parts)
        self._from_picture: Any = self.pipeline if causal else LTXImageToVideoPipeline(**parts)
        for pipeline in (self.pipeline, self._from_picture):
            pipeline.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def sample(
        self, request: SampleRequest, on_step: Callable[[int], None] | None = None
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """uint8 [frames, height, width, 3]. on_step(done) is called after each step and may raise."""
        pipeline = self.pipeline if request.first_frame is None else self._from_picture
        device, dtype = pipeline.transformer.device, pipeline.vae.dtype

        def after_step(
            _pipeline: object, step: int, _timestep: object, tensors: dict[str, Any]
        ) -> dict[str, Any]:
            if on_step is not None:
                on_step(step + 1)
            if step + 1 == request.steps:
                release_memory()  # decoding needs much at once: nothing of the last steps is in its way
            return tensors

        with _calculating_in(dtype, pipeline.transformer):
            video = pipeline(
                width=request.width,
                height=request.height,
                num_frames=request.frames,
                frame_rate=request.fps,
                num_inference_steps=request.steps,
                guidance_scale=request.guidance,
                generator=torch.Generator("cpu").manual_seed(request.seed),
                callback_on_step_end=after_step,
                output_type="np",
                **_text_arguments(request, device, dtype),
                **self._picture_arguments(request),
                **self._noise_levels(request.steps),
                **self._decode_settings(),
            ).frames[0]
        return np.clip(np.rint(np.asarray(video) * 255.0), 0, 255).astype(np.uint8)

    def _picture_arguments(self, request: SampleRequest) -> dict[str, Any]:
        if request.first_frame is None:
            return {}
        picture = Image.fromarray(request.first_frame)
        if self._causal:
            return {"conditions": [LTXVideoCondition(image=picture, frame_index=0)]}
        return {"image": picture}

    def _noise_levels(self, steps: int) -> dict[str, Any]:
        """As the pipeline takes them, where the model knows only some."""
        levels = self._levels_of(steps)
        return {"timesteps": [1000 * level for level in levels]} if levels else {}

    def _decode_settings(self) -> dict[str, float]:
        """VAEs that take a timestep decode best with a little noise: values of the pipelines'
        documentation.
        """
        if not self.pipeline.vae.config.timestep_conditioning:
            return {}
        return {"decode_timestep": 0.05, "decode_noise_scale": 0.025}


@contextmanager
def _calculating_in(dtype: torch.dtype, transformer: LTXVideoTransformer3DModel) -> Iterator[None]:
    """Every forward pass in here calculates in this format, as in training: the LoRA's weights are fp32, its
    base is not. Only the transformer: other parts would keep more in fp32 than they do on their own.
    """
    inside = autocast_to(dtype, transformer.device)

    def before(*_: object) -> None:
        inside.__enter__()

    def after(*_: object) -> None:
        inside.__exit__(None, None, None)

    hooks = [
        transformer.register_forward_pre_hook(before),
        transformer.register_forward_hook(after, always_call=True),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _text_arguments(request: SampleRequest, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Prompt and negative prompt as a pipeline takes them; guidance 1 has no use for the negative one."""
    guided = request.guidance > 1
    texts = batch_text([request.text, request.negative] if guided else [request.text], device, dtype)
    given = {"prompt_embeds": texts.embeddings[:1], "prompt_attention_mask": texts.mask[:1]}
    if guided:
        given["negative_prompt_embeds"] = texts.embeddings[1:]
        given["negative_prompt_attention_mask"] = texts.mask[1:]
    return given


def pack(latents: Tensor) -> Tensor:
    """[B, C, F, H, W] to tokens [B, N, C], frame by frame, row by row."""
    return latents.flatten(2).transpose(1, 2)


def unpack(tokens: Tensor, latent_shape: tuple[int, int, int]) -> Tensor:
    """The inverse of pack. latent_shape: F, H, W."""
    return tokens.transpose(1, 2).unflatten(2, latent_shape)


def _freeze(part: nn.Module, device: torch.device | None) -> None:
    """No gradients, no dropout; moved to the device unless it is there already."""
    part.eval().requires_grad_(False)
    if device is not None:
        part.to(device)


@contextmanager
def _damage_explained(title: str, part: str) -> Iterator[None]:
    """Files that are cut off, or of another architecture, become a message. So does full main memory."""
    try:
        yield
    except (torch.OutOfMemoryError, BadSetting):
        raise
    except Exception as error:
        if is_memory_full(error):
            raise JobFailed(
                problem=f"This computer's memory is too small for the {part} of {title}.",
                remedy="Close other programs, or choose a smaller model.",
            ) from error
        if isinstance(error, BadInput) or is_damage(error):
            said = error.problem.rstrip(".") if isinstance(error, BadInput) else damage_text(error)
            raise BadInput(
                problem=f"The {part} of {title} cannot be loaded: {said}.",
                remedy="The files may be cut off or of another model. Get the model again.",
            ) from error
        raise
