"""Checkpoints of other architectures give their own logits, packed and cached; bad ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from largest_tensor import Largest

from trainwright.data.encoded import Batch
from trainwright.foundation.errors import RecipeError
from trainwright.models.exchange import to_transformers
from trainwright.models.language.base import LANGUAGE_MODELS, LanguageModel
from trainwright.models.language.checkpoint import load_checkpoint
from trainwright.models.language.pretrained import Pretrained
from trainwright.models.layers import chunked_cross_entropy
from trainwright.models.layers.packing import packing
from trainwright.tasks.language import LABELS, LANGUAGE_TASKS
from trainwright.workshop.language_network import language_groups

LENGTHS = torch.tensor([2, 5, 9])
TOKENS = 2 + torch.arange(16) * 7 % 80  # none is that of padding


def made(kind: str) -> Any:
    import transformers as hf

    torch.manual_seed(0)
    small = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    if kind == "gpt2":
        return hf.GPT2LMHeadModel(
            hf.GPT2Config(vocab_size=90, n_embd=32, n_layer=2, n_head=4, n_positions=64)
        )
    if kind == "qwen3":
        shape = small | {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
        return hf.Qwen3ForCausalLM(hf.Qwen3Config(**shape))
    if kind == "gemma2":  # its logits are capped behind the output layer
        shape = small | {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
        return hf.Gemma2ForCausalLM(hf.Gemma2Config(**shape, final_logit_softcapping=0.05))
    if kind == "bert":
        return hf.BertForMaskedLM(hf.BertConfig(**small, intermediate_size=48, max_position_embeddings=64))
    return hf.RobertaForMaskedLM(hf.RobertaConfig(**small, intermediate_size=48, max_position_embeddings=64))


@pytest.mark.parametrize("kind", ["gpt2", "qwen3", "gemma2", "bert", "roberta"])
def test_logits_are_the_checkpoints_own(kind: str) -> None:
    theirs = made(kind).eval()
    causal = kind not in {"bert", "roberta"}
    expected, place = [], 0
    with torch.no_grad():
        for length in LENGTHS.tolist():
            expected.append(theirs(input_ids=TOKENS[place : place + length].unsqueeze(0)).logits[0])
            place += length
    network = Pretrained(theirs, causal=causal).eval()
    found = network.logits(network.states(TOKENS, packing(LENGTHS)))
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-4)
    assert network.output() is not None
    assert network.capping == (0.05 if kind == "gemma2" else None)
    # A loss by the task is that of these logits, and has a gradient for what learns.
    batch = Batch({"tokens": TOKENS, "tokens.lengths": LENGTHS}, {LABELS: TOKENS.roll(1)}, np.arange(3))
    learned = LANGUAGE_TASKS["causal-lm"](None, None)(network, batch)  # type: ignore[arg-type]
    told = torch.nn.functional.cross_entropy(torch.cat(expected), TOKENS.roll(1), reduction="sum")
    torch.testing.assert_close(learned.sum[0], told, atol=1e-4, rtol=1e-4)
    assert sum(len(group.params) for group in language_groups(network, 0.1)) == len(
        list(network.parameters())
    )
    if causal:
        cache = network.begin(torch.tensor([0]), 9)
        row = TOKENS[7:].unsqueeze(0)
        states = torch.cat([network.step(row[:, :4], cache), network.step(row[:, 4:], cache)], dim=1)
        torch.testing.assert_close(network.logits(states)[0], expected[2], atol=1e-5, rtol=1e-4)


def test_capped_logits_are_made_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers as hf

    vocabulary, rows, tokens = 1_000, 40, 400
    monkeypatch.setattr(chunked_cross_entropy, "_NUMBERS", rows * vocabulary)
    shape: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "head_dim": 4}
    shape |= {"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": vocabulary}
    network = Pretrained(hf.Gemma2ForCausalLM(hf.Gemma2Config(**shape)), causal=True)
    ids = torch.arange(tokens) % vocabulary
    lengths = torch.full((8,), tokens // 8)
    batch = Batch({"tokens": ids, "tokens.lengths": lengths}, {LABELS: ids.roll(1)}, np.arange(8))
    with Largest() as largest:
        loss = LANGUAGE_TASKS["causal-lm"](None, None)(network, batch)  # type: ignore[arg-type]
        loss.sum.backward()
    assert network.at_once(tokens) == tokens
    assert largest.numbers <= rows * vocabulary


def test_of_a_model_that_gives_logits_alone_few_tokens_are_judged_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = made("gpt2").eval()
    whole = theirs.forward
    monkeypatch.setattr(theirs, "forward", lambda **words: _halved(whole(**words)))
    network = Pretrained(theirs, causal=True).eval()
    assert network.output() is None
    assert network.at_once(10**6) == (1 << 24) // 90
    assert network.at_once(5) == 5


def _halved(found: Any) -> Any:
    found.logits = found.logits.abs().sqrt()
    return found


OURS = {
    "gpt": ("gpt", {}),
    "squared ReLU": ("gpt", {"activation": "relu2", "key_heads": 2}),
    "without norms": ("gpt", {"qk_norm": False, "tied": False}),
    "bert": ("bert", {"window": 3}),
}


def ours(name: str, options: dict[str, Any]) -> LanguageModel:
    torch.manual_seed(0)
    family = LANGUAGE_MODELS[name]
    network = family(90, family.Options(**{"depth": 4, "width": 32, "heads": 4, **options}))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize("name", OURS)
def test_exported_and_back(name: str, tmp_path: Path) -> None:
    import transformers

    network = ours(*OURS[name])
    causal = OURS[name][0] == "gpt"
    to_transformers(network, context=64, special={"eos_token": 1, "pad_token": 0}).save_pretrained(tmp_path)
    auto = transformers.AutoModelForCausalLM if causal else transformers.AutoModelForMaskedLM
    theirs = auto.from_pretrained(tmp_path).eval()
    expected = network.logits(network.states(TOKENS[7:], packing(torch.tensor([9]))))
    torch.testing.assert_close(
        theirs(input_ids=TOKENS[7:].unsqueeze(0)).logits[0], expected, atol=1e-4, rtol=1e-4
    )
    back = Pretrained(load_checkpoint(str(tmp_path), "causal" if causal else "masked"), causal=causal).eval()
    found = back.logits(back.states(TOKENS[7:], packing(torch.tensor([9]))))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_an_exported_window_is_as_wide(tmp_path: Path) -> None:
    """BERT's own window, 64 tokens to each side, in a row that is longer by far."""
    import transformers

    network = ours("bert", {"window": 64})
    to_transformers(network, context=256, special={}).save_pretrained(tmp_path)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    row = 2 + torch.arange(200) * 7 % 80
    expected = network.logits(network.states(row, packing(torch.tensor([200]))))
    torch.testing.assert_close(theirs(input_ids=row.unsqueeze(0)).logits[0], expected, atol=1e-4, rtol=1e-4)
    # The window matters: one that is wider by one gives others.
    theirs.config.local_attention = 130
    wider = transformers.ModernBertForMaskedLM(theirs.config).eval()
    wider.load_state_dict(theirs.state_dict())
    assert not torch.allclose(wider(input_ids=row.unsqueeze(0)).logits[0], expected, atol=1e-3)


