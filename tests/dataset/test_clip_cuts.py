"""Cuts inside of clips, on windows over real videos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.dataset.quality import measure
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import probe, read_frames

SIZE, FPS, BLEND = (480, 272), 25, 12


def window(path: Path, first: int, count: int, box: tuple[float, float, float] = (0, 0, 1)) -> np.ndarray:
    """A part of the frames at SIZE. box: left and top in shares of what is left over, and the zoom."""
    shown = []
    for frame in read_frames(path, first, first + count):
        height, width = frame.shape[:2]
        scale = min(width / SIZE[0], height / SIZE[1]) * box[2]
        wide, high = round(SIZE[0] * scale), round(SIZE[1] * scale)
        left, top = round((width - wide) * box[0]), round((height - high) * box[1])
        shown.append(cv2.resize(frame[top : top + high, left : left + wide], SIZE))
    return np.stack(shown)


def cuts(frames: np.ndarray, folder: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    path = folder / "clip.mp4"
    write_video(frames, path, FPS)
    facts = probe(path)
    clip = Clip(
        id="clip", source_id="s", file="clip.mp4", kind=MediaKind.VIDEO, width=SIZE[0], height=SIZE[1],
        fps=FPS, frames=facts.frames, duration_s=facts.duration_s, end_frame=facts.frames,
    )  # fmt: skip
    measured = measure(path, clip, lambda _clip: ())
    return measured["cuts"], measured["blends"]


def test_a_large_subject_that_moves_is_no_dissolve(real_videos: Path, tmp_path: Path) -> None:
    rabbit = window(real_videos / "bigbuckbunny.mp4", 18, 55, (0.37, 0.57, 0.68))
    assert cuts(rabbit, tmp_path) == ((), ())


def test_a_dissolve_and_a_cut_inside_are_found_where_they_are(real_videos: Path, tmp_path: Path) -> None:
    rabbit, street = (
        window(real_videos / "bigbuckbunny.mp4", 0, 40),
        window(real_videos / "bikes.mp4", 137, 40),
    )
    share = np.linspace(0, 1, BLEND)[:, None, None, None]
    blend = ((1 - share) * rabbit[-BLEND:] + share * street[:BLEND]).astype(np.uint8)
    found, blends = cuts(np.concatenate([rabbit[:-BLEND], blend, street[BLEND:]]), tmp_path)
    assert len(found) == 2 and blends == found[:1]
    assert abs(found[0] - 28) <= 4 and abs(found[1] - 40) <= 4
    assert cuts(np.concatenate([rabbit, street]), tmp_path) == ((40,), ())
