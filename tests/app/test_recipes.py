from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from model_files import original_transformer, other_size, write_config, write_header_only

from ltx_wizard.app import datasets, recipes
from ltx_wizard.app.saved_recipes import save_recipe
from ltx_wizard.app.system import Gpu
from ltx_wizard.core import places
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.errors import BadDocument, BadSetting, NotFound
from ltx_wizard.core.project import Goal, Project, TriggerPlacement
from ltx_wizard.core.recipe import Recipe, largest, read_preset
from ltx_wizard.models.catalog import CATALOG

LARGE = "ltxv-13b-0.9.7-dev"
SMALL = "ltxv-2b-0.9.6-dev"


@pytest.fixture(autouse=True)
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "first_gpu", lambda: None)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    def use(name: str, vram_gib: float) -> None:
        monkeypatch.setattr(recipes, "first_gpu", lambda: Gpu(name, vram_gib, 1.0, 40, "580"))

    return use


def put_clips(project: Project, count: int, ordinary: int = 0, caption: str = "A dog {n} runs.") -> None:
    write_lines(
        project.clips_file,
        [
            Clip(
                id=f"c{n}",
                source_id=f"s{n // 10}",
                file=f"clips/c{n}.mp4",
                kind=MediaKind.VIDEO,
                width=768,
                height=512,
                fps=24,
                frames=49,
                duration_s=2.04,
                caption=caption.format(n=n),
                caption_state=CaptionState.WRITTEN if caption else CaptionState.MISSING,
                regularisation=n >= count,
            )
            for n in range(count + ordinary)
        ],
    )


def advised(project: Project, key: str) -> recipes.Advice:
    return next(item for item in recipes.advice(project) if item.key == key)


def test_every_preset_file_is_a_preset_of_its_own_name_for_models_that_can_be_trained() -> None:
    trainable = {spec.id for spec in CATALOG if spec.trainable}
    files = sorted(places.PRESETS.glob("*.yaml"))
    assert len(files) >= 20
    for file in files:
        preset = read_preset(file)
        assert preset.name == file.stem
        assert set(preset.models) <= trainable
        assert preset.recipe.lora.alpha == preset.recipe.lora.rank


def test_the_guides_two_configurations_have_its_values() -> None:
    standard = read_preset(places.PRESETS / "ltxv-13b-lora-standard.yaml").recipe
    low = read_preset(places.PRESETS / "ltxv-2b-lora-low-vram.yaml").recipe
    assert (standard.lora.rank, standard.optimizer.name, standard.optimizer.lr) == (128, "adamw", 2e-4)
    assert (standard.data.batch_size, standard.data.gradient_accumulation_steps) == (1, 4)
    assert (standard.checkpoints.every, standard.checkpoints.keep) == (200, 10)
    assert (low.lora.rank, low.optimizer.name, low.memory.quantization) == (32, "adamw8bit", "fp8-quanto")
    assert low.memory.text_encoder_8bit


def test_without_a_card_the_practice_preset_is_offered_and_fits(project: Project) -> None:
    cards = recipes.preset_cards(project)
    assert {card.preset.name for card in cards} == {"practice-draft", "practice-style", "practice-best"}
    assert all(card.fits for card in cards)
    assert recipes.current_recipe(project).name == "practice-style"


def test_without_a_card_presets_for_large_models_say_what_they_need(project: Project) -> None:
    project.change_settings(model=LARGE)
    cards = recipes.preset_cards(project)
    assert not any(card.fits for card in cards)
    assert cards[0].preset.min_vram_gib == 8
    assert "NVIDIA card with 8 GB" in cards[0].reason


