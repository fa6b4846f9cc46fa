"""One prediction, positions, text and latents: the same as in the diffusers pipelines that will run the
LoRA.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LTXConditionPipeline, LTXPipeline, LTXVideoTransformer3DModel
from diffusers.pipelines.ltx.pipeline_ltx_condition import linear_quadratic_schedule

from ltx_wizard.core.errors import BadInput
from ltx_wizard.core.recipe import LoraSettings, MemorySettings
from ltx_wizard.models.catalog import EMBEDDED, find_model
from ltx_wizard.models.lora import add_lora
from ltx_wizard.models.ltx_video import (
    Sampler,
    SampleRequest,
    TextEmbedding,
    batch_text,
    load_scheduler,
    load_text_encoder,
    load_transformer,
    load_vae,
    pack,
    predict_velocity,
    unpack,
    video_coordinates,
)
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import find_files

CPU = torch.device("cpu")
SHAPE = (3, 4, 5)
CAUSAL = replace(EMBEDDED, coordinates="causal")


@pytest.fixture(scope="module")
def embedded() -> LTXPipeline:
    return LTXPipeline.from_pretrained(EMBEDDED.source, torch_dtype=torch.float32)


def test_packing_is_the_pipelines_and_can_be_undone() -> None:
    latents = torch.randn(2, 16, *SHAPE)
    assert torch.equal(pack(latents), LTXPipeline._pack_latents(latents))
    assert torch.equal(unpack(pack(latents), SHAPE), latents)


def test_plain_coordinates_give_the_rotations_of_ltx_pipeline(
    small_transformer: LTXVideoTransformer3DModel,
) -> None:
    """Its pipeline passes a scale instead of coordinates; the rotations must be the same."""
    tokens = torch.zeros(2, 60, 16)
    scale: Any = (8 / 24, 32, 32)
    theirs = small_transformer.rope(tokens, *SHAPE, scale)
    ours = small_transformer.rope(tokens, video_coords=video_coordinates(EMBEDDED, SHAPE, 24.0, 2, CPU))
    assert torch.allclose(theirs[0], ours[0], atol=1e-5)
    assert torch.allclose(theirs[1], ours[1], atol=1e-5)


def test_causal_coordinates_are_those_of_ltx_condition_pipeline() -> None:
    ids = LTXConditionPipeline._prepare_video_ids(2, *SHAPE, device=CPU)
    theirs = LTXConditionPipeline._scale_video_ids(ids, 32, 8).float()
    theirs[:, 0] /= 25.0
    assert torch.allclose(video_coordinates(CAUSAL, SHAPE, 25.0, 2, CPU), theirs)


def test_the_first_causal_frame_lasts_one_picture_and_the_others_eight() -> None:
    seconds = video_coordinates(CAUSAL, (4, 1, 1), 8.0, 1, CPU)[0, 0]
    assert seconds.tolist() == [0.0, 1 / 8, 9 / 8, 17 / 8]


def test_the_model_is_told_a_thousand_sigma(small_transformer: LTXVideoTransformer3DModel) -> None:
    told: list[torch.Tensor] = []
    small_transformer.time_embed.register_forward_pre_hook(lambda _module, args: told.append(args[0]))
    _predict(small_transformer, sigma=torch.tensor([0.25, 0.9996]))
    assert told[0].tolist() == pytest.approx([250.0, 999.6])


def test_given_tokens_are_told_sigma_zero(small_transformer: LTXVideoTransformer3DModel) -> None:
    told: list[torch.Tensor] = []
    small_transformer.time_embed.register_forward_pre_hook(lambda _module, args: told.append(args[0]))
    clean = torch.zeros(2, 60, dtype=torch.bool)
    clean[0, :20] = True
    _predict(small_transformer, sigma=torch.tensor([0.5, 0.7]), clean=clean)
    timestep = told[0].view(2, 60)
    assert timestep[0, :20].tolist() == [0.0] * 20
    assert timestep[0, 20:].tolist() == [500.0] * 40
    assert timestep[1].tolist() == pytest.approx([700.0] * 60)


def test_one_timestep_a_clip_equals_one_a_token(small_transformer: LTXVideoTransformer3DModel) -> None:
    sigma = torch.tensor([0.5, 0.7])
    nothing_given = torch.zeros(2, 60, dtype=torch.bool)
    assert torch.allclose(
        _predict(small_transformer, sigma), _predict(small_transformer, sigma, nothing_given), atol=1e-6
    )


def test_leaving_out_padding_changes_nothing(small_transformer: LTXVideoTransformer3DModel) -> None:
    """The pipeline pads captions to 128 tokens and masks them; we leave them out."""
    tokens, sigma = torch.randn(1, 60, 16), torch.tensor([0.5])
    caption = torch.randn(7, 24)
    padded = torch.randn(1, 128, 24)
    padded[0, :7] = caption
    mask = torch.zeros(1, 128)
    mask[0, :7] = 1
    coordinates = video_coordinates(EMBEDDED, SHAPE, 8.0, 1, CPU)
    with torch.no_grad():
        theirs = small_transformer(
            hidden_states=tokens,
            encoder_hidden_states=padded,
            timestep=torch.tensor([500.0]),
            encoder_attention_mask=mask,
            video_coords=coordinates,
            return_dict=False,
        )[0]
        text = batch_text([TextEmbedding(caption)], CPU, torch.float32)
        ours = predict_velocity(small_transformer, tokens, sigma, text, coordinates)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_captions_of_different_length_do_not_disturb_each_other(
    small_transformer: LTXVideoTransformer3DModel,
) -> None:
    tokens, sigma = torch.randn(2, 60, 16), torch.tensor([0.5, 0.8])
    texts = [TextEmbedding(torch.randn(3, 24)), TextEmbedding(torch.randn(9, 24))]
    coordinates = video_coordinates(EMBEDDED, SHAPE, 8.0, 2, CPU)
    with torch.no_grad():
        together = predict_velocity(
            small_transformer, tokens, sigma, batch_text(texts, CPU, torch.float32), coordinates
        )
        alone = predict_velocity(
            small_transformer,
            tokens[:1],
            sigma[:1],
            batch_text(texts[:1], CPU, torch.float32),
            coordinates[:1],
        )
    assert torch.allclose(together[:1], alone, atol=1e-5)


@pytest.mark.parametrize(("spec", "kind"), [(EMBEDDED, LTXPipeline), (CAUSAL, LTXConditionPipeline)])
def test_captions_are_encoded_as_by_the_pipeline(embedded: LTXPipeline, spec: ModelSpec, kind: Any) -> None:
    """One of them masks the padding, the other lets T5 see it."""
    caption = "A large red circle moves to the right on a plain grey background."
    encoder = load_text_encoder(spec, find_files(spec), MemorySettings(), CPU)
    theirs, mask, _, _ = kind(**embedded.components).encode_prompt(
        caption, do_classifier_free_guidance=False, max_sequence_length=128
    )
    ours = encoder.encode(caption).embedding
    assert len(ours) == int(mask.sum())
    assert torch.allclose(ours, theirs[0, : len(ours)], atol=1e-5)


def test_clips_are_encoded_and_normalised_as_the_pipeline_decodes_them(embedded: LTXPipeline) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (9, 64, 64, 3), dtype=np.uint8)
    ours = load_vae(EMBEDDED, find_files(EMBEDDED), MemorySettings(), CPU).encode(frames)
    pixels = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad():
        raw = embedded.vae.encode(pixels).latent_dist.mode()
    theirs = LTXPipeline._normalize_latents(raw, embedded.vae.latents_mean, embedded.vae.latents_std)
    assert ours.shape == (128, 2, 2, 2)
    assert torch.allclose(ours, theirs[0], atol=1e-4)


def test_every_shade_reaches_a_video_encoder_in_few_bits_as_near_as_they_can_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = load_vae(EMBEDDED, find_files(EMBEDDED), MemorySettings(), CPU)
    encoder.vae.to(torch.bfloat16)
    seen: list[torch.Tensor] = []
    encode = encoder.vae.encode

    def watch(pixels: torch.Tensor) -> Any:
        seen.append(pixels)
        return encode(pixels)

    monkeypatch.setattr(encoder.vae, "encode", watch)
    shades = np.arange(256, dtype=np.uint8).repeat(12).reshape(1, 32, 32, 3)
    encoder.encode(shades)
    exact = torch.from_numpy(shades).permute(3, 0, 1, 2)[None].double() / 127.5 - 1
    assert torch.equal(seen[0], exact.to(torch.bfloat16))


@pytest.mark.parametrize("spec", [EMBEDDED, CAUSAL], ids=["plain", "causal"])
def test_what_training_predicts_is_what_the_pipeline_predicts(spec: Any) -> None:
    """The very tensors that the sampling pipeline gives its transformer, put through the training side's
    function.
    """
    files = find_files(spec)
    transformer = load_transformer(spec, files, MemorySettings(), CPU)
    vae = load_vae(spec, files, MemorySettings(), CPU).vae
    text = load_text_encoder(spec, files, MemorySettings(), CPU).encode("A red circle moves up.")
    seen: list[dict[str, Any]] = []
    predicted: list[torch.Tensor] = []

    def watch(_module: Any, _args: Any, given: dict[str, Any], output: Any) -> None:
        seen.append(given)
        predicted.append(output[0])

    transformer.register_forward_hook(watch, with_kwargs=True)
    request = SampleRequest(
        text=text, negative=text, width=64, height=96, frames=17, fps=8.0, steps=3, guidance=1.0, seed=0
    )
    Sampler(spec, transformer, vae, load_scheduler(files)).sample(request)
    calls = len(seen)
    assert calls == 3
    for call in range(calls):
        sigma = seen[call]["timestep"].flatten()[:1] / 1000
        coordinates = video_coordinates(spec, (3, 3, 2), 8.0, 1, CPU)
        with torch.no_grad():
            ours = predict_velocity(
                transformer,
                seen[call]["hidden_states"],
                sigma,
                batch_text([text], CPU, torch.float32),
                coordinates,
            )
        assert torch.allclose(ours, predicted[call], atol=1e-5)


@pytest.mark.parametrize("spec", [EMBEDDED, CAUSAL], ids=["plain", "causal"])
def test_a_video_from_a_picture_starts_with_that_picture(spec: Any) -> None:
    sampler, request = _sampler(spec), _request(guidance=3.0)
    picture = np.full((64, 96, 3), 200, np.uint8)
    picture[16:48, 8:56] = (220, 40, 40)  # the VAE alone keeps 26 dB of this
    from_words = sampler.sample(request)
    from_picture = sampler.sample(replace(request, first_frame=picture))
    again = sampler.sample(replace(request, first_frame=picture))
    assert from_picture.shape == from_words.shape == (17, 64, 96, 3)
    assert np.array_equal(from_picture, again)
    assert _psnr(from_picture[0], picture) > max(20.0, _psnr(from_words[0], picture) + 6.0)


@pytest.mark.parametrize("with_picture", [False, True], ids=["words", "picture"])
@pytest.mark.parametrize("spec", [EMBEDDED, CAUSAL], ids=["plain", "causal"])
def test_guidance_1_calculates_half_as_much(spec: Any, with_picture: bool) -> None:
    """Nothing is calculated for the negative prompt, which would be thrown away."""
    sampler = _sampler(spec)
    calculated: list[int] = []
    sampler.pipeline.transformer.register_forward_hook(
        lambda _module, _args, given, _output: calculated.append(len(given["hidden_states"])),
        with_kwargs=True,
    )
    picture = np.full((64, 96, 3), 128, np.uint8) if with_picture else None
    for guidance, clips in ((2.0, 2), (1.0, 1)):
        calculated.clear()
        sampler.sample(replace(_request(guidance), first_frame=picture))
        assert calculated == [clips] * 8


@pytest.mark.parametrize("with_picture", [False, True], ids=["words", "picture"])
def test_a_distilled_model_is_sampled_at_the_noise_levels_that_it_knows(with_picture: bool) -> None:
    distilled = replace(CAUSAL, sampling=find_model("ltxv-13b-0.9.8-distilled").sampling)
    sampler = _sampler(distilled)
    told = _told_timesteps(sampler)
    picture = np.full((64, 96, 3), 128, np.uint8) if with_picture else None
    request = replace(_request(guidance=1.0), steps=8, first_frame=picture)
    assert sampler.sample(request).shape == (17, 64, 96, 3)
    assert told == pytest.approx([1000, 993.7, 987.5, 981.2, 975, 909.4, 725, 421.9])
    told.clear()
    sampler.sample(replace(request, steps=4))
    assert told == pytest.approx([1000, 987.5, 975, 725])


def test_a_model_without_levels_of_its_own_is_sampled_as_the_pipeline_does() -> None:
    told: dict[str, list[float]] = {}
    made: dict[str, Any] = {}
    for name, levels in {"none": (), "for another number of steps": (1.0, 0.9, 0.8)}.items():
        sampler = _sampler(replace(CAUSAL, sampling=replace(CAUSAL.sampling, noise_levels=levels)))
        told[name] = _told_timesteps(sampler)
        made[name] = sampler.sample(_request(guidance=3.0))
    expected = (linear_quadratic_schedule(8) * 1000).tolist()
    assert list(told.values()) == [expected] * 2
    assert np.array_equal(*made.values())


def test_without_guidance_the_negative_prompt_counts_for_nothing() -> None:
    sampler, request = _sampler(EMBEDDED), _request(guidance=1.0)
    other = replace(request, negative=TextEmbedding(request.negative.embedding * -3.0))
    assert np.array_equal(sampler.sample(request), sampler.sample(other))
    guided = replace(request, guidance=3.0)
    assert not np.array_equal(sampler.sample(guided), sampler.sample(replace(other, guidance=3.0)))


@pytest.mark.parametrize("with_picture", [False, True], ids=["words", "picture"])
@pytest.mark.parametrize("spec", [EMBEDDED, CAUSAL], ids=["plain", "causal"])
def test_a_model_in_training_is_sampled_in_its_training_precision(spec: Any, with_picture: bool) -> None:
    """A base in bf16 with a LoRA in fp32 is calculated with in bf16, by autocast; the VAE gets none."""
    sampler = _sampler(spec)
    transformer, vae = sampler.pipeline.transformer, sampler.pipeline.vae
    transformer.to(torch.bfloat16)
    vae.to(torch.bfloat16)
    add_lora(transformer, LoraSettings(rank=4, alpha=4), seed=0)
    formats: dict[str, set[Any]] = {"lora": set(), "decoder": set()}

    def watch(part: str) -> Any:
        return lambda _module, _args, output: formats[part].add(
            (output.dtype, torch.is_autocast_enabled("cpu"))
        )

    lora = transformer.transformer_blocks[0].attn1.to_q.lora_A["wizard"]
    lora.register_forward_hook(watch("lora"))
    vae.decoder.register_forward_hook(watch("decoder"))
    picture = np.full((64, 96, 3), 128, np.uint8) if with_picture else None
    made = sampler.sample(replace(_request(guidance=3.0), steps=2, first_frame=picture))
    assert made.std() > 1
    assert lora.weight.dtype is torch.float32
    assert formats == {"lora": {(torch.bfloat16, True)}, "decoder": {(torch.bfloat16, False)}}
    assert not torch.is_autocast_enabled("cpu")


def test_autocast_ends_where_sampling_breaks_off() -> None:
    sampler = _sampler(EMBEDDED)
    sampler.pipeline.transformer.to(torch.bfloat16)
    sampler.pipeline.vae.to(torch.bfloat16)
    sampler.pipeline.transformer.proj_out.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sampler.sample(_request(guidance=1.0))
    assert not torch.is_autocast_enabled("cpu")


def test_the_same_seed_gives_the_same_sample() -> None:
    files = find_files(EMBEDDED)
    transformer = load_transformer(EMBEDDED, files, MemorySettings(), CPU)
    vae = load_vae(EMBEDDED, files, MemorySettings(), CPU).vae
    sampler = Sampler(EMBEDDED, transformer, vae, load_scheduler(files))
    text = load_text_encoder(EMBEDDED, files, MemorySettings(), CPU).encode("A red circle.")
    request = SampleRequest(
        text=text, negative=text, width=64, height=64, frames=9, fps=8.0, steps=2, guidance=2.0, seed=3
    )
    first, again = sampler.sample(request), sampler.sample(request)
    other = sampler.sample(replace(request, seed=4))
    assert first.shape == (9, 64, 64, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_truncated_weights_are_refused_in_words(tmp_path: Any) -> None:
    import shutil

    shutil.copytree(EMBEDDED.source, tmp_path / "model")
    weights = tmp_path / "model" / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    spec = replace(EMBEDDED, source=str(tmp_path / "model"))
    with pytest.raises(BadInput, match=r"transformer of .* cannot be loaded"):
        load_transformer(spec, find_files(spec), MemorySettings(), CPU)


@pytest.mark.parametrize("damage", ["cut", "another"])
def test_a_damaged_tokenizer_is_refused_in_words(damage: str, tmp_path: Any) -> None:
    import shutil

    shutil.copytree(EMBEDDED.source, tmp_path / "model")
    file = tmp_path / "model" / "tokenizer" / "tokenizer.json"
    file.write_bytes(file.read_bytes()[:9000] if damage == "cut" else b"[]")
    spec = replace(EMBEDDED, source=str(tmp_path / "model"))
    with pytest.raises(BadInput, match=r"The tokenizer of .* cannot be loaded: .*Get the model again"):
        load_text_encoder(spec, find_files(spec), MemorySettings(), CPU)


def _predict(
    transformer: LTXVideoTransformer3DModel, sigma: torch.Tensor, clean: torch.Tensor | None = None
) -> torch.Tensor:
    torch.manual_seed(1)
    tokens, caption = torch.randn(2, 60, 16), torch.randn(5, 24)
    text = batch_text([TextEmbedding(caption)] * 2, CPU, torch.float32)
    with torch.no_grad():
        return predict_velocity(
            transformer, tokens, sigma, text, video_coordinates(EMBEDDED, SHAPE, 8.0, 2, CPU), clean
        )


def _sampler(spec: Any) -> Sampler:
    files = find_files(spec)
    transformer = load_transformer(spec, files, MemorySettings(), CPU)
    return Sampler(spec, transformer, load_vae(spec, files, MemorySettings(), CPU).vae, load_scheduler(files))


def _told_timesteps(sampler: Sampler) -> list[float]:
    """The largest timestep of each call from now on: of what is not given."""
    told: list[float] = []
    sampler.pipeline.transformer.register_forward_hook(
        lambda _module, _args, given, _output: told.append(float(given["timestep"].max())), with_kwargs=True
    )
    return told


def _request(guidance: float) -> SampleRequest:
    encoder = load_text_encoder(EMBEDDED, find_files(EMBEDDED), MemorySettings(), CPU)
    return SampleRequest(
        text=encoder.encode("A red circle moves up."), negative=encoder.encode("blurry"),
        width=96, height=64, frames=17, fps=8.0, steps=8, guidance=guidance, seed=3,
    )  # fmt: skip


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    """dB, of pictures in 8 bits."""
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return 10 * np.log10(255.0**2 / max(error, 1e-12))
