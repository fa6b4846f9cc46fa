"""LoRA files of every form that trainers write, and what is no LoRA for the model."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ltx_wizard.core.errors import BadInput, NotFound, WizardError
from ltx_wizard.interop.lora_keys import LoraFile, recognise_lora
from ltx_wizard.models.catalog import EMBEDDED
from ltx_wizard.models.recognise import linear_layers
from ltx_wizard.models.weights import find_files

TITLE = "the practice model"
TO_Q, FF, PROJ = "transformer_blocks.0.attn1.to_q", "transformer_blocks.5.ff.net.0.proj", "proj_in"
SIZES = {TO_Q: (192, 192), FF: (768, 192), PROJ: (192, 128)}


@pytest.fixture(scope="module")
def layers() -> dict[str, tuple[int, int]]:
    return linear_layers(find_files(EMBEDDED).transformer)


def weights(
    down: str, up: str, stems: dict[str, str] | None = None, rank: int = 4
) -> dict[str, torch.Tensor]:
    """stems: what each module is called in the file; by default its diffusers name."""
    found: dict[str, torch.Tensor] = {}
    for module, (outputs, inputs) in SIZES.items():
        stem = (stems or {}).get(module, module)
        found[f"{stem}.{down}"] = torch.ones(rank, inputs)
        found[f"{stem}.{up}"] = torch.ones(outputs, rank)
    return found


def prefixed(prefix: str, original: bool = False, underscores: bool = False) -> dict[str, str]:
    stems: dict[str, str] = {}
    for module in SIZES:
        name = module.replace("proj_in", "patchify_proj") if original else module
        stems[module] = prefix + (name.replace(".", "_") if underscores else name)
    return stems


AB, DOWN_UP = ("lora_A.weight", "lora_B.weight"), ("lora_down.weight", "lora_up.weight")


@pytest.mark.parametrize(
    ("halves", "stems", "form"),
    [
        (AB, prefixed("transformer."), "diffusers"),
        (AB, prefixed("diffusion_model.", original=True), "ComfyUI"),
        (AB, prefixed("diffusion_model."), "ComfyUI"),  # the official trainer's second file
        (AB, prefixed(""), "without a prefix"),
        (("lora_A.default.weight", "lora_B.default.weight"), prefixed("base_model.model."), "peft"),
        (DOWN_UP, prefixed("lora_unet_", original=True, underscores=True), "kohya"),
        (("lora.down.weight", "lora.up.weight"), prefixed("transformer."), "diffusers"),
    ],
)
def test_every_form_is_recognised_by_its_keys(
    tmp_path: Path,
    layers: dict[str, tuple[int, int]],
    halves: tuple[str, str],
    stems: dict[str, str],
    form: str,
) -> None:
    found = read(tmp_path, layers, weights(*halves, stems))
    assert set(found.layers) == set(SIZES)
    assert (found.form, found.rank, found.scale) == (form, 4, 1.0)


def test_alphas_and_a_scale_in_the_header_are_found(
    tmp_path: Path, layers: dict[str, tuple[int, int]]
) -> None:
    stems = prefixed("lora_unet_", underscores=True)
    tensors = weights(*DOWN_UP, stems) | {f"{stems[TO_Q]}.alpha": torch.tensor(2.0)}
    found = read(tmp_path, layers, tensors)
    assert (found.layers[TO_Q].alpha, found.layers[FF].alpha) == (f"{stems[TO_Q]}.alpha", "")

    header = {"lora_adapter_metadata": '{"transformer.r": 4, "transformer.lora_alpha": 2}'}
    assert read(tmp_path, layers, weights(*AB, prefixed("transformer.")), header).scale == 0.5


def test_a_scale_that_is_no_number_counts_for_none(
    tmp_path: Path, layers: dict[str, tuple[int, int]]
) -> None:
    header = {"lora_adapter_metadata": '{"transformer.r": 4, "transformer.lora_alpha": 1e999}'}
    assert read(tmp_path, layers, weights(*AB, prefixed("transformer.")), header).scale == 1.0


def test_layers_may_have_other_ranks(tmp_path: Path, layers: dict[str, tuple[int, int]]) -> None:
    tensors = weights(*AB, prefixed("transformer."))
    tensors[f"transformer.{FF}.lora_A.weight"] = torch.ones(9, 192)
    tensors[f"transformer.{FF}.lora_B.weight"] = torch.ones(768, 9)
    found = read(tmp_path, layers, tensors)
    assert (found.rank, found.layers[TO_Q].rank) == (9, 4)


def bad(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """A good file with some keys changed; '__' is a dot, None takes the key away."""
    tensors: dict[str, torch.Tensor | None] = dict(weights(*AB, prefixed("transformer.")))
    tensors |= {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in tensors.items() if value is not None}


ONE = torch.ones(4, 4)


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        (bad(transformer__proj_in__lora_A__weight=None), "half of the weights for proj_in"),
        (bad(transformer__proj_in__lora_A__weight=torch.ones(8, 128)), "different ranks .8 and 4."),
        (bad(transformer__proj_in__lora_A__weight=torch.ones(4, 2048)), "another size of model"),
        (
            bad(
                transformer__proj_in__lora_A__weight=torch.ones(0, 128),
                transformer__proj_in__lora_B__weight=torch.ones(192, 0),
            ),
            "different ranks",
        ),
        ({"__only": ONE}, "holds no LoRA"),
        (bad(transformer__transformer_blocks__40__attn1__to_q__lora_A__weight=ONE), "does not have"),
        (bad(transformer__proj_in__weight=ONE), "more than a LoRA"),
        ({"transformer.transformer_blocks.0.attn1.to_q.weight": ONE}, "holds no LoRA. It is a whole model"),
        ({"lora_unet_x.hada_w1_a": ONE}, "is a LoHa"),
        ({"lora_unet_x.lokr_w1": ONE}, "is a LoKr"),
        (bad(transformer__proj_in__dora_scale=ONE), "is a DoRA"),
        (
            {"diffusion_model.transformer_blocks.0.audio_attn1.to_q.lora_A.weight": ONE},
            "LoRA for LTX-2, not for the practice model",
        ),
        ({"lora_unet_down_blocks_0_attn_to_q.lora_down.weight": ONE}, "LoRA for Stable Diffusion"),
        ({"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": ONE}, "LoRA for Flux"),
        ({"diffusion_model.blocks.0.self_attn.q.lora_A.weight": ONE}, "LoRA for Wan"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_it_is(
    tmp_path: Path, layers: dict[str, tuple[int, int]], tensors: dict[str, torch.Tensor], problem: str
) -> None:
    with pytest.raises(BadInput, match=problem) as caught:
        read(tmp_path, layers, tensors)
    assert caught.value.remedy


def test_files_that_are_no_safetensors_are_refused(
    tmp_path: Path, layers: dict[str, tuple[int, int]]
) -> None:
    pickled = tmp_path / "lora.pt"
    pickled.write_bytes(pickle.dumps({"a": 1}))
    renamed = tmp_path / "renamed.safetensors"
    renamed.write_bytes(pickle.dumps({"a": 1}))
    for path, kind, problem in (
        (pickled, BadInput, "is a pickle"),
        (renamed, WizardError, "renamed"),
        (tmp_path, BadInput, "is a folder"),
        (tmp_path / "none.safetensors", NotFound, "no file"),
    ):
        with pytest.raises(kind, match=problem):
            recognise_lora(path, layers, TITLE)


def read(
    folder: Path,
    layers: dict[str, tuple[int, int]],
    tensors: dict[str, torch.Tensor],
    header: dict[str, str] | None = None,
) -> LoraFile:
    path = folder / "lora.safetensors"
    save_file(tensors, path, metadata={"format": "pt", **(header or {})})
    return recognise_lora(path, layers, TITLE)
