"""Export: LoRA files for diffusers and ComfyUI, loaded back and compared with the model. Worker-side."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import LTXPipeline, LTXVideoTransformer3DModel
from pydantic import JsonValue
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ltx_wizard.core.documents import write_bytes_atomically, write_document
from ltx_wizard.core.errors import JobFailed, NotFound
from ltx_wizard.core.project import Project, safe_file_stem
from ltx_wizard.core.report import Report, progress
from ltx_wizard.core.run import ExportJob, JobFolder, TrainJob
from ltx_wizard.core.units import plural
from ltx_wizard.dataset.dataset import read_clips
from ltx_wizard.interop.export_record import ExportRecord
from ltx_wizard.interop.key_names import COMFYUI_PREFIX, DIFFUSERS_PREFIX, module_of, to_comfyui, to_diffusers
from ltx_wizard.interop.lora_file import LoraFacts, converted_header, header, trigger_in
from ltx_wizard.interop.lora_keys import recognise_lora
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.lora import folded
from ltx_wizard.models.ltx_video import load_scheduler, transformer_structure
from ltx_wizard.models.recognise import linear_layers
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import find_files
from ltx_wizard.sampling.lora_swap import lora_weights_of

STAGE = "Exporting"
EXPORT_DTYPE = torch.bfloat16
"""As the model itself is stored; half the size of fp32."""


def run_export(project: Project, folder: JobFolder, job: ExportJob, report: Report) -> dict[str, JsonValue]:
    """Write exports/<name>.safetensors and <name>-comfyui.safetensors and verify both. Raises WizardError."""
    progress(report, STAGE, 0, 3)
    source = _made_elsewhere(job) if job.lora_file else _checkpoint(project, job)
    spec, facts = source.spec, source.header
    exported = {name: value.to(EXPORT_DTYPE) for name, value in folded(source.weights, source.scale).items()}
    name = _free_name(project, safe_file_stem(job.name))
    file = project.exports_folder / f"{name}.safetensors"
    comfyui_file = project.exports_folder / f"{name}-comfyui.safetensors"
    write_bytes_atomically(file, save(exported, metadata=facts))
    write_bytes_atomically(
        comfyui_file, save({to_comfyui(key): value for key, value in exported.items()}, metadata=facts)
    )
    progress(report, STAGE, 1, 3, "Loading the model to verify")
    verified = verify(file, comfyui_file, spec)
    record = ExportRecord(
        name=name,
        file=project.relative(file),
        comfyui_file=project.relative(comfyui_file),
        run=job.run,
        step=job.step,
        made_from=source.made_from,
        strength=job.strength,
        model=spec.id,
        trigger_word=source.trigger_word,
        verified=tuple(verified),
        created=time.time(),
    )
    write_document(project.exports_folder / f"{name}.json", record)
    progress(report, STAGE, 3, 3)
    return {"lora": record.file, "lora_comfyui": record.comfyui_file, "verified": list(verified)}


@dataclass(frozen=True)
class _Source:
    """What is exported. weights: under diffusers' names, fp32. scale: folded into them. header: of the files.
    made_from: name of a file made elsewhere; empty: a checkpoint.
    """

    weights: Mapping[str, Tensor]
    scale: float
    spec: ModelSpec
    header: dict[str, str]
    trigger_word: str
    made_from: str = ""


def _checkpoint(project: Project, job: ExportJob) -> _Source:
    run = JobFolder.open(project.runs_folder / job.run)
    trained = run.read_job().settings
    if not isinstance(trained, TrainJob):
        raise NotFound(problem=f"{job.run} is not a training.", remedy="Choose a run of this project.")
    spec, lora = find_model(trained.recipe.model), trained.recipe.lora
    return _Source(
        weights=_read_checkpoint(run, job.step),
        scale=job.strength * lora.alpha / lora.rank,
        spec=spec,
        header=header(_facts(project, trained, job), spec),
        trigger_word=project.read_settings().trigger_word,
    )


def _made_elsewhere(job: ExportJob) -> _Source:
    """Raises NotFound, or BadInput that says why the file is no LoRA for the model."""
    spec = find_model(job.model)
    found = recognise_lora(Path(job.lora_file), linear_layers(find_files(spec).transformer), spec.title)
    trigger = trigger_in(found.metadata)
    facts = LoraFacts(
        title=job.name, rank=found.rank, alpha=found.rank, strength=job.strength, target_modules=(),
        trigger_word=trigger, step=0, clips=0, buckets=(), fps=spec.fps, made_from=found.path.name,
    )  # fmt: skip
    return _Source(
        weights={name: value.float() for name, value in lora_weights_of(found).items()},
        scale=job.strength * found.scale,
        spec=spec,
        header=converted_header(facts, spec, found.metadata),
        trigger_word=trigger,
        made_from=found.path.name,
    )


def verify(file: Path, comfyui_file: Path, spec: ModelSpec) -> list[str]:
    """What was checked, in words. Raises JobFailed naming the first thing that is wrong.

    The diffusers file goes through LTXPipeline.load_lora_weights into the model's layers, which have names
    and sizes here and no weights: 13B would fill the memory of most computers. Of the ComfyUI file
    every key must name a module of the original checkpoint, because ComfyUI leaves out what it does not
    know without a word.
    """
    transformer = transformer_structure(spec, find_files(spec))
    weights, comfyui = load_file(file), load_file(comfyui_file)
    modules = {name: module for name, module in transformer.named_modules() if isinstance(module, nn.Linear)}
    _check_names(weights, DIFFUSERS_PREFIX, modules, file)
    _check_names(
        {to_diffusers(key): comfyui[key] for key in comfyui}, DIFFUSERS_PREFIX, modules, comfyui_file
    )
    _check_equal(weights, comfyui, comfyui_file)
    lively = sum(bool(value.any()) for name, value in weights.items() if name.endswith("lora_B.weight"))
    if lively == 0:
        raise _failed(file, "all of its updates are zero, as before the first step")
    loaded = _loaded_modules(transformer, file, spec)
    expected = {module_of(name, DIFFUSERS_PREFIX) for name in weights}
    if loaded != expected:
        raise _failed(file, f"diffusers loads {len(loaded)} of its {len(expected)} layers")
    return [
        f"diffusers loads it: {_all_of(len(expected), 'layer')} found in {spec.title}.",
        f"ComfyUI form: all {len(comfyui)} keys start with '{COMFYUI_PREFIX}' and name a layer of the model.",
        "Both files hold the same weights.",
        f"{lively} of {plural(len(expected), 'layer')} {'carries' if lively == 1 else 'carry'} a change.",
    ]


def _all_of(count: int, noun: str) -> str:
    """1, 'layer' -> 'its one layer is'; 60, 'layer' -> 'all 60 layers are'."""
    return f"its one {noun} is" if count == 1 else f"all {plural(count, noun)} are"


def _read_checkpoint(run: JobFolder, step: int) -> dict[str, Tensor]:
    path = run.checkpoint_folder(step) / "lora.safetensors"
    if not path.is_file():
        raise NotFound(
            problem=f"{run.name} has no checkpoint of step {step}.",
            remedy="Choose one of: " + ", ".join(str(saved) for saved in run.saved_steps()) + ".",
        )
    return load_file(path)


def _facts(project: Project, trained: TrainJob, job: ExportJob) -> LoraFacts:
    settings, recipe = project.read_settings(), trained.recipe
    clips = [clip for clip in read_clips(project) if not clip.regularisation]
    return LoraFacts(
        title=job.name,
        rank=recipe.lora.rank,
        alpha=recipe.lora.alpha,
        strength=job.strength,
        target_modules=recipe.lora.target_modules,
        trigger_word=settings.trigger_word,
        step=job.step,
        clips=len(clips),
        buckets=recipe.data.buckets or tuple(sorted({clip.bucket for clip in clips if clip.bucket})),
        fps=find_model(recipe.model).fps,
    )


def _free_name(project: Project, stem: str) -> str:
    """Nothing that was exported before is overwritten."""
    name, number = stem, 2
    while (project.exports_folder / f"{name}.safetensors").exists():
        name = f"{stem}-{number}"
        number += 1
    return name


def _check_names(
    weights: Mapping[str, Tensor], prefix: str, modules: Mapping[str, nn.Linear], file: Path
) -> None:
    for key, value in weights.items():
        module = modules.get(module_of(key, prefix))
        if module is None:
            raise _failed(file, f"the model has no layer for {key}")
        fits = (
            value.shape[1] == module.in_features
            if key.endswith("lora_A.weight")
            else value.shape[0] == module.out_features
        )
        if not fits:
            raise _failed(file, f"{key} has another size than the model's layer")


def _check_equal(weights: Mapping[str, Tensor], comfyui: Mapping[str, Tensor], file: Path) -> None:
    for key, value in weights.items():
        other = comfyui.get(to_comfyui(key))
        if other is None or not torch.equal(value, other):
            raise _failed(file, f"{to_comfyui(key)} differs from the diffusers file")


def _loaded_modules(transformer: LTXVideoTransformer3DModel, file: Path, spec: ModelSpec) -> set[str]:
    """Names of the layers that carry a LoRA after the pipeline's own loader has read the file."""
    pipeline = LTXPipeline(
        transformer=transformer,
        vae=None,  # pyright: ignore[reportArgumentType] - the loader needs the transformer only
        text_encoder=None,  # pyright: ignore[reportArgumentType]
        tokenizer=None,  # pyright: ignore[reportArgumentType]
        scheduler=load_scheduler(find_files(spec)),
    )
    try:
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="verified")
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise _failed(file, f"diffusers cannot load it: {error}") from error
    return {
        name.removesuffix(".lora_A.verified")
        for name, _ in transformer.named_modules()
        if name.endswith(".lora_A.verified")
    }


def _failed(file: Path, why: str) -> JobFailed:
    return JobFailed(
        problem=f"{file.name} does not fit the model: {why}.",
        remedy="Export another one. The file is kept for a look, but do not use it.",
    )
