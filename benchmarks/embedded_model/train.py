"""Train the embedded model from nothing, in three stages that can run in separate calls.

    python train.py vae --work WORK --minutes 8.2           decoder and encoder, then the decoder alone
    python train.py latents --work WORK --minutes 1         encoded, captioned clips, kept in --cache
    python train.py transformer --work WORK --minutes 8     text encoder and transformer together
    python train.py assemble --work WORK --output FOLDER    the finished model folder, in diffusers layout
    python train.py all --work WORK --output FOLDER --minutes 18

A stage reads what earlier stages left in WORK, watches the clock itself and saves in time. Needs one GPU;
with --tiny every stage runs in seconds on a CPU, to test the code and nothing else.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import model as m
import numpy as np
import torch
from captions import caption
from clips import render
from diffusers import AutoencoderKLLTXVideo
from diffusers.models.autoencoders.autoencoder_kl_ltx import LTXVideoCausalConv3d
from engine import Budget, Trainer, learning_rate_at
from safetensors.torch import load_file, save_file
from scenes import Scenes, concatenate, neon_scenes, sample_scenes, wide_scenes
from sheets import save_sheet
from tokenizer import build_tokenizer
from torch import Tensor, nn
from torch.nn import functional

TEXT_TOKENS = 64
"""No training caption is longer. The text encoder still sees all 128 places, as in LTXPipeline; the
transformer is given the first 64, which is exact, because its attention masks the rest."""
CAPTIONS_PER_CLIP = 3


@dataclass(frozen=True)
class Size:
    """How long and large clips of one kind are, and their share of the draws."""

    frames: int
    height: int
    width: int
    share: float

    @property
    def name(self) -> str:
        return f"{self.width}x{self.height}x{self.frames}"

    @property
    def grid(self) -> tuple[int, int, int]:
        """Latent frames, rows and columns."""
        return (self.frames - 1) // m.TEMPORAL + 1, self.height // m.SPATIAL, self.width // m.SPATIAL


SIZES = (
    Size(17, 192, 192, 0.46),
    Size(25, 192, 192, 0.20),
    Size(17, 160, 256, 0.10),
    Size(17, 256, 160, 0.10),
    Size(33, 192, 192, 0.08),
    Size(9, 192, 192, 0.06),
)


@dataclass(frozen=True)
class Plan:
    """Everything that --tiny makes smaller."""

    device: torch.device
    pool_clips: int = 14_000
    vae_crops: tuple[tuple[str, int, int, int, float], ...] = (
        ("96x9", 96, 9, 64, 0.5),
        ("128x17", 128, 17, 24, 0.3),
        ("192x17", 192, 17, 10, 0.2),
    )
    """Name, crop size, frames, batch, share of the steps."""
    statistics_clips: int = 512
    latent_chunk: int = 1024
    tokens_per_batch: int = 27_648
    report_every_s: float = 20.0


def tiny_plan(device: torch.device) -> Plan:
    return Plan(
        device=device,
        pool_clips=10,
        vae_crops=(("96x9", 96, 9, 2, 0.5), ("192x17", 192, 17, 1, 0.5)),
        statistics_clips=8,
        latent_chunk=24,
        tokens_per_batch=432,
        report_every_s=2.0,
    )


def main() -> None:
    arguments = _arguments()
    device = torch.device(arguments.device)
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    plan = tiny_plan(device) if arguments.tiny else Plan(device=device)
    work, cache = Path(arguments.work), Path(arguments.cache or arguments.work)
    work.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    minutes, seed = arguments.minutes, arguments.seed
    everything = arguments.stage == "all"
    if everything or arguments.stage == "vae":
        train_vae(plan, work, minutes * (0.44 if everything else 1.0), seed)
    if everything or arguments.stage == "latents":
        make_latents(plan, work, cache, minutes * (0.06 if everything else 1.0), seed)
    if everything or arguments.stage == "transformer":
        share = 0.46 if everything else 1.0
        train_transformer(
            plan, work, cache, minutes * share, peak=arguments.lr, orthogonal=arguments.optimizer == "muon",
            resume=arguments.resume,
        )  # fmt: skip
    if everything or arguments.stage == "assemble":
        m.save_model(Path(arguments.output), load_parts(work))
        _say(f"model folder written: {arguments.output}")


# Stage 1: the VAE


def train_vae(plan: Plan, work: Path, minutes: float, seed: int) -> None:
    """Encoder and decoder on random crops, then the decoder alone; leaves vae.safetensors (bf16) in work."""
    started = time.monotonic()
    chance = torch.Generator().manual_seed(seed)
    ordinary = round(plan.pool_clips * 0.55)
    drawn = concatenate([sample_scenes(ordinary, chance), wide_scenes(plan.pool_clips - ordinary, chance)])
    pool = render(drawn, 17, 192, 192, plan.device)
    _say(f"vae: {len(pool)} clips drawn in {time.monotonic() - started:.0f} s")
    vae = m.build_vae().to(plan.device)
    if plan.device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        vae = vae.to(memory_format=_fastest_memory_format(plan, pool))
    left = minutes - (time.monotonic() - started) / 60.0 - 0.15
    _vae_phase(plan, vae, pool, left * 0.68, peak=8e-4, latent_noise=0.06, decoder_only=False)
    _report_vae(plan, vae, work, "both")
    _save(work / "vae.safetensors", vae.state_dict())
    _vae_phase(plan, vae, pool, left * 0.32, peak=5e-4, latent_noise=0.03, decoder_only=True)
    measure_latents(plan, vae, seed)
    _save(work / "vae.safetensors", vae.state_dict())
    _report_vae(plan, load_vae(work, plan.device), work, "decoder")


def _vae_phase(
    plan: Plan, vae: AutoencoderKLLTXVideo, pool: Tensor, minutes: float, *, peak: float, latent_noise: float,
    decoder_only: bool,
) -> None:  # fmt: skip
    budget = Budget(minutes)
    gradient_weight = torch.zeros((), device=plan.device)
    trained = vae.decoder if decoder_only else vae
    trainer = Trainer(list(trained.parameters()), betas=(0.9, 0.97), weight_decay=0.0)
    shares = []
    for name, size, frames, batch, share in plan.vae_crops:
        trainer.add(
            name,
            _vae_loss(vae, pool, batch, frames, size, latent_noise, gradient_weight, decoder_only),
        )
        shares.append(share * (2.0 if decoder_only and size == 192 else 1.0))
    names = [crop[0] for crop in plan.vae_crops]
    _say(f"vae {'decoder' if decoder_only else 'both'}: captured after {budget.elapsed_s:.0f} s")
    gradient_from = 0.0 if decoder_only else 0.25

    def step(progress: float) -> None:
        gradient_weight.fill_(0.3 if progress >= gradient_from else 0.0)
        name = random.choices(names, shares)[0]
        trainer.step(name, learning_rate_at(peak, trainer.steps, progress, warm_up=300))

    _run(plan, trainer, budget, step, "vae")


def _vae_loss(
    vae: AutoencoderKLLTXVideo, pool: Tensor, batch: int, frames: int, size: int, latent_noise: float,
    gradient_weight: Tensor, decoder_only: bool,
) -> Callable[[], Tensor]:  # fmt: skip
    """Loss of one batch of random crops: L1 + 4 MSE + weight * loss of the pictures' gradients."""

    def loss() -> Tensor:
        clips = _random_crops(pool, batch, frames, size)
        with torch.autocast(pool.device.type, torch.bfloat16, cache_enabled=False):
            with torch.set_grad_enabled(not decoder_only):
                latents = vae.encoder(clips)[:, : m.LATENT_CHANNELS]
            spread = latents.detach().float().std(dim=(0, 2, 3, 4), keepdim=True)
            noisy = latents + latent_noise * spread * torch.randn_like(latents)
            decoded = vae.decoder(noisy)
        error = decoded.float() - clips
        total = error.abs().mean() + 4.0 * error.square().mean()
        gradients = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        return total + gradient_weight * gradients

    return loss


