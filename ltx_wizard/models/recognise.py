"""What a model of the user's own is, from the names and shapes of its weights. No torch here.

Names tell the family, shapes the size, and the video encoder that comes along tells the version, as
diffusers tells them apart (loaders/single_file_utils.py, 0.42). Versions with the same shapes are told apart
by the name of the file, and where that says nothing, the result says so.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ltx_wizard.core.errors import BadInput, NotFound, WizardError
from ltx_wizard.models.headers import GET_AGAIN, Header, read_config, read_header

Layout = Literal["single-file", "transformer-file", "pipeline-folder", "transformer-folder", "hub-folder"]
"""single-file: with its VAE, as Lightricks publishes them. transformer-file: the transformer alone."""

_LAYOUT_WORDS: Mapping[Layout, str] = {
    "single-file": "single file",
    "transformer-file": "single file without video encoder",
    "pipeline-folder": "diffusers folder",
    "transformer-folder": "folder of a transformer",
    "hub-folder": "diffusers folders on the hub",
}

_PREFIX = "model.diffusion_model."
_ORIGINAL_NAMES = (
    ("patchify_proj", "proj_in"),
    ("adaln_single", "time_embed"),
    ("q_norm", "norm_q"),
    ("k_norm", "norm_k"),
)

_ARCHITECTURES = {(28, 2048): "ltxv-2b", (48, 4096): "ltxv-13b", (6, 192): "ltxv-practice"}
"""By layers and width."""
_HEADS = {"ltxv-2b": 32, "ltxv-13b": 32, "ltxv-practice": 6}
"""The one thing that no shape tells: norms of queries and keys go over all heads."""
_VARIANTS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("ltxv-2b", "0.9.0"): ("ltxv-2b-0.9.0", ""),
    ("ltxv-2b", "0.9.1"): ("ltxv-2b-0.9.1", ""),
    ("ltxv-2b", "0.9.5"): ("ltxv-2b-0.9.5", ""),
    ("ltxv-2b", "0.9.6"): ("ltxv-2b-0.9.6-dev", "ltxv-2b-0.9.6-distilled"),
    ("ltxv-2b", "0.9.8"): ("", "ltxv-2b-0.9.8-distilled"),
    ("ltxv-13b", "0.9.7"): ("ltxv-13b-0.9.7-dev", "ltxv-13b-0.9.7-distilled"),
    ("ltxv-13b", "0.9.8"): ("ltxv-13b-0.9.8-dev", "ltxv-13b-0.9.8-distilled"),
    ("ltxv-practice", ""): ("embedded", ""),
}
"""Catalog ids by architecture and version: the one to train, and the distilled one."""
_POSSIBLE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("ltxv-2b", "0.9.0"): ("0.9.0",),
    ("ltxv-2b", "0.9.1"): ("0.9.1",),
    ("ltxv-2b", "0.9.5"): ("0.9.6", "0.9.5", "0.9.8"),
    ("ltxv-2b", ""): ("0.9.6", "0.9.5", "0.9.8", "0.9.1", "0.9.0"),
    ("ltxv-13b", "0.9.5"): ("0.9.7", "0.9.8"),
    ("ltxv-13b", ""): ("0.9.7", "0.9.8"),
    ("ltxv-practice", "0.9.0"): ("",),
    ("ltxv-practice", ""): ("",),
}
"""Versions by architecture and VAE ('': none there); the first is taken where nothing else tells."""
_FIRST_CAUSAL_VAE = "0.9.5"

_OTHER_MODELS = (
    (r"(^|\.)double_blocks\.", "a Flux or HunyuanVideo model"),
    (
        r"(^|\.)(input_blocks|down_blocks)\..*(attn|transformer_blocks|emb_layers|time_emb)",
        "Stable Diffusion",
    ),
    (r"(^|\.)joint_blocks\.", "Stable Diffusion 3"),
    (r"(^|\.)blocks\.\d+\.self_attn\.", "a Wan model"),
    (r"encoder\.block\.\d+\.layer\.", "a T5 text encoder, which is only a part of LTX-Video"),
    (
        r"(^|\.)(encoder|decoder)\.(conv_in|conv_out)\.",
        "a video or image encoder (VAE), which is only a part",
    ),
    (r"(^|\.)model\.layers\.\d+\.self_attn\.", "a language model"),
)
_LORA = re.compile(r"lora_(A|B|a|b|down|up)\b|^lora_|\.lora\.|\.hada_w|\.lokr_w|\.dora_scale|^lycoris_")
_LTX2 = re.compile(r"(^|\.)(audio_|av_ca_|video_to_audio|a2v_|audio_vae\.)|\.audio_(attn|ff)")


@dataclass(frozen=True)
class Recognised:
    """What a model is.

    variant: the catalog id that it is treated as; '' for an LTX-Video model of a size of its own.
    version_sure: False where weights and name leave several versions, of which `variant` is one.
    vae: whose video encoder comes along, as the first version that has it; '' for none.
    distilled: as the file's own configuration, or else its name, says.
    """

    family: str
    variant: str
    title: str
    layout: Layout
    layers: int
    width: int
    vae: str
    versions: tuple[str, ...]
    version_sure: bool
    distilled: bool
    coordinates: Literal["plain", "causal"]

    @property
    def has_vae(self) -> bool:
        return bool(self.vae)


def recognise(path: Path) -> Recognised:
    """What lies at a path: a .safetensors file, a folder in diffusers layout, or a transformer's folder.

    Raises NotFound where nothing is, BadInput for what is no LTX-Video model or is damaged.
    """
    if path.is_dir():
        return _recognise_folder(path)
    header = read_header(path)
    weights = _weights_of(header)
    if _architecture(weights) == "":
        transformer_config(header)  # a size of its own can only be loaded if the file says how many heads
    layout: Layout = "single-file" if weights.vae else "transformer-file"
    return _recognised(weights, layout, path.name, distilled=_made_for_few_steps(header))


def transformer_config(header: Header) -> dict[str, int]:
    """The settings of diffusers' LTXVideoTransformer3DModel that follow from the shapes of its weights.

    Raises BadInput for what is no LTX-Video transformer, or for one of unknown number of heads.
    """
    weights = _weights_of(header)
    heads = _HEADS.get(_architecture(weights)) or _heads_in_metadata(header)
    if heads < 1 or weights.width % heads:
        raise BadInput(
            problem=f"{header.path.name} is an LTX-Video model of a size of its own "
            f"({weights.layers} layers, {weights.width} wide), and does not say how it is divided.",
            remedy="Give the folder of this model in diffusers layout, with its config.json.",
        )
    return {
        "num_layers": weights.layers,
        "num_attention_heads": heads,
        "attention_head_dim": weights.width // heads,
        "cross_attention_dim": weights.cross_attention,
        "caption_channels": weights.caption_channels,
        "in_channels": weights.in_channels,
        "out_channels": weights.out_channels,
    }


def linear_layers(transformer: Path) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of every linear layer by diffusers' name, from the header of a transformer's file or
    folder. Raises NotFound or BadInput.
    """
    shapes = {_diffusers_name(name): shape for name, shape in read_header(transformer).shapes.items()}
    return {
        name.removesuffix(".weight"): (shape[0], shape[1])
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) == 2 and not name.startswith("vae.")
    }


