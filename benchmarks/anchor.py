"""Time and memory of a training step: the app's, and the anchor's, which is how the official trainers use
diffusers and peft.

    python benchmarks/anchor.py --out results.json [--model 13b] [--limit-s 500]
    python benchmarks/anchor.py --out results.json --device cpu --tiny       a test of this file

Who is measured:
- anchor: activations recomputed, a timestep for each token, 256 text tokens of which 96 count with an
  additive mask, fp32 LoRA r=32 on attention under bf16 autocast, fp32 MSE, AdamW as torch makes it, no
  clipping, no loss read back.
- ours: one timestep a clip, the 96 text tokens without a mask, fused AdamW, activations kept; where they do
  not fit, recomputed ("recomputed" in the record says which).
- ours-recomputed: the same with activations recomputed.
- ours-loop: the whole step of the app's loop, as a run has it: noise drawn on the CPU and sent to the card,
  gradient clipping, loss and gradient length read back.
Every cell builds its model anew, with random weights, on the card. Wall time: median between CUDA events of 8
steps after 3, without waiting in between (fewer where a step takes long). After all timing, a second round
profiles one step of each cell: "busy" is the sum of the times of its kernels and copies.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import itertools
import json
import shlex
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import random_models
import torch
from diffusers import LTXVideoTransformer3DModel
from peft import LoraConfig
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from ltx_wizard.core.recipe import LoraSettings, MemorySettings, NoiseSettings, OptimizerSettings
from ltx_wizard.core.recipe_groups import ATTENTION_MODULES
from ltx_wizard.models.catalog import LTXV_2B_096_DEV
from ltx_wizard.models.lora import add_lora
from ltx_wizard.models.ltx_video import TextBatch, TextEmbedding, predict_velocity, video_coordinates
from ltx_wizard.models.precision import autocast, storage_dtype
from ltx_wizard.models.recompute import enable_recompute
from ltx_wizard.models.weights import LTX_SHIFT
from ltx_wizard.training.flow import flow_loss, noisy_latents, velocity
from ltx_wizard.training.optimizers import build_optimizer

GIB = 1024**3
RANK = 32
TEXT_TOKENS, TEXT_TOKENS_REAL = 256, 96
SIGMA = 0.7
WHO = ("anchor", "ours", "ours-recomputed", "ours-loop")
SHAPES = {2688: (7, 16, 24), 4032: (7, 24, 24), 13376: (16, 22, 38)}
ORDER: tuple[tuple[random_models.Size, int], ...] = (
    ("13b", 2688),
    ("13b", 4032),
    ("2b", 2688),
    ("13b", 13376),
    ("2b", 4032),
    ("2b", 13376),
)
TINY_ORDER: tuple[tuple[random_models.Size, int], ...] = (("tiny", 24),)
WARM_UP, STEPS = 3, 8
LONG_STEP_S = 1.3

Step = Callable[[], None]
Measure = Callable[["Cell", dict[str, Any], torch.device], dict[str, Any]]


@dataclass(frozen=True)
class Cell:
    """shape: latent frames, rows, columns."""

    model: random_models.Size
    tokens: int
    shape: tuple[int, int, int]
    who: str


def main() -> None:
    arguments = _arguments()
    with random_models.hard_limit(arguments.limit_s + 90):
        measure_all(arguments)


def measure_all(arguments: argparse.Namespace) -> None:
    """All timing, then all profiling; results are on disk after every cell."""
    end = time.monotonic() + arguments.limit_s
    device = torch.device(arguments.device)
    order = TINY_ORDER if arguments.tiny else ORDER
    cells = [
        Cell(model, tokens, SHAPES.get(tokens, (2, 3, 4)), who)
        for model, tokens in order
        for who in WHO
        if arguments.model in (None, model) and (not arguments.tokens or tokens in arguments.tokens)
    ]
    records = [_record(cell, device) for cell in cells]
    rounds = {"timed": timed, "profiled": profiled} if device.type == "cuda" else {"timed": timed}
    for name, measure in rounds.items():
        for cell, record in zip(cells, records, strict=True):
            if name == "timed" or record["ok"]:
                _measure(name, measure, cell, record, device, end)
                arguments.out.write_text(json.dumps(records, indent=2), encoding="utf-8")
    print(table(records), flush=True)


def _measure(
    name: str, measure: Measure, cell: Cell, record: dict[str, Any], device: torch.device, end: float
) -> None:
    """Put one cell's figures into its record, or why there are none."""
    began = time.monotonic()
    if began > end:
        record["error"] = f"not {name}: the time limit was reached"
        print(f"{_name(cell)}: {record['error']}", flush=True)
        return
    try:
        record |= measure(cell, record, device)
        record["ok"] = True
    except Exception as error:
        traceback.print_exc()
        record["error"] = f"not {name}: {type(error).__name__}: {error}"[:400]
    _release()
    print(f"{name} in {time.monotonic() - began:.1f} s: {_line(record)}", flush=True)