@pytest.mark.parametrize(
    ("name", "vram_gib", "model", "offered"),
    [
        ("RTX 4080", 15.99, SMALL, "ltxv-2b-balanced-16gb"),
        ("RTX 4090", 23.99, SMALL, "ltxv-2b-balanced-24gb"),
        ("A10G", 22.5, LARGE, "ltxv-13b-balanced-24gb"),
        ("L40S", 45.0, LARGE, "ltxv-13b-balanced-48gb"),
        ("H100", 79.6, LARGE, "ltxv-13b-balanced-80gb"),
        ("H200", 139.8, SMALL, "ltxv-2b-balanced-80gb"),
    ],
)
def test_the_preset_that_fits_the_card_is_offered(
    project: Project,
    card: Callable[[str, float], None],
    name: str,
    vram_gib: float,
    model: str,
    offered: str,
) -> None:
    card(name, vram_gib)
    project.change_settings(model=model)
    assert recipes.current_recipe(project).name == offered
    shown = next(card for card in recipes.preset_cards(project) if card.preset.name == offered)
    assert (shown.fits, shown.of_this_size) == (True, True)
    assert name in shown.reason


def test_presets_for_one_size_of_card_are_shown_from_draft_to_best(
    project: Project, card: Callable[[str, float], None]
) -> None:
    card("RTX 4090", 23.99)
    project.change_settings(model=SMALL)
    cards = recipes.preset_cards(project)
    sizes: dict[float, list[str]] = {}
    for item in cards:
        sizes.setdefault(item.preset.min_vram_gib, []).append(item.preset.level)
    order = ["draft", "balanced", "best"]
    assert all(levels == sorted(levels, key=order.index) for levels in sizes.values())
    assert any(len(levels) == 3 for levels in sizes.values())
    assert {item.preset.min_vram_gib for item in cards if item.of_this_size} == {24}


def test_a_card_that_is_too_small_is_named_with_what_is_needed(
    project: Project, card: Callable[[str, float], None]
) -> None:
    card("RTX 2060", 6.0)
    project.change_settings(model=LARGE)
    first = recipes.preset_cards(project)[0]
    assert not first.fits
    assert first.reason == "Needs 8 GB; your RTX 2060 has 6 GB."


@pytest.mark.parametrize(
    ("goal", "clips", "rank", "lr", "steps", "every"),
    [
        (Goal.STYLE, 3, 32, 2e-4, 1050, 100),
        (Goal.STYLE, 5, 32, 2e-4, 1250, 200),
        (Goal.CHARACTER, 19, 32, 1e-4, 1250, 200),
        (Goal.CHARACTER, 20, 64, 1e-4, 2000, 300),
        (Goal.MOTION, 20, 128, 2e-4, 2000, 300),
        (Goal.DETAIL, 60, 32, 5e-5, 3000, 500),
        (Goal.STYLE, 49, 64, 2e-4, 2000, 300),
        (Goal.STYLE, 50, 128, 2e-4, 3000, 500),
    ],
)
def test_settings_follow_from_goal_and_dataset_as_the_guide_says(
    project: Project, goal: Goal, clips: int, rank: int, lr: float, steps: int, every: int
) -> None:
    project.change_settings(model=LARGE, goal=goal)
    put_clips(project, clips, ordinary=40)
    recipes.choose_preset(project, "ltxv-13b-balanced-48gb")
    recipe = recipes.current_recipe(project)
    assert (recipe.lora.rank, recipe.lora.alpha) == (rank, rank)
    assert (recipe.optimizer.lr, recipe.steps) == (lr, steps)
    assert recipe.checkpoints.every == recipe.validation.every == every
    assert 0.05 <= recipe.schedule.warmup_steps / recipe.steps <= 0.10
    assert (recipe.data.batch_size, recipe.data.gradient_accumulation_steps) == (2, 2)


def test_each_advice_has_its_reason_in_a_sentence(project: Project) -> None:
    project.change_settings(model=SMALL)
    put_clips(project, 12)
    assert advised(project, "lora.rank").reason == "Rank 32: fewer than 20 clips."
    assert "1,000 to 1,500" in advised(project, "steps").reason
    assert all(item.reason.endswith(".") for item in recipes.advice(project))


