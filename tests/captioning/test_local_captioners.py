"""Real classes with a few random weights, in the layout of the hub's cache, loaded the ordinary way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from huggingface_hub import constants
from tiny_captioners import put_in_cache

from ltx_wizard.captioning import florence2, local_model, vision_llm
from ltx_wizard.captioning.captioner import ToCaption, make_captioner, run_caption
from ltx_wizard.captioning.florence2 import Florence2Captioner, motion_text, told
from ltx_wizard.captioning.frames import Still, frames_for, sample_stills
from ltx_wizard.captioning.local_model import in_batches
from ltx_wizard.captioning.motion import MotionFacts
from ltx_wizard.captioning.vision_llm import VisionCaptioner, seen_image, seen_video
from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.errors import CaptionerFailed, NotFound, OutOfGpuMemory
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CaptionJob
from ltx_wizard.dataset.dataset import add_clips, read_clips
from ltx_wizard.models.captioner_models import CAPTIONER_MODELS, CaptionerModel

FLORENCE, QWEN = CAPTIONER_MODELS[0], CAPTIONER_MODELS[2]
LAYOUT = vision_llm.Layout(16, 2, 2, "<I>", "<V>", "<S>", "<E>")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("hub")
    for model in (FLORENCE, QWEN):
        put_in_cache(model, cache)
    return cache


@pytest.fixture
def cache(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(filled))
    return filled


@pytest.fixture
def qwen(cache: Path) -> Iterator[VisionCaptioner]:
    captioner = VisionCaptioner(QWEN)
    captioner.load()
    yield captioner
    captioner.close()


@pytest.fixture
def florence(cache: Path) -> Iterator[Florence2Captioner]:
    captioner = Florence2Captioner(FLORENCE)
    captioner.load()
    yield captioner
    captioner.close()


@pytest.fixture
def clip(make_video: Callable) -> ToCaption:
    return to_caption(make_video(frames=32))


def to_caption(path: Path, kind: MediaKind = MediaKind.VIDEO, **facts: Any) -> ToCaption:
    measured = MotionFacts(kind=kind, duration_s=4.0, **facts)
    return ToCaption(path, kind, measured, "Describe the dog.")


def picture_file(folder: Path, colour: str = "teal") -> Path:
    from PIL import Image

    Image.new("RGB", (96, 64), colour).save(folder / f"{colour}.png")
    return folder / f"{colour}.png"


@pytest.mark.parametrize("model", [FLORENCE, QWEN], ids=lambda model: model.id)
def test_it_captions_a_clip_and_a_picture(
    cache: Path, model: CaptionerModel, clip: ToCaption, tmp_path: Path
) -> None:
    captioner = make_captioner(CaptionJob(captioner=model.id))
    captioner.load()
    try:
        still = to_caption(picture_file(tmp_path), MediaKind.IMAGE)
        texts = captioner.caption([clip, still, clip])
    finally:
        captioner.close()
    assert len(texts) == 3
    assert all(len(text.split()) >= 8 for text in texts)
    assert texts[0] == texts[2]


def test_a_batch_says_what_each_clip_alone_gives(
    qwen: VisionCaptioner, clip: ToCaption, make_video: Callable
) -> None:
    other = replace(
        to_caption(make_video("other.mp4", frames=9)), instruction="Say what the cat does, at once."
    )
    assert qwen.caption([clip, other]) == [*qwen.caption([clip]), *qwen.caption([other])]


def test_one_frame_more_or_less_changes_what_the_vision_model_thinks(
    qwen: VisionCaptioner, clip: ToCaption, monkeypatch: pytest.MonkeyPatch
) -> None:
    def logits() -> torch.Tensor:
        with torch.inference_mode():
            return qwen._model(**qwen.inputs([clip])).logits[0, -1]

    before = logits()
    assert torch.equal(before, logits())

    def with_a_changed_frame(path: Path, count: int, long_side_px: int) -> list[Still]:
        stills = sample_stills(path, count, long_side_px)
        stills[5] = replace(stills[5], picture=255 - stills[5].picture)
        return stills

    monkeypatch.setattr(vision_llm, "sample_stills", with_a_changed_frame)
    assert (logits() - before).abs().max() > 1e-6


def test_the_picture_changes_what_florence_thinks(florence: Florence2Captioner) -> None:
    def logits(picture: np.ndarray) -> torch.Tensor:
        inputs = florence._processor(text=[florence2.TASK], images=[picture], return_tensors="pt")
        with torch.inference_mode():
            return florence._model(**inputs, decoder_input_ids=torch.tensor([[2]])).logits

    picture = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert torch.equal(logits(picture), logits(picture))
    changed = picture.copy()
    changed[:32] = 255 - changed[:32]
    assert (logits(changed) - logits(picture)).abs().max() > 1e-6


def test_the_prompt_has_a_token_for_every_cell_and_a_time_for_every_pair(
    qwen: VisionCaptioner, clip: ToCaption
) -> None:
    inputs = qwen.inputs([clip])
    frames, rows, columns = inputs["video_grid_thw"][0].tolist()
    marks = inputs["input_ids"][0] == qwen._model.config.video_token_id
    assert int(marks.sum()) == frames * rows * columns // 4
    assert inputs["pixel_values_videos"].shape == (frames * rows * columns, 3 * 2 * 16 * 16)
    text = qwen._tokenizer.decode(inputs["input_ids"][0])
    times = [float(part.rsplit("<", 1)[1]) for part in text.split(" seconds>")[:-1]]
    assert len(times) == frames == 4
    # 32 frames at 8 a second: 8 of them from 0 to 3.875 s, in pairs
    assert times == pytest.approx([0.28, 1.39, 2.49, 3.6], abs=0.12)
    assert text.endswith("Describe the dog.<|im_end|>\n<|im_start|>assistant\n")


def test_patches_are_those_of_the_models_own_processor() -> None:
    """Cells in reading order, four patches each; a patch holds both frames of a pair, by colour."""
    rng = np.random.default_rng(0)
    stills = [Still(index / 2, rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)) for index in range(3)]
    seen = seen_video(stills, LAYOUT, tokens=1000)
    assert seen.grid == (2, 4, 6)

    def patch(first: int, second: int, row: int, column: int) -> torch.Tensor:
        pair = np.stack([stills[first].picture, stills[second].picture])
        cut = pair[:, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
        return torch.from_numpy(cut.transpose(3, 0, 1, 2)).float().flatten() / 127.5 - 1

    # rows and columns of the first six patches: the four of the first cell, then the next cell to the right
    order = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3)]
    for index, (row, column) in enumerate(order):
        torch.testing.assert_close(seen.patches[index], patch(0, 1, row, column), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.patches[24], patch(2, 2, 0, 0), atol=1e-5, rtol=0)  # the odd one, twice
    assert seen.text == f"<0.2 seconds><S>{'<V>' * 6}<E><1.0 seconds><S>{'<V>' * 6}<E>"


@pytest.mark.parametrize(("height", "width"), [(432, 768), (720, 1280), (1280, 720), (40, 900), (33, 33)])
@pytest.mark.parametrize("tokens", [384, 1536, 3072])
def test_visual_tokens_stay_within_their_number(height: int, width: int, tokens: int) -> None:
    stills = [Still(index / 2, np.zeros((height, width, 3), dtype=np.uint8)) for index in range(16)]
    seen = seen_video(stills, LAYOUT, tokens)
    rows, columns = seen.grid[1:]
    assert rows % 2 == columns % 2 == 0
    assert seen.text.count("<V>") == seen.grid[0] * rows * columns // 4 <= tokens
    assert seen_image(stills[0], LAYOUT, tokens).text.count("<I>") <= tokens


def test_florence_tells_pictures_in_order_without_repeating_itself() -> None:
    facts = MotionFacts(
        kind=MediaKind.VIDEO, duration_s=3.0, camera=("pans left",), camera_sure=True, light=("warm",)
    )
    text = told(
        [
            "The image shows a dog standing on wet sand. The sky is blue.",
            "A dog is standing on the wet sand. The sky is blue. It lifts a paw.",
            "The dog runs away from",
        ],
        facts,
    )
    assert text.startswith(
        "A dog standing on wet sand. The sky is blue. It lifts a paw. The dog runs away from."
    )
    assert text.count("sky") == 1 and text.count("wet sand") == 1
    assert "The camera pans left." in text and "[" not in text


def test_florence_keeps_the_motion_where_it_says_much() -> None:
    facts = MotionFacts(kind=MediaKind.VIDEO, duration_s=3.0, camera=("static",), camera_sure=True)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    long = [f"{first} {second} {third} x{i} y{i} z{i} a{i} b{i}." for i, (first, second, third) in
            enumerate((a, b, c) for a in words for b in words[:2] for c in words[:2])]  # fmt: skip
    text = told([" ".join(long)], facts)
    assert len(text.split()) <= 200
    assert text.endswith(motion_text(facts))


def test_florence_that_says_nothing_gives_nothing() -> None:
    assert told(["", " "], MotionFacts(kind=MediaKind.VIDEO, duration_s=3.0)) == ""


def test_a_clip_without_motion_is_looked_at_once(
    florence: Florence2Captioner, make_video: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def describe(pictures: Sequence[np.ndarray]) -> list[str]:
        looked.append(len(pictures))
        return ["A dog stands."] * len(pictures)

    monkeypatch.setattr(florence, "_describe", describe)
    black = [Still(float(index), np.zeros((64, 64, 3), dtype=np.uint8)) for index in range(3)]
    white = [
        replace(still, picture=still.picture + np.uint8(80 * index)) for index, still in enumerate(black)
    ]
    for stills in (black, white):
        monkeypatch.setattr(florence2, "sample_stills", lambda *_, stills=stills: stills)
        florence.caption([to_caption(Path("x.mp4"))])
    assert looked == [1, 3]


@pytest.mark.parametrize("model", [FLORENCE, QWEN], ids=lambda model: model.id)
def test_a_model_that_is_not_here_says_how_to_get_it(
    model: CaptionerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NotFound) as caught:
        make_captioner(CaptionJob(captioner=model.id)).load()
    assert caught.value.problem == f"{model.title} is not on this computer yet: the model is missing."
    assert f"ltx-wizard download {model.id}" in caught.value.remedy


@pytest.mark.parametrize("model", [FLORENCE, QWEN], ids=lambda model: model.id)
def test_damaged_files_are_told(
    model: CaptionerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file it is, and whatever the library that reads it raises. With an empty configuration
    transformers would build a model of its default size, which is larger than the memory.
    """
    snapshot = put_in_cache(model, tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    words = json.loads((snapshot / "tokenizer.json").read_text())
    words["model"]["vocab"], words["added_tokens"] = {"a": 0}, []
    for name, content in {
        "model.safetensors": (snapshot / "model.safetensors").read_bytes()[:5000],
        "tokenizer.json": (snapshot / "tokenizer.json").read_bytes()[:4000],
        "tokenizer_config.json": b"[]",
        "config.json": b"{}",
    }.items():
        good = (snapshot / name).read_bytes()
        for damage in [content, *([b"[]", json.dumps(words).encode()] if name == "tokenizer.json" else [])]:
            (snapshot / name).write_bytes(damage)
            with pytest.raises(CaptionerFailed) as caught:
                make_captioner(CaptionJob(captioner=model.id)).load()
            part = {"model.safetensors": "model", "config.json": "configuration"}.get(name, "tokenizer")
            assert caught.value.problem.startswith(f"The {part} of {model.title} cannot be loaded: ")
            assert "delete its files, then download them again" in caught.value.remedy
        (snapshot / name).write_bytes(good)
    make_captioner(CaptionJob(captioner=model.id)).load()


def test_too_little_memory_is_told_before_loading(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3 * 1024**3))
    with pytest.raises(CaptionerFailed) as caught:
        VisionCaptioner(QWEN).load()
    assert caught.value.problem == "Qwen3-VL 2B needs about 10 GB of memory; 3 are free."


