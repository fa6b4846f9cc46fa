"""A transformer from its files to the card, tensor by tensor. Worker-side.

Main memory never holds more than one tensor beyond what stays there: each is read by itself and goes to its
place before the next. A quantised model is saved as it is made, for the next start.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import LTXVideoTransformer3DModel
from diffusers.loaders.single_file_utils import convert_ltx_transformer_checkpoint_to_diffusers
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ltx_wizard.core.recipe import MemorySettings
from ltx_wizard.core.recipe_groups import Quantization, check_offload
from ltx_wizard.models.headers import read_header
from ltx_wizard.models.offload import OffloadedBlocks
from ltx_wizard.models.precision import tensors_given_back
from ltx_wizard.models.quantized import is_quantized, quantized_layer, restored_layer
from ltx_wizard.models.quantized_cache import QuantizedCache, read_tensor
from ltx_wizard.models.recognise import transformer_config

BLOCKS = "transformer_blocks"
_CACHE_FORMAT = 2
_CONFIG = "config.json"
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_INDEX = f"{_WEIGHTS}.index.json"


def load_frozen(
    source: Path, memory: MemorySettings, device: torch.device, dtype: torch.dtype
) -> LTXVideoTransformer3DModel:
    """The transformer in `source`, a folder in diffusers layout or an original single file, frozen, on the
    device, stored as `memory` says.

    Raises BadInput, OSError, KeyError, ValueError or SafetensorError for files that are damaged or of another
    architecture, BadSetting for settings that do not go together.
    """
    check_offload(memory)
    weights = _open(source)
    empty = partial(_Placement, weights, memory, device, dtype)
    quantized = memory.quantization != "none"
    with tensors_given_back():
        model = _quantized(weights, empty, memory) if quantized else _full(weights, empty())
        model.eval().requires_grad_(False)
        if memory.offload == "blocks":
            OffloadedBlocks(model.transformer_blocks, device)
    return model


def empty_transformer(source: Path) -> LTXVideoTransformer3DModel:
    """The layers of the transformer in `source` without their weights, on the meta device. Raises as
    load_frozen does.
    """
    return _empty(_open(source).config)


@dataclass(frozen=True)
class _Weights:
    """Tensors in files. where: diffusers' name -> (file, name in the file)."""

    config: dict[str, Any]
    where: dict[str, tuple[Path, str]]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All of them, file by file."""
        for name, (file, key) in self.where.items():
            yield name, read_tensor(file, key)

    def identity(self) -> str:
        """Changes whenever a file does."""
        files = sorted({file for file, _ in self.where.values()})
        facts = [f"{file.resolve()} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _open(source: Path) -> _Weights:
    if source.is_file():
        header = read_header(source)
        renamed: dict[str, str] = convert_ltx_transformer_checkpoint_to_diffusers(
            {key: key for key in header.shapes}
        )
        where = {name: (source, key) for name, key in renamed.items()}
        return _Weights(transformer_config(header), where)
    config = json.loads((source / _CONFIG).read_text(encoding="utf-8"))
    return _Weights(config, {name: (file, name) for file in _files(source) for name in _names_in(file)})


def _empty(config: Mapping[str, Any]) -> LTXVideoTransformer3DModel:
    with torch.device("meta"):
        model = LTXVideoTransformer3DModel.from_config(dict(config))
    assert isinstance(model, LTXVideoTransformer3DModel)
    return model


def _files(folder: Path) -> list[Path]:
    """What diffusers reads: the shards of the index, else the one file. Else all there are, whatever their
    names.
    """
    if (folder / _INDEX).is_file():
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    return sorted(folder.glob("*.safetensors"))


def _names_in(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())


class _Placement:
    """Puts tensors into a model that has none yet. Raises ValueError where `weights` are of another one."""

    def __init__(
        self, weights: _Weights, memory: MemorySettings, device: torch.device, dtype: torch.dtype
    ) -> None:
        model = _empty(weights.config)
        self._model, self._device, self._waiting = model, device, memory.offload == "blocks"
        self.dtype = dtype
        self._modules = dict(model.named_modules())
        _refuse_missing(name for name in self._without_value() if name not in weights.where)
        self._refuse_foreign(weights.where)

    def put(self, name: str, value: Tensor) -> bool:
        """One parameter or buffer, in the storage format. False: the model has none of this name."""
        owner, _, field = name.rpartition(".")
        module = self._modules.get(owner)
        expected = getattr(module, field, None)
        if module is None or not isinstance(expected, Tensor):
            return False
        _check_shape(name, value, expected)
        moved = value.to(self.home(name), self.dtype, copy=True)
        if field in module._parameters:
            module._parameters[field] = nn.Parameter(moved, requires_grad=False)
        else:
            module._buffers[field] = moved
        return True

    def replace(self, name: str, layer: nn.Module) -> None:
        owner, _, field = name.rpartition(".")
        setattr(self._modules[owner], field, layer)

    def home(self, name: str) -> torch.device:
        """Where a tensor stays: blocks that are offloaded wait in main memory."""
        waits = self._waiting and name.startswith(f"{BLOCKS}.")
        return torch.device("cpu") if waits else self._device

    def work_place(self) -> torch.device:
        """Where weights are quantised."""
        return self._device

    def to_quantize(self) -> dict[str, nn.Linear]:
        """Layers that are stored in fewer bits, by name."""
        return {
            name: module
            for name, module in self._modules.items()
            if isinstance(module, nn.Linear) and is_quantized(name, module)
        }

    def whole_model(self) -> LTXVideoTransformer3DModel:
        """Raises ValueError where it still lacks something."""
        _refuse_missing(self._without_value())
        return self._model

    def _without_value(self) -> list[str]:
        tensors = [*self._model.named_parameters(), *self._model.named_buffers()]
        return [name for name, value in tensors if value.is_meta]

    def _refuse_foreign(self, names: Iterable[str]) -> None:
        """A layer with tensors beside weight and bias is stored in a way that only another program knows;
        elsewhere, tensors that the model lacks are passed over.
        """
        for name in names:
            owner, _, field = name.rpartition(".")
            if isinstance(self._modules.get(owner), nn.Linear) and field not in ("weight", "bias"):
                raise ValueError(f"{name} belongs to a way of storing weights that is not known here")


def _refuse_missing(names: Iterable[str]) -> None:
    missing = sorted(names)
    if missing:
        raise ValueError(f"{len(missing)} tensors are missing, the first is {missing[0]}")


def _check_shape(name: str, value: Tensor, expected: Tensor) -> None:
    if expected.shape != value.shape:
        raise ValueError(f"{name} has the shape {tuple(value.shape)}, not {tuple(expected.shape)}")


def _full(weights: _Weights, placed: _Placement) -> LTXVideoTransformer3DModel:
    for name, value in weights.tensors():
        placed.put(name, value)
    return placed.whole_model()


def _quantized(
    weights: _Weights, empty: Callable[[], _Placement], memory: MemorySettings
) -> LTXVideoTransformer3DModel:
    """As it was saved, else made, and saved for the next time."""
    kind = memory.quantization
    first = empty()
    text = f"{_CACHE_FORMAT} {kind} {first.dtype} {first.work_place().type} {weights.identity()}"
    cache = QuantizedCache(hashlib.sha256(text.encode()).hexdigest()[:16])
    return _restored(cache, first, kind) or _made(weights, empty(), kind, cache)


def _restored(
    cache: QuantizedCache, placed: _Placement, kind: Quantization
) -> LTXVideoTransformer3DModel | None:
    """None where nothing was saved, or where it is damaged: then it is removed."""
    if not cache.exists():
        return None
    layers = placed.to_quantize()
    try:
        for name, parts in cache.read():
            if name not in layers:
                placed.put(name, parts[""])
                continue
            moved = {part: value.to(placed.home(name), copy=True) for part, value in parts.items()}
            bias = moved.pop("bias", None)
            placed.replace(name, restored_layer(kind, layers[name], moved, bias, placed.dtype))
        return placed.whole_model()
    except torch.cuda.OutOfMemoryError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError):
        cache.remove()
        return None


def _made(
    weights: _Weights, placed: _Placement, kind: Quantization, cache: QuantizedCache
) -> LTXVideoTransformer3DModel:
    """Quantise on the device, layer by layer, place, and save."""
    layers = placed.to_quantize()
    halves: dict[str, dict[str, Tensor]] = {name: {} for name in layers}
    with cache.writer() as writer:
        for name, value in weights.tensors():
            owner, _, field = name.rpartition(".")
            layer = layers.get(owner)
            expected: Tensor | None = getattr(layer, field, None)
            if layer is None or expected is None:
                if placed.put(name, value):
                    writer.add(name, {"": value.to(placed.dtype)})
                continue
            _check_shape(name, value, expected)
            halves[owner][field] = value
            if len(halves[owner]) == 1 + (layer.bias is not None):
                full = {
                    key: half.to(placed.work_place(), placed.dtype, copy=True)
                    for key, half in halves.pop(owner).items()
                }
                bias = full.get("bias")
                made, parts = quantized_layer(kind, layer, full["weight"], bias)
                placed.replace(owner, made.to(placed.home(owner)))
                writer.add(owner, parts if bias is None else {**parts, "bias": bias})
        return placed.whole_model()