def _random_crops(pool: Tensor, batch: int, frames: int, size: int) -> Tensor:
    """[B, 3, F, size, size] in -1 to 1, each at a random place and time, half of them mirrored."""
    count, all_frames, height, width, _ = pool.shape
    device = pool.device

    def draw(limit: int) -> Tensor:
        return torch.randint(0, limit, (batch, 1), device=device)

    steps = torch.arange(size, device=device)
    t = draw(all_frames - frames + 1) + torch.arange(frames, device=device)
    y = draw(height - size + 1) + steps
    x = draw(width - size + 1) + torch.where(draw(2) == 0, steps, size - 1 - steps)
    rows = draw(count)[:, :, None, None]
    crops = pool[rows, t[:, :, None, None], y[:, None, :, None], x[:, None, None, :]]
    return (crops.float() / 127.5 - 1.0).permute(0, 4, 1, 2, 3)


def _fastest_memory_format(plan: Plan, pool: Tensor) -> torch.memory_format:
    """Which layout of the convolutions makes the faster step on this card, by trying both."""
    timings: dict[torch.memory_format, float] = {}
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        vae = m.build_vae().to(plan.device, memory_format=layout)
        trainer = Trainer(list(vae.parameters()), betas=(0.9, 0.97), weight_decay=0.0)
        name, size, frames, batch, _ = plan.vae_crops[0]
        trainer.add(
            name, _vae_loss(vae, pool, batch, frames, size, 0.06, torch.ones((), device=plan.device), False)
        )
        trainer.mean_loss()
        begun = time.monotonic()
        for _ in range(20):
            trainer.step(name, 0.0)
        trainer.mean_loss()
        timings[layout] = (time.monotonic() - begun) / 20
        _say(f"vae: {layout} takes {timings[layout] * 1000:.1f} ms a step")
        del trainer, vae
        torch.cuda.empty_cache()
    return min(timings, key=lambda layout: timings[layout])


