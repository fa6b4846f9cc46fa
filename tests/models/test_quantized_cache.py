"""Quantised models on disk: whole or not at all, few of them, and never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ltx_wizard.core import places
from ltx_wizard.models import quantized_cache
from ltx_wizard.models.quantized_cache import KEPT, QuantizedCache

ENTRIES = {
    "layer": {"weight": torch.arange(12, dtype=torch.uint8).view(3, 4), "scale": torch.ones(3, 1)},
    "plain.bias": {"": torch.arange(3.0)},
}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(quantized_cache, "ROOM_LEFT_BYTES", 0)


def write(key: str) -> QuantizedCache:
    cache = QuantizedCache(key)
    with cache.writer() as writer:
        for name, parts in ENTRIES.items():
            writer.add(name, parts)
    return cache


def read(cache: QuantizedCache) -> dict[str, dict[str, Tensor]]:
    return dict(cache.read())


def everything_there() -> list[str]:
    folder = places.quantized_models()
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_what_was_written_is_read() -> None:
    cache = QuantizedCache("model")
    assert not cache.exists()
    assert write("model").exists()
    found = read(cache)
    assert found.keys() == ENTRIES.keys()
    for name, parts in ENTRIES.items():
        assert found[name].keys() == parts.keys()
        assert all(torch.equal(found[name][part], value) for part, value in parts.items())
    assert everything_there() == ["model"]


def test_parts_of_an_entry_stand_in_one_file_each_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized_cache, "_SHARD_BYTES", 10)
    cache = write("model")
    assert len(list((places.quantized_models() / "model").iterdir())) == 3  # one each, and an empty last one
    assert read(cache).keys() == ENTRIES.keys()


def test_an_error_in_between_leaves_nothing_behind() -> None:
    with pytest.raises(KeyboardInterrupt), QuantizedCache("model").writer() as writer:
        writer.add("layer", ENTRIES["layer"])
        raise KeyboardInterrupt
    assert everything_there() == []


def test_an_error_while_remaking_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized_cache, "_SHARD_BYTES", 1)
    cache = write("model")
    with pytest.raises(ValueError, match="no model"), cache.writer() as writer:
        writer.add("layer", {"weight": torch.zeros(2)})
        raise ValueError("no model")
    assert read(cache).keys() == ENTRIES.keys()
    assert everything_there() == ["model"]


def test_a_disk_that_becomes_full_is_given_back_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized_cache, "_SHARD_BYTES", 1)
    with QuantizedCache("model").writer() as writer:
        writer.add("layer", ENTRIES["layer"])
        assert len(everything_there()) == 1  # being written

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(quantized_cache, "save_file", full)
        writer.add("plain.bias", ENTRIES["plain.bias"])
        assert everything_there() == []  # at once, not at the end
        writer.add("more", ENTRIES["layer"])
    assert everything_there() == []


def test_room_is_left_for_checkpoints_and_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = sum(value.nbytes for parts in ENTRIES.values() for value in parts.values())
    monkeypatch.setattr(quantized_cache, "ROOM_LEFT_BYTES", 1000)

    def disk(free: int) -> Any:
        return lambda _path: SimpleNamespace(free=free)

    monkeypatch.setattr(quantized_cache.shutil, "disk_usage", disk(999 + needed))
    assert not write("model").exists()
    assert everything_there() == []
    monkeypatch.setattr(quantized_cache.shutil, "disk_usage", disk(1000 + needed))
    assert write("model").exists()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cache").write_text("a file where a folder should be")
    assert not write("model").exists()


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_stays() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    dead = places.quantized_models() / f".model.{process.pid}.partial"
    alive = places.quantized_models() / f".model.{os.getppid()}.partial"
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "0000.safetensors").write_bytes(b"half")
    write("other")
    assert everything_there() == [alive.name, "other"]


def test_only_the_models_that_were_used_last_are_kept() -> None:
    keys = [f"model-{index}" for index in range(KEPT)]
    for age, key in enumerate(keys):
        write(key)
        os.utime(places.quantized_models() / key, (1000 + age, 1000 + age))
    read(QuantizedCache(keys[0]))  # used again
    write("new")
    assert everything_there() == sorted({*keys, "new"} - {keys[1]})


def test_removing_what_is_not_there_is_no_error() -> None:
    QuantizedCache("model").remove()
    cache = write("model")
    cache.remove()
    assert not cache.exists()
