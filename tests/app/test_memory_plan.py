from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_up import captioned_clips

from ltx_wizard.app import jobs, memory_plan, recipes, settings
from ltx_wizard.app.system import Gpu
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.events import EventWriter, SettingChanged, Started, StepDone
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import MeasuredPeak, Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob

pytestmark = pytest.mark.usefixtures("fixed_memory_model")

LARGE = "ltxv-13b-0.9.7-dev"
UseCard = Callable[[float], None]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[UseCard]:
    """card(24) gives this computer an RTX 4090 of 24 GB; card(0) none."""

    def use(vram_gib: float) -> None:
        found = Gpu("RTX 4090", vram_gib, 1.0, 40, "580") if vram_gib else None
        monkeypatch.setattr(memory_plan, "first_gpu", lambda: found)
        monkeypatch.setattr(recipes, "first_gpu", lambda: found)

    use(0)
    yield use


@pytest.fixture
def large(project: Project) -> Project:
    """A project for 13B with twelve clips of 768x512x49."""
    project.change_settings(model=LARGE)
    write_lines(project.clips_file, captioned_clips(12))
    return project


def recipe(**changes: object) -> Recipe:
    given = {key.replace("__", "."): value for key, value in changes.items()}
    usual = {"lora.rank": 32, "validation.prompts": ("a",), "data.buckets": ("768x512x49",)}
    return with_settings(Recipe(model=LARGE), {**usual, **given})


def finished_run(project: Project, trained: Recipe, step_s: float, steps: int = 12) -> JobFolder:
    job = Job(settings=TrainJob(recipe=trained, dataset_fingerprint="x"), created=1.0)
    folder = JobFolder.create(project.runs_folder, "earlier", job)
    writer = EventWriter(folder.events_file)
    writer.write(Started(pid=1, steps=steps))
    for step in range(1, steps + 1):
        seconds = 60.0 if step == 1 else step_s
        writer.write(
            StepDone(step=step, steps=steps, loss=0.1, learning_rate=1e-4, grad_norm=1.0, step_s=seconds)
        )
    writer.close()
    return folder


def test_what_fits_is_said_with_the_size_of_the_card_and_the_time(large: Project, card: UseCard) -> None:
    card(48)
    made = memory_plan.plan(large, recipe())
    assert made.verdict == "fits"
    text = memory_plan.headline(made)
    assert text.startswith(f"Fits: {made.used:.1f} of 48 GB; about ")
    assert "measured on an NVIDIA H" in memory_plan.detail(made)
    assert "your card's own speed shows after the first steps" in memory_plan.detail(made)
    assert made.remedy is None


def test_what_does_not_fit_is_said_with_the_setting_that_would_help(large: Project, card: UseCard) -> None:
    card(24)
    made = memory_plan.plan(large, recipe())
    assert made.verdict == "unfit"
    assert memory_plan.headline(made) == f"Does not fit: needs {made.used:.1f} GB, your card has 24 GB"
    assert made.remedy is not None
    assert made.remedy.changes == {"memory.quantization": "fp8-quanto"}
    after = memory_plan.plan(large, with_settings(recipe(), made.remedy.changes))
    assert after.verdict == "fits"
    assert memory_plan.after_remedy(made) == pytest.approx(after.used)
    assert f"it then needs {after.used:.1f} GB" in memory_plan.detail(made)


def test_between_the_two_other_programs_have_to_be_closed(large: Project, card: UseCard) -> None:
    card(80)
    used = memory_plan.plan(large, recipe()).used
    card(used + 0.5)
    made = memory_plan.plan(large, recipe())
    assert made.verdict == "tight"
    assert memory_plan.headline(made).startswith("Fits barely")
    assert "close other programs" in memory_plan.detail(made)
    memory_plan.refuse_unfit(large, recipe())


def test_without_a_card_the_plan_says_which_one_it_needs(large: Project, card: UseCard) -> None:
    card(0)
    made = memory_plan.plan(large, recipe())
    assert made.verdict == "no_card"
    assert memory_plan.headline(made).startswith("Needs an NVIDIA card with 32 GB: ")
    assert "H200" in memory_plan.headline(made)
    assert "your card's own speed" not in memory_plan.detail(made)
    memory_plan.refuse_unfit(large, recipe())


