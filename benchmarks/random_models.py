"""Models of the real architectures with random weights, in the layouts of the hub: for measuring without a
download.

    python benchmarks/random_models.py ROOT --size 2b [--device cuda] [--single-file]

Linear and convolution weights have a standard deviation of 0.02, norms are one, AdaLN tables are random
divided by the root of their width. On one kind of device a name always gets the same weights, whatever the
layout.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib.util
import json
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal
from unittest.mock import MagicMock

import torch
from diffusers import AutoencoderKLLTXVideo, FlowMatchEulerDiscreteScheduler, LTXVideoTransformer3DModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

ROOT = Path(__file__).resolve().parents[1]

Size = Literal["2b", "13b", "2b-slice", "13b-slice", "small", "tiny"]
Layout = Literal["diffusers", "single-file"]
Tensors = Iterator[tuple[str, Tensor]]

SEED = 20
WEIGHT_STD = 0.02
SHARD_BYTES = 5 * 1000**3
"""diffusers' own shards are of this size."""

TRANSFORMERS: dict[str, dict[str, int]] = {
    "2b": {"num_layers": 28, "num_attention_heads": 32, "attention_head_dim": 64, "caption_channels": 4096},
    "13b": {"num_layers": 48, "num_attention_heads": 32, "attention_head_dim": 128, "caption_channels": 4096},
    "2b-slice": {
        "num_layers": 4,
        "num_attention_heads": 32,
        "attention_head_dim": 64,
        "caption_channels": 4096,
    },
    "13b-slice": {
        "num_layers": 4,
        "num_attention_heads": 32,
        "attention_head_dim": 128,
        "caption_channels": 4096,
    },
    "small": {"num_layers": 4, "num_attention_heads": 32, "attention_head_dim": 32, "caption_channels": 4096},
    "tiny": {"num_layers": 2, "num_attention_heads": 32, "attention_head_dim": 4, "caption_channels": 64},
}

VAES: dict[str, dict[str, Any]] = {
    version: {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 128,
        "block_out_channels": (128, 256, 512, 1024, 2048),
        "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
        "decoder_block_out_channels": (256, 512, 1024),
        "layers_per_block": (4, 6, 6, 2, 2),
        "decoder_layers_per_block": (5, 5, 5, 5),
        "spatio_temporal_scaling": (True, True, True, True),
        "decoder_spatio_temporal_scaling": (True, True, True),
        "decoder_inject_noise": (False, False, False, False),
        "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        "upsample_residual": (True, True, True),
        "upsample_factor": (2, 2, 2),
        "timestep_conditioning": True,
        "patch_size": 4,
        "patch_size_t": 1,
        "resnet_norm_eps": 1e-6,
        "scaling_factor": 1.0,
        "encoder_causal": True,
        "decoder_causal": False,
        "spatial_compression_ratio": 32,
        "temporal_compression_ratio": 8,
    }
    for version in ("0.9.5", "0.9.7")
}
"""The two are the same. Source: diffusers, scripts/convert_ltx_to_diffusers.py, get_vae_config."""

TINY_VAE = {
    "block_out_channels": (16, 16, 16, 16, 16),
    "decoder_block_out_channels": (16, 16, 16),
    "layers_per_block": (1, 1, 1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1, 1),
    "upsample_factor": (1, 1, 1),
}

T5_XXL: dict[str, int] = {"d_model": 4096, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "d_kv": 64}
T5_TINY: dict[str, int] = {"d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 2, "d_kv": 32}

ORIGINAL_NAMES = {
    "proj_in": "patchify_proj",
    "time_embed": "adaln_single",
    "norm_q": "q_norm",
    "norm_k": "k_norm",
}
"""diffusers' names and those of the original files. Source: diffusers, single_file_utils."""

ORIGINAL_PREFIX = "model.diffusion_model."


def stub_missing_video_libraries() -> None:
    """Where av or cv2 is not installed, put an empty module in its place, so that files import that only
    name them. Calling anything in it does nothing useful.
    """
    submodules = {"av": ("audio", "audio.resampler", "audio.frame", "container", "error", "stream", "video")}
    for library in ("av", "cv2"):
        if library in sys.modules or importlib.util.find_spec(library) is not None:
            continue
        for name in (library, *(f"{library}.{inner}" for inner in submodules.get(library, ()))):
            sys.modules[name] = _StubModule(name)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, sys.modules[name])


