"""Qwen3-VL: a language model that watches a clip. Worker-side.

Frames are decoded here and made into patches here: transformers' own video processor wants torchvision, which
must match the build of torch exactly, and its reader of videos wants torchcodec. What comes out was compared
with that processor's (transformers 5.24): the same tokens and patches, but for rounding while resizing.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, BitsAndBytesConfig, Qwen3VLForConditionalGeneration

from ltx_wizard.captioning.captioner import ToCaption
from ltx_wizard.captioning.frames import Still, frames_for, sample_stills
from ltx_wizard.captioning.local_model import (
    LocalCaptioner,
    batch_for,
    device_and_precision,
    folder_of,
    in_batches,
    loading,
    refuse_another_model,
)
from ltx_wizard.core.clip import MediaKind
from ltx_wizard.models.captioner_models import Precision
from ltx_wizard.models.damage import refuse_without_words

_MAX_TOKENS = 320
"""200 words are about 270 tokens; a sentence that is cut off goes when the answer is cleaned."""

_REPETITION_PENALTY = 1.05
"""As Lightricks' own captioner for LTX-2 has it."""

_LONG_SIDE_PX = 768

_ROOMY_GIB = 15.0
_MEAN = _STD = 0.5
"""Of Qwen3-VL's pixels."""


@dataclass(frozen=True)
class Sight:
    """How much of a clip is looked at: frames at least and at most, and visual tokens for all of them."""

    at_least: int
    at_most: int
    tokens: int


WIDE = Sight(8, 16, 3072)
"""16 frames of 768 x 512: all that is there."""

NARROW = Sight(8, 8, 1536)
QUICK = Sight(6, 8, 384)
"""Without a card: 26 s for the first words of the 2B shape on 2 cores (measured, random weights)."""


@dataclass(frozen=True)
class Layout:
    """How a checkpoint cuts pictures up and marks them in the text; from its configuration."""

    patch_px: int
    merge: int
    frames_per_patch: int
    image: str
    video: str
    start: str
    end: str

    @property
    def cell_px(self) -> int:
        """Side of what becomes one visual token."""
        return self.patch_px * self.merge


@dataclass(frozen=True)
class Seen:
    """A clip for the model. patches: [N, 3 * frames_per_patch * patch_px ** 2]. grid: groups of frames, rows
    and columns of patches. text: what stands for it in the prompt.
    """

    patches: Tensor
    grid: tuple[int, int, int]
    text: str


class VisionCaptioner(LocalCaptioner):
    """Captions from frames with their times."""

    _sight = NARROW
    _tokenizer: Any = None
    _layout: Layout | None = None

    def load(self) -> None:
        folder = folder_of(self._spec)
        refuse_another_model(self._spec, folder)
        device, precision = device_and_precision(self._spec, self._vram_gib)
        with loading(self._spec, "tokenizer"):
            self._tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, padding_side="left"
            )
            refuse_without_words(self._tokenizer)
        with loading(self._spec, "model"):
            self._model = Qwen3VLForConditionalGeneration.from_pretrained(
                folder,
                device_map={"": device},
                local_files_only=True,
                use_safetensors=True,
                **_stored_as(precision),
            ).eval()
            self._layout = layout_of(self._model.config, self._tokenizer)
        self._sight = self._sight_on(device)
        self.batch = batch_for(self._spec, device, self._vram_gib)

    def caption(self, clips: Sequence[ToCaption]) -> list[str]:
        """Videos and pictures are asked for apart: the model takes them by different names."""
        answers: dict[int, str] = {}
        for kind in MediaKind:
            indices = [index for index, clip in enumerate(clips) if clip.kind is kind]
            if indices:
                found = in_batches([clips[index] for index in indices], self._ask, self._spec)
                answers.update(zip(indices, found, strict=True))
        return [answers[index] for index in range(len(clips))]

    def close(self) -> None:
        self._tokenizer = None
        super().close()

    @torch.inference_mode()
    def _ask(self, clips: Sequence[ToCaption]) -> list[str]:
        inputs = self.inputs(clips)
        tokens = self._model.generate(
            **inputs,
            max_new_tokens=_MAX_TOKENS,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=_REPETITION_PENALTY,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        new = tokens[:, inputs["input_ids"].shape[1] :]
        return list(self._tokenizer.batch_decode(new, skip_special_tokens=True))

    def inputs(self, clips: Sequence[ToCaption]) -> dict[str, Tensor]:
        """What the model takes for clips of one kind."""
        assert self._layout is not None, "load comes first"
        is_video = clips[0].kind is MediaKind.VIDEO
        seen = [self._look_at(clip) for clip in clips]
        prompts = [prompt(item.text, clip.instruction) for item, clip in zip(seen, clips, strict=True)]
        inputs: dict[str, Tensor] = dict(self._tokenizer(prompts, return_tensors="pt", padding=True))
        config = self._model.config
        if "mm_token_type_ids" in inspect.signature(self._model.forward).parameters:
            ids = inputs["input_ids"]
            inputs["mm_token_type_ids"] = (ids == config.image_token_id) + 2 * (ids == config.video_token_id)
        patches = torch.cat([item.patches for item in seen]).to(self._model.dtype)
        inputs["pixel_values_videos" if is_video else "pixel_values"] = patches
        inputs["video_grid_thw" if is_video else "image_grid_thw"] = torch.tensor([s.grid for s in seen])
        wanted = ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "pixel_values_videos")
        return {
            name: value.to(self._model.device)
            for name, value in inputs.items()
            if name in (*wanted, "image_grid_thw", "video_grid_thw")
        }

    def _look_at(self, clip: ToCaption) -> Seen:
        assert self._layout is not None
        duration_s = clip.facts.duration_s if clip.facts else 4.0
        count = frames_for(duration_s, self._sight.at_least, self._sight.at_most)
        stills = sample_stills(clip.path, count, _LONG_SIDE_PX)
        if clip.kind is MediaKind.VIDEO:
            return seen_video(stills, self._layout, self._sight.tokens)
        return seen_image(stills[0], self._layout, self._sight.tokens)

    def _sight_on(self, device: torch.device) -> Sight:
        if device.type == "cpu":
            return QUICK
        size = self._vram_gib or torch.cuda.get_device_properties(device).total_memory / 1024**3
        return WIDE if size >= _ROOMY_GIB else NARROW


