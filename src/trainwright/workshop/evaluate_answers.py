"""What a language model answers to questions, beside what was wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trainwright.data.table import Table
from trainwright.evaluation.text_scores import bleu_and_chrf, exact_match, rouge_l
from trainwright.features.language.formats import FORMATS, Format, Unusable
from trainwright.foundation.errors import DataError
from trainwright.workshop.text_model import TextModel

_FORMATS = {"source": "pairs", "instruction": "alpaca"}
"""Column of the question → the format whose other columns (input, history, …) belong to it; else prompt."""
_MOST_ROWS = 100_000
_NEW_TOKENS = 128
_BATCH = 8


def answered(model: TextModel, table: Table, prompt: str, answer: str) -> tuple[dict[str, float], int]:
    """Return the scores of greedy answers, and how many rows have no question or nothing to compare with.

    Args:
        model: a causal model.
        table: the questions.
        prompt: column of the question.
        answer: column of what is wanted: a text, or a list of texts of which any will do.

    Raises:
        DataError: there is no row to judge by, or there are too many.
    """
    questions, references = [], []
    rows = rows_of(table, prompt, answer)
    for row in rows:
        wanted = [str(one) for one in listed(row[answer]) if one is not None]
        try:
            asked = asked_of(row, prompt)
        except Unusable:
            continue
        if wanted:
            questions.append(asked)
            references.append(wanted)
    if not questions:
        raise DataError(
            "no row has a question and an answer to compare with",
            where=table.name,
            fix=f"give both, in {prompt} and {answer}",
        )
    texts: list[str] = []
    for start in range(0, len(questions), _BATCH):
        said = model.answers(questions[start : start + _BATCH], max_tokens=_NEW_TOKENS)
        texts += [text.strip() for text in said]
    found = {"exact_match": exact_match(texts, references), "rouge_l": rouge_l(texts, references)}
    return found | bleu_and_chrf(texts, references), len(rows) - len(questions)


def rows_of(table: Table, prompt: str, *columns: str) -> list[dict[str, Any]]:
    """Return all rows: the column of the question, those that belong to it, and others.

    Raises:
        DataError: there are too many to ask.
    """
    if table.num_rows > _MOST_ROWS:
        raise DataError(
            f"{table.num_rows:,} questions would take days",
            where=table.name,
            fix=f"give {_MOST_ROWS:,} or fewer",
        )
    beside = {name for name in _format(prompt).optional if name in table.schema}
    kept = sorted({prompt, *columns, *beside})
    return [row for frame in table.chunks(kept) for row in frame.to_dicts()]


def listed(value: Any) -> list[Any]:
    """Return the values of a list, which tables may keep as JSON; of anything else itself.

    What stands for itself is left as it is written: 2.50 is no 2.5, and null is a word.
    """
    if isinstance(value, str) and value[:1] in "[{":
        try:
            parsed = json.loads(value, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            return [value]
        found = listed(parsed)
        return found if found != [parsed] else [value]
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):  # as in ARC
        value = value["text"]
    return list(value) if isinstance(value, list) else [value]


def _format(prompt: str) -> Format:
    return FORMATS[_FORMATS.get(prompt, "prompt")]


def asked_of(row: Mapping[str, Any], prompt: str) -> list[dict[str, str]]:
    """Return the messages that a row asks with, read as in training.

    Raises:
        Unusable: they are none.
    """
    form = _format(prompt)
    asked, answer = (names[0] for names in form.columns)
    # A row is read with its answer; which one is no matter for the question.
    sample = form.read({**row, asked: row[prompt], answer: "?"})
    if sample.text:
        return [{"role": "user", "content": sample.text}]
    turns = sample.turns[:-1]
    if not turns[-1].text.strip():
        raise Unusable("the question is empty")
    return [{"role": turn.role, "content": turn.text} for turn in turns]
