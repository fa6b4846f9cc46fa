from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ltx_wizard.core import places
from ltx_wizard.core.documents import Settings
from ltx_wizard.core.errors import BadDocument, BadSetting, NotFound
from ltx_wizard.core.recipe import (
    RECIPE_GROUPS,
    MemorySettings,
    Preset,
    Recipe,
    bucket_text,
    find_preset,
    parse_bucket,
    read_preset,
    read_recipe,
    recipe_settings,
    setting_value,
    typed_setting,
    with_settings,
    write_recipe,
)
from ltx_wizard.core.recipe_groups import check_offload

PRESETS = sorted(places.PRESETS.glob("*.yaml"))
PRESET: dict[str, object] = {
    "name": "small",
    "title": "Small",
    "for_whom": "A card with 8 GB.",
    "level": "draft",
    "models": ["ltx-video"],
    "min_vram_gib": 8,
    "vram_source": "the guide's table",
    "recipe": {"steps": 300, "lora": {"rank": 16, "alpha": 16}, "data": {"buckets": ["512x320x49"]}},
}


def preset_file(folder: Path, **changes: object) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**PRESET, **changes}), encoding="utf-8")
    return path


def test_a_preset_names_only_what_differs(tmp_path: Path) -> None:
    preset = read_preset(preset_file(tmp_path))
    assert (preset.recipe.steps, preset.recipe.lora.rank) == (300, 16)
    assert preset.recipe.optimizer == Recipe().optimizer


def test_unknown_keys_and_wrong_values_of_a_preset_are_named_all_at_once(tmp_path: Path) -> None:
    path = preset_file(
        tmp_path,
        colour="red",
        recipe={"stepz": 3, "lora": {"rnak": 4, "rank": 0}, "optimizer": {"name": "sgd"}, "seed": -1},
    )
    before = path.read_bytes()
    with pytest.raises(BadDocument) as caught:
        read_preset(path)
    for key in ("colour", "recipe.stepz", "recipe.lora.rnak", "recipe.lora.rank", "optimizer.name", "seed"):
        assert key in caught.value.problem
    assert caught.value.problem.count("unknown setting") == 3
    assert "small.yaml" in caught.value.problem
    assert caught.value.remedy
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    ["", "a list:\n- x\n - y", "\tname: x", "- 1\n- 2", "just words", "name: &a [*a]", "x: !!python/none"],
)
def test_a_preset_that_is_no_table_of_settings_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(BadDocument, match=r"odd\.yaml"):
        read_preset(path)


