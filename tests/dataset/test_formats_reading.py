"""Datasets as the trainers' own documentation and scripts write them, and as people damage them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ltx_wizard.core.errors import BadDocument, BadInput, NotFound, WizardError
from ltx_wizard.dataset.formats import folders
from ltx_wizard.dataset.formats.reading import read_dataset

Make = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Make:
    """put('name', text or bytes) writes a file of the dataset; without content an empty one, as a video."""

    def write(name: str, content: str | bytes = b"") -> Path:
        path = tmp_path / "ds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def captions(path: Path) -> dict[str, str]:
    found = read_dataset(path)
    base = path if path.is_dir() else path.parent
    return {entry.file.relative_to(base).as_posix(): entry.caption for entry in found.entries}


TWO = {"videos/a.mp4": "A cat runs.", "videos/b.mp4": "A dog, barking, sits."}


@pytest.fixture
def videos(put: Make) -> Path:
    for name in TWO:
        put(name)
    return put("videos/a.mp4").parent.parent


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        (
            "dataset.json",
            '[{"caption": "A cat runs.", "video": "videos/a.mp4"},'
            ' {"caption": "A dog, barking, sits.", "video": "videos/b.mp4"}]',
            "LTX-2 ltx-trainer, dataset.json: 2 videos, 2 captions",
        ),
        (
            "dataset.json",
            '[{"caption": "A cat runs.", "media_path": "videos/a.mp4"},'
            ' {"caption": "A dog, barking, sits.", "media_path": "videos/b.mp4"}]',
            "LTX-Video-Trainer, dataset.json: 2 videos, 2 captions",
        ),
        (
            "dataset.jsonl",
            '{"caption": "A cat runs.", "video": "videos/a.mp4"}\n\n'
            '{"caption": "A dog, barking, sits.", "video": "videos/b.mp4"}\n',
            "LTX-2 ltx-trainer, dataset.jsonl: 2 videos, 2 captions",
        ),
        (
            "dataset.csv",
            'caption,video\n"A cat runs.","videos/a.mp4"\n"A dog, barking, sits.","videos/b.mp4"\n',
            "LTX-2 ltx-trainer, dataset.csv: 2 videos, 2 captions",
        ),
        (
            "captions.json",
            '{"videos/a.mp4": "A cat runs.", "videos/b.mp4": "A dog, barking, sits."}',
            "LTX-Video-Trainer captions by path, captions.json: 2 videos, 2 captions",
        ),
        (
            "metadata.csv",
            'file_name,text\nvideos/a.mp4,A cat runs.\nvideos/b.mp4,"A dog, barking, sits."\n',
            "Hugging Face metadata, metadata.csv: 2 videos, 2 captions",
        ),
        (
            "metadata.jsonl",
            '{"file_name": "videos/a.mp4", "text": "A cat runs."}\n'
            '{"file_name": "videos/b.mp4", "text": "A dog, barking, sits."}\n',
            "Hugging Face metadata, metadata.jsonl: 2 videos, 2 captions",
        ),
        (
            "clips.jsonl",
            '{"video_path": "videos/a.mp4", "caption": "A cat runs."}\n'
            '{"video_path": "videos/b.mp4", "caption": "A dog, barking, sits.", "control_path": "c"}\n',
            "musubi-tuner list, clips.jsonl: 2 videos, 2 captions",
        ),
        (
            "meta_cap.json",
            '{"videos/a": {"caption": "A cat runs.", "tags": "cat"},'
            ' "videos/b.mp4": {"caption": "A dog, barking, sits.", "train_resolution": [8, 8]}}',
            "kohya metadata, meta_cap.json: 2 videos, 2 captions",
        ),
        (
            "table.csv",
            "\ufeffVideo;Caption\r\nvideos\\a.mp4;A cat runs.\r\n"
            '"videos/b.mp4";"A dog, barking,\r\nsits."\r\n',
            "LTX-2 ltx-trainer, table.csv: 2 videos, 2 captions",
        ),
    ],
)
def test_a_table_is_recognised_by_its_columns(
    videos: Path, put: Make, name: str, text: str, title: str
) -> None:
    path = put(name, text)
    assert read_dataset(videos).summary == title
    assert captions(videos) == TWO
    assert captions(path) == TWO


@pytest.mark.parametrize("media", ["videos.txt", "video.txt"])
@pytest.mark.parametrize("texts", ["prompts.txt", "prompt.txt", "captions.txt", "caption.txt"])
def test_finetrainers_pair_by_all_its_names(videos: Path, put: Make, media: str, texts: str) -> None:
    put(media, "\ufeffvideos/a.mp4\r\nvideos/b.mp4\r\n\r\n")
    put(texts, "A cat runs.\r\nA dog, barking, sits.\r\n")
    found = read_dataset(videos)
    assert found.summary == f"finetrainers pair, {media} and {texts}: 2 videos, 2 captions"
    assert captions(videos) == TWO
    assert read_dataset(videos / texts).entries == found.entries


def test_lists_of_different_length_are_refused(videos: Path, put: Make) -> None:
    put("videos.txt", "videos/a.mp4\nvideos/b.mp4\n")
    put("prompts.txt", "A cat runs.\n")
    with pytest.raises(BadDocument, match=r"videos.txt has 2 lines, prompts.txt has 1 line"):
        read_dataset(videos)


def test_an_empty_line_in_a_list_is_a_missing_caption_not_a_shift(videos: Path, put: Make) -> None:
    put("videos.txt", "videos/a.mp4\nvideos/b.mp4\n")
    put("prompts.txt", "\nA dog, barking, sits.\n")
    assert captions(videos) == {**TWO, "videos/a.mp4": ""}


def test_one_list_alone_says_what_is_missing(put: Make) -> None:
    with pytest.raises(NotFound, match="the other is not beside it"):
        read_dataset(put("videos.txt", "a.mp4\n"))


def test_sidecars_of_every_kind(put: Make) -> None:
    for name in ("a.mp4", "b.MOV", "c.png", "d.webm", "none.mp4"):
        put(name)
    put("a.txt", "A cat\r\nruns.\r\n")
    put("B.caption", "A dog sits.")
    put("c.json", '{"caption": "A house."}')
    put("d.webm.txt", "Rain falls.")
    folder = put("README.txt", "about").parent
    found = read_dataset(folder)
    assert found.summary == "videos with captions beside them: 4 videos, 1 image, 4 captions"
    assert captions(folder) == {
        "a.mp4": "A cat runs.",
        "b.MOV": "A dog sits.",
        "c.png": "A house.",
        "d.webm": "Rain falls.",
        "none.mp4": "",
    }
    assert found.left_out == ()


def test_videos_beside_other_text_files_have_no_captions(put: Make) -> None:
    put("a.mp4")
    folder = put("shopping.txt", "milk").parent
    with pytest.raises(NotFound, match="no captions"):
        read_dataset(folder)


def test_a_json_that_is_no_table_does_not_hide_what_lies_further_down(put: Make) -> None:
    put("clips/a.mp4")
    put("clips/a.txt", "A cat.")
    folder = put("settings.json", '{"theme": "dark"}').parent
    assert captions(folder) == {"clips/a.mp4": "A cat."}
    with pytest.raises(BadDocument, match=r"settings.json is no list"):
        read_dataset(put("alone/settings.json", '{"theme": "dark"}').parent)


def test_a_folder_of_very_many_folders_is_not_walked_through(put: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr(folders, "_MOST_FOLDERS", 3)
    for number in range(4):
        put(f"{number}/x.md")
    with pytest.raises(BadInput, match="more than 3 folders"):
        read_dataset(put("y.md").parent)


def test_a_caption_without_its_video_is_named(put: Make) -> None:
    put("a.mp4")
    put("a.txt", "A cat.")
    folder = put("lost.txt", "A dog.").parent
    (item,) = read_dataset(folder).left_out
    assert item.name == "lost.txt"


def test_sidecars_further_down(put: Make) -> None:
    put("clips/one/a.mp4")
    folder = put("clips/one/a.txt", "A cat.").parents[2]
    assert captions(folder) == {"clips/one/a.mp4": "A cat."}


def test_kohya_folders_with_repeats(put: Make) -> None:
    put("10_cat/a.mp4")
    put("10_cat/a.caption", "A cat.")
    put("1_dog/b.jpg")
    put("other/c.mp4")
    folder = put("1_dog/b.txt", "A dog.").parents[1]
    found = read_dataset(folder)
    assert found.summary == "kohya folders: 1 video, 1 image, 2 captions"
    assert found.notes == ("Repeats are not taken over: cat 10 times.",)


def test_splits_of_a_hugging_face_folder(put: Make) -> None:
    for split in ("train", "validation"):
        put(f"{split}/x-{split}.mp4")
        put(f"{split}/metadata.csv", f"file_name,text\nx-{split}.mp4,A cat.\n")
    folder = put("README.md", "card").parent
    assert read_dataset(folder).summary == "Hugging Face metadata in 2 folders: 2 videos, 2 captions"


DIFFUSION_PIPE = """
resolutions = [512]
enable_ar_bucket = true
frame_buckets = [1, 33]  # stills and videos

