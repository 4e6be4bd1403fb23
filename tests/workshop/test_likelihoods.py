"""Scores of texts: each token once, from what stood before it, whatever is scored beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import trainwright as tw
from trainwright.models.layers.packing import packing
from trainwright.workshop.likelihoods import Row, rolling, score


def windows(length: int, limit: int | None) -> list[tuple[list[int], list[int]]]:
    """Return (what is read, what is told) of each window of the numbers up to `length`, behind a -1."""
    rows = list(rolling(np.arange(-1, length, dtype=np.int32), limit))
    return [(row.ids[:-1].tolist(), row.ids[row.start :].tolist()) for row in rows]


def test_windows_are_those_of_the_harness() -> None:
    assert windows(10, 4) == [
        ([-1, 0, 1, 2], [0, 1, 2, 3]),
        ([3, 4, 5, 6], [4, 5, 6, 7]),
        ([5, 6, 7, 8], [8, 9]),
    ]
    assert windows(3, None) == [([-1, 0, 1], [0, 1, 2])]
    assert windows(0, 4) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("length", [1, 2, 7, 8, 21])
def test_every_token_is_told_once_from_all_that_fits(length: int, limit: int) -> None:
    found = windows(length, limit)
    assert [token for _, told in found for token in told] == list(range(length))
    assert all(len(read) <= limit for read, _ in found)
    assert all(len(read) == limit for read, _ in found[1:])


def test_a_row_that_is_too_long_loses_its_beginning() -> None:
    row = Row(np.arange(10, dtype=np.int32), 8)
    assert row.within(None).ids.tolist() == row.within(9).ids.tolist() == list(range(10))
    cut = row.within(4)
    assert (cut.ids.tolist(), cut.start) == ([5, 6, 7, 8, 9], 3)
    # More is to be told than can be read: what is told loses its beginning, too.
    assert Row(np.arange(10, dtype=np.int32), 2).within(4).start == 1


def test_scores_are_those_of_the_model(small_text_run: tw.Run) -> None:
    model = small_text_run.model
    texts = ["The cat says cat-cat", "The dog", "hen hen hen hen", "The fox says cow"]
    rows = [
        Row(np.concatenate([[model.tokenizer.first], ids]).astype(np.int32), start)
        for ids, start in zip(model.tokenizer.encode(texts), (4, 1, 2, 4), strict=True)
    ]
    for row, found in zip(rows, score(model, rows), strict=True):
        ids = torch.from_numpy(row.ids.astype(np.int64))
        with torch.no_grad():
            logits = model.network.logits(
                model.network.states(ids[:-1], packing(torch.tensor([len(ids) - 1])))
            )
        told = logits.log_softmax(-1).gather(1, ids[1:, None])[row.start - 1 :, 0]
        assert found.nats == pytest.approx(float(told.sum()), rel=1e-4)
        assert found.greedy == bool((logits.argmax(-1) == ids[1:])[row.start - 1 :].all())
    assert score(model, rows)[0].greedy  # it has learned that
    assert score(model, []) == []
