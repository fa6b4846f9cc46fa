"""Recognition by names and shapes: of every variant, in both layouts, and of everything that is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import LTXVideoTransformer3DModel
from diffusers.loaders.single_file_utils import (
    convert_ltx_transformer_checkpoint_to_diffusers,
    convert_ltx_vae_checkpoint_to_diffusers,
    infer_diffusers_model_type,
)
from model_files import (
    TRANSFORMERS,
    VAES,
    Shapes,
    original_transformer,
    original_vae,
    other_size,
    transformer_shapes,
    vae_shapes,
    write_config,
    write_header_only,
    write_pipeline,
    write_transformer_folder,
)

from ltx_wizard.core.errors import BadInput, NotFound, WizardError
from ltx_wizard.core.places import EMBEDDED_MODEL
from ltx_wizard.models.catalog import CATALOG
from ltx_wizard.models.headers import read_header
from ltx_wizard.models.recognise import Recognised, recognise, recognise_configs, transformer_config

PUBLISHED = [
    ("ltx-video-2b-v0.9.safetensors", "2b", "0.9.0", "ltxv-2b-0.9.0"),
    ("ltx-video-2b-v0.9.1.safetensors", "2b", "0.9.1", "ltxv-2b-0.9.1"),
    ("ltx-video-2b-v0.9.5.safetensors", "2b", "0.9.5", "ltxv-2b-0.9.5"),
    ("ltxv-2b-0.9.6-dev-04-25.safetensors", "2b", "0.9.5", "ltxv-2b-0.9.6-dev"),
    ("ltxv-2b-0.9.6-distilled-04-25.safetensors", "2b", "0.9.5", "ltxv-2b-0.9.6-distilled"),
    ("ltxv-2b-0.9.8-distilled.safetensors", "2b", "0.9.5", "ltxv-2b-0.9.8-distilled"),
    ("ltxv-13b-0.9.7-dev.safetensors", "13b", "0.9.5", "ltxv-13b-0.9.7-dev"),
    ("ltxv-13b-0.9.7-distilled.safetensors", "13b", "0.9.5", "ltxv-13b-0.9.7-distilled"),
    ("ltxv-13b-0.9.8-dev.safetensors", "13b", "0.9.5", "ltxv-13b-0.9.8-dev"),
    ("ltxv-13b-0.9.8-distilled.safetensors", "13b", "0.9.5", "ltxv-13b-0.9.8-distilled"),
]
"""Lightricks' files: name, size, whose VAE is in it, and which entry of the catalog it is."""
DIFFUSERS_TYPES = {
    ("2b", "0.9.0"): "ltx-video",
    ("2b", "0.9.1"): "ltx-video-0.9.1",
    ("2b", "0.9.5"): "ltx-video-0.9.5",
    ("13b", "0.9.5"): "ltx-video-0.9.7",
}
LAYERS_AND_WIDTH = {"2b": (28, 2048), "13b": (48, 4096)}


def single_file(path: Path, size: str = "2b", vae: str = "0.9.5", **options: object) -> Path:
    shapes = {**original_transformer(size), **original_vae(vae)}
    return write_header_only(path, shapes, **options)  # type: ignore[arg-type]


