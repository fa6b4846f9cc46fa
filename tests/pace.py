"""How fast this computer is just now: limits in seconds were set on one that had nothing else to do."""

from __future__ import annotations

import time

_ROUNDS = 500_000
_USUAL_S = 0.08
"""Processor time of the rounds where the limits were set: 0.064 to 0.090 s on two cores, Python 3.11."""
_MOST = 4.0


def slowdown() -> float:
    """How many times longer than usual a fixed piece of work takes: 1 to 4."""
    began, value = time.perf_counter(), 1
    for _ in range(_ROUNDS):
        value = value * 1103515245 + 12345 & 0x7FFFFFFF
    return min(_MOST, max(1.0, (time.perf_counter() - began) / _USUAL_S))
