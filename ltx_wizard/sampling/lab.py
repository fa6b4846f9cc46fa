"""Making the Lab's videos: the model is loaded once, LoRAs are swapped on it. Worker-side.

lab.json is read again before each video, so a grid that grows meanwhile, or that somebody wants seen in
another order, needs no new job. What is on disk is never made again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import JsonValue

from ltx_wizard.core.documents import write_bytes_atomically, write_document
from ltx_wizard.core.events import Progress, Warned
from ltx_wizard.core.lab import CellRequest, Lab, LabCell, LabFolder, Strip, Wanted, in_order_of_use, missing
from ltx_wizard.core.measures import SampleMeasures
from ltx_wizard.core.project import Project, filled_prompt
from ltx_wizard.core.report import Cancelled, Report, progress
from ltx_wizard.core.run import JobFolder, TrainJob, list_job_folders
from ltx_wizard.dataset.dataset import read_clips
from ltx_wizard.dataset.held_out import held_out_clips
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.ltx_video import SampleRequest
from ltx_wizard.models.precision import release_memory
from ltx_wizard.models.recognise import linear_layers
from ltx_wizard.models.weights import find_files
from ltx_wizard.sampling.frames import Frames
from ltx_wizard.sampling.lora_swap import LoraSwap
from ltx_wizard.sampling.sample import LoadedModel, picture_file, read_first_frame, write_sample
from ltx_wizard.sampling.sample_meter import SampleMeter

STAGE = "Rendering the Lab"
_PAUSE_POLL_S = 0.3
_STRIP_LONGEST_PX = 256
_STRIP_MOST_PICTURES = 48
_STRIP_COLUMNS = 8
_STRIP_QUALITY = 88


def run_lab(project: Project, job_folder: JobFolder, report: Report) -> dict[str, JsonValue]:
    """Make what is missing, best first. Raises WizardError or Cancelled; what is made so far is kept."""
    folder = LabFolder(project)
    _warn_of_missing_files(project, folder.read(), report)
    made = 0
    while todo := _todo(project, folder):
        lab = folder.read()
        session = _Session(project, folder, job_folder, lab, todo, report)
        made += session.render(made)
        del session
        release_memory()  # words that were added meanwhile need the text encoder: the model makes room for it
    progress(report, STAGE, 1, 1)
    return {"made": made}


def _todo(project: Project, folder: LabFolder) -> list[Wanted]:
    """Without those whose LoRA file is gone: older checkpoints are deleted as new ones come."""
    places = in_order_of_use(folder.read(), project.read_settings().trigger_word)
    there = [item for item in places if item.lora is None or project.path(item.lora.file).is_file()]
    return missing(folder, there)


def _warn_of_missing_files(project: Project, lab: Lab, report: Report) -> None:
    for lora in lab.loras:
        if not project.path(lora.file).is_file():
            report.emit(Warned(message=f"The file of {lora.title} is gone: its videos cannot be made."))


class _Session:
    """One loaded model, with the words that were asked for when it was loaded."""

    def __init__(
        self,
        project: Project,
        folder: LabFolder,
        job_folder: JobFolder,
        lab: Lab,
        todo: Sequence[Wanted],
        report: Report,
    ) -> None:
        self._project, self._folder, self._job_folder, self._report = project, folder, job_folder, report
        spec = find_model(lab.model)
        self._loaded_with = (lab.model, lab.memory)
        texts = [text for item in todo for text in (item.request.prompt, item.request.negative_prompt)]
        self._texts = set(texts)
        self._model = LoadedModel(spec, texts, lab.memory, report)
        layers = linear_layers(find_files(spec).transformer)
        self._swap = LoraSwap(self._model.sampler.pipeline, layers, spec.title)
        self._first_frames: dict[str, Frames] = {}
        self._meters: dict[tuple[int, int, float], SampleMeter] = {}

    def render(self, made_before: int) -> int:
        """Make videos until there are none that this model and these words can make. Gives how many."""
        made = 0
        while todo := self._next():
            place, count = made_before + made, made_before + made + len(todo)
            self._make(todo[0], place, count)
            made += 1
        return made

    def _next(self) -> list[Wanted]:
        lab = self._folder.read()
        if (lab.model, lab.memory) != self._loaded_with:
            return []
        return [item for item in _todo(self._project, self._folder) if self._has_words(item.request)]

    def _has_words(self, request: CellRequest) -> bool:
        return {request.prompt, request.negative_prompt} <= self._texts

    def _make(self, item: Wanted, place: int, count: int) -> None:
        request = item.request
        self._meter(request).get_ready(self._report)
        began, paused = time.monotonic(), 0.0

        def after_step(done: int) -> None:
            nonlocal paused
            message = f"Video {place + 1} of {count}, step"
            progress(self._report, STAGE, place * request.steps + done, count * request.steps, message)
            paused += self._wait_while_paused()

        self._put_on(item)
        frames = self._model.sampler.sample(self._sample_request(request), after_step)
        write_sample(self._folder.video(request.key), frames, request.fps)
        base = base_key(request)
        cell = LabCell(
            request=request,
            base=base,
            strip=write_strip(frames, request.fps, self._folder.strip(request.key)),
            measures=self._measured(item, base),
            seconds=time.monotonic() - began - paused,
            created=time.time(),
            device=_device_name(self._model.device),
        )
        write_document(self._folder.cell_file(request.key), cell)

    def _put_on(self, item: Wanted) -> None:
        if item.lora is None:
            self._swap.none()
        else:
            self._swap.use(self._project.path(item.lora.file), item.strength, item.lora.scale)

    def _sample_request(self, request: CellRequest) -> SampleRequest:
        return SampleRequest(
            text=self._model.text(request.prompt),
            negative=self._model.text(request.negative_prompt),
            width=request.width,
            height=request.height,
            frames=request.frames,
            fps=request.fps,
            steps=request.steps,
            guidance=request.guidance,
            seed=request.seed,
            first_frame=self._first_frame(request) if request.first_frame else None,
        )

    def _first_frame(self, request: CellRequest) -> Frames:
        name = f"{request.first_frame} {request.width}x{request.height}"
        if name not in self._first_frames:
            file = picture_file(self._project, request.first_frame)
            self._first_frames[name] = read_first_frame(file, request.width, request.height, request.fps)
        return self._first_frames[name]

    def _measured(self, item: Wanted, base: str) -> SampleMeasures:
        """Both videos as they lie on disk: so a continued grid measures the same as one that ran through."""
        request = item.request
        of_base = self._folder.video(base) if base != request.key and self._folder.made(base) else None
        words = filled_prompt(item.prompt.text, "")
        video = self._folder.video(request.key)
        return self._meter(request).measure(video, of_base, words, self._report, request.first_frame)

    def _meter(self, request: CellRequest) -> SampleMeter:
        size = (request.width, request.height, request.fps)
        if size not in self._meters:
            left_out, mirrored = _training(self._project, self._folder.read())
            self._meters[size] = SampleMeter(self._project, *size, left_out, mirrored)
        return self._meters[size]

    def _wait_while_paused(self) -> float:
        """Seconds that somebody let the job wait. Raises Cancelled where it is asked to stop meanwhile."""
        began, told = time.monotonic(), False
        while self._job_folder.pause_file.exists():
            if not told:
                self._report.emit(Progress(stage="Paused", done=0, total=0))
                told = True
            if self._report.stop_requested():
                raise Cancelled
            time.sleep(_PAUSE_POLL_S)
        return time.monotonic() - began if told else 0.0


def base_key(request: CellRequest) -> str:
    """The video of the base model with the same words, seed and settings."""
    return request.model_copy(update={"lora": "", "scale": 1.0, "strength": 0.0}).key


def write_strip(frames: Frames, fps: float, path: Path) -> Strip:
    """Small pictures of a video side by side in one JPEG: a grid of many plays them in step, which no number
    of video players does. frames: [F, H, W, 3]. Raises NoSpace or NoPermission.
    """
    count, height, width = frames.shape[:3]
    shown = np.unique(np.linspace(0, count - 1, min(count, _STRIP_MOST_PICTURES)).round().astype(int))
    factor = min(1.0, _STRIP_LONGEST_PX / max(width, height))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    columns = min(_STRIP_COLUMNS, len(shown))
    sheet = Image.new("RGB", (columns * size[0], -(-len(shown) // columns) * size[1]))
    for place, index in enumerate(shown):
        picture = Image.fromarray(frames[index])
        small = picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)
        sheet.paste(small, (place % columns * size[0], place // columns * size[1]))
    buffer = BytesIO()
    sheet.save(buffer, "JPEG", quality=_STRIP_QUALITY)
    write_bytes_atomically(path, buffer.getvalue())
    return Strip(
        count=len(shown),
        columns=columns,
        width=size[0],
        height=size[1],
        fps=fps * len(shown) / count,
    )


def _training(project: Project, lab: Lab) -> tuple[set[str], bool]:
    """Clips that the grid's newest run, of those that are there, was not trained on; whether it saw clips
    mirrored.
    """
    wanted = {lora.run for lora in map(lab.lora, lab.grid.loras) if lora is not None and lora.run}
    runs = [run for run in list_job_folders(project.runs_folder) if run.name in wanted]
    if not runs:
        return set(), False
    settings = runs[-1].read_job().settings
    if not isinstance(settings, TrainJob):
        return set(), False
    recipe = settings.recipe
    left_out = settings.held_out
    if left_out is None:
        left_out = held_out_clips(read_clips(project), recipe.data.held_out_share)
    return set(left_out), recipe.data.mirror != "off"


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
