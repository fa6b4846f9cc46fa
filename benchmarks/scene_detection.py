"""Compares what finds cuts, fades and dissolves: the detectors of PySceneDetect, and what the app uses.

    python benchmarks/scene_detection.py            the tables
    python benchmarks/scene_detection.py --json     and one JSON object on the last line

Videos of 25 real shots each, joined by hard cuts, fades through black and dissolves (joined.py), with
flashes, lights that are turned up and moving cameras in between. The app's own limits were set on the part
'tuning'; 'test' has other shots and joins. No GPU, no model, no ffmpeg.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from joined import Joined, write_joined
from scenedetect import (
    AdaptiveDetector,
    ContentDetector,
    HashDetector,
    HistogramDetector,
    SceneDetector,
    SceneManager,
    ThresholdDetector,
    open_video,
)

from ltx_wizard.core.clip import Scene
from ltx_wizard.core.project import SceneSettings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.dataset.scenes import find_scenes
from ltx_wizard.media.video import MediaFacts, probe

SEEDS, SHOTS = (1, 2), 25
WANTED = 0.95
BACKENDS = ("pyav", "opencv")
HARD_CUT_FRAMES, SOFT_EDGE_FRAMES = 1, 4
"""How far off a cut may be: from a hard cut, and outside of a fade or dissolve."""

DETECTORS: dict[str, Callable[[], list[SceneDetector]]] = {
    "AdaptiveDetector 3": lambda: [AdaptiveDetector()],
    "ContentDetector 27": lambda: [ContentDetector()],
    "HashDetector 0.35": lambda: [HashDetector()],
    "HistogramDetector 0.2": lambda: [HistogramDetector()],
    "ThresholdDetector 12": lambda: [ThresholdDetector()],
    "Adaptive + Threshold": lambda: [AdaptiveDetector(), ThresholdDetector()],
}
OURS = {"the app, adaptive": "adaptive", "the app, content": "content"}
APP = "the app, adaptive"


@dataclass
class Tally:
    """found of the joins, by kind. false: cuts that belong to none. left_frames: of fades and dissolves, in
    scenes that are kept.
    """

    joins: dict[str, int]
    found: dict[str, int]
    cuts: int = 0
    false: int = 0
    left_frames: int = 0
    frames: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0

    @property
    def recall(self) -> float:
        return sum(self.found.values()) / max(sum(self.joins.values()), 1)

    @property
    def precision(self) -> float:
        return (self.cuts - self.false) / self.cuts if self.cuts else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scene-detection-") as name:
        result = measure(Path(name))
    print_tables(result)
    if given.json:
        print(json.dumps(result))


def measure(folder: Path) -> dict[str, Any]:
    parts = {part: [write_joined(part, seed, SHOTS, folder) for seed in SEEDS] for part in ("tuning", "test")}
    rows = [
        row(name, "own", part, videos, lambda path, detector=detector: app_scenes(path, detector))
        for part, videos in parts.items()
        for name, detector in OURS.items()
    ]
    rows += [
        row(name, backend, "test", parts["test"], lambda path, m=make, b=backend: peer_scenes(path, m(), b))
        for name, make in DETECTORS.items()
        for backend in BACKENDS
    ]
    chosen = next(item for item in rows if item["detector"] == APP and item["part"] == "test")
    return {
        "precision": chosen["precision"],
        "recall": chosen["recall"],
        "frames_per_s": chosen["frames_per_s"],
        "frames_per_cpu_s": chosen["frames_per_cpu_s"],
        "detector": APP,
        "rows": rows,
        "frames": {part: sum(video.frames for video in videos) for part, videos in parts.items()},
        "load_1min": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else -1.0,
        "ffmpeg_on_path": shutil.which("ffmpeg") is not None,
    }


def row(
    name: str, backend: str, part: str, videos: Sequence[Joined], scenes_of: Callable[[Path], Sequence[Scene]]
) -> dict[str, Any]:
    """One line of the table."""
    tally = Tally(joins={}, found={})
    for video in videos:
        _facts(video.path)
        start, cpu = time.perf_counter(), time.process_time()
        scenes = scenes_of(video.path)
        tally.seconds += time.perf_counter() - start
        tally.cpu_s += time.process_time() - cpu
        count(tally, video, scenes)
    return {
        "detector": name,
        "backend": backend,
        "part": part,
        "precision": round(tally.precision, 4),
        "recall": round(tally.recall, 4),
        **{f"{kind}s": f"{tally.found[kind]} of {tally.joins[kind]}" for kind in sorted(tally.joins)},
        "false": tally.false,
        "left_frames": tally.left_frames,
        "frames_per_s": round(tally.frames / tally.seconds, 1),
        "frames_per_cpu_s": round(tally.frames / tally.cpu_s, 1),
    }


def count(tally: Tally, video: Joined, scenes: Sequence[Scene]) -> None:
    """A hard cut is one cut, at most a frame off. A fade or dissolve may be cut at both sides: two at most.
    Every other cut is false.
    """
    cuts = [scene.start_frame for scene in scenes[1:]]
    good: set[int] = set()
    for join in video.joins:
        reach, most = (HARD_CUT_FRAMES, 1) if join.kind == "cut" else (SOFT_EDGE_FRAMES, 2)
        near = [cut for cut in cuts if join.start - reach <= cut <= join.end + reach and cut not in good]
        tally.joins[join.kind] = tally.joins.get(join.kind, 0) + 1
        tally.found[join.kind] = tally.found.get(join.kind, 0) + bool(near)
        good.update(near[:most])
    tally.cuts += len(cuts)
    tally.false += len(cuts) - len(good)
    tally.frames += video.frames
    kept = [scene for scene in scenes if scene.keep]
    tally.left_frames += sum(
        max(0, min(scene.end_frame, join.end) - max(scene.start_frame, join.start))
        for join in video.joins
        for scene in kept
    )


def app_scenes(path: Path, detector: str) -> Sequence[Scene]:
    """As the step Scenes does it; that a video was measured when it was added is not in the time."""
    return find_scenes(path, _facts(path), SceneSettings(detector=detector), SilentReport())


@lru_cache
def _facts(path: Path) -> MediaFacts:
    return probe(path)


def peer_scenes(path: Path, detectors: Sequence[SceneDetector], backend: str) -> Sequence[Scene]:
    """What PySceneDetect gives by itself, with its defaults."""
    video = open_video(str(path), backend=backend)
    manager = SceneManager()
    for detector in detectors:
        manager.add_detector(detector)
    manager.detect_scenes(video)
    return [
        Scene(
            start_frame=start.frame_num,
            end_frame=end.frame_num,
            start_s=start.seconds,
            end_s=end.seconds,
        )
        for start, end in manager.get_scene_list(start_in_scene=True)
    ]


def print_tables(result: dict[str, Any]) -> None:
    print(
        "| detector | backend | part | precision | recall | cuts | fades | dissolves | false "
        "| transition frames in clips | frames/s | frames/CPU-s |"
    )
    print("|---" * 12 + "|")
    for item in result["rows"]:
        print(
            f"| {item['detector']} | {item['backend']} | {item['part']} | {item['precision']:.3f} "
            f"| {item['recall']:.3f} | {item['cuts']} | {item['fades']} | {item['dissolves']} "
            f"| {item['false']} | {item['left_frames']} | {item['frames_per_s']:.0f} "
            f"| {item['frames_per_cpu_s']:.0f} |"
        )
    good = min(result["precision"], result["recall"]) >= WANTED
    print(f"Load of the machine {result['load_1min']}. Both at least {WANTED}: {'yes' if good else 'NO'}.")


if __name__ == "__main__":
    main()
