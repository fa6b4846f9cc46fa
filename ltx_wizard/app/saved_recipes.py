"""The recipes that were made by hand: one for each model, that of the project's model in recipe.json."""

from __future__ import annotations

from ltx_wizard.app import datasets
from ltx_wizard.core.errors import NotFound, WizardError, explain_os_error
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, read_recipe, write_recipe


def saved_recipe(project: Project) -> Recipe | None:
    """The recipe saved for the project's model; None before. Raises BadDocument if it is damaged."""
    model = datasets.model_spec(project).id
    for file in (project.recipe_file, project.recipe_file_of(model)):
        try:
            recipe = read_recipe(file)
        except NotFound:
            continue
        if recipe.model in ("", model):
            return recipe
    return None


def save_recipe(project: Project, recipe: Recipe) -> None:
    """Write the recipe with the model that it is for. That of another model waits for it."""
    model = recipe.model or datasets.model_spec(project).id
    _set_other_aside(project, model)
    write_recipe(project.recipe_file, recipe.model_copy(update={"model": model}))
    try:
        project.recipe_file_of(model).unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, project.recipe_file_of(model)) from error


def forget_recipe(project: Project) -> None:
    """Drop the recipe saved for the project's model, also one that cannot be read."""
    model = datasets.model_spec(project).id
    _set_other_aside(project, model)
    try:
        for file in (project.recipe_file, project.recipe_file_of(model)):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, project.recipe_file) from error


def kept_for_another(project: Project) -> str:
    """The title of the model whose recipe waits, while the project's own model has none; else empty."""
    other = _model_of_file(project)
    if not other or saved_recipe(project) is not None:
        return ""
    try:
        return datasets.spec_of(other).title
    except WizardError:
        return other


def _set_other_aside(project: Project, model: str) -> None:
    other = _model_of_file(project)
    if other in ("", model):
        return
    waiting = project.recipe_file_of(other)
    try:
        waiting.parent.mkdir(exist_ok=True)
        project.recipe_file.replace(waiting)
    except OSError as error:
        raise explain_os_error(error, waiting) from error


def _model_of_file(project: Project) -> str:
    """Of the recipe that was saved last; empty for one that is not there, or cannot be read."""
    try:
        return read_recipe(project.recipe_file).model
    except WizardError:
        return ""
