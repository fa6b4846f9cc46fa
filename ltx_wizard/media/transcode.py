"""Writing videos: H.264 in MP4 that every browser plays, whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.audio
import av.container
import av.error
import av.video
import numpy as np
from av.audio.resampler import AudioResampler
from PIL import Image

from ltx_wizard.core.documents import write_bytes_atomically
from ltx_wizard.core.errors import BadMediaFile, NoSpace, WizardError, explain_os_error
from ltx_wizard.media.timing import usual_step_s
from ltx_wizard.media.video import (
    Frame,
    declared_fps,
    decode,
    is_image,
    iterate_clip,
    open_video,
    read_clip,
    to_rgb,
)

Sound = np.ndarray[Any, np.dtype[np.float32]]
"""Stereo at SOUND_RATE: float32 [2, samples], -1 to 1."""

SOUND_RATE = 48_000
_TICKS_PER_S = 90_000
"""The usual clock of video: exact for 24, 25, 30, 50, 60 and their 1000 / 1001 variants to a tick."""

_ENCODER = {"crf": "12", "preset": "veryfast"}
"""Close to lossless to the eye: clips are encoded once or twice before training. Size is not the worry."""

_BT709 = 1
_LIMITED_RANGE = 1
_ALMOST_FULL_BYTES = 1 << 20


@dataclass(frozen=True)
class Cut:
    """One clip to write: frames start_frame (included) to end_frame (excluded) of a source.

    duration_s: how much sound goes with it; 0: as the usual frame rate says. crop: left, top, width and
    height of what is shown; None: all.
    """

    start_frame: int
    end_frame: int
    file: Path
    duration_s: float = 0.0
    crop: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class WrittenClip:
    """A clip that was written. start_s: in the source. problem: what was left out, e.g. its sound."""

    cut: Cut
    width: int
    height: int
    frames: int
    start_s: float
    duration_s: float
    has_audio: bool
    problem: str = ""


def write_video(frames: Frame | Iterable[Frame], path: Path, fps: float, sound: Sound | None = None) -> None:
    """Write uint8 frames [H, W, 3] as MP4. An odd last row or column is cropped: H.264 needs even sizes.

    Raises NoSpace, NoPermission or another WizardError; then whatever was at `path` before is unchanged.
    """
    rate = _rate(fps)
    with Mp4Writer(path, rate, 1 / rate, sound) as writer:
        for index, frame in enumerate(frames):
            writer.add(frame, index)


def cut_clips(
    source: Path, cuts: Sequence[Cut], is_stopped: Callable[[], bool] = lambda: False
) -> Generator[WrittenClip, None, None]:
    """Cut clips in one pass over the source, exact to the frame, with their sound.

    Gives each clip as soon as it is on disk. Uneven frame times are kept. Once is_stopped, it ends and drops
    what it is writing. Raises BadMediaFile where the source ends before a cut does, or another WizardError.
    """
    waiting = sorted(cuts, key=lambda cut: (cut.start_frame, cut.end_frame))
    open_cuts: list[_OpenCut] = []
    usual_s = 1 / (declared_fps(source) or 25)
    try:
        for frame in decode(source):
            while waiting and waiting[0].start_frame <= frame.index:
                open_cuts.append(_OpenCut(source, waiting.pop(0), usual_s))
            if not open_cuts and not waiting:
                return
            if is_stopped():
                return
            picture = to_rgb(frame) if open_cuts else None
            for open_cut in list(open_cuts):
                assert picture is not None
                open_cut.add(picture, frame.time_s, frame.clock_s)
                if frame.index + 1 == open_cut.cut.end_frame:
                    open_cuts.remove(open_cut)
                    yield open_cut.finish()
        if open_cuts or waiting:
            raise BadMediaFile(
                problem=f"{source.name} ends before its last scene does.",
                remedy="Press 'Find scenes' again: the video may have been replaced.",
            )
    finally:
        for open_cut in open_cuts:
            open_cut.discard()


def conform_file(path: Path, out: Path, width: int, height: int, frames: int, fps: float) -> None:
    """Write a clip at exactly this size, length and frame rate; an image becomes a PNG.

    Raises BadMediaFile where the clip is too short, or another WizardError.
    """
    if is_image(path):
        write_png(read_clip(path, width, height, frames, fps)[0], out)
        return
    with open_video(path) as (container, _):
        has_audio = bool(container.streams.audio)
    first_clock_s = next(decode(path)).clock_s if has_audio else 0.0
    sound = _sound_or_none(path, first_clock_s, first_clock_s + frames / fps) if has_audio else None
    write_video(iterate_clip(path, width, height, frames, fps), out, fps, sound)


def write_png(picture: Frame, path: Path) -> None:
    """Write one picture without loss, atomically."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    write_bytes_atomically(path, buffer.getvalue())


