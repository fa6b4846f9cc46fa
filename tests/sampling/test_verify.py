"""Exported files as another program sees them: plain diffusers, in a process without this project."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ltx_wizard.app import exports
from ltx_wizard.core.errors import BadInput, JobFailed, NotFound
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import LoraSettings, MemorySettings, Recipe
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import ExportJob, Job, JobFolder, SampleJob, TrainJob
from ltx_wizard.interop.key_names import to_comfyui
from ltx_wizard.models.catalog import EMBEDDED
from ltx_wizard.models.lora import add_lora, lora_weights
from ltx_wizard.models.ltx_video import load_transformer
from ltx_wizard.models.weights import find_files
from ltx_wizard.sampling import sample
from ltx_wizard.sampling.sample import run_sample
from ltx_wizard.sampling.verify import run_export, verify

STRANGER = """
import sys, numpy as np, torch
from diffusers import LTXPipeline
model, lora, out = sys.argv[1:]
pipe = LTXPipeline.from_pretrained(model, torch_dtype=torch.float32)
pipe.set_progress_bar_config(disable=True)
def sample():
    video = pipe(prompt="A red circle moves up.", negative_prompt="", width=64, height=64, num_frames=9, frame_rate=8,
                 num_inference_steps=4, guidance_scale=2.0, generator=torch.Generator().manual_seed(7), output_type="np")
    return (video.frames[0] * 255).round().astype("uint8")
base = sample()
pipe.load_lora_weights(lora)
np.savez(out, base=base, lora=sample())
assert "ltx_wizard" not in sys.modules
"""  # noqa: E501 - a script


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def run(project: Project) -> JobFolder:
    """A run with one checkpoint: a LoRA with random updates, alpha twice the rank."""
    recipe = Recipe(model="embedded", lora=LoraSettings(rank=4, alpha=8))
    job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint=""), created=time.time())
    folder = JobFolder.create(project.runs_folder, "test", job)
    transformer = load_transformer(EMBEDDED, find_files(EMBEDDED), MemorySettings(), torch.device("cpu"))
    parameters = add_lora(transformer, recipe.lora, seed=1)
    generator = torch.Generator().manual_seed(2)
    for parameter in parameters:
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    checkpoint = folder.checkpoint_folder(10)
    checkpoint.mkdir(parents=True)
    save_file(lora_weights(transformer), checkpoint / "lora.safetensors")
    return folder


def _export(project: Project, run: JobFolder, **changes: object) -> tuple[Path, Path]:
    job = ExportJob.model_validate({"run": run.name, "step": 10, "name": "My LoRA", **changes})
    result = run_export(project, JobFolder(project.jobs_folder / "export"), job, SilentReport())
    assert len(list(result["verified"])) == 4  # pyright: ignore[reportArgumentType]
    return project.folder / str(result["lora"]), project.folder / str(result["lora_comfyui"])


def test_plain_diffusers_makes_the_same_video_from_the_file_as_the_app(
    project: Project, run: JobFolder, tmp_path: Path
) -> None:
    file, _ = _export(project, run)
    script, out = tmp_path / "stranger.py", tmp_path / "frames.npz"
    script.write_text(STRANGER, encoding="utf-8")
    subprocess.run(
        [sys.executable, "-I", str(script), EMBEDDED.source, str(file), str(out)], check=True, cwd=tmp_path
    )
    theirs = np.load(out)
    ours = _sampled_by_the_app(project, str(file))
    assert np.abs(theirs["base"].astype(int) - theirs["lora"]).mean() > 2.0, "the LoRA does nothing"
    # The app's sample went through H.264.
    assert (
        np.abs(theirs["lora"].astype(int) - ours).mean()
        < np.abs(theirs["base"].astype(int) - ours).mean() / 3
    )


def test_every_comfyui_key_names_a_layer_of_the_original_model(project: Project, run: JobFolder) -> None:
    file, comfyui = _export(project, run)
    weights = load_file(comfyui)
    model = load_transformer(EMBEDDED, find_files(EMBEDDED), MemorySettings(), torch.device("cpu"))
    stems = {f"diffusion_model.{name}" for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    for key in weights:
        stem, _, side = key.rpartition(".lora_")
        assert stem in stems
        assert side in ("A.weight", "B.weight")
    assert len(weights) == len(load_file(file)) == 6 * 8 * 2


def test_alpha_and_strength_are_folded_into_the_weights(project: Project, run: JobFolder) -> None:
    trained = load_file(run.checkpoint_folder(10) / "lora.safetensors")
    exported = load_file(_export(project, run, strength=0.5)[0])
    for key, value in trained.items():
        scale = 0.5 * 8 / 4 if key.endswith("lora_B.weight") else 1.0
        assert torch.allclose(exported[key].float(), value * scale, rtol=1e-2, atol=1e-6)


def test_the_header_says_what_the_file_is(project: Project, run: JobFolder) -> None:
    project.change_settings(trigger_word="zib style.")
    with safe_open(_export(project, run)[0], "pt") as file:
        header = file.metadata()
    assert header["base_model"] == "embedded"
    assert (header["rank"], header["alpha"], header["training_steps"]) == ("4", "8", "10")
    assert header["trigger_word"] == "zib style."
    assert json.loads(header["ss_tag_frequency"]) == {"dataset": {"zib style.": 0}}


def test_an_export_never_overwrites_an_earlier_one(project: Project, run: JobFolder) -> None:
    first, _ = _export(project, run)
    second, _ = _export(project, run)
    assert first != second
    assert first.is_file()


def test_a_file_for_another_model_is_refused(project: Project, run: JobFolder) -> None:
    file, comfyui = _export(project, run)
    weights = load_file(file)
    weights["transformer.transformer_blocks.99.attn1.to_q.lora_A.weight"] = torch.zeros(4, 192)
    save_file(weights, file)
    with pytest.raises(JobFailed, match="no layer for"):
        verify(file, comfyui, EMBEDDED)


def test_a_lora_without_any_change_is_refused(project: Project, run: JobFolder) -> None:
    path = run.checkpoint_folder(10) / "lora.safetensors"
    zeroed = {
        key: value * 0 if key.endswith("lora_B.weight") else value for key, value in load_file(path).items()
    }
    save_file(zeroed, path)
    with pytest.raises(JobFailed, match="zero"):
        _export(project, run)


def test_a_checkpoint_that_is_not_there_names_those_that_are(project: Project, run: JobFolder) -> None:
    with pytest.raises(NotFound) as caught:
        _export(project, run, step=20)
    assert "10" in caught.value.remedy


def test_a_model_without_its_weights_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="transformer is missing"):
        find_files(replace(EMBEDDED, source=str(tmp_path)))


def test_verifying_reads_no_weights_of_the_model(
    project: Project, run: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 13B model would fill the memory of most computers."""
    from ltx_wizard.models import loading

    def refuse(*_: object) -> None:
        raise AssertionError("the model's weights were read")

    monkeypatch.setattr(loading, "read_tensor", refuse)
    monkeypatch.setattr("ltx_wizard.models.ltx_video.load_frozen", refuse)
    _export(project, run)


