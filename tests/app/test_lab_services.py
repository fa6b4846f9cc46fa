from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ltx_wizard.app import jobs, lab, lab_tests, lab_view
from ltx_wizard.app.lab_view import LabView, Place
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.errors import BadInput, BadSetting, NoSpace, NotFound, NotReady
from ltx_wizard.core.events import EventWriter, Finished, Started, Validated
from ltx_wizard.core.lab import (
    CellRequest,
    LabCell,
    LabFolder,
    LabPrompt,
    Strip,
    TestName,
    wanted,
)
from ltx_wizard.core.measures import SampleMeasures
from ltx_wizard.core.project import Goal, Project
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob
from ltx_wizard.dataset.dataset import add_clips


def lora(path: Path, value: float = 1.0, inputs: int = 192) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = "transformer.transformer_blocks.0.attn1.to_q"
    weights = {
        f"{name}.lora_A.weight": np.full((4, inputs), value, np.float32),
        f"{name}.lora_B.weight": np.full((192, 4), value, np.float32),
    }
    save_file(weights, path)
    return path


def add_run(project: Project, steps: tuple[int, ...], best: int, **changes: object) -> JobFolder:
    """A finished run with checkpoints, whose validation loss is lowest at `best`."""
    recipe = with_settings(
        Recipe(model="embedded"),
        {
            "lora.rank": 4, "lora.alpha": 8, "validation.prompts": ("{trigger} one", "two", "three"),
            "validation.seed": 5, "validation.width": 64, "validation.height": 64, "validation.frames": 9,
            **changes,
        },
    )  # fmt: skip
    job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint=""), created=time.time())
    run = JobFolder.create(project.runs_folder, "test", job)
    writer = EventWriter(run.events_file)
    writer.write(Started(pid=1, steps=steps[-1]))
    for step in (0, *steps):
        writer.write(Validated(step=step, loss=0.5 if step == best else 1.0 + step / 1000))
    writer.write(Finished(step=steps[-1]))
    writer.close()
    for step in steps:
        lora(run.checkpoint_folder(step) / "lora.safetensors", step)
    return run


@pytest.fixture
def trained(project: Project) -> Project:
    project.change_settings(model="embedded", trigger_word="zib style.")
    add_run(project, (100, 200, 300, 400, 500, 600), best=200)
    return project


def clip(name: str, caption: str, regularisation: bool = False) -> Clip:
    return Clip(
        id=name, source_id="source", file=f"clips/{name}.mp4", kind=MediaKind.VIDEO, width=64, height=64,
        fps=8, frames=17, duration_s=2, caption=caption, caption_state=CaptionState.WRITTEN,
        regularisation=regularisation,
    )  # fmt: skip


def test_the_proposal_is_a_few_checkpoints_with_the_recommended_and_the_samples_prompts(
    trained: Project,
) -> None:
    shown = lab_view.view(trained)
    assert shown.untouched
    assert [item.step for item in shown.checkpoints] == [100, 200, 300, 400, 500, 600]
    assert [item.step for item in shown.checkpoints if item.recommended] == [200]
    steps = [found.step for item in shown.lab.grid.loras if (found := shown.lab.lora(item))]
    assert len(steps) == 4
    assert {100, 200, 600} <= set(steps)
    assert [item.text for item in shown.lab.grid.prompts] == ["{trigger} one", "two"]
    assert (shown.lab.grid.seeds, shown.lab.sampling.width, shown.lab.sampling.frames) == ((5,), 64, 9)
    assert {item.scale for item in shown.lab.loras} == {2.0}
    assert (shown.total, shown.made, shown.seconds_left) == (2 * (1 + 4 * 4), 0, None)
    assert not LabFolder(trained).exists()  # looking changes nothing


