"""Captioner models of the real architectures with random weights, in the layout of the hub's cache: for tests
(tiny) and for measuring without a download (full size).

    python benchmarks/random_captioners.py CACHE qwen3vl-4b [--tiny]

What they write means nothing, but is made of words and ends after some of them: generation_config.json sees
to that. Sizes are those of the published configurations; counted without memory they have 0.236, 0.776, 2.13,
4.44, 8.77 and 33.4 billion parameters.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BartConfig,
    BartTokenizer,
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Tokenizer,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ltx_wizard.models.captioner_models import CaptionerModel, captioner_model

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


FLORENCE2: dict[str, dict[str, Any]] = {
    "tiny": {
        "widths": (8, 16, 24, 32),
        "depths": (1, 1, 1, 1),
        "heads": (1, 2, 3, 4),
        "window": 2,
        "text": (32, 1, 64, 2),
        "words": 0,
        "side_px": 64,
    },
    "florence2-base": {
        "widths": (128, 256, 512, 1024),
        "depths": (1, 1, 9, 1),
        "heads": (4, 8, 16, 32),
        "window": 12,
        "text": (768, 6, 3072, 12),
        "words": 51289,
        "side_px": 768,
    },
    "florence2-large": {
        "widths": (256, 512, 1024, 2048),
        "depths": (1, 1, 9, 1),
        "heads": (8, 16, 32, 64),
        "window": 12,
        "text": (1024, 12, 4096, 16),
        "words": 51289,
        "side_px": 768,
    },
}
"""text: width, layers, feed-forward width, heads. words: size of the vocabulary; 0: the tokenizer's."""

QWEN3VL: dict[str, dict[str, Any]] = {
    "tiny": {"text": (32, 64, 2, 2, 1, 16), "vision": (2, 32, 64, 2, 64, [0, 1]), "words": 0, "tied": False},
    "qwen3vl-2b": {
        "text": (2048, 6144, 28, 16, 8, 128),
        "vision": (24, 1024, 4096, 16, 2304, [5, 11, 17]),
        "words": 151936,
        "tied": True,
    },
    "qwen3vl-4b": {
        "text": (2560, 9728, 36, 32, 8, 128),
        "vision": (24, 1024, 4096, 16, 2304, [5, 11, 17]),
        "words": 151936,
        "tied": True,
    },
    "qwen3vl-8b": {
        "text": (4096, 12288, 36, 32, 8, 128),
        "vision": (27, 1152, 4304, 16, 2304, [8, 16, 24]),
        "words": 151936,
        "tied": False,
    },
    "qwen3vl-32b": {
        "text": (5120, 25600, 64, 64, 8, 128),
        "vision": (27, 1152, 4304, 16, 2304, [8, 16, 24]),
        "words": 151936,
        "tied": False,
    },
}
"""text: width, feed-forward width, layers, heads, key heads, width of a head. vision: depth, width,
feed-forward width, heads, positions, layers whose output goes in early.
"""

TINY_TOKENS = (12, 20)
FULL_TOKENS = {"florence2": (70, 80), "qwen3vl": (190, 200)}
"""Tokens of an answer, at least and until an end becomes likely; a caption of 150 words has about 200."""

SHARD_BYTES = 4 * 1000**3


def put_in_cache(model: CaptionerModel, cache: Path, seed: int = 0, tiny: bool = True) -> Path:
    """Build a model of this kind as the repository that the spec names; gives its snapshot."""
    storage = cache / f"models--{model.repository.replace('/', '--')}"
    snapshot = storage / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(COMMIT)
    torch.manual_seed(seed)
    if model.family == "florence2":
        _florence2(snapshot, "tiny" if tiny else model.id)
    else:
        _qwen3vl(snapshot, "tiny" if tiny else model.id)
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


