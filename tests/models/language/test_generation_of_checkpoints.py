"""What checkpoints and slivers on them write: the same in a batch and alone, and kept or read again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from text_checkpoints import network

from trainwright.foundation.errors import RecipeError
from trainwright.models.language.generation import Sampling, generate
from trainwright.models.language.pretrained import Pretrained
from trainwright.models.language.slivers import VIRTUAL, Sliver
from trainwright.models.layers.packing import packing
from trainwright.recipe.recipe import TuningSettings

METHODS = ["full", "lora", "dora", "rslora", "ia3", "adapter", "prompt", "prefix"]
PROMPTS = [np.array(ids, dtype=np.int32) for ids in ([11, 12, 13], [14], [15, 16, 17, 18, 19, 20])]
VIRTUAL_TOKENS = 5


def made(
    method: str, kind: str = "llama", *, context: int = 64, dtype: Any = torch.float32, **more: Any
) -> Any:
    """Return a checkpoint, or a sliver on it that has learned something."""
    model = network(kind, context=context).to(dtype)
    causal = kind != "roberta"
    if method == "full":
        return Pretrained(model, causal=causal).eval()
    settings = TuningSettings(method=method, rank=4, tokens=VIRTUAL_TOKENS, **more)  # type: ignore[arg-type]
    sliver = Sliver(model, causal=causal, settings=settings).eval()
    with torch.no_grad():
        for parameter in sliver.learned().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return sliver


def texts(model: Any, prompts: list[Any], sampling: Sampling, **more: Any) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in prompts]
    for tokens in generate(model, prompts, sampling, **{"stops": frozenset(), **more}):
        for text, token in zip(found, tokens, strict=True):
            text.extend([] if token is None else [token])
    return found


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", METHODS)
def test_cached_is_uncached_and_a_batch_is_each_alone(method: str, kind: str) -> None:
    model = made(method, kind)
    for sampling in (Sampling(max_tokens=12), Sampling(max_tokens=12, temperature=1.0, seed=3)):
        together = texts(model, PROMPTS, sampling)
        assert together == texts(model, PROMPTS, sampling, cached=False)
        assert together == [texts(model, [prompt], sampling)[0] for prompt in PROMPTS]
        # One ends before the others: of what is kept its part is forgotten.
        stop = together[0][2]

        def until(text: list[int], stop: int = stop) -> list[int]:
            return text[: text.index(stop) + 1] if stop in text else text

        found = texts(model, PROMPTS, sampling, stops=frozenset({stop}))
        assert found == [until(text) for text in together]


@pytest.mark.parametrize("method", METHODS)
def test_what_it_writes_is_what_it_finds_likeliest(method: str) -> None:
    """Against the states of all at once, as in training."""
    model = made(method)
    for prompt, text in zip(PROMPTS, texts(model, PROMPTS, Sampling(max_tokens=8)), strict=True):
        ids = torch.tensor([*prompt.tolist(), *text])
        with torch.no_grad():
            logits = model.logits(model.states(ids, packing(torch.tensor([len(ids)]))))
        assert logits.argmax(-1)[len(prompt) - 1 : -1].tolist() == text


@pytest.mark.parametrize("method", METHODS)
def test_a_text_that_fills_the_context_goes_on(method: str) -> None:
    model = made(method, "gpt2", context=16)
    assert model.context == (16 - VIRTUAL_TOKENS if method in VIRTUAL else 16)
    together = texts(model, PROMPTS, Sampling(max_tokens=40))
    assert all(len(text) == 40 for text in together)
    assert together == texts(model, PROMPTS, Sampling(max_tokens=40), cached=False)
    assert together == [texts(model, [prompt], Sampling(max_tokens=40))[0] for prompt in PROMPTS]


@pytest.mark.parametrize("method", ["full", "prompt", "lora"])
@pytest.mark.parametrize("kind", ["gpt2", "roberta"])
def test_as_many_tokens_as_it_says_are_read(kind: str, method: str) -> None:
    model = made(method, kind, context=16)
    # RoBERTa's places begin behind that of padding, which is 1.
    expected = (14 if kind == "roberta" else 16) - (VIRTUAL_TOKENS if method in VIRTUAL else 0)
    assert model.context == expected
    lengths = torch.tensor([expected, 3])
    ids = torch.arange(4, 4 + expected + 3)
    found = model.states(ids, packing(lengths))
    alone = model.states(ids[3:], packing(lengths[:1]))
    torch.testing.assert_close(found[3:], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", sorted(VIRTUAL))
def test_virtual_tokens_leave_room(method: str) -> None:
    with pytest.raises(RecipeError, match="5 virtual ones leave no room"):
        made(method, "gpt2", context=5)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "full"])
def test_a_base_of_16_bits_is_read_outside_autocast(method: str) -> None:
    model = made(method, dtype=torch.bfloat16)
    assert {p.dtype for p in model.learned().values()} == {torch.float32}
    ids, lengths = torch.arange(10, 26), torch.tensor([7, 9])
    exact = made(method)
    logits, expected = (m.logits(m.states(ids, packing(lengths))).float() for m in (model, exact))
    assert (logits - expected).abs().max() < 0.1 * expected.abs().max()
    logits.logsumexp(-1).sum().backward()
    assert all(p.grad is not None for p in model.learned().values())
    assert texts(model, PROMPTS, Sampling(max_tokens=4))
