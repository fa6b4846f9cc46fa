"""Measuring clips, on small videos made on the spot."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ltx_wizard.captioning.motion import measure_motion
from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.events import Progress
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import CheckClipsJob
from ltx_wizard.dataset import quality
from ltx_wizard.dataset.buckets import plan_buckets
from ltx_wizard.dataset.checks import Finding, check_dataset, look_at
from ltx_wizard.dataset.dataset import add_clips, read_clips
from ltx_wizard.dataset.doubles import find_doubles
from ltx_wizard.dataset.quality import measure, measured_clips, quality_file, run_check_clips
from ltx_wizard.dataset.quality_checks import clip_label, unusual_motion
from ltx_wizard.dataset.variety import variety
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import probe
from ltx_wizard.models.catalog import EMBEDDED


def scenery(seed: int, width: int = 640, height: int = 360) -> np.ndarray:
    """A picture with detail of every size, as a photograph has."""
    random = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for part, weight in ((64, 60), (16, 40), (4, 30), (1, 18)):
        small = random.normal(0, 1, (height // part + 2, width // part + 2, 3)).astype(np.float32)
        picture += weight * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture + 120, 35, 250).astype(np.uint8)


def moving(seed: int, count: int = 30, speed: float = 4, width: int = 320, height: int = 180) -> np.ndarray:
    """A window that moves over scenery, to the right."""
    picture = scenery(seed)
    lefts = [round(index * speed) for index in range(count)]
    return np.stack([picture[60 : 60 + height, left : left + width] for left in lefts])


def with_bars(frames: np.ndarray, rows: int, columns: int = 0) -> np.ndarray:
    barred = frames.copy()
    if rows:
        barred[:, :rows], barred[:, -rows:] = 0, 0
    if columns:
        barred[:, :, :columns], barred[:, :, -columns:] = 0, 0
    return barred


def no_camera(*_: object) -> tuple[str, ...]:
    return ("static",)


@pytest.fixture
def add(project: Project) -> Callable[..., Clip]:
    """add(name, frames) writes a clip's file and adds the clip."""

    def make(name: str, frames: np.ndarray, fps: float = 15, **changes: Any) -> Clip:
        path = project.clips_folder / f"{name}.mp4"
        write_video(frames, path, fps)
        facts = probe(path)
        clip = Clip(
            id=name, source_id=name, file=project.relative(path), kind=MediaKind.VIDEO, width=facts.width,
            height=facts.height, fps=facts.fps, frames=facts.frames, duration_s=facts.duration_s,
            end_frame=facts.frames, caption=f"The picture {name} moves along.",
        ).model_copy(update=changes)  # fmt: skip
        add_clips(project, [clip])
        return clip

    return make


def look(project: Project) -> dict[str, Any]:
    return dict(run_check_clips(project, CheckClipsJob(), SilentReport(), no_camera))


def told(report: SilentReport) -> list[tuple[int, int]]:
    return [(event.done, event.total) for event in report.events if isinstance(event, Progress)]


def findings(project: Project, **settings: Any) -> dict[str, Finding]:
    chosen = ProjectSettings.model_validate({"name": "Test", **settings})
    clips = read_clips(project)
    plan = plan_buckets(clips, EMBEDDED, ())
    return {item.id: item for item in check_dataset(chosen, clips, EMBEDDED, plan, project)}


@pytest.mark.parametrize(("width", "height"), [(500, 32), (32, 500), (640, 90), (1200, 34)])
def test_a_picture_of_any_shape_is_measured(tmp_path: Path, width: int, height: int) -> None:
    """OpenCV's flow ended the whole process where a side was too small."""
    path = tmp_path / "flat.mp4"
    picture = scenery(4, width + 60, height)
    write_video(np.stack([picture[:, 2 * at : 2 * at + width] for at in range(24)]), path, 12)
    clip = Clip(
        id="flat", source_id="s", file="flat.mp4", kind=MediaKind.VIDEO, width=width, height=height, fps=12,
        frames=24, duration_s=2,
    )  # fmt: skip
    assert measure(path, clip, lambda _: measure_motion(path).camera)["motion"] > 0.001


def test_the_same_clip_smaller_and_encoded_again_is_found_and_the_larger_kept(
    project: Project, add: Callable[..., Clip]
) -> None:
    large = moving(1)
    add("small", np.stack([cv2.resize(frame, (160, 90), interpolation=cv2.INTER_AREA) for frame in large]))
    add("large", large)
    add("brighter", np.clip(large.astype(int) + 6, 0, 255).astype(np.uint8))
    for seed in range(2, 6):
        add(f"other-{seed}", moving(seed))
    look(project)
    found = findings(project)["doubles"]
    assert set(found.clip_ids) == {"small", "brighter"}
    assert "small = large" in found.remedy
    assert found.fix == "leave_out"


