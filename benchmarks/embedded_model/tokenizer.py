"""The embedded model's tokenizer: a Unigram vocabulary built by hand.

Training a vocabulary on so small a set of sentences falls apart into letters (tried), so every word that
captions use is one piece, with and without a capital, and single characters spell whatever is left, trigger
words included.
"""

from __future__ import annotations

import string
from pathlib import Path

from captions import vocabulary_words
from transformers import T5TokenizerFast

MAX_TOKENS = 128
"""What diffusers' LTXPipeline pads to and cuts at."""
_WORD_SCORE = -2.0
_LETTER_SCORE = -8.0
"""A word as one piece (-2) always beats its spelling (-8 a letter)."""


def build_tokenizer() -> T5TokenizerFast:
    """T5's tokenizer with our own vocabulary: pad 0, end 1, unknown 2, words, then characters."""
    pieces: dict[str, float] = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -3.0}
    for word in vocabulary_words():
        pieces[f"▁{word}"] = _WORD_SCORE
        pieces[f"▁{word.capitalize()}"] = _WORD_SCORE
    for character in string.ascii_letters + string.digits + string.punctuation + "’–—…äöüßéèàçñ":
        pieces.setdefault(character, _LETTER_SCORE)
    for mark in ".,":
        pieces[mark] = _WORD_SCORE
    return T5TokenizerFast(
        vocab=list(pieces.items()), extra_ids=0, additional_special_tokens=[], model_max_length=MAX_TOKENS
    )


def save_tokenizer(folder: Path) -> T5TokenizerFast:
    """Write the tokenizer's files into the folder and give it back."""
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    return tokenizer
