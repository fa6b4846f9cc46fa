"""A model of the real architecture, two layers small, with random weights: what the mathematics is tested
on.
"""

from __future__ import annotations

import pytest
import torch
from diffusers import LTXVideoTransformer3DModel


@pytest.fixture
def small_transformer() -> LTXVideoTransformer3DModel:
    torch.manual_seed(0)
    return LTXVideoTransformer3DModel(
        in_channels=16,
        out_channels=16,
        num_attention_heads=2,
        attention_head_dim=16,
        cross_attention_dim=32,
        num_layers=2,
        caption_channels=24,
    ).eval()