def read_sound(path: Path, from_clock_s: float, to_clock_s: float) -> Sound | None:
    """The sound between two times of the file's own clock, padded with silence; None where there is no track.

    Raises FFmpegError or OSError where it cannot be decoded.
    """
    length = max(0, round((to_clock_s - from_clock_s) * SOUND_RATE))
    sound = np.zeros((2, length), dtype=np.float32)
    with open_video(path) as (container, _):
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        _seek_before(container, stream, from_clock_s)
        resampler = AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE)
        position: int | None = None
        for frame in container.decode(stream):
            if frame.pts is None or frame.time_base is None:
                continue
            clock_s = float(frame.pts * frame.time_base)
            if clock_s >= to_clock_s:
                break
            start = round((clock_s - from_clock_s) * SOUND_RATE) if position is None else position
            for piece in resampler.resample(frame):
                samples = np.asarray(piece.to_ndarray(), dtype=np.float32)
                _paste(sound, samples, start)
                start += samples.shape[1]
            position = start
    return sound


class Mp4Writer:
    """Writes one MP4 into a temporary file and moves it into place at the end. Use as a context manager."""

    def __init__(self, path: Path, rate: Fraction, time_base: Fraction, sound: Sound | None = None) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.stem[:60]}.{secrets.token_hex(4)}.tmp.mp4")
        self._rate, self._time_base, self._sound = rate, time_base, sound
        self._container: av.container.OutputContainer | None = None
        self._stream: av.video.VideoStream | None = None
        self.frames = 0
        self.width = self.height = 0

    def __enter__(self) -> Mp4Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.discard()

    def add(self, frame: Frame, tick: int) -> None:
        """Append a frame that is shown from this tick of the time base on."""
        even = np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
        try:
            if self._container is None:
                self._open(even)
            assert self._container is not None and self._stream is not None
            picture = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            picture.pts, picture.time_base = tick, self._time_base
            self._container.mux(self._stream.encode(picture))
        except (av.error.FFmpegError, OSError) as error:
            self.discard()
            raise _explain_write(error, self._path) from error
        except BaseException:
            self.discard()
            raise
        self.frames += 1

    def finish(self) -> None:
        """Flush, check that every frame arrived on disk, and move the file into place."""
        if self._container is None or self._stream is None:
            raise WizardError(f"There is no frame to write to {self._path.name}.", "Choose a longer stretch.")
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None
            _flush_to_disk(self._temporary)
            _refuse_incomplete(self._temporary, self._path, self.frames)
            self._temporary.replace(self._path)
        except (av.error.FFmpegError, OSError) as error:
            raise _explain_write(error, self._path) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Close and delete the temporary file; does nothing after finish."""
        container, self._container = self._container, None
        if container is not None:
            with suppress(av.error.FFmpegError, OSError):  # what went wrong is already being raised
                container.close()
        if self._temporary.parent.is_dir():
            self._temporary.unlink(missing_ok=True)

    def _open(self, frame: Frame) -> None:
        self._temporary.parent.mkdir(parents=True, exist_ok=True)
        self.height, self.width = frame.shape[:2]
        self._container = av.open(str(self._temporary), "w", format="mp4", options={"movflags": "+faststart"})
        stream = self._container.add_stream("libx264", rate=self._rate, options=_ENCODER)
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
        stream.codec_context.time_base = self._time_base
        stream.color_range, stream.colorspace = _LIMITED_RANGE, _BT709
        stream.color_primaries = stream.color_trc = _BT709
        self._stream = stream
        if self._sound is not None and self._sound.shape[1]:
            self._add_sound(self._sound)

    def _add_sound(self, sound: Sound) -> None:
        """All sound first: the container interleaves it with the pictures by time."""
        assert self._container is not None
        stream = self._container.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
        self._container.mux(stream.encode(frame))
        self._container.mux(stream.encode(None))


class _OpenCut:
    """A clip that is being written while the source is decoded."""

    def __init__(self, source: Path, cut: Cut, usual_s: float) -> None:
        self.cut = cut
        self._source, self._usual_s = source, usual_s
        self._writer: Mp4Writer | None = None
        self._times: list[float] = []
        self._problem = ""
        self._has_audio = False

    def add(self, picture: Frame, time_s: float, clock_s: float) -> None:
        if self._writer is None:
            self._writer = self._start(clock_s)
        self._times.append(time_s)
        if self.cut.crop is not None:
            left, top, width, height = self.cut.crop
            picture = picture[top : top + height, left : left + width]
        self._writer.add(picture, round((time_s - self._times[0]) * _TICKS_PER_S))

    def finish(self) -> WrittenClip:
        assert self._writer is not None
        self._writer.finish()
        length_s = self._times[-1] - self._times[0] + usual_step_s(self._times, 1 / self._usual_s)
        return WrittenClip(
            cut=self.cut,
            width=self._writer.width,
            height=self._writer.height,
            frames=self._writer.frames,
            start_s=round(self._times[0], 6),
            duration_s=round(length_s, 6),
            has_audio=self._has_audio,
            problem=self._problem,
        )

    def discard(self) -> None:
        if self._writer is not None:
            self._writer.discard()

    def _start(self, clock_s: float) -> Mp4Writer:
        length_s = self.cut.duration_s or (self.cut.end_frame - self.cut.start_frame) * self._usual_s
        sound: Sound | None = None
        try:
            sound = read_sound(self._source, clock_s, clock_s + length_s)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._problem = f"The sound of this clip was left out: it could not be read ({error})."
        self._has_audio = sound is not None
        return Mp4Writer(self.cut.file, _rate(1 / self._usual_s), Fraction(1, _TICKS_PER_S), sound)


def _sound_or_none(path: Path, from_clock_s: float, to_clock_s: float) -> Sound | None:
    try:
        return read_sound(path, from_clock_s, to_clock_s)
    except (av.error.FFmpegError, OSError, ValueError):
        return None


def _rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001)


def _seek_before(
    container: av.container.InputContainer, stream: av.audio.AudioStream, clock_s: float
) -> None:
    """Half a second early: the first packets after a seek may decode to nothing."""
    if clock_s <= 1 or stream.time_base is None:
        return
    try:
        container.seek(int((clock_s - 0.5) / float(stream.time_base)), stream=stream, backward=True)
    except (av.error.FFmpegError, OSError):
        container.seek(0)


def _paste(sound: Sound, samples: Sound, position: int) -> None:
    start, end = max(position, 0), min(position + samples.shape[1], sound.shape[1])
    if end > start:
        sound[:, start:end] = samples[:, start - position : end - position]


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _refuse_incomplete(temporary: Path, path: Path, frames: int) -> None:
    """A full disk can go unnoticed while a file is closed: read the index back and count."""
    try:
        with av.open(str(temporary)) as container:
            found = container.streams.video[0].frames
    except (av.error.FFmpegError, OSError, IndexError):
        found = 0
    if found != frames:
        raise OSError(_likely_errno(path), f"only {found} of {frames} frames were written")


def _likely_errno(path: Path) -> int:
    free = shutil.disk_usage(path.parent).free
    return errno.ENOSPC if free < _ALMOST_FULL_BYTES else errno.EIO


def _explain_write(error: Exception, path: Path) -> WizardError:
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number in errno.errorcode:
        return explain_os_error(OSError(number, os.strerror(number)), path)
    if path.parent.is_dir() and _likely_errno(path) == errno.ENOSPC:
        return NoSpace(
            problem=f"The disk that holds {path} is full.",
            remedy="Free some space, then do this again. What was saved before is unchanged.",
        )
    return WizardError(
        problem=f"{path.name} could not be written: {error}.",
        remedy="Try again; if it happens again, import the video in another format.",
    )
