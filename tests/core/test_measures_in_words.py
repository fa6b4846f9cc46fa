"""What measures mean, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltx_wizard.core.documents import read_document, write_document
from ltx_wizard.core.events import SampleReady, parse_events
from ltx_wizard.core.measures import SampleMeasures, readings


@pytest.mark.parametrize(
    ("measures", "said"),
    [
        (SampleMeasures(), []),
        (
            SampleMeasures(motion=0.04, motion_of_base=0.12),
            ["Moves a third as much as the base model: static output."],
        ),
        (SampleMeasures(motion=0.001, motion_of_base=0.12), ["Does not move: static output."]),
        (SampleMeasures(motion=0.001, motion_of_base=0.001), []),
        (SampleMeasures(motion=0.0, motion_of_base=None), ["Does not move."]),
        (SampleMeasures(motion=0.36, motion_of_base=0.12), ["Moves 3 times as much as the base model."]),
        (SampleMeasures(motion=0.1, motion_of_base=0.12), []),
        (
            SampleMeasures(likeness=0.95, nearest="dog-3", nearest_s=1.25, likeness_of_base=0.3),
            ["Nearly the same as a training frame of dog-3, at 1.2 s: memorised."],
        ),
        (
            SampleMeasures(likeness=0.8, nearest="dog-3", likeness_of_base=0.3, likeness_of_clips=0.5),
            ["Close to a training frame of dog-3, at 0.0 s."],
        ),
        (
            SampleMeasures(likeness=0.92, nearest="dog-3", likeness_of_clips=0.96),
            ["Like a training frame of dog-3, at 0.0 s; but your clips are as like each other."],
        ),
        (
            SampleMeasures(likeness=0.92, nearest="dog-3", likeness_of_base=0.93),
            ["Like a training frame of dog-3, at 0.0 s; but so is what the base model makes."],
        ),
        (SampleMeasures(likeness=0.5, nearest="dog-3"), []),
        (
            SampleMeasures(sharpness=0.3, sharpness_of_base=0.5, sharpness_of_training=0.5),
            ["Softer than the base model: 60% of its sharpness."],
        ),
        (
            SampleMeasures(sharpness=0.3, sharpness_of_base=0.5, sharpness_of_training=0.3),
            ["Softer than the base model: 60% of its sharpness. Your clips are soft as well."],
        ),
        (
            SampleMeasures(sharpness=0.7, sharpness_of_base=0.5),
            ["Sharper than the base model: 140% of its sharpness."],
        ),
        (SampleMeasures(change=0.4), ["The same as the base model's video: the LoRA does nothing here yet."]),
        (SampleMeasures(change=9.0), []),
    ],
)
def test_what_stands_out_is_said(measures: SampleMeasures, said: list[str]) -> None:
    assert readings(measures) == said


def test_what_matters_most_is_said_first() -> None:
    everything = SampleMeasures(
        motion=0.01, motion_of_base=0.1, likeness=0.97, nearest="a", sharpness=0.2, sharpness_of_base=0.5
    )
    assert [text.split()[0] for text in readings(everything)] == ["Nearly", "Moves", "Softer"]


def test_measures_come_back_from_their_file_and_from_an_event(tmp_path: Path) -> None:
    measures = SampleMeasures(motion=0.1, nearest="a", change=3.0)
    write_document(tmp_path / "measures.json", measures)
    assert read_document(tmp_path / "measures.json", SampleMeasures) == measures
    event = SampleReady(step=5, prompt_index=0, prompt="A dog.", seed=1, file="a.mp4", measures=measures)
    assert list(parse_events([event.model_dump_json().encode()])) == [event]


def test_an_event_of_an_earlier_version_has_no_measures() -> None:
    line = b'{"kind":"sample","time":1.0,"step":5,"prompt_index":0,"prompt":"A","seed":1,"file":"a.mp4"}'
    (event,) = parse_events([line])
    assert isinstance(event, SampleReady)
    assert event.measures is None