def _keep_layout(self: LTXVideoCausalConv3d, hidden_states: Tensor) -> Tensor:
    """LTXVideoCausalConv3d.forward without `repeat`, which would undo the channels-last layout."""
    before = self.kernel_size[0] - 1 if self.is_causal else (self.kernel_size[0] - 1) // 2
    after = 0 if self.is_causal else before
    parts = [hidden_states[:, :, :1]] * before + [hidden_states] + [hidden_states[:, :, -1:]] * after
    return self.conv(torch.cat(parts, dim=2))


LTXVideoCausalConv3d.forward = _keep_layout


@torch.no_grad()
def measure_latents(plan: Plan, vae: AutoencoderKLLTXVideo, seed: int) -> None:
    """Set latents_mean and latents_std over ordinary and wide clips: over ordinary ones, neon is far off."""
    chance = torch.Generator().manual_seed(seed + 1)
    half = plan.statistics_clips // 2
    drawn = concatenate([sample_scenes(half, chance), wide_scenes(half, chance)])
    latents = encode(vae, render(drawn, 17, 192, 192, plan.device)).float()
    vae.latents_mean.copy_(latents.mean(dim=(0, 2, 3, 4)))
    vae.latents_std.copy_(latents.std(dim=(0, 2, 3, 4)))
    low, high = float(vae.latents_std.min()), float(vae.latents_std.max())
    _say(f"vae: latents_std {low:.2f} to {high:.2f}")


@torch.no_grad()
def encode(vae: AutoencoderKLLTXVideo, clips: Tensor, batch: int = 32) -> Tensor:
    """Raw latents [N, C, F, H, W], bf16, of uint8 clips [N, F, H, W, 3]."""
    parts = []
    for chunk in clips.split(batch):
        pixels = (chunk.to(vae.device).float() / 127.5 - 1.0).permute(0, 4, 1, 2, 3)
        with torch.autocast(pixels.device.type, torch.bfloat16):
            parts.append(vae.encoder(pixels)[:, : m.LATENT_CHANNELS].bfloat16())
    return torch.cat(parts)


@torch.no_grad()
def decode(vae: AutoencoderKLLTXVideo, latents: Tensor, batch: int = 16) -> Tensor:
    """uint8 clips [N, F, H, W, 3] of raw latents."""
    parts = []
    for chunk in latents.split(batch):
        with torch.autocast(chunk.device.type, torch.bfloat16):
            decoded = vae.decoder(chunk)
        pixels = (decoded.float().clamp(-1, 1) + 1.0) * 127.5 + 0.5
        parts.append(pixels.permute(0, 2, 3, 4, 1).to(torch.uint8))
    return torch.cat(parts)


def psnr(first: Tensor, second: Tensor) -> float:
    """Mean over clips of the peak signal to noise ratio in dB; uint8 clips [N, F, H, W, 3]."""
    error = (first.float() - second.float()).square().mean(dim=(1, 2, 3, 4)).clamp(min=1e-3)
    return float((10.0 * torch.log10(255.0**2 / error)).mean())