def test_the_practice_model_needs_no_card_and_has_no_time_before_a_first_run(
    project: Project, card: UseCard
) -> None:
    card(0)
    made = memory_plan.plan(project, recipes.current_recipe(project))
    assert memory_plan.headline(made) == "No graphics card needed: it trains on the processor"
    assert memory_plan.detail(made) == ""


def test_training_what_the_card_cannot_hold_is_refused_and_nothing_is_written(
    large: Project, card: UseCard
) -> None:
    card(24)
    with pytest.raises(NotReady) as refused:
        jobs.start_training(large, recipe())
    used = memory_plan.plan(large, recipe()).used
    assert f"needs {used:.1f} GB of graphics memory; your RTX 4090 has 24 GB" in refused.value.problem
    assert "keep the frozen model in fp8" in refused.value.remedy
    assert "--anyway" in refused.value.remedy
    assert jobs.runs(large) == []


def test_a_disk_that_cannot_hold_the_checkpoints_is_told_and_refused_before_anything_is_written(
    large: Project, card: UseCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(48)
    need = memory_plan.plan(large, recipe()).budget.disk.in_project
    monkeypatch.setattr(memory_plan, "free_disk_gib", lambda folder: need - 0.5)
    made = memory_plan.plan(large, recipe())
    assert made.verdict == "no_room"
    assert f"writes {need:.1f} GB, {need - 0.5:.1f} GB are free" in memory_plan.headline(made)
    assert memory_plan.detail(made).startswith("Free 0.5 GB there, or lower 'Checkpoints kept'")
    with pytest.raises(NotReady, match="The disk is too full"):
        jobs.start_training(large, recipe())
    assert jobs.runs(large) == []
    assert memory_plan.plan(large, recipe(checkpoints__keep=1)).verdict == "fits"


def test_a_quantised_model_that_is_kept_only_where_there_is_room_needs_none(
    large: Project, card: UseCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(24)
    smaller = recipe(memory__quantization="fp8-quanto")
    disk = memory_plan.plan(large, smaller).budget.disk
    assert disk.quantised > 1
    monkeypatch.setattr(memory_plan, "free_disk_gib", lambda folder: disk.in_project + 0.01)
    assert memory_plan.plan(large, smaller).verdict == "fits"


def test_too_little_main_memory_is_told(
    large: Project, card: UseCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(48)
    measured = memory_plan.read_memory_model().model_copy(update={"records": 9})
    monkeypatch.setattr(memory_plan, "read_memory_model", lambda: measured)
    monkeypatch.setattr(memory_plan, "memory_gib", lambda: (1.0, 16.0))
    waiting = memory_plan.plan(large, recipe(memory__offload="blocks"))
    assert waiting.verdict == "fits"
    assert f"about {waiting.budget.ram:.0f} GB of main memory; this computer has 16 GB" in (
        memory_plan.detail(waiting)
    )
    monkeypatch.setattr(memory_plan, "memory_gib", lambda: (1.0, 64.0))
    assert "main memory" not in memory_plan.detail(memory_plan.plan(large, recipe(memory__offload="blocks")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer__name": "adamw8bit"}, "optimizer adamw8bit needs an NVIDIA card"),
        ({"memory__text_encoder_8bit": True}, "text encoder in 8 bits needs an NVIDIA card"),
    ],
)
def test_what_only_a_card_can_do_is_refused_without_one(
    project: Project, card: UseCard, changes: dict[str, object], words: str
) -> None:
    card(0)
    with pytest.raises(NotReady, match=words):
        memory_plan.refuse_unfit(project, recipe(**changes))
    project.change_settings(model=LARGE)
    with pytest.raises(NotReady, match=r"needs an NVIDIA card with \d+ GB; this computer has none"):
        memory_plan.refuse_unfit(project, recipe(memory__quantization="fp8-quanto", **changes))
    project.change_settings(model="embedded")
    card(24)
    memory_plan.refuse_unfit(project, recipe(**changes))


def test_who_wants_to_train_all_the_same_says_so_once_or_for_good(
    large: Project, card: UseCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(24)
    started: list[str] = []
    monkeypatch.setattr(jobs, "training_job", lambda _project, asked: asked)
    monkeypatch.setattr(jobs, "start", lambda _project, _settings, name: started.append(name))
    jobs.start_training(large, recipe(), anyway=True)
    assert len(started) == 1
    with pytest.raises(NotReady):
        jobs.start_training(large, recipe())
    settings.set_ignore_memory_plan(True)
    jobs.start_training(large, recipe())
    assert len(started) == 2


def test_steps_of_an_earlier_run_here_count_more_than_those_of_the_measured_card(
    large: Project, card: UseCard
) -> None:
    card(80)
    finished_run(large, recipe(data__gradient_accumulation_steps=2), step_s=8.8)
    made = memory_plan.plan(large, recipe())
    assert made.budget.time is not None
    assert made.budget.time.step_s == pytest.approx(4.4)
    assert memory_plan.detail(made).startswith("4.4 s a step, as in your earlier runs here.")


def test_a_run_that_had_to_step_down_counts_for_what_it_ended_with(large: Project, card: UseCard) -> None:
    card(80)
    run = finished_run(large, recipe(), step_s=5.0)
    writer = EventWriter(run.events_file)
    writer.write(SettingChanged(setting="memory.quantization", value="fp8-quanto", reason="no room"))
    writer.close()
    as_it_was = memory_plan.plan(large, recipe()).budget.time
    as_it_ended = memory_plan.plan(large, recipe(memory__quantization="fp8-quanto")).budget.time
    assert as_it_was is not None
    assert as_it_ended is not None
    assert (as_it_was.own, as_it_ended.own) == (False, True)


def test_runs_that_are_short_or_of_another_model_do_not_count(large: Project, card: UseCard) -> None:
    card(80)
    finished_run(large, recipe(), step_s=9.0, steps=4)
    finished_run(large, recipe().model_copy(update={"model": "ltxv-2b-0.9.6-dev"}), step_s=9.0)
    time = memory_plan.plan(large, recipe()).budget.time
    assert time is not None
    assert not time.own


def test_where_nothing_alike_was_measured_the_plan_says_so(large: Project, card: UseCard) -> None:
    card(24)
    made = memory_plan.plan(large, recipe(memory__offload="blocks"))
    if made.budget.time is None:
        assert "was not measured yet" in memory_plan.detail(made)
        assert "about" not in memory_plan.headline(made)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4, "about 10 s"), (83, "about 1 min 20 s"), (1400, "about 23 min"), (7380, "about 2 h 5 min")],
)
def test_times_are_no_more_precise_than_a_prediction_is(seconds: float, text: str) -> None:
    assert memory_plan.about_text(seconds) == text


def test_a_measurement_reads_as_a_sentence() -> None:
    measured = MeasuredPeak(peak_gib=13.24, limit_gib=15, card="H100", date="2026-11-25", step_s=1.2)
    assert measured.text == "measured 13.2 GB on an H100 limited to 15 GB, 2026-11-25"
    free = measured.model_copy(update={"limit_gib": 0.0})
    assert free.text == "measured 13.2 GB on an H100, 2026-11-25"


def test_a_preset_that_is_predicted_too_large_is_not_said_to_fit_unless_it_was_measured(
    large: Project, card: UseCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ltx_wizard.core import places

    text = (
        "schema_version: 1\nname: hungry\ntitle: Hungry\nfor_whom: Nobody.\nlevel: draft\n"
        f"models: [{LARGE}]\nmin_vram_gib: 16\nvram_source: guessed\n"
        "recipe:\n  steps: 100\n  data:\n    buckets: [768x512x49]\n"
    )
    measured = (
        "measured: {peak_gib: 14.0, limit_gib: 15.0, card: H100, date: '2026-11-25', step_s: 1.0}\n"
        "limits: only at this size\n"
    )
    monkeypatch.setattr(places, "PRESETS", tmp_path)
    card(16)
    (tmp_path / "hungry.yaml").write_text(text)
    guessed = recipes.preset_cards(large)[0]
    assert not guessed.fits
    assert guessed.reason.startswith(f"Predicted to need {guessed.plan.used:.1f} GB; your RTX 4090 has 16 GB")
    (tmp_path / "hungry.yaml").write_text(text + measured)
    known = recipes.preset_cards(large)[0]
    assert known.fits
    assert known.preset.limits == "only at this size"
