from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from ltx_wizard.core.errors import BadInput, NotFound
from ltx_wizard.core.places import EMBEDDED_MODEL
from ltx_wizard.models.catalog import EMBEDDED, LTXV_2B_096_DEV
from ltx_wizard.models.spec import PARTS, ModelSpec
from ltx_wizard.models.weights import encoder_id, find_files, hub_parts, missing_parts, refuse_incomplete

NEW, OLD = "b" * 40, "a" * 40
REPOSITORY = "someone/model"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def on_hub() -> ModelSpec:
    """The practice model, as if all of it came from one repository."""
    return replace(EMBEDDED, id="someone", title="Someone's model", source=REPOSITORY, local=False, files=())


def snapshot(cache: Path, commit: str = NEW, parts: tuple[str, ...] = PARTS, main: bool = True) -> Path:
    """The practice model's parts in the cache, as of this commit."""
    storage = cache / "models--someone--model"
    for part in parts:
        shutil.copytree(EMBEDDED_MODEL / part, storage / "snapshots" / commit / part)
    if main:
        (storage / "refs").mkdir(exist_ok=True)
        (storage / "refs" / "main").write_text(commit)
    return storage / "snapshots" / commit


def with_file(spec: ModelSpec, part: str, place: Path | str) -> ModelSpec:
    return replace(spec, files=(*spec.files, f"{part}=file:{place}"))


def test_the_practice_model_needs_nothing_from_the_hub() -> None:
    assert hub_parts(EMBEDDED) == () and missing_parts(EMBEDDED) == ()
    assert find_files(EMBEDDED).vae == EMBEDDED_MODEL / "vae"


def test_what_lies_in_the_cache_is_found_without_asking_anybody(cache: Path, on_hub: ModelSpec) -> None:
    place = snapshot(cache)
    assert find_files(on_hub).transformer == place / "transformer"
    assert missing_parts(on_hub) == ()


def test_what_is_missing_is_named_with_the_way_to_get_it(cache: Path, on_hub: ModelSpec) -> None:
    snapshot(cache, parts=("transformer", "tokenizer", "scheduler"))
    with pytest.raises(NotFound) as failed:
        find_files(on_hub)
    assert "the vae and the text encoder are missing" in failed.value.problem
    assert failed.value.remedy.endswith("ltx-wizard download someone")
    assert missing_parts(on_hub) == ("vae", "text_encoder")


def test_nothing_at_all_is_missing_everything(on_hub: ModelSpec) -> None:
    assert missing_parts(on_hub) == PARTS


@pytest.mark.parametrize(
    "gone",
    [
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_part_is_missing_until_it_is_whole(cache: Path, on_hub: ModelSpec, gone: str) -> None:
    (snapshot(cache) / gone).unlink()
    assert missing_parts(on_hub) == (gone.split("/")[0],)


def test_every_shard_of_the_index_must_be_there(cache: Path, on_hub: ModelSpec) -> None:
    place = snapshot(cache) / "text_encoder"
    (place / "model.safetensors").rename(place / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = place / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    assert missing_parts(on_hub) == ("text_encoder",)
    (place / shards["b"]).write_bytes(b"x")
    assert missing_parts(on_hub) == ()
    for damaged in ("{ torn", '{"weight_map": ["a"]}'):
        index.write_text(damaged)
        assert missing_parts(on_hub) == ("text_encoder",)


def test_a_folder_of_ones_own_whose_text_encoder_lacks_a_shard_is_not_complete(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EMBEDDED_MODEL, tmp_path / "mine"))
    spec = replace(EMBEDDED, title="Mine", source=str(folder))
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "text_encoder" / "model.safetensors").rename(folder / "text_encoder" / shards["a"])
    index = json.dumps({"weight_map": shards})
    (folder / "text_encoder" / "model.safetensors.index.json").write_text(index)
    for look in (find_files, refuse_incomplete):
        with pytest.raises(NotFound, match=f"text encoder has no {shards['b']}"):
            look(spec)
    (folder / "text_encoder" / "config.json").unlink()
    with pytest.raises(NotFound, match=r"text encoder has no config\.json"):
        refuse_incomplete(spec)


def test_a_part_of_an_older_commit_is_used_where_the_newest_lacks_it(cache: Path, on_hub: ModelSpec) -> None:
    older = snapshot(cache, OLD)
    newer = snapshot(cache, NEW, parts=("transformer",))
    files = find_files(on_hub)
    assert files.transformer == newer / "transformer"
    assert files.vae == older / "vae"


def test_without_a_branch_the_newest_snapshot_is_used(cache: Path, on_hub: ModelSpec) -> None:
    older, newer = snapshot(cache, OLD, main=False), snapshot(cache, NEW, main=False)
    os.utime(older, (1, 1))
    assert find_files(on_hub).vae == newer / "vae"


def test_a_part_may_be_a_folder_on_this_computer(cache: Path, on_hub: ModelSpec, tmp_path: Path) -> None:
    snapshot(cache, parts=("transformer", "text_encoder", "tokenizer", "scheduler"))
    shutil.copytree(EMBEDDED_MODEL / "vae", tmp_path / "my vae: best")
    spec = with_file(on_hub, "vae", tmp_path / "my vae: best")
    assert find_files(spec).vae == tmp_path / "my vae: best"
    assert "vae" not in {part for part, _, _ in hub_parts(spec)}


def test_a_drive_letter_is_no_repository() -> None:
    spec = with_file(LTXV_2B_096_DEV, "scheduler", "x")
    spec = replace(spec, files=(r"transformer=file:C:\models\ltx video.safetensors",))
    assert spec.address("transformer") == ("file", r"C:\models\ltx video.safetensors")
    assert "transformer" not in {part for part, _, _ in hub_parts(spec)}


def test_a_part_that_was_moved_away_is_named_with_its_place(tmp_path: Path) -> None:
    spec = with_file(EMBEDDED, "vae", tmp_path / "gone.safetensors")
    with pytest.raises(NotFound) as failed:
        find_files(spec)
    assert "gone.safetensors" in failed.value.problem


def test_a_folder_with_pickles_only_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "vae"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(BadInput) as failed:
        find_files(with_file(EMBEDDED, "vae", place))
    assert "run code" in failed.value.problem


def test_the_encoder_follows_a_copied_folder_and_changes_with_its_settings(tmp_path: Path) -> None:
    before = encoder_id(EMBEDDED, find_files(EMBEDDED))
    shutil.copytree(EMBEDDED_MODEL / "vae", tmp_path / "vae")
    spec = with_file(EMBEDDED, "vae", tmp_path / "vae")
    assert encoder_id(spec, find_files(spec)) == before
    config = tmp_path / "vae" / "config.json"
    config.write_text(config.read_text().replace("{", '{"x": 1,', 1))
    assert encoder_id(spec, find_files(spec)) != before


def test_the_encoder_of_a_single_file_is_known_by_its_header(tmp_path: Path) -> None:
    weights = EMBEDDED_MODEL / "vae" / "diffusion_pytorch_model.safetensors"
    spec = with_file(EMBEDDED, "vae", tmp_path / "vae.safetensors")
    shutil.copyfile(weights, tmp_path / "vae.safetensors")
    before = encoder_id(spec, find_files(spec))
    assert encoder_id(spec, find_files(spec)) == before
    changed = bytearray(weights.read_bytes())
    changed[9] ^= 1  # in the header; the size stays
    (tmp_path / "vae.safetensors").write_bytes(changed)
    assert encoder_id(spec, find_files(spec)) != before
