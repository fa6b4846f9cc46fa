"""Looking a model up on the hub: against a hub on this computer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub, running
from huggingface_hub import constants
from model_files import TRANSFORMERS, VAES

from ltx_wizard.app import datasets
from ltx_wizard.app.settings import set_hub
from ltx_wizard.core.errors import BadInput, NotFound, WizardError
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.lookup import look_up, recognise_cached

MINE = "somebody/ltxv-13b-0.9.8-anime"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def server() -> Iterator[FakeHub]:
    with running(FakeHub()) as fake:
        fake.repositories[MINE] = repository("13b", "0.9.5")
        yield fake


def repository(size: str, vae: str, transformer: str = "LTXVideoTransformer3DModel") -> dict[str, bytes]:
    settings = {"num_attention_heads": 32, "in_channels": 128, "out_channels": 128, "caption_channels": 4096}
    configs = {
        "transformer/config.json": {"_class_name": transformer, **settings, **TRANSFORMERS[size]},
        "vae/config.json": {"_class_name": "AutoencoderKLLTXVideo", **VAES[vae]},
    }
    weights = {"transformer/diffusion_pytorch_model.safetensors": b"x" * 50_000}
    return {name: json.dumps(config).encode() for name, config in configs.items()} | weights


def test_a_repository_is_recognised_from_two_small_files(server: FakeHub) -> None:
    found = look_up(MINE, server.address)
    assert (found.variant, found.layout, found.vae) == ("ltxv-13b-0.9.8-dev", "hub-folder", "0.9.5")
    fetched = [asked.path for asked in server.asked if asked.method == "GET" and "/resolve/" in asked.path]
    assert {path.split("/")[-2] for path in fetched} == {"transformer", "vae"}
    assert all(path.endswith("config.json") for path in fetched)


def test_what_was_looked_up_is_known_without_the_hub(server: FakeHub) -> None:
    assert recognise_cached(MINE) is None
    with pytest.raises(NotFound, match="has not been looked up"):
        find_model(MINE)
    look_up(MINE, server.address)
    count = len(server.asked)
    assert look_up(MINE, server.address) == recognise_cached(MINE)
    assert find_model(MINE).architecture == "ltxv-13b"
    assert len(server.asked) == count


def test_a_typed_repository_is_looked_up_at_the_mirror_that_was_set(server: FakeHub) -> None:
    set_hub(server.address, offline=False)
    spec = datasets.recognise_model(f"  {MINE} ")
    assert (spec.id, spec.recognised) == (MINE, "LTX-Video 13B 0.9.8, diffusers folders on the hub")
    assert spec.download_gib == 0  # nothing is claimed about a size that nobody has asked for


def test_set_offline_no_server_is_asked(server: FakeHub) -> None:
    set_hub(server.address, offline=True)
    with pytest.raises(NotFound, match="set to stay offline"):
        datasets.recognise_model(MINE)
    assert server.asked == []
    assert datasets.recognise_model("Lightricks/LTX-Video-0.9.5").id == "ltxv-2b-0.9.5"


def test_a_repository_of_single_files_says_what_to_do(server: FakeHub) -> None:
    server.repositories["somebody/files"] = {"model.safetensors": b"x" * 20_000}
    with pytest.raises(BadInput, match="holds no model in diffusers layout") as caught:
        look_up("somebody/files", server.address)
    assert "give its path here" in caught.value.remedy


def test_another_model_on_the_hub_is_refused(server: FakeHub) -> None:
    server.repositories["somebody/flux"] = repository("2b", "0.9.0", "FluxTransformer2DModel")
    server.repositories["somebody/ltx2"] = repository("2b", "0.9.0", "LTX2VideoTransformer3DModel")
    with pytest.raises(BadInput, match="it is a FluxTransformer2DModel"):
        look_up("somebody/flux", server.address)
    with pytest.raises(BadInput, match="is an LTX-2 model"):
        look_up("somebody/ltx2", server.address)


def test_a_hub_that_refuses_or_is_gone_is_explained(server: FakeHub) -> None:
    with pytest.raises(WizardError) as unknown:
        look_up("somebody/gone", server.address)
    with pytest.raises(WizardError) as silent:
        look_up("somebody/other", "http://127.0.0.1:9")
    for caught in (unknown, silent):
        assert caught.value.problem and caught.value.remedy
