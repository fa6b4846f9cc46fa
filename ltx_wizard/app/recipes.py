"""The recipe of a project: a preset that fits the computer, adapted to goal and dataset, and changes.

The numbers come from the tables of the LTX LoRA training guide that this project follows, each with a reason.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ltx_wizard.app import datasets
from ltx_wizard.app.memory_plan import Plan, bucket_counts, own_step_times, plan_for
from ltx_wizard.app.saved_recipes import forget_recipe, save_recipe, saved_recipe
from ltx_wizard.app.system import Gpu, first_gpu
from ltx_wizard.core import places
from ltx_wizard.core.caption import has_slots
from ltx_wizard.core.clip import Clip
from ltx_wizard.core.errors import NotFound, explain_os_error
from ltx_wizard.core.project import (
    TRIGGER_PLACE,
    Goal,
    Project,
    ProjectSettings,
    TriggerPlacement,
    has_trigger,
    trained_caption,
)
from ltx_wizard.core.recipe import (
    Preset,
    Recipe,
    find_preset,
    largest,
    read_preset,
    setting_value,
    with_settings,
)
from ltx_wizard.core.units import plural
from ltx_wizard.models.catalog import CATALOG, models_for_lora
from ltx_wizard.models.spec import ModelSpec

VRAM_TOLERANCE = 0.92
"""Cards report less than their name says: a '48 GB' L40S has 45.0 GiB, a '24 GB' A10G 22.5 GiB."""

WARMUP_SHARES = (0.05, 0.10)
USUAL_WARMUP_STEPS = 100
PROMPTS = 2

_OFFERED_FIRST = ("balanced", "best", "draft")
"""What is offered among presets for the same card."""

_SHOWN_FIRST = ("draft", "balanced", "best")
"""In which order presets for the same card are shown: from the shortest to the longest."""


@dataclass(frozen=True)
class PresetCard:
    """A preset, its recipe already adapted to the project, and whether this computer can use it, in words.

    plan: what that recipe needs here. of_this_size: whether it is for the size of card that is offered.
    """

    preset: Preset
    fits: bool
    reason: str
    plan: Plan
    of_this_size: bool


@dataclass(frozen=True)
class Advice:
    """What one setting should be for this goal and dataset, and why. key as in 'lora.rank'."""

    key: str
    value: object
    reason: str


@dataclass(frozen=True)
class _Size:
    """One row of the guide's table of steps: from so many clips on."""

    from_clips: int
    words: str
    fewest_steps: int
    most_steps: int
    checkpoint_every: int


_SIZES = (
    _Size(50, "50 clips or more", 2500, 3500, 500),
    _Size(20, "20 to 49 clips", 1500, 2500, 300),
    _Size(5, "5 to 19 clips", 1000, 1500, 200),
    _Size(0, "fewer than 5 clips", 700, 1400, 100),
)

_LEARNING_RATES: dict[Goal, tuple[float, str]] = {
    Goal.STYLE: (2e-4, "for a style the guide gives 0.0001 to 0.0002; 0.0002 is the official default"),
    Goal.CHARACTER: (1e-4, "for a character the guide gives 0.00005 to 0.0001"),
    Goal.MOTION: (2e-4, "for a motion the guide gives 0.0001 to 0.0002; 0.0002 is the official default"),
    Goal.DETAIL: (5e-5, "for fine detail the guide gives 0.00001 to 0.00005"),
    Goal.CONTROL: (2e-4, "the official default; the guide has no row for control"),
}


def presets() -> list[Preset]:
    """Every file of the presets folder. Raises BadDocument naming all that is wrong in one."""
    try:
        files = sorted(places.PRESETS.glob("*.yaml"))
        return [_read_once(path, path.stat().st_mtime_ns) for path in files]
    except OSError as error:
        raise explain_os_error(error, places.PRESETS) from error


