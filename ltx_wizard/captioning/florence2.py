"""Florence-2: a small model that describes single pictures. Worker-side.

It takes no instruction, so a clip is told from its first, middle and last picture, what was said before is
left out, and measured motion is added in words. Model: arXiv 2311.06242; classes: transformers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import torch
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from ltx_wizard.captioning.captioner import ToCaption
from ltx_wizard.captioning.frames import Still, sample_stills
from ltx_wizard.captioning.local_model import (
    LocalCaptioner,
    batch_for,
    device_and_precision,
    folder_of,
    in_batches,
    loading,
    refuse_another_model,
)
from ltx_wizard.captioning.motion import MotionFacts, draft_caption
from ltx_wizard.core.caption import MAX_WORDS, clean_caption, whole_sentences, word_count
from ltx_wizard.core.clip import MediaKind
from ltx_wizard.media.video import Frame
from ltx_wizard.models.damage import refuse_without_words

TASK = "<MORE_DETAILED_CAPTION>"
_PICTURES = 3
_LONG_SIDE_PX = 768
_MAX_TOKENS = 160

_SAME_PICTURE_LEVELS = 4.0
"""Mean difference of two pictures reduced to 32 x 32, of 255 levels: below, the second says nothing new."""

_SAME_SENTENCE = 0.75
_SENTENCE = re.compile(r"[^.!?]+[.!?]?")


class Florence2Captioner(LocalCaptioner):
    """Describes first, middle and last picture."""

    _processor: Any = None

    def load(self) -> None:
        folder = folder_of(self._spec)
        refuse_another_model(self._spec, folder)
        device, precision = device_and_precision(self._spec, self._vram_gib)
        dtype = torch.float32 if precision == "float32" else torch.bfloat16
        with loading(self._spec, "tokenizer"):
            self._processor = Florence2Processor.from_pretrained(folder, local_files_only=True)
            refuse_without_words(self._processor.tokenizer)
        with loading(self._spec, "model"):
            model: Any = Florence2ForConditionalGeneration.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True
            )
            self._model = model.to(device).eval()
        self.batch = batch_for(self._spec, device, self._vram_gib)

    def caption(self, clips: Sequence[ToCaption]) -> list[str]:
        stills = [_different(sample_stills(clip.path, _PICTURES, _LONG_SIDE_PX)) for clip in clips]
        pictures = [still.picture for group in stills for still in group]
        texts = iter(in_batches(pictures, self._describe, self._spec))
        return [
            told([next(texts) for _ in group], clip.facts if clip.kind is MediaKind.VIDEO else None)
            for clip, group in zip(clips, stills, strict=True)
        ]

    def close(self) -> None:
        self._processor = None
        super().close()

    @torch.inference_mode()
    def _describe(self, pictures: Sequence[Frame]) -> list[str]:
        """One description for each picture."""
        inputs = self._processor(
            text=[TASK] * len(pictures), images=list(pictures), return_tensors="pt", padding=True
        )
        inputs = inputs.to(self._model.device, self._model.dtype)
        beams = 3 if self._model.device.type == "cuda" else 1  # measured on 2 cores: 21 s instead of 13 s
        tokens = self._model.generate(
            **inputs, max_new_tokens=_MAX_TOKENS, num_beams=beams, do_sample=False, early_stopping=beams > 1
        )
        raw = self._processor.batch_decode(tokens, skip_special_tokens=False)
        return [self._without_marks(text, picture) for text, picture in zip(raw, pictures, strict=True)]

    def _without_marks(self, text: str, picture: Frame) -> str:
        size = picture.shape[1::-1]
        return str(self._processor.post_process_generation(text, task=TASK, image_size=size)[TASK])


def told(descriptions: Sequence[str], facts: MotionFacts | None) -> str:
    """One text out of the descriptions of pictures in order of time, and of the motion between them; empty
    where nothing was described.
    """
    motion = motion_text(facts) if facts else ""
    sentences: list[str] = []
    for description in descriptions:
        for sentence in _whole(clean_caption(description)):
            if not any(_nearly_equal(sentence, earlier) for earlier in sentences):
                sentences.append(sentence)
    if not sentences:
        return ""
    seen = whole_sentences(" ".join(sentences), MAX_WORDS - word_count(motion))
    return f"{seen} {motion}".strip()


def motion_text(facts: MotionFacts) -> str:
    """What was measured, in sentences that name nothing: 'The subject moves to the left. The camera pans.'"""
    draft = draft_caption(facts).replace(" in [setting]", "").replace("[setting]", "the same place")
    draft = re.sub(r"(^|[.!?]\s+)\[subject\]", r"\1The subject", draft).replace("[subject]", "the subject")
    said_nothing = {"The subject."}
    return " ".join(sentence for sentence in _sentences(draft) if sentence not in said_nothing)


def _sentences(text: str) -> list[str]:
    return [found.strip() for found in _SENTENCE.findall(text) if len(found.strip()) > 1]


def _whole(text: str) -> list[str]:
    """Sentences without a last one that is cut off, unless there is no other."""
    found = _sentences(text)
    if not found or found[-1][-1] in ".!?":
        return found
    return found[:-1] or [f"{found[-1]}."]


def _nearly_equal(sentence: str, other: str) -> bool:
    return SequenceMatcher(None, sentence.lower().split(), other.lower().split()).ratio() >= _SAME_SENTENCE


def _different(stills: Sequence[Still]) -> list[Still]:
    """Without pictures that look like the one before: each costs as much as the first."""
    kept = [stills[0]]
    for still in stills[1:]:
        if _distance(kept[-1].picture, still.picture) >= _SAME_PICTURE_LEVELS:
            kept.append(still)
    return kept


def _distance(first: Frame, second: Frame) -> float:
    return float(np.abs(_small(first) - _small(second)).mean())


def _small(picture: Frame) -> Any:  # noqa: ANN401 - float32 [32, 32, 3]
    import cv2

    return cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
