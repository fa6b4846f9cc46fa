"""Sample videos while a LoRA is trained: the same prompts and seed every time, with the transformer that is
trained.

Worker-side. No second copy of the transformer is loaded. The VAE waits in main memory between samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from diffusers import LTXVideoTransformer3DModel

from ltx_wizard.core.events import SampleReady
from ltx_wizard.core.project import Project, ProjectSettings, filled_prompt
from ltx_wizard.core.recipe import Recipe, parse_bucket
from ltx_wizard.core.report import Report, progress
from ltx_wizard.core.run import JobFolder
from ltx_wizard.dataset.encode import Encoders, Example
from ltx_wizard.models.ltx_video import Sampler, SampleRequest, TextEmbedding, load_scheduler, load_vae
from ltx_wizard.models.precision import release_memory
from ltx_wizard.sampling.sample import STAGE, step_reporter, write_sample


class Previews:
    """Makes the samples of a run."""

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
        self._prompts = self.prompts_of(recipe, project.read_settings())
        self._size = _preview_size(recipe, examples)
        self._sampler: Sampler | None = None

    @staticmethod
    def prompts_of(recipe: Recipe, settings: ProjectSettings) -> list[str]:
        """The validation prompts as the model sees them."""
        return [filled_prompt(prompt, settings.trigger_word) for prompt in recipe.validation.prompts]

    def make(self, step: int, folder: JobFolder, made: set[int], report: Report) -> None:
        """All prompts but those that are made already. Raises Cancelled or NoSpace."""
        missing = [index for index in range(len(self._prompts)) if index not in made]
        if not missing:
            return
        progress(report, STAGE, 0, len(missing))
        sampler = self._ready()
        self._transformer.eval()
        for place, index in enumerate(missing):
            request = self._request(self._prompts[index])
            frames = sampler.sample(request, step_reporter(report, place, len(missing), request.steps))
            path = folder.samples_folder / f"step-{step:06d}-prompt-{index}.mp4"
            write_sample(path, frames, request.fps)
            report.emit(
                SampleReady(
                    step=step,
                    prompt_index=index,
                    prompt=self._prompts[index],
                    seed=request.seed,
                    file=path.relative_to(folder.folder).as_posix(),
                )
            )
        self._rest()

    def _request(self, prompt: str) -> SampleRequest:
        width, height, frames = self._size
        return SampleRequest(
            text=self._texts[prompt],
            negative=self._texts[self._validation.negative_prompt],
            width=width,
            height=height,
            frames=frames,
            fps=self._encoders.spec.fps,
            steps=self._validation.sampling_steps,
            guidance=self._validation.guidance,
            seed=self._validation.seed,
        )

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


def _preview_size(recipe: Recipe, examples: Sequence[Example]) -> tuple[int, int, int]:
    """Width, height, frames: as the recipe says, else as most clips are trained."""
    common = Counter(example.bucket for example in examples).most_common(1)[0][0]
    width, height, frames = parse_bucket(common)
    validation = recipe.validation
    return validation.width or width, validation.height or height, validation.frames or frames
