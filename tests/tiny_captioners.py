"""Captioner models of some hundred thousand random parameters, in the layout of the hub's cache.

Real classes and real configurations, only small. What they write means nothing, but is made of words and
ends after some of them: their generation_config.json sees to that.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BartConfig,
    BartTokenizer,
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    PreTrainedModel,
    Qwen2Tokenizer,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from ltx_wizard.models.captioner_models import CaptionerModel

COMMIT = "d" * 40
_TEXT = [
    "A dog runs across the grass while the camera pans left.",
    "What does the image describe? Describe with a paragraph what is shown in the image.",
    "The light is warm and the background is a street with cars.",
    "At first the woman stands still, then she turns to the right and smiles.",
]
_QWEN_SPECIALS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}


def put_in_cache(model: CaptionerModel, cache: Path, seed: int = 0) -> Path:
    """Build a small model of this kind as the repository that the spec names; gives its snapshot."""
    storage = cache / f"models--{model.repository.replace('/', '--')}"
    snapshot = storage / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(COMMIT)
    torch.manual_seed(seed)
    {"florence2": _florence2, "qwen3vl": _qwen3vl}[model.family](snapshot)
    return snapshot


def _vocabulary(size: int, specials: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level vocabulary trained on four sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(_TEXT, trainer)
    found = json.loads(tokenizer.to_str())["model"]
    return found["vocab"], [tuple(pair) for pair in found["merges"]]


def _florence2(folder: Path) -> None:
    vocabulary, merges = _vocabulary(400, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer = BartTokenizer(
        vocab=vocabulary, merges=merges, extra_special_tokens={"image_token": "<image>"}
    )
    tokenizer.add_tokens([f"<loc_{index}>" for index in range(8)])
    images = CLIPImageProcessor(
        size={"height": 64, "width": 64}, do_center_crop=False, crop_size={"height": 64, "width": 64}
    )
    images.image_seq_length = 5  # (64 / 32) ** 2 cells and a pooled one
    names = ("pure_text", "description_with_bboxes", "bboxes", "ocr", "phrase_grounding")
    rules: dict[str, dict[str, str]] = {name: {} for name in names}
    Florence2Processor(images, tokenizer, post_processor_config=rules).save_pretrained(folder)
    config = Florence2Config(
        vision_config={
            "depths": (1, 1, 1, 1),
            "embed_dim": (8, 16, 24, 32),
            "num_heads": (1, 2, 3, 4),
            "num_groups": (1, 2, 3, 4),
            "window_size": 2,
            "projection_dim": 32,
            "max_position_embeddings": 20,
            "max_temporal_embeddings": 10,
        },
        text_config=BartConfig(
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=256,
            vocab_size=len(tokenizer),
            decoder_start_token_id=2,
            eos_token_id=2,
            forced_bos_token_id=None,
            forced_eos_token_id=None,
        ).to_dict(),
        image_token_id=tokenizer.image_token_id,
    )
    model = Florence2ForConditionalGeneration(config)
    _write_words(model, vocabulary, eos=2)
    model.save_pretrained(folder)


def _qwen3vl(folder: Path) -> None:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *_QWEN_SPECIALS.values()]
    vocabulary, merges = _vocabulary(340, [])
    vocabulary = {**vocabulary, **{name: len(vocabulary) + index for index, name in enumerate(specials)}}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
        extra_special_tokens=_QWEN_SPECIALS,
    )
    tokenizer.save_pretrained(folder)
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        (folder / name).write_text(json.dumps({"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}))
    config = Qwen3VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        text_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "vocab_size": len(tokenizer),
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    model = Qwen3VLForConditionalGeneration(config)
    _write_words(model, vocabulary, eos=vocabulary["<|im_end|>"])
    model.save_pretrained(folder)


def _write_words(model: PreTrainedModel, vocabulary: dict[str, int], eos: int) -> None:
    """Suppress what is no word or full stop, and make an end likely after twenty tokens."""
    words = {index for token, index in vocabulary.items() if re.fullmatch(r"Ġ[a-z]{2,}|\.", token)}
    size = model.get_output_embeddings().weight.shape[0]
    model.generation_config.suppress_tokens = [i for i in range(size) if i not in words and i != eos]
    model.generation_config.eos_token_id = eos
    model.generation_config.no_repeat_ngram_size = 2
    model.generation_config.min_new_tokens = 12
    model.generation_config.exponential_decay_length_penalty = (20, 1.5)