def test_a_preset_never_goes_above_its_own_rank(project: Project) -> None:
    project.change_settings(model=SMALL, recipe="ltxv-2b-lora-low-vram")
    put_clips(project, 80)
    assert recipes.current_recipe(project).lora.rank == 32
    assert "save memory (50 clips or more would allow 128)" in advised(project, "lora.rank").reason


def test_a_draft_is_shorter_and_best_is_longer(project: Project) -> None:
    project.change_settings(model=SMALL)
    put_clips(project, 30)
    steps = {
        level: recipes.choose_preset(project, f"ltxv-2b-{level}-24gb").steps
        for level in ("draft", "balanced", "best")
    }
    assert steps == {"draft": 750, "balanced": 2000, "best": 2500}


def test_the_card_of_a_preset_shows_the_steps_that_would_run(project: Project) -> None:
    project.change_settings(model=SMALL)
    put_clips(project, 60)
    shown = {card.preset.name: card.preset.recipe.steps for card in recipes.preset_cards(project)}
    assert shown["ltxv-2b-best-24gb"] == recipes.choose_preset(project, "ltxv-2b-best-24gb").steps == 3500


def test_the_practice_preset_is_not_adapted_to_the_dataset(project: Project) -> None:
    put_clips(project, 60)
    recipe = recipes.current_recipe(project)
    assert (recipe.steps, recipe.lora.rank, recipe.optimizer.lr) == (700, 16, 2e-3)
    assert "does not change it" in advised(project, "steps").reason


def test_a_changed_setting_is_saved_and_advice_says_what_it_would_be(project: Project) -> None:
    project.change_settings(model=SMALL)
    put_clips(project, 12)
    recipes.change_setting(project, "optimizer.lr", 5e-5)
    assert recipes.current_recipe(Project(project.folder)).optimizer.lr == 5e-5
    assert recipes.preset_recipe(project).optimizer.lr == 2e-4
    assert advised(project, "optimizer.lr").reason.startswith("You changed this. Advised: 0.0002")


def test_a_saved_recipe_stays_when_the_dataset_grows(project: Project) -> None:
    project.change_settings(model=SMALL, recipe="ltxv-2b-balanced-24gb")
    put_clips(project, 12)
    save_recipe(project, recipes.current_recipe(project))
    put_clips(project, 70)
    assert recipes.current_recipe(project).lora.rank == 32
    assert recipes.preset_recipe(project).lora.rank == 128


def test_alpha_follows_a_rank_that_it_equals_and_stays_where_it_was_chosen(project: Project) -> None:
    assert recipes.change_setting(project, "lora.rank", 24).lora.alpha == 24
    recipes.change_setting(project, "lora.alpha", 12.0)
    assert recipes.change_setting(project, "lora.rank", 48).lora.alpha == 12


def test_warm_up_keeps_its_share_of_the_steps_unless_it_was_chosen(project: Project) -> None:
    assert recipes.change_setting(project, "steps", 40).schedule.warmup_steps == 2
    assert recipes.change_setting(project, "steps", 800).schedule.warmup_steps == 40
    recipes.change_setting(project, "schedule.warmup_steps", 7)
    assert recipes.change_setting(project, "steps", 200).schedule.warmup_steps == 7


def test_the_longest_run_may_be_asked_for_and_its_warm_up_stops_at_the_most() -> None:
    longest = recipes.with_followers(Recipe(), {"steps": int(largest("steps"))})
    assert longest.schedule.warmup_steps == largest("schedule.warmup_steps") == 10_000
    back = recipes.with_followers(longest, {"steps": 1500}, Recipe())
    assert back.schedule.warmup_steps == Recipe().schedule.warmup_steps


def test_a_value_outside_its_range_is_refused_and_nothing_is_saved(project: Project) -> None:
    with pytest.raises(BadSetting, match="steps"):
        recipes.change_setting(project, "steps", 0)
    with pytest.raises(BadSetting, match=r"lora\.rnk"):
        recipes.change_setting(project, "lora.rnk", 8)
    assert not project.recipe_file.exists()