def _report_vae(plan: Plan, vae: AutoencoderKLLTXVideo, work: Path, title: str) -> None:
    chance = torch.Generator().manual_seed(99)
    count = min(64, plan.pool_clips)
    shown: list[np.ndarray] = []
    titles: list[str] = []
    for name, drawn in (
        ("base", sample_scenes(count, chance)),
        ("neon", neon_scenes(count, chance)),
        ("wide", wide_scenes(count, chance)),
    ):
        clips = render(drawn, 17, 192, 192, plan.device)
        decoded = decode(vae, encode(vae, clips))
        _say(f"vae {title}: PSNR {name} {psnr(clips, decoded):.2f} dB")
        for row in range(4):
            shown += [clips[row].cpu().numpy(), decoded[row].cpu().numpy()]
            titles += [f"{name} clip", "decoded"]
    save_sheet(work / f"vae_{title}.png", shown, titles)


# Stage 2: latents and captions


def make_latents(plan: Plan, work: Path, cache: Path, minutes: float, seed: int) -> None:
    """Encode clips until the time is up; leaves bank_<size>.safetensors (latents, token ids) in cache."""
    budget = Budget(minutes)
    vae = load_vae(work, plan.device)
    if plan.device.type == "cuda":
        vae = vae.to(memory_format=torch.channels_last_3d)
    chance, words = torch.Generator().manual_seed(seed + 2), random.Random(seed + 2)
    tokenizer = build_tokenizer()
    latents: dict[str, list[Tensor]] = {size.name: [] for size in SIZES}
    tokens: dict[str, list[Tensor]] = {size.name: [] for size in SIZES}
    rounds = 0
    while rounds == 0 or budget.progress < rounds / (rounds + 1):
        for size in SIZES:
            count = max(4, round(plan.latent_chunk * size.share))
            drawn = sample_scenes(count, chance)
            raw = encode(vae, render(drawn, size.frames, size.height, size.width, plan.device), batch=64)
            latents[size.name].append(m.pack(m.normalise(vae, raw.float())).bfloat16())
            tokens[size.name].append(_caption_tokens(drawn, words, tokenizer))
        rounds += 1
    for size in SIZES:
        bank = {"latents": torch.cat(latents[size.name]).cpu(), "tokens": torch.cat(tokens[size.name])}
        save_file(bank, cache / f"bank_{size.name}.safetensors")
    total = sum(len(part) for parts in tokens.values() for part in parts)
    _say(f"latents: {total} clips in {budget.elapsed_s:.0f} s")


def _caption_tokens(
    drawn: Scenes, words: random.Random, tokenizer: Callable[..., dict[str, Tensor]]
) -> Tensor:
    """Token ids of several captions per scene, int16 [N, 3, 64], padded with 0."""
    texts = [caption(drawn, row, words) for row in range(len(drawn)) for _ in range(CAPTIONS_PER_CLIP)]
    ids = tokenizer(texts, padding="max_length", max_length=TEXT_TOKENS, truncation=True, return_tensors="pt")
    return ids["input_ids"].to(torch.int16).view(len(drawn), CAPTIONS_PER_CLIP, TEXT_TOKENS)


# Stage 3: text encoder and transformer


@dataclass(frozen=True)
class Bank:
    """Captioned latents of one size on the device. latents: [N, tokens, C] bf16; tokens: int16 [N, 3, 64]."""

    size: Size
    latents: Tensor
    tokens: Tensor


class Student(nn.Module):
    """What the third stage trains: transformer, text encoder, and a head that keeps the text encoder honest.

    The head predicts for each token that token, the one before and the one after; it forces the encoder to
    carry word order ('from left to right' against 'from right to left'), and is thrown away afterwards.
    """

    def __init__(self) -> None:
        super().__init__()
        self.vocabulary = len(build_tokenizer())
        self.transformer = m.build_transformer()
        self.text_encoder = m.build_text_encoder(self.vocabulary)
        self.neighbours = nn.Linear(m.TEXT_WIDTH, 3 * self.vocabulary)