def refusal(path: Path) -> WizardError:
    with pytest.raises((BadInput, NotFound)) as caught:
        recognise(path)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(("name", "size", "vae", "variant"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_every_published_file_is_recognised(
    tmp_path: Path, name: str, size: str, vae: str, variant: str
) -> None:
    found = recognise(single_file(tmp_path / name, size, vae))
    assert (found.variant, found.layout, found.vae) == (variant, "single-file", vae)
    assert (found.layers, found.width) == LAYERS_AND_WIDTH[size]
    assert found.version_sure and found.has_vae
    assert found.distilled == ("distilled" in name)
    assert found.coordinates == ("plain" if vae in ("0.9.0", "0.9.1") else "causal")


def test_every_variant_of_the_catalog_is_among_the_published_files() -> None:
    assert {variant for *_, variant in PUBLISHED} == {spec.id for spec in CATALOG} - {"embedded"}


@pytest.mark.parametrize(("size", "vae"), DIFFUSERS_TYPES)
def test_diffusers_takes_these_files_for_the_same_version(size: str, vae: str) -> None:
    shapes: Shapes = {**original_transformer(size), **original_vae(vae)}
    tensors = {name: SimpleNamespace(shape=shape) for name, shape in shapes.items()}
    assert infer_diffusers_model_type(tensors) == DIFFUSERS_TYPES[size, vae]


@pytest.mark.parametrize("version", VAES)
def test_diffusers_reads_the_names_of_the_video_encoder_as_its_own(version: str) -> None:
    shapes = original_vae(version)
    converted = convert_ltx_vae_checkpoint_to_diffusers(
        {name: SimpleNamespace(shape=shape) for name, shape in shapes.items()}
    )
    assert {name: tensor.shape for name, tensor in converted.items()} == vae_shapes(version)


@pytest.mark.parametrize("size", TRANSFORMERS)
def test_diffusers_reads_the_names_of_the_transformer_as_its_own(size: str) -> None:
    converted = convert_ltx_transformer_checkpoint_to_diffusers(dict(original_transformer(size)))
    assert converted == transformer_shapes(size)


@pytest.mark.parametrize(
    ("name", "size", "vae", "variant", "versions"),
    [
        ("mine.safetensors", "2b", "0.9.5", "ltxv-2b-0.9.6-dev", {"0.9.5", "0.9.6", "0.9.8"}),
        ("mine.safetensors", "13b", "0.9.5", "ltxv-13b-0.9.7-dev", {"0.9.7", "0.9.8"}),
        ("style-2025-09-25.safetensors", "2b", "0.9.5", "ltxv-2b-0.9.6-dev", {"0.9.5", "0.9.6", "0.9.8"}),
    ],
)
def test_a_file_that_tells_no_version_is_said_to_be_unsure(
    tmp_path: Path, name: str, size: str, vae: str, variant: str, versions: set[str]
) -> None:
    found = recognise(single_file(tmp_path / name, size, vae))
    assert (found.variant, found.version_sure, set(found.versions)) == (variant, False, versions)
    assert "do not tell the version" in found.title


def test_a_video_encoder_of_one_version_only_is_enough_to_be_sure(tmp_path: Path) -> None:
    found = recognise(single_file(tmp_path / "mine.safetensors", "2b", "0.9.1"))
    assert (found.variant, found.version_sure) == ("ltxv-2b-0.9.1", True)
    assert found.title == "LTX-Video 2B 0.9.1, single file"


def test_weights_win_over_a_name_that_contradicts_them(tmp_path: Path) -> None:
    found = recognise(single_file(tmp_path / "ltxv-2b-0.9.6-dev.safetensors", "2b", "0.9.0"))
    assert (found.variant, found.coordinates) == ("ltxv-2b-0.9.0", "plain")


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", ""])
def test_a_transformer_alone_is_recognised_by_its_size(tmp_path: Path, prefix: str) -> None:
    small = write_header_only(tmp_path / "a.safetensors", original_transformer("2b", prefix))
    large = write_header_only(tmp_path / "LTXV_13B_098_DEV.safetensors", original_transformer("13b", prefix))
    found = recognise(small)
    assert (found.layout, found.has_vae, found.version_sure) == ("transformer-file", False, False)
    assert set(found.versions) == {"0.9.0", "0.9.1", "0.9.5", "0.9.6", "0.9.8"}
    assert (recognise(large).variant, recognise(large).version_sure) == ("ltxv-13b-0.9.8-dev", True)


def test_a_transformer_file_with_the_names_of_diffusers_is_recognised(tmp_path: Path) -> None:
    found = recognise(
        write_header_only(tmp_path / "ltxv-13b-0.9.7-dev.safetensors", transformer_shapes("13b"))
    )
    assert (found.variant, found.layout) == ("ltxv-13b-0.9.7-dev", "transformer-file")


def test_the_steps_that_a_file_allows_tell_that_it_is_distilled(tmp_path: Path) -> None:
    config = json.dumps({"allowed_inference_steps": [1.0, 0.9, 0.7]})
    found = recognise(single_file(tmp_path / "renamed-0.9.6.safetensors", metadata={"config": config}))
    assert (found.variant, found.distilled) == ("ltxv-2b-0.9.6-distilled", True)
    dev = json.dumps({"allowed_inference_steps": None})
    assert not recognise(single_file(tmp_path / "dev-0.9.6.safetensors", metadata={"config": dev})).distilled


@pytest.mark.parametrize(
    ("folder", "size", "vae", "pipeline", "variant"),
    [
        ("LTX-Video", "2b", "0.9.0", "LTXPipeline", "ltxv-2b-0.9.0"),
        ("LTX-Video-0.9.1", "2b", "0.9.1", "LTXPipeline", "ltxv-2b-0.9.1"),
        ("LTX-Video-0.9.5", "2b", "0.9.5", "LTXPipeline", "ltxv-2b-0.9.5"),
        ("LTX-Video-0.9.7-dev", "13b", "0.9.5", "LTXConditionPipeline", "ltxv-13b-0.9.7-dev"),
        ("LTX-Video-0.9.7-distilled", "13b", "0.9.5", "LTXConditionPipeline", "ltxv-13b-0.9.7-distilled"),
        ("LTX-Video-0.9.8-13B-distilled", "13b", "0.9.5", "LTXConditionPipeline", "ltxv-13b-0.9.8-distilled"),
    ],
)
def test_every_published_folder_is_recognised(
    tmp_path: Path, folder: str, size: str, vae: str, pipeline: str, variant: str
) -> None:
    found = recognise(write_pipeline(tmp_path / folder, size, vae, pipeline))
    assert (found.variant, found.layout, found.vae) == (variant, "pipeline-folder", vae)
    assert (found.layers, found.width, found.version_sure) == (*LAYERS_AND_WIDTH[size], True)


def test_a_folder_in_the_hubs_cache_is_known_by_the_name_of_its_repository(tmp_path: Path) -> None:
    folder = tmp_path / "models--Lightricks--LTX-Video-0.9.5" / "snapshots" / "0a938e1"
    assert recognise(write_pipeline(folder, "2b", "0.9.5")).variant == "ltxv-2b-0.9.5"


def test_a_transformers_folder_is_recognised(tmp_path: Path) -> None:
    found = recognise(write_transformer_folder(tmp_path / "ltxv-13b-0.9.7-dev", "13b", shards=6))
    assert (found.variant, found.layout) == ("ltxv-13b-0.9.7-dev", "transformer-folder")


def test_the_practice_model_is_recognised_wherever_it_lies(tmp_path: Path) -> None:
    copied = Path(shutil.copytree(EMBEDDED_MODEL, tmp_path / "copied"))
    found = recognise(copied)
    assert (found.variant, found.coordinates, found.layers) == ("embedded", "plain", 6)


@pytest.mark.parametrize("size", TRANSFORMERS)
def test_the_configuration_follows_from_the_shapes(tmp_path: Path, size: str) -> None:
    file = single_file(tmp_path / "model.safetensors", size)
    folder = write_transformer_folder(tmp_path / "transformer", size)
    config = transformer_config(read_header(file))
    assert config == transformer_config(read_header(folder))
    with torch.device("meta"):
        model = LTXVideoTransformer3DModel(**config)
    assert {name: tuple(weight.shape) for name, weight in model.state_dict().items()} == transformer_shapes(
        size
    )
    assert model.config.num_attention_heads == 32


def test_the_practice_models_configuration_is_its_own() -> None:
    config = transformer_config(read_header(EMBEDDED_MODEL / "transformer"))
    own = json.loads((EMBEDDED_MODEL / "transformer" / "config.json").read_text())
    assert config == {key: own[key] for key in config}


def test_a_size_of_its_own_needs_to_say_how_it_is_divided(tmp_path: Path) -> None:
    bare = write_header_only(tmp_path / "tiny.safetensors", other_size())
    assert "size of its own (1 layers, 64 wide)" in refusal(bare).problem
    config = json.dumps({"transformer": {"num_attention_heads": 4}})
    told = write_header_only(tmp_path / "told.safetensors", other_size(), metadata={"config": config})
    assert transformer_config(read_header(told))["attention_head_dim"] == 16
    assert recognise(told).variant == ""


def test_a_lora_given_as_a_model_is_refused(tmp_path: Path) -> None:
    block = "transformer_blocks.0.attn1.to_q"
    forms = {
        "diffusers": [f"transformer.{block}.lora_A.weight", f"transformer.{block}.lora_B.weight"],
        "comfyui": [f"diffusion_model.{block}.lora_down.weight", f"diffusion_model.{block}.lora_up.weight"],
        "kohya": ["lora_unet_transformer_blocks_0_attn1_to_q.lora_down.weight"],
        "lycoris": [f"diffusion_model.{block}.lokr_w1"],
    }
    for form, names in forms.items():
        file = write_header_only(tmp_path / f"{form}.safetensors", {name: (32, 2048) for name in names})
        assert refusal(file).problem == f"{form}.safetensors is a LoRA, not a model."
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft" / "adapter_config.json").write_text("{}")
    assert "is a LoRA" in refusal(tmp_path / "peft").problem


def test_an_ltx_2_model_is_known_and_refused(tmp_path: Path) -> None:
    shapes = {**original_transformer("13b"), "model.diffusion_model.audio_adaln_single.linear.weight": (9, 9)}
    assert "is an LTX-2 model" in refusal(write_header_only(tmp_path / "ltx-2.safetensors", shapes)).problem
    write_config(tmp_path / "folder" / "transformer" / "config.json", "LTX2VideoTransformer3DModel")
    assert "is an LTX-2 model" in refusal(tmp_path / "folder").problem
    write_config(tmp_path / "index" / "model_index.json", "LTX2Pipeline")
    assert "is an LTX-2 model" in refusal(tmp_path / "index").problem


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight", "Stable Diffusion"),
        ("double_blocks.0.img_attn.qkv.weight", "Flux"),
        ("joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3"),
        ("blocks.0.self_attn.q.weight", "Wan"),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "T5"),
        ("decoder.conv_in.conv.weight", "VAE"),
        ("model.layers.0.self_attn.q_proj.weight", "language model"),
        ("something.else", "'something.else'"),
    ],
)
def test_a_file_that_is_no_ltx_model_is_refused_with_what_it_looks_like(
    tmp_path: Path, name: str, words: str
) -> None:
    error = refusal(write_header_only(tmp_path / "other.safetensors", {name: (8, 8)}))
    assert error.problem.startswith("other.safetensors is no LTX-Video model: ")
    assert words in error.problem


