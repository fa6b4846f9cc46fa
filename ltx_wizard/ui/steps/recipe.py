"""Step 6: how to train. All settings are drawn by assets/js/recipe.js from core/recipe.py."""

from __future__ import annotations

import json
from itertools import groupby

import gradio as gr

from ltx_wizard.app import datasets, memory_plan, recipes, saved_recipes, settings
from ltx_wizard.app.memory_plan import Plan
from ltx_wizard.app.recipes import Advice, PresetCard
from ltx_wizard.app.refusals import recipe_problem
from ltx_wizard.core.errors import BadSetting
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import (
    RECIPE_GROUPS,
    Preset,
    Recipe,
    SettingInfo,
    recipe_settings,
    setting_value,
    typed_setting,
)
from ltx_wizard.ui.boundary import UNCHANGED, Outcome, opened
from ltx_wizard.ui.components import Markup, badge, empty_state, go_button, h, icon, step_header
from ltx_wizard.ui.memory_bar import plan_panel, small_bar
from ltx_wizard.ui.page import Data, Page, StepView, Updates, live_panel, panel
from ltx_wizard.ui.words import setting_title, value_text

_SHOWN_FIRST = ("steps", "lora.rank", "optimizer.lr", "validation.every", "checkpoints.every")
_LEVEL_WORDS = {"draft": "Draft", "balanced": "Balanced", "best": "Best"}


def build(page: Page) -> StepView:
    head = panel("recipe-head")
    notice_card = panel("recipe-notice")
    plan = panel("recipe-plan")
    presets = panel("recipe-presets")
    advice = panel("recipe-advice")
    prompts = gr.Textbox(
        label="Validation prompts, one per line",
        info="Samples of these are made while training, always with the same seed. "
        "{trigger} stands for the trigger word.",
        lines=3,
        max_lines=8,
        elem_id="recipe-prompts",
    )
    with gr.Accordion(
        "Advanced: every setting", open=False, elem_classes="wz-advanced", elem_id="recipe-advanced"
    ):
        every_setting = live_panel("recipe")
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="recipe-back")
        primary = gr.Button("Use this recipe", variant="primary", elem_id="recipe-primary")

    def render(project: Project | None) -> Updates:
        assert project is not None
        if not datasets.clips(project):
            return {
                head: _head(None, ""),
                plan: "",
                presets: _empty(),
                advice: "",
                every_setting: "",
                primary: gr.update(interactive=False),
            }
        recipe = recipes.current_recipe(project)
        return {
            head: _head(recipe, saved_recipes.kept_for_another(project)),
            plan: _plan(project, recipe),
            presets: _preset_cards(recipes.preset_cards(project), recipe),
            advice: _advice(recipes.advice(project), recipe),
            prompts: "\n".join(recipe.validation.prompts),
            every_setting: json.dumps(_settings_json(project, recipe)),
            primary: gr.update(interactive=True),
        }

    page.on_act(presets, {"preset": _choose_preset})
    page.on_act(plan, {"remedy": _apply_remedy, "anyway": _train_anyway})
    page.on_act(every_setting, {"set": _set, "reset": _reset})
    page.on(prompts.blur, _set_prompts, [prompts])
    page.on(back.click, lambda path: Outcome(go_to="check"))
    page.on(primary.click, _use)
    return StepView("recipe", "Recipe", notice_card, render)


def _use(path: str) -> Outcome:
    project = opened(path)
    saved_recipes.save_recipe(project, recipes.current_recipe(project))
    return Outcome(go_to="train")


def _choose_preset(path: str, data: Data) -> None:
    recipes.choose_preset(opened(path), data["value"])


def _apply_remedy(path: str, _data: Data) -> None:
    """Change what the plan says, as it says it now: another tab may have changed the recipe."""
    project = opened(path)
    helps = memory_plan.plan(project, recipes.current_recipe(project)).remedy
    if helps is not None:
        recipes.change_settings(project, helps.changes)


def _train_anyway(_path: str, _data: Data) -> None:
    settings.set_ignore_memory_plan(not settings.read_app_settings().ignore_memory_plan)


def _plan(project: Project, recipe: Recipe) -> Markup:
    ignored = settings.read_app_settings().ignore_memory_plan
    refused = recipe_problem(recipe, datasets.model_spec(project))
    return plan_panel(memory_plan.plan(project, recipe), ignored, refused)


def _set_prompts(path: str, text: str) -> Outcome | None:
    prompts = typed_setting("validation.prompts", text)
    project = opened(path)
    if prompts == recipes.current_recipe(project).validation.prompts:
        return UNCHANGED
    recipes.change_setting(project, "validation.prompts", prompts)
    return None


def _set(path: str, data: Data) -> None:
    key, value = data["key"], typed_setting(data["key"], data["value"])
    _refuse_outside(key, value)
    recipes.change_setting(opened(path), key, value)