def layout_of(config: Any, tokenizer: Any) -> Layout:  # noqa: ANN401 - transformers' own classes
    def token(name: str) -> str:
        return str(tokenizer.convert_ids_to_tokens(getattr(config, name)))

    vision = config.vision_config
    return Layout(
        patch_px=vision.patch_size,
        merge=vision.spatial_merge_size,
        frames_per_patch=vision.temporal_patch_size,
        image=token("image_token_id"),
        video=token("video_token_id"),
        start=token("vision_start_token_id"),
        end=token("vision_end_token_id"),
    )


def prompt(seen: str, instruction: str) -> str:
    """ChatML, as the model was trained on it: one turn of the user, and the beginning of the answer."""
    return f"<|im_start|>user\n{seen}{instruction}<|im_end|>\n<|im_start|>assistant\n"


def seen_video(stills: Sequence[Still], layout: Layout, tokens: int) -> Seen:
    """Frames in groups of frames_per_patch; the mean time of each group stands before it in the prompt."""
    group = layout.frames_per_patch
    padded = [*stills, *[stills[-1]] * (-len(stills) % group)]
    height, width = _size_for(padded, layout, tokens)
    grid = (len(padded) // group, height // layout.patch_px, width // layout.patch_px)
    cells = grid[1] * grid[2] // layout.merge**2
    text = "".join(
        f"<{(padded[start].time_s + padded[start + group - 1].time_s) / 2:.1f} seconds>"
        f"{layout.start}{layout.video * cells}{layout.end}"
        for start in range(0, len(padded), group)
    )
    return Seen(_patches(padded, height, width, layout), grid, text)


def seen_image(still: Still, layout: Layout, tokens: int) -> Seen:
    """A picture is a group of frames that are all the same."""
    repeated = [still] * layout.frames_per_patch
    height, width = _size_for(repeated, layout, tokens)
    grid = (1, height // layout.patch_px, width // layout.patch_px)
    cells = grid[1] * grid[2] // layout.merge**2
    return Seen(
        _patches(repeated, height, width, layout), grid, f"{layout.start}{layout.image * cells}{layout.end}"
    )


def _size_for(stills: Sequence[Still], layout: Layout, tokens: int) -> tuple[int, int]:
    """Height and width in whole cells, as near to the picture's as the tokens allow."""
    height, width = stills[0].picture.shape[:2]
    cell = layout.cell_px
    each = tokens * layout.frames_per_patch / len(stills) * cell**2
    shrink = max(1.0, math.sqrt(height * width / each))
    return max(cell, _whole(height / shrink, cell, shrink)), max(cell, _whole(width / shrink, cell, shrink))


def _whole(length: float, cell: int, shrink: float) -> int:
    """The nearest multiple; the one below where the picture is shrunk, so that the tokens suffice."""
    return (math.floor(length / cell) if shrink > 1 else round(length / cell)) * cell


def _patches(stills: Sequence[Still], height: int, width: int, layout: Layout) -> Tensor:
    """[N, 3 * frames_per_patch * patch_px ** 2], cells in reading order, the patches of a cell together."""
    stacked = np.stack([still.picture for still in stills])
    frames = torch.from_numpy(stacked).permute(0, 3, 1, 2)  # uint8 [F, 3, H, W]
    if frames.shape[-2:] != (height, width):
        frames = torch.nn.functional.interpolate(
            frames, size=(height, width), mode="bicubic", antialias=True, align_corners=False
        )
    pixels = (frames.float() / 255 - _MEAN) / _STD
    group, merge, side = layout.frames_per_patch, layout.merge, layout.patch_px
    rows, columns = height // side, width // side
    cut = pixels.reshape(
        len(stills) // group, group, 3, rows // merge, merge, side, columns // merge, merge, side
    )
    ordered = cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return ordered.reshape(-1, 3 * group * side * side)


def _stored_as(precision: Precision) -> dict[str, Any]:
    """How the weights are kept. In 4 bits: the language model's layers; what sees stays whole."""
    if precision == "float32":
        return {"dtype": torch.float32}
    if precision == "bf16":
        return {"dtype": torch.bfloat16}
    return {
        "dtype": torch.bfloat16,
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=["model.visual", "lm_head"],
        ),
    }
