from __future__ import annotations

import pytest

from ltx_wizard.core.errors import NotFound
from ltx_wizard.models.captioner_models import CAPTIONER_MODELS, captioner_model, find_downloadable
from ltx_wizard.models.catalog import CATALOG

BY_ID = {model.id: model for model in CAPTIONER_MODELS}


@pytest.mark.parametrize(
    ("vram_gib", "held"),
    [
        (4, {"florence2-base": "bf16", "florence2-large": None}),
        (6, {"florence2-large": "bf16", "qwen3vl-2b": "nf4", "qwen3vl-4b": None}),
        (8, {"qwen3vl-2b": "bf16", "qwen3vl-4b": "nf4", "qwen3vl-8b": None}),
        (12, {"qwen3vl-4b": "bf16", "qwen3vl-8b": "nf4", "qwen3vl-32b": None}),
        (16, {"qwen3vl-8b": "nf4", "qwen3vl-32b": None}),
        (24, {"qwen3vl-8b": "bf16", "qwen3vl-32b": None}),
        (48, {"qwen3vl-32b": "nf4"}),
        (79.6, {"qwen3vl-32b": "bf16"}),
        (0, {model: "float32" for model in BY_ID}),
    ],
)
def test_a_card_holds_each_model_as_precisely_as_it_can(vram_gib: float, held: dict[str, str | None]) -> None:
    assert {name: BY_ID[name].precision_for(vram_gib) for name in held} == held


def test_names_do_not_clash_with_base_models() -> None:
    assert len(BY_ID) == len(CAPTIONER_MODELS)
    assert not set(BY_ID) & {spec.id for spec in CATALOG}
    for model in CAPTIONER_MODELS:
        assert captioner_model(model.id) is model
        assert find_downloadable(model.id) is model


def test_base_models_are_found_as_before() -> None:
    assert captioner_model(CATALOG[0].id) is None
    assert find_downloadable(CATALOG[0].id) is CATALOG[0]
    with pytest.raises(NotFound):
        find_downloadable("nothing-of-the-kind")
