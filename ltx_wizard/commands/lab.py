"""lab: checkpoints x strengths x prompts x seeds, made in one job and measured; one of them kept."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from ltx_wizard.app import jobs
from ltx_wizard.app import lab as service
from ltx_wizard.app import lab_tests as tests
from ltx_wizard.app.lab_figures import figures
from ltx_wizard.app.lab_view import LabView, Place
from ltx_wizard.app.lab_view import view as view_of
from ltx_wizard.commands.console import Console
from ltx_wizard.commands.dataset import opened
from ltx_wizard.commands.following import follow
from ltx_wizard.core.errors import BadSetting, NotFound
from ltx_wizard.core.lab import LabFolder
from ltx_wizard.core.measures import readings
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import duration_text, plural

# ruff: noqa: PLC0415 - the video library is loaded only for a sheet


def lab(given: Namespace, console: Console) -> int:
    """Change the grid as asked, make what is missing, and say what was measured."""
    project = opened(given.project)
    _ask(project, given, console)
    view = view_of(project)
    if view.left and not given.only_keep:
        console.say(f"{plural(view.left, 'video')} to make, {view.made} are there.")
        follow(service.start(project), console)
        view = view_of(project)
    videos = [_video(project, place) for place in view.places if place.cell is not None]
    for line in _lines(project, view):
        console.say(line)
    sheet = _sheet(project, given.sheet, console)
    if given.keep:
        _keep(project, view, given.keep, console)
    kept = service.kept(project)
    console.result(
        {
            "videos": videos,
            "recommended": next((item.id for item in view.checkpoints if item.recommended), ""),
            "tests": {name: _reading(view, name) for name in view.lab.tests},
            "sheet": sheet,
            "kept": {"lora": kept[0].id, "strength": kept[1]} if kept else None,
        }
    )
    return 0


def _ask(project: Project, given: Namespace, console: Console) -> None:
    for file in given.lora:
        lora = service.bring_in(project, file)
        console.say(f"{lora.title}: rank {lora.rank}, {lora.form} names.")
    changes: dict[str, object] = {}
    if given.checkpoint:
        changes["loras"] = [*_checkpoints(project, given), *_files(project)]
    if given.strengths:
        changes["strengths"] = _numbers(given.strengths)
    if given.prompt:
        changes["prompts"] = [{"text": prompt} for prompt in given.prompt]
    if given.seed:
        changes["seeds"] = given.seed
    if given.sampling_steps is not None:
        changes["sampling"] = {"steps": given.sampling_steps}
    if changes:
        service.choose(project, **changes)
    for name in given.test:
        tests.ask(project, name.replace("-", "_"))


def _checkpoints(project: Project, given: Namespace) -> list[str]:
    """Ids of the steps that were named, of a run or of the newest. Raises NotFound."""
    runs = jobs.runs(project)
    run = jobs.find_run(project, given.run) if given.run else runs[-1] if runs else None
    if run is None:
        raise NotFound(problem="This project has no run yet.", remedy="Make one with: ltx-wizard train")
    saved = run.saved_steps()
    missing = [step for step in given.checkpoint if step not in saved]
    if missing:
        raise NotFound(
            problem=f"{run.name} has no checkpoint of step {missing[0]}.",
            remedy=f"Choose one of: {', '.join(map(str, saved))}.",
        )
    return [f"{run.name}@{step}" for step in given.checkpoint]


def _files(project: Project) -> list[str]:
    """Those that were brought in stay in the grid."""
    return [lora.id for lora in service.current(project).loras if not lora.run]


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise BadSetting(
            problem=f"'{text}' are no numbers.", remedy="Write strengths as 0.55,0.75,1."
        ) from error


def _video(project: Project, place: Place) -> dict[str, object]:
    item = place.wanted
    assert place.cell is not None
    return {
        "grid": item.grid,
        "lora": item.lora.id if item.lora else "",
        "strength": item.strength,
        "prompt": item.request.prompt,
        "seed": item.seed,
        "file": str(LabFolder(project).video(item.key)),
        "seconds": place.cell.seconds,
        "measures": place.cell.measures.model_dump(exclude={"schema_version"}),
    }


def _lines(project: Project, view: LabView) -> Iterator[str]:
    """Every video with its measures, the tests with how to read them, and what is recommended."""
    shown = ""
    for place in (place for place in view.places if place.cell is not None):
        item, cell = place.wanted, place.cell
        head = f"{item.request.prompt} (seed {item.seed})"
        if head != shown:
            shown = head
            yield head
        name = f"{item.lora.title} at {item.strength:g}" if item.lora else "base model"
        assert cell is not None
        measured = ", ".join(f"{item.name} {item.value}" for item in figures(cell.measures))
        yield f"  {name}: {measured}"
        yield from (f"    {text}" for text in readings(cell.measures))
    for name in view.lab.tests:
        reading = tests.reading(view, name)
        yield f"Test '{name.replace('_', ' ')}': {reading.title}. {reading.text}"
        yield from (f"  {text}" for text in (reading.look, *reading.to_do))
    for item in view.checkpoints:
        if item.recommended:
            yield f"Recommended: step {item.step} of {item.run}. {item.why}"
    taken = sum(place.cell.seconds for place in view.places if place.cell is not None)
    yield f"{view.made} of {view.total} videos in {LabFolder(project).cells_folder}, {duration_text(taken)}."


def _reading(view: LabView, name: tests.TestName) -> dict[str, object]:
    reading = tests.reading(view, name)
    return {"verdict": reading.verdict, "title": reading.title, "text": reading.text, "to_do": reading.to_do}


def _sheet(project: Project, kind: str, console: Console) -> str:
    if not kind:
        return ""
    from ltx_wizard.app import lab_sheet

    file = lab_sheet.write(project, kind)
    console.say(f"Sheet: {file}")
    return str(file)


def _keep(project: Project, view: LabView, text: str, console: Console) -> None:
    """'500@0.75': a step of the grid, or the name of a file that was brought in, and a strength."""
    name, at, strength = text.rpartition("@")
    loras = [lora for lora in view.lab.loras if name in (str(lora.step), lora.title, lora.id)]
    if not at or not loras:
        known = ", ".join(str(lora.step or lora.title) for lora in view.lab.loras)
        raise BadSetting(
            problem=f"'{text}' names none of the grid.",
            remedy=f"Write it as STEP@STRENGTH; there is {known}.",
        )
    service.keep(project, loras[-1].id, _numbers(strength)[0])
    console.say(f"Kept: {loras[-1].title} at {float(strength):g}. Export it with: ltx-wizard export")
