"""Files that look like models: the names and shapes of the real ones, and no weights on the disk."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path

Shapes = Mapping[str, tuple[int, ...]]

TRANSFORMERS = {
    "2b": {"num_layers": 28, "attention_head_dim": 64, "cross_attention_dim": 2048},
    "13b": {"num_layers": 48, "attention_head_dim": 128, "cross_attention_dim": 4096},
}
"""What differs from diffusers' defaults of LTXVideoTransformer3DModel in the configurations on the hub."""

_WIDE_DECODER = {
    "decoder_block_out_channels": (256, 512, 1024),
    "decoder_spatio_temporal_scaling": (True, True, True),
    "upsample_residual": (True, True, True),
    "upsample_factor": (2, 2, 2),
    "timestep_conditioning": True,
}
VAES = {
    "0.9.0": {"block_out_channels": (128, 256, 512, 512)},
    "0.9.1": {
        **_WIDE_DECODER,
        "block_out_channels": (128, 256, 512, 512),
        "decoder_layers_per_block": (5, 6, 7, 8),
        "decoder_inject_noise": (True, True, True, False),
    },
    "0.9.5": {
        **_WIDE_DECODER,
        "block_out_channels": (128, 256, 512, 1024, 2048),
        "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
        "layers_per_block": (4, 6, 6, 2, 2),
        "decoder_layers_per_block": (5, 5, 5, 5),
        "spatio_temporal_scaling": (True, True, True, True),
        "decoder_inject_noise": (False, False, False, False),
        "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    },
}
"""What differs from diffusers' defaults of AutoencoderKLLTXVideo; 0.9.5's is that of 0.9.6, 0.9.7 and 0.9.8.
Source: the facts of diffusers' scripts/convert_ltx_to_diffusers.py."""

_TO_ORIGINAL = (
    ("proj_in.", "patchify_proj."),
    ("time_embed.", "adaln_single."),
    ("norm_q.", "q_norm."),
    ("norm_k.", "k_norm."),
)
_COMMON_VAE = (("conv_shortcut.conv.", "conv_shortcut."), ("resnets.", "res_blocks."))


@functools.cache
def transformer_shapes(size: str) -> Shapes:
    """Names and shapes of a released transformer as diffusers has them. size: '2b' or '13b'."""
    import torch
    from diffusers import LTXVideoTransformer3DModel

    with torch.device("meta"):
        model = LTXVideoTransformer3DModel(**TRANSFORMERS[size])
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


@functools.cache
def vae_shapes(version: str) -> Shapes:
    import torch
    from diffusers import AutoencoderKLLTXVideo

    with torch.device("meta"):
        model = AutoencoderKLLTXVideo(**VAES[version])
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


def original_transformer(size: str, prefix: str = "model.diffusion_model.") -> Shapes:
    """As Lightricks' files name the weights."""
    return {prefix + _renamed(name, _TO_ORIGINAL): shape for name, shape in transformer_shapes(size).items()}


def original_vae(version: str) -> Shapes:
    """As Lightricks' files name the weights: diffusers' map, backwards."""
    return {f"vae.{_original_vae_name(name, version)}": shape for name, shape in vae_shapes(version).items()}


def other_size() -> Shapes:
    """An LTX-Video transformer of a size that nobody published: 1 layer, 64 wide; diffusers' names."""
    kept = {
        name: shape
        for name, shape in transformer_shapes("2b").items()
        if "transformer_blocks." not in name or "transformer_blocks.0." in name
    }
    return {name: tuple({2048: 64, 6 * 2048: 384}.get(n, n) for n in shape) for name, shape in kept.items()}


def write_header_only(
    path: Path, shapes: Shapes, dtype: str = "BF16", metadata: Mapping[str, str] | None = None
) -> Path:
    """A safetensors file whose weights are a hole: as long as the real one, and no space on the disk."""
    entries: dict[str, object] = {"__metadata__": dict(metadata or {"format": "pt"})}
    size, end = {"BF16": 2, "F16": 2, "F32": 4, "F8_E4M3": 1}[dtype], 0
    for name, shape in shapes.items():
        start, end = end, end + size * math.prod(shape)
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)
    return path


