"""The base model in step 1: cards of the catalog, and a model of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from ltx_wizard.app import datasets, projects, system
from ltx_wizard.core.errors import BadInput, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import GIB, bytes_text
from ltx_wizard.ui.boundary import opened
from ltx_wizard.ui.components import NOTHING, Markup, badge, error_card, h, notice
from ltx_wizard.ui.page import Page, Updates, panel

if TYPE_CHECKING:
    from ltx_wizard.app.datasets import ModelSpec

_FIT_TOLERANCE_GIB = 0.5
"""A card of 24 GB reports a little less."""


@dataclass(frozen=True)
class ModelChoice:
    """The panels of the choice. own: where a model of one's own is typed; result: what was made of it."""

    cards: gr.HTML
    own: gr.Textbox
    result: gr.HTML

    def render(self, project: Project | None) -> Updates:
        """Shown from the project; before there is one, with what this computer can train."""
        if project is None:
            return {self.cards: model_cards(proposed_model(), saved=False), self.result: ""}
        return {self.cards: model_cards(project.read_settings().model, saved=True), self.result: ""}


def build(page: Page) -> ModelChoice:
    """Build and wire it. The caller wires a click on one of the cards ('model')."""
    cards = panel("goal-models")
    with gr.Row(elem_classes="wz-own-model"):
        own = gr.Textbox(
            label="Your own model: a folder, a .safetensors file, or a hub repository",
            placeholder="/home/me/models/ltxv-13b-0.9.7-dev.safetensors or owner/name",
            elem_id="goal-own-model",
            max_length=1000,
            scale=1,
        )
        recognise = gr.Button("Recognise", elem_id="goal-recognise", size="sm", scale=0, min_width=120)
    result = panel("goal-own-result")
    page.busy(recognise.click, "Looking at that model ...", result)
    for listener in (recognise.click, own.submit):
        page.light(listener, use_own, [page.project, own], [cards, result])
    return ModelChoice(cards, own, result)


def proposed_model() -> str:
    """The most demanding of the current models that the card holds with ease; the first of several."""
    vram = _vram_gib()
    specs = [spec for spec in datasets.models() if spec.trainable and spec.standing == "current"]
    fitting = [spec for spec in specs if spec.comfortable_vram_gib <= vram + _FIT_TOLERANCE_GIB]
    return max(fitting, key=lambda spec: spec.comfortable_vram_gib).id


def model_cards(chosen: str, saved: bool) -> Markup:
    """chosen: the project's model. saved: whether a click changes a project."""
    chosen = chosen or proposed_model()
    specs = datasets.models()
    current = [_card(spec, chosen, saved) for spec in specs if spec.standing == "current"]
    if all(spec.id != chosen for spec in specs):
        current.append(_own_card(chosen, saved))
    older = [spec for spec in specs if spec.standing == "older"]
    distilled = [spec for spec in specs if spec.standing == "distilled"]
    text_encoder = max(dict(spec.part_gib).get("text_encoder", 0.0) for spec in specs)
    return h(
        "div",
        h("h2", "Base model"),
        h(
            "p.wz-muted",
            "All but the practice model share one text encoder. It is downloaded once: "
            f"{_size(text_encoder)}.",
        ),
        h("div.wz-models", current, role="radiogroup", aria_label="Base model"),
        _fold(
            f"Older versions ({len(older)})",
            "For a LoRA that has to run on one of them.",
            [_card(spec, chosen, saved) for spec in older],
            is_open=any(spec.id == chosen for spec in older),
        ),
        _fold(
            f"Distilled models ({len(distilled)}), for sampling only",
            distilled[0].why_not_trainable,
            [_off_card(spec) for spec in distilled],
        ),
    )


def use_own(path: str, text: str) -> tuple[object, Markup]:
    """Recognise it; with a project open, the project uses it from now on. Failures stand below the field."""
    try:
        spec = _trainable(datasets.recognise_model(text))
        if path:
            projects.update(opened(path), model=spec.id)
    except WizardError as error:
        return gr.skip(), error_card(error.problem, error.remedy)
    what = spec.recognised or spec.title
    return model_cards(spec.id, saved=bool(path)), notice(f"This is {what}. It is chosen above.", "good")