def test_checkpoints_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    made("qwen3").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    state = load_file(weights)
    config = json.loads((tmp_path / "config.json").read_text())

    def load(state: dict[str, torch.Tensor]) -> None:
        save_file(state, weights, metadata={"format": "pt"})
        load_checkpoint(str(tmp_path), "causal")

    name = "model.layers.0.mlp.up_proj.weight"
    with pytest.raises(RecipeError, match=f"lacks 1 weights of its model, {name} among them"):
        load({key: tensor for key, tensor in state.items() if key != name})
    with pytest.raises(RecipeError, match=r"weights too many \(model.layers.0.extra.weight\)"):
        load(state | {"model.layers.0.extra.weight": torch.zeros(2)})
    with pytest.raises(RecipeError, match=r"cannot be opened|another shape"):
        load(state | {name: torch.zeros(3, 3)})
    load(state)
    with pytest.raises(RecipeError, match="its architecture has no sequence-to-sequence language model"):
        load_checkpoint(str(tmp_path), "sequence-to-sequence")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(RecipeError, match="cannot be opened"):
        load_checkpoint(str(tmp_path), "causal")
    weights.unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(RecipeError, match=r"its weights are pickled.*convert it once"):
        load_checkpoint(str(tmp_path), "causal")
    assert config["model_type"] == "qwen3"


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(60), b"no gguf at all"])
def test_corrupt_gguf_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="GGUF file"):
        load_checkpoint(str(path), "causal")
