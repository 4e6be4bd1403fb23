"""On a device whose lengths the host does not know, and without FlashAttention, rows give what they give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from trainwright.data.token_store import Tokens
from trainwright.models.language.base import LANGUAGE_MODELS, LanguageModel
from trainwright.models.layers import packing as module
from trainwright.models.layers.packing import by_length, packing
from trainwright.tasks.language import LANGUAGE_TASKS, Reading

LENGTHS = [3, 17, 8, 1, 40, 8]


def network(name: str) -> LanguageModel:
    torch.manual_seed(0)
    family = LANGUAGE_MODELS[name]
    options = {"key_heads": 1} if name == "gpt" else {"window": 3, "global_every": 2}
    made = family(50, family.Options(depth=3, width=32, heads=2, **options))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.double()


@pytest.mark.parametrize(("name", "learns"), [("gpt", "causal-lm"), ("bert", "masked-lm")])
def test_loss_and_gradients_are_the_same(name: str, learns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64)
    ids = np.random.default_rng(0).integers(5, 50, offsets[-1]).astype(np.uint16)
    nothing = np.zeros(len(LENGTHS), dtype=np.int64)
    reading = Reading(
        context=1000,
        long="split",
        seed=3,
        vocabulary=50,
        mask_token=4,
        word_ends=(np.ones(50, dtype=bool), np.zeros(50, dtype=bool)),
    )
    task = LANGUAGE_TASKS[learns](Tokens(ids, None, offsets, nothing, nothing, nothing), reading)
    batches = task.batches(np.arange(len(LENGTHS)), budget=1000, training=False)
    batch = batches.batch(batches.plan(0)[0])
    found = []
    for away in (False, True):
        if away:
            monkeypatch.setattr(module, "_is_host", lambda _: False)
            monkeypatch.setattr(module, "packs", lambda *_: False)
        made = network(name)
        loss = task(made, batch)
        loss.sum.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in made.parameters() if p.grad is not None]
        found.append([loss.sum, loss.count, *gradients])
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-9, atol=1e-12)


def test_the_host_asks_for_lengths_and_filling(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = torch.tensor([5, 2, 0, 5, 9])
    monkeypatch.setattr(module, "_is_host", lambda _: False)
    packed = packing(lengths, total=21, longest=9)
    assert packed.groups is None and len(packed.row) == 128
    asked = by_length(packed)
    assert asked.groups == ((1, 2), (2, 5), (1, 9), (1, 107))
    assert by_length(asked) is asked
    monkeypatch.undo()
    whole = packing(lengths)
    assert by_length(replace(whole, groups=None)).groups == whole.groups
