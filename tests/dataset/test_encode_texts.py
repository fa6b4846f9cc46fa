from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import MemorySettings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.dataset import encode
from ltx_wizard.dataset.encode import Encoders, encode_texts
from ltx_wizard.models.catalog import EMBEDDED
from ltx_wizard.models.ltx_video import TextEmbedding
from ltx_wizard.models.weights import find_files


def test_embeddings_of_an_encoder_in_8_bits_are_kept_apart(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[bool] = []

    class Encoder:
        def __init__(self, *, in_8_bits: bool) -> None:
            self.in_8_bits = in_8_bits

        def encode(self, caption: str) -> TextEmbedding:
            encoded.append(self.in_8_bits)
            return TextEmbedding(torch.full((len(caption), 4), float(self.in_8_bits)))

    monkeypatch.setattr(
        encode,
        "load_text_encoder",
        lambda _spec, _files, memory, _device: Encoder(in_8_bits=memory.text_encoder_8bit),
    )
    full = Encoders(EMBEDDED, find_files(EMBEDDED), MemorySettings(), torch.device("cpu"))
    short = replace(full, memory=MemorySettings(text_encoder_8bit=True))
    for encoders, value in ((full, 0.0), (short, 1.0), (full, 0.0), (short, 1.0)):
        found = encode_texts(project, ["A cat.", "A cat."], encoders, SilentReport())
        assert torch.equal(found["A cat."].embedding, torch.full((6, 4), value))
    assert encoded == [False, True]
