"""How often measured motion is right, and how fast it is.

    python benchmarks/camera_motion.py            the tables
    python benchmarks/camera_motion.py --json     and one JSON object on the last line
    --clips FOLDER   keep the 144 clips there (some minutes to make, 400 MB); otherwise they go again

Camera: 60 windows that move over real footage, and 12 held by hand, in 5-second 720p clips written by the
app's own cutter. Thresholds may be tuned on the part 'tuning' only, which has other footage; 'test' is the
figure that counts. Real scenes are compared with labels by hand (real_scenes.json). The 40 scenes of the
sample project show shapes before plain grounds: no caption of theirs may be contradicted. Light, cuts and
subjects have their own cases. Speed is measured alone, and in the app's job that drafts captions. No GPU, no
model, no ffmpeg.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filmed import FPS, FRAMES, SIZE, Footage, Window, film, footage_file, windows, write_window
from PIL import Image

from ltx_wizard.captioning.captioner import run_caption
from ltx_wizard.captioning.motion import MotionFacts, measure_motion
from ltx_wizard.core import places
from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.lint import Measured, contradiction
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CaptionJob
from ltx_wizard.dataset.dataset import add_clips
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import Frame, cover, read_frames

LABELS = Path(__file__).with_name("real_scenes.json")
WANTED_ACCURACY, WANTED_CLIPS_PER_S, CORES = 0.95, 4.0, 2
SMALL, SAMPLE_FPS = (480, 270), 8


@dataclass
class Score:
    """right of all; what was wrong, in words."""

    right: int = 0
    all: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.right / self.all if self.all else 1.0

    def add(self, is_right: bool, what: str) -> None:
        self.all += 1
        self.right += is_right
        if not is_right:
            self.wrong.append(what)


@dataclass(frozen=True)
class Speed:
    """clips_per_s: by the clock, two at once; in_app: in the job that drafts captions, each saved at once.
    cpu_s: processor time of one. load_1min: of the machine.
    """

    clips_per_s: float
    clips_per_s_in_app: float
    clips_per_s_one: float
    cpu_s: float
    cpu_s_in_app: float
    clips_per_s_from_cpu: float
    load_1min: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--clips", type=Path, help="folder that keeps the clips")
    given = parser.parse_args()
    folder = given.clips or Path(tempfile.mkdtemp(prefix="camera-motion-"))
    try:
        result = measure(folder)
    finally:
        if not given.clips:
            shutil.rmtree(folder, ignore_errors=True)
    print_tables(result)
    if given.json:
        print(json.dumps(result))


def measure(folder: Path) -> dict[str, Any]:
    paths = {part: [write_window(window, folder) for window in windows(part)] for part in ("tuning", "test")}
    found = {part: measure_all(files) for part, files in paths.items()}
    camera = {part: camera_scores(windows(part), facts) for part, facts in found.items()}
    speed = measure_speed(paths["test"])
    sample = sample_scores(folder)
    cuts = cut_score(folder, found["test"])
    others = {
        "real scenes: camera": (real := real_scores(folder))["camera"],
        "real scenes: subject's direction": real["subject"],
        "real scenes: light": real["light"],
        "subject's direction, still camera": subject_score(folder),
        "sample project: caption not contradicted": sample["contradicted"],
        "sample project: right where sure": sample["sure"],
        "brightness": brightness_score(folder),
        "colour temperature": temperature_score(folder),
        "light that changes": change_score(folder),
    }
    return {
        "accuracy": camera["test"]["seven moves"]["accuracy"],
        "accuracy_tuning_part": camera["tuning"]["seven moves"]["accuracy"],
        "accuracy_every_label": camera["test"]["every label"]["accuracy"],
        "handheld": camera["test"]["handheld"]["accuracy"],
        "clips_per_s": speed.clips_per_s,
        **{f"speed_{key}": value for key, value in asdict(speed).items()},
        "camera": camera,
        "cuts": cuts,
        "others": {name: as_dict(score) for name, score in others.items()},
        "precision": cuts["precision"],
        "recall": cuts["recall"],
        "ffmpeg_on_path": shutil.which("ffmpeg") is not None,
    }


def measure_all(paths: Sequence[Path]) -> list[MotionFacts]:
    """Two at once, as the app does on two cores."""
    with ThreadPoolExecutor(CORES) as pool:
        return list(pool.map(measure_motion, paths))


def camera_scores(planned: Sequence[Window], found: Sequence[MotionFacts]) -> dict[str, Any]:
    """seven moves: the move is named, and no other one. every label: no handheld besides, either. said: of
    the clips whose camera the app is sure of, those with the right move.
    """
    moves, every, handheld, said = Score(), Score(), Score(), Score()
    for window, facts in zip(planned, found, strict=True):
        got = set(facts.camera)
        what = f"{window.footage.name}, {window.move}: {', '.join(facts.camera) or 'nothing'}"
        what += "" if facts.camera_sure else " (not sure)"
        if window.move == "handheld":
            handheld.add("handheld" in got, what)
            continue
        right = ((got - {"handheld"}) or {"static"}) == {window.move}
        if window.move == "static" and window.footage.quiet:
            right = got == {"static"}
        moves.add(right, what)
        every.add(got == {window.move}, what)
        if facts.camera_sure:
            said.add(right, what)
    scores = {"seven moves": moves, "every label": every, "handheld": handheld, "where sure": said}
    return {name: as_dict(score) for name, score in scores.items()}


def measure_speed(paths: Sequence[Path]) -> Speed:
    """Every clip once, two at a time, and every third alone; after one for warming up."""
    measure_motion(paths[0])
    start, cpu = time.perf_counter(), time.process_time()
    measure_all(paths)
    seconds, cpu_s = time.perf_counter() - start, (time.process_time() - cpu) / len(paths)
    drafted, drafted_cpu_s = draft_in_app(paths)
    alone = paths[::3]
    start = time.perf_counter()
    for path in alone:
        measure_motion(path)
    return Speed(
        clips_per_s=round(len(paths) / seconds, 2),
        clips_per_s_in_app=round(drafted, 2),
        clips_per_s_one=round(len(alone) / (time.perf_counter() - start), 2),
        cpu_s=round(cpu_s, 3),
        cpu_s_in_app=round(drafted_cpu_s, 3),
        clips_per_s_from_cpu=round(CORES / cpu_s, 2),
        load_1min=round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else -1.0,
    )


def draft_in_app(paths: Sequence[Path]) -> tuple[float, float]:
    """The job 'Draft from motion' over a project of these clips: clips per second, processor time of one."""
    with tempfile.TemporaryDirectory(dir=paths[0].parent) as home:
        project = Project.create(Path(home) / "project", ProjectSettings(name="Speed"))
        project.clips_folder.mkdir(exist_ok=True)
        for path in paths:
            shutil.copy2(path, project.clips_folder / path.name)
        clips = [
            Clip(
                id=path.stem, source_id="s", file=f"clips/{path.name}", kind=MediaKind.VIDEO, width=SIZE[0],
                height=SIZE[1], fps=FPS, frames=FRAMES, duration_s=FRAMES / FPS,
            )
            for path in paths
        ]  # fmt: skip
        add_clips(project, clips)
        start, cpu = time.perf_counter(), time.process_time()
        done = run_caption(project, CaptionJob(captioner="motion"), SilentReport())
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
        assert done["captioned"] == len(paths)
    return len(paths) / seconds, cpu_s / len(paths)


def sample_scores(folder: Path) -> dict[str, Score]:
    """contradicted: right where the check of captions finds nothing against the scene's own caption, which is
    right. sure: of the scenes whose camera the app is sure of, those whose caption says so.
    """
    scores = {"contradicted": Score(), "sure": Score()}
    for number, (frames, caption) in enumerate(sample_scenes()):
        path = folder / f"sample-{number:02d}.mp4"
        if not path.is_file():
            write_video(iter(frames), path, SAMPLE_FPS)
        facts = measure_motion(path)
        against = contradiction(caption, Measured(facts.camera, facts.camera_sure))
        what = f"{', '.join(facts.camera) or 'nothing'}: {caption}"
        scores["contradicted"].add(not against, what)
        if facts.camera_sure:
            moves = "pans" in caption or "tilts" in caption
            scores["sure"].add((facts.camera == ("static",)) is not moves, what)
    return scores


def sample_scenes() -> Iterator[tuple[list[Frame], str]]:
    """Frames and caption of each scene; those that are joined in one video come apart again."""
    for path in sorted(places.SAMPLE_PROJECT.rglob("*.mp4")):
        frames = list(read_frames(path, 0, 10_000))
        beside = path.with_name(f"{path.stem}.captions.json")
        if not beside.exists():
            yield frames, path.with_suffix(".txt").read_text(encoding="utf-8").strip()
            continue
        captions = json.loads(beside.read_text(encoding="utf-8"))
        length = len(frames) // len(captions)
        for number, item in enumerate(captions):
            yield frames[number * length : (number + 1) * length], item["caption"]


def cut_score(folder: Path, whole: Sequence[MotionFacts]) -> dict[str, Any]:
    """Twelve clips with one cut each, and 72 without: of the cuts, how many are found to an eighth second."""
    planned = windows("test")
    draw = random.Random("cuts")
    found = wanted = false = 0
    for number in range(12):
        first, second = draw.sample([item for item in planned if item.move != "handheld"], 2)
        while first.footage.file == second.footage.file:
            first, second = draw.sample(planned, 2)
        at = draw.randint(30, 95)
        path = folder / f"cut-{number:02d}.mp4"
        if not path.is_file():
            frames = [cover(frame, *SMALL) for frame in film(first, range(at))]
            frames += [cover(frame, *SMALL) for frame in film(second, range(at, FRAMES))]
            write_video(iter(frames), path, FPS)
        cuts = measure_motion(path).cuts_s
        near = [cut for cut in cuts if abs(cut - at / FPS) <= 0.125]
        wanted += 1
        found += bool(near)
        false += len(cuts) - bool(near)
    false += sum(len(facts.cuts_s) for facts in whole)
    return {
        "recall": found / wanted,
        "precision": found / max(found + false, 1),
        "cuts": wanted,
        "clips_without": len(whole),
    }


def real_scores(folder: Path) -> dict[str, Score]:
    """Labels by hand for real shots."""
    scores = {"camera": Score(), "subject": Score(), "light": Score()}
    for scene in json.loads(LABELS.read_text(encoding="utf-8"))["scenes"]:
        source = footage_file(scene["package"], scene["file"])
        path = folder / f"real-{scene['name'].replace(' ', '-').replace(',', '')}.mp4"
        if not path.is_file():
            write_video(read_frames(source, scene["start"], scene["end"]), path, 25)
        facts = measure_motion(path)
        name, got = scene["name"], set(facts.camera)
        right = any(got - {"handheld"} == set(labels) - {"handheld"} for labels in scene["camera"]) or any(
            got == set(labels) for labels in scene["camera"]
        )
        scores["camera"].add(right, f"{name}: {', '.join(facts.camera) or 'nothing'}")
        if scene["subject"]:
            scores["subject"].add(
                facts.subject_direction in scene["subject"],
                f"{name}: {facts.subject_direction or 'nothing'}",
            )
        words = set(facts.light)
        fits = not words & set(scene["not_light"]) and all(words & set(some) for some in scene["light"])
        scores["light"].add(fits, f"{name}: {', '.join(facts.light) or 'nothing'}")
    return scores


def subject_score(folder: Path) -> Score:
    """A cut-out with a soft edge crosses a still picture: four directions, two speeds, two pictures each."""
    score = Score()
    stills = {item.footage.name: item.footage for item in windows("test") if "still" in item.footage.name}
    grounds = [_still(stills["bus stop, still"]), _still(stills["bicycle, still"])]
    thing = cv2.resize(_still(stills["meadow, still"])[300:680, 150:600], (110, 120))
    mask = cv2.ellipse(np.zeros((120, 110), np.float32), (55, 60), (50, 55), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (9, 9), 0)[..., None]
    steps = {"to the right": (1, 0), "to the left": (-1, 0), "downwards": (0, 1), "upwards": (0, -1)}
    for number, ground in enumerate(grounds):
        for direction, (x, y) in steps.items():
            for speed in (1.0, 2.5):
                frames: list[Frame] = []
                for index in range(50):
                    left = round(185 + x * speed * (index - 25))
                    top = round(75 + y * speed * (index - 25))
                    picture = cover(ground, *SMALL).copy()
                    piece = picture[top : top + 120, left : left + 110]
                    picture[top : top + 120, left : left + 110] = piece * (1 - mask) + thing * mask
                    frames.append(picture)
                path = folder / f"subject-{number}-{direction.replace(' ', '-')}-{speed:g}.mp4"
                write_video(iter(frames), path, FPS)
                facts = measure_motion(path)
                what = f"{direction} at {speed:g} px a frame: {facts.subject_direction or 'nothing'}"
                score.add(facts.camera == ("static",) and facts.subject_direction == direction, what)
    return score


def brightness_score(folder: Path) -> Score:
    """Stills of all parts, first made neutral, then brought to a mean lightness (CIELAB) that a word has."""
    score = Score()
    for name, still in _neutral_stills().items():
        for lightness, wanted in ((13, "dark"), (27, "dim"), (52, ""), (85, "bright")):
            words = set(_image_light(folder, _with_lightness(still, lightness)))
            got = words & {"dark", "dim", "bright"}
            score.add(
                got == ({wanted} if wanted else set()),
                f"{name} at {lightness}: {', '.join(got) or 'no word'}",
            )
    return score


def temperature_score(folder: Path) -> Score:
    """Stills made neutral (grey world), then under a lamp, in the shade, without colour, and as they are."""
    score = Score()
    for name, still in _neutral_stills().items():
        grey = cv2.cvtColor(cv2.cvtColor(still, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        for wanted, picture in (
            ("warm", _gained(still, (1.2, 1.0, 0.6))),
            ("cool", _gained(still, (0.75, 0.95, 1.3))),
            ("black and white", np.asarray(grey, dtype=np.uint8)),
            ("", still),
        ):
            got = set(_image_light(folder, picture)) & {"warm", "cool", "black and white"}
            score.add(
                got == ({wanted} if wanted else set()),
                f"{name}, {wanted or 'neutral'}: {', '.join(got) or 'no word'}",
            )
    return score


def change_score(folder: Path) -> Score:
    """A light turned up, turned down, or left alone, over a still and over the rabbit."""
    score = Score()
    footage = {item.footage.name: item.footage for item in windows("test")}
    for name in ("bicycle, still", "bus stop, still", "rabbit, live"):
        item = footage[name]
        frames = list(read_frames(footage_file(item.package, item.file), item.start, item.end))[:75]
        frames = [cover(frame, *SMALL) for frame in (frames * 75)[:75]]
        for wanted, gains in (("grows brighter", (0.4, 1.1)), ("grows darker", (1.0, 0.3)), ("", (1.0, 1.0))):
            path = folder / f"light-{name.split(',')[0].replace(' ', '-')}-{wanted.replace(' ', '-')}.mp4"
            lit = [
                np.clip(frame * gain, 0, 255).astype(np.uint8)
                for frame, gain in zip(frames, np.linspace(*gains, len(frames)), strict=True)
            ]
            write_video(iter(lit), path, FPS)
            facts = measure_motion(path)
            score.add(facts.light_change == wanted, f"{name}: {facts.light_change or 'no change'}")
    return score


def _neutral_stills() -> dict[str, Frame]:
    names = {item.footage.name: item.footage for part in ("tuning", "test") for item in windows(part)}
    found: dict[str, Frame] = {}
    for name, footage in names.items():
        picture = cover(_still(footage), *SMALL).astype(np.float32)
        balanced = picture * (picture.mean() / np.maximum(picture.mean(axis=(0, 1)), 1))
        found[name] = np.clip(balanced, 0, 255).astype(np.uint8)
    return found


def _still(footage: Footage) -> Frame:
    return next(read_frames(footage_file(footage.package, footage.file), footage.start, footage.start + 1))


def _with_lightness(picture: Frame, wanted: float) -> Frame:
    """Gamma until the mean of L* (0 to 100) is the one that is wanted."""
    low, high = 0.05, 20.0
    adjusted = picture
    for _ in range(24):
        gamma = (low * high) ** 0.5
        adjusted = np.asarray((picture / 255.0) ** gamma * 255, dtype=np.uint8)
        lightness = cv2.cvtColor(adjusted, cv2.COLOR_RGB2LAB)[..., 0].mean() / 2.55
        low, high = (gamma, high) if lightness > wanted else (low, gamma)
    return adjusted


def _gained(picture: Frame, gains: tuple[float, float, float]) -> Frame:
    return np.clip(picture * np.array(gains), 0, 255).astype(np.uint8)


def _image_light(folder: Path, picture: Frame) -> tuple[str, ...]:
    path = folder / "light.png"
    Image.fromarray(picture).save(path)
    return measure_motion(path).light


def as_dict(score: Score) -> dict[str, Any]:
    return {"accuracy": round(score.share, 4), "right": score.right, "all": score.all, "wrong": score.wrong}


def print_tables(result: dict[str, Any]) -> None:
    for part, scores in result["camera"].items():
        print(f"\nCamera, part '{part}'")
        for name, score in scores.items():
            print(f"  {name:14s} {score['right']:3d} of {score['all']:3d}  {score['accuracy']:.1%}")
            for what in score["wrong"]:
                print(f"      {what}")
    cuts = result["cuts"]
    print(
        f"\nCuts inside: recall {cuts['recall']:.1%}, precision {cuts['precision']:.1%} "
        f"({cuts['cuts']} cuts, {cuts['clips_without']} clips without)"
    )
    for name, score in result["others"].items():
        print(f"{name:34s} {score['right']:3d} of {score['all']:3d}")
        for what in score["wrong"]:
            print(f"      {what}")
    print(
        f"\n{SIZE[0]} x {SIZE[1]}, 5 s: {result['clips_per_s']} clips a second, two at once; "
        f"{result['speed_cpu_s']} s of processor each, which is {result['speed_clips_per_s_from_cpu']} clips "
        f"a second on {CORES} free cores; load of the machine {result['speed_load_1min']}. In the job that "
        f"drafts captions: {result['speed_clips_per_s_in_app']} clips a second, "
        f"{result['speed_cpu_s_in_app']} s of processor each"
    )
    yes_or_no = {
        f"at least {WANTED_ACCURACY:.0%}": result["accuracy"] >= WANTED_ACCURACY,
        f"{WANTED_CLIPS_PER_S:g} clips a second by the clock": result["clips_per_s"] >= WANTED_CLIPS_PER_S,
        "in the app by the clock": result["speed_clips_per_s_in_app"] >= WANTED_CLIPS_PER_S,
        "in the app by processor time": CORES / result["speed_cpu_s_in_app"] >= WANTED_CLIPS_PER_S,
        "by processor time": result["speed_clips_per_s_from_cpu"] >= WANTED_CLIPS_PER_S,
    }
    print("; ".join(f"{what}: {'yes' if holds else 'NO'}" for what, holds in yes_or_no.items()))


if __name__ == "__main__":
    main()
