"""How far one training step of the app is from the plain formulas in fp64, for every precision of the frozen
model.

    python benchmarks/agreement.py --out results.json [--sizes small 13b-slice] [--limit-s 300]
    python benchmarks/agreement.py --out results.json --device cpu --tiny       a test of this file

The app's side is its own objective on its own loaded model, with a LoRA whose B is not zero and recomputed
activations. The other side is plain_formulas.py, all in fp64 on the same bf16 weights. Positions and noise
levels enter it through tables in fp32, as the model defines them; the row 'fp32, tables in fp64' shows what
that changes. Weights are random: real ones may quantise better or worse. A cell that fails is recorded and
the others go on.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import os
import re
import shlex
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import plain_formulas
import random_models
import torch
from safetensors import safe_open
from torch import Tensor

from ltx_wizard.core.recipe import LoraSettings, MemorySettings, NoiseSettings
from ltx_wizard.models.catalog import LTXV_2B_096_DEV
from ltx_wizard.models.lora import add_lora
from ltx_wizard.models.ltx_video import TextEmbedding, load_transformer
from ltx_wizard.models.recompute import enable_recompute
from ltx_wizard.models.weights import LTX_SHIFT, ModelFiles

PRECISIONS: dict[str, dict[str, str]] = {
    "fp32": {"precision": "fp32"},
    "bf16": {},
    "bf16, blocks offloaded": {"offload": "blocks"},
    "int8-quanto": {"quantization": "int8-quanto"},
    "fp8-quanto": {"quantization": "fp8-quanto"},
    "fp8-quanto, blocks offloaded": {"quantization": "fp8-quanto", "offload": "blocks"},
    "int4-quanto": {"quantization": "int4-quanto"},
    "int8-bnb": {"quantization": "int8-bnb"},
    "nf4-bnb": {"quantization": "nf4-bnb"},
}
LORA = LoraSettings(
    rank=16,
    alpha=32,
    target_modules=("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"),
)
LATENT_SHAPE = (128, 4, 8, 8)
TEXT_TOKENS = (37, 22)
SIGMAS = (0.62, 0.9)
FP64_TABLES = "fp32, tables in fp64"


@dataclass(frozen=True)
class Case:
    """first_frame_given: one for each clip of the batch."""

    name: str
    first_frame_given: tuple[bool, ...]


CASES = (
    Case("one clip", (False,)),
    Case("first frame given", (True,)),
    Case("two clips, one with its first frame given", (True, False)),
)


@dataclass(frozen=True)
class Outcome:
    """A step's loss and the gradients of the LoRA by their names, fp64 on the CPU."""

    loss: float
    gradients: Mapping[str, Tensor]


def main() -> None:
    arguments = _arguments()
    with random_models.hard_limit(arguments.limit_s + 60):
        measure_all(arguments)


def measure_all(arguments: argparse.Namespace) -> None:
    """Every size; results are on disk after every cell."""
    began = time.monotonic()
    device = torch.device(arguments.device)
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        os.environ["LTX_WIZARD_HOME"] = str(Path(folder) / "home")
        for size in ("tiny",) if arguments.tiny else arguments.sizes:
            try:
                model = random_models.write_transformer(Path(folder) / size, size, device=device)
                print(f"{size}: written after {time.monotonic() - began:.1f} s", flush=True)
                for record in _measured(size, model, device, began + arguments.limit_s):
                    records.append(record)
                    arguments.out.write_text(json.dumps(records, indent=2), encoding="utf-8")
            except Exception:
                traceback.print_exc()
            _release()
    print(table(records), flush=True)


