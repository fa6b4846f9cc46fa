"""Sample videos: one prompt, one seed, written as MP4. Worker-side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from diffusers import LTXVideoTransformer3DModel
from pydantic import JsonValue

from ltx_wizard.core.errors import BadInput
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import MemorySettings
from ltx_wizard.core.report import Report, progress
from ltx_wizard.core.run import JobFolder, SampleJob
from ltx_wizard.dataset.dataset import read_clips
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import read_clip
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.ltx_video import (
    Sampler,
    SampleRequest,
    TextEmbedding,
    load_scheduler,
    load_text_encoder,
    load_transformer,
    load_vae,
)
from ltx_wizard.models.precision import release_memory, training_device
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import find_files
from ltx_wizard.sampling.measures import Frames

STAGE = "Making samples"
ADAPTER = "sampled"


class LoadedModel:
    """A base model ready to sample, with the embeddings of the prompts that will be asked for."""

    def __init__(
        self, spec: ModelSpec, prompts: Sequence[str], memory: MemorySettings, report: Report
    ) -> None:
        """Loads text encoder, VAE and transformer in turn. Raises WizardError or Cancelled."""
        self.spec = spec
        self.device = training_device()
        files = find_files(spec)
        progress(report, "Loading the text encoder", 0, 3)
        encoder = load_text_encoder(spec, files, memory, self.device)
        self._texts = {prompt: encoder.encode(prompt) for prompt in dict.fromkeys(prompts)}
        del encoder
        release_memory()
        progress(report, "Loading the model", 1, 3)
        vae = load_vae(spec, files, memory, self.device).vae
        progress(report, "Loading the model", 2, 3)
        self.transformer: LTXVideoTransformer3DModel = load_transformer(spec, files, memory, self.device)
        self.sampler = Sampler(spec, self.transformer, vae, load_scheduler(files))

    def text(self, prompt: str) -> TextEmbedding:
        return self._texts[prompt]

    def load_lora(self, file: Path, strength: float = 1.0) -> None:
        """Through the pipeline's own loader, as any other program would. Raises BadInput."""
        try:
            self.sampler.pipeline.load_lora_weights(
                str(file.parent), weight_name=file.name, adapter_name=ADAPTER
            )
            self.sampler.pipeline.set_adapters([ADAPTER], [strength])
        except (ValueError, RuntimeError, KeyError, OSError) as error:
            raise BadInput(
                problem=f"{file.name} is not a LoRA for {self.spec.title}.",
                remedy="Choose a LoRA that was trained on this model.",
            ) from error

    def enable_lora(self, enabled: bool) -> None:
        """With or without the LoRA: the same model, the same noise."""
        if enabled:
            self.sampler.pipeline.enable_lora()
        else:
            self.sampler.pipeline.disable_lora()


def read_first_frame(path: Path, width: int, height: int, fps: float) -> Frames:
    """uint8 [height, width, 3]: the first frame of a video, or a picture, scaled and cropped as in training.
    Raises BadMediaFile.
    """
    return read_clip(path, width, height, 1, fps)[0]


def write_sample(path: Path, frames: Frames, fps: float) -> None:
    """MP4 that browsers play. frames: [F, H, W, 3]. Raises NoSpace or NoPermission."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(frames, path, fps)


def run_sample(project: Project, folder: JobFolder, job: SampleJob, report: Report) -> dict[str, JsonValue]:
    """Make the job's samples in its folder. Raises WizardError or Cancelled."""
    if not job.prompts:
        raise BadInput(problem="There is no prompt to sample.", remedy="Write one, such as a clip's caption.")
    spec = find_model(job.model)
    first_frame = None
    if job.first_frame:
        file = picture_file(project, job.first_frame)
        first_frame = read_first_frame(file, job.width, job.height, job.fps)
    model = LoadedModel(spec, [*job.prompts, job.negative_prompt], job.memory, report)
    if job.lora_file:
        model.load_lora(resolve_lora(project, job.lora_file), job.strength * job.scale)
    files: list[JsonValue] = []
    for index, prompt in enumerate(job.prompts):
        request = SampleRequest(
            text=model.text(prompt),
            negative=model.text(job.negative_prompt),
            width=job.width,
            height=job.height,
            frames=job.frames,
            fps=job.fps,
            steps=job.sampling_steps,
            guidance=job.guidance,
            seed=job.seed,
            first_frame=first_frame,
        )
        frames = model.sampler.sample(
            request, on_step=step_reporter(report, index, len(job.prompts), request.steps)
        )
        path = folder.samples_folder / f"prompt-{index}-seed-{job.seed}.mp4"
        write_sample(path, frames, job.fps)
        files.append(path.relative_to(folder.folder).as_posix())
    progress(report, STAGE, len(job.prompts), len(job.prompts))
    return {"samples": files}


def step_reporter(report: Report, index: int, count: int, steps: int) -> Callable[[int], None]:
    """Tells after every sampling step how far the samples are; raises Cancelled once asked to stop."""

    def after_step(done: int) -> None:
        message = f"Sample {index + 1} of {count}, step"
        progress(report, STAGE, index * steps + done, count * steps, message)

    return after_step


def picture_file(project: Project, given: str) -> Path:
    """The file of a clip by its id, or a file as its path says."""
    files = {clip.id: clip.training_file for clip in read_clips(project)}
    path = Path(files.get(given, given)).expanduser()
    return path if path.is_absolute() else project.path(str(path))


def resolve_lora(project: Project, file: str) -> Path:
    """A LoRA file: absolute, or relative to the project."""
    path = Path(file).expanduser()
    return path if path.is_absolute() else project.path(file)
