"""Names of weights in both worlds, for every module of the real architectures."""

from __future__ import annotations

import pytest
import torch
from diffusers import LTXVideoTransformer3DModel
from torch import nn

from ltx_wizard.interop.key_names import module_of, to_comfyui, to_diffusers


@pytest.fixture(scope="module")
def module_names() -> list[str]:
    """Every linear layer of LTX-Video 2B, from its configuration, without its weights."""
    with torch.device("meta"):
        model = LTXVideoTransformer3DModel()
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def test_every_layer_of_the_2b_model_survives_the_round_trip(module_names: list[str]) -> None:
    keys = [f"transformer.{name}.lora_{side}.weight" for name in module_names for side in "AB"]
    assert len(keys) == 2 * (28 * 10 + 7)
    comfyui = [to_comfyui(key) for key in keys]
    assert all(key.startswith("diffusion_model.") for key in comfyui)
    assert [to_diffusers(key) for key in comfyui] == keys
    assert len(set(comfyui)) == len(keys)


@pytest.mark.parametrize(
    ("diffusers", "original"),
    [
        ("proj_in", "patchify_proj"),
        ("time_embed.linear", "adaln_single.linear"),
        ("transformer_blocks.3.attn1.norm_q", "transformer_blocks.3.attn1.q_norm"),
        ("transformer_blocks.3.attn2.norm_k", "transformer_blocks.3.attn2.k_norm"),
        ("transformer_blocks.3.attn1.to_out.0", "transformer_blocks.3.attn1.to_out.0"),
        ("transformer_blocks.3.ff.net.0.proj", "transformer_blocks.3.ff.net.0.proj"),
        ("caption_projection.linear_1", "caption_projection.linear_1"),
    ],
)
def test_names_follow_the_published_map(diffusers: str, original: str) -> None:
    key = f"transformer.{diffusers}.lora_A.weight"
    assert to_comfyui(key) == f"diffusion_model.{original}.lora_A.weight"


def test_our_map_is_the_one_that_diffusers_converts_checkpoints_with() -> None:
    from diffusers.loaders.single_file_utils import convert_ltx_transformer_checkpoint_to_diffusers

    ours = ["proj_in.weight", "time_embed.linear.weight", "transformer_blocks.0.attn1.norm_q.weight"]
    original = {
        to_comfyui(f"transformer.{key}").replace(
            "diffusion_model.", "model.diffusion_model.", 1
        ): torch.zeros(1)
        for key in ours
    }
    assert sorted(convert_ltx_transformer_checkpoint_to_diffusers(original)) == sorted(ours)


def test_only_whole_parts_are_renamed() -> None:
    assert to_comfyui("transformer.my_proj_in.norm_qq.lora_A.weight") == (
        "diffusion_model.my_proj_in.norm_qq.lora_A.weight"
    )


def test_names_with_another_prefix_are_refused() -> None:
    with pytest.raises(ValueError, match="does not start with"):
        to_comfyui("unet.proj_in.lora_A.weight")


def test_the_module_of_a_weight() -> None:
    assert module_of("transformer.a.b.lora_B.weight", "transformer.") == "a.b"
    assert module_of("transformer.a.b.alpha", "transformer.") == ""