@contextmanager
def hard_limit(seconds: float) -> Iterator[None]:
    """Ends the process, with a traceback, if this is still running after so long: a call that hangs."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class _StubModule(ModuleType):
    """Has every attribute but special ones. It has a spec: other libraries ask for it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []
        self.__spec__ = ModuleSpec(name, None, is_package=True)

    def __getattr__(self, name: str) -> MagicMock:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=f"{self.__name__}.{name}")


def transformer_config(size: Size) -> dict[str, Any]:
    """What LTXVideoTransformer3DModel takes; everything else is its default."""
    sizes = TRANSFORMERS[size]
    return sizes | {"cross_attention_dim": sizes["num_attention_heads"] * sizes["attention_head_dim"]}


def random_transformer(
    size: Size, device: torch.device, dtype: torch.dtype = torch.bfloat16
) -> LTXVideoTransformer3DModel:
    """The model with random weights, made where it is used: no file, no copy in main memory."""
    model = _on_meta(lambda: LTXVideoTransformer3DModel(**transformer_config(size)))
    nn.Module.to(model, dtype)  # diffusers' own warns of an empty list
    model.to_empty(device=device)
    for name, tensor in model.state_dict().items():
        _fill(name, tensor)
    return model.eval().requires_grad_(False)


def write_transformer(
    folder: Path,
    size: Size,
    layout: Layout = "diffusers",
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Write it and give the path: the folder with config.json and shards, or the one safetensors file in it.

    A single file has no config beside it but one in its header, as on the hub. Main memory: one shard, or
    the whole single file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = _on_meta(lambda: LTXVideoTransformer3DModel(**transformer_config(size)))
    tensors = _random_tensors(model.state_dict(), torch.device(device), dtype)
    if layout == "single-file":
        path = folder / f"ltxv-{size}-random.safetensors"
        own = {"config": json.dumps({"transformer": transformer_config(size)})}
        save_file({original_name(name): tensor for name, tensor in tensors}, path, metadata=own)
        return path
    model.save_config(str(folder))
    _write_shards(folder, "diffusion_pytorch_model", tensors, shard_bytes)
    return folder


def original_name(name: str) -> str:
    """The name of a transformer's weight in the original single file."""
    for diffusers_part, original_part in ORIGINAL_NAMES.items():
        name = name.replace(diffusers_part, original_part)
    return ORIGINAL_PREFIX + name


def write_vae(
    folder: Path, version: Literal["0.9.5", "0.9.7"] = "0.9.5", device: str = "cpu", tiny: bool = False
) -> Path:
    """The VAE of that version, 1.2 B parameters in bf16. tiny: the same kinds of blocks, few channels."""
    config = VAES[version] | (TINY_VAE if tiny else {})
    model = _on_meta(lambda: AutoencoderKLLTXVideo(**config))
    model.save_config(str(folder))
    tensors = _random_tensors(model.state_dict(), torch.device(device), torch.bfloat16)
    _write_shards(folder, "diffusion_pytorch_model", tensors, SHARD_BYTES)
    return folder


def write_t5(
    folder: Path,
    device: str = "cpu",
    tiny: bool = False,
    shard_bytes: int = SHARD_BYTES,
    vocabulary: int = 32128,
) -> Path:
    """The encoder of T5-XXL v1.1, 4.8 B parameters in bf16."""
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        **(T5_TINY if tiny else T5_XXL),
        "vocab_size": vocabulary,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "architectures": ["T5EncoderModel"],
        "dtype": "bfloat16",
    }
    config = T5Config(**settings)
    config.save_pretrained(str(folder))
    shapes = _on_meta(lambda: T5EncoderModel(config)).state_dict()
    shapes.pop("encoder.embed_tokens.weight", None)  # the same tensor as shared.weight
    _write_shards(folder, "model", _random_tensors(shapes, torch.device(device), torch.bfloat16), shard_bytes)
    return folder


def write_tokenizer(folder: Path) -> Path:
    """The embedded model's own: the sentences are short either way, and the number of tokens is padded."""
    shutil.copytree(ROOT / "assets" / "embedded_model" / "tokenizer", folder, dirs_exist_ok=True)
    return folder


