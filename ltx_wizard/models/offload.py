"""Blocks of a frozen transformer that wait in main memory and come to the card one after the other.
Worker-side.

The weights only ever travel to the card: they are frozen, so nothing comes back. Two places on the card are
enough, used in turn by neighbouring blocks: while one block is calculated, the next one arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

PLACES = 2
SMALLEST_PIECE = 64 * 1024
"""Bytes. Pinned memory comes in powers of two (torch's host allocator rounds up): a block of the 13B model in
8 bit has 256 MiB and a little, and took 512.
"""
_ALIGNMENT = 256
"""Bytes. Any number format may be read from such an address."""


@dataclass(frozen=True)
class _Field:
    """One tensor of a block: of which module, under which name, and where its bytes lie."""

    module: nn.Module
    name: str
    start: int
    size: int
    shape: torch.Size
    dtype: torch.dtype


class OffloadedBlocks:
    """Puts every parameter and buffer of `blocks`, all of one layout, into main memory.

    Block i uses place i modulo PLACES. Before a block is calculated, in either direction, a hook sees to it
    that its weights are there, and sends for those of the block that is likely to follow. Tensors that are
    added to a block later (a LoRA) stay where they are.
    """

    def __init__(self, blocks: nn.ModuleList, device: torch.device) -> None:
        self._device = device
        self._layouts = [_layout(block) for block in blocks]
        size = max(_extent(fields) for fields in self._layouts)
        self._waiting = [_packed(fields, device) for fields in self._layouts]
        self._places = [torch.empty(size, dtype=torch.uint8, device=device) for _ in range(PLACES)]
        self._content = [-1] * PLACES
        self._last = -1
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._arrived: list[Any] = [None] * PLACES
        for index, (block, fields) in enumerate(zip(blocks, self._layouts, strict=True)):
            _point_to(fields, self._places[index % PLACES])
            block.register_forward_pre_hook(self._before(index))

    def host_bytes(self) -> int:
        """Main memory that the waiting blocks take."""
        return sum(piece.numel() for pieces in self._waiting for piece in pieces)

    def _before(self, index: int) -> Any:  # noqa: ANN401 - torch's kind of hook
        def hook(_module: nn.Module, _inputs: object) -> None:
            self._need(index)

        return hook

    def _need(self, index: int) -> None:
        done: Any = None
        if self._copies is not None and index != self._last:
            # Whatever used the other place was handed to the card before this point.
            done = torch.cuda.current_stream(self._device).record_event()
        self._fetch(index, done)
        arrived = self._arrived[index % PLACES]
        if arrived is not None:
            torch.cuda.current_stream(self._device).wait_event(arrived)
        if index != self._last:
            # At the first block a sampler begins its next pass; a backward pass ends there, block 1 at hand.
            following = index + 1 if index > self._last or index == 0 else index - 1
            self._last = index
            if 0 <= following < len(self._waiting):
                self._fetch(following, done)

    def _fetch(self, index: int, done: Any) -> None:  # noqa: ANN401 - a CUDA event or None
        """Copy a block to its place unless it is there. done: when the place is free."""
        place = index % PLACES
        if self._content[place] == index:
            return
        self._content[place] = index
        if self._copies is None:
            self._copy(index, place)
            return
        if done is None:
            done = torch.cuda.current_stream(self._device).record_event()
        with torch.cuda.stream(self._copies):
            self._copies.wait_event(done)
            self._copy(index, place)
            self._arrived[place] = self._copies.record_event()

    def _copy(self, index: int, place: int) -> None:
        start = 0
        for piece in self._waiting[index]:
            target = self._places[place][start : start + piece.numel()]
            target.copy_(piece[: target.numel()], non_blocking=True)
            start += piece.numel()


def _layout(block: nn.Module) -> list[_Field]:
    fields: list[_Field] = []
    start = 0
    for module, name, value in _tensors(block):
        size = value.numel() * value.element_size()
        fields.append(_Field(module, name, start, size, value.shape, value.dtype))
        start += -(-size // _ALIGNMENT) * _ALIGNMENT
    return fields


def _tensors(block: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    for module in block.modules():
        for name, value in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            yield module, name, value.detach()


def _extent(fields: list[_Field]) -> int:
    """Bytes of a block."""
    return fields[-1].start + fields[-1].size


def pieces_of(size: int) -> list[int]:
    """Powers of two, the largest first, that hold `size` bytes and less than SMALLEST_PIECE more."""
    whole = -(-size // SMALLEST_PIECE) * SMALLEST_PIECE
    return [1 << bit for bit in range(whole.bit_length() - 1, -1, -1) if whole >> bit & 1]


def _packed(fields: list[_Field], device: torch.device) -> list[Tensor]:
    """The bytes of a block one after the other, in memory that the card can read by itself where there is
    enough of it.
    """
    pieces = [_waiting_memory(size, device) for size in pieces_of(_extent(fields))]
    for field in fields:
        value = getattr(field.module, field.name).detach().contiguous()
        _write(pieces, field.start, value.view(-1).view(torch.uint8))
        _replace(field, torch.empty(0, dtype=field.dtype))
    return pieces


def _waiting_memory(size: int, device: torch.device) -> Tensor:
    try:
        return torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
    except RuntimeError:
        return torch.empty(size, dtype=torch.uint8)


def _write(pieces: list[Tensor], start: int, raw: Tensor) -> None:
    """Put bytes where the block's byte `start` lies, over as many pieces as they need."""
    for piece in pieces:
        room = piece[start:]
        room[: raw.numel()].copy_(raw[: room.numel()])
        raw, start = raw[room.numel() :], max(start - piece.numel(), 0)


def _point_to(fields: list[_Field], place: Tensor) -> None:
    for field in fields:
        raw = place[field.start : field.start + field.size]
        _replace(field, raw.view(field.dtype).view(field.shape))


def _replace(field: _Field, value: Tensor) -> None:
    if field.name in field.module._parameters:
        field.module._parameters[field.name] = nn.Parameter(value, requires_grad=False)
    else:
        field.module._buffers[field.name] = value
