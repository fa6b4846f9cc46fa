from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from ltx_wizard.captioning.motion import (
    MotionFacts,
    draft_caption,
    facts_sentence,
    measure_motion,
)
from ltx_wizard.core import places
from ltx_wizard.core.caption import has_slots
from ltx_wizard.core.clip import MediaKind
from ltx_wizard.core.errors import BadMediaFile
from ltx_wizard.core.lint import Measured, contradiction, lint
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import Frame, decode, read_frames

FPS = 25
LENGTH = 50
SIZE = (480, 270)


@pytest.fixture(scope="session")
def stills(real_videos: Path) -> dict[str, np.ndarray]:
    """One picture out of each real video, 1280 wide, to move a camera over."""
    bikes = next(read_frames(real_videos / "bikes.mp4", 40, 41))
    return {
        "bigbuckbunny": next(read_frames(real_videos / "bigbuckbunny.mp4", 0, 1)),
        "bikes": np.asarray(cv2.resize(bikes, (1280, 544)), dtype=np.uint8),
    }


def filmed(still: np.ndarray, x: np.ndarray, y: np.ndarray, zoom: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """A camera over a picture: x, y in pixels from its centre, zoom as a factor, roll in degrees."""
    height, width = still.shape[:2]
    frames = []
    for index in range(len(x)):
        centre = (width / 2 + x[index] - x.mean(), height / 2 + y[index] - y.mean())
        matrix = cv2.getRotationMatrix2D(centre, roll[index], zoom[index])
        matrix[0, 2] += SIZE[0] / 2 - centre[0]
        matrix[1, 2] += SIZE[1] / 2 - centre[1]
        frames.append(cv2.warpAffine(still, matrix, SIZE, borderMode=cv2.BORDER_REFLECT))
    return np.stack(frames)


def camera_moves() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    seconds = np.arange(LENGTH) / FPS
    none, one = np.zeros(LENGTH), np.full(LENGTH, 0.75)
    shake = np.random.default_rng(1).normal(0, 3, (2, LENGTH))
    return {
        "static": (none, none, one, none),
        "pans right": (60 * seconds, none, one, none),
        "pans left": (-60 * seconds, none, one, none),
        "tilts down": (none, 40 * seconds, one, none),
        "tilts up": (none, -40 * seconds, one, none),
        "zooms in": (none, none, 0.75 * 1.1**seconds, none),
        "zooms out": (none, none, 0.9**seconds, none),
        "handheld": (shake[0], shake[1], one, none),
        "rolls counter-clockwise": (none, none, one, -6 * seconds),
        "pans right+zooms in": (50 * seconds, none, 0.75 * 1.1**seconds, none),
    }


@pytest.mark.parametrize("picture", ["bigbuckbunny", "bikes"])
@pytest.mark.parametrize("move", list(camera_moves()))
def test_camera_moves_over_real_pictures_are_named(
    make_video: Callable, stills: dict[str, np.ndarray], move: str, picture: str
) -> None:
    frames = filmed(stills[picture], *camera_moves()[move])
    facts = measure_motion(make_video(frames=frames, fps=FPS))
    assert set(facts.camera) == set(move.split("+"))
    assert facts.camera_sure
    assert facts.cuts_s == ()


@pytest.mark.parametrize(
    ("step", "direction"),
    [((4, 0), "to the right"), ((-4, 0), "to the left"), ((0, 2), "downwards"), ((0, -2), "upwards")],
)
def test_a_subject_before_a_still_camera_is_told_from_the_camera(
    make_video: Callable, stills: dict[str, np.ndarray], step: tuple[int, int], direction: str
) -> None:
    ground = cv2.resize(stills["bikes"][:, 200:1160], SIZE)
    subject = cv2.resize(stills["bigbuckbunny"][150:600, 100:400], (100, 120))
    frames = []
    for index in range(40):
        left, top = 190 + step[0] * (index - 20), 75 + step[1] * (index - 20)
        picture = ground.copy()
        picture[top : top + 120, left : left + 100] = subject
        frames.append(picture)
    facts = measure_motion(make_video(frames=np.stack(frames), fps=FPS))
    assert facts.camera == ("static",)
    assert facts.subject_moves
    assert facts.subject_direction == direction


@pytest.mark.parametrize(("dx", "dy", "direction"), [(5, 0, "to the right"), (0, -4, "upwards")])
def test_a_flat_shape_on_a_flat_ground_is_not_taken_for_the_camera(
    make_video: Callable, dx: int, dy: int, direction: str
) -> None:
    frames = np.full((24, 192, 192, 3), (200, 205, 190), np.uint8)
    for index, frame in enumerate(frames):
        cv2.circle(frame, (96 + dx * (index - 12), 96 + dy * (index - 12)), 26, (220, 40, 40), -1)
    facts = measure_motion(make_video(frames=frames, fps=8))
    assert facts.camera == ("static",)
    assert facts.subject_direction == direction


def test_the_real_bunny_moves_before_a_still_camera(real_videos: Path) -> None:
    facts = measure_motion(real_videos / "bigbuckbunny.mp4")
    assert facts.camera == ("static",)
    assert facts.subject_moves
    assert facts.subject_place == "left part"
    assert facts.cuts_s == ()


def test_cuts_left_inside_are_found(real_videos: Path) -> None:
    facts = measure_motion(real_videos / "bikes.mp4")
    assert facts.cuts_s == pytest.approx([frame / 25 for frame in (30, 76, 137, 187, 242)], abs=0.09)


def test_light_is_named(make_video: Callable, stills: dict[str, np.ndarray]) -> None:
    still = np.asarray(cv2.resize(stills["bigbuckbunny"], SIZE), dtype=np.uint8)

    def measured(picture: np.ndarray) -> MotionFacts:
        return measure_motion(make_video(frames=np.stack([picture] * 20), fps=FPS))

    assert "dark" in measured((still * 0.2).astype(np.uint8)).light
    grey = cv2.cvtColor(cv2.cvtColor(still, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert "black and white" in measured(grey).light
    street = np.asarray(cv2.resize(stills["bikes"], SIZE), dtype=np.uint8)
    assert "cool" in measured((street * (0.5, 0.7, 1.0)).astype(np.uint8)).light
    assert "warm" in measured((street * (1.0, 0.8, 0.5)).astype(np.uint8)).light
    assert "warm" not in measured(still).light  # a green meadow is not warm light
    barred = still.copy()
    barred[:30] = barred[-30:] = 0
    assert measured(barred).bars == pytest.approx(60 / 270, abs=0.02)


def test_a_change_of_light_is_named_and_hides_the_subject(
    make_video: Callable, stills: dict[str, np.ndarray]
) -> None:
    still = cv2.resize(stills["bigbuckbunny"], SIZE)
    frames = np.stack([(still * (0.3 + 0.014 * index)).clip(0, 255) for index in range(50)]).astype(np.uint8)
    facts = measure_motion(make_video(frames=frames, fps=FPS))
    assert facts.light_change == "grows brighter"
    assert not facts.subject_moves
    assert "grows brighter" in draft_caption(facts)
    assert "still" not in draft_caption(facts).split("camera")[0]


def test_an_image_has_light_and_no_motion(tmp_path: Path, stills: dict[str, np.ndarray]) -> None:
    path = tmp_path / "i.png"
    Image.fromarray(stills["bigbuckbunny"]).save(path)
    facts = measure_motion(path)
    assert facts.kind is MediaKind.IMAGE
    assert draft_caption(facts).startswith("[subject] in [setting].")
    assert "camera" not in draft_caption(facts)


def test_a_broken_clip_says_so(tmp_path: Path) -> None:
    (tmp_path / "c.mp4").touch()
    with pytest.raises(BadMediaFile):
        measure_motion(tmp_path / "c.mp4")


def test_a_clip_with_hardly_a_frame_that_stands_alone_is_read_whole(
    tmp_path: Path, stills: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "b-frames.mp4"
    options = {"bf": "16", "b_strategy": "0", "x264-params": "b-pyramid=none:scenecut=0:keyint=250"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for picture in filmed(stills["bikes"], *camera_moves()["pans left"]):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    assert sum(1 for _ in decode(path, hurry=True)) < 8
    facts = measure_motion(path)
    assert facts.camera == ("pans left",)
    assert facts.duration_s == pytest.approx(LENGTH / FPS, abs=0.15)


def test_a_large_subject_is_not_taken_for_the_camera(
    make_video: Callable, stills: dict[str, np.ndarray]
) -> None:
    """It has more corners than the ground, and covers three fifths of the picture."""
    ground = cv2.resize(stills["bigbuckbunny"], SIZE)
    subject = cv2.resize(stills["bikes"][:, 300:900], (288, 700))
    frames = []
    for index in range(40):
        picture = ground.copy()
        picture[:, 96:384] = subject[5 * index : 5 * index + SIZE[1]]
        frames.append(picture)
    facts = measure_motion(make_video(frames=np.stack(frames), fps=FPS))
    assert facts.camera == ("static",)
    assert facts.subject_direction == "upwards"


def test_a_dim_globe_that_turns_before_a_black_sky_is_a_subject(
    make_video: Callable, stills: dict[str, np.ndarray]
) -> None:
    still = (0.12 * cv2.resize(stills["bikes"], (960, 408))).astype(np.uint8)
    disc = cv2.circle(np.zeros((SIZE[1], SIZE[0], 1), np.uint8), (240, 135), 126, 1, -1)
    frames = [disc * still[60 : 60 + SIZE[1], 400 - 3 * at : 400 - 3 * at + SIZE[0]] for at in range(LENGTH)]
    facts = measure_motion(make_video(frames=np.stack(frames), fps=FPS))
    assert facts.camera == ("static",)
    assert facts.subject_moves
    assert facts.subject_direction == "to the right"


def test_no_caption_of_the_sample_project_is_contradicted_by_what_is_measured(tmp_path: Path) -> None:
    """Shapes before plain grounds, glowing ones too: of a camera nothing shows, and two captions name a move.

    Before squares, there is something to see: these stand still for sure.
    """
    sure: list[str] = []
    for number, (frames, caption) in enumerate(sample_scenes()):
        path = tmp_path / f"{number}.mp4"
        write_video(iter(frames), path, 8)
        found = measure_motion(path)
        assert not contradiction(caption, Measured(found.camera, found.camera_sure)), caption
        if found.camera_sure:
            assert found.camera == ("static",), caption
            sure.append(caption)
        elif "huge" not in caption:  # a ring that grows over the border is all that can be seen
            assert found.camera == ("static",), caption
    assert sure
    assert all("checkered" in caption for caption in sure)


def sample_scenes() -> Iterator[tuple[list[Frame], str]]:
    """Eighteen scenes of the sample project with their captions; those that are joined come apart again."""
    for path in sorted(places.SAMPLE_PROJECT.rglob("neon-[0-9].mp4")) + sorted(
        places.SAMPLE_PROJECT.rglob("ordinary-reel-[34].mp4")
    ):
        frames = list(read_frames(path, 0, 1000))
        beside = path.with_name(f"{path.stem}.captions.json")
        if not beside.exists():
            yield frames, path.with_suffix(".txt").read_text(encoding="utf-8")
            continue
        captions = json.loads(beside.read_text(encoding="utf-8"))
        length = len(frames) // len(captions)
        for number, item in enumerate(captions):
            yield frames[number * length : (number + 1) * length], item["caption"]


def test_a_sky_over_a_land_that_pans_is_enough_to_be_sure(
    make_video: Callable, stills: dict[str, np.ndarray]
) -> None:
    """Half of the picture is plain, but what moves reaches from side to side."""
    frames = filmed(stills["bikes"], *camera_moves()["pans right"])
    frames[:, : SIZE[1] // 2] = (120, 160, 220)
    for seed in range(6):  # noise that nobody sees: a step with too little to follow is no jerk of the camera
        noise = np.random.default_rng(seed).integers(-1, 2, frames.shape)
        noisy = np.clip(frames + noise, 0, 255).astype(np.uint8)
        facts = measure_motion(make_video(frames=noisy, fps=FPS))
        assert facts.camera == ("pans right",)
        assert facts.camera_sure


def test_a_portrait_clip_is_measured(make_video: Callable, numbered: Callable) -> None:
    assert measure_motion(make_video(frames=numbered(20, width=64, height=256))).kind is MediaKind.VIDEO


def facts(**changes: object) -> MotionFacts:
    values: dict[str, object] = {
        "kind": MediaKind.VIDEO,
        "duration_s": 3.0,
        "camera": ("pans left",),
        "camera_speed": "slowly",
        "camera_sure": True,
        "subject_share": 0.05,
        "subject_direction": "to the right",
        "subject_speed": 0.3,
        "light": ("dim", "warm"),
    }
    return MotionFacts(**{**values, **changes})  # pyright: ignore[reportArgumentType]


def test_a_draft_reads_in_the_order_of_the_guide() -> None:
    assert draft_caption(facts()) == (
        "[subject] moves quickly to the right in [setting]. The camera slowly pans left. "
        "The light is dim and warm."
    )


def test_an_unsure_camera_stays_out_of_the_draft_and_of_the_facts() -> None:
    assert "camera" not in draft_caption(facts(camera_sure=False))
    assert "camera" not in facts_sentence(facts(camera_sure=False))


def test_drafts_are_marked_as_drafts_by_their_slots() -> None:
    for draft in (draft_caption(facts()), draft_caption(facts(subject_share=0.0, camera=("static",)))):
        assert has_slots(draft)
        assert {item.rule for item in lint(draft)} - {"short", "light"} == {"slots"}


def test_facts_for_a_vision_model_are_one_line() -> None:
    assert facts_sentence(facts(cuts_s=(1.0,))) == (
        "Measured: camera pans left, something moves to the right, 1 cut inside, 3.0 s long."
    )
