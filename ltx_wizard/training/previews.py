"""Sample videos while a LoRA is trained: the same prompts and seed every time, with the transformer that is
trained.

Worker-side. No second copy of the transformer is loaded. The VAE waits in main memory between samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import LTXVideoTransformer3DModel

from ltx_wizard.core.errors import BadMediaFile
from ltx_wizard.core.events import SampleReady, Warned
from ltx_wizard.core.measures import SampleMeasures
from ltx_wizard.core.project import Project, ProjectSettings, filled_prompt
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.report import Report, progress
from ltx_wizard.core.run import JobFolder
from ltx_wizard.dataset.dataset import read_clips
from ltx_wizard.dataset.encode import Encoders, Example
from ltx_wizard.models.ltx_video import Sampler, SampleRequest, TextEmbedding, load_scheduler, load_vae
from ltx_wizard.models.precision import release_memory
from ltx_wizard.sampling.frames import Frames
from ltx_wizard.sampling.sample import STAGE, read_first_frame, step_reporter, write_sample
from ltx_wizard.sampling.sample_meter import SampleMeter, keep_measures

FROM_FRAME = "(from a first frame)"
"""Ends the name of an image-to-video sample."""


@dataclass(frozen=True)
class _Sample:
    """One of the videos that are made every time. index: its row, the same over the run. words: the prompt
    without the trigger word.
    """

    index: int
    prompt: str
    words: str
    from_frame: bool

    @property
    def name(self) -> str:
        return f"{self.prompt} {FROM_FRAME}" if self.from_frame else self.prompt


class Previews:
    """Makes the samples of a run: each prompt from words alone, then, where the recipe says so, each from the
    first frame of a clip as well.
    """

    def __init__(
        self,
        project: Project,
        recipe: Recipe,
        encoders: Encoders,
        transformer: LTXVideoTransformer3DModel,
        texts: Mapping[str, TextEmbedding],
        examples: Sequence[Example],
    ) -> None:
        self._validation = recipe.validation
        self._encoders, self._transformer, self._texts = encoders, transformer, texts
        self._samples = _samples(recipe, project.read_settings())
        bucket = _common_bucket(examples)
        self._size = recipe.validation.size_for(bucket)
        self._first_frame: Frames | None = None
        self._started_from = ""
        if any(sample.from_frame for sample in self._samples):
            self._started_from = clip_to_start_from(examples, bucket)
            self._first_frame = self._read_frame(project, self._started_from)
        self._sampler: Sampler | None = None
        self._meter = SampleMeter(
            project,
            self._size[0],
            self._size[1],
            encoders.spec.fps,
            left_out=_not_trained(project, examples),
            mirrored=recipe.data.mirror != "off",
        )

    @staticmethod
    def prompts_of(recipe: Recipe, settings: ProjectSettings) -> list[str]:
        """The validation prompts as the model sees them."""
        return [filled_prompt(prompt, settings.trigger_word) for prompt in recipe.validation.prompts]

    def make(self, step: int, folder: JobFolder, made: set[int], report: Report) -> None:
        """All samples but those that are made already. Raises Cancelled or NoSpace."""
        missing = [sample for sample in self._samples if sample.index not in made]
        if not missing:
            return
        self._meter.get_ready(report)
        progress(report, STAGE, 0, len(missing))
        sampler = self._ready()
        self._transformer.eval()
        for place, sample in enumerate(missing):
            request = self._request(sample)
            frames = sampler.sample(request, step_reporter(report, place, len(missing), request.steps))
            path = _video(folder, step, sample)
            write_sample(path, frames, request.fps)
            measures = self._measured(sample, path, _video(folder, 0, sample) if step else None, report)
            report.emit(
                SampleReady(
                    step=step,
                    prompt_index=sample.index,
                    prompt=sample.name,
                    seed=request.seed,
                    file=path.relative_to(folder.folder).as_posix(),
                    measures=measures,
                )
            )
        self._rest()

    def _measured(
        self, sample: _Sample, video: Path, base: Path | None, report: Report
    ) -> SampleMeasures | None:
        """Kept beside the video as well. A video that cannot be read again is a warning."""
        started_from = self._started_from if sample.from_frame else ""
        try:
            measures = self._meter.measure(video, base, sample.words, report, started_from)
        except BadMediaFile as error:
            report.emit(Warned(message=f"A sample is not measured. {error.problem}"))
            return None
        keep_measures(video, measures)
        return measures

    def _request(self, sample: _Sample) -> SampleRequest:
        width, height, frames = self._size
        validation = self._validation
        return SampleRequest(
            text=self._texts[sample.prompt],
            negative=self._texts[validation.negative_prompt],
            width=width,
            height=height,
            frames=frames,
            fps=self._encoders.spec.fps,
            steps=validation.sampling_steps,
            guidance=validation.first_frame_guidance if sample.from_frame else validation.guidance,
            seed=validation.seed,
            first_frame=self._first_frame if sample.from_frame else None,
        )

    def _read_frame(self, project: Project, clip_id: str) -> Frames:
        """uint8 [height, width, 3]. Raises BadMediaFile."""
        files = {clip.id: clip.training_file for clip in read_clips(project)}
        width, height, _ = self._size
        return read_first_frame(project.path(files[clip_id]), width, height, self._encoders.spec.fps)

    def _ready(self) -> Sampler:
        encoders = self._encoders
        if self._sampler is None:
            vae = load_vae(encoders.spec, encoders.files, encoders.memory, encoders.device).vae
            self._sampler = Sampler(encoders.spec, self._transformer, vae, load_scheduler(encoders.files))
        self._sampler.pipeline.vae.to(encoders.device)
        return self._sampler

    def _rest(self) -> None:
        if self._sampler is not None and self._encoders.device.type == "cuda":
            self._sampler.pipeline.vae.to(torch.device("cpu"))
            release_memory()


def clip_to_start_from(examples: Sequence[Example], bucket: str) -> str:
    """The id of the clip whose first frame image-to-video samples start from: one that shows what is learnt,
    of the samples' own size and kept out of training where there is one.
    """
    ranked = sorted(
        examples, key=lambda item: (item.regularisation, item.bucket != bucket, not item.held_out)
    )
    return ranked[0].clip_id


def _samples(recipe: Recipe, settings: ProjectSettings) -> list[_Sample]:
    prompts = Previews.prompts_of(recipe, settings)
    words = [filled_prompt(prompt, "") for prompt in recipe.validation.prompts]
    from_words = [
        _Sample(index, prompt, plain, False)
        for index, (prompt, plain) in enumerate(zip(prompts, words, strict=True))
    ]
    if not recipe.validation.first_frame:
        return from_words
    from_a_frame = [
        replace(sample, index=len(prompts) + sample.index, from_frame=True) for sample in from_words
    ]
    return from_words + from_a_frame


def _video(folder: JobFolder, step: int, sample: _Sample) -> Path:
    return folder.samples_folder / f"step-{step:06d}-prompt-{sample.index}.mp4"


def _not_trained(project: Project, examples: Sequence[Example]) -> set[str]:
    """Clips that no likeness to them means memorising: kept out, or left out."""
    trained = {example.clip_id for example in examples if not example.held_out}
    return {clip.id for clip in read_clips(project)} - trained


def _common_bucket(examples: Sequence[Example]) -> str:
    return Counter(example.bucket for example in examples).most_common(1)[0][0]
