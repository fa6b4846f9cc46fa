from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ltx_wizard.core.errors import BadMediaFile, NoSpace, WizardError
from ltx_wizard.media import transcode
from ltx_wizard.media.transcode import (
    SOUND_RATE,
    Cut,
    Mp4Writer,
    conform_file,
    cut_clips,
    read_sound,
    write_video,
)
from ltx_wizard.media.video import frame_times, probe, read_frames

MakeVideo = Callable[..., Path]


def beeps(seconds: float, every_s: float = 0.5) -> np.ndarray:
    """A click of 20 ms at every half second."""
    sound = np.zeros((2, round(seconds * SOUND_RATE)), np.float32)
    for start in range(0, sound.shape[1], round(every_s * SOUND_RATE)):
        wave = np.sin(np.arange(960) * 2 * np.pi * 1000 / SOUND_RATE)
        sound[:, start : start + 960] = 0.8 * wave[: sound.shape[1] - start]
    return sound


def beep_times(sound: np.ndarray) -> list[float]:
    loud = np.flatnonzero(np.abs(sound[0]) > 0.3)
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-SOUND_RATE) > SOUND_RATE // 10)]
    return [round(start / SOUND_RATE, 2) for start in starts]


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_written_video_is_what_browsers_play(tmp_path: Path, numbered: Callable) -> None:
    path = tmp_path / "v.mp4"
    write_video(numbered(17), path, 8)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.frames) == ("h264", "yuv420p", 17)
        assert stream.average_rate == 8


def test_colours_survive_writing_and_reading(tmp_path: Path) -> None:
    frames = np.zeros((9, 64, 192, 3), np.uint8)
    colours = [(250, 10, 10), (10, 200, 30), (30, 60, 220), (240, 240, 240), (128, 128, 128), (250, 220, 20)]
    for index, colour in enumerate(colours):
        frames[:, :, index * 32 : (index + 1) * 32] = colour
    write_video(frames, tmp_path / "c.mp4", 8)
    shown = next(read_frames(tmp_path / "c.mp4")).astype(int)
    for index, colour in enumerate(colours):
        middle = shown[32, index * 32 + 16]
        assert np.abs(middle - colour).max() <= 3


@pytest.mark.parametrize("fps", [8, 23.976023976, 24, 25, 29.97002997, 30, 60, 12.5])
def test_every_rate_comes_back(tmp_path: Path, numbered: Callable, fps: float) -> None:
    write_video(numbered(30), tmp_path / "v.mp4", fps)
    facts = probe(tmp_path / "v.mp4")
    assert facts.frames == 30
    assert facts.fps == pytest.approx(fps, rel=1e-6)
    assert not facts.variable_frame_rate


def test_an_odd_size_loses_its_last_row_and_column(tmp_path: Path, numbered: Callable) -> None:
    write_video(numbered(5, width=131, height=65), tmp_path / "v.mp4", 8)
    assert (probe(tmp_path / "v.mp4").width, probe(tmp_path / "v.mp4").height) == (130, 64)


def test_no_frames_is_an_error_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(WizardError, match="no frame"):
        write_video([], tmp_path / "v.mp4", 8)
    assert files_in(tmp_path) == []


def test_clips_are_cut_to_the_frame(tmp_path: Path, make_video: MakeVideo, number_of: Callable) -> None:
    source = make_video(frames=200, fps=25)
    cuts = [
        Cut(100, 150, tmp_path / "b.mp4"),
        Cut(3, 60, tmp_path / "a.mp4"),
        Cut(40, 120, tmp_path / "over.mp4"),
    ]
    written = {item.cut.file.name: item for item in cut_clips(source, cuts)}
    assert set(written) == {"a.mp4", "b.mp4", "over.mp4"}
    for cut in cuts:
        numbers = [number_of(frame) for frame in read_frames(cut.file)]
        assert numbers == list(range(cut.start_frame, cut.end_frame))
    assert written["b.mp4"].start_s == 4.0
    assert written["b.mp4"].duration_s == 2.0
    assert probe(tmp_path / "b.mp4").fps == 25.0


def test_uneven_frame_times_are_kept(tmp_path: Path, numbered: Callable) -> None:
    source = tmp_path / "vfr.mp4"
    pts = [*range(30), *range(30, 90, 3)]
    with Mp4Writer(source, Fraction(30), Fraction(1, 30)) as writer:
        for tick, frame in zip(pts, numbered(50), strict=True):
            writer.add(frame, tick)
    (clip,) = cut_clips(source, [Cut(25, 45, tmp_path / "c.mp4")])
    times, _ = frame_times(tmp_path / "c.mp4")
    wanted = [(pts[25 + index] - pts[25]) / 30 for index in range(20)]
    assert times == pytest.approx(wanted, abs=1e-3)
    assert clip.duration_s == pytest.approx(wanted[-1] + 0.1, abs=1e-3)