def test_the_same_place_at_another_moment_is_alike_and_not_removed(
    project: Project, add: Callable[..., Clip]
) -> None:
    first = np.repeat(scenery(1, 320, 180)[None], 30, axis=0)
    second = first.copy()
    for index in range(30):
        first[index, 20:60, 20 + index : 60 + index] = 250
        second[index, 110:150, 260 - index : 300 - index] = 10
    add("first", first)
    add("second", second)
    look(project)
    found = findings(project)
    assert found["alike"].clip_ids == ("second",)
    assert not found["alike"].fix
    assert found["doubles"].level == "fine"


def test_clips_of_other_things_are_not_alike(project: Project, add: Callable[..., Clip]) -> None:
    for seed in range(8):
        add(f"clip-{seed}", moving(seed))
    look(project)
    clips = read_clips(project)
    dataset = look_at(project.read_settings(), clips, EMBEDDED, plan_buckets(clips, EMBEDDED, ()), project)
    assert find_doubles(dataset) == []


def test_black_clips_are_black_and_not_copies_of_each_other(
    project: Project, add: Callable[..., Clip]
) -> None:
    add("black-1", np.full((20, 90, 160, 3), 4, np.uint8))
    add("black-2", np.full((20, 90, 160, 3), 4, np.uint8))
    add("night", moving(3) // 4)
    half = moving(4)
    half[:10] = 0
    add("fades", half)
    look(project)
    found = findings(project)
    assert set(found["black"].clip_ids) == {"black-1", "black-2", "fades"}
    assert found["doubles"].level == "fine"


def test_a_still_video_is_found_whatever_the_noise_and_a_small_mover_is_not(
    project: Project, add: Callable[..., Clip]
) -> None:
    still = np.repeat(scenery(1, 320, 180)[None], 30, axis=0)
    noise = np.random.default_rng(0).normal(0, 2, still.shape)
    add("still", still)
    add("grainy", np.clip(still + noise, 0, 255).astype(np.uint8))
    small = np.repeat(scenery(2, 320, 180)[None], 30, axis=0)
    for index in range(30):
        small[index, 80:100, 20 + 3 * index : 44 + 3 * index] = 255
    add("small-mover", small)
    add("pan", moving(3))
    look(project)
    assert set(findings(project)["still"].clip_ids) == {"still", "grainy"}


@pytest.mark.parametrize("width", [640, 320])
def test_a_blurred_clip_is_found_at_every_size(
    project: Project, add: Callable[..., Clip], width: int
) -> None:
    height = width * 9 // 16
    sharp = [moving(seed, 12, width=width, height=height, speed=0 if width == 640 else 3) for seed in (1, 2)]
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in sharp[0]])
    add("sharp", sharp[1])
    add("soft", soft)
    look(project)
    assert findings(project)["blurred"].clip_ids == ("soft",)


def test_bars_are_found_to_the_pixel_and_dark_edges_are_none(
    project: Project, add: Callable[..., Clip]
) -> None:
    add("letterbox", with_bars(moving(1), 22))
    add("pillarbox", with_bars(moving(2), 0, 41))
    add("both", with_bars(moving(3), 20, 30))
    add("one-sided", np.concatenate([np.zeros((30, 24, 320, 3), np.uint8), moving(4)[:, 24:]], axis=1))
    night = moving(5).astype(np.float32)
    fade = np.clip(np.linspace(-0.4, 1.4, 180), 0, 1)
    add("night", (night * np.minimum(fade, fade[::-1])[None, :, None, None]).astype(np.uint8))
    add("none", moving(6))
    look(project)
    boxes = {clip_id: row.picture for clip_id, row in measured_clips(project, read_clips(project)).items()}
    assert boxes["letterbox"] == (0, 22, 320, 136)
    assert boxes["pillarbox"] == (42, 0, 236, 180)
    assert boxes["both"] == (30, 20, 260, 140)
    assert boxes["one-sided"] is boxes["night"] is boxes["none"] is None
    assert set(findings(project)["bars"].clip_ids) == {"letterbox", "pillarbox", "both"}