[[directory]]
path = 'clips'
num_repeats = 5
"""

MUSUBI_FOLDER = """
[general]
resolution = [960, 544]
caption_extension = ".cap"

[[datasets]]
video_directory = "clips"
cache_directory = "/nowhere/cache"
target_frames = [1, 25]
"""

MUSUBI_LIST = """
[general]
resolution = [960, 544]
[[datasets]]
video_jsonl_file = "list.jsonl"
cache_directory = "/nowhere/cache"
"""

KOHYA = """
[[datasets]]
resolution = 512
  [[datasets.subsets]]
  image_dir = 'clips'
  caption_extension = 'cap'
  num_repeats = 3
"""

KOHYA_METADATA = """
[[datasets]]
  [[datasets.subsets]]
  image_dir = 'clips'
  metadata_file = 'meta.json'
"""


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (DIFFUSION_PIPE, "diffusion-pipe"),
        (DIFFUSION_PIPE.replace("'clips'", "'/home/other/ds/clips'"), "diffusion-pipe"),
        (MUSUBI_FOLDER, "musubi-tuner"),
        (MUSUBI_LIST, "musubi-tuner"),
        (KOHYA, "kohya settings"),
        (KOHYA_METADATA, "kohya settings"),
    ],
)
def test_toml_of_trainers(put: Make, text: str, title: str) -> None:
    put("clips/a.mp4")
    suffix = ".cap" if ".cap" in text or "'cap'" in text else ".txt"
    put(f"clips/a{suffix}", "A cat runs.")
    put("list.jsonl", '{"video_path": "C:\\\\data\\\\clips\\\\a.mp4", "caption": "A cat runs."}\n')
    put("meta.json", '{"a": {"caption": "A cat runs."}}')
    path = put("dataset.toml", text)
    assert read_dataset(path).summary == f"{title}, dataset.toml: 1 video, 1 caption"
    assert captions(path.parent) == {"clips/a.mp4": "A cat runs."}


SIMPLETUNER = [
    {
        "id": "v",
        "type": "local",
        "dataset_type": "video",
        "instance_data_dir": "clips",
        "caption_strategy": "textfile",
        "video": {"num_frames": 25},
    },
    {"id": "t", "dataset_type": "text_embeds", "type": "local", "default": True, "cache_dir": "cache"},
]


def test_simpletuner_takes_each_line_for_a_caption(put: Make) -> None:
    put("clips/deep/a.mp4")
    put("clips/deep/a.txt", "A cat runs.\nA tabby runs.\n")
    path = put("multidatabackend.json", json.dumps(SIMPLETUNER))
    found = read_dataset(path.parent)
    assert found.summary == "SimpleTuner, multidatabackend.json: 1 video, 1 caption"
    assert captions(path.parent) == {"clips/deep/a.mp4": "A cat runs."}
    assert found.notes == ("1 file held several captions, one a line; the first was taken.",)


@pytest.mark.parametrize(
    ("strategy", "expected"), [("filename", "a cat runs"), ("instanceprompt", "Anything moves.")]
)
def test_simpletuner_captions_from_elsewhere(put: Make, strategy: str, expected: str) -> None:
    put("clips/a_cat_runs.mp4")
    backend = {**SIMPLETUNER[0], "caption_strategy": strategy, "instance_prompt": "Anything moves."}
    path = put("multidatabackend.json", json.dumps([backend]))
    assert captions(path) == {"clips/a_cat_runs.mp4": expected}


def test_a_strategy_that_is_not_read_is_named(put: Make) -> None:
    put("clips/a.mp4")
    path = put("multidatabackend.json", json.dumps([{**SIMPLETUNER[0], "caption_strategy": "parquet"}]))
    (item,) = read_dataset(path).left_out
    assert "'parquet'" in item.problem


@pytest.mark.parametrize(("source", "expected"), [("sample", "A cat runs."), ("filename", "a cat")])
def test_onetrainer_concepts(put: Make, source: str, expected: str) -> None:
    put("clips/a_cat.mp4")
    put("clips/a_cat.txt", "A cat runs.")
    concept = {"path": "clips", "name": "cat", "enabled": True, "text": {"prompt_source": source}}
    path = put("concepts.json", json.dumps([concept]))
    assert read_dataset(path).title == "OneTrainer, concepts.json"
    assert captions(path) == {"clips/a_cat.mp4": expected}


def tar_of(path: Path, *members: tuple[str, bytes | None]) -> Path:
    """An archive as WebDataset's tools write it; a member without content is a link to /etc/passwd."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            header = tarfile.TarInfo(name)
            if content is None:
                header.type, header.linkname = tarfile.SYMTYPE, "/etc/passwd"
            header.size = len(content or b"")
            tar.addfile(header, io.BytesIO(content or b""))
    return path