@pytest.mark.parametrize(
    "memory", [MemorySettings(quantization="int8-quanto"), MemorySettings(offload="blocks")]
)
def test_samples_are_made_with_the_model_kept_as_in_training(
    project: Project, run: JobFolder, memory: MemorySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    made: list[np.ndarray] = []
    monkeypatch.setattr(sample, "write_sample", lambda path, frames, fps: made.append(frames.astype(int)))
    lora = str(_export(project, run)[0])
    for file, kept in ((lora, MemorySettings()), (lora, memory), ("", memory)):
        run_sample(
            project, JobFolder(project.jobs_folder / "sample"), _sample_job(file, kept), SilentReport()
        )
    full, same, without_lora = made
    different = np.abs(full - same).mean()
    assert different < 3
    assert (different > 0) == (memory.quantization != "none")
    assert np.abs(same - without_lora).mean() > 0


def _sample_job(lora_file: str, memory: MemorySettings) -> SampleJob:
    return SampleJob(
        model="embedded", lora_file=lora_file, prompts=("A red circle moves up.",), seed=7,
        width=64, height=64, frames=9, fps=8, sampling_steps=4, guidance=2.0, memory=memory,
    )  # fmt: skip


def _sampled_by_the_app(project: Project, lora_file: str) -> np.ndarray:
    import av

    folder = JobFolder(project.jobs_folder / "sample")
    job = _sample_job(lora_file, MemorySettings())
    result = run_sample(project, folder, job, SilentReport())
    (made,) = folder.samples_folder.iterdir()
    assert result["samples"] == [made.relative_to(folder.folder).as_posix()]
    with av.open(str(made)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def _stranger_form(run: JobFolder, path: Path, form: str) -> tuple[Path, float]:
    """The run's LoRA as another trainer writes it, with an alpha of twice the rank; and what alpha does."""
    trained = load_file(run.checkpoint_folder(10) / "lora.safetensors")
    if form == "diffusers":
        adapter = json.dumps({"transformer.lora_alpha": 8, "transformer.r": 4})
        save_file(trained, path, metadata={"lora_adapter_metadata": adapter, "trigger_word": "zib"})
        return path, 2.0
    weights: dict[str, torch.Tensor] = {}
    for key, value in trained.items():
        stem, _, half = key.removeprefix("transformer.").rpartition(".lora_")
        original = to_comfyui(f"transformer.{stem}").removeprefix("diffusion_model.")
        name = f"lora_unet_{original.replace('.', '_')}"
        weights[f"{name}.lora_{'down' if half == 'A.weight' else 'up'}.weight"] = value.half()
        weights[f"{name}.alpha"] = torch.tensor(8.0)
    about = {"modelspec.trigger_phrase": "zib", "modelspec.author": "Ada", "ss_network_alpha": "8"}
    save_file(weights, path, metadata=about)
    return path, 2.0


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_a_lora_made_elsewhere_is_written_in_both_forms_with_its_alpha_folded(
    project: Project, run: JobFolder, tmp_path: Path, form: str
) -> None:
    made, scale = _stranger_form(run, tmp_path / "neon.safetensors", form)
    file, comfyui = _export(project, run, name="neon", lora_file=str(made), model="embedded", strength=0.5)
    trained, exported, comfy = (
        load_file(run.checkpoint_folder(10) / "lora.safetensors"),
        load_file(file),
        load_file(comfyui),
    )
    assert exported.keys() == trained.keys() and len(comfy) == len(exported)
    for key, value in trained.items():
        factor = 0.5 * scale if key.endswith("lora_B.weight") else 1.0
        assert torch.allclose(exported[key].float(), value * factor, rtol=2e-2, atol=1e-5)
        assert torch.equal(comfy[to_comfyui(key)], exported[key])
    with safe_open(file, "pt") as opened:
        header = opened.metadata()
    assert "lora_adapter_metadata" not in header, "diffusers would apply alpha a second time"
    assert (header["trigger_word"], header["converted_from"], header["rank"]) == (
        "zib", "neon.safetensors", "4",
    )  # fmt: skip
    assert header["ss_network_alpha"] == "4" and "training_steps" not in header
    assert header.get("modelspec.author") == ("Ada" if form == "kohya" else None)
    record = exports.exports(project)[0]
    assert (record.made_from, record.file.stem) == ("neon.safetensors", "neon")
    assert len(record.verified) == 4


def test_what_was_verified_is_said_of_one_layer_as_of_many(project: Project, run: JobFolder) -> None:
    file, comfyui = _export(project, run)
    many = verify(file, comfyui, EMBEDDED)
    assert " layers are found in " in many[0] and many[3].endswith(" layers carry a change.")
    for path in (file, comfyui):
        weights = load_file(path)
        kept = [key for key in weights if "transformer_blocks.0.attn1.to_q." in key]
        save_file({key: weights[key] for key in kept}, path)
    one = verify(file, comfyui, EMBEDDED)
    assert "its one layer is found in" in one[0]
    assert one[3] == "1 of 1 layer carries a change."


def test_a_lora_of_another_size_is_not_written_and_says_why(project: Project, tmp_path: Path) -> None:
    name = "diffusion_model.transformer_blocks.0.attn1.to_q"
    other = {f"{name}.lora_A.weight": torch.ones(4, 2048), f"{name}.lora_B.weight": torch.ones(2048, 4)}
    save_file(other, tmp_path / "large.safetensors")
    job = ExportJob(name="x", lora_file=str(tmp_path / "large.safetensors"), model="embedded")
    with pytest.raises(BadInput, match="another size of model") as caught:
        run_export(project, JobFolder(project.jobs_folder / "export"), job, SilentReport())
    assert "the model that it was trained on" in caught.value.remedy
    assert not project.exports_folder.is_dir() or not list(project.exports_folder.iterdir())