def test_sound_is_cut_with_the_picture(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(frames=100, fps=25, sound=beeps(4.0))
    assert probe(source).has_audio
    (clip,) = cut_clips(source, [Cut(45, 95, tmp_path / "c.mp4")])  # from 1.8 s
    assert clip.has_audio
    assert clip.problem == ""
    sound = read_sound(tmp_path / "c.mp4", 0, 2.0)
    assert sound is not None
    assert beep_times(sound) == pytest.approx([0.2, 0.7, 1.2, 1.7], abs=0.011)


def test_a_conformed_clip_keeps_its_sound_in_step(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(frames=100, fps=25, sound=beeps(4.0))
    conform_file(source, tmp_path / "c.mp4", 64, 64, 49, 24)
    facts = probe(tmp_path / "c.mp4")
    assert (facts.width, facts.height, facts.frames, facts.fps) == (64, 64, 49, 24.0)
    sound = read_sound(tmp_path / "c.mp4", 0, 49 / 24)
    assert sound is not None
    assert beep_times(sound) == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.011)


def test_a_source_that_ends_early_says_so(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(frames=20)
    with pytest.raises(BadMediaFile, match="ends before its last scene"):
        list(cut_clips(source, [Cut(10, 30, tmp_path / "c.mp4")]))
    assert files_in(tmp_path) == ["video.mp4"]


def test_stopping_keeps_whole_clips_and_drops_the_one_in_work(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(frames=60)
    done: list[str] = []
    cuts = [Cut(0, 20, tmp_path / "a.mp4"), Cut(20, 50, tmp_path / "b.mp4")]
    asked = iter([*[False] * 30, *[True] * 100])
    for clip in cut_clips(source, cuts, lambda: next(asked)):
        done.append(clip.cut.file.name)
    assert done == ["a.mp4"]
    assert files_in(tmp_path) == ["a.mp4", "video.mp4"]


def test_closing_the_cutter_leaves_nothing_half(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(frames=60)
    clips = cut_clips(source, [Cut(0, 20, tmp_path / "a.mp4"), Cut(10, 50, tmp_path / "b.mp4")])
    next(clips)
    clips.close()
    assert files_in(tmp_path) == ["a.mp4", "video.mp4"]


# A full disk

WRITE_INTO_A_SMALL_LIMIT = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from ltx_wizard.core.errors import WizardError
from ltx_wizard.media.transcode import write_video

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails with EFBIG
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
noise = np.random.default_rng(0).integers(0, 255, (30, 256, 256, 3), np.uint8)
try:
    write_video(noise, Path(sys.argv[1]), 8)
except WizardError as error:
    print("WizardError", error.problem)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits file sizes through the operating system")
@pytest.mark.parametrize("limit", [50_000, 700_000])
def test_a_write_that_fails_on_the_way_leaves_the_old_file(
    tmp_path: Path, make_video: MakeVideo, limit: int
) -> None:
    path = make_video("clip.mp4", frames=10)
    before = path.read_bytes()
    ran = subprocess.run(
        [sys.executable, "-c", WRITE_INTO_A_SMALL_LIMIT, str(path), str(limit)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert ran.stdout.startswith("WizardError"), ran.stdout + ran.stderr
    assert path.read_bytes() == before
    assert files_in(tmp_path) == ["clip.mp4"]


def test_a_full_disk_is_named_as_such(
    tmp_path: Path, make_video: MakeVideo, numbered: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video("clip.mp4", frames=10)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(transcode.os, "fsync", full)
    with pytest.raises(NoSpace) as caught:
        write_video(numbered(20), path, 8)
    assert "is full" in caught.value.problem
    assert "Free some space" in caught.value.remedy
    assert path.read_bytes() == before
    assert files_in(tmp_path) == ["clip.mp4"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_the_encoder_meeting_a_full_device_is_named_as_such(
    tmp_path: Path, numbered: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcode.secrets, "token_hex", lambda _: "0")
    (tmp_path / ".clip.0.tmp.mp4").symlink_to("/dev/full")
    with pytest.raises(NoSpace):
        write_video(numbered(20), tmp_path / "clip.mp4", 8)
    assert not (tmp_path / "clip.mp4").exists()
    assert files_in(tmp_path) == []
