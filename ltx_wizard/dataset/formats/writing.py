"""The table of formats that a dataset can be written in, and how each of them is written.

A writer gets examples whose files lie in the folder already, and adds what the trainer reads. Where a trainer
wants the folder's whole path, the final one is written.
"""

from __future__ import annotations

import csv
import io
import json
import math
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ltx_wizard.core.clip import MediaKind
from ltx_wizard.core.documents import write_text_atomically
from ltx_wizard.core.errors import BadSetting

Layout = Callable[[str, MediaKind], str]
"""Gives the place of a file from its name: in which folder of the dataset it lies."""


@dataclass(frozen=True)
class Example:
    """One clip to write. file: below the dataset's folder, with forward slashes. caption: on one line."""

    file: str
    caption: str
    kind: MediaKind


@dataclass(frozen=True)
class Target:
    """Where and what for. folder: where to write now. place: where the folder will be.

    width, height, frames: of the training size, for settings files. fps: of all clips; 0 where they differ.
    """

    folder: Path
    place: Path
    name: str
    width: int
    height: int
    frames: int
    fps: float


_SHARD_BYTES = 1 << 30
"""About a gigabyte, as WebDataset's documentation advises."""

Write = Callable[[Target, Sequence[Example]], None]


@dataclass(frozen=True)
class Format:
    """A way to write a dataset.

    trainer_adds_trigger: the trainer has an option for the trigger word, so that it must not stand in the
    captions too. mixes: whether images may be among the videos; else they are a dataset of their own. hint:
    what to do with the folder.
    """

    name: str
    title: str
    write: Write
    layout: Layout
    trainer_adds_trigger: bool = False
    mixes: bool = True
    hint: str = ""


