"""Numbers as people read them."""

from __future__ import annotations

GIB = 1024**3


def duration_text(seconds: float) -> str:
    """42 -> '42 s', 130 -> '2 min 10 s', 6600 -> '1 h 50 min'."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60} min"


def rate_text(per_second: float) -> str:
    """3 -> '3.0 a second', 0.13 -> '7.8 a minute', 0.002 -> '7.2 an hour'."""
    for seconds, unit in ((1, "a second"), (60, "a minute")):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:.1f} {unit}"
    return f"{per_second * 3600:.1f} an hour"


def timecode_text(seconds: float) -> str:
    """4.25 -> '0:04.2', 75 -> '1:15.0'."""
    minutes, rest = divmod(round(max(seconds, 0.0), 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"


def bytes_text(size: int) -> str:
    """1536 -> '1.5 KB' (powers of 1024, as file managers show)."""
    value = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if round(value) < 1024 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def plural(count: int, noun: str) -> str:
    """1, 'clip' -> '1 clip'; 3, 'clip' -> '3 clips'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
