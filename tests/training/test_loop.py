"""Training the practice model for real, a few steps: what is written, and that stopping changes no result."""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import LTXVideoTransformer3DModel
from short_runs import new_run, same_weights, short_recipe, stop_after

from ltx_wizard.core.events import SampleReady, StepDone, Validated, read_events
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import MemorySettings
from ltx_wizard.core.run import JobFolder, JobState, TrainJob
from ltx_wizard.dataset.dataset import fingerprint
from ltx_wizard.training import loop
from ltx_wizard.training.checkpoint import read_lora, read_state
from ltx_wizard.training.ladder import STAGE_WORDS, Stage
from ltx_wizard.training.objective import Objective
from ltx_wizard.worker import main


def test_a_run_leaves_losses_samples_and_checkpoints_and_the_loss_falls(dataset: Project) -> None:
    recipe = short_recipe(
        24,
        **{
            "checkpoints.every": 8,
            "checkpoints.keep": 2,
            "validation.every": 12,
            "validation.prompts": ("{trigger} A red square.",),
            "validation.sampling_steps": 2,
            "data.caption_dropout": 0.0,
            "data.held_out_share": 0.4,
        },
    )
    folder = new_run(dataset, recipe)
    assert main([str(folder.folder)]) == 0
    status = folder.status()
    assert status.state is JobState.FINISHED
    assert [item.step for item in status.losses] == list(range(1, 25))
    assert [item.step for item in status.validations] == [0, 4, 8, 12, 16, 20, 24]
    assert status.validations[-1].loss < status.validations[0].loss
    assert [(item.step, item.prompt) for item in status.samples] == [
        (step, "zib style. A red square.") for step in (0, 12, 24)
    ]
    assert all((folder.folder / item.file).stat().st_size > 500 for item in status.samples)
    assert folder.saved_steps() == [16, 24]
    assert status.result["lora"] == "checkpoints/step-000024/lora.safetensors"


def test_a_run_samples_also_from_a_first_frame_where_the_recipe_says_so(dataset: Project) -> None:
    validation = {"prompts": ("A red square.",), "sampling_steps": 2, "first_frame": True}
    folder = new_run(
        dataset, short_recipe(1, **{f"validation.{name}": value for name, value in validation.items()})
    )
    assert main([str(folder.folder)]) == 0
    samples = folder.status().samples
    assert [(item.step, item.prompt_index, item.prompt) for item in samples] == [
        (step, index, prompt)
        for step in (0, 1)
        for index, prompt in enumerate(("A red square.", "A red square. (from a first frame)"))
    ]
    assert all((folder.folder / item.file).stat().st_size > 500 for item in samples)


def test_lora_weights_stay_fp32_and_b_leaves_zero(dataset: Project) -> None:
    folder = new_run(dataset, short_recipe(2))
    main([str(folder.folder)])
    weights = read_lora(folder, 2)
    assert all(value.dtype is torch.float32 for value in weights.values())
    assert all(value.any() for name, value in weights.items() if name.endswith("lora_B.weight"))


