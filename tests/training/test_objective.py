"""The loss of a batch: what is given stays clean and uncounted, and a new LoRA changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import LTXVideoTransformer3DModel

from ltx_wizard.core.recipe import LoraSettings, MemorySettings, NoiseSettings
from ltx_wizard.dataset.batches import Slot
from ltx_wizard.dataset.encode import Example
from ltx_wizard.models.catalog import EMBEDDED
from ltx_wizard.models.lora import add_lora, lora_weights, set_lora_weights
from ltx_wizard.models.ltx_video import TextEmbedding
from ltx_wizard.models.weights import LTX_SHIFT
from ltx_wizard.training.objective import Objective, first_frame_mask, stable_seed

CPU = torch.device("cpu")


def _objective() -> Objective:
    empty = TextEmbedding(torch.full((1, 24), 0.5))
    return Objective(EMBEDDED, LTX_SHIFT, NoiseSettings(), MemorySettings(), CPU, empty)


def _example(name: str = "clip") -> Example:
    generator = torch.Generator().manual_seed(stable_seed(name))
    latents = torch.randn(16, 3, 2, 2, generator=generator)
    text = TextEmbedding(torch.randn(4, 24, generator=generator))
    return Example(name, "64x64x17", latents, text, regularisation=False, held_out=False)


def _loss(transformer: LTXVideoTransformer3DModel, slots: list[Slot], seed: int = 0) -> torch.Tensor:
    return _objective().loss(transformer, slots, torch.Generator().manual_seed(seed))


def test_the_first_frame_mask_covers_the_first_latent_frame_of_the_chosen_clips() -> None:
    mask = first_frame_mask(torch.tensor([True, False]), frames=3, tokens_per_frame=4)
    assert mask.tolist() == [[True] * 4 + [False] * 8, [False] * 12]


def test_a_given_first_frame_is_clean_told_zero_and_not_counted(
    small_transformer: LTXVideoTransformer3DModel,
) -> None:
    seen: list[dict[str, Any]] = []
    outputs: list[torch.Tensor] = []

    def watch(_module: Any, _args: Any, given: dict[str, Any], output: Any) -> None:
        seen.append(given)
        output[0].retain_grad()
        outputs.append(output[0])

    small_transformer.register_forward_hook(watch, with_kwargs=True)
    example = _example()
    _loss(small_transformer, [Slot(example, drop_caption=False, give_first_frame=True)]).backward()
    tokens = seen[0]["hidden_states"][0]
    clean = example.latents.flatten(1).T
    assert torch.equal(tokens[:4], clean[:4])
    assert not torch.allclose(tokens[4:], clean[4:])
    assert seen[0]["timestep"][0, :4].tolist() == [0.0] * 4
    assert outputs[0].grad is not None
    assert float(outputs[0].grad[0, :4].abs().max()) == 0.0
    assert float(outputs[0].grad[0, 4:].abs().max()) > 0.0


def test_a_dropped_caption_becomes_the_empty_one(small_transformer: LTXVideoTransformer3DModel) -> None:
    seen: list[torch.Tensor] = []
    small_transformer.caption_projection.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    _loss(small_transformer, [Slot(_example(), drop_caption=True, give_first_frame=False)])
    assert torch.equal(seen[0], torch.full((1, 1, 24), 0.5))


def test_the_loss_is_the_formula_in_fp64(small_transformer: LTXVideoTransformer3DModel) -> None:
    """A plain reading of the definitions, in double precision, on the tensors that the model was given."""
    seen: list[dict[str, Any]] = []
    small_transformer.register_forward_pre_hook(lambda _m, _a, given: seen.append(given), with_kwargs=True)
    slots = [Slot(_example(name), drop_caption=False, give_first_frame=False) for name in ("one", "two")]
    loss = _loss(small_transformer, slots, seed=5)
    given = seen[0]
    sigma = given["timestep"].double() / 1000
    clean = torch.stack([slot.example.latents.flatten(1).T for slot in slots]).double()
    noise = (given["hidden_states"].double() - (1 - sigma[:, :, None]) * clean) / sigma[:, :, None]
    double = small_transformer.double()
    predicted = double(
        hidden_states=given["hidden_states"].double(),
        encoder_hidden_states=given["encoder_hidden_states"].double(),
        timestep=given["timestep"].double(),
        encoder_attention_mask=None,
        video_coords=given["video_coords"],
        return_dict=False,
    )[0]
    expected = ((predicted - (noise - clean)) ** 2).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_new_lora_changes_nothing_and_is_fp32_on_a_bf16_base(
    small_transformer: LTXVideoTransformer3DModel,
) -> None:
    slots = [Slot(_example(), drop_caption=False, give_first_frame=False)]
    before = _loss(small_transformer, slots)
    parameters = add_lora(small_transformer, LoraSettings(rank=4, alpha=4), seed=1)
    assert float(_loss(small_transformer, slots)) == pytest.approx(float(before), rel=1e-6)
    assert len(parameters) == 2 * 8 * 2
    bf16 = LTXVideoTransformer3DModel.from_config(small_transformer.config).bfloat16()
    assert {parameter.dtype for parameter in add_lora(bf16, LoraSettings(rank=4, alpha=4), seed=1)} == {
        torch.float32
    }


def test_lora_weights_can_be_taken_out_and_put_back(small_transformer: LTXVideoTransformer3DModel) -> None:
    slots = [Slot(_example(), drop_caption=False, give_first_frame=False)]
    parameters = add_lora(small_transformer, LoraSettings(rank=4, alpha=8), seed=1)
    for parameter in parameters:
        parameter.data.normal_()
    kept, loss = lora_weights(small_transformer), float(_loss(small_transformer, slots))
    for parameter in parameters:
        parameter.data.zero_()
    assert float(_loss(small_transformer, slots)) != loss
    set_lora_weights(small_transformer, kept)
    assert float(_loss(small_transformer, slots)) == loss


def test_the_fixed_loss_never_changes_by_chance(small_transformer: LTXVideoTransformer3DModel) -> None:
    objective = _objective()
    losses = set()
    for seed in range(3):
        torch.manual_seed(seed)
        losses.add(float(objective.fixed_loss(small_transformer, _example(), 0.4, 42)))
    assert len(losses) == 1
    assert float(objective.fixed_loss(small_transformer, _example(), 0.4, 43)) not in losses


def test_seeds_are_the_same_in_every_process() -> None:
    assert stable_seed(42, 7, 0) == 69528217774388360
