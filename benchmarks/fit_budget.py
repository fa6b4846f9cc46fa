"""Fits the memory model of training/budget.py to measurements, and says how far it is off.

    python benchmarks/fit_budget.py            from benchmarks/results/*.json to assets/memory_model.json
    python benchmarks/fit_budget.py --check    writes nothing: the errors of the model as it is

Records of kind 'preset' and 'precision' are fitted; those of kind 'recipe' are only compared. No GPU.

The fit: least squares of relative errors over every phase of every record, and of the weights alone. A weak
pull towards the present coefficients (PRIOR of their size) decides what the measurements leave open.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ltx_wizard.core.documents import write_document
from ltx_wizard.core.places import MEMORY_MODEL, ROOT
from ltx_wizard.core.recipe import Recipe, parse_bucket, with_settings
from ltx_wizard.core.units import GIB
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.training.budget import (
    architecture_of,
    lora_parameters,
    phases_of,
    predict,
    tokens,
    weights_gib,
)
from ltx_wizard.training.memory_model import (
    Coefficients,
    MemoryModel,
    StartTime,
    StepTime,
    read_memory_model,
)

RESULTS = ROOT / "benchmarks" / "results"
FITTED, CHECKED = ("preset", "precision"), ("recipe",)
CLIPS = 3
"""How many clips a measured run encodes, where its record does not say (benchmarks/presets.py)."""

GOAL = 0.10
"""Wanted of every prediction: within a tenth of the measured peak."""

PRIOR = 0.02
"""An error of this size weighs as much as a coefficient at twice its present value: little, but enough to
hold one that no measurement speaks of."""

_PHASES = {"text": "text", "clips": "clips", "load": "load", "train": "training", "samples": "samples"}
"""Names of phases: in the measurements, and in the prediction."""

_ITERATIONS = 60
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Record:
    """One measured training. phases: GiB that the allocator reserved at its peak, by predicted phase."""

    kind: str
    name: str
    card: str
    date: str
    recipe: Recipe
    spec: ModelSpec
    bucket: str
    phases: Mapping[str, float]
    seconds: Mapping[str, float]
    weights_gib: float
    peak_gib: float
    context_gib: float
    host_peak_gib: float
    step_s: float
    clips: int
    alone: bool

    @property
    def buckets(self) -> dict[str, int]:
        return {self.bucket: self.clips}

    @property
    def fitted(self) -> bool:
        return self.kind in FITTED


def read_records(folder: Path) -> list[Record]:
    """Every record that ran to its end, of two for the same thing the newer file's. Those that ran out of
    memory, or on a processor, have no peak to learn from. anchor.py's are left out: it leaves torch's
    allocator as it is, and the app lets its segments grow.
    """
    found: dict[tuple[object, ...], dict[str, object]] = {}
    for raw in (raw for path in sorted(folder.glob("*.json")) for raw in _list(path)):
        if raw.get("kind") in (*FITTED, *CHECKED):
            found[raw["kind"], raw["name"], raw["bucket"]] = raw
    whole = [raw for raw in found.values() if raw.get("ok", True) and _number(raw, "peak_reserved_gib") > 0]
    return [_record(raw) for raw in whole]


def fit(records: Sequence[Record], start: MemoryModel) -> MemoryModel:
    """The model that follows the fitted records; step times and context come from them as they are."""
    known = [record for record in records if record.fitted]
    names = list(_flat(start.coefficients))
    first = np.array([_flat(start.coefficients)[name] for name in names])
    scale = np.maximum(np.abs(first), 0.05)

    def coefficients(vector: Vector) -> Coefficients:
        return _shaped(dict(zip(names, vector.tolist(), strict=True)), start.coefficients)

    def residuals(vector: Vector) -> Vector:
        errors = [error for record in known for error in _errors(record, coefficients(vector))]
        return np.concatenate([np.array(errors), PRIOR * (vector - first) / scale])

    found = coefficients(_least_squares(residuals, first))
    # Beside other trainings on a card, theirs cannot be told from the driver's share.
    contexts = [record.context_gib for record in known if record.alone and record.context_gib > 0]
    if contexts:
        found = found.model_copy(update={"context_gib": round(median(contexts), 3)})
    cards = sorted({record.card for record in known})
    days = sorted({record.date for record in known})
    model = MemoryModel(
        source=f"Fitted to {len(known)} trainings measured on {' and '.join(cards)}, {days[-1]}.",
        card=cards[0],
        date=days[-1],
        records=len(known),
        coefficients=found,
        step_times=tuple(_step_times(known)) or start.step_times,
        start_times=tuple(_start_times(known)) or start.start_times,
    )
    checked = [record for record in records if not record.fitted]
    return model.model_copy(
        update={
            "worst_error_fit": _worst(known, model),
            "worst_error_check": _worst(checked, model) if checked else None,
        }
    )


def peak_error(record: Record, model: MemoryModel) -> float:
    """(predicted - measured) / measured, of the peak over the phases that were measured."""
    return predicted_peak(record, model) / record.peak_gib - 1


def predicted_peak(record: Record, model: MemoryModel) -> float:
    phases = phases_of(record.recipe, record.spec, record.buckets, model.coefficients)
    seen = [phase for phase in phases if not record.phases or phase.name in record.phases]
    return max(phase.total for phase in seen)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fit the memory model to benchmarks/results/*.json.")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=MEMORY_MODEL)
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args(arguments)
    records = read_records(given.results)
    if not any(record.fitted for record in records):
        print(f"There is nothing to fit in {given.results}.", file=sys.stderr)
        return 1
    model = read_memory_model() if given.check else fit(records, read_memory_model())
    if not given.check:
        write_document(given.out, model)
    return report(records, model)


def report(records: Sequence[Record], model: MemoryModel) -> int:
    """One line a record, then one JSON object. 1: a prediction is further off than the goal."""
    for record in records:
        predicted = predicted_peak(record, model)
        print(
            f"{record.kind:<10}{record.name:<34}measured {record.peak_gib:6.2f}  predicted {predicted:6.2f}  "
            f"{peak_error(record, model):+6.1%}{'' if record.fitted else '  not in the fit'}"
        )
        print(f"{'':<10}{_phase_line(record, model)}")
    fitted = [record for record in records if record.fitted]
    checked = [record for record in records if not record.fitted]
    worst = {
        "records": len(fitted),
        "checked": len(checked),
        "worst_error_fit": _worst(fitted, model),
        "worst_error_check": _worst(checked, model) if checked else None,
    }
    print(json.dumps(worst))
    return 0 if max(worst["worst_error_fit"] or 0.0, worst["worst_error_check"] or 0.0) <= GOAL else 1


def _phase_line(record: Record, model: MemoryModel) -> str:
    """'training 13.20 (13.05)': measured and predicted of each phase."""
    phases = phases_of(record.recipe, record.spec, record.buckets, model.coefficients)
    return "  ".join(
        f"{phase.name} {record.phases[phase.name]:.2f} ({phase.total:.2f})"
        for phase in phases
        if phase.name in record.phases
    )


def _errors(record: Record, coefficients: Coefficients) -> Iterator[float]:
    """Relative errors of every phase, of the weights alone, and of main memory."""
    for phase in phases_of(record.recipe, record.spec, record.buckets, coefficients):
        measured = record.phases.get(phase.name, 0.0)
        if measured > 0:
            yield phase.total / measured - 1
    if record.weights_gib > 0:
        shape = architecture_of(record.spec)
        yield weights_gib(record.recipe.memory, shape, coefficients) / record.weights_gib - 1
    if record.host_peak_gib > 0:
        model = MemoryModel(source="", card="", date="", records=0, coefficients=coefficients)
        needed = predict(record.recipe, record.spec, record.buckets, model).ram
        yield 0.3 * (needed / record.host_peak_gib - 1)  # main memory varies with what the system keeps


def _least_squares(residuals: Callable[[Vector], Vector], start: Vector) -> Vector:
    """Levenberg and Marquardt's method with a numeric derivative; no coefficient goes below zero."""
    here, damping = start.copy(), 1e-3
    errors = residuals(here)
    for _ in range(_ITERATIONS):
        slope = _slope(residuals, here, errors)
        normal, pull = slope.T @ slope, slope.T @ errors
        while damping < 1e9:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), pull)
            there = np.maximum(here - step, 0.0)
            tried = residuals(there)
            if tried @ tried < errors @ errors:
                break
            damping *= 4
        else:
            return here
        gain = 1 - (tried @ tried) / (errors @ errors)
        here, errors, damping = there, tried, damping / 4
        if gain < 1e-9:
            return here
    return here


