from __future__ import annotations

import re

import pytest

from ltx_wizard.app.refusals import recipe_problem, refuse_recipe
from ltx_wizard.core.errors import BadSetting
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.models.catalog import EMBEDDED, LTXV_13B_097_DEV
from ltx_wizard.models.spec import ModelSpec


def test_a_recipe_of_which_all_goes_together_has_no_problem() -> None:
    assert recipe_problem(Recipe(), EMBEDDED) is None
    assert recipe_problem(with_settings(Recipe(), {"validation.frames": 50}), EMBEDDED) is None


@pytest.mark.parametrize(
    ("changes", "problem", "remedy"),
    [
        ({"validation.width": 500}, "no samples with a width of 500", "validation.width to 512"),
        ({"validation.height": 40}, "no samples with a height of 40", "validation.height to 32"),
        ({"data.buckets": ("500x500x50",)}, "500x500x50 does not fit", "Use 512x512x49"),
        ({"lora.target_modules": ("to_q", "to_kk")}, "no layers called to_kk.", "to_q to_k to_v to_out.0"),
        (
            {"memory.offload": "blocks", "memory.quantization": "nf4-bnb"},
            "Offloading works with",
            "fp8-quanto",
        ),
    ],
)
def test_what_cannot_be_trained_is_told_with_what_can(
    changes: dict[str, object], problem: str, remedy: str
) -> None:
    recipe = with_settings(Recipe(), changes)
    with pytest.raises(BadSetting) as refused:
        refuse_recipe(recipe, EMBEDDED)
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy


def test_layers_are_named_as_peft_finds_them() -> None:
    names = ("to_out.0", "ff.net.0.proj", "transformer_blocks.0.attn1.to_q", "proj_in")
    assert recipe_problem(with_settings(Recipe(), {"lora.target_modules": names}), EMBEDDED) is None
    part = with_settings(Recipe(), {"lora.target_modules": ("o_q",)})
    assert "o_q" in str(recipe_problem(part, EMBEDDED))


def test_of_a_model_that_is_not_here_no_layer_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nowhere")
    recipe = with_settings(Recipe(), {"lora.target_modules": ("anything",)})
    assert recipe_problem(recipe, LTXV_13B_097_DEV) is None


@pytest.mark.parametrize("spec", [EMBEDDED, LTXV_13B_097_DEV])
@pytest.mark.parametrize("size", [1, 31, 500, 4095, 4096, 4097, 4128, 99_999])
@pytest.mark.parametrize("frames", [1, 8, 50, 1024, 1025, 99_999])
def test_the_size_that_a_refusal_names_is_taken(spec: ModelSpec, size: int, frames: int) -> None:
    asked = with_settings(Recipe(), {"data.buckets": (f"{size}x512x{frames}", f"512x{size}x{frames}")})
    for _ in asked.data.buckets:
        problem = recipe_problem(asked, spec)
        if problem is None:
            return
        named = re.search(r"Use (\d+x\d+x\d+)", problem.remedy)
        assert named, problem.remedy
        refused = next(bucket for bucket in asked.data.buckets if problem.problem.startswith(bucket))
        others = [bucket for bucket in asked.data.buckets if bucket != refused]
        asked = with_settings(asked, {"data.buckets": (*others, named.group(1))})
    assert recipe_problem(asked, spec) is None


@pytest.mark.parametrize("name", ["width", "height"])
@pytest.mark.parametrize("size", [1, 33, 4090, 4095])
def test_the_size_of_samples_that_a_refusal_names_is_taken(name: str, size: int) -> None:
    problem = recipe_problem(with_settings(Recipe(), {f"validation.{name}": size}), EMBEDDED)
    assert problem is not None
    named = re.search(rf"validation.{name} to (\d+), or to (0)", problem.remedy)
    assert named, problem.remedy
    for value in named.groups():
        assert recipe_problem(with_settings(Recipe(), {f"validation.{name}": int(value)}), EMBEDDED) is None
