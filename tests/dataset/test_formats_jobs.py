"""Bringing datasets in and handing them out: with real files, through the projects on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.errors import BadInput, BadSetting, NotReady
from ltx_wizard.core.events import Event
from ltx_wizard.core.project import Project, ProjectSettings, TriggerPlacement
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import ConformJob, CutJob, ExportDatasetJob, FindScenesJob, ImportDatasetJob
from ltx_wizard.dataset.conform import run_conform
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import (
    read_clips,
    read_rejected,
    read_sources,
    remove_clips,
    set_caption,
    set_regularisation,
    update_clip,
)
from ltx_wizard.dataset.formats import writing
from ltx_wizard.dataset.formats.bring_in import run_import_dataset
from ltx_wizard.dataset.formats.entries import Entry
from ltx_wizard.dataset.formats.hand_out import run_export_dataset
from ltx_wizard.dataset.formats.reading import read_dataset
from ltx_wizard.dataset.formats.writing import FORMATS, find_format
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.dataset.scenes import run_find_scenes
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import plays_in_browsers

CAPTIONS = ('A cat, "Tom", runs.', "Ein Hund läuft; es regnet.", "A house 😀 stands.")
FORMAT_NAMES = [known.name for known in FORMATS]


def picture_frames(seed: int, count: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (count, 32, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def peer_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos and an image with a caption each, as the official trainer keeps them."""
    folder = tmp_path_factory.mktemp("peer") / "ds"
    (folder / "videos").mkdir(parents=True)
    write_video(picture_frames(1), folder / "videos" / "a cat.mp4", 24)
    write_video(picture_frames(2), folder / "videos" / "b.mp4", 24)
    Image.fromarray(picture_frames(3)[0]).save(folder / "videos" / "c.png")
    names = ("a cat.mp4", "b.mp4", "c.png")
    rows = [{"caption": text, "video": f"videos/{name}"} for text, name in zip(CAPTIONS, names, strict=True)]
    (folder / "dataset.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return folder


@pytest.fixture
def imported(project: Project, peer_dataset: Path) -> Project:
    run_import_dataset(project, ImportDatasetJob(path=str(peer_dataset)), SilentReport())
    return project


def new_project(folder: Path) -> Project:
    return Project.create(folder, ProjectSettings.model_validate({"name": "Second"}))


def content(entry: Entry) -> bytes:
    whole = entry.file.read_bytes()
    return whole[entry.packed.offset :][: entry.packed.size] if entry.packed else whole


def by_caption(project: Project) -> dict[str, Clip]:
    return {clip.caption: clip for clip in read_clips(project)}


def test_each_file_is_one_clip_with_its_caption(imported: Project, peer_dataset: Path) -> None:
    clips = by_caption(imported)
    assert tuple(clips) == CAPTIONS
    assert {clip.caption_state for clip in clips.values()} == {CaptionState.WRITTEN}
    assert {clip.caption_source for clip in clips.values()} == {"imported"}
    cat, house = clips[CAPTIONS[0]], clips[CAPTIONS[2]]
    assert (cat.kind, cat.frames, cat.fps, cat.end_frame) == (MediaKind.VIDEO, 9, 24.0, 9)
    assert (house.kind, house.frames) == (MediaKind.IMAGE, 1)
    original = peer_dataset / "videos" / "a cat.mp4"
    assert imported.path(cat.file).read_bytes() == original.read_bytes()


def test_scene_finding_and_cutting_leave_them_alone(
    imported: Project, make_video: Callable[..., Path]
) -> None:
    with pytest.raises(NotReady, match="a clip already"):
        run_find_scenes(imported, FindScenesJob(), SilentReport())
    before = read_clips(imported)
    import_files(imported, [make_video(frames=24, fps=8)])
    run_find_scenes(imported, FindScenesJob(), SilentReport())
    run_cut(imported, CutJob(), SilentReport())
    after = read_clips(imported)
    assert [clip for clip in after if clip.id in {old.id for old in before}] == before
    assert len(after) == len(before) + 1


def test_an_imported_clip_is_fitted_to_its_training_size(imported: Project) -> None:
    run_conform(imported, ConformJob(buckets=("32x32x9", "32x32x1"), fps=24), SilentReport())
    clips = read_clips(imported)
    assert [clip.bucket for clip in clips] == ["32x32x9", "32x32x9", "32x32x1"]
    assert all(imported.path(clip.training_file).is_file() for clip in clips)


def test_nothing_is_imported_twice(imported: Project, peer_dataset: Path, tmp_path: Path) -> None:
    before = read_clips(imported)
    again = Path(shutil.copytree(peer_dataset, tmp_path / "again"))
    (again / "videos" / "a cat.mp4").rename(again / "videos" / "other name.mp4")
    text = (again / "dataset.json").read_text(encoding="utf-8").replace("a cat.mp4", "other name.mp4")
    (again / "dataset.json").write_text(text, encoding="utf-8")
    result = run_import_dataset(imported, ImportDatasetJob(path=str(again)), SilentReport())
    assert (result["added"], result["captioned"], result["known"]) == (0, 0, 3)
    assert read_clips(imported) == before


def test_a_known_clip_takes_a_caption_but_keeps_what_somebody_wrote(
    imported: Project, peer_dataset: Path
) -> None:
    cat, dog, house = read_clips(imported)
    set_caption(imported, cat.id, "My own words.")
    update_clip(imported, dog.id, caption="A draft.", caption_state=CaptionState.DRAFT)
    set_caption(imported, house.id, "")
    result = run_import_dataset(imported, ImportDatasetJob(path=str(peer_dataset)), SilentReport())
    assert (result["added"], result["captioned"], result["known"]) == (0, 2, 1)
    assert [clip.caption for clip in read_clips(imported)] == ["My own words.", *CAPTIONS[1:]]


def test_a_clip_that_was_removed_comes_back(imported: Project, peer_dataset: Path) -> None:
    remove_clips(imported, [read_clips(imported)[0].id])
    result = run_import_dataset(imported, ImportDatasetJob(path=str(peer_dataset)), SilentReport())
    assert (result["added"], result["known"]) == (1, 2)
    assert tuple(by_caption(imported)) == CAPTIONS


def test_videos_that_were_added_without_captions_become_clips(project: Project, peer_dataset: Path) -> None:
    import_files(project, sorted((peer_dataset / "videos").iterdir()))
    result = run_import_dataset(project, ImportDatasetJob(path=str(peer_dataset)), SilentReport())
    assert (result["added"], result["captioned"]) == (2, 1)
    assert tuple(by_caption(project)) == CAPTIONS
    assert [source.whole for source in read_sources(project)] == [True, True, False]


def test_a_video_that_is_cut_already_keeps_its_cuts(
    project: Project, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_video(frames=48, fps=8)
    import_files(project, [path])
    project.change_settings(scenes={"max_clip_s": 3.0})
    run_find_scenes(project, FindScenesJob(), SilentReport())
    run_cut(project, CutJob(), SilentReport())
    before = read_clips(project)
    (tmp_path / "video.txt").write_text("Stripes.")
    result = run_import_dataset(project, ImportDatasetJob(path=str(tmp_path)), SilentReport())
    assert (result["added"], result["captioned"], result["known"]) == (0, 0, 1)
    assert read_clips(project) == before


def test_files_that_browsers_do_not_play_are_written_anew(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "ds"
    folder.mkdir()
    frames = [Image.fromarray(frame) for frame in picture_frames(4)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    (folder / "a.txt").write_text("Noise.")
    run_import_dataset(project, ImportDatasetJob(path=str(folder)), SilentReport())
    (clip,) = read_clips(project)
    assert clip.file == f"clips/{clip.id}.mp4"
    assert project.path(clip.file).stat().st_size > 0
    assert clip.frames == 9


@pytest.mark.parametrize(
    ("codec", "pixels", "anew"),
    [("libx264", "yuv420p", False), ("libx264", "yuv444p", True), ("mpeg4", "yuv420p", True)],
)
def test_what_is_in_an_mp4_decides_whether_browsers_play_it(
    project: Project, tmp_path: Path, codec: str, pixels: str, anew: bool
) -> None:
    folder = tmp_path / "ds"
    folder.mkdir()
    with av.open(str(folder / "a.mp4"), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 32, pixels
        for picture in picture_frames(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    (folder / "a.txt").write_text("Noise.")
    run_import_dataset(project, ImportDatasetJob(path=str(folder)), SilentReport())
    (clip,) = read_clips(project)
    assert clip.file.startswith("clips/") is anew
    assert plays_in_browsers(project.path(clip.file))


def test_broken_and_missing_files_are_listed_and_the_rest_goes_on(
    project: Project, peer_dataset: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(peer_dataset, tmp_path / "ds"))
    (folder / "videos" / "b.mp4").write_text("no video")
    (folder / "videos" / "c.png").unlink()
    result = run_import_dataset(project, ImportDatasetJob(path=str(folder)), SilentReport())
    assert (result["added"], result["problems"]) == (1, 2)
    assert {item.name for item in read_rejected(project)} == {"videos/b.mp4", "videos/c.png"}

    shutil.copy(peer_dataset / "videos" / "c.png", folder / "videos" / "c.png")
    result = run_import_dataset(project, ImportDatasetJob(path=str(folder)), SilentReport())
    assert (result["added"], result["known"], result["problems"]) == (1, 1, 1)
    assert [item.name for item in read_rejected(project)] == ["videos/b.mp4"]


class _StopsAfter(SilentReport):
    def __init__(self, events: int) -> None:
        super().__init__()
        self._left = events

    def emit(self, event: Event) -> None:
        super().emit(event)
        self._left -= 1

    def stop_requested(self) -> bool:
        return self._left <= 0


def test_stopping_keeps_what_is_done_and_the_next_import_goes_on(
    project: Project, peer_dataset: Path
) -> None:
    job = ImportDatasetJob(path=str(peer_dataset))
    with pytest.raises(Cancelled):
        run_import_dataset(project, job, _StopsAfter(2))
    assert len(read_clips(project)) == 1
    result = run_import_dataset(project, job, SilentReport())
    assert (result["added"], result["known"]) == (2, 1)


def test_the_trigger_word_goes_from_the_captions_to_the_project(
    project: Project, peer_dataset: Path, tmp_path: Path
) -> None:
    project.change_settings(trigger_word="old", trigger_placement="none")
    folder = Path(shutil.copytree(peer_dataset, tmp_path / "ds"))
    rows = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    for row in rows:
        row["caption"] = f"kozufel {row['caption']}"
    (folder / "dataset.json").write_text(json.dumps(rows), encoding="utf-8")
    run_import_dataset(project, ImportDatasetJob(path=str(folder), trigger="kozufel"), SilentReport())
    settings = project.read_settings()
    assert (settings.trigger_word, settings.trigger_placement) == ("kozufel", TriggerPlacement.FIRST)
    assert tuple(by_caption(project)) == CAPTIONS


@pytest.mark.parametrize("name", FORMAT_NAMES)
@pytest.mark.parametrize("with_trigger", [True, False])
def test_every_format_reads_back_what_was_written(
    imported: Project, tmp_path: Path, name: str, with_trigger: bool
) -> None:
    imported.change_settings(trigger_word="kozufel")
    known = find_format(name)
    out = tmp_path / "out"
    job = ExportDatasetJob(format=name, folder=str(out), with_trigger=with_trigger)
    result = run_export_dataset(imported, job, SilentReport())

    expected = {
        imported.path(clip.file).read_bytes(): f"kozufel {clip.caption}" if with_trigger else clip.caption
        for clip in read_clips(imported)
        if known.mixes or clip.kind is MediaKind.VIDEO
    }
    found = read_dataset(out)
    assert {content(entry): entry.caption for entry in found.entries} == expected
    assert result["clips"] == len(expected)
    assert found.left_out == ()
    assert all(entry.file.is_relative_to(out) for entry in found.entries)
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_an_export_that_was_moved_still_reads(imported: Project, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    job = ExportDatasetJob(format=name, folder=str(out), with_trigger=False)
    clips = run_export_dataset(imported, job, SilentReport())["clips"]
    moved = out.rename(tmp_path / "elsewhere")
    found = read_dataset(moved)
    assert len(found.entries) == clips
    assert all(entry.file.is_relative_to(moved) for entry in found.entries)


@pytest.mark.parametrize(
    "name", ["ltx-trainer-csv", "finetrainers", "musubi-tuner", "simpletuner", "webdataset"]
)
def test_a_second_project_takes_it_over(imported: Project, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    run_export_dataset(
        imported, ExportDatasetJob(format=name, folder=str(out), with_trigger=False), SilentReport()
    )
    second = new_project(tmp_path / "second")
    run_import_dataset(second, ImportDatasetJob(path=str(out)), SilentReport())
    wanted = [caption for caption in CAPTIONS if find_format(name).mixes or "house" not in caption]
    assert sorted(by_caption(second)) == sorted(wanted)


def test_archives_are_split_and_leave_nothing_unpacked(
    imported: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_SHARD_BYTES", 100)
    out = tmp_path / "out"
    job = ExportDatasetJob(format="webdataset", folder=str(out), with_trigger=False)
    run_export_dataset(imported, job, SilentReport())
    assert sorted(path.name for path in out.iterdir()) == ["data-000000.tar", "data-000001.tar"]
    second = new_project(tmp_path / "second")
    result = run_import_dataset(second, ImportDatasetJob(path=str(out)), SilentReport())
    assert (result["title"], result["added"]) == ("WebDataset in 2 files", 2)
    assert list((second.cache_folder / "unpacked").iterdir()) == []
    originals = {source.id.rsplit("-", 1)[-1] for source in read_sources(imported)}
    assert {source.id.rsplit("-", 1)[-1] for source in read_sources(second)} < originals


@pytest.mark.parametrize("name", ["finetrainers", "huggingface-jsonl", "musubi-tuner", "ltx-trainer"])
def test_a_dataset_of_images_alone(imported: Project, tmp_path: Path, name: str) -> None:
    remove_clips(imported, [clip.id for clip in read_clips(imported) if clip.kind is MediaKind.VIDEO])
    out = tmp_path / "out"
    job = ExportDatasetJob(format=name, folder=str(out), with_trigger=False)
    assert run_export_dataset(imported, job, SilentReport())["left_out"] == []
    assert read_dataset(out).summary.endswith(": 1 image, 1 caption")
    assert (out / "images.txt").exists() == (name == "finetrainers")


def test_captions_are_one_line_whatever_was_typed(imported: Project, tmp_path: Path) -> None:
    set_caption(imported, read_clips(imported)[0].id, "A cat\nruns,\r\n\tthen sits.")
    out = tmp_path / "out"
    run_export_dataset(
        imported, ExportDatasetJob(format="simpletuner", folder=str(out), with_trigger=False), SilentReport()
    )
    texts = [path.read_text(encoding="utf-8") for path in out.rglob("*.txt")]
    assert "A cat runs, then sits." in texts
    assert not any("\n" in text for text in texts)


def test_what_is_left_out_is_said(imported: Project, tmp_path: Path) -> None:
    cat, dog, _ = read_clips(imported)
    set_caption(imported, cat.id, "")
    set_regularisation(imported, dog.source_id, True)

    def left_out(name: str, with_trigger: bool) -> object:
        job = ExportDatasetJob(
            format=name, folder=str(tmp_path / f"{name}-{with_trigger}"), with_trigger=with_trigger
        )
        return run_export_dataset(imported, job, SilentReport())["left_out"]

    assert left_out("ltx-trainer", False) == [
        "1 clip without a caption",
        "1 ordinary clip to which the trainer would add the trigger word too",
    ]
    assert left_out("finetrainers", True) == [
        "1 clip without a caption",
        "1 image that this trainer keeps in a dataset of their own",
    ]


def test_ordinary_clips_get_no_trigger_word(imported: Project, tmp_path: Path) -> None:
    imported.change_settings(trigger_word="kozufel")
    set_regularisation(imported, read_clips(imported)[0].source_id, True)
    job = ExportDatasetJob(format="ai-toolkit", folder=str(tmp_path / "out"), with_trigger=True)
    run_export_dataset(imported, job, SilentReport())
    texts = sorted(path.read_text(encoding="utf-8") for path in (tmp_path / "out").glob("*.txt"))
    assert texts == sorted([CAPTIONS[0], *(f"kozufel {text}" for text in CAPTIONS[1:])])


def test_a_folder_with_something_in_it_is_left_alone(imported: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    job = ExportDatasetJob(format="sidecars", folder=str(out), with_trigger=True)
    with pytest.raises(BadInput, match="not an empty folder"):
        run_export_dataset(imported, job, SilentReport())
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_stopped_export_leaves_nothing(imported: Project, tmp_path: Path) -> None:
    job = ExportDatasetJob(format="sidecars", folder=str(tmp_path / "new" / "out"), with_trigger=True)
    with pytest.raises(Cancelled):
        run_export_dataset(imported, job, _StopsAfter(2))
    assert list((tmp_path / "new").iterdir()) == []


def test_nothing_to_write_and_unknown_formats_are_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="no clip that could be written"):
        run_export_dataset(
            project,
            ExportDatasetJob(format="sidecars", folder=str(tmp_path / "out"), with_trigger=True),
            SilentReport(),
        )
    with pytest.raises(BadSetting, match="ltx-trainer"):
        find_format("other")


def test_settings_files_say_what_the_trainers_ask_for(imported: Project, tmp_path: Path) -> None:
    imported.change_settings(model="ltxv-2b-0.9.6-dev")
    for name in ("diffusion-pipe", "musubi-tuner", "simpletuner", "onetrainer"):
        run_export_dataset(
            imported,
            ExportDatasetJob(format=name, folder=str(tmp_path / name), with_trigger=True),
            SilentReport(),
        )
    pipe = (tmp_path / "diffusion-pipe" / "dataset.toml").read_text(encoding="utf-8")
    assert "frame_buckets = [1, " in pipe
    musubi = (tmp_path / "musubi-tuner" / "dataset.toml").read_text(encoding="utf-8")
    assert "source_fps = 24.0" in musubi
    assert musubi.count("cache_directory = ") == 2
    backends = json.loads((tmp_path / "simpletuner" / "multidatabackend.json").read_text(encoding="utf-8"))
    assert [item["dataset_type"] for item in backends] == ["video", "image", "text_embeds"]
    (concept,) = json.loads((tmp_path / "onetrainer" / "concepts.json").read_text(encoding="utf-8"))
    assert concept["text"] == {"prompt_source": "sample"}
