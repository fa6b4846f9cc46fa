"""A transformer from its files to the card, tensor by tensor. Worker-side.

Main memory never holds more than one tensor beyond what stays there, because files are mapped and each tensor
goes to its place before the next is read. A quantised model is saved as it is made, so that the next start
reads half or a quarter and calculates nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import LTXVideoTransformer3DModel
from diffusers.loaders.single_file_utils import convert_ltx_transformer_checkpoint_to_diffusers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ltx_wizard.core import places
from ltx_wizard.core.errors import BadSetting
from ltx_wizard.core.recipe import MemorySettings, Quantization
from ltx_wizard.models.offload import OffloadedBlocks
from ltx_wizard.models.quantized import is_quantized, quantized_layer, restored_layer

OFFLOADABLE: tuple[Quantization, ...] = ("none", "fp8-quanto", "int8-quanto")
"""Formats whose blocks can wait in main memory."""

BLOCKS = "transformer_blocks"
_SHARD_BYTES = 2 * 1024**3
_CACHE_FORMAT = 1
_CONFIG = "config.json"
_CHOICES = "choices.json"


def load_frozen(
    source: Path, memory: MemorySettings, device: torch.device, dtype: torch.dtype
) -> LTXVideoTransformer3DModel:
    """The transformer in `source`, a folder in diffusers layout or an original single file, frozen, on the
    device, stored as `memory` says.

    Raises KeyError, ValueError or SafetensorError for files that are damaged or of another architecture,
    BadSetting for settings that do not go together.
    """
    check_offload(memory)
    weights = _open(source)
    with torch.device("meta"):
        model = LTXVideoTransformer3DModel.from_config(weights.config)
    assert isinstance(model, LTXVideoTransformer3DModel)
    _check_names(model, weights)
    placed = _Placement(model, memory, device, dtype)
    if memory.quantization == "none":
        for name, value in weights.tensors():
            placed.put(name, value)
    else:
        _load_quantized(weights, placed, memory.quantization)
    model.eval().requires_grad_(False)
    if memory.offload == "blocks":
        OffloadedBlocks(model.transformer_blocks, device)
    return model


def check_offload(memory: MemorySettings) -> None:
    """Raises BadSetting where blocks of this format cannot wait in main memory."""
    if memory.offload == "blocks" and memory.quantization not in OFFLOADABLE:
        raise BadSetting(
            problem=f"Offloading works with {', '.join(OFFLOADABLE)}, not with {memory.quantization}.",
            remedy="Choose fp8-quanto, or switch offloading off.",
        )


def single_file_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, object]:
    """The configuration of an LTX-Video transformer that only its tensors describe: name -> shape, names as
    in diffusers. Every released one has 32 heads.
    """
    heads = 32
    width, channels = shapes["proj_in.weight"]
    layers = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith(f"{BLOCKS}."))
    return {
        "in_channels": channels,
        "out_channels": shapes["proj_out.weight"][0],
        "num_attention_heads": heads,
        "attention_head_dim": width // heads,
        "cross_attention_dim": shapes[f"{BLOCKS}.0.attn2.to_k.weight"][1],
        "num_layers": layers,
        "caption_channels": shapes["caption_projection.linear_1.weight"][1],
    }


def quantized_folder() -> Path:
    """Where quantised models are kept for the next start; may be deleted at any time."""
    return places.home() / "cache" / "quantized"


@dataclass(frozen=True)
class _Weights:
    """Tensors in files. where: diffusers' name -> (file, name in the file)."""

    config: dict[str, Any]
    where: dict[str, tuple[Path, str]]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All of them, file by file."""
        files: dict[Path, list[tuple[str, str]]] = {}
        for name, (file, key) in self.where.items():
            files.setdefault(file, []).append((name, key))
        for file, names in files.items():
            with safe_open(file, framework="pt") as opened:
                for name, key in names:
                    yield name, opened.get_tensor(key)

    def identity(self) -> str:
        """Changes whenever a file does."""
        files = sorted({file for file, _ in self.where.values()})
        facts = [f"{file.resolve()} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _open(source: Path) -> _Weights:
    if source.is_file():
        names = _names_in(source)
        renamed: dict[str, str] = convert_ltx_transformer_checkpoint_to_diffusers({key: key for key in names})
        where = {name: (source, key) for name, key in renamed.items()}
        shapes = {name: names[key] for name, key in renamed.items()}
        return _Weights(single_file_config(shapes), where)
    config = json.loads((source / _CONFIG).read_text(encoding="utf-8"))
    where: dict[str, tuple[Path, str]] = {}
    for file in sorted(source.glob("*.safetensors")):
        where.update({name: (file, name) for name in _names_in(file)})
    return _Weights(config, where)


def _names_in(file: Path) -> dict[str, tuple[int, ...]]:
    with safe_open(file, framework="pt") as opened:
        return {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118


def _check_names(model: nn.Module, weights: _Weights) -> None:
    expected = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    missing = sorted(expected - set(weights.where))
    if missing:
        raise KeyError(f"{len(missing)} tensors are missing, the first is {missing[0]}")


class _Placement:
    """Puts tensors into a model that has none yet."""

    def __init__(
        self, model: nn.Module, memory: MemorySettings, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.model, self.device, self.dtype = model, device, dtype
        self._waiting = memory.offload == "blocks"

    def put(self, name: str, value: Tensor) -> None:
        """One parameter or buffer, in the storage format. A tensor that the model lacks is left out."""
        owner, _, field = name.rpartition(".")
        module = self.model.get_submodule(owner) if self._has(owner) else None
        expected = getattr(module, field, None)
        if not isinstance(expected, Tensor):
            return
        if expected.shape != value.shape:
            raise ValueError(f"{name} has the shape {tuple(value.shape)}, not {tuple(expected.shape)}")
        moved = value.to(self.home(name), self.dtype)
        assert module is not None
        if field in module._parameters:
            module._parameters[field] = nn.Parameter(moved, requires_grad=False)
        else:
            module._buffers[field] = moved

    def replace(self, name: str, layer: nn.Module) -> None:
        owner, _, field = name.rpartition(".")
        setattr(self.model.get_submodule(owner), field, layer)

    def home(self, name: str) -> torch.device:
        """Where a tensor stays: blocks that are offloaded wait in main memory."""
        waits = self._waiting and name.startswith(f"{BLOCKS}.")
        return torch.device("cpu") if waits else self.device

    def _has(self, owner: str) -> bool:
        try:
            self.model.get_submodule(owner)
        except AttributeError:
            return False
        return True


def _load_quantized(weights: _Weights, placed: _Placement, kind: Quantization) -> None:
    text = f"{_CACHE_FORMAT} {kind} {placed.dtype} {placed.device.type} {weights.identity()}"
    folder = quantized_folder() / hashlib.sha256(text.encode()).hexdigest()[:16]
    saved = _SavedQuantized(folder)
    if not saved.restore(placed, kind):
        saved.make(weights, placed, kind)


class _SavedQuantized:
    """A quantised model on disk: <layer>.<part> for layers in fewer bits, plain names for the rest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def restore(self, placed: _Placement, kind: Quantization) -> bool:
        """False if there is none."""
        choices = self._folder / _CHOICES
        if not choices.is_file():
            return False
        expected: dict[str, list[str]] = json.loads(choices.read_text(encoding="utf-8"))
        layers = {name: placed.model.get_submodule(name) for name in expected}
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in layers}
        for file in sorted(self._folder.glob("*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                for key in opened.keys():  # noqa: SIM118
                    layer, _, part = key.partition("|")
                    if part:
                        parts[layer][part] = opened.get_tensor(key)
                    else:
                        placed.put(key, opened.get_tensor(key))
                for name in [name for name in layers if len(parts[name]) == len(expected[name])]:
                    self._restore_layer(placed, kind, name, layers.pop(name), parts.pop(name))
        if layers:
            raise ValueError(f"the saved quantised model lacks {next(iter(layers))}")
        return True

    def _restore_layer(
        self,
        placed: _Placement,
        kind: Quantization,
        name: str,
        layer: nn.Module,
        parts: dict[str, Tensor],
    ) -> None:
        assert isinstance(layer, nn.Linear)
        moved = {part: value.to(placed.home(name)) for part, value in parts.items()}
        bias = moved.pop("bias", None)
        placed.replace(name, restored_layer(kind, layer, moved, bias, placed.dtype))

    def make(self, weights: _Weights, placed: _Placement, kind: Quantization) -> None:
        """Quantise on the device, place, and save for the next time where the disk has room."""
        layers = {name: module for name, module in placed.model.named_modules() if is_quantized(name, module)}
        writer = _ShardWriter(self._folder)
        halves: dict[str, dict[str, Tensor]] = {name: {} for name in layers}
        for name, value in weights.tensors():
            owner, _, field = name.rpartition(".")
            layer = layers.get(owner)
            if not isinstance(layer, nn.Linear):
                placed.put(name, value)
                writer.add({name: value.to(placed.dtype)})
                continue
            expected = getattr(layer, field)
            if expected.shape != value.shape:
                raise ValueError(f"{name} has the shape {tuple(value.shape)}, not {tuple(expected.shape)}")
            halves[owner][field] = value
            if len(halves[owner]) == 1 + (layer.bias is not None):
                full = {key: half.to(placed.device, placed.dtype) for key, half in halves.pop(owner).items()}
                made, parts = quantized_layer(kind, layer, full["weight"], full.get("bias"))
                saved = {**parts, **({"bias": full["bias"]} if "bias" in full else {})}
                placed.replace(owner, made.to(placed.home(owner)))
                writer.add({f"{owner}|{part}": part_value for part, part_value in saved.items()}, owner)
        writer.finish()


class _ShardWriter:
    """Writes what it is given in files of a few GiB, into a folder that appears whole. A disk that is full
    only means that there is nothing to read the next time.
    """

    def __init__(self, folder: Path) -> None:
        self._final = folder
        self._partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
        self._held: dict[str, Tensor] = {}
        self._choices: dict[str, list[str]] = {}
        self._count = 0
        self._failed = False
        with self._or_give_up():
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(parents=True)

    def add(self, tensors: Mapping[str, Tensor], layer: str = "") -> None:
        if self._failed:
            return
        self._held.update({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
        if layer:
            self._choices[layer] = [name.partition("|")[2] for name in tensors]
        if sum(value.numel() * value.element_size() for value in self._held.values()) >= _SHARD_BYTES:
            self._flush()

    def finish(self) -> None:
        self._flush()
        with self._or_give_up():
            if not self._failed:
                (self._partial / _CHOICES).write_text(json.dumps(self._choices), encoding="utf-8")
                shutil.rmtree(self._final, ignore_errors=True)
                self._partial.rename(self._final)

    def _flush(self) -> None:
        with self._or_give_up():
            if self._held and not self._failed:
                save_file(self._held, self._partial / f"{self._count:04d}.safetensors")
                self._count += 1
        self._held = {}

    @contextmanager
    def _or_give_up(self) -> Iterator[None]:
        """Leaves nothing behind where writing fails."""
        try:
            yield
        except (OSError, SafetensorError):
            self._failed = True
            shutil.rmtree(self._partial, ignore_errors=True)
