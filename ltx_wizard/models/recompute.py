"""Gradient checkpointing: a block's activations are calculated twice instead of being kept. Worker-side.

Torch's reentrant form calculates the first time without any graph. The other form builds one, and layers of
bitsandbytes then keep their inputs in it, which is the very memory that was to be saved.
"""

from __future__ import annotations

from typing import Any

from diffusers import LTXVideoTransformer3DModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def enable_recompute(transformer: LTXVideoTransformer3DModel, dropout: bool) -> None:
    """Recompute every block in the backward pass. dropout: whether a block draws random numbers, which
    then have to be the same both times.
    """

    def recomputed(block: nn.Module, hidden: Tensor, *rest: Any) -> Tensor:  # noqa: ANN401 - the block's inputs
        if not hidden.requires_grad:
            # Nothing before the first block is trained, and a block whose input wants no gradient is skipped.
            hidden = hidden.detach().requires_grad_()
        output: Any = checkpoint(block, hidden, *rest, use_reentrant=True, preserve_rng_state=dropout)
        return output

    transformer.enable_gradient_checkpointing(recomputed)