def test_a_cut_inside_is_found_to_the_frame(project: Project, add: Callable[..., Clip]) -> None:
    add("two-shots", np.concatenate([moving(1, 40), 255 - moving(2, 40) // 2]))
    add("one-shot", moving(3, 60))
    look(project)
    rows = measured_clips(project, read_clips(project))
    assert rows["two-shots"].cuts == (40,)
    assert rows["one-shot"].cuts == ()
    found = findings(project)["cuts"]
    assert found.clip_ids == ("two-shots",)
    assert "two-shots, after 2.7 s" in found.remedy


def test_a_clip_that_moves_unlike_the_others_is_told(project: Project, add: Callable[..., Clip]) -> None:
    for seed in range(9):
        add(f"clip-{seed}", moving(seed, 20, speed=2))
    add("fast", moving(20, 20, speed=14))
    look(project)
    clips = read_clips(project)
    dataset = look_at(project.read_settings(), clips, EMBEDDED, plan_buckets(clips, EMBEDDED, ()), project)
    assert [(clip.id, quick) for clip, quick in unusual_motion(dataset)] == [("fast", True)]
    assert findings(project)["unusual_motion"].level == "fine"
    assert findings(project, goal="motion")["unusual_motion"].level == "should"


def test_clips_are_measured_once_and_again_only_when_their_file_changes(
    project: Project, add: Callable[..., Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [add(f"clip-{seed}", moving(seed, 10)) for seed in range(3)]
    assert findings(project)["measured"].fix == "check_clips"
    assert look(project) == {"clips": 3, "measured": 3}
    assert "measured" not in findings(project)
    measured: list[str] = []
    real = quality.measure

    def counted(path: Path, clip: Clip, camera: Any) -> dict[str, Any]:
        measured.append(clip.id)
        return real(path, clip, camera)

    monkeypatch.setattr(quality, "measure", counted)
    assert look(project) == {"clips": 3, "measured": 0}
    os.utime(
        project.path(clips[0].file), (1, 1)
    )  # as a copied project folder: the same content, another time
    assert findings(project)["measured"].clip_ids == ("clip-0",)
    look(project)
    assert measured == []
    write_video(moving(9, 10), project.path(clips[1].file), 15)
    look(project)
    assert measured == ["clip-1"]


def test_what_was_measured_survives_a_stop_and_a_damaged_file_is_made_anew(
    project: Project, add: Callable[..., Clip]
) -> None:
    for seed in range(5):
        add(f"clip-{seed}", moving(seed, 10))

    class StopsAfterTwo(SilentReport):
        def stop_requested(self) -> bool:
            return told(self)[-1][0] >= 2

    with pytest.raises(Cancelled):
        run_check_clips(project, CheckClipsJob(), StopsAfterTwo(), no_camera)
    known = measured_clips(project, read_clips(project))
    assert 2 <= len(known) < 5
    rest = 5 - len(known)
    report = SilentReport()
    assert run_check_clips(project, CheckClipsJob(), report, no_camera)["measured"] == rest
    # what was known before does not count: else the time left would be far too short
    assert told(report) == [(done, rest) for done in range(rest + 1)]
    quality_file(project).write_text("{broken\n", encoding="utf-8")
    assert measured_clips(project, read_clips(project)) == {}
    assert look(project)["measured"] == 5


def test_a_clip_that_cannot_be_read_is_a_finding(project: Project, add: Callable[..., Clip]) -> None:
    add("good", moving(1, 10))
    broken = add("broken", moving(2, 10))
    project.path(broken.file).write_bytes(b"no video at all" * 100)
    look(project)
    assert findings(project)["readable"].clip_ids == ("broken",)


def test_images_are_measured_as_pictures(project: Project, tmp_path: Path) -> None:
    path = project.clips_folder / "still.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(with_bars(scenery(1)[None], 30)[0]).save(path)
    clip = Clip(
        id="still", source_id="s", file=project.relative(path), kind=MediaKind.IMAGE, width=640, height=360,
        fps=0, frames=1, duration_s=0,
    )  # fmt: skip
    measured = measure(path, clip, no_camera)
    assert measured["picture"] == (0, 30, 640, 300)
    assert measured["sharpness"] > 0.06
    assert "motion" not in measured
    add_clips(project, [clip])
    look(project)
    assert "still" not in findings(project)  # stillness is no fault of an image


def test_the_report_on_variety_counts_every_clip(project: Project, add: Callable[..., Clip]) -> None:
    for seed in range(3):
        add(f"clip-{seed}", moving(seed, 20), source_id="one" if seed else "two")
    look(project)
    clips = read_clips(project)
    dataset = look_at(project.read_settings(), clips, EMBEDDED, plan_buckets(clips, EMBEDDED, ()), project)
    tallies = {tally.title: dict(tally.counts) for tally in variety(dataset)}
    assert tallies["Videos and images"] == {"one": 2, "two": 1}
    assert tallies["Sizes"] == {"320 × 180": 3}
    assert tallies["Camera"] == {"static": 3}
    assert sum(tallies["Light"].values()) == sum(tallies["Motion"].values()) == 3


def test_a_clip_is_called_by_its_file_and_time_and_without_a_name_by_its_id_less_the_hash() -> None:
    clip = Clip(
        id="unnamed-1a2b3c4d5e-000120-000180", source_id="unnamed-1a2b3c4d5e", file="clips/x.mp4",
        kind=MediaKind.VIDEO, width=64, height=64, fps=8, frames=60, duration_s=7, start_s=15,
    )  # fmt: skip
    assert clip_label(clip, {clip.source_id: "猫.mp4"}) == "猫.mp4 at 0:15.0"
    assert clip_label(clip, {}) == "unnamed-000120-000180"
