from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from model_files import original_transformer, write_header_only

from ltx_wizard.app.exports import exports, python_snippet
from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.documents import write_document, write_lines
from ltx_wizard.core.places import EMBEDDED_MODEL
from ltx_wizard.core.project import Project, TriggerPlacement
from ltx_wizard.interop.export_record import ExportRecord
from ltx_wizard.models.catalog import EMBEDDED, LTXV_2B_096_DEV, LTXV_13B_097_DEV, find_model
from ltx_wizard.models.spec import SamplingDefaults


def export(project: Project, name: str, created: float = 1.0, model: str = "embedded") -> ExportRecord:
    """The three files of an export, as the job leaves them."""
    project.exports_folder.mkdir(exist_ok=True)
    record = ExportRecord(
        name=name,
        file=f"exports/{name}.safetensors",
        comfyui_file=f"exports/{name}-comfyui.safetensors",
        run="0001-practice-style",
        step=400,
        strength=1.0,
        model=model,
        trigger_word="nobuzik style.",
        verified=("diffusers loads it.",),
        created=created,
    )
    project.path(record.file).write_bytes(b"0123456789")
    project.path(record.comfyui_file).write_bytes(b"01234")
    write_document(project.exports_folder / f"{name}.json", record)
    return record


def test_a_project_without_exports_has_none(project: Project) -> None:
    assert exports(project) == []


def test_exports_are_listed_newest_first_with_their_facts(project: Project) -> None:
    export(project, "b-old", created=1)
    export(project, "a-new", created=2)
    newest, older = exports(project)
    assert (newest.file.name, older.file.name) == ("a-new.safetensors", "b-old.safetensors")
    assert (newest.run, newest.step, newest.size) == ("0001-practice-style", 400, 10)
    assert newest.verified == ("diffusers loads it.",)
    assert newest.comfyui_file == project.exports_folder / "a-new-comfyui.safetensors"


def test_what_is_gone_or_damaged_is_left_out_and_hides_nothing_else(project: Project) -> None:
    gone, half = export(project, "gone"), export(project, "half")
    project.path(gone.file).unlink()
    project.path(half.comfyui_file).unlink()
    (project.exports_folder / "broken.json").write_text("{", encoding="utf-8")
    only = exports(project)
    assert [(item.file.name, item.comfyui_file) for item in only] == [("half.safetensors", None)]


def test_a_record_cannot_point_out_of_the_project(project: Project, tmp_path: Path) -> None:
    (tmp_path / "secret.safetensors").write_bytes(b"x")
    record = export(project, "lora").model_copy(update={"file": "../secret.safetensors"})
    write_document(project.exports_folder / "lora.json", record)
    assert exports(project) == []


def test_the_snippet_prompts_with_the_trigger_word(project: Project) -> None:
    project.change_settings(trigger_placement=TriggerPlacement.LAST)
    clip = Clip(
        id="c", source_id="s", file="clips/c.mp4", kind=MediaKind.VIDEO, width=1, height=1, fps=8, frames=17,
        duration_s=2, caption='A cat says "hi".',
    )  # fmt: skip
    write_lines(project.clips_file, [clip])
    export(project, "lora")
    assert _argument(exports(project)[0].snippet, "prompt") == 'A cat says "hi". nobuzik style.'
    project.change_settings(validation_prompts=("{trigger} A dog runs.",))
    assert _argument(exports(project)[0].snippet, "prompt") == "nobuzik style. A dog runs."


def test_a_name_with_quotes_is_still_python() -> None:
    lora = Path("my 'best' \"lora\"") / "it's.safetensors"
    ast.parse(python_snippet(EMBEDDED, lora, 'it\'s "so"\n\\'))


def test_a_model_that_is_no_longer_known_says_so_in_the_snippet(project: Project) -> None:
    export(project, "lora", model="gone-model")
    assert "# There is no model called 'gone-model'." in exports(project)[0].snippet


def test_parts_from_other_repositories_are_loaded_from_there() -> None:
    snippet = python_snippet(LTXV_2B_096_DEV, Path("lora.safetensors"), "A dog runs.")
    ast.parse(snippet)
    assert "LTXVideoTransformer3DModel.from_single_file(" in snippet
    assert "Lightricks/LTX-Video/blob/main/ltxv-2b-0.9.6-dev-04-25.safetensors" in snippet
    assert "from_pretrained('Lightricks/LTX-Video-0.9.5', subfolder='vae', torch_dtype=dtype)" in snippet
    assert "LTXConditionPipeline.from_pretrained(" in snippet
    assert "from_single_file" not in python_snippet(LTXV_13B_097_DEV, Path("lora.safetensors"), "A dog runs.")


def test_a_model_of_ones_own_is_loaded_from_where_it_lies(tmp_path: Path) -> None:
    file = write_header_only(tmp_path / "ltxv-13b-0.9.7-dev.safetensors", original_transformer("13b"))
    snippet = python_snippet(find_model(str(file)), Path("lora.safetensors"), "A dog runs.")
    ast.parse(snippet)
    assert (
        f"transformer = LTXVideoTransformer3DModel.from_single_file({str(file)!r}, torch_dtype=dtype)"
        in snippet
    )
    assert "LTXConditionPipeline.from_pretrained(\n    'Lightricks/LTX-Video-0.9.7-dev'," in snippet


def test_a_snippet_asks_for_what_the_model_is_made_for() -> None:
    snippet = python_snippet(LTXV_13B_097_DEV, Path("lora.safetensors"), "A dog runs.")
    numbers = {name: _argument(snippet, name) for name in ("width", "height", "num_frames", "frame_rate")}
    assert numbers == {"width": 768, "height": 512, "num_frames": 49, "frame_rate": 24}
    assert (_argument(snippet, "num_inference_steps"), _argument(snippet, "guidance_scale")) == (40, 3.5)


@pytest.mark.skipif(not (EMBEDDED_MODEL / "model_index.json").is_file(), reason="needs the practice model")
@pytest.mark.slow
def test_the_snippet_really_runs_and_the_lora_changes_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user would: paste, run. Only smaller and with fewer steps."""
    import torch
    from diffusers import LTXVideoTransformer3DModel
    from safetensors.torch import save_file

    small = replace(EMBEDDED, default_bucket="64x64x9", sampling=SamplingDefaults(steps=2, guidance=2.0))
    config = LTXVideoTransformer3DModel.load_config(EMBEDDED_MODEL, subfolder="transformer")
    width = config["num_attention_heads"] * config["attention_head_dim"]
    generator = torch.Generator().manual_seed(0)
    stem = "transformer.transformer_blocks.0.attn1.to_q"
    monkeypatch.chdir(tmp_path)
    videos: list[bytes] = []
    for scale in (0.0, 1.0):
        weights = {
            f"{stem}.lora_A.weight": torch.randn(4, width, generator=generator),
            f"{stem}.lora_B.weight": torch.randn(width, 4, generator=generator) * scale,
        }
        save_file(weights, tmp_path / "lora.safetensors")
        snippet = python_snippet(small, tmp_path / "lora.safetensors", "A large red circle moves.")
        exec(compile(snippet, "snippet", "exec"), {})
        videos.append((tmp_path / "video.mp4").read_bytes())
    assert len(videos[0]) > 500
    assert videos[0] != videos[1]


def _argument(snippet: str, name: str) -> object:
    """The value that the snippet gives to an argument of the pipeline."""
    calls = [node for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Call)]
    values = [
        keyword.value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "pipe"
        for keyword in call.keywords
        if keyword.arg == name
    ]
    return ast.literal_eval(values[0])