def test_webdataset_archives(put: Make) -> None:
    folder = put("README.md").parent
    tar_of(
        folder / "data-0.tar",
        ("train/0001.mp4", b"movie"),
        ("train/0001.txt", b"A cat runs.\n"),
        ("train/0002.json", b'{"Caption": "A dog sits.", "fps": 24}'),
        ("train/0002.png", b"picture"),
        ("train/0002.npy", b"x"),
        ("../0003.mp4", None),
        ("0004.txt", b"Nothing beside it."),
    )
    tar_of(folder / "data-1.tar", ("0001.webm", b"film"))
    found = read_dataset(folder)
    assert found.summary == "WebDataset in 2 files: 2 videos, 1 image, 2 captions"
    assert [(entry.file_name, entry.caption) for entry in found.entries] == [
        ("0001.mp4", "A cat runs."),
        ("0002.png", "A dog sits."),
        ("0001.webm", ""),
    ]
    packed = found.entries[1].packed
    assert packed is not None
    assert (folder / "data-0.tar").read_bytes()[packed.offset :][: packed.size] == b"picture"
    assert [item.name for item in found.left_out] == ["data-0.tar, 0004"]
    assert found.unused == (".npy",)


def test_a_damaged_archive_says_so(put: Make) -> None:
    whole = tar_of(put("whole.tar"), ("a.mp4", b"x" * 5000), ("a.txt", b"A cat."))
    assert read_dataset(whole).captions == 1
    for content in (b"no archive", whole.read_bytes()[:3000]):
        with pytest.raises(BadDocument, match=r"not a whole .tar"):
            read_dataset(put("damaged/x.tar", content))