def test_a_card_that_is_too_small_is_told_before_loading(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_model, "training_device", lambda: torch.device("cuda"))
    with pytest.raises(OutOfGpuMemory) as caught:
        VisionCaptioner(QWEN, vram_gib=4.0).load()
    assert caught.value.problem == "Qwen3-VL 2B does not fit on a card of 4 GB."


def test_a_batch_that_does_not_fit_is_asked_in_halves() -> None:
    asked: list[int] = []

    def ask(items: Sequence[int]) -> list[str]:
        asked.append(len(items))
        if len(items) > 2:
            raise torch.OutOfMemoryError
        return [f"clip {item}" for item in items]

    assert in_batches(range(5), ask, QWEN) == [f"clip {index}" for index in range(5)]
    assert asked == [5, 2, 3, 1, 2]


def test_a_single_clip_that_does_not_fit_stops_the_job() -> None:
    def ask(items: Sequence[int]) -> list[str]:
        raise torch.OutOfMemoryError

    with pytest.raises(OutOfGpuMemory) as caught:
        in_batches([1, 2], ask, QWEN)
    assert "smaller captioner" in caught.value.remedy


def test_a_clip_that_main_memory_cannot_hold_stops_the_job() -> None:
    """What torch says without a card is no OutOfMemoryError."""

    def ask(items: Sequence[int]) -> list[str]:
        return [str(torch.empty(10**16))]

    with pytest.raises(CaptionerFailed) as caught:
        in_batches([1, 2], ask, QWEN)
    assert caught.value.problem == "This computer has too little free memory for Qwen3-VL 2B."
    with pytest.raises(CaptionerFailed, match="too little free memory"), local_model.loading(QWEN, "model"):
        torch.empty(10**16)
    with pytest.raises(RuntimeError, match="must match"):  # a bug stays one
        in_batches([1], lambda _: [str(torch.ones(2) + torch.ones(3))], QWEN)


