"""Samples measured as they lie on disk, against the training frames of a real project."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig, PreTrainedTokenizerFast

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.dataset.dataset import add_clips
from ltx_wizard.media.transcode import write_video
from ltx_wizard.models import weights
from ltx_wizard.sampling import prompt_agreement, training_frames
from ltx_wizard.sampling.frames import Frames
from ltx_wizard.sampling.likeness import TrainingIndex
from ltx_wizard.sampling.measures import measure_sample
from ltx_wizard.sampling.prompt_agreement import CLIP_MODELS, find_judge
from ltx_wizard.sampling.sample_meter import SampleMeter
from ltx_wizard.sampling.training_frames import training_index

SIDE = 64


def drawn(seed: int, speed_px: int = 2, frames: int = 9) -> Frames:
    """A rough pattern that moves to the right. [F, 64, 64, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 24, 3), dtype=np.uint8)
    wide = np.asarray(cv2.resize(coarse, (2 * SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
    return np.stack([wide[:, 40 - speed_px * at : 40 - speed_px * at + SIDE] for at in range(frames)])


@pytest.fixture
def with_clips(project: Project) -> Project:
    """Three clips of 64x64 and 9 frames, at 8 a second."""
    for number in range(3):
        path = project.clips_folder / f"clip-{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(drawn(number), path, 8)
        clip = Clip(
            id=f"clip-{number}", source_id="source", file=project.relative(path), kind=MediaKind.VIDEO,
            width=SIDE, height=SIDE, fps=8, frames=9, duration_s=9 / 8,
        )  # fmt: skip
        add_clips(project, [clip])
    return project


def test_a_sample_is_measured_against_base_and_training_frames(with_clips: Project, tmp_path: Path) -> None:
    sample, base = tmp_path / "sample.mp4", tmp_path / "base.mp4"
    write_video(np.repeat(drawn(1)[4:5], 9, axis=0), sample, 8)
    write_video(drawn(99), base, 8)
    measures = SampleMeter(with_clips, SIDE, SIDE, 8).measure(sample, base, "A pattern.", SilentReport())
    assert measures.nearest == "clip-1"
    assert measures.nearest_s == pytest.approx(0.5)
    assert measures.likeness is not None
    assert measures.likeness > 0.9
    assert measures.likeness_of_base is not None
    assert measures.likeness_of_base < 0.6
    assert measures.likeness_of_clips is not None
    assert measures.likeness_of_clips < 0.6
    assert measures.motion == pytest.approx(0.0, abs=0.003)
    assert measures.motion_of_base == pytest.approx(2 * 8 / SIDE, rel=0.3)
    assert measures.change is not None
    assert measures.change > 20
    assert measures.sharpness_of_training is not None


def test_without_a_base_and_without_clips_there_is_less_to_measure(project: Project, tmp_path: Path) -> None:
    sample = tmp_path / "sample.mp4"
    write_video(drawn(1), sample, 8)
    meter = SampleMeter(project, SIDE, SIDE, 8)
    measures = meter.measure(sample, tmp_path / "no such.mp4", "A pattern.", SilentReport())
    assert measures.motion is not None
    assert (measures.likeness, measures.nearest, measures.change) == (None, "", None)
    assert (measures.motion_of_base, measures.prompt_agreement) == (None, None)


def test_a_black_sample_is_like_nothing(with_clips: Project) -> None:
    """Clips that fade to black would make it memorised."""
    path = with_clips.clips_folder / "clip-0.mp4"
    write_video(np.concatenate([drawn(0), np.zeros((8, SIDE, SIDE, 3), np.uint8)]), path, 8)
    index = _index(with_clips)
    black = measure_sample(np.zeros((9, SIDE, SIDE, 3), np.uint8), None, index, 8)
    assert (black.likeness, black.nearest) == (None, "")
    assert (black.motion, black.sharpness) == (0.0, 0.0)
    assert (
        max(time for time, clip in zip(index.times_s, index.clip_ids, strict=True) if clip == "clip-0") < 1.1
    )


def test_the_clip_that_a_sample_started_from_does_not_count(with_clips: Project) -> None:
    index = _index(with_clips)
    assert measure_sample(drawn(1), None, index, 8).nearest == "clip-1"
    assert measure_sample(drawn(1), None, index, 8, leave_out="clip-1").nearest != "clip-1"


def test_clips_kept_out_of_training_are_not_training_frames(with_clips: Project) -> None:
    index = training_index(with_clips, SIDE, SIDE, SilentReport(), left_out={"clip-1"})
    assert index is not None
    assert set(index.clip_ids) == {"clip-0", "clip-2"}
    assert (
        training_index(with_clips, SIDE, SIDE, SilentReport(), left_out={f"clip-{n}" for n in range(3)})
        is None
    )


def test_a_mirrored_frame_is_found_where_clips_are_trained_mirrored(with_clips: Project) -> None:
    mirrored = np.ascontiguousarray(drawn(1)[:, :, ::-1])
    for trained_mirrored in (True, False):
        index = training_index(with_clips, SIDE, SIDE, SilentReport(), mirrored=trained_mirrored)
        assert index is not None
        near = index.nearest(mirrored)
        assert near is not None
        assert (near.likeness > 0.9) is trained_mirrored


def test_the_index_is_made_once_for_a_dataset(with_clips: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _index(with_clips)
    with monkeypatch.context() as patched:
        patched.setattr(training_frames, "index_of", _never)
        again = _index(with_clips)
    assert again.clip_ids == first.clip_ids
    assert np.array_equal(again.thumbnails, first.thumbnails)
    assert again.of_clips == first.of_clips
    path = with_clips.clips_folder / "clip-0.mp4"
    write_video(drawn(50, frames=17), path, 8)
    assert len(_index(with_clips)) > len(first)


def test_a_damaged_index_is_made_again(with_clips: Project) -> None:
    first = _index(with_clips)
    (file,) = (with_clips.cache_folder / "likeness").iterdir()
    file.write_bytes(file.read_bytes()[:500])
    assert _index(with_clips).clip_ids == first.clip_ids


def test_a_clip_that_cannot_be_read_is_not_in_the_index(with_clips: Project) -> None:
    (with_clips.clips_folder / "clip-0.mp4").write_bytes(b"not a video")
    assert set(_index(with_clips).clip_ids) == {"clip-1", "clip-2"}


def test_looking_through_the_clips_can_be_stopped(with_clips: Project) -> None:
    class Stopping(SilentReport):
        def stop_requested(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        training_index(with_clips, SIDE, SIDE, Stopping())


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "hub_cache", lambda: tmp_path / "hub")
    return tmp_path / "hub"


def test_prompt_agreement_is_measured_by_a_clip_model_in_the_cache(hub_cache: Path) -> None:
    assert find_judge(SilentReport()) is None
    folder = _tiny_clip(hub_cache)
    before = torch.get_rng_state()
    judge = find_judge(SilentReport())
    assert judge is not None
    assert torch.equal(torch.get_rng_state(), before)
    frames = drawn(1)
    found = judge.agreement("a red square " * 40, frames)
    assert found == pytest.approx(judge.agreement("a red square " * 40, frames))
    assert -1 <= found <= 1
    assert found != pytest.approx(judge.agreement("blue", frames), abs=1e-6)
    assert judge.agreement("blue", frames) == pytest.approx(_plain(folder, "blue", frames), abs=1e-4)


def test_a_damaged_clip_model_is_a_warning(hub_cache: Path) -> None:
    folder = _tiny_clip(hub_cache)
    (folder / "model.safetensors").write_bytes(b"nonsense")
    report = SilentReport()
    assert find_judge(report) is None
    (warning,) = report.events
    assert "Prompt agreement is not measured" in warning.model_dump_json()


def _never(*_args: object, **_named: object) -> None:
    raise AssertionError("the index was made again")


def _index(project: Project) -> TrainingIndex:
    index = training_index(project, SIDE, SIDE, SilentReport())
    assert index is not None
    return index


def _tiny_clip(cache: Path) -> Path:
    """Random weights in the layout of the hub's cache."""
    storage = cache / f"models--{CLIP_MODELS[0].repository.replace('/', '--')}"
    folder = storage / "snapshots" / ("c" * 40)
    (storage / "refs").mkdir(parents=True)
    (storage / "refs" / "main").write_text("c" * 40)
    words = {
        word: number
        for number, word in enumerate(["<pad>", "<start>", "<end>", "a", "red", "blue", "square"])
    }
    text = CLIPTextConfig(
        vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=12, projection_dim=8, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32,
        patch_size=8, projection_dim=8,
    )  # fmt: skip
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<start>",
        eos_token="<end>",
        unk_token="<pad>",
    ).save_pretrained(folder)
    return folder


def _plain(folder: Path, prompt: str, frames: Frames) -> float:
    """By hand: the frames at 1, 3, 5 and 7 of 9, at 32 x 32."""
    model = CLIPModel.from_pretrained(folder).eval()
    tokens = PreTrainedTokenizerFast.from_pretrained(folder)([prompt], return_tensors="pt")
    chosen = torch.from_numpy(frames[[1, 3, 5, 7]]).permute(0, 3, 1, 2).float() / 255
    small = torch.nn.functional.interpolate(chosen, size=(32, 32), mode="bicubic", antialias=True).clamp(0, 1)
    mean = torch.tensor(prompt_agreement._MEAN)[:, None, None]
    deviation = torch.tensor(prompt_agreement._DEVIATION)[:, None, None]
    with torch.inference_mode():
        found = model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            pixel_values=(small - mean) / deviation,
        )
    text, images = found.text_embeds[0], found.image_embeds
    return float((images @ text / (images.norm(dim=1) * text.norm())).mean())