def test_the_same_seed_gives_the_same_lora_and_another_seed_another(dataset: Project) -> None:
    folders = [new_run(dataset, short_recipe(3, seed=seed)) for seed in (1, 1, 2)]
    for folder in folders:
        main([str(folder.folder)])
    first, again, other = (read_lora(folder, 3) for folder in folders)
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_a_loss_that_is_scaled_for_the_number_format_trains_the_same_weights(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = short_recipe(2, **{"optimizer.max_grad_norm": 0.05})
    plain, scaled = new_run(dataset, recipe), new_run(dataset, recipe)
    assert main([str(plain.folder)]) == 0
    monkeypatch.setattr(loop, "loss_scale", lambda *_: 2.0**14)
    assert main([str(scaled.folder)]) == 0
    assert same_weights(read_lora(plain, 2), read_lora(scaled, 2))


def test_a_stopped_run_saves_its_step_and_resumes_to_the_same_weights(dataset: Project) -> None:
    straight, stopped = new_run(dataset, short_recipe(9)), new_run(dataset, short_recipe(9))
    main([str(straight.folder)])
    stop_after(stopped, 5)
    assert stopped.status().state is JobState.STOPPED
    assert stopped.saved_steps()[-1] == stopped.status().step >= 5
    stopped.stop_file.unlink()
    assert main([str(stopped.folder)]) == 0
    assert same_weights(read_lora(straight, 9), read_lora(stopped, 9))
    assert [item.step for item in stopped.status().losses] == list(range(1, 10))
    straight_losses = [item.loss for item in straight.status().losses]
    assert [item.loss for item in stopped.status().losses] == straight_losses
    assert [item.loss for item in stopped.status().validations] == [
        item.loss for item in straight.status().validations
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("quantization", "offload"), [("fp8-quanto", "blocks"), ("nf4-bnb", "none")])
def test_a_run_on_a_quantised_model_resumes_to_the_same_weights(
    dataset: Project, quantization: str, offload: str
) -> None:
    """The first start quantises, every later one reads what was saved."""
    stored = {"memory.quantization": quantization, "memory.offload": offload}
    whole, broken = (new_run(dataset, short_recipe(2, **stored)) for _ in range(2))
    stop_after(broken, 1)
    assert main([str(whole.folder)]) == 0
    broken.stop_file.unlink()
    assert main([str(broken.folder)]) == 0
    assert same_weights(read_lora(broken, 2), read_lora(whole, 2))


KILL = """
import os, random, signal, threading
from ltx_wizard.core.events import EventWriter, StepDone

write = EventWriter.write

def write_and_die(self, event):
    write(self, event)
    if isinstance(event, StepDone) and event.step == {step}:
        threading.Timer(random.random() * 0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()

EventWriter.write = write_and_die
"""
"""The worker's own clock ends it: a test that is kept waiting itself would come too late."""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on Windows")
def test_a_killed_run_resumes_to_bit_identical_weights(dataset: Project, tmp_path: Path) -> None:
    """The worker as a process of its own, killed at a random moment of its training."""
    straight, killed = new_run(dataset, short_recipe(16)), new_run(dataset, short_recipe(16))
    assert main([str(straight.folder)]) == 0
    wanted = random.randint(1, 12)
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "sitecustomize.py").write_text(KILL.format(step=wanted), encoding="utf-8")
    assert _worker(killed, tmp_path / "library").wait(timeout=600) == -signal.SIGKILL, _log(killed)
    assert killed.status().state is JobState.RUNNING, "it had time to end"
    assert main([str(killed.folder)]) == 0
    assert killed.status().state is JobState.FINISHED
    assert same_weights(read_lora(straight, 16), read_lora(killed, 16)), f"killed after step {wanted}"


def test_a_damaged_newest_checkpoint_is_passed_over(dataset: Project) -> None:
    straight, damaged = new_run(dataset, short_recipe(6)), new_run(dataset, short_recipe(6))
    main([str(straight.folder)])
    stop_after(damaged, 4)
    newest = damaged.saved_steps()[-1]
    lora = damaged.checkpoint_folder(newest) / "lora.safetensors"
    lora.write_bytes(lora.read_bytes()[:200])
    damaged.stop_file.unlink()
    assert main([str(damaged.folder)]) == 0
    assert any("damaged" in warning for warning in damaged.status().warnings)
    assert same_weights(read_lora(straight, 6), read_lora(damaged, 6))


def test_a_loss_that_is_no_number_ends_the_run_with_a_remedy(dataset: Project) -> None:
    from safetensors.torch import load_file, save_file

    for path in dataset.cache_folder.rglob("latents/*.safetensors"):
        save_file({"value": load_file(path)["value"] * torch.nan}, path)
    folder = new_run(dataset, short_recipe(3))
    assert main([str(folder.folder)]) == 1
    status = folder.status()
    assert "not a number" in status.problem
    assert "learning rate" in status.remedy
    assert [item.step for item in status.returns] == [0], "it tried once more, from the start"
    assert folder.saved_steps() == []


def test_latents_and_text_are_encoded_once(not_encoded: Project) -> None:
    main([str(new_run(not_encoded, short_recipe(1)).folder)])
    cached = {path: path.stat().st_mtime_ns for path in not_encoded.cache_folder.rglob("*.safetensors")}
    assert len([path for path in cached if path.parent.name == "latents"]) == 4
    main([str(new_run(not_encoded, short_recipe(1)).folder)])
    assert cached == {
        path: path.stat().st_mtime_ns for path in not_encoded.cache_folder.rglob("*.safetensors")
    }


