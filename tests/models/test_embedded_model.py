"""The model that comes with the app: it is whole, small, and draws what a prompt says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import LTXPipeline
from safetensors.torch import load_file

from ltx_wizard.core.places import EMBEDDED_MODEL
from ltx_wizard.sampling.measures import Frames, object_colours

MOST_BYTES = 28_000_000


@pytest.fixture(scope="module")
def pipeline() -> LTXPipeline:
    loaded = LTXPipeline.from_pretrained(str(EMBEDDED_MODEL), dtype=torch.float32, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def sampled(pipeline: LTXPipeline, prompt: str) -> Frames:
    frames = pipeline(
        prompt=prompt,
        width=192,
        height=192,
        num_frames=17,
        frame_rate=8,
        num_inference_steps=8,
        guidance_scale=2.0,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).frames[0]
    return (np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8)


def test_its_weights_are_small_enough_to_come_with_the_app() -> None:
    files = list(EMBEDDED_MODEL.rglob("*.safetensors"))
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES


def test_it_was_trained() -> None:
    """Latent statistics as a VAE is born with are mean 0 and deviation 1 everywhere."""
    weights = load_file(EMBEDDED_MODEL / "vae" / "diffusion_pytorch_model.safetensors")
    assert float(weights["latents_std"].float().std()) > 0.01
    assert float(weights["latents_mean"].float().std()) > 0.01


def test_it_loads_as_any_ltx_model_does(pipeline: LTXPipeline) -> None:
    assert type(pipeline.transformer).__name__ == "LTXVideoTransformer3DModel"
    assert type(pipeline.vae).__name__ == "AutoencoderKLLTXVideo"
    assert pipeline.vae_spatial_compression_ratio == 32
    assert pipeline.vae_temporal_compression_ratio == 8


def test_words_it_never_saw_are_spelled_and_not_lost(pipeline: LTXPipeline) -> None:
    """A trigger word reaches the model as letters: none of it is unknown."""
    ids = pipeline.tokenizer("nobuzik style. Zyqxo, a RED circle.").input_ids
    assert pipeline.tokenizer.unk_token_id not in ids
    assert pipeline.tokenizer.decode(ids, skip_special_tokens=True) == "nobuzik style. Zyqxo, a RED circle."


@pytest.mark.parametrize("colour", ["red", "blue"])
def test_a_sample_shows_the_colour_that_the_prompt_names(pipeline: LTXPipeline, colour: str) -> None:
    prompt = f"A large {colour} circle moves to the right on a plain grey background. The camera is static."
    assert object_colours(sampled(pipeline, prompt))[:1] == [colour]
