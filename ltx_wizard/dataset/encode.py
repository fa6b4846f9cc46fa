"""Encoding a dataset: each caption through the text encoder, each clip through the VAE, once. Worker-side.

Text encoder and VAE are loaded only if something is missing in the cache, one after the other, and released
again, so that the transformer finds the card empty.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltx_wizard.core.clip import Clip
from ltx_wizard.core.errors import NotReady, WizardError, explain_os_error
from ltx_wizard.core.events import Warned
from ltx_wizard.core.project import Project, ProjectSettings, trained_caption
from ltx_wizard.core.recipe import MemorySettings, bucket_text, parse_bucket
from ltx_wizard.core.report import Report, progress
from ltx_wizard.dataset.buckets import BucketPlan
from ltx_wizard.dataset.cache import EncodedCache, file_key
from ltx_wizard.media.video import read_clip
from ltx_wizard.models.ltx_video import TextEmbedding, load_text_encoder, load_vae
from ltx_wizard.models.precision import release_memory
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import ModelFiles, encoder_id

LOADING_TEXT, ENCODING_TEXT = "Loading the text encoder", "Encoding captions"
LOADING_VAE, ENCODING_CLIPS = "Loading the video encoder", "Encoding clips"


@dataclass(frozen=True)
class Example:
    """One training clip, encoded. latents: [C, F, H, W] normalised, fp32. bucket: as WxHxF."""

    clip_id: str
    bucket: str
    latents: Tensor
    text: TextEmbedding
    regularisation: bool
    held_out: bool


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
    """Every caption's embedding, from the cache or newly encoded. Raises Cancelled."""
    cache = EncodedCache(project, encoder_id(encoders.spec, encoders.files))
    wanted = list(dict.fromkeys(captions))
    found = {caption: value for caption in wanted if (value := cache.read("text", caption)) is not None}
    missing = [caption for caption in wanted if caption not in found]
    if missing:
        progress(report, LOADING_TEXT, 0, 1)
        encoder = load_text_encoder(encoders.spec, encoders.files, encoders.memory, encoders.device)
        for index, caption in enumerate(missing):
            progress(report, ENCODING_TEXT, index, len(missing))
            found[caption] = encoder.encode(caption).embedding
            cache.write("text", caption, found[caption])
        progress(report, ENCODING_TEXT, len(missing), len(missing))
        del encoder
        _release()
    return {caption: TextEmbedding(value) for caption, value in found.items()}


def encode_clips(
    project: Project, clips: Sequence[Clip], plan: BucketPlan, encoders: Encoders, report: Report
) -> dict[str, Tensor]:
    """Latents by clip id, from the cache or newly encoded. A clip that cannot be read is a warning.
    Raises Cancelled.
    """
    cache = EncodedCache(project, encoder_id(encoders.spec, encoders.files))
    encoder = None
    encoded: dict[str, Tensor] = {}
    planned = [clip for clip in clips if clip.id in plan.assignment]
    for index, clip in enumerate(planned):
        progress(report, ENCODING_CLIPS, index, len(planned))
        try:
            key = _clip_key(project, clip, plan.assignment[clip.id], encoders.spec)
            latents = cache.read("latents", key)
            if latents is None:
                if encoder is None:
                    progress(report, LOADING_VAE, 0, 1)
                    encoder = load_vae(encoders.spec, encoders.files, encoders.memory, encoders.device)
                size = parse_bucket(plan.assignment[clip.id])
                frames = read_clip(project.path(clip.training_file), *size, encoders.spec.fps)
                latents = encoder.encode(frames)
                cache.write("latents", key, latents)
            encoded[clip.id] = latents
        except WizardError as error:
            if project.path(clip.training_file).is_file() and not encoded and encoder is None:
                raise
            report.emit(Warned(message=f"{clip.id} is left out. {error.problem} {error.remedy}"))
    progress(report, ENCODING_CLIPS, len(planned), len(planned))
    del encoder
    _release()
    return encoded


def captions_of(clips: Sequence[Clip], settings: ProjectSettings) -> dict[str, str]:
    """By clip id, the caption as the model sees it: with the trigger word, but not for regularisation."""
    return {
        clip.id: trained_caption(
            clip.caption, "" if clip.regularisation else settings.trigger_word, settings.trigger_placement
        )
        for clip in clips
    }


def build_examples(
    clips: Sequence[Clip],
    captions: Mapping[str, str],
    texts: Mapping[str, TextEmbedding],
    latents: Mapping[str, Tensor],
    plan: BucketPlan,
    held_out: set[str],
) -> list[Example]:
    """Everything encoded, in the order of the clips. Raises NotReady if nothing is left to train on."""
    examples = [
        Example(
            clip_id=clip.id,
            bucket=plan.assignment[clip.id],
            latents=latents[clip.id],
            text=texts[captions[clip.id]],
            regularisation=clip.regularisation,
            held_out=clip.id in held_out or clip.held_out,
        )
        for clip in clips
        if clip.id in latents
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