def _trainable(spec: ModelSpec) -> ModelSpec:
    if spec.trainable:
        return spec
    raise BadInput(
        problem=f"This is {spec.recognised or spec.title}. {spec.why_not_trainable}",
        remedy="Choose a dev model of the same size.",
    )


def _card(spec: ModelSpec, chosen: str, saved: bool) -> Markup:
    return h(
        "label.wz-choice.wz-model",
        h("input", type="radio", name="model", value=spec.id, checked=spec.id == chosen,
          data_change="model" if saved else None),
        h("div.wz-grow",
          h("div.wz-line", h("strong", spec.title),
            badge("proposed", "good") if spec.id == proposed_model() else None,
            badge(spec.parameters_text) if spec.parameters_text else None),
          h("p", spec.summary),
          _facts(spec, with_way=saved and spec.id == chosen and spec.min_vram_gib > 0)),
        _fit(spec),
    )  # fmt: skip


def _own_card(model: str, saved: bool) -> Markup:
    """The project's own model; with the reason where it cannot be used any more."""
    try:
        return _card(datasets.spec_of(model), model, saved)
    except WizardError as error:
        return h(
            "label.wz-choice.wz-model",
            h("input", type="radio", name="model", value=model, checked=True),
            h("div.wz-grow", h("strong", model), h("p", f"{error.problem} {error.remedy}")),
            h("span.wz-fit.warn", "cannot be used"),
        )


def _off_card(spec: ModelSpec) -> Markup:
    return h(
        "div.wz-choice.wz-model.is-off",
        h("div.wz-grow",
          h("div.wz-line", h("strong", spec.title), badge(spec.parameters_text)),
          h("p", spec.summary),
          _facts(spec)),
        h("span.wz-fit", "not for training"),
        aria_disabled="true",
        title=spec.why_not_trainable,
    )  # fmt: skip


def _facts(spec: ModelSpec, with_way: bool = False) -> Markup:
    """Licence and what has to come from the hub. with_way: to where it is downloaded, further down."""
    licence = (
        h("a", spec.licence, href=spec.licence_url, target="_blank", rel="noreferrer")
        if spec.licence_url
        else spec.licence
    )
    way = h("button.wz-reset", "To its download", type="button", data_show="#wz-download")
    return h("p.wz-model-facts", _download_text(spec), " · ", licence, [" · ", way] if with_way else None)


def _download_text(spec: ModelSpec) -> str:
    """Without the text encoder, of which the list says once what it weighs."""
    sizes = dict(spec.part_gib)
    has_text = sizes.pop("text_encoder", 0.0) > 0
    if sizes:
        return f"{_size(sum(sizes.values()))} to download{', and the text encoder' if has_text else ''}"
    if has_text:
        return "The text encoder to download"
    return "No download" if spec.local else "the hub tells its size before the download"


def _size(gib: float) -> str:
    return bytes_text(round(gib * GIB))


def _fit(spec: ModelSpec) -> Markup:
    card, vram = system.first_gpu(), _vram_gib()
    fits = spec.min_vram_gib <= vram + _FIT_TOLERANCE_GIB
    if not spec.min_vram_gib:
        words = "needs no graphics card"
    else:
        have = f"you have {vram:.0f}" if card else "none found"
        quick = spec.comfortable_vram_gib
        better = f", better {quick:.0f}" if quick > spec.min_vram_gib else ""
        words = f"needs {spec.min_vram_gib:.0f} GB graphics memory{better}; {have}"
    return h("span.wz-fit", words, class_="good" if fits else "warn")


def _fold(title: str, sentence: str, cards: Sequence[Markup], is_open: bool = False) -> Markup:
    if not cards:
        return NOTHING
    return h(
        "details.wz-more-models",
        h("summary", title),
        h("p.wz-muted", sentence),
        h("div.wz-models", list(cards)),
        open=is_open,
    )


def _vram_gib() -> float:
    card = system.first_gpu()
    return card.vram_gib if card else 0.0
