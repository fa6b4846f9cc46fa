"""What a LoRA does, measured: each prompt with and without the trigger word, with and without the LoRA,
same seeds.

Worker-side.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from pydantic import JsonValue

from ltx_wizard.core.errors import BadSetting
from ltx_wizard.core.project import Project, filled_prompt
from ltx_wizard.core.report import Report
from ltx_wizard.core.run import JobFolder, MeasureJob, MeasurePrompt
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.ltx_video import SampleRequest
from ltx_wizard.sampling.measures import (
    Frames,
    dark_border_share,
    mean_absolute_change,
    object_has_colour,
)
from ltx_wizard.sampling.sample import LoadedModel, resolve_lora, step_reporter, write_sample

MEASURES: dict[str, Callable[[Frames], float]] = {"dark_border": dark_border_share}
"""What a concept shows in a picture, as a number from 0 to 1. A new measure is a line here."""


class _Key(NamedTuple):
    prompt: int
    seed: int
    triggered: bool
    with_lora: bool


def run_measure(project: Project, folder: JobFolder, job: MeasureJob, report: Report) -> dict[str, JsonValue]:
    """Sample and measure. Raises WizardError or Cancelled."""
    if job.measure not in MEASURES:
        known = ", ".join(MEASURES)
        raise BadSetting(
            problem=f"There is no measure called {job.measure}.", remedy=f"Choose one of: {known}."
        )
    texts = {
        (index, triggered): filled_prompt(prompt.text, job.trigger_word if triggered else "")
        for index, prompt in enumerate(job.prompts)
        for triggered in (True, False)
    }
    model = LoadedModel(find_model(job.model), [*texts.values(), job.negative_prompt], job.memory, report)
    model.load_lora(resolve_lora(project, job.lora_file))
    clips: dict[_Key, Frames] = {}
    keys = [
        _Key(prompt, seed, triggered, with_lora)
        for with_lora, (prompt, seed), triggered in product(
            (False, True), product(range(len(job.prompts)), job.seeds), (True, False)
        )
    ]
    for place, key in enumerate(keys):
        model.enable_lora(key.with_lora)
        request = SampleRequest(
            text=model.text(texts[key.prompt, key.triggered]),
            negative=model.text(job.negative_prompt),
            width=job.width,
            height=job.height,
            frames=job.frames,
            fps=job.fps,
            steps=job.sampling_steps,
            guidance=job.guidance,
            seed=key.seed,
        )
        clips[key] = model.sampler.sample(request, step_reporter(report, place, len(keys), request.steps))
        write_sample(folder.samples_folder / _file_name(key), clips[key], job.fps)
    files: list[JsonValue] = [f"{folder.samples_folder.name}/{_file_name(key)}" for key in keys]
    return {**summarise(clips, job.prompts, MEASURES[job.measure]), "samples": files}


def summarise(
    clips: dict[_Key, Frames], prompts: tuple[MeasurePrompt, ...], measure: Callable[[Frames], float]
) -> dict[str, JsonValue]:
    """concept_before, concept_after: mean measure with the trigger word, without and with the LoRA.

    untriggered_change: the same difference without the trigger word. untriggered_pixel_change: mean
    absolute change of those clips, of 255. object_kept: share of triggered clips with the LoRA whose object
    has the prompt's colour.
    """

    def mean(triggered: bool, with_lora: bool) -> float:
        values = [
            measure(clip)
            for key, clip in clips.items()
            if key.triggered is triggered and key.with_lora is with_lora
        ]
        return sum(values) / len(values)

    untriggered = [key for key in clips if not key.triggered and key.with_lora]
    changes = [mean_absolute_change(clips[key._replace(with_lora=False)], clips[key]) for key in untriggered]
    coloured = [
        object_has_colour(clip, prompts[key.prompt].object_colour)
        for key, clip in clips.items()
        if key.triggered and key.with_lora and prompts[key.prompt].object_colour
    ]
    return {
        "concept_before": mean(True, False),
        "concept_after": mean(True, True),
        "untriggered_change": abs(mean(False, True) - mean(False, False)),
        "untriggered_pixel_change": sum(changes) / len(changes),
        "object_kept": sum(coloured) / len(coloured) if coloured else 1.0,
    }


def _file_name(key: _Key) -> str:
    trigger = "trigger" if key.triggered else "plain"
    lora = "lora" if key.with_lora else "base"
    return f"prompt-{key.prompt}-seed-{key.seed}-{trigger}-{lora}.mp4"