def train_transformer(
    plan: Plan, work: Path, cache: Path, minutes: float, *, peak: float, orthogonal: bool, resume: bool
) -> None:
    """Flow matching on the banks; leaves the averaged weights in work, and the raw ones to resume from."""
    budget = Budget(minutes - 0.1)
    banks = [_load_bank(cache, size, plan.device) for size in SIZES]
    student = Student().to(plan.device)
    if resume:
        held = load_file(work / "resume.safetensors")
        student.load_state_dict({k: v.float() for k, v in held.items()}, strict=False)
    if plan.device.type == "cuda":
        torch._dynamo.config.recompile_limit = 64
        torch._dynamo.config.suppress_errors = True
        for block in student.transformer.transformer_blocks:
            block.compile(dynamic=True)
    weights = [
        p
        for n, p in student.transformer.transformer_blocks.named_parameters()
        if p.ndim == 2 and "table" not in n
    ]
    trainer = Trainer(
        list(student.parameters()),
        betas=(0.9, 0.98),
        weight_decay=0.01,
        ema_decay=0.99 if plan.pool_clips < 100 else 0.999,
        orthogonal=weights if orthogonal else None,
    )
    names, shares = [], []
    for bank in banks:
        for first_frame_given in (False, True):
            name = bank.size.name + ("+first" if first_frame_given else "")
            trainer.add(name, _flow_loss(student, bank, plan, first_frame_given))
            names.append(name)
            shares.append(bank.size.share * (0.14 if first_frame_given else 0.86))
    _say(f"transformer: {len(names)} kinds of step captured after {budget.elapsed_s:.0f} s")

    def step(progress: float) -> None:
        name = random.choices(names, shares)[0]
        trainer.step(name, learning_rate_at(peak, trainer.steps, progress, warm_up=400))

    _run(plan, trainer, budget, step, "transformer")
    _save(work / "resume.safetensors", student.state_dict())
    trainer.swap_averages()
    _save(work / "transformer.safetensors", student.transformer.state_dict())
    _save(work / "text_encoder.safetensors", student.text_encoder.state_dict())


