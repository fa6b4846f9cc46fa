"""What a LoRA file is, by its keys and shapes: which layers it changes, how its weights are named. No torch.

Read are the forms that the trainers of this field write (prefixes and halves below) for the plain LoRA, B A
with an optional alpha. Sources: diffusers 0.42 loaders, ComfyUI comfy/lora.py, kohya's sd-scripts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ltx_wizard.core.errors import BadInput
from ltx_wizard.interop.key_names import COMFYUI_PREFIX, DIFFUSERS_PREFIX, to_comfyui, to_diffusers
from ltx_wizard.models.headers import Header, read_header

_KOHYA_PREFIXES = ("lora_unet_", "lora_transformer_")
_DOTTED_PREFIXES = (
    DIFFUSERS_PREFIX,
    COMFYUI_PREFIX,
    "model.diffusion_model.",
    "base_model.model.transformer.",
    "base_model.model.",
)
_HALVES = {
    "lora_A.weight": "A", "lora_B.weight": "B",
    "lora_A.default.weight": "A", "lora_B.default.weight": "B",
    "lora_down.weight": "A", "lora_up.weight": "B",
    "lora.down.weight": "A", "lora.up.weight": "B",
    "lora_A": "A", "lora_B": "B",
    "alpha": "alpha",
}  # fmt: skip
_FORMS = {
    DIFFUSERS_PREFIX: "diffusers",
    COMFYUI_PREFIX: "ComfyUI",
    "": "without a prefix",
    "base_model.model.": "peft",
}
_OTHER_ADAPTERS = (
    (r"\.hada_w\d", "a LoHa"),
    (r"\.lokr_w\d", "a LoKr"),
    (r"\.dora_scale|lora_magnitude_vector", "a DoRA"),
    (r"\.oft_|\.boft_", "an OFT"),
)
_OTHER_FAMILIES = (
    (r"(^|\.|_)audio_(attn|ff|proj|patchify)|video_to_audio|audio_to_video|av_ca_", "LTX-2"),
    (r"double_blocks|single_transformer_blocks|single_blocks", "Flux or HunyuanVideo"),
    (r"(^|[._])blocks[._]\d+[._](self_attn|cross_attn)", "Wan"),
    (r"joint_blocks|add_k_proj", "Stable Diffusion 3 or a model like it"),
    (r"(down|up|input|output|mid|middle)_blocks?[._]", "Stable Diffusion"),
    (r"(^|\.)model\.layers\.\d+\.self_attn|(^|_)te\d?_", "a text encoder"),
)


@dataclass(frozen=True)
class LoraLayer:
    """Keys of one layer's weights in the file; alpha: '' where there is none. rank: rows of A."""

    down: str
    up: str
    alpha: str
    rank: int


@dataclass(frozen=True)
class LoraFile:
    """A LoRA for this model. layers: by diffusers' name of the module. scale: of the whole file, as its
    header says; alphas among its weights come on top. metadata: of the header, as it is.
    """

    path: Path
    form: str
    layers: Mapping[str, LoraLayer]
    scale: float
    metadata: Mapping[str, str]

    @property
    def rank(self) -> int:
        """The largest: files may have smaller ones for some layers."""
        return max(layer.rank for layer in self.layers.values())


def recognise_lora(path: Path, model_layers: Mapping[str, tuple[int, int]], model_title: str) -> LoraFile:
    """Read the header of a file made anywhere and fit it to a model.

    model_layers: (outputs, inputs) of each linear layer by diffusers' name. Raises NotFound, or BadInput that
    says what the file is instead: no safetensors, no LoRA, another kind of adapter, a LoRA for another model
    or for another size of this one.
    """
    header = _lora_header(path)
    keys = [key for key in header.shapes if not key.startswith("_")]
    _refuse_other_adapters(path, keys)
    halves = {key: (stem, half) for key in keys if (found := _halved(key)) for stem, half in [found]}
    if not any(half in ("A", "B") for _, half in halves.values()):
        raise _no_lora(path, keys)
    names = _module_names(model_layers)
    parts: dict[str, dict[str, str]] = {}
    prefixes: set[str] = set()
    for key, (stem, half) in halves.items():
        module, prefix = _module(stem, names)
        if not module:
            raise _other_model(path, stem, keys, model_title)
        prefixes.add(prefix)
        parts.setdefault(module, {})[half] = key
    left_over = [key for key in keys if key not in halves]
    if left_over:
        raise BadInput(
            problem=f"{path.name} holds more than a LoRA: '{left_over[0][:80]}' is not known here.",
            remedy="Use a file that holds a plain LoRA for the transformer.",
        )
    layers = {module: _layer(path, module, found, header) for module, found in parts.items()}
    for module, layer in layers.items():
        _refuse_other_size(path, module, layer, model_layers[module], header, model_title)
    form = ", ".join(sorted({_FORMS.get(prefix, "kohya" if prefix in _KOHYA_PREFIXES else "original")
                             for prefix in prefixes}))  # fmt: skip
    return LoraFile(path, form, layers, _scale_in_header(header), header.metadata)