def _slope(residuals: Callable[[Vector], Vector], here: Vector, errors: Vector) -> Vector:
    columns: list[Vector] = []
    for index in range(len(here)):
        moved = here.copy()
        size = 1e-4 * max(abs(float(here[index])), 0.05)
        moved[index] += size
        columns.append((residuals(moved) - errors) / size)
    return np.stack(columns, axis=1)


def _flat(coefficients: Coefficients) -> dict[str, float]:
    """'weight_bytes.fp8-quanto' and 'reserve_gib', with their values. The context is measured by itself, and
    weights that are not quantised have a known size.
    """
    flat: dict[str, float] = {}
    for name, value in coefficients.model_dump().items():
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": float(item) for key, item in value.items() if key != "none"})
        elif name != "context_gib":
            flat[name] = float(value)
    return flat


def _shaped(flat: Mapping[str, float], start: Coefficients) -> Coefficients:
    raw = start.model_dump()
    for name, value in flat.items():
        group, _, key = name.partition(".")
        if key:
            raw[group][key] = round(value, 6)
        else:
            raw[group] = round(value, 6)
    return Coefficients.model_validate(raw)


def _worst(records: Sequence[Record], model: MemoryModel) -> float:
    return round(max(abs(peak_error(record, model)) for record in records), 4)


