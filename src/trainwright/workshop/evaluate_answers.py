"""What a language model answers to questions, beside what was wanted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from trainwright.data.table import Table
from trainwright.evaluation.text_scores import bleu_and_chrf, exact_match, rouge_l, rouge_n
from trainwright.features.language.formats import FORMATS, Format, Unusable
from trainwright.features.language.template import Turn
from trainwright.foundation.errors import DataError
from trainwright.workshop.language_data import rows_at_once
from trainwright.workshop.text_model import TextModel

_FORMATS = {"source": "pairs", "instruction": "alpaca"}
"""Column of the question → the format whose other columns (input, history, …) belong to it; else prompt."""
_MOST_ROWS = 100_000
_LEAST_TOKENS = 128
"""Tokens that an answer may have where the answers that are wanted are short: a model may be wordy."""
_LONGER = 2
"""How many times as long as the longest answer that is wanted an answer may be."""
_BATCH = 8
_COUNTED = 256
"""Rows whose answers are cut into tokens together."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Asked:
    """The columns that a question is made of.

    Attributes:
        prompt: the question.
        context: what stands before it; None without.
    """

    prompt: str
    context: str | None = None

    @property
    def columns(self) -> list[str]:
        """Their names, in the order in which they are read."""
        return [self.prompt] if self.context is None else [self.context, self.prompt]


@dataclass(frozen=True)
class Answered:
    """What came of asking.

    Attributes:
        metrics: name → value.
        set_aside: rows without a question or anything to compare with.
        cut_prompts: questions of which the beginning was left out.
        cut_answers: answers that were not at their end when they had as many tokens as they may have.
        max_tokens: that number.
    """

    metrics: dict[str, float]
    set_aside: int
    cut_prompts: int
    cut_answers: int
    max_tokens: int


def answered(model: TextModel, table: Table, asked: Asked, answer: str) -> Answered:
    """Return the scores of greedy answers.

    An answer may have twice as many tokens as the longest that is wanted, 128 at least, and no more than the
    model reads.

    Args:
        model: a causal model.
        table: the questions.
        asked: columns of the question.
        answer: column of what is wanted: a text, or a list of texts of which any will do.

    Raises:
        DataError: there is no row to judge by, or there are too many.
    """
    if table.num_rows > _MOST_ROWS:
        raise DataError(
            f"{table.num_rows:,} questions would take days to answer",
            where=table.name,
            fix=f"give {_MOST_ROWS:,} or fewer",
        )
    longest = usable = 0
    for some in _in_batches(_questions(table, asked, answer), _COUNTED):
        usable += len(some)
        cut = model.tokenizer.encode([text for _, wanted in some for text in wanted])
        longest = max(longest, *map(len, cut))
    if not usable:
        raise DataError(
            "no row has a question and an answer to compare with",
            where=table.name,
            fix=f"give both, in {asked.prompt} and {answer}",
        )
    most = max(_LEAST_TOKENS, _LONGER * longest)
    most = most if model.reads is None else min(most, model.reads)
    texts: list[str] = []
    references: list[list[str]] = []
    cut_prompts = cut_answers = 0
    for some in _in_batches(_questions(table, asked, answer), _BATCH):
        said = model.answers([question for question, _ in some], max_tokens=most)
        texts += [one.text.strip() for one in said]
        references += [wanted for _, wanted in some]
        cut_prompts += sum(not one.whole for one in said)
        cut_answers += sum(not one.ended for one in said)
    metrics = {
        "exact_match": exact_match(texts, references),
        "rouge_1": rouge_n(texts, references, 1),
        "rouge_2": rouge_n(texts, references, 2),
        "rouge_l": rouge_l(texts, references),
        **bleu_and_chrf(texts, references),
    }
    return Answered(metrics, table.num_rows - usable, cut_prompts, cut_answers, most)


def _questions(table: Table, asked: Asked, answer: str) -> Iterator[tuple[list[dict[str, str]], list[str]]]:
    """Yield the messages of each question, and the answers of which any will do; other rows are left out."""
    for row in rows_of(table, asked, answer):
        wanted = [str(one) for one in listed(row[answer]) if one is not None]
        try:
            messages = messages_of(row, asked)
        except Unusable:
            continue
        if wanted:
            yield messages, wanted


def rows_of(table: Table, asked: Asked, *columns: str) -> Iterator[dict[str, Any]]:
    """Yield all rows: the columns of the question, those that belong to it, and others."""
    beside = {name for name in _format(asked.prompt).optional if name in table.schema}
    kept = sorted({*asked.columns, *columns, *beside})
    for frame in table.chunks(kept, size=rows_at_once(table, kept)):
        yield from frame.iter_rows(named=True)


def _in_batches(items: Iterable[_Item], size: int) -> Iterator[Sequence[_Item]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def listed(value: Any) -> list[Any]:
    """Return the values of a list, which tables may keep as JSON; of anything else itself.

    What stands for itself is left as it is written: 2.50 is no 2.5, and null is a word.
    """
    found = _parsed(value)
    if isinstance(found, Mapping) and isinstance(found.get("text"), list):  # as in SQuAD
        found = found["text"]
    return list(found) if isinstance(found, list) else [value]


def choices_of(value: Any) -> tuple[list[str], list[str] | None]:
    """Return the texts of choices, and where they have some, as those of ARC, their labels."""
    texts, found = [str(one) for one in listed(value)], _parsed(value)
    labels = found.get("label") if isinstance(found, Mapping) else None
    if not isinstance(labels, list) or len(labels) != len(texts):
        return texts, None
    return texts, [str(one) for one in labels]


def _parsed(value: Any) -> Any:
    """Return the list or object of JSON text, its numbers as they are written; anything else as it is."""
    if not isinstance(value, str) or value[:1] not in "[{":
        return value
    try:
        return json.loads(value, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return value


def _format(prompt: str) -> Format:
    return FORMATS[_FORMATS.get(prompt, "prompt")]


def messages_of(row: Mapping[str, Any], asked: Asked) -> list[dict[str, str]]:
    """Return the messages that a row asks with, read as in training.

    Raises:
        Unusable: they are none.
    """
    form = _format(asked.prompt)
    prompt, answer = (names[0] for names in form.columns)
    # A row is read with its answer; which one is no matter for the question.
    sample = form.read({**row, prompt: row[asked.prompt], answer: "?"})
    if sample.text:
        return [{"role": "user", "content": sample.text}]
    turns = list(sample.turns[:-1])
    if not turns[-1].text.strip():
        raise Unusable("the question is empty")
    context = "" if asked.context is None else row[asked.context] or ""
    if not isinstance(context, str):
        raise Unusable(f"{asked.context} is no text")
    if context.strip():
        turns[-1] = Turn(turns[-1].role, f"{context}\n{turns[-1].text}")
    return [{"role": turn.role, "content": turn.text} for turn in turns]
