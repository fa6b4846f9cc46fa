"""The LoRA files that a project has exported, and how to use them in Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltx_wizard.app import datasets
from ltx_wizard.core.documents import read_document
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.project import Project, ProjectSettings, filled_prompt, trained_caption
from ltx_wizard.core.recipe import parse_bucket
from ltx_wizard.interop.export_record import ExportRecord
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import ON_THIS_COMPUTER

_CLASSES = {
    "transformer": "LTXVideoTransformer3DModel",
    "vae": "AutoencoderKLLTXVideo",
    "scheduler": "FlowMatchEulerDiscreteScheduler",
}
"""Parts that a pipeline takes from elsewhere than its own repository, and their classes in diffusers."""

_WITHOUT_DTYPE = ("scheduler",)
_HUB = "https://huggingface.co"
_LONGEST_PROMPT = 600


@dataclass(frozen=True)
class ExportedLora:
    """One export. size: of the diffusers file, in bytes. verified: what was checked, in words."""

    file: Path
    comfyui_file: Path | None
    run: str
    step: int
    size: int
    verified: tuple[str, ...]
    snippet: str


def exports(project: Project) -> list[ExportedLora]:
    """Newest first. An export whose file is gone, or whose record is damaged, is left out."""
    records = [record for path in _record_files(project) if (record := _read(path)) is not None]
    newest_first = sorted(records, key=lambda record: record.created, reverse=True)
    return [made for record in newest_first if (made := _exported(project, record)) is not None]


def python_snippet(spec: ModelSpec, lora: Path, prompt: str) -> str:
    """A script that loads the model and the LoRA with diffusers alone and writes one video."""
    pipeline = "LTXConditionPipeline" if spec.coordinates == "causal" else "LTXPipeline"
    parts = _parts(spec)
    width, height, frames = parse_bucket(spec.default_bucket)
    imported = ", ".join(sorted([pipeline, *(_CLASSES[role] for role, _, _ in parts)]))
    lines = [
        "import torch",
        f"from diffusers import {imported}",
        "from diffusers.utils import export_to_video",
        "",
        'device = "cuda" if torch.cuda.is_available() else "cpu"',
        'dtype = torch.bfloat16 if device == "cuda" else torch.float32',
        "",
        *[_load_part(*part) for part in parts],
        f"pipe = {pipeline}.from_pretrained(",
        f"    {spec.source!r},",
        *[f"    {role}={role}," for role, _, _ in parts],
        "    torch_dtype=dtype,",
        ").to(device)",
        f'pipe.load_lora_weights({str(lora.parent)!r}, weight_name={lora.name!r}, adapter_name="lora")',
        'pipe.set_adapters(["lora"], [1.0])  # strength',
        "",
        "video = pipe(",
        f"    prompt={prompt!r},",
        f"    negative_prompt={spec.sampling.negative_prompt!r},",
        f"    width={width}, height={height}, num_frames={frames}, frame_rate={spec.fps:g},",
        f"    num_inference_steps={spec.sampling.steps}, guidance_scale={spec.sampling.guidance:g},",
        "    generator=torch.Generator().manual_seed(42),",
        ").frames[0]",
        f'export_to_video(video, "video.mp4", fps={spec.fps:g})',
    ]
    return "\n".join(lines) + "\n"


def _record_files(project: Project) -> list[Path]:
    return sorted(project.exports_folder.glob("*.json")) if project.exports_folder.is_dir() else []


def _read(path: Path) -> ExportRecord | None:
    """One damaged record must not hide the others."""
    try:
        return read_document(path, ExportRecord)
    except WizardError:
        return None


def _exported(project: Project, record: ExportRecord) -> ExportedLora | None:
    try:
        file, comfyui_file = project.path(record.file), project.path(record.comfyui_file)
        size = file.stat().st_size
    except (OSError, WizardError):
        return None
    return ExportedLora(
        file=file,
        comfyui_file=comfyui_file if comfyui_file.is_file() else None,
        run=record.run,
        step=record.step,
        size=size,
        verified=record.verified,
        snippet=_snippet(project, record, file),
    )


def _snippet(project: Project, record: ExportRecord, file: Path) -> str:
    try:
        spec = find_model(record.model)
    except WizardError as error:
        return f"# {error.problem}\n# {error.remedy}\n"
    return python_snippet(spec, file, _example_prompt(project, record))


def _example_prompt(project: Project, record: ExportRecord) -> str:
    """A prompt of the project's own, with the trigger word that this LoRA was trained with."""
    settings = project.read_settings()
    if settings.validation_prompts:
        return filled_prompt(settings.validation_prompts[0], record.trigger_word)[:_LONGEST_PROMPT]
    captions = (clip.caption for clip in datasets.clips(project) if not clip.regularisation and clip.caption)
    return _with_trigger(next(captions, "Describe here what happens."), settings, record)[:_LONGEST_PROMPT]


def _with_trigger(caption: str, settings: ProjectSettings, record: ExportRecord) -> str:
    return trained_caption(caption, record.trigger_word, settings.trigger_placement, settings.trigger_pattern)


def _parts(spec: ModelSpec) -> list[tuple[str, str, str]]:
    """(role, repository, path) of every part that does not lie in the pipeline's own repository as usual."""
    found: list[tuple[str, str, str]] = []
    for entry in spec.files:
        role, _, address = entry.partition("=")
        repository, _, path = address.partition(":")
        if role in _CLASSES and (repository, path) != (spec.source, role):
            found.append((role, repository, path))
    return found


def _load_part(role: str, repository: str, path: str) -> str:
    dtype = "" if role in _WITHOUT_DTYPE else ", torch_dtype=dtype"
    if repository == ON_THIS_COMPUTER:
        load = "from_single_file" if path.endswith(".safetensors") else "from_pretrained"
        return f"{role} = {_CLASSES[role]}.{load}({path!r}{dtype})"
    if path.endswith(".safetensors"):
        address = f"{_HUB}/{repository}/blob/main/{path}"
        return f"{role} = {_CLASSES[role]}.from_single_file({address!r}{dtype})"
    return f"{role} = {_CLASSES[role]}.from_pretrained({repository!r}, subfolder={path!r}{dtype})"
