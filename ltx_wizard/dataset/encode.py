"""Encoding a dataset: each caption through the text encoder, each clip through the VAE, once. Worker-side.

Text encoder and VAE are loaded only if something is missing in the cache, one after the other, and released
again, so that the transformer finds the card empty.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ltx_wizard.core.clip import Clip
from ltx_wizard.core.errors import NotReady, WizardError, explain_os_error
from ltx_wizard.core.events import Warned
from ltx_wizard.core.project import Project, ProjectSettings, trained_caption
from ltx_wizard.core.recipe import MemorySettings, bucket_text, parse_bucket
from ltx_wizard.core.report import Report, progress
from ltx_wizard.dataset.augment import Change, Copy, blurred, changed, mirrored_caption
from ltx_wizard.dataset.buckets import BucketPlan
from ltx_wizard.dataset.cache import EncodedCache, file_key
from ltx_wizard.media.video import Frame, read_clip
from ltx_wizard.models.ltx_video import TextEmbedding, load_text_encoder, load_vae
from ltx_wizard.models.precision import release_memory
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import ModelFiles, encoder_id

LOADING_TEXT, ENCODING_TEXT = "Loading the text encoder", "Encoding captions"
LOADING_VAE, ENCODING_CLIPS = "Loading the video encoder", "Encoding clips"


@dataclass(frozen=True)
class Example:
    """One training clip, encoded. latents: [C, F, H, W] normalised, fp32. bucket: as WxHxF.

    first_frame: [C, 1, H, W], what is shown where the first frame is given; None: the clip's own.
    is_copy: made of a clip by a change, and so no clip of the project.
    """

    clip_id: str
    bucket: str
    latents: Tensor
    text: TextEmbedding
    regularisation: bool
    held_out: bool
    first_frame: Tensor | None = None
    is_copy: bool = False


@dataclass(frozen=True)
class Encoders:
    """The model whose encoders are used, where and how."""

    spec: ModelSpec
    files: ModelFiles
    memory: MemorySettings
    device: torch.device


def encode_texts(
    project: Project, captions: Sequence[str], encoders: Encoders, report: Report
) -> dict[str, TextEmbedding]:
    """Every caption's embedding, from the cache or newly encoded. Raises Cancelled.

    An encoder in 8 bits, or one that does not see padding, gives other embeddings: they are kept apart.
    """
    kind = "text-masked" if encoders.spec.masks_padding else "text"
    kind += "-8bit" if encoders.memory.text_encoder_8bit else ""
    cache = EncodedCache(project, encoder_id(encoders.spec, encoders.files))
    wanted = list(dict.fromkeys(captions))
    found = {caption: value for caption in wanted if (value := cache.read(kind, caption)) is not None}
    missing = [caption for caption in wanted if caption not in found]
    if missing:
        progress(report, LOADING_TEXT, 0, 1)
        encoder = load_text_encoder(encoders.spec, encoders.files, encoders.memory, encoders.device)
        for index, caption in enumerate(missing):
            progress(report, ENCODING_TEXT, index, len(missing))
            found[caption] = encoder.encode(caption).embedding
            cache.write(kind, caption, found[caption])
        progress(report, ENCODING_TEXT, len(missing), len(missing))
        del encoder
        _release()
    return {caption: TextEmbedding(value) for caption, value in found.items()}


def encode_clips(
    project: Project,
    clips: Sequence[Clip],
    plan: BucketPlan,
    encoders: Encoders,
    report: Report,
    copies: Sequence[Copy] = (),
    first_frame_blur: float = 0.0,
) -> dict[str, Tensor]:
    """Latents by the id of clip or copy, from the cache or newly encoded, and blurred first frames by
    first_frame_id. A clip that cannot be read is a warning. Raises Cancelled.
    """
    cache = EncodedCache(project, encoder_id(encoders.spec, encoders.files))
    encoder = None
    encoded: dict[str, Tensor] = {}
    planned = [clip for clip in clips if clip.id in plan.assignment]
    for index, clip in enumerate(planned):
        progress(report, ENCODING_CLIPS, index, len(planned))
        size = parse_bucket(plan.assignment[clip.id])
        views = _views(clip, size[2], copies, first_frame_blur)
        try:
            key = _clip_key(project, clip, plan.assignment[clip.id], encoders.spec)
            latents = {name: cache.read("latents", key + view.key) for name, view in views.items()}
            missing = {name: views[name] for name, value in latents.items() if value is None}
            if missing:
                if encoder is None:
                    progress(report, LOADING_VAE, 0, 1)
                    encoder = load_vae(encoders.spec, encoders.files, encoders.memory, encoders.device)
                frames = read_clip(project.path(clip.training_file), *size, encoders.spec.fps)
                for name, view in missing.items():
                    value = encoder.encode(view.of(frames))
                    cache.write("latents", key + view.key, value)
                    latents[name] = value
            encoded.update({name: value for name, value in latents.items() if value is not None})
        except WizardError as error:
            if project.path(clip.training_file).is_file() and not encoded and encoder is None:
                raise
            report.emit(Warned(message=f"{clip.id} is left out. {error.problem} {error.remedy}"))
    progress(report, ENCODING_CLIPS, len(planned), len(planned))
    del encoder
    _release()
    return encoded


def first_frame_id(clip_id: str) -> str:
    """Under which encode_clips gives the blurred first frame of a clip or copy."""
    return f"{clip_id}~first-frame"


@dataclass(frozen=True)
class _View:
    """What is encoded of a clip: all of it or its first frame, changed or not."""

    change: Change | None = None
    blur: float = 0.0

    @property
    def key(self) -> str:
        """Nothing for the clip as it is."""
        changed_by = f" {self.change.key}" if self.change else ""
        return f"{changed_by} first frame blurred {self.blur:g}" if self.blur else changed_by

    def of(self, frames: Frame) -> Frame:
        shown = frames[:1] if self.blur else frames
        if self.change:
            shown = changed(shown, self.change)
        return np.stack([blurred(shown[0], self.blur)]) if self.blur else shown


def _views(clip: Clip, frames: int, copies: Sequence[Copy], blur: float) -> dict[str, _View]:
    """By id. An image has no first frame to give."""
    changes = {clip.id: None, **{copy.id: copy.change for copy in copies if copy.clip_id == clip.id}}
    views = {name: _View(change) for name, change in changes.items()}
    if blur and frames > 1:
        views.update({first_frame_id(name): _View(change, blur) for name, change in changes.items()})
    return views


def captions_of(
    clips: Sequence[Clip], settings: ProjectSettings, copies: Sequence[Copy] = ()
) -> dict[str, str]:
    """By the id of clip or copy, the caption as the model sees it: with the trigger word, but not for
    regularisation; left and right exchanged where the copy is mirrored.
    """
    mirrored = {copy.clip_id: copy.id for copy in copies if copy.change.mirrored}
    captions: dict[str, str] = {}
    placed = (settings.trigger_placement, settings.trigger_pattern)
    for clip in clips:
        trigger = "" if clip.regularisation else settings.trigger_word
        captions[clip.id] = trained_caption(clip.caption, trigger, *placed)
        if clip.id in mirrored:
            text = mirrored_caption(clip.caption, settings.trigger_word)
            captions[mirrored[clip.id]] = trained_caption(text, trigger, *placed)
    for copy in copies:
        captions.setdefault(copy.id, captions[copy.clip_id])
    return captions


def build_examples(
    clips: Sequence[Clip],
    captions: Mapping[str, str],
    texts: Mapping[str, TextEmbedding],
    latents: Mapping[str, Tensor],
    plan: BucketPlan,
    held_out: set[str],
    copies: Sequence[Copy] = (),
) -> list[Example]:
    """Everything encoded: the clips in their order, then the copies in theirs.

    Raises NotReady if nothing is left to train on.
    """
    by_id = {clip.id: clip for clip in clips}
    ids = [(clip.id, clip) for clip in clips]
    ids += [(copy.id, by_id[copy.clip_id]) for copy in copies if copy.clip_id in by_id]
    examples = [
        Example(
            clip_id=example_id,
            bucket=plan.assignment[clip.id],
            latents=latents[example_id],
            text=texts[captions[example_id]],
            regularisation=clip.regularisation,
            held_out=clip.id in held_out,
            first_frame=latents.get(first_frame_id(example_id)),
            is_copy=example_id != clip.id,
        )
        for example_id, clip in ids
        if example_id in latents
    ]
    if not any(not example.regularisation and not example.held_out for example in examples):
        raise NotReady(
            problem="No clip is left to train on.",
            remedy="Look at the findings in the step Check, or add clips.",
        )
    return examples


def _clip_key(project: Project, clip: Clip, bucket: str, spec: ModelSpec) -> str:
    path = project.path(clip.training_file)
    try:
        return f"{file_key(path)} {bucket_text(*parse_bucket(bucket))} {spec.fps:g}"
    except OSError as error:
        raise explain_os_error(error, path) from error


def _release() -> None:
    gc.collect()
    release_memory()
