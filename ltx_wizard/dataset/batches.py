"""Which clips a step sees. The whole order follows from the seed, so a resumed run goes on with the very
next clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ltx_wizard.core.recipe import DataSettings
from ltx_wizard.dataset.encode import Example


@dataclass(frozen=True)
class Slot:
    """One clip of a batch, and what happens to it."""

    example: Example
    drop_caption: bool
    give_first_frame: bool


class Batches:
    """An endless sequence of batches, each of one bucket.

    Within a bucket every clip is seen once before any is seen again. Buckets are drawn in proportion to
    their clips. Regularisation clips fill `regularisation_share` of the places where the bucket has any.
    """

    def __init__(self, examples: Sequence[Example], settings: DataSettings, seed: int) -> None:
        learnt = [item for item in examples if not item.held_out and not item.regularisation]
        self._settings = settings
        self._random = np.random.default_rng(seed)
        self._buckets = sorted({item.bucket for item in learnt})
        counts = np.array([sum(item.bucket == bucket for item in learnt) for bucket in self._buckets], float)
        self._shares = counts / counts.sum()
        ordinary = [item for item in examples if item.regularisation]
        self._learnt = {
            bucket: _Shuffled([item for item in learnt if item.bucket == bucket], self._random)
            for bucket in self._buckets
        }
        self._ordinary = {
            bucket: _Shuffled([item for item in ordinary if item.bucket == bucket], self._random)
            for bucket in self._buckets
        }

    def next(self) -> list[Slot]:
        """The next batch: batch_size places, all of one bucket."""
        bucket = self._buckets[int(self._random.choice(len(self._buckets), p=self._shares))]
        return [self._slot(bucket) for _ in range(self._settings.batch_size)]

    def skip(self, count: int) -> None:
        """Leave out the batches that a run has seen before it was resumed."""
        for _ in range(count):
            self.next()

    def _slot(self, bucket: str) -> Slot:
        ordinary, dropped, first = self._random.random(3)
        use_ordinary = ordinary < self._settings.regularisation_share and len(self._ordinary[bucket]) > 0
        example = self._ordinary[bucket].next() if use_ordinary else self._learnt[bucket].next()
        return Slot(
            example=example,
            drop_caption=bool(dropped < self._settings.caption_dropout),
            give_first_frame=bool(first < self._settings.first_frame_share) and example.latents.shape[1] > 1,
        )


class _Shuffled:
    """Items in random order, again and again, each time in a new order."""

    def __init__(self, items: Sequence[Example], random: np.random.Generator) -> None:
        self._items = items
        self._random = random
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._items)

    def next(self) -> Example:
        if not self._order:
            self._order = [int(index) for index in self._random.permutation(len(self._items))]
        return self._items[self._order.pop()]
