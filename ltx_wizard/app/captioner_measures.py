"""What was measured of captioners: by benchmarks/captioners.py on cards, and by jobs of this computer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ltx_wizard.core import places
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.events import Progress, read_events
from ltx_wizard.core.run import CaptionJob, list_job_folders

if TYPE_CHECKING:
    from ltx_wizard.core.project import Project
    from ltx_wizard.core.run import JobFolder
    from ltx_wizard.models.captioner_models import Precision

WHOLE_CARD_GIB = 80.0
"""Records with the limit 0 are of the whole card, which was one of 80 GB."""

_SAME_SIZE = 1.03
"""A card of '24 GB' reports 23.99 GiB or a little less."""

_FEWEST_CLIPS = 3
_MEMORY_IN_NAME = re.compile(r" \d+ ?GB\b.*$")


@dataclass(frozen=True)
class Measure:
    """A captioner on a card, or on one that was held to limit_gib. peak_gib: what it took with its batch;
    clips_per_minute: of 5 s in 720p. error: why it did not work there; then the figures say nothing.
    """

    captioner: str
    limit_gib: float
    precision: str
    peak_gib: float
    clips_per_minute: float
    card: str
    error: str = ""

    @property
    def place(self) -> str:
        """'an NVIDIA H100 held to 8 GB'."""
        held = f" held to {self.limit_gib:.0f} GB" if self.limit_gib < WHOLE_CARD_GIB else ""
        name = _MEMORY_IN_NAME.sub("", self.card)
        return f"an {name}{held}" if name.startswith("NVIDIA") else f"{name}{held}"


def recorded() -> tuple[Measure, ...]:
    """All records; none where the file is missing or damaged."""
    try:
        records: object = json.loads(places.CAPTIONER_MEASURES.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    items = cast("list[object]", records) if isinstance(records, list) else []
    return tuple(measure for item in items if (measure := _parsed(item)) is not None)


def measure_for(captioner: str, precision: Precision, vram_gib: float, card: str = "") -> Measure | None:
    """The record that tells most about a card of this size: of this very card, else of the largest that is
    no larger. None where nothing like it was measured.
    """
    known = [
        item
        for item in recorded()
        if item.captioner == captioner
        and item.limit_gib <= _SAME_SIZE * vram_gib
        and (item.error or (item.precision == precision and item.peak_gib <= vram_gib))
    ]
    return max(known, key=lambda item: (item.card == card, item.limit_gib), default=None)


def measured_on_processor(captioner: str) -> Measure | None:
    """The newest record of a computer without a card."""
    known = [item for item in recorded() if item.captioner == captioner and item.card == "CPU"]
    return known[-1] if known else None


def own_rate(project: Project, captioner: str) -> float:
    """Clips a minute of the newest captioning of this project with that captioner; 0: there is none."""
    for folder in reversed(list_job_folders(project.jobs_folder)):
        if _captioner_of(folder) == captioner:
            rate = _last_rate(folder)
            if rate:
                return rate
    return 0.0


def _captioner_of(folder: JobFolder) -> str:
    try:
        settings = folder.read_job().settings
    except WizardError:
        return ""
    return settings.captioner if isinstance(settings, CaptionJob) else ""


def _last_rate(folder: JobFolder) -> float:
    try:
        told: Iterable[Progress] = [
            event for event in read_events(folder.events_file) if isinstance(event, Progress)
        ]
    except WizardError:
        return 0.0
    rates = [event.per_second * 60 for event in told if event.done >= _FEWEST_CLIPS and event.per_second > 0]
    return rates[-1] if rates else 0.0


def _parsed(item: object) -> Measure | None:
    """A record of benchmarks/captioners.py; None for what is none."""
    if not isinstance(item, dict):
        return None
    record = cast("dict[str, object]", item)
    try:
        good = bool(record["ok"])
        return Measure(
            captioner=str(record["captioner"]),
            limit_gib=_number(record["limit_gib"]) or WHOLE_CARD_GIB,
            precision=str(record["precision"]),
            peak_gib=_number(record["peak_gib"]),
            clips_per_minute=_number(record["clips_per_minute"]),
            card=str(record["card"]),
            error="" if good else str(record.get("error") or "it did not work"),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _number(value: object) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number")
    return float(value)
