"""Blocks that wait in main memory: the same predictions and gradients as blocks that are there."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_transformer as tiny
import torch
from diffusers import LTXVideoTransformer3DModel
from tiny_transformer import CPU
from torch import Tensor

from ltx_wizard.core.recipe import MemorySettings
from ltx_wizard.core.recipe_groups import Quantization
from ltx_wizard.models.loading import load_frozen
from ltx_wizard.models.lora import lora_weights, set_lora_weights
from ltx_wizard.models.offload import PLACES, SMALLEST_PIECE, OffloadedBlocks, pieces_of
from ltx_wizard.models.recompute import enable_recompute

KINDS: tuple[Quantization, ...] = ("none", "fp8-quanto", "int8-quanto")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five blocks: an odd number, and more than there are places."""
    tiny.random_models.TRANSFORMERS["five"] = tiny.random_models.TRANSFORMERS["tiny"] | {"num_layers": 5}
    try:
        write = tiny.random_models.write_transformer
        return write(tmp_path_factory.mktemp("five"), "five", dtype=torch.float32)  # pyright: ignore[reportArgumentType]
    finally:
        del tiny.random_models.TRANSFORMERS["five"]


def both(
    folder: Path, kind: Quantization, device: torch.device = CPU
) -> tuple[LTXVideoTransformer3DModel, LTXVideoTransformer3DModel]:
    """The model as a whole, and offloaded."""
    resident = load_frozen(folder, MemorySettings(quantization=kind), device, torch.float32)
    memory = MemorySettings(quantization=kind, offload="blocks")
    return resident, load_frozen(folder, memory, device, torch.float32)


def offloaded(layers: int) -> tuple[LTXVideoTransformer3DModel, OffloadedBlocks]:
    model = tiny.transformer(layers)
    return model, OffloadedBlocks(model.transformer_blocks, CPU)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_the_same_again_and_again(folder: Path, kind: Quantization) -> None:
    resident, waiting = both(folder, kind)
    with torch.no_grad():
        for seed in range(3):  # a sampler calls it many times
            assert torch.equal(tiny.predict(waiting, seed), tiny.predict(resident, seed))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_a_lora_are_the_same_in_training_with_recompute(
    folder: Path, kind: Quantization
) -> None:
    assert_the_same_in_training(folder, kind, CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
@pytest.mark.parametrize("kind", KINDS)
def test_offloaded_blocks_on_a_card_train_and_sample_as_resident_ones(
    folder: Path, kind: Quantization
) -> None:
    """There the copies run beside the calculation."""
    device = torch.device("cuda")
    assert_the_same_in_training(folder, kind, device)
    resident, waiting = both(folder, kind, device)
    with torch.no_grad():
        for seed in range(20):
            expected = tiny.predict(resident, seed)
            assert float((tiny.predict(waiting, seed) - expected).norm()) <= 1e-4 * float(expected.norm())


def assert_the_same_in_training(folder: Path, kind: Quantization, device: torch.device) -> None:
    found = []
    for model in both(folder, kind, device):
        tiny.with_lora(model)
        enable_recompute(model, dropout=False)
        steps = [tiny.gradients(model, seed) for seed in range(3)]
        model.eval()
        with torch.no_grad():
            steps.append({"sample": tiny.predict(model)})  # a sample between steps
        steps.append(tiny.gradients(model, 9))
        found.append(steps)
    assert all(float(value.abs().max()) > 0 for value in found[0][0].values())
    for resident, waiting in zip(*found, strict=True):
        if device.type == "cpu":
            assert same(resident, waiting)
        for name, value in resident.items():  # sums on a card may be added up in another order
            assert float((waiting[name] - value).norm()) <= 1e-4 * float(value.norm()), name


def test_a_lora_stays_and_is_trained(folder: Path) -> None:
    _, model = both(folder, "fp8-quanto")
    tiny.with_lora(model)
    before = lora_weights(model)
    enable_recompute(model, dropout=False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    tiny.gradients(model)
    optimizer.step()
    after = lora_weights(model)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    set_lora_weights(model, before)
    assert same(lora_weights(model), before)


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_any_number_of_blocks_works(layers: int) -> None:
    resident = tiny.with_lora(tiny.transformer(layers))
    waiting, _ = offloaded(layers)
    tiny.with_lora(waiting)
    for model in (resident, waiting):
        enable_recompute(model, dropout=False)
    for seed in range(2):
        assert same(tiny.gradients(resident, seed), tiny.gradients(waiting, seed))


def test_only_two_blocks_are_on_the_card_and_all_wait_in_main_memory() -> None:
    model, blocks = offloaded(5)
    resident = tiny.transformer(5)
    addresses = {
        value.untyped_storage().data_ptr()
        for block in model.transformer_blocks
        for value in [*block.parameters(), *block.buffers()]
    }
    assert len(addresses) == PLACES
    size = sum(value.nbytes for value in resident.transformer_blocks.parameters())
    assert size <= blocks.host_bytes() < size + 5 * (SMALLEST_PIECE + 256 * 40)  # 40 tensors, aligned


@pytest.mark.parametrize("size", [1, 65536, 268_500_000, 537_000_000])
def test_blocks_wait_in_powers_of_two_with_little_to_spare(size: int) -> None:
    """Pinned memory is rounded up to them: 13B in 8 bit took 24 GiB of main memory for 12."""
    pieces = pieces_of(size)
    assert all(piece & (piece - 1) == 0 for piece in pieces)
    assert size <= sum(pieces) < size + SMALLEST_PIECE


def test_a_tensor_may_lie_over_several_pieces() -> None:
    block = torch.nn.Linear(300, 501)  # 601,200 bytes and a bias: 512 KiB and smaller pieces
    expected = block(torch.ones(2, 300))
    OffloadedBlocks(torch.nn.ModuleList([block]), CPU)
    assert torch.equal(block(torch.ones(2, 300)), expected)


def test_tensors_of_blocks_keep_name_shape_format_and_device(folder: Path) -> None:
    for kind in KINDS:
        resident, waiting = both(folder, kind)
        expected = {name: facts(value) for name, value in resident.state_dict().items()}
        assert {name: facts(value) for name, value in waiting.state_dict().items()} == expected
        assert not any(parameter.requires_grad for parameter in waiting.parameters())


def facts(value: Tensor) -> tuple[torch.Size, torch.dtype, torch.device]:
    return value.shape, value.dtype, value.device


def test_each_block_is_brought_once_a_pass_and_the_next_one_before_it_is_needed() -> None:
    model, blocks = offloaded(4)
    fetched: list[tuple[int, int]] = []
    now = -1
    copy = blocks._fetch

    def watch(index: int, done: object) -> None:
        if blocks._content[index % PLACES] != index:
            fetched.append((now, index))
        copy(index, done)

    blocks._fetch = watch

    def began(index: int) -> None:
        nonlocal now
        now = index

    for index, block in enumerate(model.transformer_blocks):
        block.register_forward_pre_hook(lambda *_, index=index: began(index), prepend=True)
    with torch.no_grad():
        tiny.predict(model)
        assert fetched == [(0, 0), (0, 1), (1, 2), (2, 3)]
        fetched.clear()
        tiny.predict(model)
        assert fetched == [(0, 0), (0, 1), (1, 2), (2, 3)]
    tiny.with_lora(model)
    enable_recompute(model, dropout=False)
    tiny.gradients(model)
    fetched.clear()
    tiny.gradients(model)
    # Forwards, then backwards: the last two and the first two are there when the direction changes.
    assert fetched == [(1, 2), (2, 3), (2, 1), (1, 0)]