def test_choosing_a_preset_drops_changes_but_keeps_prompts(project: Project) -> None:
    recipes.change_setting(project, "steps", 77)
    recipes.change_setting(project, "validation.prompts", ("{trigger} A red cat sleeps.",))
    recipe = recipes.choose_preset(project, "practice-draft")
    assert (recipe.name, recipe.steps) == ("practice-draft", 60)
    assert recipe.validation.prompts == ("{trigger} A red cat sleeps.",)


def test_a_preset_that_is_unknown_or_for_another_model_is_refused(project: Project) -> None:
    with pytest.raises(NotFound, match="practice-style"):
        recipes.choose_preset(project, "ltxv-13b-lora-standard")


def test_a_recipe_saved_for_another_model_does_not_count(project: Project) -> None:
    save_recipe(project, recipes.current_recipe(project))
    assert datasets.wanted_buckets(project) == ("192x192x17",)
    project.change_settings(model=SMALL)
    assert recipes.current_recipe(project).name.startswith("ltxv-2b")
    assert datasets.wanted_buckets(project) == recipes.current_recipe(project).data.buckets


def test_a_model_of_ones_own_gets_the_presets_of_its_architecture(project: Project, tmp_path: Path) -> None:
    file = write_header_only(tmp_path / "my-13b.safetensors", original_transformer("13b"))
    for model in (str(file), "ltxv-13b-0.9.8-dev"):
        project.change_settings(model=model)
        names = {card.preset.name for card in recipes.preset_cards(project)}
        assert "ltxv-13b-lora-standard" in names
        assert all(name.startswith("ltxv-13b") for name in names)


def test_a_model_of_a_size_of_its_own_gets_the_presets_of_its_family(
    project: Project, tmp_path: Path
) -> None:
    write_config(tmp_path / "own" / "config.json", "LTXVideoTransformer3DModel", num_attention_heads=4)
    write_header_only(tmp_path / "own" / "diffusion_pytorch_model.safetensors", other_size())
    project.change_settings(model=str(tmp_path / "own"))
    names = {card.preset.name for card in recipes.preset_cards(project)}
    assert {"ltxv-2b-lora-low-vram", "ltxv-13b-lora-standard"} <= names
    assert not any(name.startswith("practice") for name in names)


def test_validation_prompts_are_captions_of_two_videos_with_the_trigger_in_its_place(
    project: Project,
) -> None:
    project.change_settings(trigger_word="zorbi")
    put_clips(project, 20)
    prompts = recipes.current_recipe(project).validation.prompts
    assert prompts[0] == "{trigger} A dog 0 runs."
    assert prompts[1].startswith("{trigger} A dog 1")
    assert int(prompts[1].split()[3]) >= 10
    project.change_settings(trigger_placement=TriggerPlacement.LAST)
    assert recipes.current_recipe(project).validation.prompts[0] == "A dog 0 runs. {trigger}"
    project.change_settings(trigger_placement=TriggerPlacement.NONE)
    assert recipes.current_recipe(project).validation.prompts[0] == "A dog 0 runs."


def test_a_caption_that_holds_the_trigger_word_gets_no_second_one(project: Project) -> None:
    project.change_settings(trigger_word="zorbi")
    put_clips(project, 3, caption="A zorbi dog {n} runs.")
    assert recipes.current_recipe(project).validation.prompts[0] == "A zorbi dog 0 runs."


def test_without_captions_there_are_no_prompts(project: Project) -> None:
    put_clips(project, 3, caption="")
    assert recipes.current_recipe(project).validation.prompts == ()


def test_a_preset_with_an_unknown_key_is_named_with_the_key(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (places.PRESETS / "practice-style.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("  steps: 700", "  stpes: 700"), encoding="utf-8")
    monkeypatch.setattr(places, "PRESETS", tmp_path)
    with pytest.raises(BadDocument) as caught:
        recipes.preset_cards(project)
    assert "mine.yaml" in caught.value.problem
    assert "recipe.stpes: unknown setting" in caught.value.problem