def test_a_preset_cannot_run_code(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(f"name: !!python/object/apply:pathlib.Path.touch ['{tmp_path}/made']")
    with pytest.raises(BadDocument):
        read_preset(path)
    assert not (tmp_path / "made").exists()


def test_a_missing_preset_names_those_there_are(tmp_path: Path) -> None:
    preset = read_preset(preset_file(tmp_path))
    assert find_preset([preset], "small") is preset
    with pytest.raises(NotFound) as caught:
        find_preset([preset], "large")
    assert "small" in caught.value.remedy


@pytest.mark.parametrize("path", PRESETS, ids=[path.stem for path in PRESETS])
def test_every_preset_that_ships_can_be_read(path: Path) -> None:
    from ltx_wizard.models.catalog import CATALOG

    preset = read_preset(path)
    assert preset.name == path.stem
    assert preset.title
    assert preset.for_whom
    assert preset.vram_source
    check_offload(preset.recipe.memory)
    assert set(preset.models) <= {spec.id for spec in CATALOG}


def test_presets_ship() -> None:
    assert len({read_preset(path).name for path in PRESETS}) == len(PRESETS) > 0


def test_a_recipe_comes_back_as_it_was_written(tmp_path: Path) -> None:
    recipe = with_settings(Recipe(name="x"), {"validation.prompts": ["{trigger} <b>\n🎬"], "lora.rank": 3})
    write_recipe(tmp_path / "recipe.json", recipe)
    assert read_recipe(tmp_path / "recipe.json") == recipe


def fields_of(group: type[Settings], prefix: str) -> set[str]:
    return {f"{prefix}{name}" for name in group.model_fields}


def test_the_app_is_told_of_every_setting() -> None:
    wanted = {"steps", "seed"}
    for name, field in Recipe.model_fields.items():
        if isinstance(field.default, Settings):
            assert name in RECIPE_GROUPS
            wanted |= fields_of(type(field.default), f"{name}.")
    infos = recipe_settings()
    assert {info.key for info in infos} == wanted
    assert len(infos) == len(wanted) > 40


@pytest.mark.parametrize("info", recipe_settings(), ids=lambda info: info.key)
def test_every_setting_is_explained_and_its_default_lies_in_its_range(info: object) -> None:
    from ltx_wizard.core.recipe import SettingInfo

    assert isinstance(info, SettingInfo)
    assert info.description.endswith(".")
    assert setting_value(Recipe(), info.key) == info.default
    if info.kind in ("integer", "number"):
        assert info.minimum is not None
        assert isinstance(info.default, (int, float))
        assert info.minimum <= info.default <= (float("inf") if info.maximum is None else info.maximum)
    if info.kind == "choice":
        assert info.default in info.choices
        assert len(info.choices) > 1


@pytest.mark.parametrize(
    "info", [info for info in recipe_settings() if info.minimum is not None], ids=lambda info: info.key
)
def test_values_outside_their_range_are_refused(info: object) -> None:
    from ltx_wizard.core.recipe import SettingInfo

    assert isinstance(info, SettingInfo)
    assert info.minimum is not None
    outside = [info.minimum - 1] + ([info.maximum + 1] if info.maximum is not None else [])
    for value in (*outside, float("nan"), "many", None):
        with pytest.raises(BadSetting) as caught:
            with_settings(Recipe(), {info.key: value})
        assert info.name in caught.value.problem
        assert caught.value.remedy


@pytest.mark.parametrize("key", ["seed", "validation.seed"])
def test_a_seed_that_no_generator_takes_is_refused(key: str) -> None:
    with pytest.raises(BadSetting):
        with_settings(Recipe(), {key: 2**64})


@pytest.mark.parametrize("key", ["lora.rnak", "lroa.rank", "rank", "", "lora", "lora.rank.x", "steps.x"])
def test_a_misspelt_setting_is_named(key: str) -> None:
    with pytest.raises(BadSetting):
        with_settings(Recipe(), {key: 3})


def test_several_wrong_values_are_named_at_once_and_nothing_changes() -> None:
    recipe = Recipe()
    with pytest.raises(BadSetting) as caught:
        with_settings(recipe, {"lora.rank": 0, "optimizer.lr": -1, "steps": 0})
    assert all(key in caught.value.problem for key in ("lora.rank", "optimizer.lr", "steps"))
    assert recipe == Recipe()


def test_a_refusal_names_what_was_changed_and_not_what_follows_from_it() -> None:
    with pytest.raises(BadSetting) as caught:
        with_settings(with_settings(Recipe(), {}), {"lora.rank": 2000, "optimizer.name": "sgd"})
    assert caught.value.problem == (
        "lora.rank must be less than or equal to 512; "
        "optimizer.name must be 'adamw', 'adamw8bit' or 'paged-adamw8bit'."
    )


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        ("lora.rank", " 16 ", 16),
        ("steps", "1,500", 1500),
        ("steps", "1e3", 1000),
        ("steps", "2.0", 2),
        ("optimizer.lr", "2e-4", 0.0002),
        ("memory.vae_tiling", "Off", False),
        ("optimizer.name", "adamw8bit", "adamw8bit"),
        ("validation.negative_prompt", " ugly, blurry ", " ugly, blurry "),
        ("validation.prompts", "A cat, running\n\n A dog ", ("A cat, running", "A dog")),
        ("validation.prompts", "", ()),
        ("validation.prompts", '["a\\nb"]', ("a\nb",)),
        ("data.buckets", "768 x 512 x 49, 512X512×49\n64x64x9", ("768x512x49", "512x512x49", "64x64x9")),
        ("lora.target_modules", "to_q, to_k", ("to_q", "to_k")),
    ],
)
def test_a_setting_is_taken_as_a_person_types_it(key: str, typed: str, value: object) -> None:
    assert typed_setting(key, typed) == value


@pytest.mark.parametrize(
    ("key", "typed", "words"),
    [
        ("steps", "2.7", "2.7 is not a whole number"),
        ("steps", "1,5", "'1,5' is not a number"),
        ("steps", "1e400", "'1e400' is not a number"),
        ("steps", "", "steps has no value"),
        ("optimizer.lr", "nan", "'nan' is not a number"),
        ("optimizer.lr", "0,0002", "'0,0002' is not a number"),
        ("memory.vae_tiling", "maybe", "neither on nor off"),
        ("validation.prompts", "[oops", "not a JSON list"),
        ("lora.rnk", "3", "no setting called"),
    ],
)
def test_what_is_no_value_of_a_setting_is_refused_and_never_guessed(key: str, typed: str, words: str) -> None:
    with pytest.raises(BadSetting) as caught:
        typed_setting(key, typed)
    assert words in caught.value.problem
    assert caught.value.remedy