def test_columns_without_a_place_here_are_named(videos: Path, put: Make) -> None:
    put(
        "dataset.json",
        '[{"caption": "A cat.", "video": "videos/a.mp4", "audio": "a.wav", "reference_video": "d.mp4"}]',
    )
    assert read_dataset(videos).unused == ("audio", "reference_video")


def test_images_stand_in_the_video_column(put: Make) -> None:
    put("a.png")
    put("b.mp4")
    folder = put("dataset.csv", "caption,video\nA house.,a.png\nA cat.,b.mp4\n").parent
    assert read_dataset(folder).summary == "LTX-2 ltx-trainer, dataset.csv: 1 video, 1 image, 2 captions"


def test_missing_files_are_reported_one_by_one(videos: Path, put: Make) -> None:
    rows = [{"caption": "x", "video": name} for name in ("videos/a.mp4", "gone.mp4", "videos/gone.mov", "")]
    put("dataset.json", json.dumps(rows))
    found = read_dataset(videos)
    assert [entry.named for entry in found.entries] == ["videos/a.mp4"]
    assert [item.name for item in found.left_out] == ["gone.mp4", "videos/gone.mov", "dataset.json, entry 4"]
    assert all(item.problem and item.remedy for item in found.left_out)


@pytest.mark.parametrize(
    "named", ["../outside.mp4", "videos/../../outside.mp4", "..\\outside.mp4", "https://example.org/a.mp4"]
)
def test_paths_that_lead_out_are_refused(tmp_path: Path, videos: Path, put: Make, named: str) -> None:
    (tmp_path / "outside.mp4").touch()
    put("dataset.json", json.dumps([{"caption": "x", "video": named}]))
    found = read_dataset(videos)
    assert found.entries == ()
    assert "leads out" in found.left_out[0].problem or "internet" in found.left_out[0].problem


