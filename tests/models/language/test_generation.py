"""Generation gives the same with and without a cache, alone and in a batch, today and tomorrow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainwright.foundation.errors import UserError
from trainwright.models.language.base import LANGUAGE_MODELS, LanguageModel
from trainwright.models.language.generation import Sampling, generate, most_read
from trainwright.models.layers.packing import packing

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
    for prompt, text in zip(PROMPTS, together, strict=True):
        assert text == texts(network, [prompt], sampling, context=context)[0]
    assert together == texts(network, PROMPTS[::-1], sampling, context=context)[::-1]
    assert all(len(text) == 30 for text in together)


def test_seeds_draw_other_texts(network: LanguageModel) -> None:
    first, again, other = (
        texts(network, PROMPTS, Sampling(max_tokens=20, temperature=1.0, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_equal_prompts_are_drawn_for_by_themselves(network: LanguageModel) -> None:
    sampling = Sampling(max_tokens=20, temperature=1.0, seed=1)
    first, other, second = texts(network, [PROMPTS[0], PROMPTS[1], PROMPTS[0]], sampling)
    assert first != second
    assert [first, second] == texts(network, [PROMPTS[0]] * 2, sampling)
    assert (
        first == texts(network, PROMPTS[:1], sampling)[0]
        and other == texts(network, [PROMPTS[1]], sampling)[0]
    )


def test_draws_follow_the_chances(network: LanguageModel) -> None:
    """Against the definition: of the first token of many texts, by each of the settings."""
    number = 3000
    prompt = PROMPTS[0]
    ids = torch.from_numpy(prompt.astype(np.int64))
    with torch.no_grad():
        logits = network.logits(network.states(ids, packing(torch.tensor([len(ids)]))))[-1]
    seen = logits.clone()
    seen[ids] = torch.where(seen[ids] > 0, seen[ids] / 1.5, seen[ids] * 1.5)
    hot = (logits / 2).softmax(-1)
    order = hot.argsort(descending=True)
    five = torch.zeros_like(hot).index_put((order[:5],), hot[order[:5]])
    # The fewest of the likeliest that have half of the chances.
    kept = order[: int((hot[order].cumsum(0) < 0.5).sum()) + 1]
    half = torch.zeros_like(hot).index_put((kept,), hot[kept])
    for more, expected in (
        ({}, hot),
        ({"repetition_penalty": 1.5}, (seen / 2).softmax(-1)),
        ({"top_k": 5}, five / five.sum()),
        ({"top_p": 0.5}, half / half.sum()),
    ):
        sampling = Sampling(max_tokens=1, temperature=2.0, seed=5, **more)  # type: ignore[arg-type]
        drawn = torch.tensor(texts(network, [prompt] * number, sampling))[:, 0]
        found = drawn.bincount(minlength=len(expected)) / number
        assert not found[expected == 0].any()
        # Five standard deviations of a share.
        assert ((found - expected).abs() <= 5 * (expected * (1 - expected) / number).sqrt() + 1e-9).all()


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


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(("new", "read"), [(1, 12), (3, 10), (7, 6), (50, 6)])
def test_of_a_long_prompt_all_is_read_but_room_for_what_is_written(
    network: LanguageModel, new: int, read: int, cached: bool
) -> None:
    assert most_read(12, new) == read
    prompt = np.arange(1, 40, dtype=np.int32)
    found = texts(network, [prompt], Sampling(max_tokens=new), context=12, cached=cached)[0]
    end = prompt[-read:]
    assert found == texts(network, [end], Sampling(max_tokens=new), context=12, cached=cached)[0]
    if read + new <= 13:  # nothing more is left out on the way
        assert found == texts(network, [end], Sampling(max_tokens=new), cached=cached)[0]


def test_of_no_prompts_there_are_no_texts(network: LanguageModel) -> None:
    assert texts(network, [], Sampling()) == []


def test_nothing_cannot_be_gone_on_with(network: LanguageModel) -> None:
    with pytest.raises(UserError, match="nothing to go on with"):
        next(generate(network, [np.zeros(0, dtype=np.int32)], Sampling(), stops=NONE))