def timed(cell: Cell, record: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Wall time and memory. Where kept activations do not fit, they are recomputed."""
    if cell.who in ("ours", "ours-loop"):
        try:
            return _timed(cell, False, device)
        except torch.OutOfMemoryError:
            print(f"{_name(cell)}: kept activations do not fit", flush=True)
        _release()  # after the handler, whose traceback holds the tensors
    return _timed(cell, True, device)


def _timed(cell: Cell, recompute: bool, device: torch.device) -> dict[str, Any]:
    began = time.monotonic()
    step = build(cell, recompute, device)
    _wait(device)
    built_s = time.monotonic() - began
    weights = torch.cuda.memory_allocated(device) / GIB if device.type == "cuda" else 0.0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    warm_up, steps = WARM_UP, STEPS
    began = time.monotonic()
    for done in range(1, WARM_UP + 1):
        step()
        if done == 2:
            _wait(device)
            began = time.monotonic()
    _wait(device)
    if time.monotonic() - began > LONG_STEP_S:
        steps = 5
    durations = _durations(step, steps, device)
    result = {
        "step_s": round(statistics.median(durations), 5),
        "step_min_s": round(min(durations), 5),
        "step_max_s": round(max(durations), 5),
        "steps": steps,
        "warm_up": warm_up,
        "built_s": round(built_s, 1),
        "recomputed": recompute,
        "weights_gib": round(weights, 2),
    }
    if device.type == "cuda":
        result["peak_allocated_gib"] = round(torch.cuda.max_memory_allocated(device) / GIB, 2)
        result["peak_reserved_gib"] = round(torch.cuda.max_memory_reserved(device) / GIB, 2)
    return result


def _durations(step: Step, steps: int, device: torch.device) -> list[float]:
    """Seconds of each step, from events in the card's own queue; on a CPU by the clock."""
    if device.type != "cuda":
        clock = [time.perf_counter()]
        for _ in range(steps):
            step()
            clock.append(time.perf_counter())
        return [later - earlier for earlier, later in itertools.pairwise(clock)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    torch.cuda.synchronize(device)
    return [a.elapsed_time(b) / 1000 for a, b in itertools.pairwise(events)]


def profiled(cell: Cell, record: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Times of kernels and copies of one step."""
    step = build(cell, bool(record["recomputed"]), device)
    for _ in range(2):
        step()
    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize(device)
    return busy(profiler.events() or [])


def busy(events: Iterable[Any]) -> dict[str, Any]:
    """Sums of a profile's events on the card. Spans that a library names around kernels are not counted."""
    kernels, copies, count = 0.0, 0.0, 0
    for event in events:
        if event.device_type != DeviceType.CUDA or getattr(event, "is_user_annotation", False):
            continue
        name, micros = event.name, event.time_range.elapsed_us()
        if name.startswith(("Memcpy", "Memset")):
            copies += micros
        elif not name.startswith(("Optimizer.", "ProfilerStep", "## ")):
            kernels += micros
            count += 1
    return {
        "busy_s": round((kernels + copies) / 1e6, 5),
        "kernels_s": round(kernels / 1e6, 5),
        "copies_s": round(copies / 1e6, 5),
        "kernels": count,
    }


def build(cell: Cell, recompute: bool, device: torch.device) -> Step:
    """A model with a LoRA whose B is not zero, its optimizer and inputs, and the function of one step."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if cell.who == "anchor" else storage_dtype(MemorySettings(), device)
    model = random_models.random_transformer(cell.model, device, dtype)
    builders = {"anchor": _anchor_step, "ours-loop": _loop_step}
    return builders.get(cell.who, _our_step)(cell, model, recompute, device)


def _anchor_step(
    cell: Cell, model: LTXVideoTransformer3DModel, recompute: bool, device: torch.device
) -> Step:
    """As the official trainers do it."""
    model.add_adapter(
        LoraConfig(
            r=RANK,
            lora_alpha=RANK,
            init_lora_weights=True,
            target_modules=["to_k", "to_q", "to_v", "to_out.0"],
        )
    )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()
    _fill_b(model)
    if recompute:
        model.enable_gradient_checkpointing()
    model.train()
    optimizer = torch.optim.AdamW(parameters, lr=2e-4)
    clean, noise, text = _inputs(cell, model, device)
    noisy, target = (1 - SIGMA) * clean + SIGMA * noise, noise - clean
    timestep = torch.full(noisy.shape[:2], 1000 * SIGMA, device=device)
    mask = torch.zeros(1, TEXT_TOKENS, device=device)
    mask[:, :TEXT_TOKENS_REAL] = 1
    frames, rows, columns = cell.shape
    fps = 24.0

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            predicted = model(
                hidden_states=noisy.to(torch.bfloat16),
                encoder_hidden_states=text,
                timestep=timestep,
                encoder_attention_mask=mask,
                num_frames=frames,
                height=rows,
                width=columns,
                rope_interpolation_scale=(8 / fps, 32, 32),
                return_dict=False,
            )[0]
        functional.mse_loss(predicted.float(), target).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _our_step(cell: Cell, model: LTXVideoTransformer3DModel, recompute: bool, device: torch.device) -> Step:
    """The app's functions, with inputs that are on the card already, as the anchor has them."""
    memory = MemorySettings()
    optimizer = build_optimizer(OptimizerSettings(), _with_our_lora(model, recompute))
    clean, noise, text = _inputs(cell, model, device)
    sigma = torch.tensor([SIGMA], device=device)
    dtype = storage_dtype(memory, device)
    real = text[:, :TEXT_TOKENS_REAL].to(dtype)
    # A mask on the CPU is looked at without waiting for the card.
    batch = TextBatch(real, torch.ones(real.shape[:2]))
    coordinates = video_coordinates(_spec(), cell.shape, 24.0, 1, device)

    def step() -> None:
        noisy = noisy_latents(clean, noise, sigma)
        with autocast(memory, device):
            predicted = predict_velocity(model, noisy.to(dtype), sigma, batch, coordinates)
        flow_loss(predicted, velocity(clean, noise)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _loop_step(cell: Cell, model: LTXVideoTransformer3DModel, recompute: bool, device: torch.device) -> Step:
    """What the app's loop does for a step of one clip, from encoded clip to updated weights."""
    random_models.stub_missing_video_libraries()
    from ltx_wizard.training.objective import Objective

    memory = MemorySettings()
    parameters = _with_our_lora(model, recompute)
    optimizer = build_optimizer(OptimizerSettings(), parameters)
    clean, _, text = _inputs(cell, model, device)
    latents = clean.cpu().transpose(1, 2).unflatten(2, cell.shape).contiguous()
    caption = TextEmbedding(text[0, :TEXT_TOKENS_REAL].cpu())
    objective = Objective(_spec(), LTX_SHIFT, NoiseSettings(), memory, device, caption)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        noise = torch.randn(latents.shape, generator=generator)
        sigma = torch.tensor([SIGMA])
        loss = objective._loss(model, latents, noise, sigma, [caption], torch.tensor([False]))
        loss.backward()
        float(loss.detach())
        float(nn.utils.clip_grad_norm_(parameters, 1.0))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _with_our_lora(model: LTXVideoTransformer3DModel, recompute: bool) -> list[nn.Parameter]:
    settings = LoraSettings(rank=RANK, alpha=RANK, target_modules=ATTENTION_MODULES)
    parameters = add_lora(model, settings, seed=0)
    _fill_b(model)
    if recompute:
        enable_recompute(model, dropout=False)
    model.train()
    return parameters


def _fill_b(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0.0, random_models.WEIGHT_STD)


def _inputs(
    cell: Cell, model: LTXVideoTransformer3DModel, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Clean tokens and noise [1, N, C] in fp32, text [1, T, D] in bf16."""
    width = int(model.config["caption_channels"])
    clean = torch.randn(1, cell.tokens, 128, device=device)
    noise = torch.randn(1, cell.tokens, 128, device=device)
    return clean, noise, torch.randn(1, TEXT_TOKENS, width, device=device, dtype=torch.bfloat16)


def _spec() -> Any:  # noqa: ANN401 - a ModelSpec
    return replace(LTXV_2B_096_DEV, id="random", local=True, files=())


def _record(cell: Cell, device: torch.device) -> dict[str, Any]:
    return {
        "kind": "anchor",
        "who": cell.who,
        "model": cell.model,
        "tokens": cell.tokens,
        "latent_shape": list(cell.shape),
        "text_tokens": TEXT_TOKENS if cell.who == "anchor" else TEXT_TOKENS_REAL,
        "lora_rank": RANK,
        "date": datetime.date.today().isoformat(),
        "card": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "command": shlex.join(["python", *sys.argv]),
        "ok": False,
        "error": "",
    }


def table(records: list[dict[str, Any]]) -> str:
    """Markdown, with each figure's ratio to the anchor of the same model and size."""
    anchors = {(r["model"], r["tokens"]): r for r in records if r["who"] == "anchor" and r["ok"]}
    lines = [
        "| model | N | who | step s range | of anchor | busy s | of anchor | recomputed | alloc/res GiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        start = f"| {record['model']} | {record['tokens']} | {record['who']} |"
        if not record["ok"]:
            lines.append(f"{start} {(record['error'] or 'not run').splitlines()[0][:80]} | | | | | |")
            continue
        anchor = anchors.get((record["model"], record["tokens"]), {})
        lines.append(
            f"{start} {record['step_s']:.3f} ({record['step_min_s']:.3f}-{record['step_max_s']:.3f}) | "
            f"{_ratio(record, anchor, 'step_s')} | {record.get('busy_s', '-')} | "
            f"{_ratio(record, anchor, 'busy_s')} | {'yes' if record['recomputed'] else 'no'} | "
            f"{record.get('peak_allocated_gib', '-')}/{record.get('peak_reserved_gib', '-')} |"
        )
    return "\n".join(lines)


def _ratio(record: dict[str, Any], anchor: dict[str, Any], key: str) -> str:
    return f"{record[key] / anchor[key]:.2f}" if record.get(key) and anchor.get(key) else "-"


def _name(cell: Cell) -> str:
    return f"{cell.who} {cell.model}@{cell.tokens}"


def _line(record: dict[str, Any]) -> str:
    return table([record]).splitlines()[-1]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", choices=("2b", "13b"), help="only this one")
    parser.add_argument("--tokens", type=int, nargs="*", default=[], help="only these numbers of tokens")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="a model for testing this file")
    parser.add_argument("--limit-s", type=float, default=500.0, help="no cell starts after so long")
    return parser.parse_args()


if __name__ == "__main__":
    main()
