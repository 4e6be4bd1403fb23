"""Tiny checkpoints of decoders and encoders with tokenizers of their own, as transformers saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from trainwright.features.language.tokenizer import LanguageTokenizer
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.text_model import TextModel

TEXT = (
    "Question: what does the red cat eat?\n"
    "Answer: fish, and the dog eats bread. Paris is old; Rome is older.\n"
)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
MASKED = {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
WIDTH, INNER, LAYERS, HEADS = 32, 48, 2, 4


def byte_level(text: str = TEXT, *, size: int = 400, masked: bool = False) -> Any:
    """Return a tokenizer as GPT-2's, or RoBERTa's: every text comes back exactly."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    special = SPECIAL | (MASKED if masked else {})
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(dict.fromkeys(special.values())),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([text] * 20, trainer)
    return _fast(backend, special)


def byte_fallback() -> Any:
    """Return a tokenizer as Llama 2's: a space is "▁", a word begins with one, unknown letters are bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(vocab_size=144, special_tokens=list(SPECIAL.values()), show_progress=False)
    backend.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_next")  # no token across words
    backend.train_from_iterator([line for line in TEXT.splitlines() for _ in range(20)], trainer)
    backend.pre_tokenizer = None
    # Bytes are tokens like any other: trained as special ones, they would be left out of texts.
    state = json.loads(backend.to_str())
    vocabulary = state["model"]["vocab"]
    vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    return _fast(Tokenizer.from_str(json.dumps(state)), SPECIAL)


def _fast(backend: Any, special: dict[str, str]) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def wrapped(tokenizer: Any) -> LanguageTokenizer:
    """Return one of transformers' tokenizers as ours."""
    special = {role: text for role, text in tokenizer.special_tokens_map.items() if isinstance(text, str)}
    return LanguageTokenizer(tokenizer.backend_tokenizer, special)


def network(kind: str = "llama", *, vocabulary: int = 400, context: int = 64) -> Any:
    """Return a model of transformers with random weights that are far from even."""
    import transformers as hf

    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": context,
    }
    tokens = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 3}
    if kind == "gpt2":
        small: dict[str, Any] = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": context}
        small |= dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
        made: Any = hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=vocabulary, **small, **tokens))
    elif kind == "roberta":
        shape |= dict.fromkeys(("attention_probs_dropout_prob", "hidden_dropout_prob"), 0.0)
        made = hf.RobertaForMaskedLM(hf.RobertaConfig(**shape, **tokens | {"pad_token_id": 1}))
    else:
        made = hf.LlamaForCausalLM(hf.LlamaConfig(**shape, num_key_value_heads=2, **tokens))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def checkpoint(folder: Path, kind: str = "llama", *, tokenizer: Any = None, context: int = 64) -> str:
    """Write a checkpoint and return its name."""
    tokenizer = byte_level(masked=kind == "roberta") if tokenizer is None else tokenizer
    network(kind, vocabulary=len(tokenizer), context=context).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def text_model(
    tokenizer: Any, task: str = "causal-lm", *, kind: str = "llama", context: int = 64
) -> TextModel:
    """Return a model that writes with random weights, without a folder."""
    from trainwright.models.language.pretrained import Pretrained

    recipe = Recipe.model_validate(
        {
            "data": "texts.txt",
            "task": task,
            "model": {"checkpoint": "nowhere"},
            "language": {"context": context},
        }
    )
    made = network(kind, vocabulary=len(tokenizer), context=context)
    return TextModel(recipe, wrapped(tokenizer), Pretrained(made, causal=kind != "roberta"))
