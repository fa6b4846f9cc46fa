"""Runs over each other on one plot, by the page's own script. Answers are made up and come when told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [pytest.mark.browser]

SCRIPT = Path(__file__).parents[2] / "assets" / "js" / "runs.js"
STEPS, EVERY, MOST_ROWS, SECONDS_A_STEP = 20_000, 1_000, 8_000, 3

_STAND_IN = """({ steps, every, most, seconds }) => {
  const made = { waiting: [], held: false, lines: new Map() };
  const el = (tag, attributes = {}, ...children) => {
    const [name, ...classes] = tag.split("."), element = document.createElement(name);
    element.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (key in element) element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children.flat().filter((child) => child != null));
    return element;
  };
  /* What stands on the plot; a line is known from define on. */
  const plot = () => ({
    define: (wanted) => {
      const before = made.lines;
      made.lines = new Map(wanted.map(({ key }) => [key, before.get(key) || []]));
    },
    add: (key, xs) => { made.lines.get(key)?.push(...xs); },
    clear: (key) => { for (const [name, xs] of made.lines) if (!key || name === key) xs.length = 0; },
    axis: () => {}, extent: () => {},
  });
  /* Runs whose last three steps were no numbers, and are missing; each in answers of so many steps. */
  const names = ["a", "b", "c", "d", "e", "f"], count = steps - 3;
  const curves = (query) => {
    const from = Math.min(+query.get("rows"), count), end = Math.min(count, from + most);
    const step = Array.from({ length: end - from }, (_, at) => from + at + 1);
    const checks = Array.from({ length: steps / every + 1 }, (_, at) => ({ step: at * every, loss: at }));
    return {
      generation: 1, from, more: end < count, over: true,
      validations: checks.slice(+query.get("validations")),
      rows: { step, loss: step.map(() => 0.5), step_s: step.map(() => seconds) },
    };
  };
  const answer = (address) => {
    const [path, query] = address.split("?");
    if (path.endsWith("/curves")) return curves(new URLSearchParams(query));
    const state = "finished", changes = [];
    const runs = names.map((name) => ({ name, title: name, state, step: steps, steps, changes }));
    return path.endsWith("/compare") ? { runs, differences: [], best: "", caution: "" } : { runs };
  };
  const fetchJson = (address) => new Promise((done) => {
    const tell = () => done(answer(address));
    if (made.held && address.includes("/curves")) made.waiting.push(tell); else setTimeout(tell);
  });
  document.documentElement.dataset.step = "train";
  window.wizard = { el, fetchJson, plot, define: (_, make) => { made.make = make; } };
  window.made = made;
}"""
_OPEN = """() => {
  const root = document.body.appendChild(document.createElement("div"));
  made.make(root, () => {})({ project: "p", runs: [{}, {}] });
  root.querySelector("details").open = true;
}"""
_TICK = "name => document.querySelector(`input[aria-label='Show ${name}']`).click()"
_WHOLE = """([runs, rows, dots]) => made.lines.size === 2 * runs && [...made.lines].every(([key, line]) =>
  line.length >= (key.endsWith(" v") ? dots : rows))"""
_LINES = "() => Object.fromEntries([...made.lines].map(([key, line]) => [key, line]))"


@pytest.fixture
def page(browser: Any) -> Any:
    made = browser.new_page()
    made.set_content("<html><body></body></html>")
    made.evaluate(_STAND_IN, {"steps": STEPS, "every": EVERY, "most": MOST_ROWS, "seconds": SECONDS_A_STEP})
    made.add_script_tag(content=SCRIPT.read_text(encoding="utf-8"))
    yield made
    made.close()


def shown(page: Any, runs: int) -> dict[str, list[float]]:
    """The x of each line, once all of that many runs is there."""
    page.wait_for_function(_WHOLE, arg=[runs, STEPS - 3, STEPS // EVERY + 1], timeout=60_000)
    lines: dict[str, list[float]] = json.loads(page.evaluate(f"() => JSON.stringify(({_LINES})())"))
    return lines


def minute(step: int) -> float:
    return min(step, STEPS - 3) * SECONDS_A_STEP / 60


def test_over_training_time_every_validation_of_long_runs_stands_at_the_minute_of_its_step(page: Any) -> None:
    page.evaluate(_OPEN)
    shown(page, 4)
    page.get_by_role("button", name="Training time").click()
    page.evaluate(_TICK, "e")
    page.evaluate(_TICK, "f")
    lines = shown(page, 6)
    for name in "abcdef":
        assert len(lines[name]) == STEPS - 3
        assert lines[f"{name} v"] == [pytest.approx(minute(step)) for step in range(0, STEPS + 1, EVERY)], (
            name
        )


def test_an_answer_that_comes_late_is_not_drawn_twice_and_cuts_no_run_short(page: Any) -> None:
    page.evaluate("() => { made.held = true; }")
    page.evaluate(_OPEN)
    page.wait_for_function("() => made.waiting.length === 1")
    page.evaluate(_TICK, "e")  # while the first answer of run a is on its way
    page.wait_for_function("() => made.waiting.length === 2")
    page.evaluate("() => { made.held = false; for (const tell of made.waiting) tell(); }")
    lines = shown(page, 5)
    for name in "abcde":
        assert lines[name] == list(range(1, STEPS - 2)), name
        assert lines[f"{name} v"] == list(range(0, STEPS + 1, EVERY)), name