def preset_cards(project: Project) -> list[PresetCard]:
    """The presets for the project's model: those that fit this computer first, the most demanding card
    first, and for each card draft, balanced, best.
    """
    card = first_gpu()
    ordered = sorted(_presets_for(project), key=lambda preset: _order(preset, card, _SHOWN_FIRST))
    facts = _Facts.of(project)
    own_times = own_step_times(project, datasets.model_spec(project))
    counts: dict[tuple[str, ...], dict[str, int]] = {}
    cards: list[PresetCard] = []
    for preset in ordered:
        recipe = _adapted(preset, facts)
        wanted = recipe.data.buckets
        if wanted not in counts:
            counts[wanted] = bucket_counts(project, recipe)
        plan = plan_for(project, recipe, counts[wanted], card, own_times)
        cards.append(
            PresetCard(
                preset.model_copy(update={"recipe": recipe}),
                fits_card(preset, card) and not _is_doubtful(preset, plan),
                _plan_reason(preset, plan),
                plan,
                preset.min_vram_gib == ordered[0].min_vram_gib,
            )
        )
    return cards


def fits_card(preset: Preset, card: Gpu | None) -> bool:
    """Whether a card is large enough; a preset that needs none fits everywhere."""
    vram_gib = card.vram_gib if card else 0.0
    return vram_gib >= preset.min_vram_gib * VRAM_TOLERANCE


def choose_preset(project: Project, name: str) -> Recipe:
    """Start again from a preset: changes made before for this model are dropped, but for the prompts.

    Raises NotFound.
    """
    find_preset(_presets_for(project), name)
    project.change_settings(recipe=name)
    forget_recipe(project)
    return current_recipe(project)


def current_recipe(project: Project) -> Recipe:
    """The recipe that would train now: the saved one, else the preset adapted to goal and dataset."""
    return saved_recipe(project) or preset_recipe(project)


def preset_recipe(project: Project) -> Recipe:
    """The chosen or offered preset, adapted, without the user's changes."""
    return _adapted(_chosen_preset(project), _Facts.of(project))


def change_setting(project: Project, key: str, value: object) -> Recipe:
    """Change one setting and save the recipe. Raises BadSetting.

    What follows from a setting goes along, as with_followers says. Validation prompts are kept in the project
    too, so that another preset does not lose them.
    """
    changed = with_followers(current_recipe(project), {key: value}, preset_recipe(project))
    save_recipe(project, changed)
    if key == "validation.prompts":
        project.change_settings(validation_prompts=changed.validation.prompts)
    return changed


def with_followers(recipe: Recipe, changes: Mapping[str, object], base: Recipe | None = None) -> Recipe:
    """The recipe with some settings changed, and with them what follows. Raises BadSetting.

    An alpha that equals the rank follows it, and a warm-up that nobody touched keeps its share of the steps.
    base: where that share is taken from; without it from the recipe itself.
    """
    base, wanted = base or recipe, dict(changes)
    follows = "lora.alpha" not in wanted and recipe.lora.alpha == recipe.lora.rank
    if "lora.rank" in wanted and follows:
        wanted["lora.alpha"] = wanted["lora.rank"]
    changed = with_settings(recipe, wanted)
    untouched = recipe.schedule.warmup_steps == _scaled_warmup(base, recipe.steps)
    if "steps" in wanted and "schedule.warmup_steps" not in wanted and untouched:
        return with_settings(changed, {"schedule.warmup_steps": _scaled_warmup(base, changed.steps)})
    return changed


def change_settings(project: Project, changes: dict[str, object]) -> Recipe:
    """Change several settings at once and save the recipe. Raises BadSetting."""
    changed = with_settings(current_recipe(project), changes)
    save_recipe(project, changed)
    return changed


def advice(project: Project) -> list[Advice]:
    """The settings that follow from goal, dataset and card, each with its reason in one sentence."""
    recipe, facts = current_recipe(project), _Facts.of(project)
    preset = _chosen_preset(project)
    advised = _advise(preset, facts) if preset.follow_dataset else _fixed_advice(preset)
    return [_compared(item, setting_value(recipe, item.key)) for item in advised]


@dataclass(frozen=True)
class _Facts:
    """What a recipe is adapted to. clips: those that show what is to be learnt."""

    settings: ProjectSettings
    clips: Sequence[Clip]

    @classmethod
    def of(cls, project: Project) -> _Facts:
        clips = [clip for clip in datasets.clips(project) if not clip.regularisation]
        return cls(project.read_settings(), clips)


@functools.lru_cache(maxsize=256)
def _read_once(path: Path, _modified_ns: int) -> Preset:
    """A preset is read again only when its file has changed."""
    return read_preset(path)