def test_a_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    write_config(tmp_path / "model_index.json", "FluxPipeline")
    write_config(tmp_path / "transformer" / "config.json", "FluxTransformer2DModel")
    assert "it is a FluxTransformer2DModel" in refusal(tmp_path).problem


def test_a_file_that_is_cut_off_is_refused_with_how_much_is_missing(tmp_path: Path) -> None:
    file = single_file(tmp_path / "model.safetensors")
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size - 2_000_000_000)
    error = refusal(file)
    assert "is cut off: 2 GB of 6.34 GB are missing" in error.problem
    assert "Download the file again" in error.remedy


def test_a_file_that_ends_in_its_header_is_refused(tmp_path: Path) -> None:
    file = single_file(tmp_path / "model.safetensors")
    with file.open("r+b") as opened:
        opened.truncate(1000)
    assert "is cut off" in refusal(file).problem
    (tmp_path / "short.safetensors").write_bytes(b"\x10\0\0")
    assert "is cut off" in refusal(tmp_path / "short.safetensors").problem


def test_a_shard_that_is_cut_off_or_missing_is_found(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "model", "2b", "0.9.5")
    second = folder / "transformer" / "diffusion_pytorch_model-00002-of-00002.safetensors"
    with second.open("r+b") as opened:
        opened.truncate(second.stat().st_size - 10)
    assert "is cut off: 10 bytes" in refusal(folder).problem
    second.unlink()
    assert f"{second.name} is missing" in refusal(folder).problem


