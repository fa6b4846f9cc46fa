"""The models that captioners use, as they lie on the hub and what they need. No torch here.

Sizes: parameters were counted on classes built without memory from the published configurations; bf16 is
two bytes for each. nf4: 0.5625 bytes for each parameter of the language model's linear layers, the rest in
bf16. What a clip and the driver take besides was measured by benchmarks/captioners.py on an NVIDIA H100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.spec import Downloadable

Precision = Literal["float32", "bf16", "nf4"]

DRIVER_GIB = 1.2
"""What the driver and its kernels take of a card beside torch, once a model has run."""

_TOKENIZER = (("tokenizer.json", "vocab.json"), ("tokenizer_config.json",))


@dataclass(frozen=True)
class CaptionerModel:
    """A model that looks at pictures and writes text.

    id: also the captioner's name. bf16_gib, nf4_gib: weights in memory; nf4_gib 0: it is small enough
    without. clip_gib: what each clip that is captioned at once takes besides. download_gib: bf16 weights on
    the hub, where the hub has not been asked.
    """

    id: str
    title: str
    family: Literal["florence2", "qwen3vl"]
    repository: str
    parameters_b: float
    bf16_gib: float
    nf4_gib: float
    clip_gib: float
    licence: str
    step: str = "Captions"

    @property
    def parts(self) -> tuple[str, ...]:
        return ("model",)

    @property
    def download_gib(self) -> float:
        return self.bf16_gib

    def address(self, role: str) -> tuple[str, str]:
        del role  # there is one: the whole repository
        return self.repository, ""

    def has_weights(self, part: str) -> bool:
        del part
        return True

    def essential(self, part: str) -> tuple[tuple[str, ...], ...]:
        del part
        video = (("video_preprocessor_config.json", "processor_config.json"),)
        return (
            ("config.json",),
            ("preprocessor_config.json", "processor_config.json"),
            *_TOKENIZER,
            *(video if self.family == "qwen3vl" else ()),
        )

    def need_gib(self, precision: Precision) -> float:
        """Memory for the weights at this precision and for one clip."""
        weights = {"float32": 2 * self.bf16_gib, "bf16": self.bf16_gib, "nf4": self.nf4_gib}[precision]
        return weights + DRIVER_GIB + self.clip_gib

    def precision_for(self, vram_gib: float) -> Precision | None:
        """The best precision that a card of this size holds, with 8 % left for the system; None: it does
        not fit. 0 is no card: then in float32, because processors are far slower in bf16 (measured: 5 times).
        """
        if vram_gib <= 0:
            return "float32"
        if self.need_gib("bf16") <= _USABLE * vram_gib:
            return "bf16"
        fits = self.nf4_gib > 0 and self.need_gib("nf4") <= _USABLE * vram_gib
        return "nf4" if fits else None

    def clips_at_once(self, free_gib: float) -> int:
        """How many clips it captions at once where the card has this much free beside the weights."""
        return max(1, min(_MOST_CLIPS, int(_USABLE_FOR_CLIPS * free_gib / self.clip_gib)))


_USABLE = 0.92
_USABLE_FOR_CLIPS = 0.8
_MOST_CLIPS = 8

CAPTIONER_MODELS: tuple[CaptionerModel, ...] = (
    CaptionerModel(
        id="florence2-base",
        title="Florence-2 base",
        family="florence2",
        repository="florence-community/Florence-2-base",
        parameters_b=0.23,
        bf16_gib=0.45,
        nf4_gib=0.0,
        clip_gib=0.67,
        licence="MIT",
    ),
    CaptionerModel(
        id="florence2-large",
        title="Florence-2 large",
        family="florence2",
        repository="florence-community/Florence-2-large",
        parameters_b=0.77,
        bf16_gib=1.45,
        nf4_gib=0.0,
        clip_gib=1.31,
        licence="MIT",
    ),
    CaptionerModel(
        id="qwen3vl-2b",
        title="Qwen3-VL 2B",
        family="qwen3vl",
        repository="Qwen/Qwen3-VL-2B-Instruct",
        parameters_b=2.13,
        bf16_gib=4.0,
        nf4_gib=2.1,
        clip_gib=0.66,
        licence="Apache-2.0",
    ),
    CaptionerModel(
        id="qwen3vl-4b",
        title="Qwen3-VL 4B",
        family="qwen3vl",
        repository="Qwen/Qwen3-VL-4B-Instruct",
        parameters_b=4.44,
        bf16_gib=8.3,
        nf4_gib=3.4,
        clip_gib=0.93,
        licence="Apache-2.0",
    ),
    CaptionerModel(
        id="qwen3vl-8b",
        title="Qwen3-VL 8B",
        family="qwen3vl",
        repository="Qwen/Qwen3-VL-8B-Instruct",
        parameters_b=8.77,
        bf16_gib=16.3,
        nf4_gib=7.0,
        clip_gib=1.03,
        licence="Apache-2.0",
    ),
    CaptionerModel(
        id="qwen3vl-32b",
        title="Qwen3-VL 32B",
        family="qwen3vl",
        repository="Qwen/Qwen3-VL-32B-Instruct",
        parameters_b=33.4,
        bf16_gib=62.1,
        nf4_gib=20.3,
        clip_gib=1.54,
        licence="Apache-2.0",
    ),
)


def captioner_model(name: str) -> CaptionerModel | None:
    """The model of a captioner; None for a captioner without one."""
    return next((model for model in CAPTIONER_MODELS if model.id == name), None)


def find_downloadable(name: str) -> Downloadable:
    """A captioner's model, or a base model as find_model takes it. Raises NotFound."""
    return captioner_model(name) or find_model(name)
