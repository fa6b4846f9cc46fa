"""The memory plan as the window shows it: one line, a bar against the card, and what is in it."""

from __future__ import annotations

from ltx_wizard.app import memory_plan
from ltx_wizard.app.memory_plan import DESKTOP_GIB, Phase, Plan
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.recipe import MeasuredPeak
from ltx_wizard.ui.components import Markup, button, h, icon

_PARTS = (
    ("weights", "weights"),
    ("lora", "LoRA and optimizer"),
    ("activations", "activations"),
    ("reserve", "reserve"),
)
_LOOKS = {
    "processor": "good",
    "fits": "good",
    "no_card": "info",
    "tight": "warn",
    "unfit": "bad",
    "no_room": "bad",
}
_ICONS = {"good": "check", "info": "info", "warn": "alert", "bad": "alert"}


def plan_panel(plan: Plan, ignored: bool, refused: WizardError | None = None) -> Markup:
    """On top of the step Recipe. ignored: the user trains even what does not fit. refused: why no computer
    trains this recipe.
    """
    if refused is not None:
        return h(
            "section.wz-plan.is-bad",
            h("div.wz-plan-line", icon("alert"), h("strong", refused.problem)),
            h("p.wz-muted", refused.remedy),
            data_verdict="refused",
        )
    look = "warn" if plan.verdict == "fits" and plan.short_of_ram else _LOOKS[plan.verdict]
    largest = plan.largest
    return h(
        "section.wz-plan",
        h("div.wz-plan-line", icon(_ICONS[look]), h("strong", memory_plan.headline(plan)), h("span.wz-grow"),
          _remedy_button(plan)),
        h("p.wz-muted", memory_plan.detail(plan)) if memory_plan.detail(plan) else None,
        _bar(largest, plan.budget.context, _scale(plan)) if largest else None,
        _legend(largest, plan) if largest else None,
        _fold(plan, ignored) if largest or plan.verdict == "no_room" else None,
        class_=f"is-{look}",
        data_verdict=plan.verdict,
    )  # fmt: skip


def small_bar(plan: Plan, measured: MeasuredPeak | None) -> Markup | None:
    """One bar for a preset's card: its peak, measured where it was, against the card that it is seen on."""
    largest = plan.largest
    if largest is None:
        return None
    used = measured.peak_gib + plan.budget.context if measured else plan.used
    scale = _scale(plan)
    over = bool(plan.card) and used > scale
    of = f" of {plan.card.vram_gib:.0f}" if plan.card else ""
    return h(
        "div.wz-small-bar",
        h("div.wz-bar.thin", h("i", style=f"width:{min(100.0, 100 * used / scale):.1f}%"),
          class_="is-over" if over else ""),
        h("span.num", f"{used:.1f}{of} GB"),
        title="At the peak, the driver's share included",
    )  # fmt: skip


def _remedy_button(plan: Plan) -> Markup | None:
    if plan.remedy is None:
        return None
    words = plan.remedy.text
    return button(
        f"{words[:1].upper()}{words[1:]}: {memory_plan.after_remedy(plan):.1f} GB", "remedy", look="soft"
    )


def _scale(plan: Plan) -> float:
    """What the whole width of a bar stands for, in GB."""
    return plan.card.vram_gib if plan.card else max(plan.card_size, plan.budget.card)


def _bar(phase: Phase, context: float, scale: float) -> Markup:
    """Segments one after the other; what lies beyond the end of the card is marked."""
    total = phase.total + context + DESKTOP_GIB
    whole = max(scale, total)
    sizes = [(name, getattr(phase, name) + (context if name == "reserve" else 0.0)) for name, _ in _PARTS]
    segments = [_segment(name, size, whole) for name, size in [*sizes, ("desktop", DESKTOP_GIB)]]
    end = (
        h("b", style=f"left:{100 * scale / whole:.2f}%", title="beyond your card") if total > scale else None
    )
    words = f"{phase.title}: {phase.total + context:.1f} of {scale:.0f} GB"
    return h("div.wz-memory", segments, end, role="img", aria_label=words, title=words)


def _segment(name: str, size: float, whole: float) -> Markup:
    title = dict(_PARTS).get(name, "left to the desktop")
    return h(
        "i", style=f"width:{100 * size / whole:.2f}%", title=f"{title}: {size:.1f} GB", class_=f"is-{name}"
    )


def _legend(phase: Phase, plan: Plan) -> Markup:
    sizes = {name: getattr(phase, name) for name, _ in _PARTS}
    sizes["reserve"] += plan.budget.context
    return h(
        "div.wz-legend.wz-memory-legend",
        h("span", f"Peak while {_while(phase)}:"),
        [h("span.wz-legend-item", h("i", class_=f"is-{name}"), f"{title} {sizes[name]:.1f}")
         for name, title in _PARTS],
        h("span.wz-legend-item", h("i.is-desktop"), f"desktop {DESKTOP_GIB:g}"),
    )  # fmt: skip


def _while(phase: Phase) -> str:
    return {"training": "training"}.get(phase.name, phase.title[:1].lower() + phase.title[1:])


def _fold(plan: Plan, ignored: bool) -> Markup:
    needed = plan.budget
    rows = [
        h("div.wz-phase", h("span", phase.title), _bar(phase, needed.context, _scale(plan)),
          h("span.num", f"{phase.total + needed.context:.1f} GB"))
        for phase in needed.phases
    ]  # fmt: skip
    ram = f"Main memory: about {needed.ram:.0f} GB." if plan.memory.records else ""
    return h(
        "details.wz-plan-fold",
        h("summary", "Each phase, disk, and where these numbers come from"),
        h("div.wz-phases", rows),
        h("p.wz-muted", memory_plan.disk_text(needed.disk), f" {ram}" if ram else None),
        h("p.wz-muted", f"Predicted. {memory_plan.source_text(plan.memory)}"),
        _anyway(ignored) if plan.verdict in ("unfit", "no_room") or ignored else None,
    )


def _anyway(ignored: bool) -> Markup:
    return h(
        "label.wz-check",
        h("input", type="checkbox", checked=ignored, data_change="anyway"),
        "Train all the same, in every project",
    )
