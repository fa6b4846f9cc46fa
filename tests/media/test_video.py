from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from ltx_wizard.core.clip import MediaKind
from ltx_wizard.core.errors import BadMediaFile
from ltx_wizard.media.video import cover, frame_times, probe, read_clip, read_frames, write_thumbnails

MakeVideo = Callable[..., Path]


def write_raw(
    path: Path,
    frames: np.ndarray,
    pts: list[int] | None = None,
    rotation: int = 0,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    pixel_aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A video made by PyAV alone, so that our reader is not tested against our writer."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 30)
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgba" if picture.shape[2] == 4 else "rgb24")
            frame.pts, frame.time_base = (pts[index] if pts else index), Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def problem_of(path: Path) -> str:
    with pytest.raises(BadMediaFile) as caught:
        probe(path)
    assert caught.value.remedy
    return caught.value.problem


def test_facts_are_measured(make_video: MakeVideo) -> None:
    facts = probe(make_video(frames=24, fps=8))
    assert (facts.kind, facts.width, facts.height, facts.frames) == (MediaKind.VIDEO, 128, 64, 24)
    assert facts.fps == 8.0
    assert facts.duration_s == 3.0
    assert not facts.has_audio
    assert not facts.variable_frame_rate
    assert facts.warnings == ()


def test_frames_come_in_display_order(tmp_path: Path, numbered: Callable, number_of: Callable) -> None:
    path = write_raw(tmp_path / "b.mp4", numbered(60))  # libx264 stores B-frames out of order
    assert [number_of(frame) for frame in read_frames(path)] == list(range(60))
    assert [number_of(frame) for frame in read_frames(path, 7, 12)] == [7, 8, 9, 10, 11]


@pytest.mark.parametrize("suffix", ["mkv", "mov", "avi"])
def test_other_containers_are_read(
    tmp_path: Path, numbered: Callable, number_of: Callable, suffix: str
) -> None:
    path = write_raw(tmp_path / f"v.{suffix}", numbered(20), codec="mpeg4" if suffix == "avi" else "libx264")
    facts = probe(path)
    assert (facts.frames, facts.fps) == (20, 30.0)
    assert [number_of(frame) for frame in read_frames(path)] == list(range(20))


def test_webm_without_a_frame_count_is_counted(tmp_path: Path, numbered: Callable) -> None:
    facts = probe(write_raw(tmp_path / "v.webm", numbered(20), codec="libvpx"))
    assert facts.frames == 20


def test_an_animated_gif_is_a_video(tmp_path: Path, numbered: Callable) -> None:
    pictures = [Image.fromarray(frame) for frame in numbered(10)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    facts = probe(path)
    assert (facts.kind, facts.frames, facts.fps) == (MediaKind.VIDEO, 10, 10.0)


def test_a_gif_of_one_frame_is_an_image(tmp_path: Path) -> None:
    path = tmp_path / "one.gif"
    Image.new("RGB", (64, 64), "red").save(path)
    assert probe(path).kind is MediaKind.IMAGE


def test_a_variable_frame_rate_is_seen(tmp_path: Path, numbered: Callable) -> None:
    pts = [*range(20), *range(20, 60, 2)]
    facts = probe(write_raw(tmp_path / "vfr.mp4", numbered(40), pts=pts))
    assert facts.variable_frame_rate
    assert facts.frames == 40
    assert facts.duration_s == pytest.approx(2.0, abs=0.07)


@pytest.mark.parametrize("rotation", [90, 180, 270, -90])
def test_rotation_is_applied_as_opencv_applies_it(tmp_path: Path, rotation: int) -> None:
    frames = np.zeros((5, 64, 128, 3), np.uint8)
    frames[:, :20, :40] = (250, 30, 30)
    path = write_raw(tmp_path / "r.mp4", frames, rotation=rotation)
    facts = probe(path)
    ours = next(read_frames(path))
    reader = cv2.VideoCapture(str(path))
    _, theirs = reader.read()
    assert ours.shape == theirs.shape
    assert (facts.width, facts.height) == (theirs.shape[1], theirs.shape[0])
    assert np.abs(ours.astype(int) - cv2.cvtColor(theirs, cv2.COLOR_BGR2RGB)).mean() < 4


def test_oblong_pixels_are_shown_square(tmp_path: Path, numbered: Callable) -> None:
    path = write_raw(tmp_path / "dv.mkv", numbered(8, width=144, height=108), pixel_aspect=Fraction(4, 3))
    facts = probe(path)
    assert (facts.width, facts.height) == (192, 108)
    assert next(read_frames(path)).shape == (108, 192, 3)


def test_odd_sizes_are_read(tmp_path: Path, numbered: Callable) -> None:
    path = write_raw(tmp_path / "odd.mkv", numbered(8, width=321, height=181), pixels="yuv444p")
    assert (probe(path).width, probe(path).height) == (321, 181)


def test_an_image_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    picture = Image.new("RGB", (80, 40), "blue")
    exif = picture.getexif()
    exif[0x0112] = 6
    path = tmp_path / "photo.jpg"
    picture.save(path, exif=exif)
    facts = probe(path)
    assert (facts.kind, facts.width, facts.height, facts.frames) == (MediaKind.IMAGE, 40, 80, 1)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    path = tmp_path / "t.png"
    Image.new("RGBA", (64, 64), (200, 0, 0, 0)).save(path)
    assert next(read_frames(path)).min() == 255


def test_transparent_parts_of_a_video_are_white(tmp_path: Path) -> None:
    pictures = np.full((4, 64, 64, 4), (200, 0, 0, 255), np.uint8)
    solid = write_raw(tmp_path / "solid.mov", pictures, codec="qtrle", pixels="argb")
    assert probe(solid).warnings == ()
    assert next(read_frames(solid))[0, 0].tolist() == [200, 0, 0]
    pictures[:, :32, :, 3] = 0
    path = write_raw(tmp_path / "t.mov", pictures, codec="qtrle", pixels="argb")
    assert probe(path).warnings == ("Its transparent parts are shown white.",)
    picture = next(read_frames(path))
    assert picture[:32].min() == 255
    assert picture[32, 0].tolist() == [200, 0, 0]


def test_a_note_of_git_lfs_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")
    assert "only a note of Git LFS" in problem_of(tmp_path / "v.mp4")


def test_grey_of_sixteen_bits_keeps_its_shades(tmp_path: Path) -> None:
    shades = np.tile(np.arange(64, dtype=np.uint16) * 1024, (64, 1))
    Image.fromarray(shades).save(tmp_path / "grey.png")
    picture = next(iter(read_frames(tmp_path / "grey.png")))
    assert picture[0, :, 0].tolist() == [shade >> 8 for shade in shades[0].tolist()]


@pytest.mark.parametrize("name", ["moving.webp", "moving.png"])
def test_a_moving_image_says_that_its_first_picture_is_used(
    tmp_path: Path, numbered: Callable, name: str
) -> None:
    first, *more = (Image.fromarray(picture) for picture in numbered(4))
    first.save(tmp_path / name, save_all=True, append_images=more, duration=100)
    facts = probe(tmp_path / name)
    assert (facts.kind, facts.frames) == (MediaKind.IMAGE, 1)
    (warning,) = facts.warnings
    assert warning == "It moves, but only its first picture is used. Save it as MP4 to use its motion."
    first.save(tmp_path / f"still-{name}")
    assert probe(tmp_path / f"still-{name}").warnings == ()


def test_percent_signs_and_colons_are_part_of_a_name(tmp_path: Path, make_video: MakeVideo) -> None:
    video_path = make_video("part %03d: http.mp4")
    image_path = tmp_path / "shot%02d.png"
    Image.new("RGB", (64, 64), "red").save(image_path)
    assert probe(video_path).frames == 24
    assert probe(image_path).kind is MediaKind.IMAGE


# Bad input


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert problem_of(path) == "empty.mp4 is empty: it has 0 bytes."


@pytest.mark.parametrize("text", ["Not found. 404\n", "<html>Ein Fehler: ä</html>" * 400])
def test_a_text_file_named_mp4_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "page.mp4"
    path.write_text(text, encoding="utf-8")
    assert problem_of(path) == "page.mp4 is a text file, not a video."


def test_a_playlist_cannot_lead_to_other_files(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("secret.mp4")
    path = tmp_path / "list.mp4"
    path.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    assert "is a text file" in problem_of(path)
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n")
    assert "is a text file" in problem_of(path)


def test_a_video_without_its_index_is_refused(tmp_path: Path, numbered: Callable) -> None:
    whole = write_raw(tmp_path / "whole.mp4", numbered(40))  # the index comes last
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert problem_of(path) == "cut.mp4 is incomplete: its index is missing, so nothing in it can be found."


def test_a_truncated_video_is_used_as_far_as_it_goes(tmp_path: Path, make_video: MakeVideo) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 96, 96, 3), np.uint8)
    whole = make_video("whole.mp4", frames=noise)  # the index comes first
    path = tmp_path / "half.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    facts = probe(path)
    assert 2 <= facts.frames < 50
    assert facts.frames == len(list(read_frames(path)))
    assert facts.warnings == (f"The file is damaged or cut off: {facts.frames} of 60 frames can be read.",)


def test_a_video_of_which_nothing_decodes_is_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    whole = make_video("whole.mp4", frames=30)
    content = whole.read_bytes()
    start = content.index(b"mdat") + 4
    path = tmp_path / "head.mp4"
    path.write_bytes(content[:start])
    assert "not one frame of it can be read" in problem_of(path)


def test_damage_inside_never_raises_and_counts_the_same_everywhere(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    whole = make_video("whole.mp4", frames=60)
    content = bytearray(whole.read_bytes())
    middle = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 2
    content[middle : middle + 40] = bytes(range(40))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    facts = probe(path)
    assert facts.frames == len(list(read_frames(path))) == len(frame_times(path)[0])


def test_a_video_of_one_frame_is_refused(make_video: MakeVideo) -> None:
    assert problem_of(make_video("one.mp4", frames=1)) == (
        "one.mp4 is a video of one frame: it shows no motion."
    )


def test_a_video_seven_pixels_wide_is_refused(tmp_path: Path, numbered: Callable) -> None:
    path = write_raw(tmp_path / "thin.mkv", numbered(9, width=7, height=64), pixels="yuv444p")
    assert problem_of(path) == "thin.mkv is only 7 x 64 pixels."


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 48000), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert problem_of(path) == "song.mp4 has sound only."


def test_the_cover_of_a_song_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "album.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48000, layout="stereo")
        cover_art = container.add_stream("mjpeg", rate=1)
        cover_art.width, cover_art.height, cover_art.pix_fmt = 64, 64, "yuvj420p"
        cover_art.disposition = Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 48000), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        container.mux(cover_art.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(cover_art.encode(None))
    assert problem_of(path) == "album.mp4 has sound only."


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert problem_of(tmp_path).endswith("is a folder, not a video or image.")


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert problem_of(tmp_path / "gone.mp4") == f"{tmp_path / 'gone.mp4'} does not exist."


def test_a_file_without_permission_is_refused(make_video: MakeVideo, without_rights: Callable) -> None:
    path = make_video()
    path.chmod(0)
    with without_rights():
        assert "does not let LTX Wizard use" in problem_of(path)


def test_a_damaged_image_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole)
    path = tmp_path / "half.png"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "is a damaged image" in problem_of(path)


