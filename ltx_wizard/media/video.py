"""What a video or image is, and its frames as arrays.

Frames are counted as they decode, never taken from a header, and every function here counts alike: frame 12
is the same picture for the scene finder, the cutter and the thumbnails. Pictures are as a player shows
them, after rotation.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.video
import cv2
import numpy as np
from av.stream import Disposition
from PIL import Image, ImageOps, UnidentifiedImageError

from ltx_wizard.core.clip import MediaKind
from ltx_wizard.core.documents import write_bytes_atomically
from ltx_wizard.core.errors import BadMediaFile, explain_os_error
from ltx_wizard.media.timing import average_fps, frames_shown_at, is_variable, usual_step_s

MIN_SIDE_PX = 32
"""Smallest width and height that any of the models takes."""

VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".wmv",
    ".flv", ".3gp", ".ogv",
)  # fmt: skip
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg,mp3,wav,aac,flac"
"""Formats that hold their own data. Playlists are left out: they can name other files and addresses."""

_READING_SLACK_S = 1e-3
"""A reader is this much more lenient than the plan, so that rounding never fails a clip that was planned
for.
"""

_MAY_MOVE = ("webp", "png")
"""Images that can hold a film, which the video library does not read."""

_FIRST_PICTURE_ONLY = "It moves, but only its first picture is used. Save it as MP4 to use its motion."
_WITH_ALPHA = ("rgba", "bgra", "argb", "abgr", "yuva", "gbrap", "ya8", "ya16")
"""How formats of pictures that may have transparent parts begin."""

_OPAQUE = 250
_SHOWN_BY_BROWSERS = ("vp8", "libvpx", "vp9", "libvpx-vp9", "av1", "libdav1d", "libaom-av1")

_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_JPEG_QUALITY = 82
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"

Frame = np.ndarray[Any, np.dtype[np.uint8]]
"""A picture: uint8 [H, W, 3], red green blue."""


@dataclass(frozen=True)
class MediaFacts:
    """What was measured. width, height: as shown, after rotation. frames: those that decode."""

    kind: MediaKind
    width: int
    height: int
    fps: float
    frames: int
    duration_s: float
    rotation: int
    has_audio: bool
    variable_frame_rate: bool
    codec: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame, as stored.

    index: from 0, in display order. time_s: since the first frame. clock_s: as in the file.
    pixel_aspect: width of a pixel by its height.
    """

    index: int
    time_s: float
    clock_s: float
    picture: av.video.VideoFrame
    pixel_aspect: float = 1.0


def probe(path: Path) -> MediaFacts:
    """Measure a file by decoding it to its end. Raises BadMediaFile with the exact reason.

    A video of one frame is refused (it shows no motion); a GIF of one frame is an image. A damaged video is
    accepted as far as it decodes, with a warning.
    """
    _refuse_unreadable(path)
    image_format = _image_format(path)
    facts = _image_facts(path, image_format) if image_format else _video_facts(path)
    return _checked_size(path, facts)


def read_frames(path: Path, start_frame: int = 0, end_frame: int | None = None) -> Iterator[Frame]:
    """Frames start_frame (included) to end_frame (excluded) in display order. Raises BadMediaFile."""
    if is_image(path):
        if start_frame == 0 and end_frame != 0:
            yield read_image(path)
        return
    for frame in decode(path):
        if end_frame is not None and frame.index >= end_frame:
            return
        if frame.index >= start_frame:
            yield to_rgb(frame)


def read_clip(path: Path, width: int, height: int, frames: int, fps: float) -> Frame:
    """A training example: uint8 [frames, height, width, 3].

    Resampled to fps by time, scaled to cover the size, cropped at the centre, cut after `frames`. An image
    gives one frame. Raises BadMediaFile where there are too few frames.
    """
    return np.stack(list(iterate_clip(path, width, height, frames, fps)))


