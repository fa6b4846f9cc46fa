from __future__ import annotations

import re

import pytest

from ltx_wizard.app import memory_plan
from ltx_wizard.app.memory_plan import Plan, plan_for
from ltx_wizard.app.system import Gpu
from ltx_wizard.core.errors import BadSetting
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import MeasuredPeak, Recipe, with_settings
from ltx_wizard.ui.memory_bar import plan_panel, small_bar
from ltx_wizard.ui.steps.recipe import _by_reason

pytestmark = pytest.mark.usefixtures("fixed_memory_model")

CLIPS = {"768x512x49": 12}


def plan(project: Project, card_gib: float, **changes: object) -> Plan:
    project.change_settings(model="ltxv-13b-0.9.7-dev")
    given = {key.replace("__", "."): value for key, value in changes.items()}
    recipe = with_settings(Recipe(), {"lora.rank": 32, "validation.prompts": ("a",), **given})
    card = Gpu("RTX 4090", card_gib, 1.0, 40, "580") if card_gib else None
    return plan_for(project, recipe, CLIPS, card)


def widths(html: str) -> list[float]:
    """Of the segments of the first bar, in per cent."""
    first = html[html.index("wz-memory") : html.index("wz-legend")]
    return [float(width) for width in re.findall(r"width:([0-9.]+)%", first)]


def test_the_line_on_top_says_that_it_fits_and_the_bar_ends_before_the_card(project: Project) -> None:
    made = plan(project, 48.0)
    html = plan_panel(made, ignored=False)
    assert f"<strong>Fits: {made.used:.1f} of 48 GB; about " in html
    assert sum(widths(html)) == pytest.approx(100 * made.budget.card / 48, abs=0.1)
    assert "data-do" not in html
    assert 'data-change="anyway"' not in html


def test_a_recipe_that_does_not_fit_has_a_button_and_the_end_of_the_card_in_its_bar(project: Project) -> None:
    made = plan(project, 24.0)
    html = plan_panel(made, ignored=False)
    assert "Does not fit" in html
    assert 'data-do="remedy"' in html
    assert re.search(r"Keep the frozen model in fp8: \d+\.\d GB", html)
    assert sum(widths(html)) == pytest.approx(100, abs=0.1)
    assert f'<b style="left:{100 * 24 / made.budget.card:.2f}%"' in html
    assert 'data-change="anyway"' in html


def test_every_phase_is_in_the_fold_with_where_the_numbers_come_from(project: Project) -> None:
    made = plan(project, 48.0)
    html = plan_panel(made, ignored=False)
    for title in ("Encoding captions", "Encoding clips", "Loading the model", "Training", "Making samples"):
        assert f"<span>{title}</span>" in html
    assert made.memory.source[:30] in html
    assert "On disk:" in html


def test_who_trains_all_the_same_can_take_that_back(project: Project) -> None:
    assert "checked" in plan_panel(plan(project, 48.0), ignored=True)


def test_without_a_card_the_bar_is_drawn_against_the_one_that_is_needed(project: Project) -> None:
    made = plan(project, 0.0)
    html = plan_panel(made, ignored=False)
    assert "Needs an NVIDIA card with 32 GB" in html
    assert sum(widths(html)) == pytest.approx(100 * made.budget.card / 32, abs=0.1)


def test_the_practice_model_has_a_line_and_no_bar(project: Project) -> None:
    made = plan_for(project, Recipe(), {}, None)
    html = plan_panel(made, ignored=False)
    assert "No graphics card needed" in html
    assert "wz-memory" not in html
    assert small_bar(made, None) is None


def test_a_presets_bar_shows_what_was_measured_rather_than_what_is_predicted(project: Project) -> None:
    made = plan(project, 48.0)
    measured = MeasuredPeak(peak_gib=21.0, limit_gib=23, card="H100", date="2026-11-25", step_s=1.0)
    assert f"{made.used:.1f} of 48 GB" in (small_bar(made, None) or "")
    assert f"{21.0 + made.budget.context:.1f} of 48 GB" in (small_bar(made, measured) or "")


def test_a_reason_that_several_settings_share_is_said_once() -> None:
    explained = [("a", "because"), ("b", "because"), ("c", "for another reason"), ("d", "because")]
    assert _by_reason(explained) == [
        ("because", ["a", "b"]),
        ("for another reason", ["c"]),
        ("because", ["d"]),
    ]


def test_a_recipe_that_no_computer_trains_says_so_in_place_of_the_memory(project: Project) -> None:
    html = plan_panel(
        plan(project, 48.0), ignored=False, refused=BadSetting("No such <layer>.", "Correct it.")
    )
    assert 'data-verdict="refused"' in html
    assert "No such &lt;layer&gt;." in html and "Correct it." in html
    assert "Fits" not in html


def test_a_full_disk_can_be_trained_on_all_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_plan, "free_disk_gib", lambda folder: 0.0)
    html = plan_panel(plan(project, 48.0), ignored=False)
    assert "The disk is too full" in html
    assert 'data-change="anyway"' in html


def test_a_recipe_that_fits_the_card_and_not_the_main_memory_is_a_warning(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = memory_plan.read_memory_model().model_copy(update={"records": 9})
    monkeypatch.setattr(memory_plan, "read_memory_model", lambda: measured)
    monkeypatch.setattr(memory_plan, "memory_gib", lambda: (0.5, 1.0))
    html = plan_panel(plan(project, 48.0), ignored=False)
    assert "is-warn" in html
    assert "of main memory; this computer has 1 GB" in html
