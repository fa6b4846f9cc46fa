"""The LoRA files that a project has exported, and how to use them in Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltx_wizard.app import datasets, jobs
from ltx_wizard.app.lab_loras import is_there
from ltx_wizard.core.documents import read_document
from ltx_wizard.core.errors import BadSetting, WizardError
from ltx_wizard.core.lab import LabFolder, LabLora
from ltx_wizard.core.places import whole_path
from ltx_wizard.core.project import Project, ProjectSettings, filled_prompt, trained_caption
from ltx_wizard.core.recipe import parse_bucket
from ltx_wizard.core.run import ExportJob, JobFolder
from ltx_wizard.interop.export_record import ExportRecord
from ltx_wizard.interop.lora_keys import LoraFile, recognise_lora
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.recognise import linear_layers
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import ON_THIS_COMPUTER, find_files

_CLASSES = {
    "transformer": "LTXVideoTransformer3DModel",
    "vae": "AutoencoderKLLTXVideo",
    "scheduler": "FlowMatchEulerDiscreteScheduler",
}
"""Parts that a pipeline takes from elsewhere than its own repository, and their classes in diffusers."""

_WITHOUT_DTYPE = ("scheduler",)
_HUB = "https://huggingface.co"
_LONGEST_PROMPT = 600
MOST_STRENGTH = 4.0


@dataclass(frozen=True)
class ExportedLora:
    """One export. size: of the diffusers file, in bytes. verified: what was checked, in words. made_from:
    name of a file made elsewhere; then run is empty.
    """

    file: Path
    comfyui_file: Path | None
    run: str
    step: int
    made_from: str
    size: int
    verified: tuple[str, ...]
    snippet: str


def exports(project: Project) -> list[ExportedLora]:
    """Newest first. An export whose file is gone, or whose record is damaged, is left out."""
    records = [record for path in _record_files(project) if (record := _read(path)) is not None]
    newest_first = sorted(records, key=lambda record: record.created, reverse=True)
    return [made for record in newest_first if (made := _exported(project, record)) is not None]


def made_elsewhere(project: Project) -> list[LabLora]:
    """The LoRA files that were brought into the Lab and are on disk."""
    folder = LabFolder(project)
    loras = folder.read().loras if folder.exists() else ()
    return [lora for lora in loras if not lora.run and is_there(project, lora)]


def fit_to_lab(project: Project, lora: LabLora) -> LoraFile:
    """A file of the Lab as it fits the Lab's model. Raises NotFound, or BadInput that says why not."""
    return _fitted(project.path(lora.file), find_model(LabFolder(project).read().model))


def start_of_lab(project: Project, lora: LabLora, name: str, strength: float = 1.0) -> JobFolder:
    """Write a file of the Lab in both forms. Raises as fit_to_lab does."""
    return start_of_file(
        project, project.path(lora.file), name, strength, find_model(LabFolder(project).read().model)
    )


def start_of_file(
    project: Project, file: Path, name: str, strength: float = 1.0, spec: ModelSpec | None = None
) -> JobFolder:
    """Write a LoRA made elsewhere in both forms. spec: the model that it must fit, else the project's.

    Raises NotFound, or BadInput that says why it is no LoRA for this model, or BadSetting; then no job is
    started.
    """
    refuse_strength(strength)
    spec = spec or datasets.model_spec(project)
    path = whole_path(file)
    _fitted(path, spec)
    return jobs.start(project, ExportJob(lora_file=str(path), model=spec.id, strength=strength, name=name))


def refuse_strength(strength: float) -> None:
    """Raises BadSetting for one that cannot be folded into a file."""
    if not 0 < strength <= MOST_STRENGTH:
        raise BadSetting(
            problem=f"A strength of {strength:g} cannot be folded into the files.",
            remedy=f"Choose one above 0, up to {MOST_STRENGTH:g}.",
        )


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


def _fitted(path: Path, spec: ModelSpec) -> LoraFile:
    return recognise_lora(path, linear_layers(find_files(spec).transformer), spec.title)


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
        made_from=record.made_from,
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
