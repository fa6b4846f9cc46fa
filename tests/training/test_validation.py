"""The validation loss: the same to the last digit every time, and training does not notice it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from diffusers import LTXVideoTransformer3DModel
from short_runs import new_run, same_weights, short_recipe

from ltx_wizard.core.events import Validated
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import MemorySettings, NoiseSettings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.dataset.encode import Example
from ltx_wizard.dataset.held_out import set_held_out
from ltx_wizard.models.catalog import EMBEDDED
from ltx_wizard.models.ltx_video import TextEmbedding
from ltx_wizard.models.weights import LTX_SHIFT
from ltx_wizard.training import loop
from ltx_wizard.training.checkpoint import read_lora
from ltx_wizard.training.objective import Objective, stable_seed
from ltx_wizard.training.validation import SIGMAS, fixed_set, validation_examples, validation_loss
from ltx_wizard.worker import main


def _example(name: str, **changes: Any) -> Example:
    generator = torch.Generator().manual_seed(stable_seed(name))
    latents = torch.randn(16, 2, 2, 2, generator=generator)
    text = TextEmbedding(torch.randn(4, 24, generator=generator).bfloat16())
    example = Example(name, "64x64x9", latents, text, regularisation=False, held_out=False)
    return dataclasses.replace(example, **changes)


def _objective() -> Objective:
    empty = TextEmbedding(torch.zeros(1, 24))
    return Objective(EMBEDDED, LTX_SHIFT, NoiseSettings(), MemorySettings(), torch.device("cpu"), empty)


def test_the_clips_kept_out_are_measured_and_at_most_so_many_evenly_over_the_dataset() -> None:
    examples = [_example(f"clip-{n}", held_out=n % 2 == 0, regularisation=n == 4) for n in range(20)]
    chosen = [item.clip_id for item in validation_examples(examples, 3)]
    assert chosen == ["clip-0", "clip-8", "clip-14"]
    assert len(validation_examples(examples, 8)) == 8


def test_without_clips_kept_out_the_event_says_that_learnt_ones_were_measured() -> None:
    fixed = fixed_set([_example("a"), _example("b")], 8, "embedded")
    assert fixed.learnt and fixed.summary(1, [0.5] * len(fixed.measured)).learnt
    assert not fixed_set([_example("a"), _example("b", held_out=True)], 8, "embedded").learnt


@pytest.mark.parametrize(("clips", "losses"), [(1, 10), (2, 10), (3, 15), (8, 40), (30, 40)])
def test_one_clip_is_measured_with_two_draws_of_noise_and_many_with_one(clips: int, losses: int) -> None:
    fixed = fixed_set([_example(f"{n}", held_out=True) for n in range(clips)], 8, "embedded")
    assert len(fixed.measured) == losses
    measured = {(item.example.clip_id, item.sigma, item.draw) for item in fixed.measured}
    assert len(measured) == losses, "nothing is measured twice"


def test_bands_are_the_means_of_their_noise_level_and_the_loss_is_the_mean_of_all() -> None:
    fixed = fixed_set([_example(f"{n}", held_out=True) for n in range(4)], 8, "embedded")
    losses = [item.sigma + 0.01 * index % 4 for index, item in enumerate(fixed.measured)]
    event = fixed.summary(7, losses)
    assert list(event.bands) == ["0.2", "0.4", "0.6", "0.8", "0.95"]
    for place, band in enumerate(event.bands.values()):
        assert band == pytest.approx(sum(event.each[4 * place : 4 * place + 4]) / 4)
    assert event.loss == pytest.approx(sum(event.bands.values()) / len(SIGMAS))
    assert (event.step, event.each) == (7, tuple(losses))


def test_losses_are_the_same_to_the_last_digit_whatever_was_drawn_before(
    small_transformer: LTXVideoTransformer3DModel,
) -> None:
    fixed = fixed_set([_example("a", held_out=True), _example("b", held_out=True)], 8, "embedded")
    seen = set[tuple[float, ...]]()
    for seed in range(3):
        torch.manual_seed(seed)
        torch.randn(seed + 1)
        before = torch.get_rng_state()
        seen.add(tuple(validation_loss(small_transformer, _objective(), fixed, SilentReport())))
        assert torch.equal(torch.get_rng_state(), before)
    assert len(seen) == 1
    assert len(set(seen.pop())) == len(fixed.measured), "each has noise of its own"


def test_the_name_of_what_is_measured_changes_with_clip_caption_and_model_only() -> None:
    def name(*examples: Example, model: str = "embedded") -> str:
        return fixed_set(examples, 8, model).name

    a, b = _example("a", held_out=True), _example("b", held_out=True)
    assert name(a, b) == name(a, b, _example("learnt")) == name(a, b, _example("other learnt"))
    captioned = dataclasses.replace(a, text=b.text)
    cut = dataclasses.replace(a, latents=b.latents)
    assert len({name(a, b), name(a), name(captioned, b), name(cut, b), name(a, b, model="other")}) == 5


def test_training_is_bit_identical_with_and_without_validation(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout in the LoRA, which draws from the global random state."""
    set_held_out(dataset, ["clip-1"])
    often, never = (new_run(dataset, short_recipe(4, **{"validation.loss_every": n})) for n in (1, 100))
    assert main([str(often.folder)]) == 0
    monkeypatch.setattr(loop.Training, "_validate", lambda self, step: None)
    assert main([str(never.folder)]) == 0
    assert [item.step for item in often.status().validations] == [0, 1, 2, 3, 4]
    assert never.status().validations == ()
    assert same_weights(read_lora(often, 4), read_lora(never, 4))
    assert [item.loss for item in often.status().losses] == [item.loss for item in never.status().losses]


def test_runs_of_a_dataset_with_other_seeds_and_ranks_begin_at_the_very_same_loss(dataset: Project) -> None:
    """A new LoRA changes nothing, so all that could differ is what is measured."""
    first = []
    for changes in ({"seed": 1}, {"seed": 2, "lora.rank": 2, "data.batch_size": 1}):
        run = new_run(dataset, short_recipe(1, **changes))
        assert main([str(run.folder)]) == 0
        first.append(run.status().validations[0])
    assert _content(first[0]) == _content(first[1])
    assert not first[0].learnt and len(first[0].each) == 10


def _content(event: Validated) -> dict[str, Any]:
    return event.model_dump(exclude={"time"})