@pytest.mark.parametrize("weight_map", [["a"], {"a": 3}, "a", None])
def test_a_list_of_shards_that_is_none_is_refused(tmp_path: Path, weight_map: object) -> None:
    folder = write_pipeline(tmp_path / "model", "2b", "0.9.5")
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert "index.json cannot be read" in refusal(folder).problem


def test_one_part_of_several_is_refused(tmp_path: Path) -> None:
    folder = write_transformer_folder(tmp_path / "transformer", "2b")
    error = refusal(folder / "diffusion_pytorch_model-00001-of-00002.safetensors")
    assert "one of several parts" in error.problem


def test_a_model_without_its_last_layers_is_refused(tmp_path: Path) -> None:
    shapes = {name: shape for name, shape in original_transformer("2b").items() if "blocks.20." not in name}
    assert (
        "layers of its transformer are missing"
        in refusal(write_header_only(tmp_path / "model.safetensors", shapes)).problem
    )


def test_a_file_longer_than_its_header_says_is_refused(tmp_path: Path) -> None:
    file = single_file(tmp_path / "model.safetensors")
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size + 5)
    assert "is damaged: 5 bytes too long" in refusal(file).problem


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.pth", "diffusion_pytorch_model.bin"])
def test_a_pickle_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    assert "can run code on your computer" in refusal(tmp_path / name).problem


