"""Memory and clips per minute of every captioner that runs a model on this computer.

    python benchmarks/captioners.py --measure [--only qwen3vl-4b] [--limits 0,24,12,8] [--work FOLDER]
    python benchmarks/captioners.py --check [--json]

--measure needs an NVIDIA card and no hub: models of the real size with random weights, in the layout of the
hub's cache, loaded and asked by the app's own job on clips of 5 s in 720p. Answers are as long as captions.
A limit is a card of so many GiB: torch is kept below it, and the captioner chooses precision and batch as on
such a card; 0 is the whole card. Each cell runs in a process of its own; all clips are timed after a first
batch. Motion counts as measured before: the time is that of decoding and of the model. Records are added to
benchmarks/results/captioners.json, from where the app takes what it shows. The model of 32 billion parameters
needs 63 GB at --work.

--check compares the records with what the app says of memory, and names what was not measured. Status 1: a
record contradicts the app.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from ltx_wizard.app.captioner_measures import WHOLE_CARD_GIB
from ltx_wizard.core import places
from ltx_wizard.core.documents import write_text_atomically
from ltx_wizard.core.lint import MEASURED_METHOD
from ltx_wizard.models.captioner_models import CAPTIONER_MODELS, DRIVER_GIB, CaptionerModel, captioner_model

if TYPE_CHECKING:
    from ltx_wizard.captioning.captioner import ToCaption

GIB = 1024**3
LIMITS_GIB = (0.0, 24.0, 12.0, 8.0)
CLIPS = 8
CLIP_S, CLIP_FPS, CLIP_SIZE = 5, 24, (1280, 720)
CELL_S = 560


@dataclass(frozen=True)
class Record:
    """One cell. limit_gib: of the card that is played; 0: the whole card. peak_gib: torch's reserved memory
    and the driver's; it is what a card must have. load_s: from files, which the system may have in memory.
    """

    captioner: str
    limit_gib: float
    precision: str
    batch: int
    weights_gib: float
    peak_gib: float
    clips_per_minute: float
    load_s: float
    words: float
    card: str
    date: str
    command: str
    ok: bool
    error: str = ""


def cells(limits: Sequence[float], only: str = "") -> list[tuple[CaptionerModel, float]]:
    """What there is to measure: every model on every card that the app says holds it."""
    return [
        (model, limit)
        for model in CAPTIONER_MODELS
        if not only or model.id == only
        for limit in limits
        if not limit or model.precision_for(limit)
    ]


def read_records(path: Path) -> list[Record]:
    if not path.is_file():
        return []
    return [Record(**record) for record in json.loads(path.read_text(encoding="utf-8"))]


def write_records(path: Path, records: Sequence[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps([asdict(record) for record in records], indent=1) + "\n")


def check(records: Sequence[Record]) -> tuple[list[str], list[str]]:
    """(contradictions, what was not measured), in words."""
    wrong: list[str] = []
    for record in records:
        model = captioner_model(record.captioner)
        name = _cell_name(record.captioner, record.limit_gib)
        if model is None:
            wrong.append(f"{name}: there is no such captioner")
        elif not record.ok:
            wrong.append(f"{name}: the app says that it fits, and it failed: {record.error}")
        elif record.limit_gib and record.peak_gib > record.limit_gib and record.batch <= batch_now(record):
            wrong.append(f"{name}: took {record.peak_gib:.1f} GiB")
    measured = {(record.captioner, record.limit_gib) for record in records}
    missing = [
        _cell_name(model.id, limit) for model, limit in cells(LIMITS_GIB) if (model.id, limit) not in measured
    ]
    missing += [
        f"{_cell_name(record.captioner, record.limit_gib)} with {batch_now(record)} clips at once; "
        f"{record.batch} took {record.peak_gib:.1f} GiB"
        for record in records
        if record.ok and record.limit_gib and record.peak_gib > record.limit_gib
    ]
    return wrong, missing


def batch_now(record: Record) -> int:
    """How many clips the app captions at once on such a card: fewer, maybe, than when it was measured."""
    model = captioner_model(record.captioner)
    if model is None:
        return record.batch
    return model.clips_at_once((record.limit_gib or WHOLE_CARD_GIB) - DRIVER_GIB - record.weights_gib)


def _cell_name(captioner: str, limit_gib: float) -> str:
    return f"{captioner} on {f'{limit_gib:.0f} GiB' if limit_gib else 'the whole card'}"


def show(records: Sequence[Record]) -> None:
    """The table of RESULTS.md."""
    names = ("captioner", "card", "kept as", "at once", "now", "weights GiB", "peak GiB", "clips a minute")
    print(f"| {' | '.join(names)} | measured on |")
    print("|---" * (len(names) + 1) + "|")
    for record in records:
        card = f"{record.limit_gib:.0f} GiB" if record.limit_gib else "whole"
        print(
            f"| {record.captioner} | {card} | {record.precision} | {record.batch} | {batch_now(record)} "
            f"| {record.weights_gib:.1f} | {record.peak_gib:.1f} | {record.clips_per_minute:.1f} "
            f"| {record.card}, {record.date} |"
            if record.ok
            else f"| {record.captioner} | {card} | failed: {record.error} | | | | | {record.card} |"
        )


def measure(model: CaptionerModel, limit_gib: float, work: Path, tiny: bool, device: str) -> Record:
    """One cell, in this process. The cache in `work` holds the model already."""
    import torch
    from huggingface_hub import constants

    from ltx_wizard.captioning import captioner as captioning
    from ltx_wizard.captioning.florence2 import Florence2Captioner
    from ltx_wizard.captioning.local_model import device_and_precision
    from ltx_wizard.captioning.vision_llm import VisionCaptioner
    from ltx_wizard.core.caption import word_count
    from ltx_wizard.core.project import Project
    from ltx_wizard.core.report import SilentReport
    from ltx_wizard.core.run import CaptionJob
    from ltx_wizard.dataset.dataset import read_clips

    constants.HF_HUB_CACHE = str(work / "hub")
    on_card = device == "cuda"
    if on_card and limit_gib:
        total = torch.cuda.get_device_properties(0).total_memory / GIB
        torch.cuda.set_per_process_memory_fraction((limit_gib - DRIVER_GIB) / total)
    project = Project.open(work / "project")
    kind = Florence2Captioner if model.family == "florence2" else VisionCaptioner
    made = kind(model, limit_gib)
    _, precision = device_and_precision(model, limit_gib)
    began = time.monotonic()
    made.load()
    load_s = time.monotonic() - began
    weights_gib = torch.cuda.memory_allocated() / GIB if on_card else 0.0
    made.load = made.close = lambda: None  # type: ignore[method-assign] - one loading for both rounds
    ask, answers = made.caption, list[str]()

    def answer(clips: Sequence[ToCaption]) -> list[str]:
        """Words of random weights are nonsense, which the app refuses: a sentence stands in their place."""
        found = ask(clips)
        answers.extend(found)
        return [f"Clip {clip.path.stem} pans to the right over a noisy picture." for clip in clips]

    made.caption = answer  # type: ignore[method-assign]
    entry = captioning.CaptionerEntry(made.title, "", lambda _: made, model)
    captioning.CAPTIONERS[model.id] = entry
    first = tuple(clip.id for clip in read_clips(project)[: made.batch])
    captioning.run_caption(
        project, CaptionJob(captioner=model.id, overwrite=True, clip_ids=first), SilentReport()
    )
    job = CaptionJob(captioner=model.id, overwrite=True)
    began = time.monotonic()
    result = captioning.run_caption(project, job, SilentReport())
    seconds = time.monotonic() - began
    clips = read_clips(project)
    assert result["captioned"] == len(clips), result
    peak_gib = 0.0
    if on_card:
        free, total_bytes = torch.cuda.mem_get_info()
        context = total_bytes - free - torch.cuda.memory_reserved()
        peak_gib = (torch.cuda.max_memory_reserved() + context) / GIB
    return Record(
        captioner=model.id,
        limit_gib=limit_gib,
        precision=precision,
        batch=made.batch,
        weights_gib=round(weights_gib, 3),
        peak_gib=round(peak_gib, 3),
        clips_per_minute=round(60 * len(clips) / seconds, 2),
        load_s=round(load_s, 2),
        words=round(sum(word_count(text) for text in answers) / len(answers), 1),
        card=torch.cuda.get_device_name(0) if on_card else "CPU",
        date=datetime.date.today().isoformat(),
        command=shlex.join(["python", "benchmarks/captioners.py", *sys.argv[1:]]),
        ok=True,
    )


def write_project(work: Path, clips: int, size: tuple[int, int], seconds: int) -> None:
    """A project with clips in which a noisy picture is panned over: nothing that a decoder could skip."""
    import cv2
    import numpy as np

    from ltx_wizard.captioning.measured import Kept, motion_file
    from ltx_wizard.core.clip import Clip, MediaKind
    from ltx_wizard.core.project import Project, ProjectSettings
    from ltx_wizard.dataset.dataset import add_clips
    from ltx_wizard.media.transcode import write_video

    project = Project.create(work / "project", ProjectSettings(name="Captioners"))
    project.clips_folder.mkdir()
    rng = np.random.default_rng(0)
    width, height = size
    frames = seconds * CLIP_FPS
    made: list[Clip] = []
    for index in range(clips):
        noise = rng.integers(0, 255, (height // 8, width // 4, 3), dtype=np.uint8)
        wide = cv2.resize(noise, (2 * width, height), interpolation=cv2.INTER_CUBIC)
        steps = [width * frame // frames for frame in range(frames)]
        video = np.stack([wide[:, left : left + width] for left in steps])
        file = project.clips_folder / f"c{index:02d}.mp4"
        write_video(np.asarray(video, dtype=np.uint8), file, CLIP_FPS, None)
        made.append(
            Clip(
                id=file.stem,
                source_id="made",
                file=f"clips/{file.name}",
                kind=MediaKind.VIDEO,
                width=width,
                height=height,
                fps=CLIP_FPS,
                frames=frames,
                duration_s=float(seconds),
            )
        )
    add_clips(project, made)
    for clip in made:
        kept = Kept(
            method=MEASURED_METHOD,
            size_bytes=project.path(clip.file).stat().st_size,
            duration_s=float(seconds),
            camera=("pans right",),
            camera_speed="slowly",
            camera_sure=True,
        )
        write_text_atomically(motion_file(project, clip), kept.model_dump_json())


def measure_all(given: argparse.Namespace) -> list[Record]:
    """Every cell in a process of its own; the model is written once for all its cells."""
    import random_captioners

    limits = [float(text) for text in given.limits.split(",")]
    records = read_records(given.out)
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        work = Path(folder)
        size, seconds = ((128, 64), 2) if given.tiny else (CLIP_SIZE, CLIP_S)
        write_project(work, 2 if given.tiny else CLIPS, size, seconds)
        todo = cells(limits, given.only)
        for model in dict.fromkeys(model for model, _ in todo):
            try:
                random_captioners.put_in_cache(model, work / "hub", tiny=given.tiny)
            except OSError as error:
                print(f"{model.id}: its weights could not be written to {work}: {error}", flush=True)
                continue
            for limit in [limit for other, limit in todo if other is model]:
                record = _in_a_process(model, limit, work, given)
                print(json.dumps(asdict(record)), flush=True)
                records = [
                    known for known in records if (known.captioner, known.limit_gib) != (model.id, limit)
                ] + [record]
                write_records(given.out, records)
            shutil.rmtree(work / "hub")
    return records


def _in_a_process(model: CaptionerModel, limit_gib: float, work: Path, given: argparse.Namespace) -> Record:
    options = ["--cell", model.id, str(limit_gib), "--work", str(work), "--device", given.device]
    command = [sys.executable, __file__, *options, *(["--tiny"] if given.tiny else [])]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CELL_S, check=False, env=dict(os.environ)
        )
        if done.returncode == 0:
            return Record(**json.loads(done.stdout.splitlines()[-1]))
        error = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1][:300]
    except subprocess.TimeoutExpired:
        error = f"not done after {CELL_S} s"
    return Record(
        captioner=model.id,
        limit_gib=limit_gib,
        precision="",
        batch=0,
        weights_gib=0.0,
        peak_gib=0.0,
        clips_per_minute=0.0,
        load_s=0.0,
        words=0.0,
        card=given.device,
        date=datetime.date.today().isoformat(),
        command=shlex.join(command),
        ok=False,
        error=error,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Memory and clips per minute of captioners.")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true", help="the result as JSON on the last line")
    parser.add_argument("--only", default="", help="one captioner")
    parser.add_argument("--limits", default=",".join(f"{limit:.0f}" for limit in LIMITS_GIB))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--out", type=Path, default=places.CAPTIONER_MEASURES)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="a test of this file")
    parser.add_argument("--cell", nargs=2, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.cell:
        model = captioner_model(given.cell[0])
        assert model is not None
        print(json.dumps(asdict(measure(model, float(given.cell[1]), given.work, given.tiny, given.device))))
        return 0
    records = measure_all(given) if given.measure else read_records(given.out)
    wrong, missing = check(records)
    show(records)
    for line in wrong:
        print(f"Contradiction: {line}")
    for line in missing:
        print(f"Not measured: {line}")
    if given.json:
        print(json.dumps({"measured": len(records), "wrong": wrong, "not_measured": missing}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
