"""Step 6: how to train. All settings are drawn by assets/js/recipe.js from core/recipe.py."""

from __future__ import annotations

import json
from itertools import groupby

import gradio as gr

from ltx_wizard.app import datasets, recipes
from ltx_wizard.app.recipes import Advice, PresetCard
from ltx_wizard.core.errors import BadSetting
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import RECIPE_GROUPS, Recipe, SettingInfo, recipe_settings, setting_value
from ltx_wizard.ui.boundary import Outcome, opened
from ltx_wizard.ui.components import Markup, badge, empty_state, h, icon, step_header
from ltx_wizard.ui.page import Data, Page, StepView, Updates, live_panel, panel

_SHOWN_FIRST = ("steps", "lora.rank", "optimizer.lr", "validation.every", "checkpoints.every")
_LEVEL_WORDS = {"draft": "Draft", "balanced": "Balanced", "best": "Best"}


def build(page: Page) -> StepView:
    head = panel("recipe-head")
    notice_card = panel("recipe-notice")
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
        settings = live_panel("recipe")
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="recipe-back")
        primary = gr.Button("Use this recipe", variant="primary", elem_id="recipe-primary")

    def render(project: Project | None) -> Updates:
        assert project is not None
        if not datasets.clips(project):
            return {
                head: _head(None),
                presets: _empty(),
                advice: "",
                settings: "",
                primary: gr.update(interactive=False),
            }
        recipe = recipes.current_recipe(project)
        return {
            head: _head(recipe),
            presets: _preset_cards(recipes.preset_cards(project), recipe),
            advice: _advice(recipes.advice(project), recipe),
            prompts: "\n".join(recipe.validation.prompts),
            settings: json.dumps(_settings_json(project, recipe)),
            primary: gr.update(interactive=True),
        }

    page.on_act(presets, {"preset": _choose_preset})
    page.on_act(settings, {"set": _set, "reset": _reset})
    page.on(prompts.blur, _set_prompts, [prompts])
    page.on(back.click, lambda path: Outcome(go_to="check"))
    page.on(primary.click, _use)
    return StepView("recipe", "Recipe", notice_card, render)


def _use(path: str) -> Outcome:
    project = opened(path)
    recipes.save_recipe(project, recipes.current_recipe(project))
    return Outcome(go_to="train")


def _choose_preset(path: str, data: Data) -> None:
    recipes.choose_preset(opened(path), data["value"])


def _set_prompts(path: str, text: str) -> None:
    prompts = tuple(line.strip() for line in text.splitlines() if line.strip())
    project = opened(path)
    if prompts != recipes.current_recipe(project).validation.prompts:
        recipes.change_setting(project, "validation.prompts", prompts)


def _set(path: str, data: Data) -> None:
    recipes.change_setting(opened(path), data["key"], _parsed(_info(data["key"]), data["value"]))


def _reset(path: str, data: Data) -> None:
    project, info = opened(path), _info(data["key"])
    recipes.change_setting(project, info.key, setting_value(recipes.preset_recipe(project), info.key))


def _info(key: str) -> SettingInfo:
    for info in recipe_settings():
        if info.key == key:
            return info
    raise BadSetting(problem=f"There is no setting called {key}.", remedy="Reload the page.")


def _parsed(info: SettingInfo, text: str) -> object:
    """What was typed, as the setting's kind. Ranges are checked where the recipe is."""
    try:
        if info.kind == "integer":
            return int(float(text.replace(",", "")))
        if info.kind == "number":
            return float(text)
    except ValueError:
        raise BadSetting(
            problem=f"'{text}' is not a number.", remedy="Type a number, such as 0.0002."
        ) from None
    if info.kind == "switch":
        return text == "true"
    if info.kind == "list":
        separator = "\n" if "prompts" in info.key else None
        return tuple(part.strip() for part in text.split(separator) if part.strip())
    return text