def recognise_configs(repository: str, transformer: Mapping[str, Any], vae: Mapping[str, Any]) -> Recognised:
    """What a hub repository in diffusers layout is, from the config.json of its transformer and its VAE.

    Raises BadInput for another model.
    """
    _refuse_other_class(Path(repository), transformer)
    heads, dim = _number(transformer, "num_attention_heads"), _number(transformer, "attention_head_dim")
    weights = _Weights(
        layers=_number(transformer, "num_layers"),
        width=heads * dim,
        in_channels=_number(transformer, "in_channels"),
        out_channels=_number(transformer, "out_channels"),
        cross_attention=_number(transformer, "cross_attention_dim"),
        caption_channels=_number(transformer, "caption_channels"),
        vae="",
    )
    return _recognised(
        weights, "hub-folder", repository.partition("/")[2], vae=_vae_of_config(vae), pipeline=""
    )


@dataclass(frozen=True)
class _Weights:
    """A transformer as its shapes show it; sizes are numbers of channels."""

    layers: int
    width: int
    in_channels: int
    out_channels: int
    cross_attention: int
    caption_channels: int
    vae: str


def _weights_of(header: Header) -> _Weights:
    """Raises BadInput, with what it is instead, unless it is a whole LTX-Video transformer."""
    _refuse_adapters_and_ltx2(header)
    shapes = {_diffusers_name(name): shape for name, shape in header.shapes.items()}
    if not _is_ltx_video(shapes):
        _refuse_part_of_several(header)
        raise _not_ltx(header)
    blocks = set(_matches(r"transformer_blocks\.(\d+)\.", shapes))
    complete = blocks == {str(number) for number in range(len(blocks))}
    if len(shapes.get("proj_out.weight", ())) != 2 or not complete:
        _refuse_part_of_several(header)
        raise BadInput(
            problem=f"{header.path.name} is not a whole model: layers of its transformer are missing.",
            remedy=GET_AGAIN,
        )
    _refuse_few_bits(header)
    width, in_channels = shapes["proj_in.weight"]
    return _Weights(
        layers=len(blocks),
        width=width,
        in_channels=in_channels,
        out_channels=shapes["proj_out.weight"][0],
        cross_attention=shapes["transformer_blocks.0.attn2.to_k.weight"][1],
        caption_channels=shapes["caption_projection.linear_1.weight"][1],
        vae=_vae_version(shapes, "vae."),
    )