@pytest.mark.parametrize("start", [b"PK\x03\x04rest of a zip", b"\x80\x02}q\x00.", b"\x80\x04\x95"])
def test_a_pickle_is_refused_by_its_first_bytes(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(start)
    assert "can run code on your computer" in refusal(tmp_path / "model.safetensors").problem


def test_a_folder_with_pickles_only_is_refused(tmp_path: Path) -> None:
    write_config(tmp_path / "transformer" / "config.json", "LTXVideoTransformer3DModel")
    (tmp_path / "transformer" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x02")
    assert "can run code on your computer" in refusal(tmp_path).problem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (b"just some words, and more of them", "is no safetensors file"),
        ((2).to_bytes(8, "little") + b"{}", "holds no weights"),
        ((2).to_bytes(8, "little") + b"[]", "is no safetensors file"),
        ((9).to_bytes(8, "little") + b'{"a": 1} ', "is no safetensors file"),
        ((4).to_bytes(8, "little") + b"\xff\xfe{}", "is no safetensors file"),
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert words in refusal(tmp_path / "model.safetensors").problem


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("proj_out.weight", ()),
        ("caption_projection.linear_1.weight", (2048,)),
        ("transformer_blocks.0.attn2.to_k.weight", (2048,)),
        ("transformer_blocks." + "9" * 5000 + ".attn1.to_q.weight", (1,)),
    ],
)
def test_names_and_shapes_that_no_model_has_are_refused(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    shapes = {**transformer_shapes("2b"), name: shape}
    assert refusal(write_header_only(tmp_path / "model.safetensors", shapes)).remedy


def test_sizes_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    for shape, offsets in (("[1e999]", "[0, 4]"), ("[1]", "[0, 1e999]")):
        text = f'{{"a": {{"dtype": "F32", "shape": {shape}, "data_offsets": {offsets}}}}}'.encode()
        (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
        assert "is no safetensors file" in refusal(tmp_path / "model.safetensors").problem


@pytest.mark.parametrize("channels", [5, "256", {"a": 1}])
def test_a_configuration_of_a_video_encoder_that_is_none_tells_no_version(channels: object) -> None:
    config = {
        "_class_name": "LTXVideoTransformer3DModel", "num_layers": 28, "num_attention_heads": 32,
        "attention_head_dim": 64, "in_channels": 128, "out_channels": 128, "cross_attention_dim": 2048,
        "caption_channels": 4096,
    }  # fmt: skip
    assert recognise_configs("owner/name", config, {"block_out_channels": channels}).vae == ""


def test_weights_in_fewer_bits_are_refused(tmp_path: Path) -> None:
    error = refusal(single_file(tmp_path / "ltxv-13b-0.9.7-dev-fp8.safetensors", "13b", dtype="F8_E4M3"))
    assert "already stored in fewer bits (F8_E4M3)" in error.problem
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert "is a GGUF file" in refusal(tmp_path / "model.gguf").problem


def test_a_place_without_a_model_is_refused(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "gone.safetensors").problem
    assert "There is no model in" in refusal(tmp_path).problem
    write_header_only(tmp_path / "a.safetensors", {"a": (1,)})
    assert "Give one of its files, such as a.safetensors." in refusal(tmp_path).remedy


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    file = single_file(tmp_path / "model.safetensors", "2b", "0.9.1")
    assert read_header(file) is read_header(file)


@pytest.mark.parametrize("length", [640, 15_392, 19_280])
def test_a_header_whose_length_reads_as_another_format_is_read(tmp_path: Path, length: int) -> None:
    """The first bytes of these are those of a pickle, of a web page, and of a zip archive."""
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + header + bytes(4))
    assert read_header(file).shapes == {"a": (1,)}
    single_file(file, "13b")
    assert recognise(file).variant == "ltxv-13b-0.9.7-dev"


def test_nothing_but_the_header_is_read(tmp_path: Path) -> None:
    """28 GB of weights are a hole here: reading them would take minutes."""
    found: Recognised = recognise(single_file(tmp_path / "ltxv-13b-0.9.7-dev.safetensors", "13b"))
    assert found.variant == "ltxv-13b-0.9.7-dev"
    assert (tmp_path / "ltxv-13b-0.9.7-dev.safetensors").stat().st_size > 28e9