def test_without_a_lora_there_is_nothing_to_look_at_but_a_file_can_be_brought_in(
    project: Project, tmp_path: Path
) -> None:
    project.change_settings(model="embedded", validation_prompts=("two",))
    with pytest.raises(NotReady, match="no LoRA to look at"):
        lab_view.view(project)
    found = lab.bring_in(project, lora(tmp_path / "Some LoRA.safetensors"))
    assert (found.title, found.rank, found.form) == ("Some-LoRA", 4, "diffusers")
    assert project.path(found.file).read_bytes() == (tmp_path / "Some LoRA.safetensors").read_bytes()
    shown = lab_view.view(project)
    assert shown.lab.grid.loras == ("file:Some-LoRA",)
    assert [item.text for item in shown.lab.grid.prompts] == ["two"]


def test_a_file_is_brought_in_once_and_others_of_its_name_beside_it(trained: Project, tmp_path: Path) -> None:
    first = lab.bring_in(trained, lora(tmp_path / "a" / "x.safetensors"))
    assert lab.bring_in(trained, tmp_path / "a" / "x.safetensors") == first
    other = lab.bring_in(trained, lora(tmp_path / "b" / "x.safetensors", value=2))
    assert (first.id, other.id) == ("file:x", "file:x-2")
    assert lab.current(trained).grid.loras[-2:] == ("file:x", "file:x-2")


