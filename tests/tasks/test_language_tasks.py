"""What language models learn: a document has the loss it has alone, hidden tokens are drawn evenly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainwright.data.token_store import Tokens
from trainwright.models.language.base import LANGUAGE_MODELS, LanguageModel
from trainwright.models.layers.packing import packing
from trainwright.tasks.language import LABELS, LANGUAGE_TASKS, LENGTHS, TOKENS, WHERE, LanguageTask, Reading

VOCABULARY = 50


def tokens(lengths: list[int], *, trained: np.ndarray | None = None) -> Tokens:
    draw = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    nothing = np.zeros(len(lengths), dtype=np.int64)
    ids = draw.integers(5, VOCABULARY, offsets[-1]).astype(np.uint16)
    return Tokens(ids, trained, offsets, nothing, nothing, nothing)


def task(name: str, rows: Tokens, context: int = 1000, **more: object) -> LanguageTask:
    reading = Reading(context=context, long="split", seed=3, vocabulary=VOCABULARY, **more)  # type: ignore[arg-type]
    return LANGUAGE_TASKS[name](rows, reading)


@pytest.fixture(scope="module")
def gpt() -> LanguageModel:
    torch.manual_seed(0)
    family = LANGUAGE_MODELS["gpt"]
    network = family(VOCABULARY, family.Options(depth=2, width=32, heads=2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.double()


def test_a_packed_batch_gives_each_document_the_loss_it_has_alone(gpt: LanguageModel) -> None:
    lengths = [3, 17, 8, 2, 40]
    learned = task("causal-lm", tokens(lengths))
    batches = learned.batches(np.arange(5), budget=1000, training=False)
    plan = batches.plan(0)
    assert len(plan) == 1
    together = learned(gpt, batches.batch(plan[0]))
    alone = [learned(gpt, batches.batch(plan[0][i : i + 1])) for i in range(5)]
    assert float(together.count) == sum(lengths) - 5 == sum(float(loss.count) for loss in alone)
    assert float(together.sum) == pytest.approx(sum(float(loss.sum) for loss in alone), rel=1e-12)
    # And that is the loss by the book.
    for loss, first, length in zip(alone, learned.tokens.offsets, lengths, strict=False):
        ids = torch.from_numpy(learned.tokens.ids[first : first + length].astype(np.int64))
        logits = gpt.logits(gpt.states(ids[:-1], packing(torch.tensor([length - 1]))))
        assert float(loss.sum) == pytest.approx(
            float(F.cross_entropy(logits, ids[1:], reduction="sum")), rel=1e-9
        )


def test_only_marked_tokens_are_learned(gpt: LanguageModel) -> None:
    trained = np.array([0, 0, 1, 1, 0, 0, 1, 0, 0, 1], dtype=np.uint8)
    learned = task("chat", tokens([5, 5], trained=trained))
    batches = learned.batches(np.arange(2), budget=100, training=False)
    batch = batches.batch(batches.plan(0)[0])
    expected = learned.tokens.ids[np.flatnonzero(trained)]
    assert sorted(batch.targets[LABELS].tolist()) == sorted(expected.tolist())
    loss = learned(gpt, batch)
    assert float(loss.count) == 4
    # What stands behind the last that is learned changes nothing; what is learned does.
    for place, matters in ((4, False), (3, True)):
        other = task("chat", tokens([5, 5], trained=trained))
        other.tokens.ids[place] = (int(other.tokens.ids[place]) + 1) % VOCABULARY
        again = other.batches(np.arange(2), budget=100, training=False)
        changed = other(gpt, again.batch(again.plan(0)[0]))
        assert (float(changed.sum.detach()) != float(loss.sum.detach())) == matters


@pytest.fixture(scope="module")
def masked() -> LanguageTask:
    starts = np.ones(VOCABULARY, dtype=bool)
    starts[40:] = False  # these go on with a word, of which none is long enough to be several
    return task(
        "masked-lm",
        tokens([4000, 3000]),
        64,
        mask_token=4,
        word_ends=(starts, np.zeros(VOCABULARY, dtype=bool)),
        special=frozenset({0, 1, 2, 3, 4}),
    )


def test_hidden_tokens_are_15_of_100_and_of_them_80_are_masked(masked: LanguageTask) -> None:
    batches = masked.batches(np.arange(2), budget=512, training=True)
    plan = batches.plan(0)
    hidden = shown_masked = shown_same = total = 0
    for number in range(len(plan)):
        batch = batches.batch(plan[number])
        where, labels = batch.inputs[WHERE], batch.targets[LABELS]
        shown = batch.inputs[TOKENS][where]
        hidden += len(where)
        total += int(batch.inputs[LENGTHS].sum())
        shown_masked += int((shown == 4).sum())
        shown_same += int((shown == labels).sum())
    assert total == 7000
    assert hidden / total == pytest.approx(0.15, abs=0.02)
    assert shown_masked / hidden == pytest.approx(0.8, abs=0.04)
    assert shown_same / hidden == pytest.approx(0.1 + 0.1 / VOCABULARY, abs=0.03)


def test_whole_words_are_hidden_and_others_in_every_epoch(masked: LanguageTask) -> None:
    batches = masked.batches(np.arange(2), budget=512, training=True)
    assert masked.reading.word_ends is not None
    found = []
    for epoch in (0, 0, 1):
        plan = batches.plan(epoch)
        batch = batches.batch(plan[0])
        flags = np.zeros(int(batch.inputs[LENGTHS].sum()), dtype=bool)
        flags[batch.inputs[WHERE].numpy()] = True
        truth = batch.inputs[TOKENS].numpy().copy()
        truth[batch.inputs[WHERE].numpy()] = batch.targets[LABELS].numpy()
        first = masked.reading.word_ends[0][truth].copy()
        first[np.cumsum(np.concatenate([[0], batch.inputs[LENGTHS].numpy()[:-1]]))] = True
        # Within a word all are hidden or none.
        assert np.array_equal(flags[1:][~first[1:]], flags[:-1][~first[1:]])
        found.append((plan[0].tolist(), batch.inputs[WHERE].tolist()))
    assert found[0] == found[1] != found[2]


def test_a_batch_is_the_same_in_halves(masked: LanguageTask) -> None:
    """Where memory runs out micro-batches are halved: what is hidden must not change."""
    batches = masked.batches(np.arange(2), budget=512, training=True)
    rows = batches.plan(2)[1]

    def labels(rows: np.ndarray) -> list[int]:
        return batches.batch(rows).targets[LABELS].tolist()  # type: ignore[no-any-return]

    assert sorted(labels(rows)) == sorted(labels(rows[:3]) + labels(rows[3:]))


def test_preference_is_the_loss_of_the_paper(gpt: LanguageModel) -> None:
    lengths = [6, 7, 9, 5]
    trained = np.concatenate([[0, 0, 0] + [1] * (length - 3) for length in lengths]).astype(np.uint8)
    learned = task("preference", tokens(lengths, trained=trained), beta=0.3)
    batches = learned.batches(np.array([0, 2]), budget=1000, training=False)
    batch = batches.batch(np.array([0, 2]))

    def chance(part: int) -> float:
        first, last = learned.tokens.offsets[part : part + 2]
        ids = torch.from_numpy(learned.tokens.ids[first:last].astype(np.int64))
        logits = gpt.logits(gpt.states(ids[:-1], packing(torch.tensor([len(ids) - 1]))))
        told = logits.log_softmax(-1).gather(1, ids[1:].unsqueeze(1))[:, 0]
        return float(told[torch.from_numpy(trained[first:last][1:]) > 0].sum())

    learned.reference[:] = [-1.0, -2.0, -3.0, -4.0]
    batch = batches.batch(np.array([0, 2]))
    margins = [chance(0) + 1 - (chance(1) + 2), chance(2) + 3 - (chance(3) + 4)]
    loss = learned(gpt, batch)
    expected = -F.logsigmoid(0.3 * torch.tensor(margins)).sum()
    assert float(loss.sum) == pytest.approx(float(expected), rel=1e-5)
    assert float(loss.count) == 2
    sums, count = learned.measured(gpt, batch)
    told = torch.tensor(margins)
    wanted = [float(expected), float((told > 0).sum()), float(0.3 * told.sum())]
    assert sums.tolist() == pytest.approx(wanted, rel=1e-5)
    assert len(learned.measures) == 3 and float(count) == 2
    # The model that it starts from is undecided: log 2 a pair.
    learned.prepare(gpt, np.array([0, 2]), budget=1000)  # type: ignore[attr-defined]
    start = learned(gpt, batches.batch(np.array([0, 2])))
    assert float(start.sum) == pytest.approx(2 * np.log(2), rel=1e-5)


def test_opinions_are_sums_over_each_answer(gpt: LanguageModel) -> None:
    """In the order of the pairs, whatever the order in which rows lie; an answer that is cut off has none."""
    lengths = [9, 4, 5, 8]
    trained = np.concatenate([[0, 0] + [1] * (length - 2) for length in lengths]).astype(np.uint8)
    trained[-8:] = 0
    learned = task("preference", tokens(lengths, trained=trained))
    batch = learned.batches(np.array([0, 2]), budget=1000, training=False).batch(np.array([2, 0]))
    found = learned.opinions(gpt, batch)  # type: ignore[attr-defined]
    expected = []
    for part in (2, 3, 0, 1):
        first, last = learned.tokens.offsets[part : part + 2]
        ids = torch.from_numpy(learned.tokens.ids[first:last].astype(np.int64))
        logits = gpt.logits(gpt.states(ids[:-1], packing(torch.tensor([len(ids) - 1]))))
        told = logits.log_softmax(-1).gather(1, ids[1:].unsqueeze(1))[:, 0]
        expected.append(told[torch.from_numpy(trained[first:last][1:]) > 0].sum())
    torch.testing.assert_close(found, torch.stack(expected).float(), rtol=1e-5, atol=0)
    assert expected[1] == 0
    found.sum().backward()
    assert all(parameter.grad is not None for parameter in gpt.parameters())