def _step_times(records: Sequence[Record]) -> Iterator[StepTime]:
    """The step of one batch: a step with accumulation takes as many of them."""
    for record in records:
        if record.step_s <= 0 or not record.alone:
            continue
        data, memory = record.recipe.data, record.recipe.memory
        yield StepTime(
            architecture=architecture_of(record.spec).name,
            quantization=memory.quantization,
            offload=memory.offload,
            gradient_checkpointing=memory.gradient_checkpointing,
            tokens=tokens(record.bucket, record.spec) * data.batch_size,
            step_s=round(record.step_s / data.gradient_accumulation_steps, 5),
            card=record.card,
        )


def _start_times(records: Sequence[Record]) -> Iterator[StartTime]:
    """Of runs that encoded and loaded everything."""
    for record in records:
        if record.clips and all(record.seconds.get(name) for name in ("text", "clips", "load")):
            yield StartTime(
                architecture=architecture_of(record.spec).name,
                loading_s=round(record.seconds["text"] + record.seconds["load"], 2),
                clip_s=round(record.seconds["clips"] / record.clips, 4),
                clip_pixels=math.prod(parse_bucket(record.bucket)),
            )


def _list(path: Path) -> list[dict[str, object]]:
    raw = json.loads(path.read_text(encoding="utf-8"))
    return [item for item in raw if isinstance(item, dict)] if isinstance(raw, list) else []


_SPARE_GIB = 0.6
"""What the allocator holds beyond what samples use; anything more is left from the phase before."""


def _held(raw: Mapping[str, object], phases: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """What each phase made the allocator hold. A whole training reports it from its start on, so that what
    an earlier phase held shows in a later one: loading is left out, and samples count what they used.
    """
    held = {name: float(item["reserved_gib"]) for name, item in phases.items() if name in _PHASES}
    if raw["kind"] != "precision":
        held.pop("load", None)
        if "samples" in held:
            held["samples"] = min(held["samples"], float(phases["samples"]["allocated_gib"]) + _SPARE_GIB)
    return {_PHASES[name]: value for name, value in held.items()}


def _weights(raw: Mapping[str, object], recipe: Recipe, spec: ModelSpec) -> float:
    """The base alone: a whole training reports it with the LoRA on it."""
    weights = _number(raw, "weights_gib")
    if weights == 0 or raw["kind"] == "precision":
        return weights
    return weights - 4 * lora_parameters(recipe, architecture_of(spec)) / GIB


def _record(raw: Mapping[str, object]) -> Record:
    kind, recipe = str(raw["kind"]), Recipe.model_validate(raw["recipe"])
    if kind == "precision":  # its steps give no first frame
        recipe = with_settings(recipe, {"data.first_frame_share": 0.0})
    phases = raw.get("phases") or {}
    assert isinstance(phases, dict)
    bucket = str(raw["bucket"])
    return Record(
        kind=kind,
        name=str(raw["name"]),
        card=str(raw["card"]),
        date=str(raw["date"]),
        recipe=recipe,
        spec=find_model(str(raw["model"])),
        bucket=bucket,
        phases=_held(raw, phases),
        seconds={name: float(item.get("seconds", 0.0)) for name, item in phases.items()},
        weights_gib=_weights(raw, recipe, find_model(str(raw["model"]))),
        peak_gib=_number(raw, "peak_reserved_gib"),
        context_gib=_number(raw, "context_gib"),
        host_peak_gib=_number(raw, "host_peak_gib"),
        step_s=_number(raw, "step_s"),
        alone=bool(raw.get("alone_on_card", True)),
        clips=int(_number(raw, "clips")) or (CLIPS if "clips" in phases else 0),
    )


def _number(raw: Mapping[str, object], name: str) -> float:
    value = raw.get(name) or 0.0
    assert isinstance(value, (int, float))
    return float(value)


if __name__ == "__main__":
    sys.exit(main())