def test_an_absolute_path_is_used_where_it_exists(tmp_path: Path, put: Make) -> None:
    elsewhere = tmp_path / "elsewhere.mp4"
    elsewhere.touch()
    path = put("dataset.json", json.dumps([{"caption": "x", "video": str(elsewhere)}]))
    assert read_dataset(path).entries[0].file == elsewhere


@pytest.mark.parametrize("named", ["/home/other/ds/videos/a.mp4", "D:\\data\\videos\\a.mp4"])
def test_a_dataset_that_was_moved_finds_its_files(videos: Path, put: Make, named: str) -> None:
    put("dataset.json", json.dumps([{"caption": "x", "video": named}]))
    assert captions(videos) == {"videos/a.mp4": "x"}


def test_an_absolute_path_finds_nothing_beside_the_folder(put: Make) -> None:
    put("../ds.mp4")
    path = put("dataset.json", json.dumps([{"caption": "x", "video": "/gone/ds"}]))
    assert read_dataset(path).entries == ()


def test_utf16_is_read_and_other_encodings_are_named(videos: Path, put: Make) -> None:
    put("dataset.csv", "caption,video\nMünchen,videos/a.mp4\n".encode("utf-16"))
    assert captions(videos)["videos/a.mp4"] == "München"
    put("dataset.csv", "caption,video\nMünchen,videos/a.mp4\n".encode("cp1252"))
    with pytest.raises(BadDocument, match="not UTF-8"):
        read_dataset(videos)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("dataset.json", "[{", "not valid JSON"),
        ("dataset.json", "[" * 100_000, "not valid JSON"),
        ("dataset.json", '"text"', "no list of videos"),
        ("dataset.json", "{}", "no list of videos"),
        ("dataset.json", '{"a": 1}', "no list of videos"),
        ("dataset.json", '[{"caption": "x", "clip": "a"}]', "no column that names videos"),
        ("dataset.csv", "", "no list of videos"),
        ("dataset.csv", "a,b\n1,2\n", "no column that names videos"),
        ("dataset.csv", 'caption,video\n"A cat,videos/a.mp4\n', "not valid CSV from line"),
        ("dataset.csv", "caption,video\nA cat, a dog,videos/a.mp4\n", "line 2 has 3 fields"),
        ("dataset.toml", "x = [", "not valid TOML"),
        ("dataset.toml", "[model]\npath = 'x'\n", "names no folder"),
    ],
)
def test_a_damaged_table_says_what_is_wrong(
    videos: Path, put: Make, name: str, text: str, reason: str
) -> None:
    with pytest.raises(BadDocument, match=reason):
        read_dataset(put(name, text))


def test_a_damaged_line_does_not_cost_the_others(videos: Path, put: Make) -> None:
    put("dataset.jsonl", '{"caption": "A cat runs.", "video": "videos/a.mp4"}\n{"caption": \n[1]\n')
    found = read_dataset(videos)
    assert len(found.entries) == 1
    assert [item.name for item in found.left_out] == ["dataset.jsonl, line 2", "dataset.jsonl, line 3"]


def test_a_programs_own_metadata_does_not_hide_the_captions(put: Make) -> None:
    put("a.mp4")
    put("a.txt", "A cat.")
    folder = put("metadata.json", '{"seed": 1}').parent
    found = read_dataset(folder)
    assert captions(folder) == {"a.mp4": "A cat."}
    assert found.notes[0].startswith("metadata.json was not used.")


@pytest.mark.parametrize("name", ["shard-000.tar.gz", "metadata.parquet", "ds.zip", "a.mp4"])
def test_files_that_are_no_dataset_are_refused_with_a_remedy(put: Make, name: str) -> None:
    with pytest.raises(BadInput) as error:
        read_dataset(put(name))
    assert error.value.remedy


