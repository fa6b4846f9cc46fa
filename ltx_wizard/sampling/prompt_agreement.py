"""How far the frames show what the prompt says, by a CLIP model that lies on this computer anyway. Nothing is
downloaded. Worker-side.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, CLIPModel

from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.events import Warned
from ltx_wizard.core.report import Report
from ltx_wizard.models.weights import find_parts, missing_parts
from ltx_wizard.sampling.frames import Frames, spread

_MOST_FRAMES = 4
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""OpenAI's, for a model that does not say."""


@dataclass(frozen=True)
class ClipModel:
    """A CLIP model of the hub, in the form of transformers."""

    repository: str
    step: str = "Train"

    @property
    def id(self) -> str:
        return self.repository

    @property
    def title(self) -> str:
        return self.repository

    @property
    def parts(self) -> tuple[str, ...]:
        return ("model",)

    @property
    def download_gib(self) -> float:
        return 0.0

    def address(self, role: str) -> tuple[str, str]:
        del role
        return self.repository, ""

    def has_weights(self, part: str) -> bool:
        del part
        return True

    def essential(self, part: str) -> tuple[tuple[str, ...], ...]:
        del part
        return ("config.json",), ("tokenizer.json", "vocab.json")


CLIP_MODELS = tuple(
    ClipModel(repository)
    for repository in (
        "openai/clip-vit-base-patch32",
        "openai/clip-vit-base-patch16",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "openai/clip-vit-large-patch14",
        "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    )
)
"""Those that are looked for, in this order: the quicker ones first, because it runs on the processor."""


class PromptJudge:
    """A loaded CLIP model. On the processor: the card is full of what is trained."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, ValueError, KeyError, RuntimeError or SafetensorError for damaged files."""
        with torch.random.fork_rng(devices=[]):  # a run goes on alike with and without it
            model: Any = CLIPModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        self._model = model.eval()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._mean, self._deviation = _colour_scale(folder)

    def agreement(self, prompt: str, frames: Frames) -> float:
        """Mean cosine of the prompt and some frames, -1 to 1. frames: uint8 [F, H, W, 3].

        CLIP reads the first 75 tokens or so of a prompt, and knows little of motion: this is for comparing
        samples of one prompt.
        """
        texts = self._tokenizer(
            [prompt], truncation=True, max_length=self._longest_text(), return_tensors="pt"
        )
        chosen = frames[spread(len(frames), _MOST_FRAMES)]
        with torch.inference_mode():
            found = self._model(
                input_ids=texts["input_ids"],
                attention_mask=texts["attention_mask"],
                pixel_values=self._pixels(chosen),
            )
            cosines = functional.cosine_similarity(found.image_embeds, found.text_embeds)
        return float(cosines.mean())

    def _longest_text(self) -> int:
        return int(self._model.config.text_config.max_position_embeddings)

    def _pixels(self, frames: Frames) -> Tensor:
        """[F, 3, side, side]: the middle of each frame, scaled and normalised as CLIP was trained."""
        side = int(self._model.config.vision_config.image_size)
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
        height, width = pixels.shape[2:]
        scale = side / min(height, width)
        size = (max(side, round(height * scale)), max(side, round(width * scale)))
        pixels = functional.interpolate(pixels, size=size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = (size[0] - side) // 2, (size[1] - side) // 2
        pixels = pixels[:, :, top : top + side, left : left + side]
        return (pixels - self._mean) / self._deviation


def find_judge(report: Report) -> PromptJudge | None:
    """The first CLIP model in the hub's cache, loaded; None without one. One that is damaged is a warning."""
    for model in CLIP_MODELS:
        try:
            if missing_parts(model):
                continue
            return PromptJudge(find_parts(model)["model"])
        except (WizardError, OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0][:160]
            report.emit(
                Warned(
                    message=f"Prompt agreement is not measured: {model.title} cannot be loaded. {first_line}"
                )
            )
            return None
    return None


def _colour_scale(folder: Path) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the colours, [3, 1, 1] each."""
    try:
        config = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        config = {}
    values = (config.get("image_mean", _MEAN), config.get("image_std", _DEVIATION))
    mean, deviation = (torch.tensor(value, dtype=torch.float32)[:, None, None] for value in values)
    return mean, deviation