def find_format(name: str) -> Format:
    """Raises BadSetting naming the formats there are."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise BadSetting(
        problem=f"There is no dataset format called {name}.",
        remedy=f"Choose one of: {', '.join(known.name for known in FORMATS)}.",
    )


def _in_videos(name: str, kind: MediaKind) -> str:
    return f"videos/{name}"


def _by_kind(name: str, kind: MediaKind) -> str:
    return f"images/{name}" if kind is MediaKind.IMAGE else f"videos/{name}"


def _flat(name: str, kind: MediaKind) -> str:
    return name


def _repeated(name: str, kind: MediaKind) -> str:
    return f"1_clips/{name}"


def _table(file: str, media_column: str, caption_column: str = "caption") -> Write:
    """A table called `file`, in the form that its ending says."""

    def write(target: Target, examples: Sequence[Example]) -> None:
        rows = [{caption_column: item.caption, media_column: item.file} for item in examples]
        write_text_atomically(target.folder / file, _TABLE_TEXT[PurePosixPath(file).suffix](rows))

    return write


def _json_text(rows: Sequence[Mapping[str, str]]) -> str:
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def _jsonl_text(rows: Sequence[Mapping[str, str]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv_text(rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_TABLE_TEXT: Mapping[str, Callable[[Sequence[Mapping[str, str]]], str]] = {
    ".json": _json_text,
    ".jsonl": _jsonl_text,
    ".csv": _csv_text,
}


def _write_map(target: Target, examples: Sequence[Example]) -> None:
    text = json.dumps({item.file: item.caption for item in examples}, indent=2, ensure_ascii=False)
    write_text_atomically(target.folder / "captions.json", text + "\n")


def _lists(media: str, captions: str) -> Write:
    """Two lists, line by line. A list of images only is called 'images' where one of videos is called so."""

    def write(target: Target, examples: Sequence[Example]) -> None:
        only_images = all(item.kind is MediaKind.IMAGE for item in examples)
        name = media.replace("videos", "images") if only_images else media
        write_text_atomically(target.folder / name, "".join(f"{item.file}\n" for item in examples))
        write_text_atomically(target.folder / captions, "".join(f"{item.caption}\n" for item in examples))

    return write


def _sidecars(suffix: str = ".txt") -> Write:
    """Beside each file its caption, without a line end: some trainers take every line for a caption."""

    def write(target: Target, examples: Sequence[Example]) -> None:
        for item in examples:
            beside = (target.folder / item.file).with_suffix(suffix)
            write_text_atomically(beside, item.caption)

    return write


def _write_diffusion_pipe(target: Target, examples: Sequence[Example]) -> None:
    _sidecars()(target, examples)
    side = 32 * round(math.sqrt(target.width * target.height) / 32)
    frames = [1, target.frames] if target.frames > 1 else [1]
    lines = [
        "# For diffusion-pipe. Change the path if you move the folder.",
        f"resolutions = [{side}]  # the side of a square of the area that is trained",
        "enable_ar_bucket = true",
        "min_ar = 0.5",
        "max_ar = 2.0",
        "num_ar_buckets = 7",
        f"frame_buckets = {frames}",
        "",
        "[[directory]]",
        f"path = {_toml_text(target.place)}",
        "num_repeats = 1",
    ]
    write_text_atomically(target.folder / "dataset.toml", "\n".join(lines) + "\n")


def _write_musubi(target: Target, examples: Sequence[Example]) -> None:
    """A list and a section for videos, and the same for images; whole paths, as its documentation shows."""
    lines = [
        "# For musubi-tuner. Change the paths here and in the lists if you move the folder.",
        "[general]",
        f"resolution = [{target.width}, {target.height}]",
        "batch_size = 1",
        "enable_bucket = true",
        "bucket_no_upscale = false",
    ]
    for kind, word in ((MediaKind.VIDEO, "video"), (MediaKind.IMAGE, "image")):
        chosen = [item for item in examples if item.kind is kind]
        if not chosen:
            continue
        rows = [{f"{word}_path": str(target.place / item.file), "caption": item.caption} for item in chosen]
        write_text_atomically(target.folder / f"{word}s.jsonl", _jsonl_text(rows))
        lines += [
            "",
            "[[datasets]]",
            f"{word}_jsonl_file = {_toml_text(target.place / f'{word}s.jsonl')}",
            f"cache_directory = {_toml_text(target.place / f'cache_{word}s')}",
        ]
        if kind is MediaKind.VIDEO:
            lines += [f"target_frames = [{target.frames}]", 'frame_extraction = "head"']
            lines += [f"source_fps = {float(target.fps)}"] if target.fps else []
    write_text_atomically(target.folder / "dataset.toml", "\n".join(lines) + "\n")


def _write_simpletuner(target: Target, examples: Sequence[Example]) -> None:
    """Videos and images are two datasets, as its documentation asks."""
    _sidecars()(target, examples)
    backends: list[dict[str, object]] = []
    for kind, word in ((MediaKind.VIDEO, "video"), (MediaKind.IMAGE, "image")):
        if not any(item.kind is kind for item in examples):
            continue
        backend: dict[str, object] = {
            "id": f"{target.name}-{word}s",
            "type": "local",
            "dataset_type": word,
            "instance_data_dir": str(target.place / f"{word}s"),
            "caption_strategy": "textfile",
            "resolution": min(target.width, target.height),
            "resolution_type": "pixel",
            "cache_dir_vae": f"cache/vae/{target.name}-{word}s",
        }
        if kind is MediaKind.VIDEO:
            backend["video"] = {"num_frames": target.frames, "min_frames": target.frames}
        backends.append(backend)
    backends.append(
        {
            "id": f"{target.name}-text",
            "type": "local",
            "dataset_type": "text_embeds",
            "default": True,
            "cache_dir": f"cache/text/{target.name}",
        }
    )
    write_text_atomically(
        target.folder / "multidatabackend.json", json.dumps(backends, indent=2, ensure_ascii=False) + "\n"
    )


def _write_webdataset(target: Target, examples: Sequence[Example]) -> None:
    """Files and captions in .tar files of a size that loads well; a new one begins between two examples."""
    number = 0
    while examples:
        path = target.folder / f"data-{number:06d}.tar"
        with tarfile.open(path, "w") as tar:
            examples = _add_to_tar(tar, target.folder, examples)
        number += 1


def _add_to_tar(tar: tarfile.TarFile, folder: Path, examples: Sequence[Example]) -> Sequence[Example]:
    """Move examples into the archive until it is full; gives those that are left."""
    for index, item in enumerate(examples):
        if tar.offset > _SHARD_BYTES:
            return examples[index:]
        file = folder / item.file
        key, suffix = file.stem.replace(".", "-"), file.suffix
        tar.add(file, f"{key}{suffix}", filter=_anonymous)
        text = item.caption.encode()
        header = tarfile.TarInfo(f"{key}.txt")
        header.size = len(text)
        tar.addfile(header, io.BytesIO(text))
        file.unlink()
    return ()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A dataset that is given away does not tell who made it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _write_onetrainer(target: Target, examples: Sequence[Example]) -> None:
    _sidecars()(target, examples)
    concept = {
        "name": target.name,
        "path": str(target.place),
        "enabled": True,
        "include_subdirectories": False,
        "text": {"prompt_source": "sample"},
    }
    write_text_atomically(
        target.folder / "concepts.json", json.dumps([concept], indent=2, ensure_ascii=False) + "\n"
    )


def _toml_text(path: Path) -> str:
    """A TOML string: JSON's escapes are among its own."""
    return json.dumps(str(path), ensure_ascii=False).replace("\x7f", "\\u007f")


_LTX2 = 'Give it to process_dataset.py; the trigger word with --lora-trigger "{trigger}".'
_LTXV = 'Give it to preprocess_dataset.py; the trigger word with --id-token "{trigger}".'
_FINETRAINERS = "Name this folder as data_root in its training.json."
_FOLDER = "Name this folder as the dataset's folder."
_HUB = 'Read it with load_dataset("videofolder", data_dir=...); of images only, with "imagefolder".'
_METADATA_JSON = "Only where your version reads metadata.json: version 5.2 of datasets reads .csv and .jsonl."