def _refuse_outside(key: str, value: object) -> None:
    """In the words of the page; what else can be wrong with a value is told where it is saved."""
    info = next(info for info in recipe_settings() if info.key == key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    least, most = info.minimum, info.maximum
    if (least is not None and value < least) or (most is not None and value > most):
        limits = f"from {least:g} on" if most is None else f"up to {most:,g}" if least is None else ""
        raise BadSetting(
            problem=f"{setting_title(key)} goes {limits or f'from {least:g} to {most:,g}'}.",
            remedy="Give another value. Nothing was changed.",
        )


def _reset(path: str, data: Data) -> None:
    project, key = opened(path), data["key"]
    recipes.change_setting(project, key, setting_value(recipes.preset_recipe(project), key))


def _head(recipe: Recipe | None, kept_for: str) -> Markup:
    """kept_for: another model, for which a recipe was made by hand."""
    sentence = (
        "A preset that fits this computer, adapted to your goal and dataset. Everything can be changed."
    )
    if kept_for:
        sentence += f" Your recipe for {kept_for} is kept, and comes back with that model."
    status = (
        f"{recipe.title or recipe.name}: {recipe.steps:,} steps, rank {recipe.lora.rank}" if recipe else ""
    )
    return step_header(6, "Recipe", sentence, status)


def _empty() -> Markup:
    return empty_state(
        "sliders",
        "No dataset yet",
        "Rank, steps and learning rate follow from your clips: cut some first.",
        go_button("Scenes", "scenes"),
    )


def _preset_cards(cards: list[PresetCard], recipe: Recipe) -> Markup:
    """Those for this size of card, and the chosen one; the others in a fold below."""
    first = [card for card in cards if card.of_this_size or card.preset.name == recipe.name]
    others = [card for card in cards if card not in first]
    return h(
        "div.wz-preset-groups",
        h("div.wz-presets", [_preset_card(card, recipe) for card in first]),
        h(
            "details.wz-other-presets",
            h("summary", f"{len(others)} presets for other cards"),
            h("div.wz-presets", [_preset_card(card, recipe) for card in others]),
        )
        if others
        else None,
        role="radiogroup",
        aria_label="Preset",
    )


def _preset_card(card: PresetCard, recipe: Recipe) -> Markup:
    preset, plan = card.preset, card.plan
    return h(
        "label.wz-choice.wz-preset",
        h("input", type="radio", name="preset", value=preset.name, checked=preset.name == recipe.name,
          data_change="preset"),
        h("div.wz-line", badge(_LEVEL_WORDS[preset.level], preset.level), h("strong", preset.title)),
        h("p", preset.for_whom),
        h("div.wz-facts", [h("span", icon(symbol), text) for symbol, text in _facts(preset, plan)]),
        small_bar(plan, preset.measured),
        h("p.wz-muted", _memory_source(preset)) if preset.min_vram_gib else None,
        h("p.wz-muted", preset.limits) if preset.limits else None,
        h("p", card.reason, class_="wz-fit " + ("good" if card.fits else "warn")),
        class_="" if card.fits else "is-unfit",
    )  # fmt: skip


def _facts(preset: Preset, plan: Plan) -> list[tuple[str, str]]:
    """(icon, text): card, size, length, time, disk."""
    time = plan.budget.time
    facts = [
        ("film", ", ".join(preset.recipe.data.buckets) or "model's size"),
        ("chart", f"{preset.recipe.steps:,} steps"),
    ]
    if preset.min_vram_gib:
        facts.insert(0, ("chip", f"{preset.min_vram_gib:g} GB card"))
        facts.append(("folder", f"{plan.budget.disk.total:.1f} GB on disk"))
    if time is not None:
        facts.append(("clock", memory_plan.about_text(time.total)))
    return facts


def _memory_source(preset: Preset) -> str:
    """'Measured 13.2 GB on an NVIDIA H100 limited to 15 GB, 2026-11-25.'"""
    if preset.measured is None:
        return "Memory predicted, not yet measured with this preset."
    text = preset.measured.text
    return f"{text[:1].upper()}{text[1:]}."


def _advice(advice: list[Advice], recipe: Recipe) -> Markup:
    """The settings that matter, each with why it has this value; a reason that several share stands once."""
    reasons = {item.key: item for item in advice}
    keys = [*reasons, *(key for key in _SHOWN_FIRST if key not in reasons)]
    infos = {info.key: info for info in recipe_settings()}
    explained = [
        (key, reasons[key].reason if key in reasons else infos[key].description)
        for key in keys
        if key in infos
    ]
    return h(
        "section.wz-section",
        h("h2", "What follows from your goal and dataset"),
        h("dl.wz-advice", [_advice_row(keys, why, recipe) for why, keys in _by_reason(explained)]),
    )


def _advice_row(keys: list[str], why: str, recipe: Recipe) -> Markup:
    values = [
        h("div", h("dt", setting_title(key)), h("dd.num", value_text(setting_value(recipe, key))))
        for key in keys
    ]
    return h("div.wz-advice-row", h("div.wz-advice-values", values), h("p.wz-why", why))


def _by_reason(explained: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """(reason, keys) of neighbours that share a reason."""
    return [(why, [key for key, _ in group]) for why, group in groupby(explained, key=lambda item: item[1])]


def _settings_json(project: Project, recipe: Recipe) -> dict[str, object]:
    base = recipes.preset_recipe(project)
    groups = {"": "Length and seed", **RECIPE_GROUPS}
    return {
        "groups": [
            {
                "title": title,
                "settings": [
                    _setting_json(info, recipe, base) for info in recipe_settings() if info.group == group
                ],
            }
            for group, title in groups.items()
        ]
    }


def _setting_json(info: SettingInfo, recipe: Recipe, base: Recipe) -> dict[str, object]:
    value, default = setting_value(recipe, info.key), setting_value(base, info.key)
    return {
        "key": info.key,
        "title": setting_title(info.key),
        "kind": info.kind,
        "value": value_text(value),
        "default": value_text(default),
        "changed": value != default,
        "minimum": info.minimum,
        "maximum": info.maximum,
        "choices": info.choices,
        "description": info.description,
    }