def iterate_clip(path: Path, width: int, height: int, frames: int, fps: float) -> Iterator[Frame]:
    """As read_clip, one frame at a time. Decodes twice, so that nothing but one frame is held in memory."""
    if is_image(path):
        _refuse_short(path, 1, frames)
        yield cover(read_image(path), width, height)
        return
    shown = _shown_frames(path, fps)
    _refuse_short(path, len(shown), frames)
    repeats: dict[int, int] = {}
    for index in shown[:frames]:
        repeats[index] = repeats.get(index, 0) + 1
    last = max(repeats)
    for frame in decode(path):
        if frame.index in repeats:
            picture = cover(to_rgb(frame), width, height)
            for _ in range(repeats[frame.index]):
                yield picture
        if frame.index >= last:
            return


def frame_times(path: Path) -> tuple[list[float], float]:
    """The start of every frame and the end of the last, in seconds since the first. Raises BadMediaFile."""
    if is_image(path):
        return [0.0], 0.0
    times = [frame.time_s for frame in decode(path)]
    _refuse_empty(path, len(times))
    return times, times[-1] + usual_step_s(times, declared_fps(path))


def quick_frame_times(path: Path, frames: int) -> list[float]:
    """The start of every frame, in seconds since the first, as the container has it: nothing is decoded.

    frames: how many decode. Where the container names another number of them, the video is decoded after all.
    Raises BadMediaFile.
    """
    with open_video(path) as (container, stream):
        clock = stream.time_base or 0
        starts: list[float] = []
        with suppress(av.error.FFmpegError, OSError):  # as far as it can be read, as in decoding
            starts = sorted(
                float(packet.pts * clock) for packet in container.demux(stream) if packet.pts is not None
            )
    return [start - starts[0] for start in starts] if len(starts) == frames else frame_times(path)[0]


def declared_fps(path: Path) -> float:
    """What the header says; 0 where it says nothing."""
    with open_video(path) as (_, stream):
        return float(stream.average_rate or stream.guessed_rate or 0)


def plays_in_browsers(path: Path) -> bool:
    """Whether the pictures are stored in a way that every browser shows. Raises BadMediaFile."""
    with open_video(path) as (_, stream):
        codec, pixels = stream.codec_context.name, stream.codec_context.pix_fmt
    return codec in _SHOWN_BY_BROWSERS or (codec == "h264" and pixels in ("yuv420p", "yuvj420p"))


def write_thumbnails(
    path: Path, frame_numbers: Sequence[int], folder: Path, height_px: int = 120, stem: str = ""
) -> list[Path]:
    """JPEG pictures of some frames, named '<stem>-<frame>.jpg', in the order of frame_numbers.

    One pass over the video; pictures that are there already stay. A number past the end gives the last
    frame.
    """
    files = {number: folder / f"{stem or path.stem}-{number:06d}.jpg" for number in frame_numbers}
    missing = sorted(number for number, file in files.items() if not file.is_file())
    if missing:
        _write_missing_thumbnails(path, missing, files, height_px)
    return [files[number] for number in frame_numbers]