def write_pipeline(folder: Path, size: str, vae: str, pipeline: str = "LTXConditionPipeline") -> Path:
    """A model in diffusers layout: configurations and header-only weights of transformer and VAE."""
    write_config(folder / "model_index.json", pipeline)
    write_transformer_folder(folder / "transformer", size)
    write_config(folder / "vae" / "config.json", "AutoencoderKLLTXVideo", **VAES[vae])
    write_header_only(folder / "vae" / "diffusion_pytorch_model.safetensors", vae_shapes(vae))
    return folder


def write_transformer_folder(folder: Path, size: str, shards: int = 2) -> Path:
    settings = {"num_attention_heads": 32, "in_channels": 128, "out_channels": 128, "caption_channels": 4096}
    write_config(folder / "config.json", "LTXVideoTransformer3DModel", **settings, **TRANSFORMERS[size])
    names = list(transformer_shapes(size))
    weight_map: dict[str, str] = {}
    for number in range(shards):
        file = f"diffusion_pytorch_model-{number + 1:05}-of-{shards:05}.safetensors"
        part = {name: transformer_shapes(size)[name] for name in names[number::shards]}
        write_header_only(folder / file, part)
        weight_map |= dict.fromkeys(part, file)
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(index)
    return folder


def write_config(path: Path, class_name: str, **settings: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"_class_name": class_name, **settings}))


def _renamed(name: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for ours, original in pairs:
        name = name.replace(ours, original)
    return name


def _original_vae_name(name: str, version: str) -> str:
    if name in ("latents_mean", "latents_std"):
        return f"per_channel_statistics.{ {'latents_mean': 'mean', 'latents_std': 'std'}[name] }-of-means"
    side, _, rest = name.partition(".")
    blocks = _decoder_blocks(version) if side == "decoder" else _encoder_blocks(version)
    for ours, original in blocks:
        if rest.startswith(ours + "."):
            rest = original + rest.removeprefix(ours)
            break
    if side == "decoder" and version != "0.9.0":
        rest = (
            _renamed(rest, (("time_embedder.", "last_time_embedder."),)) if rest.startswith("time_") else rest
        )
        rest = "last_scale_shift_table" if rest == "scale_shift_table" else rest
    return f"{side}.{_renamed(rest, _COMMON_VAE)}"


def _decoder_blocks(version: str) -> list[tuple[str, str]]:
    """(diffusers' block, number in Lightricks' one list of blocks), longest first."""
    if version == "0.9.0":
        names = ["mid_block", "up_blocks.0", "up_blocks.1.upsamplers.0", "up_blocks.1", "up_blocks.2.conv_in",
                 "up_blocks.2.upsamplers.0", "up_blocks.2", "up_blocks.3.conv_in", "up_blocks.3.upsamplers.0",
                 "up_blocks.3"]  # fmt: skip
    else:
        names = ["mid_block", "up_blocks.0.upsamplers.0", "up_blocks.0", "up_blocks.1.upsamplers.0",
                 "up_blocks.1", "up_blocks.2.upsamplers.0", "up_blocks.2", "up_blocks.3.upsamplers.0",
                 "up_blocks.3"]  # fmt: skip
    return _numbered(names, "up_blocks")


def _encoder_blocks(version: str) -> list[tuple[str, str]]:
    if version == "0.9.5":
        names = ["down_blocks.0", "down_blocks.0.downsamplers.0", "down_blocks.1",
                 "down_blocks.1.downsamplers.0", "down_blocks.2", "down_blocks.2.downsamplers.0",
                 "down_blocks.3", "down_blocks.3.downsamplers.0", "mid_block"]  # fmt: skip
    else:
        names = ["down_blocks.0", "down_blocks.0.downsamplers.0", "down_blocks.0.conv_out", "down_blocks.1",
                 "down_blocks.1.downsamplers.0", "down_blocks.1.conv_out", "down_blocks.2",
                 "down_blocks.2.downsamplers.0", "down_blocks.3", "mid_block"]  # fmt: skip
    return _numbered(names, "down_blocks")


def _numbered(names: list[str], original: str) -> list[tuple[str, str]]:
    pairs = [(name, f"{original}.{number}") for number, name in enumerate(names)]
    return sorted(pairs, key=lambda pair: -len(pair[0]))