def _presets_for(project: Project) -> list[Preset]:
    """Those made for the model, or else for its architecture, or else for the large models of its family."""
    spec = datasets.model_spec(project)
    made_for_it = [preset for preset in presets() if spec.id in preset.models]
    alike = {model.id for model in models_for_lora(spec)}
    return (
        made_for_it
        or [preset for preset in presets() if alike & set(preset.models)]
        or [preset for preset in presets() if _is_of_family(preset, spec)]
    )


def _is_of_family(preset: Preset, spec: ModelSpec) -> bool:
    return any(
        model.id in preset.models and model.family == spec.family and not model.local for model in CATALOG
    )


def _chosen_preset(project: Project) -> Preset:
    """The one that the project names, where it is for the project's model; else the one that fits best."""
    candidates = _presets_for(project)
    if not candidates:
        raise NotFound(
            problem=f"There is no preset for {datasets.model_spec(project).title}.",
            remedy="Choose another model, or put a preset for it into the presets folder.",
        )
    name = project.read_settings().recipe
    card = first_gpu()
    named = [preset for preset in candidates if preset.name == name]
    return named[0] if named else min(candidates, key=lambda preset: _order(preset, card, _OFFERED_FIRST))


def _order(preset: Preset, card: Gpu | None, levels: tuple[str, ...]) -> tuple[bool, float, int]:
    """Fitting ones first, the most demanding first; of those that do not fit, the least demanding first."""
    fits = fits_card(preset, card)
    return not fits, -preset.min_vram_gib if fits else preset.min_vram_gib, levels.index(preset.level)


def _is_doubtful(preset: Preset, plan: Plan) -> bool:
    """Predicted not to fit, and never measured to fit: a measured preset is believed."""
    return preset.measured is None and plan.verdict == "unfit"


def _plan_reason(preset: Preset, plan: Plan) -> str:
    card = plan.card
    if card is not None and fits_card(preset, card) and _is_doubtful(preset, plan):
        return f"Predicted to need {plan.used:.1f} GB; your {card.name} has {card.vram_gib:.0f} GB."
    return _fit_reason(preset, card)


def _fit_reason(preset: Preset, card: Gpu | None) -> str:
    if preset.min_vram_gib == 0:
        return "Works on this computer: it needs no graphics card."
    need = f"{preset.min_vram_gib:g} GB"
    if card is None:
        return f"Needs an NVIDIA card with {need}; this computer has none."
    if fits_card(preset, card):
        return f"Fits your {card.name} with {card.vram_gib:.0f} GB."
    return f"Needs {need}; your {card.name} has {card.vram_gib:.0f} GB."


def _adapted(preset: Preset, facts: _Facts) -> Recipe:
    named = preset.recipe.model_copy(
        update={"name": preset.name, "title": preset.title, "for_whom": preset.for_whom}
    )
    changes: dict[str, object] = {}
    if preset.follow_dataset:
        changes = {item.key: item.value for item in _advise(preset, facts)}
        changes["lora.alpha"] = changes["lora.rank"]
    if not preset.recipe.validation.prompts:
        changes["validation.prompts"] = _validation_prompts(facts)
    return with_settings(named, changes)


def _advise(preset: Preset, facts: _Facts) -> list[Advice]:
    size = _size_of(len(facts.clips))
    steps = _steps(preset, size)
    rate, rate_reason = _LEARNING_RATES[facts.settings.goal]
    every = f"every {size.checkpoint_every} steps: the guide's interval for {size.words}"
    return [
        _rank(preset, facts),
        Advice("optimizer.lr", rate, f"learning rate {rate:g}: {rate_reason}"),
        Advice("steps", steps, f"{steps:,} steps: {_steps_reason(preset, size)}"),
        Advice(
            "schedule.warmup_steps", _warmup(steps), f"{_warmup(steps)} steps: 5 to 10 % of {steps:,} steps"
        ),
        Advice("checkpoints.every", size.checkpoint_every, every),
        Advice(
            "validation.every", size.checkpoint_every, "as often as checkpoints, so that each can be seen"
        ),
        *_batch_advice(preset),
    ]