def test_what_is_no_lora_of_this_model_is_refused_and_nothing_changes(
    trained: Project, tmp_path: Path
) -> None:
    lab.choose(trained)
    before = LabFolder(trained).lab_file.read_bytes()
    with pytest.raises(BadInput, match="another size of model"):
        lab.bring_in(trained, lora(tmp_path / "x.safetensors", inputs=2048))
    with pytest.raises(BadInput, match="is a pickle"):
        lab.bring_in(trained, tmp_path / "x.pt")
    assert LabFolder(trained).lab_file.read_bytes() == before
    assert not LabFolder(trained).loras_folder.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_refuses_a_file_and_keeps_nothing_of_it(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lora(tmp_path / "mine.safetensors", 5)

    def copy(source: Path, to: Path) -> None:
        to.write_bytes(source.read_bytes()[:100])
        Path("/dev/full").write_bytes(b"x")

    monkeypatch.setattr("ltx_wizard.app.lab.shutil.copyfile", copy)
    with pytest.raises(NoSpace):
        lab.bring_in(trained, whole)
    assert [path for path in (trained.folder / "lab").rglob("*") if path.is_file()] == []


def test_choices_are_kept_in_order_and_bad_ones_change_nothing(trained: Project) -> None:
    run = jobs.runs(trained)[0].name
    lab.choose(trained, loras=[f"{run}@300", f"{run}@100"], strengths=[1.5, 0.5], seeds=[3, 3, 4])
    grid = lab.current(trained).grid
    assert grid.loras == (f"{run}@100", f"{run}@300")
    assert (grid.strengths, grid.seeds) == ((0, 0.5, 1.5), (3, 4))
    for changes, problem in (
        ({"strengths": [5]}, "not between -4 and 4"),
        ({"strengths": list(np.linspace(0.1, 2, 20))}, "21 strengths are too many"),
        ({"seeds": [-1]}, "not between 0"),
        ({"prompts": [{"text": ""}]}, "prompts"),
        ({"sampling": {"width": 100}}, "cannot make videos of 100 x 64"),
        ({"sampling": {"frames": 10}}, "10 frames"),
        ({"sampling": {"steps": 1}}, "steps"),
        ({"nonsense": 1}, "unknown setting"),
    ):
        with pytest.raises(BadSetting, match=problem):
            lab.choose(trained, **changes)
    with pytest.raises(NotFound):
        lab.choose(trained, loras=[f"{run}@999"])
    assert lab.current(trained).grid == grid


def test_a_run_of_another_model_does_not_come_into_the_grid(trained: Project) -> None:
    lab.choose(trained)
    other = add_run(trained, (10,), best=10, model="ltxv-2b-0.9.6-dev")
    with pytest.raises(BadInput, match="another model"):
        lab.choose(trained, loras=[*lab.current(trained).grid.loras, f"{other.name}@10"])
    shown = lab.choose(trained, loras=[f"{other.name}@10"])  # alone, it is a Lab of that model
    assert shown.model == "ltxv-2b-0.9.6-dev"
    assert shown.sampling.fps == 24


def test_the_time_left_is_that_of_the_videos_that_were_made(trained: Project) -> None:
    shown = lab.choose(trained)
    places = wanted(shown, "zib style.")
    for place, seconds in zip(places[:2], (2.0, 4.0), strict=False):
        put(trained, place.request, SampleMeasures(), seconds)
    view = lab_view.view(trained)
    assert view.made == 2
    assert view.seconds_left == pytest.approx(3.0 * (view.total - 2))
    lab.choose(trained, sampling={"steps": 3})  # other videos take another time
    assert lab_view.view(trained).seconds_left is None


def test_a_deleted_checkpoint_keeps_its_videos_and_makes_no_more(trained: Project) -> None:
    shown = lab.choose(trained, strengths=[1, 2])
    gone = shown.loras[0]
    kept = next(place for place in wanted(shown, "zib style.") if place.lora == gone)
    put(trained, kept.request, SampleMeasures())
    trained.path(gone.file).unlink()
    states = {
        place.wanted.key: place.state for place in lab_view.view(trained).places if place.wanted.lora == gone
    }
    assert states.pop(kept.key) == "made"
    assert set(states.values()) == {"gone"}
    view = lab_view.view(trained)
    assert view.left == view.total - view.made - len(states)


def test_a_kept_checkpoint_that_is_gone_is_not_what_a_test_is_about(trained: Project) -> None:
    add_clips(trained, [clip("one", "zib style. A red circle moves up.")])
    shown = lab.choose(trained)
    lab.keep(trained, shown.grid.loras[0], 0.75)
    shutil.rmtree(trained.path(shown.loras[0].file).parent)
    lab_tests.ask(trained, "strength")
    assert lab.current(trained).tests["strength"].loras == ("0001-test@200",), "the recommended one is there"


def test_a_run_that_is_gone_leaves_the_lab_to_the_others(trained: Project) -> None:
    add_clips(trained, [clip("one", "zib style. A red circle moves up.")])
    other = add_run(trained, (100, 200), best=200)
    lab.choose(trained, loras=["0001-test@100", f"{other.name}@100"])
    lab.keep(trained, f"{other.name}@100", 0.75)
    shutil.rmtree(other.folder)
    assert lab.current(trained).grid.loras == ("0001-test@100",), "its rows could not be taken out"
    shown = {place.wanted.lora.run for place in lab_view.view(trained).places if place.wanted.lora}
    assert shown == {"0001-test"}
    lab_tests.ask(trained, "strength")
    assert lab.current(trained).tests["strength"].loras == ("0001-test@100",)
    assert lab.choose(trained, strengths=[1]).grid.strengths == (0.0, 1.0)


def test_what_is_kept_is_remembered_and_the_base_model_is_no_lora(trained: Project) -> None:
    shown = lab.choose(trained)
    assert lab.kept(trained) is None
    lab.keep(trained, shown.grid.loras[1], 0.75)
    found = lab.kept(trained)
    assert found is not None
    assert (found[0].id, found[1]) == (shown.grid.loras[1], 0.75)
    with pytest.raises(BadSetting, match="cannot be folded"):
        lab.keep(trained, shown.grid.loras[1], -0.5)
    for wrong in (("", 0.0), (shown.grid.loras[1], 0.0), ("nobody", 1.0)):
        with pytest.raises(BadInput):
            lab.keep(trained, *wrong)


def test_the_tests_ask_for_what_the_guide_says(trained: Project) -> None:
    (trained.clips_folder).mkdir()
    clips = [clip(f"c{index}", f"A red circle number {index} moves up.") for index in range(4)]
    add_clips(trained, [*clips, clip("r", "Ordinary.", regularisation=True)])
    for name in ("strength", "unlike", "first_frame"):
        lab_tests.ask(trained, name)
    tests = lab.current(trained).tests
    assert list(tests) == ["first_frame", "unlike", "strength"]  # the last one comes first
    assert {grid.loras for grid in tests.values()} == {(f"{jobs.runs(trained)[0].name}@200",)}
    assert (tests["strength"].strengths, tests["unlike"].strengths) == ((0, 1, 2), (0, 1))
    like, *unlike = [prompt.text for prompt in tests["unlike"].prompts]
    assert like == "{trigger} A red circle number 0 moves up."
    assert len(unlike) == 2
    assert all(text.startswith("{trigger} A ") and "circle" not in text for text in unlike)
    held_out = tests["first_frame"].prompts[0]
    assert held_out.first_frame in {item.id for item in clips}
    lab.drop_test(trained, "unlike")
    assert list(lab.current(trained).tests) == ["first_frame", "strength"]
    with pytest.raises(BadInput):
        lab_tests.ask(trained, "nonsense")


def test_without_captions_a_test_says_what_is_missing(trained: Project) -> None:
    with pytest.raises(NotReady, match="no clip with a caption"):
        lab_tests.ask(trained, "strength")


def test_a_character_is_put_into_the_scenes(trained: Project) -> None:
    trained.change_settings(goal=Goal.CHARACTER)
    add_clips(trained, [clip("c", "zib walks.")])
    lab_tests.ask(trained, "unlike")
    texts = [prompt.text for prompt in lab.current(trained).tests["unlike"].prompts]
    assert all(text.startswith("{trigger} is in this scene: ") for text in texts[1:])


def test_scenes_that_share_the_fewest_words_come_first() -> None:
    scenes = ("A red circle moves up.", "A tram drives through rain.", "A circle in the rain.")
    assert lab_tests.least_like(["A red circle moves slowly up."], scenes)[0] == "A tram drives through rain."


FAR, COPY = {"likeness": 0.3, "likeness_of_base": 0.2}, {"likeness": 0.95, "likeness_of_base": 0.2}


@pytest.mark.parametrize(
    ("name", "measured", "title"),
    [
        ("strength", [{"change": 1.0, **FAR}], "It has not learnt yet"),
        ("strength", [{"change": 60.0, **FAR}], "does not copy"),
        ("strength", [{"change": 60.0, **COPY}], "It repeats its training frames"),
        ("strength", [{"change": 60.0, **COPY, "likeness_of_clips": 0.97}], "does not copy"),
        ("unlike", [{"change": 50.0}, {"change": 45.0}, {"change": 60.0}], "works with other words"),
        ("unlike", [{"change": 50.0}, {"change": 5.0}, {"change": 9.0}], "only with words like"),
        ("unlike", [{"change": 50.0}, {"change": 50.0, **COPY}, {"change": 9.0}], "whatever the words"),
        ("first_frame", [{"motion": 0.1, "motion_of_base": 0.12}], "moves as it should"),
        ("first_frame", [{"motion": 0.02, "motion_of_base": 0.12}], "barely moves"),
        ("first_frame", [{"motion": 0.001, "motion_of_base": 0.001}], "Both stand still"),
    ],
)
def test_results_are_read_as_the_guide_says(
    trained: Project, name: TestName, measured: list[dict[str, float]], title: str
) -> None:
    """measured: of the strongest video of each prompt."""
    add_clips(trained, [clip("c", "A red circle moves up.")])
    lab_tests.ask(trained, name)
    assert lab_tests.reading(lab_view.view(trained), name).verdict == "open"
    for place in places(lab_view.view(trained), name):
        strongest = 2 if name == "strength" else 1
        given = measured[place.wanted.pair] if place.wanted.strength == strongest else {}
        put(trained, place.wanted.request, SampleMeasures(**given))  # pyright: ignore[reportArgumentType]
    reading = lab_tests.reading(lab_view.view(trained), name)
    assert title in reading.title
    assert reading.verdict != "open"
    assert reading.look
    assert reading.to_do


def places(view: LabView, grid: str) -> list[Place]:
    return [place for place in view.places if place.wanted.grid == grid]


def put(project: Project, request: CellRequest, measures: SampleMeasures, seconds: float = 1.0) -> None:
    """A video that is made, as far as the app looks at it."""
    folder = LabFolder(project)
    folder.cells_folder.mkdir(parents=True, exist_ok=True)
    folder.video(request.key).write_bytes(b"video")
    folder.strip(request.key).write_bytes(b"strip")
    cell = LabCell(
        request=request, base="", measures=measures, seconds=seconds, created=time.time(),
        strip=Strip(count=1, columns=1, width=64, height=64, fps=8),
    )  # fmt: skip
    folder.cell_file(request.key).write_text(cell.model_dump_json())


def test_a_sheet_shows_every_row_and_column_and_what_is_missing_is_empty(trained: Project) -> None:
    import av
    from PIL import Image

    from ltx_wizard.app import lab_sheet

    run = jobs.runs(trained)[0].name
    shown = lab.choose(trained, loras=[f"{run}@100", f"{run}@200"], strengths=[1])
    with pytest.raises(NotReady):
        lab_sheet.write(trained, "png")
    folder = LabFolder(trained)
    for place in wanted(shown, "zib style.")[:2]:  # the base, and one LoRA of the first prompt
        put(trained, place.request, SampleMeasures(change=3.0))
        strip = Image.new("RGB", (160, 80), "red" if place.lora else "blue")
        strip.paste("black", (80, 0, 160, 80))
        strip.save(folder.strip(place.key), quality=100)
        text = folder.cell_file(place.key).read_text()
        layout = Strip(count=2, columns=2, width=80, height=80, fps=8).model_dump_json()
        old = Strip(count=1, columns=1, width=64, height=64, fps=8).model_dump_json()
        folder.cell_file(place.key).write_text(text.replace(old, layout))
    with Image.open(lab_sheet.write(trained, "png")) as opened:
        picture = np.array(opened.convert("RGB")).astype(int)
    assert picture.shape == (860, 454, 3)
    dark = (picture.sum(axis=2) < 60).mean()
    assert dark > 0.1  # the middle of both videos is black
    with av.open(str(lab_sheet.write(trained, "mp4"))) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    red = (first[..., 0] - first[..., 1] > 120).mean()
    blue = (first[..., 2] - first[..., 1] > 120).mean()
    assert blue == pytest.approx(2 * red, rel=0.05)  # the base stands beside both checkpoints
    with pytest.raises(BadInput):
        lab_sheet.write(trained, "gif")


def test_prompts_that_were_changed_have_other_videos_and_changing_back_finds_them(trained: Project) -> None:
    shown = lab.choose(trained, prompts=[{"text": "one"}], strengths=[1])
    for place in wanted(shown, "zib style."):
        put(trained, place.request, SampleMeasures())
    assert lab_view.view(trained).made == lab_view.view(trained).total
    lab.choose(trained, prompts=[{"text": "another"}])
    assert lab_view.view(trained).made == 0
    lab.choose(trained, prompts=[{"text": "one"}])
    assert lab_view.view(trained).made == lab_view.view(trained).total


def test_nothing_is_started_where_everything_is_made(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    start: Callable[..., JobFolder] = lambda _project, job: started.append(job.kind)  # type: ignore[return-value]  # noqa: E731
    monkeypatch.setattr(jobs, "start", start)
    shown = lab.choose(trained, strengths=[1], prompts=[{"text": "one"}])
    lab.start(trained)
    assert started == ["lab"]
    assert lab.current(trained).recommended.endswith("@200")
    for place in wanted(shown, "zib style."):
        put(trained, place.request, SampleMeasures())
    with pytest.raises(NotReady, match="Every video of this grid is made"):
        lab.start(trained)
    assert LabPrompt(text="one") in lab.current(trained).grid.prompts
