"""Our language models are what their names say: packed, cached and exported they give the same logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainwright.models.language.base import LANGUAGE_MODELS, LanguageModel
from trainwright.models.layers.packing import attend, packing

LENGTHS = (1, 3, 7, 7, 30)


def model(name: str, **options: Any) -> LanguageModel:
    torch.manual_seed(1)
    family = LANGUAGE_MODELS[name]
    made = family(100, family.Options(**{"depth": 3, "width": 48, "heads": 4, **options}))
    with torch.no_grad():  # initial weights are so small that errors would drown in the tolerance
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


MODELS = {
    "gpt": lambda: model("gpt"),
    "gpt, shared heads, squared ReLU": lambda: model("gpt", key_heads=2, activation="relu2"),
    "gpt, bare": lambda: model("gpt", qk_norm=False, tied=False),
    "bert": lambda: model("bert", window=4),
}


@pytest.mark.parametrize("name", MODELS)
def test_packed_rows_do_not_see_each_other(name: str) -> None:
    network = MODELS[name]()
    tokens = torch.randint(0, 100, (sum(LENGTHS),))
    together = network.logits(network.states(tokens, packing(torch.tensor(LENGTHS))))
    place = 0
    for length in LENGTHS:
        alone = network.states(tokens[place : place + length], packing(torch.tensor([length])))
        torch.testing.assert_close(together[place : place + length], network.logits(alone))
        place += length


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("gpt")])
def test_a_cache_changes_nothing(name: str) -> None:
    network = MODELS[name]()
    rows = torch.randint(0, 100, (2, 12))
    pads = torch.tensor([5, 0])
    cache = network.begin(pads, 12)
    pieces = [
        network.step(rows[:, :6], cache),
        network.step(rows[:, 6:7], cache),
        network.step(rows[:, 7:], cache),
    ]
    cached = torch.cat(pieces, dim=1)
    for row, pad in enumerate(pads.tolist()):
        whole = network.states(rows[row, pad:], packing(torch.tensor([12 - pad])))
        torch.testing.assert_close(cached[row, pad:], whole)


def test_a_token_sees_none_that_follow() -> None:
    network = MODELS["gpt"]()
    tokens = torch.randint(0, 100, (20,))
    before = network.states(tokens, packing(torch.tensor([20])))
    tokens[15] = (tokens[15] + 1) % 100
    after = network.states(tokens, packing(torch.tensor([20])))
    torch.testing.assert_close(before[:15], after[:15])
    assert not torch.allclose(before[15:], after[15:])


def test_a_window_hides_what_is_far_away() -> None:
    parts = torch.randn(3, 47, 2, 8)
    packed = packing(torch.tensor([40, 7]))
    for causal in (False, True):
        found = attend(*parts, packed, window=3, causal=causal)
        for first, last in ((0, 7), (7, 47)):  # the shortest row comes first
            query, key, value = parts[:, first:last]
            scores = torch.einsum("qhd,khd->hqk", query, key) / 8**0.5
            ahead = torch.arange(last - first) - torch.arange(last - first).unsqueeze(1)
            hidden = (ahead.abs() > 3) | (causal & (ahead > 0))
            chances = scores.masked_fill(hidden, -torch.inf).softmax(-1)
            expected = torch.einsum("hqk,khd->qhd", chances, value)
            torch.testing.assert_close(found[first:last], expected, atol=1e-5, rtol=1e-4)
    # Every third layer of a BERT sees all, the others their window.
    tokens = torch.randint(0, 100, (40,))
    seen = []
    for every in (1, 1000):
        network = model("bert", depth=2, window=3, global_every=every)
        windows: list[int | None] = []

        def note(
            layer: int, query: Any, key: Any, value: Any, *, window: Any = None, seen: Any = windows
        ) -> Any:
            seen.append(window)
            return query

        network(tokens, torch.arange(40), note)
        seen.append(windows)
    assert seen == [[None, None], [None, 3]]


def test_options_that_do_not_fit_are_refused() -> None:
    options = LANGUAGE_MODELS["gpt"].Options
    with pytest.raises(ValueError, match="no even multiple of 5 heads"):
        options(width=64, heads=5)
    with pytest.raises(ValueError, match="4 heads cannot share 3 heads of keys evenly"):
        options(width=64, heads=4, key_heads=3)
    with pytest.raises(ValueError):
        options(dept=3)


def test_depth_decides_the_rest() -> None:
    sizes = [
        LANGUAGE_MODELS["gpt"].Options.for_size(size)["depth"] for size in ("tiny", "small", "base", "large")
    ]
    assert sizes == sorted(sizes)
    options = LANGUAGE_MODELS["gpt"].Options(depth=12)
    assert (options.width_, options.heads_) == (768, 12)


def test_every_parameter_learns() -> None:
    for name, make in MODELS.items():
        network = make().train()
        tokens = torch.randint(0, 100, (40,))
        states = network.states(tokens, packing(torch.tensor([10, 30])))
        network.logits(states).logsumexp(-1).sum().backward()
        without = [
            key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
        ]
        assert not without, (name, without)
