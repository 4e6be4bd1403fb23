"""Tiny decoders as transformers saves them, with tokenizers of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from trainwright.features.language.train import train_tokenizer

TEXTS = ["the cat sat on the mat", "a dog ran under the old red tree", "it was red and old"]
WIDTH, LAYERS, HEADS, CONTEXT = 32, 2, 4, 64


def gpt2(folder: Path, *, seed: int = 0, template: str | None = None) -> Path:
    """Write a GPT-2 of two layers with a byte-level tokenizer; return its folder.

    Args:
        folder: to write.
        seed: of its weights.
        template: chat template that it comes with; none without.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = train_tokenizer(TEXTS * 20, kind="bpe", vocabulary=320, masked=False)
    end = tokenizer.id_of("eos_token")
    shape: dict[str, Any] = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT}
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=tokenizer.vocabulary, bos_token_id=end, eos_token_id=end, **shape)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.with_template(template).save(folder)
    return folder