def cover(picture: Frame, width: int, height: int) -> Frame:
    """Scale a picture so that it covers the size, and crop at the centre."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = max(width / picture.shape[1], height / picture.shape[0])
    scaled_width = max(width, round(picture.shape[1] * scale))
    scaled_height = max(height, round(picture.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(picture, (scaled_width, scaled_height), interpolation=method)
    left, top = (scaled_width - width) // 2, (scaled_height - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width], dtype=np.uint8)


def decode(path: Path, *, hurry: bool = False) -> Iterator[TimedFrame]:
    """Every frame that decodes, in display order; damaged ones are left out. Raises BadMediaFile.

    hurry: frames that are built from their neighbours (B frames) are left out, which takes less than half
    the time where there are any, and `index` counts what is left; one thread, for callers that look through
    several files at once.
    """
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        if hurry:
            stream.thread_count = 1
            stream.codec_context.skip_frame = "BIDIR"
        usual = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        pixel_aspect = _pixel_aspect(stream)
        first, last, index = 0.0, 0.0, 0
        for picture in _pictures(container, stream):
            clock = _clock_s(picture, last + usual)
            if index == 0:
                first = clock
            elif clock <= last:
                clock = last + usual
            yield TimedFrame(index, clock - first, clock, picture, pixel_aspect)
            last, index = clock, index + 1


def to_rgb(frame: TimedFrame, height_px: int = 0) -> Frame:
    """A decoded frame as shown: square pixels, rotated, with white behind transparent parts.

    height_px: scaled to this height; 0: full size.
    """
    width, height = _square_size(frame)
    quarter_turns = _quarter_turns(frame)
    if height_px:
        scale = height_px / (width if quarter_turns % 2 else height)
        width, height = max(2, round(width * scale)), max(2, round(height * scale))
    form = "rgba" if _has_alpha(frame.picture) else "rgb24"
    array = np.asarray(frame.picture.to_ndarray(format=form, width=width, height=height), dtype=np.uint8)
    if form == "rgba":
        alpha = array[:, :, 3:].astype(np.uint16)
        array = ((array[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.rot90(array, quarter_turns)) if quarter_turns else array


def _has_alpha(picture: av.video.VideoFrame) -> bool:
    return picture.format.name.startswith(_WITH_ALPHA)


def shown_size(frame: TimedFrame) -> tuple[int, int]:
    """Width and height as shown."""
    width, height = _square_size(frame)
    return (height, width) if _quarter_turns(frame) % 2 else (width, height)


def measured_height(frame: TimedFrame, long_side_px: int) -> int:
    """The height at which a frame is measured: its long side as given, or shorter, but both at least 32 px.

    Below, OpenCV's dense flow reads behind its pictures: it crashed on 192 x 12 (OpenCV 5.0).
    """
    width, height = shown_size(frame)
    scale = max(long_side_px / max(width, height), MIN_SIDE_PX / min(width, height))
    return round(height * min(1.0, scale))


def read_image(path: Path) -> Frame:
    """An image as it is shown; transparent parts are white. Raises BadMediaFile."""
    _refuse_unreadable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return np.asarray(_flat(ImageOps.exif_transpose(image)), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged_image(path, error) from error


def is_image(path: Path) -> bool:
    """Whether the content, not the name, is a still image."""
    _refuse_unreadable(path)
    return bool(_image_format(path))


_LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""Titles that are no UTF-8 are no reason to refuse a video. PyAV 19 dropped the setting and never minds."""


@contextmanager
def open_video(path: Path) -> Iterator[tuple[av.container.InputContainer, av.video.VideoStream]]:
    """The container and its moving picture. Raises BadMediaFile."""
    _refuse_unreadable(path)
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    try:
        container = av.open(str(path.resolve()), options=options, **_LENIENT)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _not_a_video(path, error) from error
    with container:
        stream = next((item for item in container.streams.video if not _is_cover_art(item)), None)
        if stream is None:
            what = "sound only" if container.streams.audio else "no picture"
            raise BadMediaFile(
                problem=f"{_name(path)} has {what}.", remedy="Use a file that holds a video track."
            )
        yield container, stream


def _video_facts(path: Path) -> MediaFacts:
    with open_video(path) as (container, stream):
        declared_frames = stream.frames
        declared_rate = float(stream.average_rate or stream.guessed_rate or 0)
        codec = stream.codec_context.name
        has_audio = bool(container.streams.audio)
    times: list[float] = []
    first: TimedFrame | None = None
    for frame in decode(path):
        first = first or frame
        times.append(frame.time_s)
    _refuse_empty(path, len(times))
    assert first is not None
    if len(times) == 1:
        raise BadMediaFile(
            problem=f"{_name(path)} is a video of one frame: it shows no motion.",
            remedy="Save it as a JPG or PNG and import that, or use a longer video.",
        )
    fps = average_fps(times, declared_rate)
    width, height = shown_size(first)
    variable = is_variable(times)
    return MediaFacts(
        kind=MediaKind.VIDEO,
        width=width,
        height=height,
        fps=fps,
        frames=len(times),
        duration_s=len(times) / fps if not variable else times[-1] + usual_step_s(times, fps),
        rotation=90 * _quarter_turns(first),
        has_audio=has_audio,
        variable_frame_rate=variable,
        codec=codec,
        warnings=_video_warnings(first.picture, len(times), declared_frames),
    )