def _measured(size: str, folder: Path, device: torch.device, end: float) -> Any:  # noqa: ANN401 - a generator
    """Every precision and case, as records."""
    steps = {
        case.name: make_step(case, random_models.TRANSFORMERS[size]["caption_channels"]) for case in CASES
    }
    references = {
        (name, tables): reference(size, folder, step, device, tables)
        for name, step in steps.items()
        for tables in (torch.float32, torch.float64)
    }
    for precision, settings in PRECISIONS.items():
        for case in CASES:
            record = _record(size, precision, case, device)
            outcome = None
            began = time.monotonic()
            try:
                if began > end:
                    raise TimeoutError("not reached within the time limit")
                outcome = ours(
                    size, folder, steps[case.name], MemorySettings.model_validate(settings), device
                )
                record |= compare(outcome, references[case.name, torch.float32])
            except Exception as error:
                record |= {"ok": False, "error": f"{type(error).__name__}: {error}"[:400]}
            record["seconds"] = round(time.monotonic() - began, 2)
            _release()
            print(_line(record), flush=True)
            yield record
            if precision == "fp32" and outcome is not None:
                other = _record(size, FP64_TABLES, case, device)
                other |= compare(outcome, references[case.name, torch.float64])
                print(_line(other), flush=True)
                yield other


def make_step(case: Case, text_width: int) -> plain_formulas.Step:
    """Fixed random numbers in fp32 on the CPU."""
    generator = torch.Generator().manual_seed(5)
    count = len(case.first_frame_given)
    return plain_formulas.Step(
        latents=torch.randn(count, *LATENT_SHAPE, generator=generator),
        noise=torch.randn(count, *LATENT_SHAPE, generator=generator),
        sigma=torch.tensor(SIGMAS[:count]),
        texts=tuple(torch.randn(n, text_width, generator=generator) for n in TEXT_TOKENS[:count]),
        first_frame_given=case.first_frame_given,
        fps=LTXV_2B_096_DEV.fps,
    )


def ours(
    size: str, folder: Path, step: plain_formulas.Step, memory: MemorySettings, device: torch.device
) -> Outcome:
    """The app's own step."""
    random_models.stub_missing_video_libraries()
    from ltx_wizard.training.objective import Objective

    spec = replace(LTXV_2B_096_DEV, id=f"random-{size}", source=str(folder), local=True, files=())
    transformer = load_transformer(spec, ModelFiles(folder, folder, folder, folder, folder), memory, device)
    add_lora(transformer, LORA, seed=0)
    trained = {
        lora_name(name): parameter
        for name, parameter in transformer.named_parameters()
        if parameter.requires_grad
    }
    for name, parameter in trained.items():
        parameter.data.copy_(lora_value(name, parameter.shape))
    enable_recompute(transformer, dropout=False)
    transformer.train()
    texts = [TextEmbedding(text) for text in step.texts]
    objective = Objective(spec, LTX_SHIFT, NoiseSettings(), memory, device, texts[0])
    loss = objective._loss(
        transformer, step.latents, step.noise, step.sigma, texts, torch.tensor(step.first_frame_given)
    )
    loss.backward()
    gradients = {name: cast(Tensor, p.grad).detach().double().cpu() for name, p in trained.items()}
    return Outcome(float(loss.detach()), gradients)


def reference(
    size: str, folder: Path, step: plain_formulas.Step, device: torch.device, tables: torch.dtype
) -> Outcome:
    """The plain formulas in fp64, with the weights of the files."""
    weights: dict[str, Tensor] = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as opened:
            weights |= {name: opened.get_tensor(name).to(device).double() for name in opened.keys()}  # noqa: SIM118
    a: dict[str, Tensor] = {}
    b: dict[str, Tensor] = {}
    for name, weight in weights.items():
        layer = name.removesuffix(".weight")
        if (
            name.endswith(".weight")
            and layer.startswith("transformer_blocks.")
            and layer.endswith(LORA.target_modules)
        ):
            rows, columns = weight.shape
            for part, side, shape in ((a, "A", (LORA.rank, columns)), (b, "B", (rows, LORA.rank))):
                value = lora_value(f"{layer}.{side}", torch.Size(shape)).to(device).double()
                part[layer] = value.requires_grad_()
    lora = plain_formulas.Lora(a, b, LORA.alpha / LORA.rank)
    moved = replace(
        step,
        latents=step.latents.to(device),
        noise=step.noise.to(device),
        sigma=step.sigma.to(device).double(),
        texts=tuple(text.to(device) for text in step.texts),
    )
    heads = random_models.TRANSFORMERS[size]["num_attention_heads"]
    loss = plain_formulas.step_loss(weights, lora, moved, heads, tables)
    loss.backward()
    gradients = {
        f"{layer}.{side}": cast(Tensor, tensor.grad).cpu()
        for side, part in (("A", a), ("B", b))
        for layer, tensor in part.items()
    }
    _release()
    return Outcome(float(loss.detach()), gradients)


