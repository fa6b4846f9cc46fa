"""Datasets that are two lists: one text file with paths, one with captions, line by line."""

from __future__ import annotations

from pathlib import Path

from ltx_wizard.core.clip import Rejected
from ltx_wizard.core.errors import BadDocument, WizardError
from ltx_wizard.core.units import plural
from ltx_wizard.dataset.formats.entries import Entry, FoundDataset, left_out, one_line
from ltx_wizard.dataset.formats.paths import find_media
from ltx_wizard.dataset.formats.text import numbered_lines, read_dataset_text

CAPTION_LISTS = ("prompts.txt", "prompt.txt", "captions.txt", "caption.txt")
MEDIA_LISTS = ("videos.txt", "video.txt", "images.txt", "image.txt", "media_path.txt", "media_paths.txt")


def find_lists(folder: Path, names: set[str]) -> tuple[Path, Path] | None:
    """(paths, captions) where a folder with these names of files holds both lists."""
    by_lower = {name.lower(): name for name in names}
    media = next((by_lower[name] for name in MEDIA_LISTS if name in by_lower), "")
    captions = next((by_lower[name] for name in CAPTION_LISTS if name in by_lower), "")
    return (folder / media, folder / captions) if media and captions else None


def read_lists(media: Path, captions: Path) -> FoundDataset:
    """Line 5 of one belongs to line 5 of the other. Raises BadDocument where the numbers of lines differ."""
    paths = numbered_lines(read_dataset_text(media))
    texts = numbered_lines(read_dataset_text(captions))
    if len(paths) != len(texts):
        raise BadDocument(
            problem=f"{media.name} has {plural(len(paths), 'line')}, {captions.name} has "
            f"{plural(len(texts), 'line')}: which caption belongs to which video is not certain.",
            remedy="Give each video exactly one line in both files, in the same order.",
        )
    entries: list[Entry] = []
    out: list[Rejected] = []
    for (number, named), (_, caption) in zip(paths, texts, strict=True):
        try:
            entries.append(Entry(named.strip(), find_media(named, media.parent), one_line(caption)))
        except WizardError as error:
            out.append(left_out(named.strip() or f"{media.name}, line {number}", error))
    is_older_trainer = media.name.lower().startswith("media_path")
    title = "LTX-Video-Trainer lists" if is_older_trainer else "finetrainers pair"
    return FoundDataset(
        f"{title}, {media.name} and {captions.name}", media.parent, tuple(entries), tuple(out)
    )
