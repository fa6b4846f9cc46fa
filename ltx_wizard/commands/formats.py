"""import-dataset, export-dataset: datasets of other trainers."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict

from ltx_wizard.app import datasets, formats
from ltx_wizard.app.formats import DatasetLook
from ltx_wizard.commands.console import Console
from ltx_wizard.commands.dataset import opened
from ltx_wizard.commands.following import follow
from ltx_wizard.core.clip import Rejected
from ltx_wizard.core.errors import BadInput
from ltx_wizard.core.run import JobStatus
from ltx_wizard.core.units import plural


def import_dataset(given: Namespace, console: Console) -> int:
    """Bring a dataset in, each file as a clip with its caption. Raises BadInput if nothing was of use."""
    project = opened(given.project)
    look = formats.look_at(project, given.path)
    _show_look(look, console)
    if given.look:
        console.result({**asdict(look), "path": str(look.path)})
        return 0
    trigger = "" if given.keep_trigger else look.trigger
    if look.trigger:
        console.say(
            f"Every caption begins with '{look.trigger}'. "
            + (
                "It stays there."
                if given.keep_trigger
                else "It becomes the trigger word and leaves the captions."
            )
        )
    status = follow(formats.start_import(project, look.path, trigger, given.regularisation), console)
    _show_rejected(look, status, datasets.rejected(project), console)
    console.say(formats.import_text(status))
    console.result({**status.result, "trigger": trigger})
    if not any(status.result.get(key) for key in ("added", "captioned", "known")):
        raise BadInput(problem="Nothing was added.", remedy="Look at the reason given for each file.")
    return 0


def export_dataset(given: Namespace, console: Console) -> int:
    """Write the clips for another trainer; without --format, list the formats."""
    if not given.format:
        for item in formats.formats():
            console.say(f"{item.name:26}{item.title}")
        console.result({"formats": [asdict(item) for item in formats.formats()]})
        return 0
    project = opened(given.project)
    with_trigger = None if given.trigger is None else given.trigger == "write"
    status = follow(formats.start_export(project, given.format, given.out, with_trigger), console)
    console.say(formats.export_text(status))
    console.say(f"It lies in {status.result['folder']}.")
    console.say(str(status.result["hint"]))
    console.result(status.result)
    return 0


def _show_rejected(
    look: DatasetLook, status: JobStatus, rejected: Sequence[Rejected], console: Console
) -> None:
    """What turned out to be of no use while it was imported: the newest of the list, as far as it is new."""
    count = status.result.get("problems", 0)
    told = {(item.name, item.problem) for item in look.left_out}
    for item in rejected[-count:] if isinstance(count, int) and count else ():
        if (item.name, item.problem) not in told:
            console.say(f"Cannot use {item.name}: {item.problem} {item.remedy}")


def _show_look(look: DatasetLook, console: Console) -> None:
    console.say(f"{look.summary}.")
    for item in look.left_out:
        console.say(f"Cannot use {item.name}: {item.problem} {item.remedy}")
    for remark in look.remarks:
        console.say(remark)
    if look.left_out:
        console.say(f"{plural(len(look.left_out), 'file')} left out, for the reasons above.")