def test_in_4_bits_the_language_model_is_small_and_what_sees_is_whole(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitsandbytes.nn import Linear4bit

    cpu = torch.device("cpu")
    monkeypatch.setattr(vision_llm, "device_and_precision", lambda *_: (cpu, "nf4"))
    captioner = VisionCaptioner(QWEN)
    captioner.load()
    names = [name for name, layer in captioner._model.named_modules() if isinstance(layer, Linear4bit)]
    assert len(names) == 2 * 7
    assert all("language_model.layers" in name for name in names)
    captioner.close()


@pytest.mark.parametrize("model", [FLORENCE, QWEN], ids=lambda model: model.id)
def test_the_job_writes_captions_with_a_real_model(
    cache: Path, model: CaptionerModel, project: Project, make_video: Callable
) -> None:
    project.clips_folder.mkdir()
    make_video("c0.mp4", frames=24, folder=project.clips_folder)
    picture_file(project.clips_folder)
    clip = Clip(
        id="c0", source_id="s", file="clips/c0.mp4", kind=MediaKind.VIDEO,
        width=128, height=64, fps=8.0, frames=24, duration_s=3.0,
    )  # fmt: skip
    still = clip.model_copy(update={"id": "c1", "file": "clips/teal.png", "kind": MediaKind.IMAGE})
    add_clips(project, [clip, still])
    report = SilentReport()
    result = run_caption(project, CaptionJob(captioner=model.id), report)
    assert result == {"captioned": 2, "skipped": 0, "failed": 0}, report.events
    assert all(clip.caption and clip.caption_source == model.id for clip in read_clips(project))


def test_stills_are_spread_evenly_with_first_and_last(make_video: Callable, number_of: Callable) -> None:
    path = make_video(frames=240)
    stills = sample_stills(path, 12, 128)
    numbers = [number_of(still.picture) for still in stills]
    assert len(numbers) == 12 and numbers[0] == 0 and numbers[-1] == 239
    steps = np.diff(numbers)
    assert steps.min() >= 20 and steps.max() <= 24
    assert [round(still.time_s * 8) for still in stills] == numbers


def test_a_short_clip_gives_all_its_frames(make_video: Callable) -> None:
    assert len(sample_stills(make_video(frames=5), 12, 64)) == 5
    assert max(sample_stills(make_video("wide.mp4", frames=5), 12, 64)[0].picture.shape) == 64


def test_two_frames_a_second_within_bounds() -> None:
    assert [frames_for(seconds, 8, 16) for seconds in (0.5, 5.2, 60)] == [8, 10, 16]
