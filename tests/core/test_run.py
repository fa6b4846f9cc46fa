from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ltx_wizard.core.errors import BadDocument, NotFound
from ltx_wizard.core.events import (
    CheckpointSaved,
    Event,
    EventWriter,
    Failed,
    Finished,
    Progress,
    SampleReady,
    SettingChanged,
    Started,
    StepDone,
    StepSkipped,
    Stopped,
    Validated,
    Warned,
    WentBack,
)
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import (
    CutJob,
    Job,
    JobFolder,
    JobState,
    JobStatus,
    TrainJob,
    fold,
    list_job_folders,
)


def step(number: int, loss: float = 0.5) -> StepDone:
    return StepDone(
        time=100.0 + number, step=number, steps=8, loss=loss, learning_rate=1e-4, grad_norm=1.0, step_s=1.0
    )


def saved(number: int) -> CheckpointSaved:
    return CheckpointSaved(step=number, file=f"checkpoints/step-{number:06d}")


def sample(number: int) -> SampleReady:
    return SampleReady(step=number, prompt_index=0, prompt="x", seed=1, file=f"samples/{number}.mp4")


HISTORY: list[Event] = [
    Started(time=100.0, pid=1, steps=8),
    Progress(stage="Encoding clips", done=1, total=2),
    sample(0),
    Validated(step=0, loss=1.0),
    *(step(number) for number in range(1, 5)),
    saved(4),
    sample(4),
    Validated(step=4, loss=0.5),
    SettingChanged(setting="memory.precision", value="fp32", reason="No GPU."),
    Warned(message="Slow."),
    step(5),
    step(6),
    Validated(step=6, loss=0.4),
]


def test_a_job_without_events_waits() -> None:
    assert fold([]) == JobStatus()
    assert fold([]).state is JobState.WAITING
    assert not fold([]).is_over


def test_the_same_events_give_the_same_status_and_change_nothing() -> None:
    before = copy.deepcopy(HISTORY)
    first = fold(HISTORY)
    assert first == fold(HISTORY)
    assert before == HISTORY


def test_folding_in_parts_is_folding_at_once() -> None:
    for cut in range(len(HISTORY) + 1):
        early = fold(HISTORY[:cut])
        kept = copy.deepcopy(early)
        assert fold(HISTORY[cut:], early) == fold(HISTORY)
        assert early == kept


def test_a_running_job_shows_where_it_stands() -> None:
    status = fold(HISTORY)
    assert (status.state, status.step, status.steps) == (JobState.RUNNING, 6, 8)
    assert [item.step for item in status.losses] == [1, 2, 3, 4, 5, 6]
    assert [item.step for item in status.validations] == [0, 4, 6]
    assert [item.step for item in status.samples] == [0, 4]
    assert [item.step for item in status.checkpoints] == [4]
    assert [item.value for item in status.changes] == ["fp32"]
    assert status.warnings == ("Slow.",)
    assert status.progress is None
    assert status.started_at == 100.0


def test_the_stage_shows_until_the_next_step() -> None:
    assert fold([*HISTORY, Progress(stage="Making samples", done=0, total=2)]).progress is not None
    assert fold([*HISTORY, Progress(stage="Making samples", done=0, total=2), step(7)]).progress is None


def test_a_resumed_run_drops_what_came_after_the_checkpoint() -> None:
    status = fold(
        [*HISTORY, Failed(problem="Out of memory.", remedy="Smaller.", step=6), Started(pid=2, step=4)]
    )
    assert (status.state, status.step, status.steps) == (JobState.RUNNING, 4, 8)
    assert [item.step for item in status.losses] == [1, 2, 3, 4]
    assert [item.step for item in status.validations] == [0, 4]
    assert [item.step for item in status.samples] == [0, 4]
    assert [item.step for item in status.checkpoints] == [4]
    assert (status.problem, status.remedy) == ("", "")


def test_a_resumed_run_reads_like_one_that_never_stopped() -> None:
    rest: list[Event] = [step(5), step(6), Validated(step=6, loss=0.4), step(7), step(8), saved(8)]
    resumed = fold([*HISTORY, Stopped(step=6), Started(pid=2, step=4, steps=8), *rest, Finished(step=8)])
    straight = fold([*HISTORY[:-3], *rest, Finished(step=8)])
    assert [item.step for item in resumed.losses] == [item.step for item in straight.losses]
    assert [item.step for item in resumed.checkpoints] == [4, 8]
    assert (resumed.state, resumed.step) == (straight.state, straight.step) == (JobState.FINISHED, 8)


