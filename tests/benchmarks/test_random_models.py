"""Random models are read by our own loading and by diffusers, in both layouts, with equal results."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLLTXVideo, LTXPipeline, LTXVideoTransformer3DModel
from transformers import T5EncoderModel

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import random_models

from ltx_wizard.core.recipe import MemorySettings
from ltx_wizard.models.catalog import LTXV_2B_096_DEV
from ltx_wizard.models.ltx_video import load_transformer
from ltx_wizard.models.weights import find_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_models.write_model(tmp_path_factory.mktemp("models") / "tiny", "tiny")


def predict(model: LTXVideoTransformer3DModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return model(
            hidden_states=torch.randn(1, 12, 128, generator=generator),
            encoder_hidden_states=torch.randn(1, 5, 64, generator=generator),
            timestep=torch.tensor([[300.0]]),
            encoder_attention_mask=None,
            num_frames=1,
            height=3,
            width=4,
            return_dict=False,
        )[0]


def test_both_layouts_give_the_same_model(folder: Path, tmp_path: Path) -> None:
    spec = replace(LTXV_2B_096_DEV, source=str(folder), local=True, files=())
    ours = load_transformer(spec, find_files(spec), MemorySettings(), torch.device("cpu"))
    single = random_models.write_transformer(tmp_path, "tiny", "single-file")
    theirs = LTXVideoTransformer3DModel.from_single_file(
        str(single), config=str(folder), subfolder="transformer", torch_dtype=torch.float32
    )
    single_spec = replace(spec, files=(f"transformer=file:{single}",))
    ours_single = load_transformer(
        single_spec, find_files(single_spec), MemorySettings(), torch.device("cpu")
    )
    made = random_models.random_transformer("tiny", torch.device("cpu")).float()
    assert predict(ours).std() > 0.01
    assert torch.equal(predict(ours), predict(theirs))
    assert torch.equal(predict(ours), predict(ours_single))
    assert torch.equal(predict(ours), predict(made))


def test_shards_are_those_that_diffusers_reads(folder: Path, tmp_path: Path) -> None:
    random_models.write_transformer(tmp_path, "tiny", shard_bytes=300_000)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    sharded = LTXVideoTransformer3DModel.from_pretrained(str(tmp_path))
    whole = LTXVideoTransformer3DModel.from_pretrained(str(folder / "transformer"))
    assert torch.equal(predict(sharded.float()), predict(whole.float()))


def test_the_text_encoder_ties_its_embedding(folder: Path, tmp_path: Path) -> None:
    random_models.write_t5(tmp_path, tiny=True, shard_bytes=1_000_000, vocabulary=100)
    encoder = T5EncoderModel.from_pretrained(str(tmp_path), dtype=torch.float32)
    assert torch.equal(encoder.encoder.embed_tokens.weight, encoder.shared.weight)
    assert float(encoder.shared.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert (folder / "text_encoder").is_symlink()


def test_the_whole_folder_samples_a_finite_video(folder: Path) -> None:
    pipeline = LTXPipeline.from_pretrained(str(folder), torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    video = pipeline(
        prompt="a red ball",
        width=64,
        height=64,
        num_frames=9,
        num_inference_steps=2,
        guidance_scale=1.0,
        decode_timestep=0.05,
        output_type="pt",
    ).frames
    assert video.shape == (1, 9, 3, 64, 64)
    assert bool(video.isfinite().all())


@pytest.mark.parametrize(("size", "parameters"), [("2b", 1.923e9), ("13b", 13.043e9)])
def test_the_sizes_are_the_real_ones(size: random_models.Size, parameters: float) -> None:
    with torch.device("meta"):
        model = LTXVideoTransformer3DModel(**random_models.transformer_config(size))
        vae = AutoencoderKLLTXVideo(**random_models.VAES["0.9.7"])
    assert random_models.parameter_count(model) == pytest.approx(parameters, rel=1e-3)
    assert random_models.parameter_count(vae) == pytest.approx(1.247e9, rel=1e-2)