def test_where_no_dataset_is(tmp_path: Path, put: Make) -> None:
    for path in (tmp_path, tmp_path / "gone", tmp_path / "gone.json"):
        with pytest.raises(NotFound):
            read_dataset(path)
    folder = put("a.mp4").parent
    with pytest.raises(NotFound, match="no captions"):
        read_dataset(folder)


def test_every_refusal_says_what_to_do(put: Make) -> None:
    with pytest.raises(WizardError) as error:
        read_dataset(put("notes.md", "x"))
    assert "Choose the folder" in error.value.remedy


def test_utf16_without_a_mark_is_told_by_its_null_characters(put: Make) -> None:
    for index, encoding in enumerate(("utf-16-le", "utf-16-be")):
        put(f"{index}.mp4")
        put(f"{index}.txt", "A cat runs.".encode(encoding))
    assert set(captions(put("0.mp4").parent).values()) == {"A cat runs."}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("captions.csv", '"videos/a.mp4","A cat runs."\n"videos/b.mp4","A dog, barking, sits."\n'),
        ("captions.csv", '1;A cat runs.;videos/a.mp4\n2;"A dog, barking, sits.";videos/b.mp4\n'),
        ("metadata.tsv", "file_name\tcaption\nvideos/a.mp4\tA cat runs.\nb.mp4\tA dog, barking, sits.\n"),
        ("data.csv", 'video_name,video_caption\na.mp4,A cat runs.\nb,"A dog, barking, sits."\n'),
        (
            "annotations.json",
            '{"info": {}, "videos": [{"file_name": "a.mp4", "caption": "A cat runs."},'
            ' {"file_name": "b.mp4", "caption": "A dog, barking, sits."}]}',
        ),
    ],
)
def test_tables_as_other_people_write_them(videos: Path, put: Make, name: str, text: str) -> None:
    """Without a header, with tabs, with other names, and with the videos one folder further down."""
    assert captions(put(name, text)) == TWO


def test_a_name_that_lies_in_two_folders_is_not_guessed(videos: Path, put: Make) -> None:
    put("more/a.mp4")
    found = read_dataset(put("data.csv", "video,caption\na.mp4,x\nb.mp4,y\n"))
    assert [entry.named for entry in found.entries] == ["b.mp4"]
    assert [item.name for item in found.left_out] == ["a.mp4"]


def test_videos_that_a_table_does_not_name_are_told(put: Make) -> None:
    for index in range(8):
        put(f"{index}.mp4")
    put("7.txt", "Beside it.")
    found = read_dataset(put("metadata.jsonl", '{"file_name": "0.mp4", "text": "x"}\n').parent)
    assert len(found.entries) == 1
    (note,) = found.notes
    assert note.startswith("7 files in this folder not named in metadata.jsonl, and so not imported: 1.mp4,")
    assert note.endswith("and 2 more.")


@pytest.mark.parametrize("texts", ["labels", "captions"])
def test_captions_in_a_folder_of_their_own(videos: Path, put: Make, texts: str) -> None:
    for name, caption in TWO.items():
        put(f"{texts}/{Path(name).stem}.txt", caption)
    put(f"{texts}/c.txt", "Of nothing.")
    assert captions(videos) == TWO
    assert [item.name for item in read_dataset(videos).left_out] == [f"{texts}/c.txt"]


def test_files_of_one_name_are_told_apart_by_their_folders(put: Make) -> None:
    for folder in ("10_cat", "5_dog"):
        put(f"{folder}/1.mp4")
        put(f"{folder}/1.txt", "é".encode("latin-1"))
    found = read_dataset(put("10_cat/1.mp4").parent.parent)
    assert [entry.named for entry in found.entries] == ["10_cat/1.mp4", "5_dog/1.mp4"]
    assert [item.name for item in found.left_out] == ["10_cat/1.txt", "5_dog/1.txt"]


@pytest.mark.parametrize("name", ["train-00000-of-00001.parquet", "data/videos.zip"])
def test_a_folder_of_packed_files_says_that_they_are_packed(put: Make, name: str) -> None:
    path = put(name)
    put("README.md", "# A dataset")
    with pytest.raises(BadInput, match=f"{path.name} is packed"):
        read_dataset(put("README.md").parent)
