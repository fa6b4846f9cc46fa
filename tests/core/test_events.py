from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from ltx_wizard.core import events
from ltx_wizard.core.errors import NoSpace
from ltx_wizard.core.events import (
    CheckpointSaved,
    ClipDone,
    Event,
    EventReader,
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
    read_events,
)

ONE_OF_EACH: tuple[Event, ...] = (
    Started(pid=7, step=10, steps=200),
    Progress(stage="Encoding clips", done=1, total=3, message="a\nb \u2028 c"),
    StepDone(step=11, steps=200, loss=0.25, learning_rate=1e-4, grad_norm=0.5, step_s=1.5, memory_gib=3.2),
    StepSkipped(step=12, steps=200, what="gradient", in_a_row=1),
    WentBack(step=10, from_step=12, reason="The loss was not a number.", learning_rate_scale=0.5),
    Validated(step=11, loss=0.3, bands={"0.2": 0.1, "0.8": 0.5}, each=(0.1,), fixed_set="ab", learnt=True),
    SampleReady(step=11, prompt_index=0, prompt='<b>"x"</b>', seed=42, file="samples/x.mp4"),
    CheckpointSaved(step=11, file="checkpoints/step-000011"),
    SettingChanged(setting="memory.precision", value="fp32", reason="No GPU."),
    Warned(message="Größe 📼"),
    ClipDone(clip="clip-1"),
    Finished(step=11, result={"lora": "x.safetensors", "steps": 11, "nested": [1, None]}),
    Stopped(step=11),
    Failed(problem="The disk is full.", remedy="Free some space.", step=11),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run" / "events.jsonl"


def write(file: Path, *given: Event) -> None:
    writer = EventWriter(file)
    for event in given:
        writer.write(event)
    writer.close()


def test_every_kind_comes_back_as_it_was_written(file: Path) -> None:
    union = get_args(events.Event)[0]
    assert {type(event) for event in ONE_OF_EACH} == set(get_args(union))
    write(file, *ONE_OF_EACH)
    assert tuple(read_events(file)) == ONE_OF_EACH


def test_each_event_is_one_line_and_on_disk_at_once(file: Path) -> None:
    writer = EventWriter(file)
    for count, event in enumerate(ONE_OF_EACH, start=1):
        writer.write(event)
        assert file.read_bytes().count(b"\n") == count
        assert file.read_bytes().endswith(b"\n")
    writer.close()


def test_a_file_that_is_not_there_yet_has_no_events(file: Path) -> None:
    assert read_events(file) == []


def test_a_torn_last_line_is_not_an_event_until_it_ends(file: Path) -> None:
    write(file, Validated(step=1, loss=0.5))
    whole = Validated(step=2, loss=0.25).model_dump_json().encode() + b"\n"
    reader = EventReader(file)
    with file.open("ab") as growing:
        growing.write(whole[:20])
        growing.flush()
        assert [event.step for event in reader.read_new() if isinstance(event, Validated)] == [1]
        assert reader.read_new() == []
        growing.write(whole[20:])
        growing.flush()
        assert [event.step for event in reader.read_new() if isinstance(event, Validated)] == [2]
        assert reader.read_new() == []


def test_a_character_torn_in_the_middle_waits_for_its_rest(file: Path) -> None:
    line = json.dumps({"kind": "warned", "message": "ü📼"}, ensure_ascii=False).encode() + b"\n"
    file.parent.mkdir()
    for cut in range(1, len(line)):
        file.write_bytes(line[:cut])
        reader = EventReader(file)
        assert reader.read_new() == []
        file.write_bytes(line)
        (event,) = reader.read_new()
        assert isinstance(event, Warned)
        assert event.message == "ü📼"


def test_an_unknown_kind_is_skipped_and_the_rest_is_read(file: Path) -> None:
    write(file, Started(pid=1))
    with file.open("a") as future:
        future.write('{"kind": "applause", "time": 1.0}\n{"kind": "finished", "later_field": 3}\n[]\n\n')
    write(file, Stopped())
    assert [event.kind for event in read_events(file)] == ["started", "stopped"]


def test_a_line_torn_by_a_kill_is_ended_before_the_next_event(file: Path) -> None:
    write(file, Started(pid=1))
    with file.open("ab") as torn:
        torn.write(b'{"kind": "step", "ste')
    reader = EventReader(file)
    assert len(reader.read_new()) == 1
    write(file, Started(pid=2), Stopped())
    assert [event.kind for event in reader.read_new()] == ["started", "stopped"]
    assert [event.kind for event in read_events(file)] == ["started", "started", "stopped"]


@pytest.mark.parametrize("garbage", [b"\x00" * 64, b"\xff\xfe\n", b'{"kind": "step", "loss": NaN'])
def test_rubbish_that_a_crash_left_is_skipped(file: Path, garbage: bytes) -> None:
    write(file, Started(pid=1))
    with file.open("ab") as crashed:
        crashed.write(garbage)
    write(file, Stopped())
    assert [event.kind for event in read_events(file)] == ["started", "stopped"]


def test_a_validation_of_an_earlier_version_is_still_read(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b'{"time": 1.0, "kind": "validated", "step": 50, "loss": 0.25}\n')
    assert read_events(file) == [Validated(time=1.0, step=50, loss=0.25)]


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_a_number_is_an_event_too(file: Path, loss: float) -> None:
    """A training that goes wrong must show it."""
    step = StepDone(step=1, steps=2, loss=loss, learning_rate=1, grad_norm=loss, step_s=1)
    write(file, step)
    (event,) = read_events(file)
    assert isinstance(event, StepDone)
    assert str(event.loss) == str(loss)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_says_so(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    with pytest.raises(NoSpace):
        EventWriter(tmp_path / "events.jsonl").write(Started(pid=1))


def test_readers_at_different_places_see_the_same(file: Path) -> None:
    early = EventReader(file)
    seen: list[Event] = []
    for event in ONE_OF_EACH:
        write(file, event)
        seen += early.read_new()
    assert tuple(seen) == tuple(read_events(file)) == ONE_OF_EACH


def test_a_changed_setting_is_told_as_the_screen_names_it() -> None:
    event = SettingChanged(setting="memory.gradient_checkpointing", value="on", reason="The card was full.")
    assert event.text == "Gradient checkpointing is now on. The card was full."
