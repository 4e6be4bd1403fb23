"""Tiny checkpoints with an encoder and a decoder, as transformers saves them, and their tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

WORDS = {
    "cat": "Katze",
    "dog": "Hund",
    "old": "alt",
    "red": "rot",
    "tree": "Baum",
    "and": "und",
    "big": "groß",
}
KINDS = ("t5", "t5-v1.1", "bart", "marian", "pegasus")
WIDTH, HEADS, INNER, LAYERS = 32, 4, 48, 2

_SPECIAL = {
    "t5": ["<pad>", "</s>", "<unk>"],
    "bart": ["<s>", "<pad>", "</s>", "<unk>"],
}
_FRAMES = {"t5": "$A </s>", "bart": "<s> $A </s>"}


def _family(kind: str) -> str:
    return "bart" if kind == "bart" else "t5"  # Marian's and Pegasus' texts are framed as T5's


def tokenizer(kind: str = "t5") -> Any:
    """Return a byte-level tokenizer that frames texts as the kind does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = _SPECIAL[_family(kind)]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([f"{one} {two}" for one, two in WORDS.items()] * 20, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single=_FRAMES[_family(kind)],
        special_tokens=[(text, backend.token_to_id(text)) for text in special],
    )
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    if "<s>" in special:
        names["bos_token"] = "<s>"
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def model(kind: str = "t5", vocabulary: int = 320, *, dropout: float = 0.0, context: int = 64) -> Any:
    """Return a model with random weights."""
    import transformers as hf

    torch.manual_seed(0)
    if kind.startswith("t5"):
        new = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False} if kind != "t5" else {}
        made: Any = hf.T5ForConditionalGeneration(
            hf.T5Config(
                vocab_size=vocabulary,
                d_model=WIDTH,
                d_kv=WIDTH // HEADS,
                d_ff=INNER,
                num_layers=LAYERS,
                num_heads=HEADS,
                dropout_rate=dropout,
                decoder_start_token_id=0,
                **new,
            )
        )
        if new:  # its output layer is its own
            made.lm_head.weight = torch.nn.Parameter(torch.randn(vocabulary, WIDTH) * 0.1)
    else:
        special = tokenizer(kind)
        families = {
            "bart": (hf.BartConfig, hf.BartForConditionalGeneration),
            "marian": (hf.MarianConfig, hf.MarianMTModel),
            "pegasus": (hf.PegasusConfig, hf.PegasusForConditionalGeneration),
        }
        config, family = families[kind]
        made = family(
            config(
                vocab_size=vocabulary,
                d_model=WIDTH,
                encoder_layers=LAYERS,
                decoder_layers=LAYERS,
                encoder_attention_heads=HEADS,
                decoder_attention_heads=HEADS,
                encoder_ffn_dim=INNER,
                decoder_ffn_dim=INNER,
                max_position_embeddings=context,
                dropout=dropout,
                scale_embedding=kind != "bart",
                pad_token_id=special.pad_token_id,
                bos_token_id=special.bos_token_id,
                eos_token_id=special.eos_token_id,
                decoder_start_token_id=special.eos_token_id if kind == "bart" else special.pad_token_id,
                forced_eos_token_id=None,
            )
        )
        made.final_logits_bias.normal_()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "embed_positions" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def checkpoint(folder: Path, kind: str = "t5", **more: Any) -> str:
    """Write a checkpoint and return its name."""
    model(kind, **more).save_pretrained(folder)
    tokenizer(kind).save_pretrained(folder)
    return str(folder)


def pairs(number: int, *, words: int = 2, seed: int = 0) -> list[dict[str, str]]:
    """Return so many translations of a few words."""
    draw = np.random.default_rng(seed)
    chosen = [draw.choice(list(WORDS), words) for _ in range(number)]
    return [{"source": " ".join(some), "target": " ".join(WORDS[word] for word in some)} for some in chosen]
