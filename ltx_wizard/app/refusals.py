"""Settings of a recipe that do not go together, or not with the model: told before anything starts."""

from __future__ import annotations

from ltx_wizard.core.errors import BadSetting, NotFound, WizardError
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.recipe_groups import ATTENTION_MODULES, LARGEST_SIDE_PX, check_offload
from ltx_wizard.models.recognise import linear_layers
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import find_files
from ltx_wizard.training.trackers import refuse_missing

# ruff: noqa: PLC0415 - the modules of `dataset` load the video library; they are imported where they are used


def recipe_problem(recipe: Recipe, spec: ModelSpec) -> WizardError | None:
    """Why this recipe trains on no computer; None where it does."""
    try:
        refuse_recipe(recipe, spec)
    except WizardError as error:
        return error
    return None


def refuse_recipe(recipe: Recipe, spec: ModelSpec) -> None:
    """Raise BadSetting with the nearest value that works, or NotReady for a tracker that is not installed."""
    from ltx_wizard.dataset.buckets import valid_bucket

    check_offload(recipe.memory)
    refuse_missing(recipe.trackers)
    for bucket in recipe.data.buckets:
        valid_bucket(bucket, spec)
    _refuse_sample_size(recipe, spec)
    _refuse_unknown_layers(recipe, spec)


def _refuse_sample_size(recipe: Recipe, spec: ModelSpec) -> None:
    """0 stands for the size that is trained. Any number of frames will do: the sampler rounds it down."""
    for name in ("width", "height"):
        size: int = getattr(recipe.validation, name)
        if size and not spec.size_grid.allows(size):
            raise BadSetting(
                problem=f"{spec.title} draws no samples with a {name} of {size}: it takes multiples of "
                f"{spec.size_grid.step}.",
                remedy=f"Set validation.{name} to {_nearest(size, spec)}, or to 0 for the size in training.",
            )


def _nearest(size: int, spec: ModelSpec) -> int:
    return min(spec.size_grid.nearest(size), spec.size_grid.round_down(LARGEST_SIDE_PX))


def _refuse_unknown_layers(recipe: Recipe, spec: ModelSpec) -> None:
    """Names that peft would pass over without a word. Nothing is known of a model that is not here yet."""
    try:
        layers = linear_layers(find_files(spec).transformer)
    except NotFound:
        return
    targets = recipe.lora.target_modules
    unknown = [
        target
        for target in targets
        if not any(name == target or name.endswith(f".{target}") for name in layers)
    ]
    if unknown:
        raise BadSetting(
            problem=f"{spec.title} has no layers called {' '.join(unknown)}.",
            remedy=f"Correct lora.target_modules; usual are: {' '.join(ATTENTION_MODULES)}",
        )
