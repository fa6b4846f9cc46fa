"""download: a base model or a captioner's model from the hub."""

from __future__ import annotations

from argparse import Namespace

from ltx_wizard.app import downloads
from ltx_wizard.commands.console import Console
from ltx_wizard.commands.following import follow
from ltx_wizard.core.units import bytes_text


def download(given: Namespace, console: Console) -> int:
    """Fetch what is missing, and verify it. Ctrl+C stops; what came is kept."""
    model = downloads.recognise(given.model)
    view = downloads.view(model, ask_hub=False)
    if view.state in ("local", "here"):
        console.say(f"{view.title} is on this computer already.")
        console.result({"model": model, "fetched": 0})
        return 0
    running = downloads.active(model)
    if running is None:
        plan = downloads.plan(model)
        console.say(
            f"{view.title}: {bytes_text(plan.total_bytes)}, {bytes_text(plan.have_bytes)} there already; "
            f"{bytes_text(plan.free_bytes)} free at {plan.place}"
        )
    status = follow(running or downloads.start(model), console)
    console.say(f"{view.title} is complete and verified: {status.result['place']}")
    console.result(status.result)
    return 0
