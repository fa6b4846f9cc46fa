from __future__ import annotations

from html.parser import HTMLParser

import pytest

from ltx_wizard.ui import components
from ltx_wizard.ui.components import Markup, h, join

EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></textarea></style><b>out</b>",
    "&lt;script&gt; & &amp;",
    "line\nbreak\r\n\u2028",
    "javascript:alert(1)",
    "<!-- comment -->",
    "]]><![CDATA[",
    "a\0b",
    "emoji 👩‍👩‍👧 'quotes' \"double\"",
)


class Reader(HTMLParser):
    """What a browser would see: tags, attributes and text."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.texts: list[str] = []
        self.others: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


@pytest.mark.parametrize("evil", EVIL)
def test_text_stays_text_whatever_it_holds(evil: str) -> None:
    seen = Reader(h("p", evil))
    assert (seen.tags, seen.text, seen.others) == (["p"], evil, [])


@pytest.mark.parametrize("evil", EVIL)
def test_a_value_stays_one_attribute_whatever_it_holds(evil: str) -> None:
    seen = Reader(h("input", value=evil, title=evil, class_=evil))
    assert seen.tags == ["input"]
    assert set(seen.attributes) == {"value", "title", "class"}
    assert seen.attributes["value"] == seen.attributes["title"] == seen.attributes["class"] == evil


@pytest.mark.parametrize("evil", EVIL)
def test_every_card_and_button_keeps_text_as_text(evil: str) -> None:
    made = (
        components.button(evil, evil, value=evil),
        components.icon_button("trash", evil, evil, id=evil),
        components.step_header(1, evil, evil, evil),
        components.error_card(evil, evil, evil),
        components.notice(evil, "warn", evil),
        components.working_card(evil, evil, evil),
        components.empty_state("alert", evil, evil, evil),
        components.badge(evil, evil),
        components.section(evil, evil, note=evil),
    )
    for markup in made:
        harmless = str(markup).replace(str(join(evil)), "plain")
        seen, plain = Reader(markup), Reader(harmless)
        assert seen.tags == plain.tags
        assert set(seen.attributes) == set(plain.attributes)
        assert seen.others == []


@pytest.mark.parametrize("evil", EVIL)
def test_text_made_from_markup_is_text_again(evil: str) -> None:
    """What is cut from or added to markup is a plain string, so it is escaped, never trusted."""
    mixed = h("b", "x") + evil
    assert not isinstance(mixed, Markup)
    assert Reader(h("p", mixed)).tags == ["p"]
    assert not isinstance(f"{h('b', 'x')}", Markup)
    assert not isinstance(h("b", "x").upper(), Markup)


def test_children_may_be_nested_lists_and_numbers_and_nothing() -> None:
    assert h("p", ["a", [h("b", 1), None]], None, 2.5) == "<p>a<b>1</b>2.5</p>"


def test_names_of_attributes_and_switches() -> None:
    made = h("input.a.b", data_job_kind="x", for_="y", disabled=True, checked=False, title=None)
    assert made == '<input class="a b" data-job-kind="x" for="y" disabled>'


def test_a_progress_bar_stays_within_its_frame() -> None:
    for share, width in ((-1, "0.0%"), (0.5, "50.0%"), (7, "100.0%")):
        assert f"width:{width}" in components.progress_bar(share)


def test_the_details_of_a_bug_are_shown_as_text() -> None:
    from ltx_wizard.ui.boundary import attempt

    def broken() -> None:
        raise RuntimeError("<script>alert(1)</script>")

    outcome = attempt(broken)
    assert outcome.failed
    assert "script" not in Reader(outcome.message).tags
    assert "RuntimeError: <script>" in Reader(outcome.message).text


def test_a_failure_for_the_user_is_a_card_with_problem_and_remedy() -> None:
    from ltx_wizard.core.errors import BadInput
    from ltx_wizard.ui.boundary import attempt

    def refused() -> None:
        raise BadInput(problem="The <b>name</b> is empty.", remedy="Type one.")

    outcome = attempt(refused)
    seen = Reader(outcome.message)
    assert outcome.failed
    assert "The <b>name</b> is empty." in seen.text
    assert "Type one." in seen.text
    assert "details" not in seen.tags
