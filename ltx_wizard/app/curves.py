"""The numbers of every step of a run, in columns: read once, and from then on only what is new.

A run of 100,000 steps is a file of 20 MB. It is read once; each later question costs what was added since.
"""

from __future__ import annotations

import json
import math
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ltx_wizard.core.documents import read_bytes_from
from ltx_wizard.core.events import Event, SampleReady, Validated, parse_events
from ltx_wizard.core.run import JobFolder, JobStatus, fold

COLUMNS = ("loss", "learning_rate", "grad_norm", "step_s", "memory_gib", "time")
"""What is kept of a step besides its number, as core/events.py names it. time: seconds since 1970."""

_SMOOTHING = (5, 50)
_SMOOTHING_SHARE = 0.05
"""How many steps the smoothed line remembers, until the reader chooses otherwise: a twentieth of the run,
within these. A single loss says little, because each step draws its own noise levels. plot.js has the same.
"""

_KEPT_RUNS = 12
_STEP_KIND = b'"kind":"step"'

Point = tuple[int, float]


@dataclass
class Curves:
    """A run's steps, validation losses and samples, each in the order in which they came.

    generation: another number once what was read before no longer holds, as when a run goes on from an
    earlier checkpoint. Within one generation things are only added, so a reader that remembers how many it
    has needs the rest only.
    """

    generation: int = 1
    steps: array[int] = field(default_factory=lambda: array("q"))
    columns: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in COLUMNS})
    planned_steps: int = 0
    validations: list[Validated] = field(default_factory=list[Validated])
    samples: list[SampleReady] = field(default_factory=list[SampleReady])
    others: JobStatus = field(default_factory=JobStatus)
    """What all events but those of steps amount to."""

    def add(self, lines: Iterable[bytes]) -> None:
        """Take whole lines of an events file."""
        rest: list[bytes] = []
        for line in lines:
            if _STEP_KIND in line:
                self._add_others(rest)
                rest = []
                self._add_step(line)
            else:
                rest.append(line)
        self._add_others(rest)

    def points(self, column: str) -> list[Point]:
        """(step, value) of a column, finite numbers only."""
        pairs = zip(self.steps, self.columns[column], strict=False)  # a row may just be coming in
        return [(step, value) for step, value in pairs if math.isfinite(value)]

    def validation_points(self) -> list[Point]:
        return [(item.step, item.loss) for item in self.validations if math.isfinite(item.loss)]

    def _add_step(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            row = [float(event.get(name, 0.0)) for name in COLUMNS]
            step, planned = int(event["step"]), int(event["steps"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # torn by a crash, as parse_events skips such lines
        if self.steps and step <= self.steps[-1]:
            self._forget_after(step - 1)
        for name, value in zip(COLUMNS, row, strict=True):
            self.columns[name].append(value)
        self.steps.append(step)  # last: another thread counts rows by it
        self.planned_steps = planned

    def _add_others(self, lines: Sequence[bytes]) -> None:
        events: list[Event] = list(parse_events(lines)) if lines else []
        for event in events:
            if event.kind == "started" and self._reaches_beyond(event.step):
                self._forget_after(event.step)
            elif isinstance(event, Validated):
                self.validations.append(event)
            elif isinstance(event, SampleReady):
                self.samples.append(event)
        if events:
            self.others = fold(events, self.others)

    def _reaches_beyond(self, step: int) -> bool:
        """Whether anything was read of a later step than this."""
        return any(
            last > step
            for last in (
                self.steps[-1] if self.steps else 0,
                self.validations[-1].step if self.validations else 0,
                self.samples[-1].step if self.samples else 0,
            )
        )

    def _forget_after(self, step: int) -> None:
        """A run that goes on from an earlier step: what came after it is no longer true."""
        self.generation += 1
        count = len(self.steps)
        while count and self.steps[count - 1] > step:
            count -= 1
        del self.steps[count:]
        for column in self.columns.values():
            del column[count:]
        self.validations = [item for item in self.validations if item.step <= step]
        self.samples = [item for item in self.samples if item.step <= step]


def curves_of(job: JobFolder) -> Curves:
    """The curves of a run as its file says now. Raises NoPermission where it cannot be read."""
    return _followed(job.events_file).refreshed()


def file_version(path: Path) -> tuple[int, int]:
    """Time of its last change and size: another pair once the file is another. Zeros where there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def smoothing_of(steps: int) -> int:
    """How many steps the smoothed line of a run of so many steps remembers."""
    least, most = _SMOOTHING
    return min(most, max(least, round(steps * _SMOOTHING_SHARE)))


def smooth(points: Sequence[Point], steps: int) -> list[Point]:
    """A running mean that remembers `steps` points, unbiased from the start: m_n = d m_(n-1) + (1 - d) x_n,
    shown as m_n / (1 - d^n), with d = 1 - 1 / steps. The page's plot draws the same.
    """
    decay = 1 - 1 / max(1, steps)
    smoothed: list[Point] = []
    mean, weight = 0.0, 0.0
    for step, value in points:
        mean = decay * mean + (1 - decay) * value
        weight = decay * weight + (1 - decay)
        smoothed.append((step, mean / weight))
    return smoothed


class _Followed:
    """One events file and how far it was read."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._curves = path, 0, Curves()
        self._lock = threading.Lock()

    def refreshed(self) -> Curves:
        with self._lock:
            chunk, size = read_bytes_from(self._path, self._offset)
            if size < self._offset:  # another file lies there now
                generation = self._curves.generation
                self._offset, self._curves = 0, Curves(generation=generation + 1)
                chunk, _ = read_bytes_from(self._path, 0)
            end = chunk.rfind(b"\n") + 1
            self._offset += end
            if end:
                self._curves.add(chunk[:end].splitlines())
            return self._curves


_known: OrderedDict[Path, _Followed] = OrderedDict()
_known_lock = threading.Lock()


def _followed(path: Path) -> _Followed:
    """The runs that were asked for last are kept."""
    with _known_lock:
        followed = _known.setdefault(path, _Followed(path))
        _known.move_to_end(path)
        while len(_known) > _KEPT_RUNS:
            _known.popitem(last=False)
        return followed