def _diffusers_name(name: str) -> str:
    """The name that diffusers gives to a weight of the transformer; names of the VAE stay."""
    if name.startswith("vae."):
        return name
    name = name.removeprefix(_PREFIX)
    for original, ours in _ORIGINAL_NAMES:
        name = name.replace(original, ours)
    return name


def _is_ltx_video(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    needed = (
        "proj_in.weight",
        "scale_shift_table",
        "time_embed.linear.weight",
        "caption_projection.linear_1.weight",
        "transformer_blocks.0.attn1.norm_q.weight",
        "transformer_blocks.0.attn2.to_k.weight",
    )
    matrices = (name for name in needed if name.startswith(("proj", "caption")) or "to_k" in name)
    return all(name in shapes for name in needed) and all(len(shapes[name]) == 2 for name in matrices)


def _vae_version(shapes: Mapping[str, tuple[int, ...]], prefix: str = "") -> str:
    """Whose VAE it is: '0.9.0', '0.9.1' or '0.9.5' (also that of all later ones); '' for none."""
    out = shapes.get(f"{prefix}encoder.conv_out.conv.weight")
    if out is None or len(out) != 5:
        return ""
    if out[1] == 2048:
        return "0.9.5"
    conditioned = ("decoder.last_time_embedder", "decoder.time_embedder")
    names = (f"{prefix}{name}.timestep_embedder.linear_1.weight" for name in conditioned)
    return "0.9.1" if any(name in shapes for name in names) else "0.9.0"


def _recognise_folder(folder: Path) -> Recognised:
    if (folder / "adapter_config.json").is_file():
        raise _lora(folder)
    index = read_config(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    part = folder / "transformer"
    if part.is_dir():
        _refuse_other_class(folder, read_config(part / "config.json"))
        weights = _weights_of(read_header(part))
        vae = folder / "vae"
        version = _vae_version(read_header(vae).shapes) if any(vae.glob("*.safetensors")) else ""
        return _recognised(
            weights,
            "pipeline-folder",
            _folder_name(folder),
            vae=version,
            pipeline=_text(index, "_class_name"),
        )
    if index:
        _refuse_other_class(folder, index)
    if (folder / "config.json").is_file():
        _refuse_other_class(folder, read_config(folder / "config.json"))
        return _recognised(_weights_of(read_header(folder)), "transformer-folder", _folder_name(folder))
    raise _folder_without_model(folder)


def _vae_of_config(config: Mapping[str, Any]) -> str:
    channels = config.get("block_out_channels")
    if not isinstance(channels, list) or not channels:
        return ""
    if channels[-1] == 2048:
        return "0.9.5"
    return "0.9.1" if config.get("timestep_conditioning") else "0.9.0"


def _recognised(
    weights: _Weights,
    layout: Layout,
    name: str,
    *,
    vae: str = "",
    distilled: bool = False,
    pipeline: str = "",
) -> Recognised:
    """Put together what weights and name tell. pipeline: class that a folder names for sampling."""
    vae = vae or weights.vae
    distilled = distilled or "distill" in name.lower()
    architecture = _architecture(weights)
    versions = _POSSIBLE.get((architecture, vae)) or _POSSIBLE.get((architecture, ""), ())
    named = _version_in(name)
    sure = len(versions) == 1 or named in versions
    version = named if named in versions else (versions[0] if versions else "")
    variant = _variant(architecture, version, distilled)
    return Recognised(
        family="ltx-video",
        variant=variant,
        title=_title(weights, version, variant, () if sure else versions, layout),
        layout=layout,
        layers=weights.layers,
        width=weights.width,
        vae=vae,
        versions=versions,
        version_sure=sure,
        distilled=variant.endswith("-distilled") or distilled,
        coordinates=_coordinates(version, vae, pipeline),
    )


def _architecture(weights: _Weights) -> str:
    return _ARCHITECTURES.get((weights.layers, weights.width), "")


def _variant(architecture: str, version: str, distilled: bool) -> str:
    """The catalog id; where a version was not published in that form, the newest-like one that was."""
    if (architecture, version) not in _VARIANTS:
        return ""
    dev, fast = _VARIANTS[architecture, version]
    if not distilled:
        return dev or fast
    others = (pair[1] for (owner, _), pair in _VARIANTS.items() if owner == architecture and pair[1])
    return fast or next(others, dev)


def _coordinates(version: str, vae: str, pipeline: str) -> Literal["plain", "causal"]:
    """From 0.9.5 on, LTX-Video is sampled with causal time coordinates."""
    if version:
        return "causal" if version >= _FIRST_CAUSAL_VAE else "plain"
    return "causal" if vae == _FIRST_CAUSAL_VAE or pipeline == "LTXConditionPipeline" else "plain"


def _title(weights: _Weights, version: str, variant: str, versions: tuple[str, ...], layout: Layout) -> str:
    """In words. versions: those it may be; empty where it is sure."""
    where = _LAYOUT_WORDS[layout]
    if variant == "embedded":
        return f"the practice model, {where}"
    if not variant:
        return f"LTX-Video of a size of its own ({weights.layers} layers, {weights.width} wide), {where}"
    size = "2B" if variant.startswith("ltxv-2b") else "13B"
    fast = " distilled" if variant.endswith("-distilled") else ""
    if versions:
        return (
            f"LTX-Video {size}{fast}, {where}; its weights do not tell the version "
            f"({' or '.join(sorted(versions))}), it is treated as {version}"
        )
    return f"LTX-Video {size} {version}{fast}, {where}"


def _version_in(name: str) -> str:
    """'0.9.6' of a name like 'ltxv-2b-0.9.6-dev-04-25' or 'LTXV_13B_097_DEV'; '' where there is none."""
    found = re.search(r"(?<!\d)(?:0[._]9(?:[._](\d))?|09(\d))(?!\d)", name)
    return f"0.9.{found[1] or found[2] or 0}" if found else ""


def _folder_name(folder: Path) -> str:
    """The name of a folder; of one in the hub's cache, the repository's."""
    return folder.parent.parent.name if folder.parent.name == "snapshots" else folder.name


def _made_for_few_steps(header: Header) -> bool:
    """Whether Lightricks' own configuration in the file lists the only steps it may be sampled with."""
    return bool(_own_config(header).get("allowed_inference_steps"))


def _heads_in_metadata(header: Header) -> int:
    if header.path.is_dir() and (header.path / "config.json").is_file():
        return _number(read_config(header.path / "config.json"), "num_attention_heads")
    transformer = _own_config(header).get("transformer")
    return _number(cast("dict[str, Any]", transformer), "num_attention_heads") if transformer else 0


def _own_config(header: Header) -> Mapping[str, Any]:
    try:
        config: Any = json.loads(header.metadata.get("config", "{}"))
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", config) if isinstance(config, dict) else {}


def _number(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key, 0)
    return value if isinstance(value, int) else 0


def _text(config: Mapping[str, Any], key: str) -> str:
    return str(config.get(key, ""))


def _matches(pattern: str, names: Iterable[str]) -> Iterable[str]:
    found = (re.match(pattern, name) for name in names)
    return (match[1] for match in found if match)


def _refuse_adapters_and_ltx2(header: Header) -> None:
    if any(_LORA.search(name) for name in header.shapes):
        raise _lora(header.path)
    if any(_LTX2.search(name) for name in header.shapes):
        raise _ltx2(header.path)


def _refuse_part_of_several(header: Header) -> None:
    if re.search(r"-\d{5}-of-\d{5}$", header.path.stem):
        raise BadInput(
            problem=f"{header.path.name} is one of several parts of a model.",
            remedy="Give the folder that holds all parts.",
        )


def _refuse_few_bits(header: Header) -> None:
    """Weights that somebody already made smaller cannot be read as numbers without their recipe."""
    blocks = [name for name in header.dtypes if "transformer_blocks." in name and not name.startswith("vae.")]
    small = [name for name in blocks if header.dtypes[name] not in ("F64", "F32", "F16", "BF16")]
    if small:
        raise BadInput(
            problem=f"The weights in {header.path.name} are already stored in fewer bits "
            f"({header.dtypes[small[0]]}).",
            remedy="Get the bf16 file of this model. The recipe can make it smaller while it loads.",
        )


def _refuse_other_class(folder: Path, config: Mapping[str, Any]) -> None:
    """By the class that a model_index.json or a transformer's config.json names."""
    named = _text(config, "_class_name")
    if named.startswith("LTX2"):
        raise _ltx2(folder)
    if not named.startswith("LTX"):
        kind = f"it is a {named}" if named else "its configuration names no model"
        raise BadInput(
            problem=f"{folder.name} is no LTX-Video model: {kind}.",
            remedy="Choose one of the models in the list, or another LTX-Video model.",
        )


def _lora(path: Path) -> BadInput:
    return BadInput(
        problem=f"{path.name} is a LoRA, not a model.",
        remedy="Choose the base model that it was trained on.",
    )


def _ltx2(path: Path) -> BadInput:
    return BadInput(
        problem=f"{path.name} is an LTX-2 model, which makes sound as well. LTX Wizard cannot train it yet.",
        remedy="Choose an LTX-Video model: 2B or 13B.",
    )


def _not_ltx(header: Header) -> WizardError:
    kind = next(
        (
            words
            for pattern, words in _OTHER_MODELS
            if any(re.search(pattern, name) for name in header.shapes)
        ),
        "",
    )
    first = min(header.shapes, key=lambda name: (math.prod(header.shapes[name]) == 0, name))
    looks = f"it looks like {kind}" if kind else f"its first weight is called '{first[:80]}'"
    return BadInput(
        problem=f"{header.path.name} is no LTX-Video model: {looks}.",
        remedy="Choose one of the models in the list, or another LTX-Video model.",
    )


def _folder_without_model(folder: Path) -> WizardError:
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return BadInput(
            problem=f"{folder} is a folder of files, not a model in diffusers layout.",
            remedy=f"Give one of its files, such as {files[0].name}.",
        )
    return NotFound(
        problem=f"There is no model in {folder}.",
        remedy="Choose a folder with model_index.json or transformer/config.json in it.",
    )