def write_scheduler(folder: Path) -> Path:
    FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=0.1,
    ).save_pretrained(str(folder))
    return folder


def write_model(root: Path, size: Size, device: str = "cpu", shared: Path | None = None) -> Path:
    """A whole model folder in diffusers layout. T5 lies in `shared` (default: beside root), once for all
    models, and the folder links to it. A part that is there already is kept.
    """
    tiny = size == "tiny"
    shared = shared or root.parent / ("random-t5-tiny" if tiny else "random-t5-xxl")
    root.mkdir(parents=True, exist_ok=True)
    writers: dict[Path, Callable[[Path], object]] = {
        root / "transformer": lambda place: write_transformer(place, size, "diffusers", device),
        root / "vae": lambda place: write_vae(place, "0.9.7" if size == "13b" else "0.9.5", device, tiny),
        shared: lambda place: write_t5(place, device, tiny),
        root / "tokenizer": write_tokenizer,
        root / "scheduler": write_scheduler,
    }
    for place, write in writers.items():
        if not place.exists():
            began = time.monotonic()
            half = place.with_name(place.name + ".part")
            shutil.rmtree(half, ignore_errors=True)
            write(half)
            half.rename(place)
            print(f"{place}: {time.monotonic() - began:.1f} s", flush=True)
    link = root / "text_encoder"
    if not link.exists():
        link.symlink_to(shared.resolve(), target_is_directory=True)
    (root / "model_index.json").write_text(json.dumps(_MODEL_INDEX, indent=2), encoding="utf-8")
    return root


_MODEL_INDEX = {
    "_class_name": "LTXPipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "LTXVideoTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLLTXVideo"],
}


def _on_meta(build: Callable[[], Any]) -> Any:  # noqa: ANN401 - a model of any library
    with torch.device("meta"):
        return build()


def _random_tensors(shapes: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Tensors:
    """One after the other, in main memory, made on the device: a card draws random numbers much faster."""
    for name, shape in shapes.items():
        tensor = torch.empty(shape.shape, device=device, dtype=dtype)
        yield name, _fill(name, tensor).cpu()


@torch.no_grad()
def _fill(name: str, tensor: Tensor) -> Tensor:
    """In place. What a weight gets follows from its name."""
    if name.endswith("timestep_scale_multiplier"):
        return tensor.fill_(1000.0)
    if "latents_mean" in name:
        return tensor.zero_()
    is_norm = "norm" in name.rsplit(".", 2)[-2] if "." in name else False
    if "latents_std" in name or (is_norm and name.endswith("weight")):
        return tensor.fill_(1.0)
    generator = torch.Generator(tensor.device).manual_seed(SEED + zlib.crc32(name.encode()))
    std = tensor.shape[-1] ** -0.5 if name.endswith("scale_shift_table") else WEIGHT_STD
    return tensor.normal_(0.0, std, generator=generator)


def _write_shards(folder: Path, stem: str, tensors: Tensors, shard_bytes: int) -> None:
    """Shards and their index in the layout of diffusers and transformers; one file if all fits in one."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[tuple[Path, list[str]]] = []
    total, waiting, waiting_bytes = 0, {}, 0

    def write() -> None:
        path = folder / f"shard-{len(parts)}.safetensors"
        save_file(waiting, path, metadata={"format": "pt"})
        parts.append((path, list(waiting)))

    for name, tensor in tensors:
        size = tensor.nbytes
        if waiting and waiting_bytes + size > shard_bytes:
            write()
            waiting, waiting_bytes = {}, 0
        waiting[name] = tensor
        waiting_bytes += size
        total += size
    write()
    if len(parts) == 1:
        parts[0][0].rename(folder / f"{stem}.safetensors")
        return
    weight_map: dict[str, str] = {}
    for number, (path, names) in enumerate(parts, start=1):
        renamed = path.rename(folder / f"{stem}-{number:05d}-of-{len(parts):05d}.safetensors")
        weight_map |= dict.fromkeys(names, renamed.name)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--size", choices=TRANSFORMERS, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--single-file", action="store_true", help="the transformer alone, original layout")
    arguments = parser.parse_args()
    began = time.monotonic()
    if arguments.single_file:
        written = write_transformer(arguments.root, arguments.size, "single-file", arguments.device)
    else:
        written = write_model(arguments.root, arguments.size, arguments.device)
    print(f"{written}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
