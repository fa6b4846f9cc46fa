"""HTML of the window. Text can never become markup: plain strings are escaped, only `h` makes tags."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Union

from ltx_wizard.ui.icons import icon_svg

Attribute = Union[str, int, float, bool, None]  # noqa: UP007 - a runtime alias for Python 3.10


class Markup(str):
    """HTML made by `h`. Every other string is text."""


NOTHING = Markup("")


Child = Union[Markup, str, int, float, None, Iterable["Child"]]  # noqa: UP007
_VOID = frozenset({"img", "input", "br", "hr", "source"})


def h(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """One element: h("div.card", "text", data_do="open"). Text and attribute values are escaped.

    Attribute names: '_' becomes '-', a '_' at the end is dropped. None and False leave the attribute out.
    """
    name, *classes = tag.split(".")
    extra = attributes.pop("class_", None)
    all_classes = " ".join([*classes, *([str(extra)] if extra else [])])
    parts = [f' class="{html.escape(all_classes)}"'] if all_classes else []
    parts += [
        _attribute(key, value)
        for key, value in attributes.items()
        if value is not None and value is not False
    ]
    opening = f"<{name}{''.join(parts)}>"
    return Markup(opening if name in _VOID else f"{opening}{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Children one after the other, text escaped."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        return Markup(html.escape(children))
    if isinstance(children, (int, float)):
        return Markup(html.escape(str(children)))
    return Markup("".join(join(child) for child in children))


def icon(name: str) -> Markup:
    """An icon of the set in icons.py."""
    return Markup(icon_svg(name))


def button(label: str, do: str, *, look: str = "", symbol: str = "", **data: Attribute) -> Markup:
    """A button inside a panel: a click sends its `data-` attributes to the panel's listener."""
    attributes = {f"data_{key}": value for key, value in data.items()}
    content = [icon(symbol) if symbol else None, h("span", label)]
    return h("button.wz-btn", *content, class_=look, type="button", data_do=do, **attributes)


def icon_button(symbol: str, title: str, do: str, **data: Attribute) -> Markup:
    """A small button with a picture; `title` is what it does."""
    attributes = {f"data_{key}": value for key, value in data.items()}
    return h(
        "button.wz-icon-btn",
        icon(symbol),
        type="button",
        title=title,
        aria_label=title,
        data_do=do,
        **attributes,
    )


def go_button(title: str, step: str) -> Markup:
    """The way from an empty step to the one that fills it."""
    return h("button.wz-btn.soft", h("span", f"Go to {title}"), type="button", data_go=step)


def step_header(number: int, title: str, sentence: str, status: str = "") -> Markup:
    """The head of a step: what happens here and why, and what it has produced."""
    return h(
        "header.wz-step-head",
        h("div", h("h1", h("span.wz-num", number), title), h("p", sentence)),
        h("div.wz-status", status) if status else None,
    )


def error_card(problem: str, remedy: str, details: str = "") -> Markup:
    """What went wrong and what to do. Stays until the next action."""
    return h(
        "div.wz-notice.wz-bad",
        icon("alert"),
        h(
            "div",
            h("strong", problem),
            h("p", remedy),
            h("details", h("summary", "Details"), h("pre", details)) if details else None,
        ),
        h("button.wz-icon-btn.wz-dismiss", icon("x"), type="button", title="Close", data_dismiss="1"),
        role="alert",
    )


def notice(text: str, kind: str = "good", more: Child = None) -> Markup:
    """A short message. kind: good, warn or info."""
    symbol = {"good": "check", "warn": "alert", "info": "info"}[kind]
    return h(
        "div.wz-notice", icon(symbol), h("div", h("strong", text), more), class_=f"wz-{kind}", role="status"
    )


def working_card(kind: str, title: str, hint: str = "", now: Mapping[str, object] | None = None) -> Markup:
    """A running job; the page's poller fills in progress, rate and time left. now: as the poller would, so
    that a card that is drawn anew does not jump back to its start.
    """
    text, share = _job_progress(now or {})
    return h(
        "div.wz-working",
        h("div.wz-working-row", h("span.wz-spinner"), h("strong", title), h("span.wz-grow"),
          h("span.wz-muted", text, data_job_text="1"),
          button("Stop", "stop_job", look="small quiet", symbol="stop")),
        h("div.wz-bar", h("i", data_job_bar="1", style=f"width:{100 * share:.1f}%")),
        h("p.wz-muted", hint) if hint else None,
        data_job=kind,
    )  # fmt: skip


def empty_state(symbol: str, title: str, text: str, action: Child = None) -> Markup:
    """What will be here, and the button that fills it."""
    return h("div.wz-empty", h("div.wz-empty-icon", icon(symbol)), h("h3", title), h("p", text), action)


def badge(text: str, kind: str = "") -> Markup:
    return h("span.wz-badge", text, class_=kind)


def progress_bar(share: float, kind: str = "") -> Markup:
    """share: 0 to 1."""
    return h("div.wz-bar", h("i", style=f"width:{100 * min(1.0, max(0.0, share)):.1f}%"), class_=kind)


def section(title: str, *children: Child, note: str = "") -> Markup:
    """A titled part of a work area."""
    return h(
        "section.wz-section", h("h2", title), h("p.wz-muted", note) if note else None, h("div", *children)
    )


def _job_progress(now: Mapping[str, object]) -> tuple[str, float]:
    """(text, share) of a job as assets/js/wizard.js shows it."""
    if now.get("stopping"):
        text = "stopping after this step ..."
    else:
        text = " · ".join(str(now[key]) for key in ("text", "left") if now.get(key)) or "starting"
    done, total = now.get("done"), now.get("total")
    if not isinstance(done, int) or not isinstance(total, int) or total <= 0:
        return text, 0.0
    return text, min(1.0, done / total)


def _attribute(name: str, value: str | int | float | bool) -> str:
    key = name.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{html.escape(str(value))}"'
