"""One LoRA after the other on a base model that stays where it is. Worker-side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ltx_wizard.core.errors import BadInput
from ltx_wizard.interop.key_names import DIFFUSERS_PREFIX
from ltx_wizard.interop.lora_keys import LoraFile, recognise_lora
from ltx_wizard.models.precision import release_memory

ADAPTER = "lab"


class LoraSwap:
    """Puts LoRAs on a pipeline's transformer through the pipeline's own loader, as any program would."""

    def __init__(
        self, pipeline: Any, model_layers: dict[str, tuple[int, int]], model_title: str  # noqa: ANN401
    ) -> None:  # fmt: skip
        self._pipeline, self._layers, self._title = pipeline, model_layers, model_title
        self._loaded: Path | None = None
        self._header_scale = 1.0

    def none(self) -> None:
        """The base model alone."""
        if self._loaded is not None:
            self._pipeline.disable_lora()

    def use(self, file: Path, strength: float, scale: float = 1.0) -> None:
        """This LoRA at this strength. scale: alpha / rank, where its weights do not hold it.

        Raises NotFound, or BadInput for a file that is no LoRA for this model.
        """
        if file != self._loaded:
            found = recognise_lora(file, self._layers, self._title)
            self._remove()
            self._load(found)
            self._header_scale = found.scale
        self._pipeline.enable_lora()
        # The weights stay as they are: set_adapters changes the factor that their product is multiplied by.
        self._pipeline.set_adapters([ADAPTER], [strength * scale * self._header_scale])

    def _load(self, found: LoraFile) -> None:
        try:
            self._pipeline.load_lora_weights(lora_weights_of(found), adapter_name=ADAPTER)
        except (ValueError, RuntimeError, KeyError, OSError) as error:
            raise BadInput(
                problem=f"{found.path.name} cannot be put on {self._title}: {error}.",
                remedy="Choose a LoRA that was trained on this model.",
            ) from error
        self._loaded = found.path

    def _remove(self) -> None:
        if self._loaded is None:
            return
        self._pipeline.delete_adapters(ADAPTER)
        self._loaded = None
        release_memory()


def lora_weights_of(found: LoraFile) -> dict[str, Tensor]:
    """The weights under the names of a diffusers file, untouched but for an alpha that is not the rank: it is
    multiplied into B. Raises BadInput for a damaged file.
    """
    try:
        tensors = load_file(found.path)
    except (SafetensorError, OSError) as error:
        raise BadInput(
            problem=f"{found.path.name} is damaged: it cannot be read.", remedy="Download it again."
        ) from error
    weights: dict[str, Tensor] = {}
    for module, layer in found.layers.items():
        up = tensors[layer.up]
        if layer.alpha:
            scale = float(tensors[layer.alpha]) / layer.rank
            up = up if scale == 1.0 else (up.float() * scale).to(up.dtype)
        weights[f"{DIFFUSERS_PREFIX}{module}.lora_A.weight"] = tensors[layer.down].contiguous()
        weights[f"{DIFFUSERS_PREFIX}{module}.lora_B.weight"] = up.contiguous()
    return weights
