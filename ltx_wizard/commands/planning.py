"""plan: what training would need, before anything is started or changed."""

from __future__ import annotations

from argparse import Namespace

from ltx_wizard.app import datasets, memory_plan, recipes
from ltx_wizard.app.memory_plan import Plan
from ltx_wizard.app.refusals import refuse_recipe
from ltx_wizard.app.system import Gpu, first_gpu
from ltx_wizard.commands.console import Console
from ltx_wizard.commands.dataset import opened
from ltx_wizard.commands.training import settings_of
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, find_preset, with_settings


def plan(given: Namespace, console: Console) -> int:
    """Memory of every phase, disk and time. 1: this card, or the one asked about, cannot hold it, or no
    computer trains it.
    """
    project = opened(given.project)
    recipe = with_settings(_recipe(project, given.preset), settings_of(given.set))
    card = Gpu(f"{given.card:g} GB card", given.card, 0.0, 0, "") if given.card else first_gpu()
    made = memory_plan.plan_for(project, recipe, memory_plan.bucket_counts(project, recipe), card)
    console.say(f"{recipe.title or recipe.name}")
    console.say(f"{memory_plan.headline(made)}.")
    if memory_plan.detail(made):
        console.say(memory_plan.detail(made))
    for phase in made.budget.phases:
        console.say(
            f"  {phase.title + ':':<20}{phase.total:5.1f} GB: weights {phase.weights:.1f}, "
            f"LoRA and optimizer {phase.lora:.1f}, activations {phase.activations:.1f}, "
            f"reserve {phase.reserve:.1f}"
        )
    console.say(memory_plan.disk_text(made.budget.disk))
    if made.budget.phases:
        console.say(memory_plan.source_text(made.memory))
    console.result(as_json(made, recipe))
    refuse_recipe(recipe, datasets.model_spec(project))
    return 1 if made.verdict in ("unfit", "no_room") else 0


def as_json(made: Plan, recipe: Recipe) -> dict[str, object]:
    """Sizes in GiB, times in seconds. time_s: None where nothing like it was measured."""
    needed, disk, time = made.budget, made.budget.disk, made.budget.time
    return {
        "recipe": recipe.name,
        "verdict": made.verdict,
        "card": made.card.name if made.card else "",
        "card_gib": made.card.vram_gib if made.card else 0.0,
        "peak_gib": round(needed.vram_gib, 2),
        "used_gib": round(made.used, 2),
        "phases": {phase.name: round(phase.total, 2) for phase in needed.phases},
        "ram_gib": round(needed.ram, 2),
        "disk_gib": round(disk.total, 2),
        "time_s": round(time.total) if time else None,
        "step_s": round(time.step_s, 3) if time else None,
        "remedy": {key: str(value) for key, value in made.remedy.changes.items()} if made.remedy else {},
        "remedy_gib": round(memory_plan.after_remedy(made), 2),
        "source": made.memory.source,
    }


def _recipe(project: Project, preset: str) -> Recipe:
    """The preset as it would be adapted to the project, else the project's own. Raises NotFound."""
    if not preset:
        return recipes.current_recipe(project)
    cards = [card.preset for card in recipes.preset_cards(project)]
    return find_preset(cards, preset).recipe