def _head(recipe: Recipe | None) -> Markup:
    sentence = (
        "A preset that fits this computer, adapted to your goal and dataset. Everything can be changed."
    )
    status = (
        f"{recipe.title or recipe.name}: {recipe.steps:,} steps, rank {recipe.lora.rank}" if recipe else ""
    )
    return step_header(6, "Recipe", sentence, status)


def _empty() -> Markup:
    return empty_state(
        "sliders", "No dataset yet", "Rank, steps and learning rate follow from your clips: cut some first."
    )


def _preset_cards(cards: list[PresetCard], recipe: Recipe) -> Markup:
    return h(
        "div.wz-presets",
        [_preset_card(card, recipe) for card in cards],
        role="radiogroup",
        aria_label="Preset",
    )


def _preset_card(card: PresetCard, recipe: Recipe) -> Markup:
    preset = card.preset
    need = f"{preset.min_vram_gib:g} GB card" if preset.min_vram_gib else "no graphics card needed"
    return h(
        "label.wz-choice.wz-preset",
        h("input", type="radio", name="preset", value=preset.name, checked=preset.name == recipe.name,
          data_change="preset"),
        h("div.wz-line", badge(_LEVEL_WORDS[preset.level], preset.level), h("strong", preset.title)),
        h("p", preset.for_whom),
        h("div.wz-facts",
          h("span", icon("chip"), need),
          h("span", icon("film"), ", ".join(preset.recipe.data.buckets) or "model's size"),
          h("span", icon("chart"), f"{preset.recipe.steps:,} steps")),
        h("p.wz-muted", f"Memory figure: {preset.vram_source}") if preset.min_vram_gib else None,
        h("p", card.reason, class_="wz-fit " + ("good" if card.fits else "warn")),
        class_="" if card.fits else "is-unfit",
    )  # fmt: skip


def _advice(advice: list[Advice], recipe: Recipe) -> Markup:
    """The settings that matter, each with why it has this value."""
    reasons = {item.key: item for item in advice}
    keys = [*reasons, *(key for key in _SHOWN_FIRST if key not in reasons)]
    infos = {info.key: info for info in recipe_settings()}
    explained = [
        (key, reasons[key].reason if key in reasons else infos[key].description)
        for key in keys
        if key in infos
    ]
    rows = [
        h(
            "tr",
            h("td", setting_title(key)),
            h("td.num", h("strong", value_text(setting_value(recipe, key)))),
            h("td.wz-why", why, rowspan=rows if rows > 1 else None) if rows else None,
        )
        for key, why, rows in _reasons_said_once(explained)
    ]
    return h(
        "section.wz-section",
        h("h2", "What follows from your goal and dataset"),
        h("div.wz-table-box", h("table.wz-table.wz-advice", h("tbody", rows))),
    )


def _reasons_said_once(explained: list[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """Key, reason, and the rows that the reason spans: 0 where the row above says it already."""
    spans: list[tuple[str, str, int]] = []
    for _, group in groupby(explained, key=lambda item: item[1]):
        same = list(group)
        spans += [(key, why, 0 if index else len(same)) for index, (key, why) in enumerate(same)]
    return spans


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


def setting_title(key: str) -> str:
    """'optimizer.weight_decay' -> 'Weight decay'."""
    name = key.rsplit(".", 1)[-1]
    special = {"lr": "Learning rate", "every": "Every N steps", "keep": "Checkpoints kept", "name": "Kind"}
    if key == "validation.every":
        return "Samples every N steps"
    if key == "checkpoints.every":
        return "Checkpoint every N steps"
    return special.get(name, name.replace("_", " ").capitalize())


def value_text(value: object) -> str:
    """As it is typed: 0.0002, 1500, true, 'a b c'."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, (tuple, list)):
        texts = [str(item) for item in value]
        return ("\n" if any(" " in text for text in texts) else " ").join(texts)
    return str(value)