def _flow_loss(student: Student, bank: Bank, plan: Plan, first_frame_given: bool) -> Callable[[], Tensor]:
    """Velocity loss of one batch, plus the neighbour prediction of a part of its captions."""
    size, device = bank.size, bank.latents.device
    frames, rows, columns = size.grid
    tokens = frames * rows * columns
    batch = max(2, plan.tokens_per_batch // tokens // 8 * 8)
    mean = 0.5833 + 0.000358 * tokens
    empty = torch.zeros(TEXT_TOKENS, dtype=torch.long, device=device)
    empty[0] = 1
    given = torch.arange(tokens, device=device) < rows * columns

    def chance(share: float) -> Tensor:
        return torch.rand(batch, device=device) < share

    def loss() -> Tensor:
        drawn = torch.randint(0, len(bank.latents), (batch,), device=device)
        clean = bank.latents[drawn].float()
        which = torch.randint(0, CAPTIONS_PER_CLIP, (batch,), device=device)
        ids = torch.where(chance(0.10)[:, None], empty, bank.tokens[drawn, which].long())
        sigma = _draw_sigmas(batch, mean, device)
        noise = torch.randn_like(clean)
        noisy = torch.lerp(clean, noise, sigma[:, None, None])
        timestep = sigma * 1000.0
        if first_frame_given:
            noisy = torch.where(given[None, :, None], clean, noisy)
            timestep = torch.where(given, torch.zeros_like(timestep)[:, None], timestep[:, None])
        rate = torch.where(chance(0.75), 8.0, 25.0)
        coordinates = m.video_coordinates(frames, rows, columns, rate, chance(0.5))
        mask = ids != 0
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            text = _encode_padded(student, ids, mask, chance(0.3))
            velocity = student.transformer(
                hidden_states=noisy, encoder_hidden_states=text, timestep=timestep,
                encoder_attention_mask=mask, video_coords=coordinates, return_dict=False,
            )[0]  # fmt: skip
            heard = batch // 2
            guesses = student.neighbours(text[:heard]).float()
        error = (velocity.float() - (noise - clean)).square()
        if first_frame_given:
            error = error[:, rows * columns :]
        return error.mean() + 0.01 * _neighbour_loss(guesses, ids[:heard])

    return loss


def _draw_sigmas(count: int, mean: float, device: torch.device) -> Tensor:
    """Noise levels: shifted logit-normal; 15 % uniform; 12 % in .8 to 1, where the words must decide."""
    sigma = torch.sigmoid(torch.randn(count, device=device) + mean)
    kind = torch.rand(count, device=device)
    uniform = torch.rand(count, device=device)
    sigma = torch.where(kind < 0.15, uniform, sigma)
    return torch.where(kind > 0.88, 0.8 + 0.2 * uniform, sigma)


def _encode_padded(student: Student, ids: Tensor, mask: Tensor, hide_padding: Tensor) -> Tensor:
    """Text features [B, 64, D] as pipelines make them: padded to 128, no mask; some with it hidden."""
    padded = functional.pad(ids, (0, 64))
    visible = functional.pad(mask, (0, 64)) | ~hide_padding[:, None]
    return m.encode_tokens(student.text_encoder, padded, visible)[:, :TEXT_TOKENS]


def _neighbour_loss(guesses: Tensor, ids: Tensor) -> Tensor:
    """Sum of the three cross-entropies. guesses: [B, L, 3V]; padding is not asked for."""
    target = torch.where(ids == 0, -100, ids)
    before = functional.pad(target, (1, 0), value=-100)[:, :-1]
    after = functional.pad(target, (0, 1), value=-100)[:, 1:]
    per_guess = guesses.unflatten(-1, (3, -1)).flatten(0, 1)
    losses = [
        functional.cross_entropy(per_guess[:, index], wanted.flatten(), reduction="sum")
        / (wanted >= 0).sum().clamp(min=1)
        for index, wanted in enumerate((target, before, after))
    ]
    return torch.stack(losses).sum()


def _load_bank(cache: Path, size: Size, device: torch.device) -> Bank:
    held = load_file(cache / f"bank_{size.name}.safetensors")
    return Bank(size, held["latents"].to(device), held["tokens"].to(device))


# Shared by the stages


def _run(plan: Plan, trainer: Trainer, budget: Budget, step: Callable[[float], None], title: str) -> None:
    """Step until the budget is used up, and report now and then."""
    said = budget.elapsed_s
    while budget.progress < 1.0:
        for _ in range(20):
            step(budget.progress)
        if plan.device.type == "cuda":
            torch.cuda.synchronize()
        if budget.elapsed_s - said >= plan.report_every_s:
            said = budget.elapsed_s
            _say(
                f"{title}: step {trainer.steps}, {said:.0f} of {budget.seconds:.0f} s,"
                f" loss {trainer.mean_loss():.4f}"
            )
    _say(f"{title}: done, {trainer.steps} steps, loss {trainer.mean_loss():.4f}")


def load_vae(work: Path, device: torch.device | str) -> AutoencoderKLLTXVideo:
    vae = m.build_vae()
    vae.load_state_dict({k: v.float() for k, v in load_file(work / "vae.safetensors").items()})
    return vae.to(device).eval()


def load_parts(work: Path) -> m.Parts:
    """The trained parts in work, fp32, on the CPU."""
    transformer, text_encoder = m.build_transformer(), m.build_text_encoder(len(build_tokenizer()))
    for name, part in (("transformer", transformer), ("text_encoder", text_encoder)):
        held = {k: v.float() for k, v in load_file(work / f"{name}.safetensors").items()}
        part.load_state_dict(held, strict=False)
    return load_vae(work, "cpu"), transformer.eval(), text_encoder.eval()


def _save(path: Path, state: dict[str, Tensor]) -> None:
    """Write the weights in bf16, each tensor once (T5 holds its word vectors under two names)."""
    seen: set[int] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.data_ptr() not in seen:
            kept[name] = tensor.detach().bfloat16().cpu().contiguous()
            seen.add(tensor.data_ptr())
    save_file(kept, path)


def _say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=("vae", "latents", "transformer", "assemble", "all"))
    parser.add_argument("--work", required=True, help="folder for what stages hand on")
    parser.add_argument("--cache", help="folder for the encoded clips, a few GB; default: WORK")
    parser.add_argument("--output", default="embedded_model", help="the finished model folder")
    parser.add_argument("--minutes", type=float, default=8.0, help="time budget of the stage, or of all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--optimizer", choices=("adamw", "muon"), default="adamw")
    parser.add_argument(
        "--lr", type=float, default=1.2e-3, help="peak learning rate of the transformer stage"
    )
    parser.add_argument("--resume", action="store_true", help="continue the transformer from WORK")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true", help="test the code on a CPU")
    return parser.parse_args()


if __name__ == "__main__":
    main()