def test_a_full_disk_while_saving_keeps_older_checkpoints(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    from ltx_wizard.training import checkpoint

    real = checkpoint.save_file
    calls: list[Path] = []

    def save_until_full(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        calls.append(path)
        if len(calls) > 2:
            path.write_bytes(b"half")
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        real(tensors, path, metadata=metadata)

    monkeypatch.setattr(checkpoint, "save_file", save_until_full)
    folder = new_run(dataset, short_recipe(6))
    assert main([str(folder.folder)]) == 1
    assert "disk is full" in folder.status().problem
    assert folder.saved_steps() == [2]
    assert read_state(folder, 2).step == 2
    assert [path.name for path in folder.checkpoints_folder.iterdir()] == ["step-000002"]


def test_a_full_card_costs_a_setting_and_no_step(dataset: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card fills in the fourth step: its gradients are lost, the three steps before are not."""
    roomy = short_recipe(6, **{"memory.gradient_checkpointing": False, "checkpoints.every": 5})
    from_the_start = short_recipe(6, **{"memory.gradient_checkpointing": True, "checkpoints.every": 5})
    straight, full = new_run(dataset, from_the_start), new_run(dataset, roomy)
    assert main([str(straight.folder)]) == 0
    transformers = _transformers(monkeypatch)
    _full_in_step(monkeypatch, 4)
    assert main([str(full.folder)]) == 0
    status = full.status()
    assert [(item.setting, item.value) for item in status.changes] == [
        ("memory.gradient_checkpointing", "on")
    ]
    assert "while training" in status.changes[0].reason
    told = [event.step for event in read_events(full.events_file) if isinstance(event, StepDone)]
    assert told == [1, 2, 3, 4, 5, 6], "no step is trained twice"
    assert [item.step for item in status.checkpoints] == [3, 5, 6]
    assert [item.step for item in status.validations] == [0, 4, 5, 6]
    assert transformers.checkpointing == [False, True]
    assert transformers.alive_at_load == [0, 0], "the first model must be gone before the second comes"
    assert same_weights(read_lora(straight, 6), read_lora(full, 6))


def test_an_update_that_broke_off_is_not_saved(dataset: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the weights are of the next step then: the newest checkpoint counts."""
    straight, full = new_run(dataset, short_recipe(5)), new_run(dataset, short_recipe(5))
    assert main([str(straight.folder)]) == 0
    real, calls = torch.optim.AdamW.step, list[int]()

    def step(self: torch.optim.AdamW, closure: Any = None) -> Any:
        calls.append(1)
        if len(calls) == 4:
            with torch.no_grad():
                self.param_groups[0]["params"][0].add_(1.0)
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return real(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    # An fp8 base would train another LoRA; which form the base has is no matter here.
    monkeypatch.setattr("ltx_wizard.training.loop.load_transformer", _unquantised_loader())
    assert main([str(full.folder)]) == 0
    told = [event.step for event in read_events(full.events_file) if isinstance(event, StepDone)]
    assert told == [1, 2, 3, 3, 4, 5], "step 2 is the newest checkpoint"
    assert [item.step for item in full.status().losses] == [1, 2, 3, 4, 5]
    assert [item.step for item in full.status().checkpoints] == [2, 4, 5]
    assert same_weights(read_lora(straight, 5), read_lora(full, 5))


@pytest.mark.parametrize("stage", ["text", "clips", "load", "validation", "samples"])
def test_every_stage_steps_down_by_its_own_setting(
    not_encoded: Project, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    target, setting = {
        "text": ("ltx_wizard.dataset.encode.load_text_encoder", "memory.text_encoder_8bit"),
        "clips": ("ltx_wizard.dataset.encode.load_vae", "memory.vae_tiling"),
        "load": ("ltx_wizard.training.loop.load_transformer", "memory.quantization"),
        "validation": ("ltx_wizard.training.loop.validation_loss", "memory.quantization"),
        "samples": ("ltx_wizard.training.previews.load_vae", "memory.vae_tiling"),
    }[stage]
    # This computer has no card: what a setting does to the model is tested with the models.
    monkeypatch.setattr("ltx_wizard.training.loop.load_transformer", _unquantised_loader())
    _encoders_as_ever(monkeypatch)
    _full_at_call(monkeypatch, target, RuntimeError("CUDA error: out of memory"))
    recipe = short_recipe(
        2,
        **{
            "memory.vae_tiling": False,
            "validation.prompts": ("A red square.",),
            "validation.sampling_steps": 2,
        },
    )
    folder = new_run(not_encoded, recipe)
    assert main([str(folder.folder)]) == 0
    status = folder.status()
    assert [item.setting for item in status.changes] == [setting]
    assert STAGE_WORDS[stage] in status.changes[0].reason
    assert [item.step for item in status.losses] == [1, 2]
    assert [item.step for item in status.samples] == [0, 2]
    assert folder.read_job().settings == TrainJob(recipe=recipe, dataset_fingerprint=fingerprint(not_encoded))


def test_a_resumed_run_keeps_its_rung(dataset: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_run(dataset, short_recipe(6, **{"memory.gradient_checkpointing": False}))
    transformers = _transformers(monkeypatch)
    with pytest.MonkeyPatch.context() as patch:
        _full_in_step(patch, 2)
        stop_after(folder, 3)
    assert folder.status().state is JobState.STOPPED
    folder.stop_file.unlink()
    assert main([str(folder.folder)]) == 0
    assert folder.status().state is JobState.FINISHED
    assert transformers.checkpointing == [False, True, True]
    assert len(folder.status().changes) == 1


def test_a_run_that_may_not_step_down_fails_with_the_setting_that_helps(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"memory.gradient_checkpointing": False, "memory.step_down": False}
    folder = new_run(dataset, short_recipe(6, **changes))
    _full_in_step(monkeypatch, 4)
    assert main([str(folder.folder)]) == 1
    status = folder.status()
    assert status.state is JobState.FAILED
    assert "ran out of memory" in status.problem
    assert "Gradient checkpointing" in status.remedy
    assert status.changes == ()
    assert folder.saved_steps()[-1] == 3, "what was learnt is kept"


def test_a_run_at_the_foot_of_the_ladder_fails_with_what_else_helps(
    dataset: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltx_wizard.training.loop.load_transformer", _unquantised_loader())
    folder = new_run(dataset, short_recipe(4))
    _always_full(monkeypatch)
    assert main([str(folder.folder)]) == 1
    status = folder.status()
    assert [item.value for item in status.changes] == ["fp8-quanto", "nf4-bnb", "blocks"]
    assert "batch size to 1" in status.remedy


def test_another_error_is_no_full_card(dataset: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_run(dataset, short_recipe(2))
    _full_at_call(monkeypatch, "ltx_wizard.training.loop.validation_loss", RuntimeError("a bug"))
    assert main([str(folder.folder)]) == 1
    assert folder.status().changes == ()
    assert "a bug" in folder.status().problem


class _Loaded:
    """The transformers that a run loaded: whether each checkpoints, how many others lived when it came."""

    def __init__(self) -> None:
        self.references: list[weakref.ref[Any]] = []
        self.checkpointing: list[bool] = []
        self.alive_at_load: list[int] = []


def _transformers(monkeypatch: pytest.MonkeyPatch) -> _Loaded:
    """Watch what is loaded without keeping it alive."""
    loaded, real = _Loaded(), loop.load_transformer
    enable = LTXVideoTransformer3DModel.enable_gradient_checkpointing

    def load(*arguments: Any) -> Any:
        loaded.alive_at_load.append(sum(reference() is not None for reference in loaded.references))
        transformer = real(*arguments)
        loaded.references.append(weakref.ref(transformer))
        loaded.checkpointing.append(False)
        return transformer

    def watched(self: LTXVideoTransformer3DModel, *how: Any) -> None:
        loaded.checkpointing[-1] = True
        enable(self, *how)

    monkeypatch.setattr(loop, "load_transformer", load)
    monkeypatch.setattr(LTXVideoTransformer3DModel, "enable_gradient_checkpointing", watched)
    return loaded


def _full_in_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The card fills once, in the second micro-batch of this step."""
    real, told = Objective.loss, list[int]()

    def loss(self: Objective, *arguments: Any) -> Any:
        told.append(1)
        if len(told) == 2 * step:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(self, *arguments)

    monkeypatch.setattr(Objective, "loss", loss)


def _always_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(self: Objective, *arguments: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Objective, "loss", loss)


def _full_at_call(monkeypatch: pytest.MonkeyPatch, target: str, error: Exception) -> None:
    """The first call of this function raises."""
    module, _, name = target.rpartition(".")
    real, told = getattr(importlib.import_module(module), name), list[int]()

    def function(*arguments: Any, **more: Any) -> Any:
        told.append(1)
        if len(told) == 1:
            raise error
        return real(*arguments, **more)

    monkeypatch.setattr(target, function)


def _unquantised_loader() -> Any:
    real = loop.load_transformer

    def load(spec: Any, files: Any, memory: MemorySettings, device: Any) -> Any:
        plain = memory.model_copy(update={"quantization": "none", "offload": "none"})
        return real(spec, files, plain, device)

    return load


def _encoders_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a card there is no text encoder in 8 bits."""
    from ltx_wizard.dataset import encode

    real = encode.load_text_encoder

    def load(spec: Any, files: Any, memory: MemorySettings, device: Any) -> Any:
        return real(spec, files, memory.model_copy(update={"text_encoder_8bit": False}), device)

    monkeypatch.setattr(encode, "load_text_encoder", load)


def _worker(folder: JobFolder, library: Path) -> subprocess.Popen[bytes]:
    """Python runs a sitecustomize that it finds in the library."""
    paths = (str(library), os.environ.get("PYTHONPATH", ""))
    environment = {
        "GOMP_SPINCOUNT": "1000",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    with folder.log_file.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ltx_wizard.worker", str(folder.folder)],
            stdout=log,
            stderr=log,
            env=environment,
        )


def _log(folder: JobFolder) -> str:
    return folder.log_file.read_text(encoding="utf-8")


def test_events_of_a_run_name_every_kind_that_the_page_shows(dataset: Project) -> None:
    folder = new_run(
        dataset, short_recipe(2, **{"validation.prompts": ("A red square.",), "validation.sampling_steps": 2})
    )
    main([str(folder.folder)])
    kinds = {type(event) for event in read_events(folder.events_file)}
    assert {StepDone, Validated, SampleReady} <= kinds