def _florence2(folder: Path, size: str) -> None:
    shape = FLORENCE2[size]
    side_px = shape["side_px"]
    vocabulary, merges = _vocabulary(400, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer = BartTokenizer(
        vocab=vocabulary, merges=merges, extra_special_tokens={"image_token": "<image>"}
    )
    tokenizer.add_tokens([f"<loc_{index}>" for index in range(8)])
    images = CLIPImageProcessor(
        size={"height": side_px, "width": side_px},
        crop_size={"height": side_px, "width": side_px},
        do_center_crop=False,
    )
    images.image_seq_length = (side_px // 32) ** 2 + 1  # cells and a pooled one
    names = ("pure_text", "description_with_bboxes", "bboxes", "ocr", "phrase_grounding")
    rules: dict[str, dict[str, str]] = {name: {} for name in names}
    Florence2Processor(images, tokenizer, post_processor_config=rules).save_pretrained(folder)
    config = florence2_config(size, len(tokenizer), image_token_id=tokenizer.image_token_id)
    _write(Florence2ForConditionalGeneration, config, folder, vocabulary, 2, size)


def _qwen3vl(folder: Path, size: str) -> None:
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
    marks = {
        name.replace("token", "token_id"): tokenizer.convert_tokens_to_ids(mark)
        for name, mark in _QWEN_SPECIALS.items()
    }
    config = qwen3vl_config(size, len(tokenizer), **marks)
    _write(Qwen3VLForConditionalGeneration, config, folder, vocabulary, vocabulary["<|im_end|>"], size)


def florence2_config(size: str, words: int = 0, **marks: int) -> Florence2Config:
    """words: size of a tiny vocabulary. marks: ids of special tokens."""
    shape = FLORENCE2[size]
    large = size != "tiny"
    width, layers, feed_forward, heads = shape["text"]
    return Florence2Config(
        vision_config={
            "depths": shape["depths"],
            "embed_dim": shape["widths"],
            "num_heads": shape["heads"],
            "num_groups": shape["heads"],
            "window_size": shape["window"],
            "projection_dim": width,
            "max_position_embeddings": 50 if large else 20,
            "max_temporal_embeddings": 100 if large else 10,
        },
        text_config=BartConfig(
            d_model=width,
            encoder_layers=layers,
            decoder_layers=layers,
            encoder_attention_heads=heads,
            decoder_attention_heads=heads,
            encoder_ffn_dim=feed_forward,
            decoder_ffn_dim=feed_forward,
            max_position_embeddings=4096 if large else 256,
            vocab_size=shape["words"] or words,
            decoder_start_token_id=2,
            eos_token_id=2,
            forced_bos_token_id=None,
            forced_eos_token_id=None,
        ).to_dict(),
        **marks,
    )


def qwen3vl_config(size: str, words: int = 0, **marks: int) -> Qwen3VLConfig:
    """As florence2_config."""
    shape = QWEN3VL[size]
    width, feed_forward, layers, heads, key_heads, head_width = shape["text"]
    depth, vision_width, vision_feed_forward, vision_heads, positions, early = shape["vision"]
    tiny = size == "tiny"
    return Qwen3VLConfig(
        vision_config={
            "depth": depth,
            "hidden_size": vision_width,
            "intermediate_size": vision_feed_forward,
            "num_heads": vision_heads,
            "out_hidden_size": width,
            "num_position_embeddings": positions,
            "deepstack_visual_indexes": early,
        },
        text_config={
            "hidden_size": width,
            "intermediate_size": feed_forward,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": key_heads,
            "head_dim": head_width,
            "vocab_size": shape["words"] or words,
            "tie_word_embeddings": shape["tied"],
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4 if tiny else 5e6,
                "mrope_section": [4, 2, 2] if tiny else [24, 20, 20],
                "mrope_interleaved": True,
            },
        },
        tie_word_embeddings=shape["tied"],
        **marks,
    )


def _write(
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    folder: Path,
    vocabulary: dict[str, int],
    eos: int,
    size: str,
) -> None:
    """Configurations and weights. Full size: shard by shard, so that no more than one is in memory."""
    if size == "tiny":
        model = kind(config)
        _write_words(model, vocabulary, eos, TINY_TOKENS)
        model.save_pretrained(folder)
        return
    with torch.device("meta"):
        model = kind(config)
    _write_words(model, vocabulary, eos, FULL_TOKENS[size.split("-")[0]])
    config.architectures = [kind.__name__]
    config.dtype = "bfloat16"
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    _write_shards(model, folder)


def _write_words(
    model: PreTrainedModel, vocabulary: dict[str, int], eos: int, tokens: tuple[int, int]
) -> None:
    """Suppress what is no word or full stop; no end before tokens[0], and a likely one after tokens[1]."""
    words = {index for token, index in vocabulary.items() if re.fullmatch(r"Ġ[a-z]{2,}|\.", token)}
    size = model.get_output_embeddings().weight.shape[0]
    model.generation_config.suppress_tokens = [i for i in range(size) if i not in words and i != eos]
    model.generation_config.eos_token_id = eos
    model.generation_config.no_repeat_ngram_size = 2 if tokens == TINY_TOKENS else 0
    model.generation_config.min_new_tokens = tokens[0]
    model.generation_config.exponential_decay_length_penalty = (tokens[1], 1.5)


def _write_shards(model: PreTrainedModel, folder: Path) -> None:
    places: dict[str, str] = {}
    total = 0
    for number, shard in enumerate(_shards(model)):
        name = f"model-{number:05d}.safetensors"
        save_file(shard, folder / name, {"format": "pt"})
        places.update(dict.fromkeys(shard, name))
        total += sum(tensor.nbytes for tensor in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _shards(model: PreTrainedModel) -> Iterator[dict[str, torch.Tensor]]:
    """Random bf16 weights; a tied tensor once."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shard: dict[str, torch.Tensor] = {}
    have = 0
    for name, parameter in model.named_parameters():
        tensor = torch.empty(parameter.shape, dtype=torch.bfloat16, device=device)
        if parameter.dim() == 1:
            tensor.fill_(float(name.endswith("weight")))  # norms are one, biases zero
        else:
            tensor.normal_(0.0, 0.02)
        shard[name] = tensor.cpu()
        have += tensor.nbytes
        if have >= SHARD_BYTES:
            yield shard
            shard, have = {}, 0
    shard |= {
        name: torch.zeros_like(buffer, device="cpu") + float(name.endswith(("running_var", "weight")))
        for name, buffer in model.state_dict().items()
        if name in dict(model.named_buffers())
    }
    if shard:
        yield shard


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cache", type=Path)
    parser.add_argument("model")
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    model = captioner_model(given.model)
    assert model is not None, f"There is no captioner model {given.model}."
    shutil.rmtree(given.cache / f"models--{model.repository.replace('/', '--')}", ignore_errors=True)
    print(put_in_cache(model, given.cache, tiny=given.tiny))


if __name__ == "__main__":
    main()