def _lora_header(path: Path) -> Header:
    """Raises as read_header does, in words that fit a LoRA."""
    if path.suffix.lower() in (".pt", ".pth", ".ckpt", ".bin", ".pkl"):
        raise BadInput(
            problem=f"{path.name} is a pickle: opening it could run somebody else's program.",
            remedy="Get the .safetensors file of this LoRA.",
        )
    if path.is_dir():
        raise BadInput(
            problem=f"{path.name} is a folder.", remedy="Choose the .safetensors file of a LoRA in it."
        )
    return read_header(path)


def _refuse_other_adapters(path: Path, keys: Iterable[str]) -> None:
    for pattern, kind in _OTHER_ADAPTERS:
        if any(re.search(pattern, key) for key in keys):
            raise BadInput(
                problem=f"{path.name} is {kind}, another kind of adapter than a LoRA.",
                remedy="The Lab shows plain LoRAs. Convert it, or look at it in the program that it is from.",
            )


def _halved(key: str) -> tuple[str, str] | None:
    """('transformer.a.b', 'A') of 'transformer.a.b.lora_A.weight'; None for other names."""
    for suffix, half in _HALVES.items():
        if key.endswith(f".{suffix}"):
            return key[: -len(suffix) - 1], half
    return None


def _module_names(model_layers: Iterable[str]) -> dict[str, str]:
    """Every spelling of a module -> diffusers' name: dotted in both families of names, and kohya's."""
    names: dict[str, str] = {}
    for module in model_layers:
        original = to_comfyui(DIFFUSERS_PREFIX + module).removeprefix(COMFYUI_PREFIX)
        for spelling in (module, original):
            names[spelling] = module
            names[spelling.replace(".", "_")] = module
    return names


def _module(stem: str, names: Mapping[str, str]) -> tuple[str, str]:
    """diffusers' name of the module and the prefix that its key has; '' where the model has none such."""
    for prefix in (*_DOTTED_PREFIXES, *_KOHYA_PREFIXES, ""):
        if stem.startswith(prefix) and stem.removeprefix(prefix) in names:
            return names[stem.removeprefix(prefix)], prefix
    if stem.startswith(COMFYUI_PREFIX):
        return names.get(to_diffusers(stem).removeprefix(DIFFUSERS_PREFIX), ""), COMFYUI_PREFIX
    return "", ""


def _layer(path: Path, module: str, found: Mapping[str, str], header: Header) -> LoraLayer:
    if "A" not in found or "B" not in found:
        raise BadInput(
            problem=f"{path.name} is not whole: half of the weights for {module} is missing.",
            remedy="Download the file again.",
        )
    down, up = header.shapes[found["A"]], header.shapes[found["B"]]
    if len(down) != 2 or len(up) != 2 or down[0] != up[1] or down[0] < 1:
        raise BadInput(
            problem=f"{path.name} is damaged: the two halves of {module} have different ranks "
            f"({down[0] if down else 0} and {up[-1] if up else 0}).",
            remedy="Download the file again, or ask who made it.",
        )
    return LoraLayer(found["A"], found["B"], found.get("alpha", ""), down[0])


def _refuse_other_size(
    path: Path, module: str, layer: LoraLayer, size: tuple[int, int], header: Header, title: str
) -> None:
    inputs, outputs = header.shapes[layer.down][1], header.shapes[layer.up][0]
    if (outputs, inputs) != size:
        raise BadInput(
            problem=f"{path.name} is a LoRA for another size of model: its {module} is {outputs} x {inputs}, "
            f"that of {title} is {size[0]} x {size[1]}.",
            remedy="Open a project of the model that it was trained on.",
        )


def _no_lora(path: Path, keys: list[str]) -> BadInput:
    blocks = any("transformer_blocks." in key for key in keys)
    first = min(keys, default="")
    kind = "It is a whole model or a part of one" if blocks else f"Its first weight is '{first[:80]}'"
    return BadInput(
        problem=f"{path.name} holds no LoRA. {kind}.", remedy="Choose the file of a LoRA: most are small."
    )


def _other_model(path: Path, stem: str, keys: list[str], title: str) -> BadInput:
    family = next(
        (name for pattern, name in _OTHER_FAMILIES if any(re.search(pattern, key) for key in keys)), ""
    )
    if family:
        return BadInput(
            problem=f"{path.name} is a LoRA for {family}, not for {title}.",
            remedy="Choose a LoRA that was trained on this project's model.",
        )
    return BadInput(
        problem=f"{path.name} changes a layer that {title} does not have: {stem[:80]}.",
        remedy="Choose a LoRA that was trained on this project's model: a 13B LoRA does not fit 2B.",
    )


def _scale_in_header(header: Header) -> float:
    """alpha / rank of the whole file, where diffusers has written its adapter's settings; else 1."""
    try:
        settings = json.loads(header.metadata.get("lora_adapter_metadata", "{}"))
        scale = float(settings["transformer.lora_alpha"]) / float(settings["transformer.r"])
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return 1.0
    return scale if math.isfinite(scale) else 1.0