def _video_warnings(first: av.video.VideoFrame, frames: int, declared_frames: int) -> tuple[str, ...]:
    found: list[str] = []
    if declared_frames and frames < 0.98 * declared_frames - 1:
        found.append(f"The file is damaged or cut off: {frames:,} of {declared_frames:,} frames can be read.")
    transfer = _HDR_TRANSFERS.get(int(first.color_trc))
    if transfer:
        found.append(f"This is HDR video ({transfer}): its colours will look pale. Convert it to SDR first.")
    if _has_alpha(first) and first.to_ndarray(format="rgba")[:, :, 3].min() < _OPAQUE:
        found.append("Its transparent parts are shown white.")
    if first.interlaced_frame:
        found.append("This video is interlaced: motion shows combs. Deinterlace it first.")
    return tuple(found)


def _image_facts(path: Path, codec: str) -> MediaFacts:
    height, width = read_image(path).shape[:2]
    with Image.open(path) as image:
        moves = codec in _MAY_MOVE and getattr(image, "is_animated", False)
    return MediaFacts(
        kind=MediaKind.IMAGE,
        width=width,
        height=height,
        fps=0.0,
        frames=1,
        duration_s=0.0,
        rotation=0,
        has_audio=False,
        variable_frame_rate=False,
        codec=codec,
        warnings=(_FIRST_PICTURE_ONLY,) if moves else (),
    )