def test_text_named_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    path.write_text("hello")
    assert problem_of(path) == "page.png is not an image, whatever its name says."


@pytest.mark.parametrize(
    "name", ["with space.mp4", 'it\'s "quoted".mp4', "katze 😀🎬.mp4", "é" * 90 + ".mp4"]
)
def test_strange_names_are_read(tmp_path: Path, make_video: MakeVideo, name: str) -> None:
    made = make_video()
    path = tmp_path / name
    shutil.move(made, path)
    assert probe(path).frames == 24


# Clips and thumbnails


def test_a_clip_has_exactly_the_size_asked_for(make_video: MakeVideo) -> None:
    clip = read_clip(make_video(frames=24, fps=8), 96, 96, 17, 8)
    assert clip.shape == (17, 96, 96, 3)
    assert clip.dtype == np.uint8


def test_a_clip_is_resampled_by_time(tmp_path: Path, numbered: Callable, number_of: Callable) -> None:
    path = write_raw(tmp_path / "v.mp4", numbered(60))
    clip = read_clip(path, 128, 64, 25, 24)
    assert [number_of(frame) for frame in clip[:6]] == [0, 1, 2, 3, 5, 6]


def test_a_variable_rate_clip_does_not_drift(tmp_path: Path, numbered: Callable, number_of: Callable) -> None:
    pts = [*range(20), *range(20, 60, 2)]
    clip = read_clip(write_raw(tmp_path / "v.mp4", numbered(40), pts=pts), 128, 64, 57, 30)
    assert [number_of(frame) for frame in clip] == [*range(20), *(20 + index // 2 for index in range(37))]


def test_a_clip_that_is_too_short_says_so(make_video: MakeVideo) -> None:
    with pytest.raises(BadMediaFile, match="has 16 frames at the training frame rate; 17 are needed"):
        read_clip(make_video(frames=16, fps=8), 96, 96, 17, 8)


def test_an_image_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "i.png"
    Image.new("RGB", (100, 80), "green").save(path)
    assert read_clip(path, 64, 64, 1, 24).shape == (1, 64, 64, 3)
    with pytest.raises(BadMediaFile):
        read_clip(path, 64, 64, 9, 24)


def test_covering_crops_the_centre_and_keeps_proportions() -> None:
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:, 100:200] = 255
    assert cover(picture, 50, 50).min() == 255


def test_thumbnails_are_written_once_in_the_order_asked(
    tmp_path: Path, make_video: MakeVideo, number_of: Callable
) -> None:
    path = make_video(frames=24)
    files = write_thumbnails(path, [20, 3, 99], tmp_path / "thumbs", height_px=32, stem="a")
    assert [file.name for file in files] == ["a-000020.jpg", "a-000003.jpg", "a-000099.jpg"]
    numbers = [number_of(np.asarray(Image.open(file))) for file in files]
    assert numbers == [20, 3, 23]
    before = files[1].stat().st_mtime_ns
    path.unlink()
    assert write_thumbnails(path, [3], tmp_path / "thumbs", stem="a") == [files[1]]
    assert files[1].stat().st_mtime_ns == before