FORMATS: tuple[Format, ...] = (
    Format("ltx-trainer", "LTX-2 ltx-trainer: dataset.json", _table("dataset.json", "video"), _in_videos,
           trainer_adds_trigger=True, hint=_LTX2),
    Format("ltx-trainer-jsonl", "LTX-2 ltx-trainer: dataset.jsonl", _table("dataset.jsonl", "video"),
           _in_videos, trainer_adds_trigger=True, hint=_LTX2),
    Format("ltx-trainer-csv", "LTX-2 ltx-trainer: dataset.csv", _table("dataset.csv", "video"), _in_videos,
           trainer_adds_trigger=True, hint=_LTX2),
    Format("ltx-video-trainer", "LTX-Video-Trainer: dataset.json", _table("dataset.json", "media_path"),
           _in_videos, trainer_adds_trigger=True, hint=_LTXV),
    Format("ltx-video-trainer-jsonl", "LTX-Video-Trainer: dataset.jsonl",
           _table("dataset.jsonl", "media_path"), _in_videos, trainer_adds_trigger=True, hint=_LTXV),
    Format("ltx-video-trainer-csv", "LTX-Video-Trainer: dataset.csv", _table("dataset.csv", "media_path"),
           _in_videos, trainer_adds_trigger=True, hint=_LTXV),
    Format("ltx-video-trainer-map", "LTX-Video-Trainer: captions.json", _write_map, _in_videos,
           trainer_adds_trigger=True, hint="Its window reads captions.json from the folder of the videos."),
    Format("ltx-video-trainer-lists", "LTX-Video-Trainer: caption.txt and media_path.txt",
           _lists("media_path.txt", "caption.txt"), _in_videos, trainer_adds_trigger=True, hint=_LTXV),
    Format("finetrainers", "finetrainers: videos.txt and prompts.txt", _lists("videos.txt", "prompts.txt"),
           _in_videos, mixes=False, hint=_FINETRAINERS),
    Format("finetrainers-sidecars", "finetrainers: a .txt beside each video", _sidecars(), _flat,
           mixes=False, hint=_FINETRAINERS),
    Format("finetrainers-csv", "finetrainers: metadata.csv", _table("metadata.csv", "file_name"), _in_videos,
           mixes=False, hint=_FINETRAINERS),
    Format("finetrainers-json", "finetrainers: metadata.json", _table("metadata.json", "file_name"),
           _in_videos, mixes=False, hint=_METADATA_JSON),
    Format("finetrainers-jsonl", "finetrainers: metadata.jsonl", _table("metadata.jsonl", "file_name"),
           _in_videos, mixes=False, hint=_FINETRAINERS),
    Format("webdataset", "finetrainers: WebDataset, .tar files", _write_webdataset, _flat, mixes=False,
           hint=_FINETRAINERS),
    Format("diffusion-pipe", "diffusion-pipe: .txt files and dataset.toml", _write_diffusion_pipe, _flat,
           hint="Name dataset.toml as the dataset in its training file."),
    Format("ai-toolkit", "ai-toolkit: a .txt beside each video", _sidecars(), _flat,
           hint="Name this folder as folder_path; caption_ext is txt."),
    Format("musubi-tuner", "musubi-tuner: lists and dataset.toml", _write_musubi, _by_kind,
           hint="Give it dataset.toml with --dataset_config."),
    Format("kohya", "kohya: folder '1_clips' with .txt files", _sidecars(), _repeated,
           hint="Name this folder as train_data_dir, with caption_extension .txt. The 1 is the repeats."),
    Format("kohya-caption", "kohya: folder '1_clips' with .caption files", _sidecars(".caption"), _repeated,
           hint="Name this folder as train_data_dir. The 1 in the folder's name is the repeats."),
    Format("simpletuner", "SimpleTuner: .txt files and multidatabackend.json", _write_simpletuner, _by_kind,
           hint="Name multidatabackend.json as data_backend_config."),
    Format("onetrainer", "OneTrainer: .txt files and concepts.json", _write_onetrainer, _flat,
           hint="Use concepts.json as its list of concepts, or add this folder as a concept."),
    Format("sidecars", "Any trainer: a .txt beside each video", _sidecars(), _flat, hint=_FOLDER),
    Format("huggingface-csv", "Hugging Face videofolder: metadata.csv",
           _table("metadata.csv", "file_name", "text"), _in_videos, mixes=False, hint=_HUB),
    Format("huggingface-jsonl", "Hugging Face videofolder: metadata.jsonl",
           _table("metadata.jsonl", "file_name", "text"), _in_videos, mixes=False, hint=_HUB),
)  # fmt: skip
"""Every format that can be written; `reading` reads each of them back."""