def test_a_run_that_went_back_forgets_the_steps_it_skipped_but_not_that_it_went_back() -> None:
    skipped = [StepSkipped(step=7, steps=8, what="loss", in_a_row=1)]
    back = WentBack(step=4, from_step=7, reason="The loss was not a number.", learning_rate_scale=0.5)
    broken = fold([*HISTORY, *skipped])
    assert (broken.step, broken.skipped) == (7, tuple(skipped))
    status = fold([*HISTORY, *skipped, back, Started(pid=0, step=4, steps=8)])
    assert (status.step, status.skipped, status.returns) == (4, (), (back,))
    assert [item.step for item in status.validations] == [0, 4]
    assert "checkpoint of step 4, at 0.5 x the learning rate" in back.text


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (Finished(step=6, result={"lora": "x"}), JobState.FINISHED),
        (Stopped(step=6), JobState.STOPPED),
        (Failed(problem="Full.", remedy="Free.", step=0), JobState.FAILED),
    ],
)
def test_each_end_is_a_state(end: Finished | Stopped | Failed, state: JobState) -> None:
    status = fold([*HISTORY, Progress(stage="Making samples", done=0, total=2), end])
    assert status.state is state
    assert status.is_over
    assert status.step == 6
    assert status.progress is None
    assert status.result == ({"lora": "x"} if state is JobState.FINISHED else {})
    assert status.problem == ("Full." if state is JobState.FAILED else "")


def test_a_resumed_run_has_no_result_of_an_earlier_end() -> None:
    status = fold([*HISTORY, Finished(step=6, result={"lora": "old"}), Started(pid=2, step=4)])
    assert status.result == {}


@pytest.mark.parametrize("end", [Stopped(step=6), Failed(problem="Full.", remedy="Free some.", step=6)])
def test_a_resumed_run_that_waits_for_its_turn_is_not_over(end: Event) -> None:
    waiting = Progress(stage="Waiting for another job to finish", done=0, total=1)
    status = fold([*HISTORY, end, waiting])
    assert (status.state, status.problem, status.remedy) == (JobState.WAITING, "", "")
    assert status.progress is not None
    assert (status.step, len(status.losses)) == (6, 6)
    assert fold([*HISTORY, end, waiting, Stopped(step=6)]).state is JobState.STOPPED


def test_thousands_of_steps_are_folded_quickly() -> None:
    import time

    events = [Started(pid=1, steps=20_000), *(step(number) for number in range(20_000))]
    began = time.process_time()
    assert len(fold(events).losses) == 20_000
    assert time.process_time() - began < 5


def job(name: str = "custom") -> Job:
    recipe = with_settings(Recipe(name=name), {"lora.rank": 8, "data.buckets": ["128x96x9"]})
    return Job(
        settings=TrainJob(recipe=recipe, dataset_fingerprint="abc"), created=1.5, versions={"torch": "2"}
    )


def test_a_job_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = JobFolder.create(tmp_path / "runs", "balanced", job())
    assert JobFolder.open(made.folder).read_job() == job()


def test_jobs_are_numbered_in_the_order_of_their_making(tmp_path: Path) -> None:
    names = [JobFolder.create(tmp_path, name, job()).name for name in ("balanced", "My run 🎬", "../../x")]
    assert names == ["0001-balanced", "0002-My-run", "0003-x"]
    assert [folder.name for folder in list_job_folders(tmp_path)] == names


def test_a_number_is_never_used_again_while_a_later_one_is_there(tmp_path: Path) -> None:
    first = JobFolder.create(tmp_path, "a", job())
    JobFolder.create(tmp_path, "b", job())
    first.job_file.unlink()
    first.folder.rmdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert JobFolder.create(tmp_path, "c", job()).name == "0003-c"


def test_numbers_above_9999_still_count_up(tmp_path: Path) -> None:
    (tmp_path / "9999-a").mkdir()
    made = [JobFolder.create(tmp_path, "b", job()).name for _ in range(2)]
    assert made == ["10000-b", "10001-b"]
    assert [folder.name for folder in list_job_folders(tmp_path)] == made


def test_the_order_of_jobs_survives_the_ten_thousandth(tmp_path: Path) -> None:
    (tmp_path / "9998-a").mkdir()
    made = [JobFolder.create(tmp_path, "b", job()).name for _ in range(3)]
    assert [folder.name for folder in list_job_folders(tmp_path)] == made


def test_jobs_made_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: JobFolder.create(tmp_path, "same", job()).name, range(16)))
    assert len(set(made)) == 16


def test_a_folder_without_a_job_is_not_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        JobFolder.open(tmp_path)
    (tmp_path / "0001-x").mkdir()
    assert list_job_folders(tmp_path) == []
    assert list_job_folders(tmp_path / "missing") == []


def test_an_unknown_kind_of_job_is_refused_by_name(tmp_path: Path) -> None:
    folder = JobFolder.create(tmp_path, "x", Job(settings=CutJob(), created=1.0))
    folder.job_file.write_text(folder.job_file.read_text().replace('"cut"', '"dance"'))
    with pytest.raises(BadDocument, match="dance"):
        folder.read_job()


def test_the_status_comes_from_the_events_on_disk(tmp_path: Path) -> None:
    folder = JobFolder.create(tmp_path, "x", job())
    assert folder.status().state is JobState.WAITING
    writer = EventWriter(folder.events_file)
    for event in HISTORY:
        writer.write(event)
    writer.close()
    assert folder.status() == fold(HISTORY)