def test_modules_may_be_written_as_words() -> None:
    changed = with_settings(Recipe(), {"lora.target_modules": "to_k  to_q"})
    assert changed.lora.target_modules == ("to_k", "to_q")
    with pytest.raises(BadSetting):
        with_settings(Recipe(), {"lora.target_modules": "  "})


@pytest.mark.parametrize("text", ["768x512x49", " 768X512x49 ", "32x32x1", "99999x99999x99999"])
def test_a_size_is_width_height_and_frames(text: str) -> None:
    width, height, frames = parse_bucket(text)
    assert bucket_text(width, height, frames) == text.strip().lower()


@pytest.mark.parametrize(
    "text",
    ["", "768x512", "768x512x0", "0x512x49", "-768x512x49", "768x512x49x1", "axbxc", "768 512 49", "1e3x1x1"],
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="768x512x49"):
        parse_bucket(text)
    with pytest.raises(BadSetting, match=r"data\.buckets"):
        with_settings(Recipe(), {"data.buckets": [text]})


def test_digits_of_other_scripts_are_no_size() -> None:
    with pytest.raises(ValueError, match="768x512x49"):
        parse_bucket("٧٦٨x٥١٢x٤٩")


def test_a_newer_preset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match="newer"):
        read_preset(preset_file(tmp_path, schema_version=Preset.current_version + 1))


def test_a_sample_of_one_step_is_refused_because_the_sampler_cannot_make_it() -> None:
    with pytest.raises(BadSetting, match="sampling_steps"):
        with_settings(Recipe(), {"validation.sampling_steps": 1})


@pytest.mark.parametrize("quantization", ["none", "fp8-quanto", "int8-quanto"])
def test_blocks_may_wait_in_main_memory_in_these_formats(quantization: str) -> None:
    waiting = {"memory.offload": "blocks", "memory.quantization": quantization}
    check_offload(with_settings(Recipe(), waiting).memory)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"quantization": "int4-quanto"}, "not with int4-quanto"),
        ({"quantization": "int8-bnb"}, "not with int8-bnb"),
        ({"quantization": "nf4-bnb"}, "not with nf4-bnb"),
        ({"gradient_checkpointing": False}, "only together with gradient checkpointing"),
    ],
)
def test_what_does_not_go_together_with_offloading_is_refused(
    changes: dict[str, object], problem: str
) -> None:
    memory = MemorySettings.model_validate(changes)
    check_offload(memory)  # by themselves they are fine
    with pytest.raises(BadSetting, match=problem):
        check_offload(memory.model_copy(update={"offload": "blocks"}))


@pytest.mark.parametrize("quantization", ["none", "int4-quanto", "int8-bnb", "nf4-bnb"])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_offloading_is_accepted_once_the_remedy_is_applied(quantization: str, checkpointing: bool) -> None:
    asked = {"offload": "blocks", "quantization": quantization, "gradient_checkpointing": checkpointing}
    memory = MemorySettings.model_validate(asked)
    try:
        check_offload(memory)
    except BadSetting as refused:
        changes = {}
        if "'Quantization' to fp8-quanto" in refused.remedy:
            changes["quantization"] = "fp8-quanto"
        if "'Gradient checkpointing' on" in refused.remedy:
            changes["gradient_checkpointing"] = True
        assert changes
        check_offload(memory.model_copy(update=changes))


NUMBERS = [info.key for info in recipe_settings() if info.kind in ("integer", "number")]


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("typed", ["many", "", "1.5e", "2.5"])
def test_a_number_that_a_refusal_names_is_taken(key: str, typed: str) -> None:
    try:
        typed_setting(key, typed)
    except BadSetting as refused:
        named = re.search(r"such as ([0-9.e-]+)\.$", refused.remedy)
        assert named, refused.remedy
        with_settings(Recipe(), {key: typed_setting(key, named.group(1))})


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [-1, 10**9])
def test_the_limit_that_a_refusal_names_is_taken(key: str, value: int) -> None:
    """But for one that is named as less or greater than, where the limit itself is out."""
    try:
        with_settings(Recipe(), {key: value})
    except BadSetting as refused:
        named = re.search(r"or equal to ([0-9.e-]+?)\.?$", refused.problem)
        if named:
            with_settings(Recipe(), {key: typed_setting(key, named.group(1))})
        else:
            assert re.search(r"(less|greater) than [0-9.]+$", refused.problem), refused.problem
