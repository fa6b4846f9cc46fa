"""WebDataset: .tar files that hold videos and captions of the same name, side by side.

They are not unpacked as a whole: each video is taken out when it is imported.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from ltx_wizard.core.clip import Rejected
from ltx_wizard.core.errors import BadDocument, explain_os_error
from ltx_wizard.dataset.formats.entries import Entry, FoundDataset, Packed, caption_of, one_line
from ltx_wizard.dataset.formats.paths import MEDIA_SUFFIXES

ARCHIVE_SUFFIX = ".tar"

_LARGEST_TEXT = 1 << 20
_CAPTION_ENDINGS = ("txt", "caption", "json")


class _Sample:
    """Files of one key: 'a/0001' of 'a/0001.mp4', 'a/0001.txt'."""

    def __init__(self) -> None:
        self.media: Packed | None = None
        self.texts: dict[str, str] = {}


def read_archives(archives: Sequence[Path], place: Path) -> FoundDataset:
    """The videos and images of .tar files with the captions beside them. Raises BadDocument."""
    entries: list[Entry] = []
    out: list[Rejected] = []
    unused: set[str] = set()
    for archive in archives:
        for key, sample in _samples(archive, unused).items():
            if sample.media is None:
                out.append(_without_video(f"{archive.name}, {key}"))
                continue
            entries.append(Entry(sample.media.member, archive, _caption(sample), sample.media))
    title = (
        f"WebDataset, {archives[0].name}" if len(archives) == 1 else f"WebDataset in {len(archives)} files"
    )
    return FoundDataset(title, place, tuple(entries), tuple(out), tuple(sorted(unused)))


def unpack(archive: Path, packed: Packed, target: Path) -> None:
    """Write one member of an archive as a file of its own. Raises BadDocument, NoSpace or NoPermission."""
    left = packed.size
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open("rb") as source, target.open("wb") as file:
            source.seek(packed.offset)
            while left:
                piece = source.read(min(left, 1 << 20))
                if not piece:
                    raise _damaged(archive, "it ends too early")
                file.write(piece)
                left -= len(piece)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        if left:
            with suppress(OSError):
                target.unlink(missing_ok=True)


def _samples(archive: Path, unused: set[str]) -> dict[str, _Sample]:
    """By key, in the order of the archive. Only plain files count: a link could point anywhere."""
    samples: dict[str, _Sample] = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if (
                    not member.isreg()
                    or member.issparse()
                    or path.name.startswith(".")
                    or "." not in path.name
                ):
                    continue
                key, _, ending = path.name.partition(".")
                sample = samples.setdefault(str(path.with_name(key)), _Sample())
                _add(sample, tar, member, ending.lower(), unused)
    except tarfile.TarError as error:
        raise _damaged(archive, str(error)) from error
    except OSError as error:
        raise explain_os_error(error, archive) from error
    return {key: sample for key, sample in samples.items() if sample.media or sample.texts}


def _add(
    sample: _Sample, tar: tarfile.TarFile, member: tarfile.TarInfo, ending: str, unused: set[str]
) -> None:
    if f".{ending}" in MEDIA_SUFFIXES:
        sample.media = sample.media or Packed(member.name, member.offset_data, member.size)
    elif ending in _CAPTION_ENDINGS and member.size <= _LARGEST_TEXT:
        file = tar.extractfile(member)
        sample.texts[ending] = file.read().decode("utf-8-sig", "replace") if file else ""
    else:
        unused.add(f".{ending}")


def _caption(sample: _Sample) -> str:
    for ending in _CAPTION_ENDINGS:
        text = sample.texts.get(ending, "")
        caption = caption_of(text) if ending == "json" else one_line(text)
        if caption:
            return caption
    return ""


def _without_video(name: str) -> Rejected:
    return Rejected(
        name=name, problem="It has a caption but no video or image.", remedy="Add the video, or ignore this."
    )


def _damaged(archive: Path, why: str) -> BadDocument:
    return BadDocument(
        problem=f"{archive.name} is not a whole .tar file ({why}).",
        remedy="Download or pack it again; a .tar.gz must be unpacked once first.",
    )
