"""The embedded model's parts: their sizes, how they are built from nothing and saved as one folder."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKLLTXVideo, FlowMatchEulerDiscreteScheduler, LTXVideoTransformer3DModel
from tokenizer import build_tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import T5Config, T5EncoderModel

SPATIAL = 32
TEMPORAL = 8
LATENT_CHANNELS = 128
TEXT_WIDTH = 128
_FIXED_LOG_VARIANCE = -8.0

Parts = tuple[AutoencoderKLLTXVideo, LTXVideoTransformer3DModel, T5EncoderModel]


def build_vae() -> AutoencoderKLLTXVideo:
    """The VAE in the 0.9.5 kind of blocks, with residual up and down paths: 8.1 M parameters."""
    vae = AutoencoderKLLTXVideo(
        latent_channels=LATENT_CHANNELS,
        block_out_channels=(32, 64, 64, 128, 128),
        down_block_types=("LTXVideo095DownBlock3D",) * 4,
        decoder_block_out_channels=(64, 64, 128),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True, True),
        decoder_spatio_temporal_scaling=(True, True, True),
        decoder_inject_noise=(False, False, False, False),
        downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        upsample_residual=(True, True, True),
        upsample_factor=(1, 2, 2),
        spatial_compression_ratio=SPATIAL,
        temporal_compression_ratio=TEMPORAL,
    )
    with torch.no_grad():
        log_variance = vae.encoder.conv_out.conv
        log_variance.weight[-1].zero_()
        log_variance.bias[-1].fill_(_FIXED_LOG_VARIANCE)
    return vae


def build_transformer() -> LTXVideoTransformer3DModel:
    """Six layers of width 192: 4.0 M parameters."""
    return LTXVideoTransformer3DModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_attention_heads=6,
        attention_head_dim=32,
        cross_attention_dim=192,
        num_layers=6,
        caption_channels=TEXT_WIDTH,
    )


def build_text_encoder(vocabulary: int) -> T5EncoderModel:
    """T5 encoder of two layers: 0.5 M parameters and the word vectors."""
    config = T5Config(
        vocab_size=vocabulary,
        d_model=TEXT_WIDTH,
        d_kv=32,
        d_ff=384,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        is_encoder_decoder=False,
        use_cache=False,
    )
    encoder = T5EncoderModel(config)
    nn.init.normal_(encoder.shared.weight, std=0.5)
    return encoder


def encode_tokens(encoder: T5EncoderModel, ids: Tensor, visible: Tensor) -> Tensor:
    """What `encoder(ids, visible)` gives, written out so that a CUDA graph can capture it.

    ids: [B, L]. visible: [B, L] bool, tokens that may be attended to. Gives [B, L, D]. transformers' own
    forward looks at the mask's values to choose a path, which a captured graph cannot do.
    """
    hidden = encoder.shared(ids)
    first = encoder.encoder.block[0].layer[0].SelfAttention
    length = ids.shape[1]
    bias = first.compute_bias(length, length, device=ids.device)
    bias = bias + torch.where(visible, 0.0, -1e9)[:, None, None, :].to(bias)
    for block in encoder.encoder.block:
        attention = block.layer[0].SelfAttention
        normed = block.layer[0].layer_norm(hidden)
        heads = (attention.q, attention.k, attention.v)
        query, key, value = (
            layer(normed).unflatten(-1, (attention.n_heads, -1)).transpose(1, 2) for layer in heads
        )
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query), scale=1.0
        )
        hidden = hidden + attention.o(mixed.transpose(1, 2).flatten(2))
        hidden = block.layer[1](hidden)
    return encoder.encoder.final_layer_norm(hidden)


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """The sampler's schedule of the released LTX-Video models."""
    return FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=0.1,
    )


def save_model(folder: Path, parts: Parts) -> None:
    """Write the model in diffusers layout, bf16; replaces the parts in the folder one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    vae, transformer, text_encoder = parts
    for name, part in (("vae", vae), ("transformer", transformer), ("text_encoder", text_encoder)):
        copy.deepcopy(part).to("cpu", torch.bfloat16).save_pretrained(fresh / name, safe_serialization=True)
    build_scheduler().save_pretrained(fresh / "scheduler")
    build_tokenizer().save_pretrained(fresh / "tokenizer")
    for part in sorted(fresh.iterdir()):
        shutil.rmtree(folder / part.name, ignore_errors=True)
        part.replace(folder / part.name)
    fresh.rmdir()
    index = {
        "_class_name": "LTXPipeline",
        "_diffusers_version": "0.36.0",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "LTXVideoTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLLTXVideo"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def normalise(vae: AutoencoderKLLTXVideo, latents: Tensor) -> Tensor:
    """Raw latents [B, C, F, H, W] to the unit scale that the transformer works on."""
    shape = (1, -1, 1, 1, 1)
    return (latents - vae.latents_mean.view(shape).to(latents)) / vae.latents_std.view(shape).to(latents)


def denormalise(vae: AutoencoderKLLTXVideo, latents: Tensor) -> Tensor:
    """The inverse of `normalise`."""
    shape = (1, -1, 1, 1, 1)
    return latents * vae.latents_std.view(shape).to(latents) + vae.latents_mean.view(shape).to(latents)


def pack(latents: Tensor) -> Tensor:
    """[B, C, F, H, W] to tokens [B, F*H*W, C]."""
    return latents.flatten(2).transpose(1, 2)


def video_coordinates(frames: int, height: int, width: int, frame_rate: Tensor, causal: Tensor) -> Tensor:
    """Seconds and pixels of every latent token, [B, 3, F*H*W].

    frames, height, width: of the latents. frame_rate, causal: [B]; causal coordinates are those of
    LTXConditionPipeline (the first latent frame is one picture), the others those of LTXPipeline.
    """
    device = frame_rate.device
    axes = (torch.arange(n, device=device, dtype=torch.float32) for n in (frames, height, width))
    t, y, x = (axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij"))
    plain = t * TEMPORAL
    shifted = (plain + 1.0 - TEMPORAL).clamp(min=0.0)
    time = torch.where(causal[:, None], shifted, plain) / frame_rate[:, None]
    batch = len(frame_rate)
    return torch.stack([time, (y * SPATIAL).expand(batch, -1), (x * SPATIAL).expand(batch, -1)], dim=1)
