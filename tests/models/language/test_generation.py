"""Generation gives the same with and without a cache, alone and in a batch, today and tomorrow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainwright.foundation.errors import UserError
from trainwright.models.language.base import LANGUAGE_MODELS, LanguageModel
from trainwright.models.language.generation import Sampling, generate

PROMPTS = [np.array(ids, dtype=np.int32) for ids in ([1, 2, 3], [4], [5, 6, 7, 8, 9, 10])]
NONE: frozenset[int] = frozenset()


@pytest.fixture(scope="module")
def network() -> LanguageModel:
    torch.manual_seed(0)
    family = LANGUAGE_MODELS["gpt"]
    made = family(60, family.Options(depth=2, width=32, heads=2))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


def texts(
    network: LanguageModel, prompts: list[np.ndarray], sampling: Sampling, **more: object
) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in prompts]
    for tokens in generate(network, prompts, sampling, **{"stops": NONE, **more}):  # type: ignore[arg-type]
        for text, token in zip(found, tokens, strict=True):
            if token is not None:
                text.append(token)
    return found


WAYS = [
    Sampling(max_tokens=30),
    Sampling(max_tokens=30, temperature=1.0, seed=3),
    Sampling(max_tokens=30, temperature=0.7, top_k=5, top_p=0.8, repetition_penalty=1.3, seed=4),
]


@pytest.mark.parametrize("sampling", WAYS)
@pytest.mark.parametrize("context", [None, 12])
def test_cached_is_uncached_and_a_batch_is_each_alone(
    network: LanguageModel, sampling: Sampling, context: int | None
) -> None:
    together = texts(network, PROMPTS, sampling, context=context)
    assert together == texts(network, PROMPTS, sampling, context=context, cached=False)
    assert together[0] == texts(network, PROMPTS[:1], sampling, context=context)[0]
    assert all(len(text) == 30 for text in together)


def test_seeds_draw_other_texts(network: LanguageModel) -> None:
    first, again, other = (
        texts(network, PROMPTS, Sampling(max_tokens=20, temperature=1.0, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_stop_ends_a_text_and_not_the_others(network: LanguageModel) -> None:
    whole = texts(network, PROMPTS, Sampling(max_tokens=30))
    stop = whole[0][3]
    found = texts(network, PROMPTS, Sampling(max_tokens=30), stops=frozenset({stop}))
    for text, free in zip(found, whole, strict=True):
        until = free.index(stop) + 1 if stop in free else 30
        assert text == free[:until]


def test_few_are_drawn_from(network: LanguageModel) -> None:
    greedy = texts(network, PROMPTS, Sampling(max_tokens=10))
    for sampling in (
        Sampling(max_tokens=10, temperature=1.0, top_k=1),
        Sampling(max_tokens=10, temperature=1.0, top_p=1e-9),
        Sampling(max_tokens=10, temperature=1e-4),
    ):
        assert texts(network, PROMPTS, sampling) == greedy


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {"max_tokens": 0},
        {"temperature": -1},
        {"top_k": -1},
        {"top_p": 0},
        {"repetition_penalty": 0},
    ):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Sampling(**wrong)  # type: ignore[arg-type]


def test_nothing_cannot_be_gone_on_with(network: LanguageModel) -> None:
    with pytest.raises(UserError, match="nothing to go on with"):
        next(generate(network, [np.zeros(0, dtype=np.int32)], Sampling(), stops=NONE))
