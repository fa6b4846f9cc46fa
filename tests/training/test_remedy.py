from __future__ import annotations

import random

import pytest

from ltx_wizard.app.refusals import recipe_problem
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.recipe_groups import check_offload
from ltx_wizard.models.catalog import EMBEDDED, find_model
from ltx_wizard.training.remedy import card_needed, remedy

pytestmark = pytest.mark.usefixtures("fixed_memory_model")

SMALL, LARGE = find_model("ltxv-2b-0.9.6-dev"), find_model("ltxv-13b-0.9.7-dev")
CLIPS = {"768x512x49": 12}


def recipe(**changes: object) -> Recipe:
    given = {key.replace("__", "."): value for key, value in changes.items()}
    return with_settings(Recipe(), {"lora.rank": 32, "validation.prompts": ("a",), **given})


def test_what_fits_needs_no_remedy() -> None:
    assert remedy(recipe(), LARGE, CLIPS, 80.0) is None
    assert remedy(recipe(), EMBEDDED, CLIPS, 1.0) is None


@pytest.mark.parametrize(
    ("spec", "changes", "card", "expected"),
    [
        (LARGE, {}, 24.0, {"memory.quantization": "fp8-quanto"}),
        (LARGE, {}, 16.0, {"memory.quantization": "nf4-bnb"}),
        (LARGE, {"memory__gradient_checkpointing": False}, 48.0, {"memory.gradient_checkpointing": True}),
        (SMALL, {"memory__quantization": "fp8-quanto"}, 10.0, {"memory.text_encoder_8bit": True}),
        (
            LARGE,
            {"lora__rank": 128, "memory__quantization": "fp8-quanto"},
            22.5,
            {"optimizer.name": "adamw8bit"},
        ),
    ],
)
def test_one_setting_is_enough_where_one_is(
    spec: object, changes: dict[str, object], card: float, expected: dict[str, object]
) -> None:
    model = LARGE if spec is LARGE else SMALL
    found = remedy(recipe(**changes), model, CLIPS, card)
    assert found is not None
    assert found.changes == expected
    assert len(found.words) == 1
    assert found.card <= card


def test_a_large_picture_is_decoded_in_tiles_before_anything_else_is_given_up() -> None:
    settings = recipe(memory__vae_tiling=False, memory__quantization="fp8-quanto")
    needed = card_needed(settings, LARGE, {"1216x704x121": 3})
    found = remedy(settings, LARGE, {"1216x704x121": 3}, needed - 0.5)
    assert found is not None
    assert found.changes == {"memory.vae_tiling": True}


def test_a_batch_becomes_accumulation_of_the_same_effect() -> None:
    settings = recipe(data__batch_size=8, memory__quantization="nf4-bnb", optimizer__name="adamw8bit")
    found = remedy(settings, LARGE, {"1216x704x121": 3}, 32.0)
    assert found is not None
    assert found.changes == {"data.batch_size": 1, "data.gradient_accumulation_steps": 8}


def test_where_no_single_setting_helps_several_are_taken_and_none_in_vain() -> None:
    settings = recipe(memory__gradient_checkpointing=False, data__batch_size=2)
    found = remedy(settings, LARGE, CLIPS, 8.0)
    assert found is not None
    assert len(found.words) > 1
    assert found.card <= 8.0
    for key in found.changes:
        fewer = {name: value for name, value in found.changes.items() if name != key}
        if key not in ("data.gradient_accumulation_steps", "memory.quantization"):
            assert card_needed(with_settings(settings, fewer), LARGE, CLIPS) > 8.0


def test_offloading_is_only_taken_with_a_format_that_can_wait() -> None:
    for checkpointing in (True, False):
        tight = recipe(memory__quantization="nf4-bnb", memory__gradient_checkpointing=checkpointing)
        found = remedy(tight, LARGE, CLIPS, 8.0)
        assert found is not None
        assert found.changes["memory.offload"] == "blocks"
        check_offload(with_settings(tight, found.changes).memory)


def test_what_is_advised_is_not_refused_and_fits() -> None:
    chance, advised = random.Random(1), 0
    for _ in range(150):
        asked = recipe(
            memory__offload=chance.choice(["none", "blocks"]),
            memory__quantization=chance.choice(["none", "fp8-quanto", "int8-quanto", "nf4-bnb"]),
            memory__gradient_checkpointing=chance.choice([True, False]),
            memory__vae_tiling=chance.choice([True, False]),
            data__batch_size=chance.choice([1, 2, 8]),
            lora__rank=chance.choice([32, 512]),
        )
        sizes, card = {chance.choice(["768x512x49", "1216x704x121"]): 4}, chance.choice([6.0, 12.0, 24.0])
        if recipe_problem(asked, LARGE) is not None or (found := remedy(asked, LARGE, sizes, card)) is None:
            continue
        changed, advised = with_settings(asked, found.changes), advised + 1
        assert recipe_problem(changed, LARGE) is None, (asked.memory, found.text)
        assert card_needed(changed, LARGE, {} if changed.data.buckets else sizes) <= card
    assert advised > 15


def test_a_smaller_size_keeps_its_shape_on_the_models_grid() -> None:
    settings = recipe(
        memory__quantization="nf4-bnb", optimizer__name="adamw8bit", memory__text_encoder_8bit=True
    )
    needed = card_needed(settings, LARGE, {"1216x704x121": 3})
    found = remedy(settings, LARGE, {"1216x704x121": 3}, needed - 1.0)
    assert found is not None
    buckets = found.changes["data.buckets"]
    assert isinstance(buckets, tuple)
    width, height, frames = (int(part) for part in buckets[0].split("x"))
    assert (width % 32, height % 32, frames) == (0, 0, 121)
    assert width * height < 1216 * 704
    assert width / height == pytest.approx(1216 / 704, rel=0.1)


def test_last_of_all_the_lora_becomes_smaller_with_the_same_strength() -> None:
    found = remedy(recipe(lora__rank=128, lora__alpha=64), LARGE, CLIPS, 8.0)
    assert found is not None
    assert (found.changes["lora.rank"], found.changes["lora.alpha"]) == (64, 32)
    assert found.words[-1] == "use a LoRA of rank 64"


def test_a_card_that_nothing_helps_gets_no_remedy() -> None:
    assert remedy(recipe(), LARGE, CLIPS, 2.0) is None


def test_the_remedy_says_in_words_what_it_changes() -> None:
    found = remedy(recipe(), LARGE, CLIPS, 24.0)
    assert found is not None
    assert found.text == "keep the frozen model in fp8"
