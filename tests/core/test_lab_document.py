from __future__ import annotations

import pytest

from ltx_wizard.core.errors import BadDocument
from ltx_wizard.core.lab import (
    Lab,
    LabFolder,
    LabGrid,
    LabLora,
    LabPrompt,
    LabSampling,
    Wanted,
    coarse_to_fine,
    in_order_of_use,
    missing,
    wanted,
)
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import MemorySettings

SAMPLING = LabSampling(width=64, height=64, frames=9, fps=8, steps=2, guidance=2, first_frame_guidance=3)


def lora(step: int) -> LabLora:
    return LabLora(
        id=f"run@{step}", title=f"step {step}", file=f"{step}.safetensors", digest=str(step), step=step
    )


def lab(loras: int = 4, strengths: tuple[float, ...] = (0, 0.5, 1, 2), **changes: object) -> Lab:
    known = tuple(lora(step) for step in range(1, loras + 1))
    grid = LabGrid(
        loras=tuple(item.id for item in known),
        strengths=strengths,
        prompts=(LabPrompt(text="{trigger} one"), LabPrompt(text="two")),
        seeds=(7,),
    )
    made = Lab(model="embedded", loras=known, grid=grid, sampling=SAMPLING, recommended="run@3")
    return made.model_copy(update=changes)


def place(item: Wanted) -> tuple[int, int, float]:
    return item.pair, item.lora.step if item.lora else 0, item.strength


def test_the_base_and_the_recommended_come_first_for_every_prompt_then_corners_then_the_rest() -> None:
    order = [place(item) for item in in_order_of_use(lab(), "zib")]
    assert order[:4] == [(0, 0, 0), (0, 3, 1), (1, 0, 0), (1, 3, 1)]
    corners = {(pair, step, strength) for pair in (0, 1) for step in (1, 4) for strength in (0.5, 2)}
    assert set(order[4:12]) == corners
    assert len(order) == len(set(order)) == 2 * (1 + 4 * 3)


@pytest.mark.parametrize("loras", [1, 2, 5])
def test_of_a_prompt_and_seed_the_base_is_always_first(loras: int) -> None:
    """The others are measured against it."""
    seen: set[int] = set()
    for item in in_order_of_use(lab(loras, recommended=""), ""):
        assert item.lora is None or item.pair in seen
        seen.add(item.pair)


def test_coarse_to_fine_starts_at_both_ends_and_fills_in_halves() -> None:
    assert [coarse_to_fine(count) for count in range(6)] == [
        *([], [0], [0, 0], [0, 1, 0], [0, 1, 2, 0], [0, 2, 1, 2, 0]),
    ]


def test_a_test_that_was_asked_for_comes_before_the_grid_and_shares_its_videos() -> None:
    asked = LabGrid(
        loras=("run@2",), strengths=(0, 1), prompts=(LabPrompt(text="{trigger} one"),), seeds=(7,)
    )
    shown = lab(tests={"strength": asked})
    order = in_order_of_use(shown, "zib")
    assert [place(item) for item in order[:2]] == [(0, 0, 0), (0, 2, 1)]
    assert len(order) == 2 * (1 + 4 * 3)  # both stand in the grid as well
    assert len(wanted(shown, "zib")) == len(order) + 2


def test_a_wider_grid_keeps_the_names_of_its_videos_and_other_settings_change_them() -> None:
    before = {item.key for item in wanted(lab(2, (0, 1)), "zib")}
    wider = {item.key for item in wanted(lab(4), "zib")}
    assert before < wider
    for other in (
        lab(2, (0, 1), sampling=SAMPLING.model_copy(update={"steps": 3})),
        lab(2, (0, 1), memory=MemorySettings(quantization="int8-quanto")),
        lab(2, (0, 1), model="another"),
    ):
        assert not before & {item.key for item in wanted(other, "zib")}
    # Offloading changes no pixel; another trigger word changes the prompts that hold one.
    assert before == {
        item.key for item in wanted(lab(2, (0, 1), memory=MemorySettings(offload="blocks")), "zib")
    }
    assert len(before & {item.key for item in wanted(lab(2, (0, 1)), "other")}) == len(before) // 2


def test_strength_zero_is_always_asked_for_and_each_strength_once() -> None:
    assert LabGrid(strengths=(2, 0.5, 0.5)).strengths == (0.0, 0.5, 2.0)
    with pytest.raises(ValueError, match="not between -4 and 4"):
        LabGrid(strengths=(9,))


def test_a_first_frame_has_its_own_guidance() -> None:
    grid = LabGrid(prompts=(LabPrompt(text="one", first_frame="clip-1"), LabPrompt(text="one")))
    guidance = [item.request.guidance for item in wanted(lab(0).model_copy(update={"grid": grid}), "")]
    assert guidance == [3, 2]


def test_the_document_survives_the_disk_and_a_video_counts_only_when_it_is_whole(project: Project) -> None:
    folder, shown = LabFolder(project), lab()
    folder.write(shown)
    assert folder.read() == shown
    order = in_order_of_use(shown, "")
    folder.cells_folder.mkdir()
    for file in (folder.video(order[0].key), folder.strip(order[0].key)):
        file.write_bytes(b"x")
        assert missing(folder, order) == order
    folder.cell_file(order[0].key).write_text("{}")
    assert missing(folder, order) == order[1:]
    assert folder.read_cell(order[0].key) is None  # damaged

    folder.lab_file.write_text(folder.lab_file.read_text().replace('"embedded"', '"embedded", "x": 1'))
    with pytest.raises(BadDocument, match="unknown setting"):
        folder.read()
