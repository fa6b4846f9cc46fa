"""The catalog: what it promises about each model, and models that are not in it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from diffusers.pipelines.ltx.pipeline_ltx_condition import linear_quadratic_schedule
from model_files import (
    TRANSFORMERS,
    VAES,
    original_transformer,
    other_size,
    write_config,
    write_header_only,
    write_pipeline,
)

from ltx_wizard.core.errors import BadInput, NotFound
from ltx_wizard.core.places import EMBEDDED_MODEL
from ltx_wizard.models import catalog
from ltx_wizard.models.catalog import CATALOG, EMBEDDED, PARAMETERS, find_model, models_for_lora, named
from ltx_wizard.models.spec import PARTS, ModelSpec

LARGE = [spec for spec in CATALOG if spec is not EMBEDDED]
BY_ID = {spec.id: spec for spec in CATALOG}


def test_ids_are_unique_and_the_practice_model_is_first() -> None:
    assert len(BY_ID) == len(CATALOG)
    assert CATALOG[0] is EMBEDDED
    assert all(find_model(spec.id) is spec for spec in CATALOG)


def test_time_is_causal_from_0_9_5_on() -> None:
    plain = {spec.id for spec in CATALOG if spec.coordinates == "plain"}
    assert plain == {"embedded", "ltxv-2b-0.9.0", "ltxv-2b-0.9.1"}


def test_distilled_models_sample_in_8_steps_without_guidance_and_are_not_trained() -> None:
    for spec in CATALOG:
        distilled = "distilled" in spec.id
        assert (spec.standing == "distilled") == distilled
        assert spec.trainable == (not distilled)
        assert bool(spec.why_not_trainable) == distilled
        assert ((spec.sampling.steps, spec.sampling.guidance) == (8, 1.0)) == distilled


def test_distilled_models_have_their_own_noise_levels_and_the_others_none() -> None:
    for spec in CATALOG:
        levels = spec.sampling.noise_levels
        assert bool(levels) == (spec.standing == "distilled")
        if levels:
            assert spec.coordinates == "causal"  # LTXPipeline takes no timesteps beside its own sigmas
            assert len(levels) == spec.sampling.steps
            assert levels == pytest.approx(linear_quadratic_schedule(8).tolist(), abs=1e-4)
            assert spec.sampling.levels_of(8) == levels
            assert spec.sampling.levels_of(4) == pytest.approx((1.0, 0.9875, 0.975, 0.725))
            assert spec.sampling.levels_of(2) == (1.0, 0.975)
        assert spec.sampling.levels_of(5) == spec.sampling.levels_of(40) == ()


def test_a_lora_fits_the_models_of_its_architecture_also_the_distilled_ones() -> None:
    fitting = {spec.id for spec in models_for_lora(BY_ID["ltxv-13b-0.9.7-dev"])}
    assert fitting == {spec.id for spec in CATALOG if spec.id.startswith("ltxv-13b")}
    assert "ltxv-13b-0.9.8-distilled" in fitting
    assert {spec.id for spec in models_for_lora(EMBEDDED)} == {"embedded"}


@pytest.mark.parametrize("spec", LARGE, ids=lambda spec: spec.id)
def test_every_part_has_an_address_on_the_hub_and_a_licence(spec: ModelSpec) -> None:
    for part in PARTS:
        repository, inside = spec.address(part)
        assert repository.startswith("Lightricks/")
        assert inside == part or (part == "transformer" and inside.endswith(".safetensors"))
    assert spec.licence and spec.licence_url.startswith("https://huggingface.co/Lightricks/")
    assert {part for part, _ in spec.part_gib} == {"transformer", "vae", "text_encoder"}


def test_all_large_models_share_one_text_encoder() -> None:
    assert {spec.address("text_encoder") for spec in LARGE} == {("Lightricks/LTX-Video", "text_encoder")}


def test_parameters_are_those_of_the_real_configurations() -> None:
    import torch
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    t5 = T5Config(d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, vocab_size=32128,
                  feed_forward_proj="gated-gelu")  # fmt: skip
    with torch.device("meta"):
        models = {f"ltxv-{size}": LTXVideoTransformer3DModel(**TRANSFORMERS[size]) for size in TRANSFORMERS}
        models |= {f"vae-{version}": AutoencoderKLLTXVideo(**VAES[version]) for version in VAES}
        models["t5-xxl"] = T5EncoderModel(t5)
    counted = {name: sum(weight.numel() for weight in model.parameters()) for name, model in models.items()}
    assert counted == PARAMETERS


@pytest.mark.parametrize(
    ("model", "part", "published_gb"),
    [
        ("ltxv-2b-0.9.0", "transformer", 4.94 + 2.75),
        ("ltxv-2b-0.9.1", "transformer", 3.85),
        ("ltxv-2b-0.9.6-dev", "transformer", 6.34),
        ("ltxv-2b-0.9.8-distilled", "transformer", 6.34),
        ("ltxv-13b-0.9.7-dev", "transformer", 4.87 + 4 * 4.97 + 1.34),
        ("ltxv-13b-0.9.8-dev", "transformer", 28.6),
        ("ltxv-2b-0.9.5", "text_encoder", 4.99 + 5.0 + 4.87 + 4.19),
    ],
)
def test_sizes_are_those_that_the_pages_of_the_hub_state(model: str, part: str, published_gb: float) -> None:
    gib = dict(BY_ID[model].part_gib)[part]
    assert gib * 2**30 / 1e9 == pytest.approx(published_gb, rel=0.005)
    assert BY_ID[model].download_gib == pytest.approx(sum(gib for _, gib in BY_ID[model].part_gib))


def test_a_copy_of_the_practice_model_is_used_like_it(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EMBEDDED_MODEL, tmp_path / "my model"))
    spec = find_model(str(folder))
    assert (spec.id, spec.title, spec.source, spec.variant) == (
        str(folder),
        "my model",
        str(folder),
        "embedded",
    )
    assert spec.address("vae") == ("file", f"{folder}/vae")
    same = {
        "id": EMBEDDED.id,
        "title": EMBEDDED.title,
        "source": EMBEDDED.source,
        "summary": EMBEDDED.summary,
    }
    assert replace(spec, variant="", recognised="", **same) == EMBEDDED


def test_a_folder_gets_the_settings_of_what_it_is(tmp_path: Path) -> None:
    old = find_model(str(write_pipeline(tmp_path / "old", "2b", "0.9.1", "LTXPipeline")))
    folder = write_pipeline(tmp_path / "new", "13b", "0.9.5")
    for part in PARTS:
        (folder / part).mkdir(exist_ok=True)
    new = find_model(str(folder))
    assert (old.coordinates, old.max_caption_tokens, old.architecture) == ("plain", 128, "ltxv-2b")
    assert (new.coordinates, new.max_caption_tokens, new.architecture) == ("causal", 256, "ltxv-13b")
    assert (new.variant, new.local, new.files, new.download_gib) == ("ltxv-13b-0.9.7-dev", True, (), 0)


def test_a_single_file_takes_its_companions_from_its_own_version(tmp_path: Path) -> None:
    file = write_header_only(tmp_path / "ltxv-13b-0.9.8-dev.safetensors", original_transformer("13b"))
    spec = find_model(str(file))
    known = BY_ID["ltxv-13b-0.9.8-dev"]
    assert spec.address("transformer") == ("file", str(file))
    for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
        assert spec.address(part) == known.address(part)
    assert spec.download_gib == pytest.approx(known.download_gib - dict(known.part_gib)["transformer"])
    assert not spec.local


def test_what_a_folder_lacks_comes_from_the_hub_as_for_a_single_file(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "ltxv-13b-0.9.8", "13b", "0.9.5")
    spec, known = find_model(str(folder)), BY_ID["ltxv-13b-0.9.8-dev"]
    for part in ("transformer", "vae"):
        assert spec.address(part) == ("file", str(folder / part))
    for part in ("text_encoder", "tokenizer", "scheduler"):
        assert spec.address(part) == known.address(part)
    assert spec.download_gib == pytest.approx(dict(known.part_gib)["text_encoder"])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (" ltxv-2b-0.9.6-dev ", "ltxv-2b-0.9.6-dev"),
        ("LTXV-13B-0.9.7-dev", "ltxv-13b-0.9.7-dev"),
        ("https://huggingface.co/somebody/ltxv-anime", "somebody/ltxv-anime"),
        ("https://hf.co/somebody/ltxv-anime/tree/main/", "somebody/ltxv-anime"),
        (
            "https://huggingface.co/Lightricks/LTX-Video/blob/main/ltxv-2b-0.9.6-dev-04-25.safetensors",
            "ltxv-2b-0.9.6-dev",
        ),
        ("/models/LTXV 13B.safetensors", "/models/LTXV 13B.safetensors"),
        ("somebody/LTXV", "somebody/LTXV"),
    ],
)
def test_what_was_typed_or_pasted_becomes_what_it_means(typed: str, meant: str) -> None:
    assert named(typed) == meant


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (
            "https://huggingface.co/somebody/m/blob/main/mine.safetensors",
            "page of one file, mine.safetensors",
        ),
        ("https://example.com/somebody/model", "is not the page of a model on the hub"),
        ("https://huggingface.co/", "is not the page of a model on the hub"),
        ("https://huggingface.co/somebody", "is not the page of a model on the hub"),
    ],
)
def test_another_page_says_what_to_give_instead(typed: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        named(typed)
    assert "give its path" in caught.value.remedy


def test_no_path_of_this_computer_is_in_the_name_for_others(tmp_path: Path) -> None:
    file = write_header_only(tmp_path / "ltxv-13b-0.9.7-dev.safetensors", original_transformer("13b"))
    assert find_model(str(file)).public_name == "ltxv-13b-0.9.7-dev"
    assert replace(EMBEDDED, id=str(tmp_path), variant="").public_name == "ltx-video"
    assert replace(EMBEDDED, id="owner/name", variant="embedded").public_name == "owner/name"
    assert {spec.public_name for spec in CATALOG} == {spec.id for spec in CATALOG}


def test_a_distilled_file_is_not_trained_either(tmp_path: Path) -> None:
    file = write_header_only(tmp_path / "ltxv-2b-0.9.8-distilled.safetensors", original_transformer("2b"))
    assert not find_model(str(file)).trainable


def test_a_size_of_its_own_takes_time_as_its_pipeline_does(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EMBEDDED_MODEL, tmp_path / "other"))
    shutil.rmtree(folder / "transformer")
    write_config(folder / "transformer" / "config.json", "LTXVideoTransformer3DModel", num_attention_heads=32)
    write_header_only(folder / "transformer" / "diffusion_pytorch_model.safetensors", other_size())
    assert find_model(str(folder)).coordinates == "plain"
    write_config(folder / "model_index.json", "LTXConditionPipeline")
    spec = find_model(str(folder))
    assert (spec.coordinates, spec.variant, spec.architecture) == ("causal", "", "ltxv-1x64")


@pytest.mark.parametrize(
    ("repository", "model"),
    [
        ("Lightricks/LTX-Video", "ltxv-2b-0.9.0"),
        ("Lightricks/LTX-Video-0.9.1", "ltxv-2b-0.9.1"),
        ("Lightricks/LTX-Video-0.9.5", "ltxv-2b-0.9.5"),
        ("Lightricks/LTX-Video-0.9.7-dev", "ltxv-13b-0.9.7-dev"),
        ("Lightricks/LTX-Video-0.9.7-distilled", "ltxv-13b-0.9.7-distilled"),
        ("Lightricks/LTX-Video-0.9.8-13B-distilled", "ltxv-13b-0.9.8-distilled"),
    ],
)
def test_a_repository_of_the_catalog_is_its_entry(repository: str, model: str) -> None:
    assert find_model(repository).id == model


def test_another_repository_is_known_once_its_configuration_is_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NotFound, match="somebody/ltxv-anime has not been looked up") as caught:
        find_model("somebody/ltxv-anime")
    assert "ltx-wizard models somebody/ltxv-anime" in caught.value.remedy
    put_into_cache(tmp_path, "somebody/ltxv-anime", "13b", "0.9.5")
    spec = find_model("somebody/ltxv-anime")
    assert (spec.id, spec.source, spec.variant) == (
        "somebody/ltxv-anime", "somebody/ltxv-anime", "ltxv-13b-0.9.7-dev",
    )  # fmt: skip
    assert spec.address("text_encoder") == ("somebody/ltxv-anime", "text_encoder")
    put_into_cache(tmp_path, "somebody/old", "2b", "0.9.1")
    assert find_model("somebody/old").coordinates == "plain"


def put_into_cache(cache: Path, repository: str, size: str, vae: str) -> None:
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    snapshot = folder / "snapshots" / "c0ffee"
    settings = {"num_attention_heads": 32, "in_channels": 128, "out_channels": 128, "caption_channels": 4096}
    write_config(
        snapshot / "transformer" / "config.json",
        "LTXVideoTransformer3DModel",
        **settings,
        **TRANSFORMERS[size],
    )
    write_config(snapshot / "vae" / "config.json", "AutoencoderKLLTXVideo", **VAES[vae])


def test_an_unknown_name_says_what_can_be_given() -> None:
    for name in ("ltxv-99b", ""):
        with pytest.raises(NotFound, match="There is no model called") as caught:
            find_model(name)
        assert "ltxv-13b-0.9.7-dev" in caught.value.remedy


def test_a_path_that_is_gone_is_not_taken_for_a_repository(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        find_model(str(tmp_path / "gone"))
    with pytest.raises(NotFound, match="There is no file"):
        find_model("folder/gone.safetensors")


def test_a_relative_path_becomes_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_header_only(tmp_path / "models" / "a.safetensors", original_transformer("2b"))
    monkeypatch.chdir(tmp_path)
    spec = find_model(os.path.join("models", "a.safetensors"))  # noqa: PTH118 - as it is typed
    assert spec.address("transformer") == ("file", str(tmp_path / "models" / "a.safetensors"))


def test_a_damaged_model_is_refused_with_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "empty.safetensors").touch()
    with pytest.raises(BadInput, match="is empty"):
        find_model(str(tmp_path / "empty.safetensors"))


def test_the_catalog_reads_nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog id is answered before any path or cache is looked at."""
    monkeypatch.setattr(catalog, "recognise", lambda _: pytest.fail("looked at a path"))
    monkeypatch.setattr(catalog, "recognise_cached", lambda _: pytest.fail("looked at the cache"))
    assert find_model("ltxv-2b-0.9.5").title == "LTX-Video 2B 0.9.5"