def _image_format(path: Path) -> str:
    """The format of a still image; empty for anything else. Raises BadMediaFile for one that is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                moves = image.format == "GIF" and getattr(image, "is_animated", False)
                return "" if moves else (image.format or "image").lower()
    except UnidentifiedImageError:
        if path.suffix.lower() in IMAGE_SUFFIXES and not _could_be_video(path):
            raise BadMediaFile(
                problem=f"{_name(path)} is not an image, whatever its name says.",
                remedy="Use the original image, or remove this file.",
            ) from None
        return ""
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged_image(path, error) from error


def _flat(image: Image.Image) -> Image.Image:
    """RGB, with white behind transparent parts."""
    if image.mode.startswith("I"):  # 16 bits of grey, of which convert() would make all above 255 white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    return image.convert("RGB")


def _damaged_image(path: Path, error: Exception) -> BadMediaFile:
    return BadMediaFile(
        problem=f"{_name(path)} is a damaged image: {_first_line(error)}.",
        remedy="Open it in an image program and save it again, or use another copy.",
    )


def _could_be_video(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" or head[:4] in (b"\x1aE\xdf\xa3", b"RIFF")


def _checked_size(path: Path, facts: MediaFacts) -> MediaFacts:
    if min(facts.width, facts.height) < MIN_SIDE_PX:
        raise BadMediaFile(
            problem=f"{_name(path)} is only {facts.width} x {facts.height} pixels.",
            remedy=f"Use a picture of at least {MIN_SIDE_PX} pixels each way; 512 or more is better.",
        )
    return facts


def _pictures(
    container: av.container.InputContainer, stream: av.video.VideoStream
) -> Iterator[av.video.VideoFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError, OSError):
            break
        try:
            yield from (item for item in packet.decode() if isinstance(item, av.video.VideoFrame))
        except av.error.FFmpegError:
            continue
    try:
        yield from stream.decode(None)
    except av.error.FFmpegError:
        return


def _shown_frames(path: Path, fps: float) -> list[int]:
    times, end_s = frame_times(path)
    return frames_shown_at(times, end_s + _READING_SLACK_S, fps)


def _write_missing_thumbnails(
    path: Path, missing: Sequence[int], files: dict[int, Path], height_px: int
) -> None:
    waiting = list(missing)
    last: Frame | None = None
    if is_image(path):
        picture = read_image(path)
        last = cover(picture, max(1, round(picture.shape[1] * height_px / picture.shape[0])), height_px)
    else:
        newest: TimedFrame | None = None
        for frame in decode(path):
            newest = frame
            if frame.index == waiting[0]:
                _write_jpeg(files[waiting.pop(0)], to_rgb(frame, height_px))
            if not waiting:
                return
        _refuse_empty(path, 0 if newest is None else 1)
        last = to_rgb(newest, height_px) if newest is not None else None
    for number in waiting:
        if last is not None:
            _write_jpeg(files[number], last)


def _write_jpeg(file: Path, picture: Frame) -> None:
    _, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    write_bytes_atomically(file, encoded.tobytes())


def _square_size(frame: TimedFrame) -> tuple[int, int]:
    """Stored size with square pixels: some cameras store 1440 x 1080 and show 1920 x 1080."""
    picture = frame.picture
    if abs(frame.pixel_aspect - 1) > 0.01:
        return max(2, round(picture.width * frame.pixel_aspect / 2) * 2), picture.height
    return picture.width, picture.height


def _quarter_turns(frame: TimedFrame) -> int:
    """Counter-clockwise quarter turns from the stored picture to the shown one: 0 to 3."""
    return round(frame.picture.rotation / 90) % 4


def _pixel_aspect(stream: av.video.VideoStream) -> float:
    ratio = float(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
    return ratio if 0.1 < ratio < 10 else 1.0


def _clock_s(picture: av.video.VideoFrame, otherwise: float) -> float:
    if picture.pts is None or picture.time_base is None:
        return otherwise
    return float(picture.pts * picture.time_base)


def _is_cover_art(stream: av.video.VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _refuse_unreadable(path: Path) -> None:
    """Raise BadMediaFile for what cannot be opened at all."""
    try:
        if path.is_dir():
            raise BadMediaFile(
                problem=f"{_name(path)} is a folder, not a video or image.",
                remedy="Choose files, or use 'Import a folder'.",
            )
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        explained = explain_os_error(error, path)
        raise BadMediaFile(problem=explained.problem, remedy=explained.remedy) from error
    except ValueError as error:
        raise BadMediaFile(
            problem="This is not a path of this computer.", remedy="Check its spelling."
        ) from error
    if size == 0:
        raise BadMediaFile(
            problem=f"{_name(path)} is empty: it has 0 bytes.",
            remedy="Copy or download it again; the transfer did not finish.",
        )


def _refuse_empty(path: Path, frames: int) -> None:
    if frames == 0:
        raise BadMediaFile(
            problem=f"{_name(path)} opens, but not one frame of it can be read.",
            remedy="It is damaged or in a rare format: convert it to MP4 (H.264), or copy it again.",
        )


def _refuse_short(path: Path, available: int, frames: int) -> None:
    if available < frames:
        raise BadMediaFile(
            problem=f"{_name(path)} has {available} frames at the training frame rate; {frames} are needed.",
            remedy="Choose a bucket with fewer frames, or leave this clip out.",
        )


def _not_a_video(path: Path, error: Exception) -> BadMediaFile:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(_LFS_POINTER):
        return BadMediaFile(
            problem=f"{_name(path)} is only a note of Git LFS: the video itself was not downloaded.",
            remedy="Run 'git lfs pull' in its folder, or download it without git, then import again.",
        )
    if _looks_like_text(head):
        return BadMediaFile(
            problem=f"{_name(path)} is a text file, not a video.",
            remedy="Use the real video; a web page may have been saved in its place.",
        )
    if head[4:8] == b"ftyp" or isinstance(error, EOFError):
        return BadMediaFile(
            problem=f"{_name(path)} is incomplete: its index is missing, so nothing in it can be found.",
            remedy="Copy or record it again; the transfer or recording was interrupted.",
        )
    return BadMediaFile(
        problem=f"{_name(path)} is not a video that can be read: {_first_line(error)}.",
        remedy="Convert it to MP4 (H.264), or remove it.",
    )


def _looks_like_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    for cut in range(4):  # the 4096 bytes may end inside a character
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return sum(letter.isprintable() or letter.isspace() for letter in text) > 0.95 * len(text)
    return False


def _name(path: Path) -> str:
    """The name as a message can show it: not longer than a line, without control characters."""
    clean = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", path.name) or os.fspath(path)
    return clean if len(clean) <= 60 else f"{clean[:45]}...{clean[-12:]}"


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "strerror", "") or error).strip()
    return text.splitlines()[0][:120].rstrip(".") if text else type(error).__name__
