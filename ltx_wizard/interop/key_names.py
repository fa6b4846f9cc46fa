"""Names of weights: as diffusers calls them, and as the original checkpoints and ComfyUI do. No torch here.

Source: the published key map of the LTX-Video conversion. Whole dotted
parts are renamed, never pieces of words.
"""

from __future__ import annotations

DIFFUSERS_PREFIX = "transformer."
COMFYUI_PREFIX = "diffusion_model."

_TO_ORIGINAL = {
    "proj_in": "patchify_proj",
    "time_embed": "adaln_single",
    "norm_q": "q_norm",
    "norm_k": "k_norm",
}
_TO_DIFFUSERS = {original: name for name, original in _TO_ORIGINAL.items()}

LORA_SUFFIXES = (".lora_A.weight", ".lora_B.weight")


def to_comfyui(key: str) -> str:
    """'transformer.proj_in.lora_A.weight' -> 'diffusion_model.patchify_proj.lora_A.weight'."""
    return _renamed(key, DIFFUSERS_PREFIX, COMFYUI_PREFIX, _TO_ORIGINAL)


def to_diffusers(key: str) -> str:
    """The inverse of to_comfyui."""
    return _renamed(key, COMFYUI_PREFIX, DIFFUSERS_PREFIX, _TO_DIFFUSERS)


def module_of(key: str, prefix: str) -> str:
    """The module that a LoRA weight belongs to: 'transformer.a.b.lora_A.weight' -> 'a.b'; '' for other
    names.
    """
    for suffix in LORA_SUFFIXES:
        if key.startswith(prefix) and key.endswith(suffix):
            return key[len(prefix) : -len(suffix)]
    return ""


def _renamed(key: str, old_prefix: str, new_prefix: str, names: dict[str, str]) -> str:
    if not key.startswith(old_prefix):
        raise ValueError(f"{key} does not start with {old_prefix}")
    parts = key[len(old_prefix) :].split(".")
    return new_prefix + ".".join(names.get(part, part) for part in parts)