def _rank(preset: Preset, facts: _Facts) -> Advice:
    """The guide: 32 under 20 samples or for subtle styles, 128 from 50 or for dramatic changes."""
    count, goal = len(facts.clips), facts.settings.goal
    if count < 20:
        rank, reason = 32, "fewer than 20 clips"
    elif goal is Goal.DETAIL:
        rank, reason = 32, "fine detail is a subtle change"
    elif count >= 50:
        rank, reason = 128, "50 clips or more"
    elif goal in (Goal.MOTION, Goal.CONTROL):
        rank, reason = 128, "a motion or an effect is a dramatic change, and there are 20 clips or more"
    else:
        rank, reason = 64, "20 to 49 clips, between the guide's 32 and 128"
    limit = preset.recipe.lora.rank
    if rank > limit:
        rank, reason = limit, f"the most of this preset, to save memory ({reason} would allow {rank})"
    return Advice("lora.rank", rank, f"rank {rank}: {reason}")


def _size_of(clips: int) -> _Size:
    return next(size for size in _SIZES if clips >= size.from_clips)


def _steps(preset: Preset, size: _Size) -> int:
    """A draft takes half of the fewest, 'balanced' the middle of the guide's range, 'best' its end."""
    if preset.level == "draft":
        return size.fewest_steps // 2
    return size.most_steps if preset.level == "best" else (size.fewest_steps + size.most_steps) // 2


def _steps_reason(preset: Preset, size: _Size) -> str:
    place = {"draft": "half of the fewest", "balanced": "the middle", "best": "the most"}[preset.level]
    return (
        f"{place} of the {size.fewest_steps:,} to {size.most_steps:,} that the guide gives for {size.words}"
    )


def _warmup(steps: int) -> int:
    """The usual 100, kept within 5 to 10 % of the steps."""
    least, most = (round(share * steps) for share in WARMUP_SHARES)
    return min(max(USUAL_WARMUP_STEPS, least), most)


def _scaled_warmup(base: Recipe, steps: int) -> int:
    scaled = round(base.schedule.warmup_steps * steps / base.steps)
    return min(scaled, int(largest("schedule.warmup_steps")))


def _batch_advice(preset: Preset) -> list[Advice]:
    data = preset.recipe.data
    return [
        Advice(
            "data.batch_size",
            data.batch_size,
            f"{plural(data.batch_size, 'clip')} at once: what {preset.min_vram_gib:g} GB holds by the guide",
        ),
        Advice(
            "data.gradient_accumulation_steps",
            data.gradient_accumulation_steps,
            f"makes an effective batch of {data.batch_size * data.gradient_accumulation_steps}",
        ),
    ]


def _fixed_advice(preset: Preset) -> list[Advice]:
    reason = f"tuned for this model in the preset '{preset.title}'; your dataset does not change it"
    keys = ("lora.rank", "optimizer.lr", "steps", "schedule.warmup_steps", "checkpoints.every")
    return [Advice(key, setting_value(preset.recipe, key), reason) for key in keys]


def _compared(item: Advice, value: object) -> Advice:
    """Says what would be advised where the user chose otherwise."""
    if value == item.value:
        return Advice(item.key, item.value, _sentence(item.reason))
    return Advice(item.key, item.value, f"You changed this. Advised: {item.value}, {item.reason}.")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _validation_prompts(facts: _Facts) -> tuple[str, ...]:
    """The project's own prompts, else captions of two clips, as training sees them."""
    settings = facts.settings
    if settings.validation_prompts:
        return settings.validation_prompts
    chosen = _prompt_clips(facts.clips)
    return tuple(dict.fromkeys(prompt_of_caption(clip.caption, settings) for clip in chosen))


def _prompt_clips(clips: Sequence[Clip]) -> list[Clip]:
    """Two captioned clips that differ: of two videos where there are two, and without gaps to fill in."""
    captioned = [clip for clip in clips if clip.caption.strip()]
    whole = [clip for clip in captioned if not has_slots(clip.caption)] or captioned
    if not whole:
        return []
    first = whole[0]
    others = [clip for clip in whole if clip.caption != first.caption]
    elsewhere = [clip for clip in others if clip.source_id != first.source_id] or others
    return [first, elsewhere[len(elsewhere) // 2]] if elsewhere else [first]


def prompt_of_caption(caption: str, settings: ProjectSettings) -> str:
    """A caption with {trigger} where the trigger word goes."""
    placement = settings.trigger_placement
    if not settings.trigger_word.strip() or has_trigger(caption, settings.trigger_word):
        placement = TriggerPlacement.NONE
    return trained_caption(caption, TRIGGER_PLACE, placement, settings.trigger_pattern)