def lora_name(parameter: str) -> str:
    """'transformer_blocks.0.attn1.to_q.A' of any library's longer name. Raises ValueError."""
    match = re.search(r"(transformer_blocks\.\d+\..+?)\.lora_([AB])\.", parameter)
    if match is None:
        raise ValueError(f"not a LoRA weight: {parameter}")
    return f"{match[1]}.{match[2]}"


def lora_value(name: str, shape: torch.Size) -> Tensor:
    """fp32 on the CPU: A as large as peft starts it, B as small as the frozen weights."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    std = shape[1] ** -0.5 if name.endswith(".A") else random_models.WEIGHT_STD
    return torch.randn(shape, generator=generator) * std


def compare(measured: Outcome, expected: Outcome) -> dict[str, Any]:
    """Relative errors, cosines and the worst tensor. Raises ValueError where the tensors are not the same."""
    if set(measured.gradients) != set(expected.gradients):
        raise ValueError(f"other tensors: {sorted(set(measured.gradients) ^ set(expected.gradients))[:3]}")
    names = sorted(expected.gradients)
    one = torch.cat([measured.gradients[name].flatten() for name in names])
    two = torch.cat([expected.gradients[name].flatten() for name in names])
    cosines = {name: _cosine(measured.gradients[name], expected.gradients[name]) for name in names}
    worst = min(cosines, key=lambda name: cosines[name])
    return {
        "ok": bool(one.isfinite().all()),
        "loss": measured.loss,
        "reference_loss": expected.loss,
        "loss_error": abs(measured.loss - expected.loss) / abs(expected.loss),
        "gradient_error": float((one - two).norm() / two.norm()),
        "gradient_cosine": _cosine(one, two),
        "worst_cosine": cosines[worst],
        "worst_tensor": worst,
        "tensors": len(names),
    }


def _cosine(one: Tensor, two: Tensor) -> float:
    return float((one * two).sum() / (one.norm() * two.norm()))


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| model | precision | case | loss error | gradient error | cosine | worst tensor's cosine |",
        "|---|---|---|---|---|---|---|",
    ]
    for record in records:
        start = f"| {record['model']} | {record['name']} | {record['case']} |"
        if "gradient_error" in record:
            lines.append(
                f"{start} {record['loss_error']:.1e} | {record['gradient_error']:.1e} | "
                f"{record['gradient_cosine']:.6f} | {record['worst_cosine']:.5f} |"
            )
        else:
            lines.append(f"{start} {record['error'].splitlines()[0][:80]} | | | |")
    return "\n".join(lines)


def _record(size: str, precision: str, case: Case, device: torch.device) -> dict[str, Any]:
    return {
        "kind": "agreement",
        "name": precision,
        "case": case.name,
        "date": datetime.date.today().isoformat(),
        "card": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "command": shlex.join(["python", *sys.argv]),
        "model": f"random-{size}",
        "tokens": LATENT_SHAPE[1] * LATENT_SHAPE[2] * LATENT_SHAPE[3],
        "text_tokens": list(TEXT_TOKENS[: len(case.first_frame_given)]),
        "lora": LORA.model_dump(mode="json"),
        "ok": True,
        "error": "",
    }


def _line(record: Mapping[str, Any]) -> str:
    return table([record]).splitlines()[-1] + f" {record.get('seconds', 0)} s"


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", choices=random_models.TRANSFORMERS, default=["small"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="a model for testing this file")
    parser.add_argument("--limit-s", type=float, default=300.0, help="no cell starts after so long")
    parser.add_argument("--work", type=Path, default=None, help="folder for temporary files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
