"""What goes wrong while a model's files are loaded: full main memory, or files that are damaged. No torch.

Damaged files show in many ways. json, safetensors, sentencepiece and transformers each have their own; the
Rust tokenizers raise a bare Exception, and protobuf an error of its own.
"""

from __future__ import annotations

from typing import Any

from safetensors import SafetensorError

_MEMORY_FULL = ("can't allocate memory", "not enough memory", "Unable to allocate", "Cannot allocate memory")
"""How torch says that main memory is full, on Linux and on Windows, then numpy and the operating system."""

_FEWEST_WORDS = 100
"""Of a vocabulary; the smallest that is in use, the practice model's, has 1,087."""

_DAMAGE = (
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    RuntimeError,
    SafetensorError,
)


def is_memory_full(error: BaseException) -> bool:
    """Whether main memory, not the card's, was too small."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _MEMORY_FULL)


def is_damage(error: BaseException) -> bool:
    """Whether files that are cut off, mixed up or of another model can be the cause."""
    bare = type(error) is Exception or type(error).__module__.startswith("google.protobuf")
    return bare or isinstance(error, _DAMAGE)


def damage_text(error: BaseException) -> str:
    """The first line of what a library said, without its full stop."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:160].rstrip(". ")


def refuse_without_words(tokenizer: Any) -> None:  # noqa: ANN401 - transformers' own classes
    """Raises ValueError for a tokenizer without its vocabulary: where that file is missing, transformers 5
    makes one up of its special tokens, and every text becomes the same.
    """
    if len(tokenizer) < _FEWEST_WORDS:
        raise ValueError(f"it knows {len(tokenizer)} words, so its vocabulary is missing")
