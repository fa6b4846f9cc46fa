from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ltx_wizard.app import system
from ltx_wizard.core import places

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the driver's tool is played by a script")

TWO_CARDS = "NVIDIA GeForce RTX 4090, 24564, 512, 45, 580.65.06\nNVIDIA RTX A6000, 49140, 0, 30, 580.65.06\n"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """driver(answer): a tool called nvidia-smi that answers so."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(answer: str, code: int = 0) -> None:
        tool = folder / "nvidia-smi"
        tool.write_text(f"#!{sys.executable}\nprint({answer!r}, end='')\nraise SystemExit({code})\n")
        tool.chmod(0o755)

    monkeypatch.setenv("PATH", str(folder))
    system.first_gpu.cache_clear()
    yield install
    system.first_gpu.cache_clear()


def test_cards_are_read_from_the_drivers_tool(driver: Callable[..., None]) -> None:
    driver(TWO_CARDS)
    first, second = system.gpus()
    assert (first.name, first.temperature_c, first.driver) == ("NVIDIA GeForce RTX 4090", 45, "580.65.06")
    assert (round(first.vram_gib, 2), first.used_gib) == (23.99, 0.5)
    assert round(second.vram_gib) == 48
    assert system.first_gpu() == first
    assert system.machine_text() == "NVIDIA GeForce RTX 4090, 24 GB"


def test_without_the_tool_there_is_no_card(driver: Callable[..., None]) -> None:
    assert system.gpus() == []
    assert system.first_gpu() is None
    assert system.machine_text().startswith("No NVIDIA card: ")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", 9),
        ("No devices were found", 0),
        ("NVIDIA GB10, [N/A], [N/A], 45, 580\n", 0),
        ("", 0),
    ],
)
def test_a_driver_that_does_not_answer_well_is_no_card(
    driver: Callable[..., None], answer: str, code: int
) -> None:
    driver(answer, code)
    assert system.gpus() == []


def test_memory_and_disk_are_plausible(tmp_path: Path) -> None:
    used, total = system.memory_gib()
    assert 0 < used < total
    assert system.free_disk_gib(tmp_path / "not" / "there" / "yet") > 0


def test_the_doctor_names_a_remedy_for_all_that_is_bad(
    driver: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(places, "EMBEDDED_MODEL", tmp_path / "missing")
    findings = {item.name: item for item in system.doctor()}
    assert not findings["Graphics card"].good
    assert not findings["Practice model"].good
    assert all(item.remedy for item in findings.values() if not item.good)
    assert findings["gradio"].good
    assert system.doctor_json()["good"] is False


def test_a_computer_without_a_card_is_still_good(driver: Callable[..., None]) -> None:
    bad = [item.name for item in system.doctor() if not item.good]
    assert "Graphics card" in bad
    assert system.doctor_json()["good"] is (bad == ["Graphics card"])


def test_the_doctor_says_what_quantised_models_take(
    driver: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path))
    assert _kept() == "none"
    file = tmp_path / "cache" / "quantized" / "0123" / "0000.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(3 * 1024**2))
    assert _kept() == f"3.0 MB in {tmp_path / 'cache' / 'quantized'}: for faster starts, may be deleted"


def _kept() -> str:
    return next(item.text for item in system.doctor() if item.name == "Quantised models kept")


def test_versions_name_python_and_what_training_depends_on() -> None:
    found = system.versions()
    assert {"python", "torch", "diffusers", "peft", "safetensors"} <= set(found)
    assert all(found.values())


def test_addresses_are_those_that_others_can_use() -> None:
    found = system.network_addresses()
    assert all(re.fullmatch(r"(\d{1,3}\.){3}\d{1,3}", address) for address in found)
    assert not any(address.startswith("127.") for address in found)
