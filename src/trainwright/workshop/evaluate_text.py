"""`evaluate` of a language model: loss on texts, choices by likelihood, answers by what was wanted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.features.language.formats import Unusable
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings
from trainwright.workshop.evaluate_answers import Asked, answered, choices_of, messages_of, rows_of
from trainwright.workshop.language_data import rows_at_once
from trainwright.workshop.text_model import TextModel

_CHOICES = ("choices", "options", "endings")
_PROMPTS = ("prompt", "question", "context", "query", "source", "instruction")
_ANSWERS = ("answer", "label", "gold", "target", "reference", "references", "answerKey", "answers")
_ABOUT_CONTEXT = ("question", "query")
"""Questions before which `context` stands, where there is such a column."""
_ODD_ROWS = 10
"""Rows that may be set aside however few there are: beyond, the share counts that training allows too."""


def evaluate_text(model: TextModel, data: Any, *, query: str | None = None) -> dict[str, Any]:
    """Judge a language model on data that it has not seen; the columns say how, the first of these that fits:

    - `prompt` (or `question`, `context`), `choices` and `answer`, the index or text of the right one: which
      choice is the likeliest after the prompt. `accuracy` compares log-probabilities, `accuracy_by_byte`
      divides them by the bytes of each choice first, as a long choice is unlikely for its length.
    - `prompt` (or `question`, `instruction` with its `input`, `source`) and `answer` (or `reference`,
      `target`): the model answers, greedily; exact match, ROUGE-1, -2, -L, and with sacrebleu BLEU and chrF.
    - anything else is read as in training: loss and perplexity, and of texts bits per byte.

    Before a `question` (or `query`) stands the `context` of its row, where there is such a column.

    Args:
        model: the model.
        data: a file, folder, glob, URL or frame.
        query: table or SELECT, where the data is a database.

    Returns:
        {"data", "rows", "set_aside", "kind": "choices" | "answers" | "texts", "metrics": name → value}; rows
        that could not be read, or have nothing to compare with, are set aside. Of choices and answers also
        "asked", the columns that a question is made of, and "cut_prompts", questions of which the beginning
        was left out; of answers "max_tokens" and "cut_answers", those that ended there.

    Raises:
        DataError: the data does not say what is right.
    """
    from trainwright.workshop.language_source import as_text

    if isinstance(data, str):
        from pathlib import Path

        table = open_table(as_text(DataSettings(path=data, query=query), Path()))
    else:
        table = open_table(data)
    names = set(table.schema)
    prompt = next((name for name in _PROMPTS if name in names), None)
    choices = next((name for name in _CHOICES if name in names), None)
    answer = next((name for name in _ANSWERS if name in names), None)
    more: dict[str, Any] = {}
    if prompt and answer and (choices or model.network.causal):
        asked = Asked(prompt, "context" if prompt in _ABOUT_CONTEXT and "context" in names else None)
        more["asked"] = asked.columns
        if choices:
            kind = "choices"
            metrics, set_aside, more["cut_prompts"] = _choices(model, table, asked, choices, answer)
        else:
            kind, found = "answers", answered(model, table, asked, answer)
            metrics, set_aside = found.metrics, found.set_aside
            more |= {name: getattr(found, name) for name in ("cut_prompts", "cut_answers", "max_tokens")}
    else:
        kind, (metrics, set_aside) = "texts", _texts(model, table)
    return {
        "data": table.name,
        "rows": table.num_rows,
        "set_aside": len(table.quarantined) + set_aside,
        "kind": kind,
        "metrics": metrics,
        **more,
    }


def _choices(
    model: TextModel, table: Table, asked: Asked, choices: str, answer: str
) -> tuple[dict[str, float], int, int]:
    """Return the metrics, how many rows are set aside, and of how many prompts the beginning was left out.

    Raises:
        DataError: no row can be asked, or more cannot than `data.quarantine_limit` allows.
    """
    right, by_byte = [], []
    broken: tuple[int, str] | None = None
    set_aside = cut = 0
    limit = max(_ODD_ROWS, model.recipe.data.quarantine_limit * table.num_rows)
    for number, row in enumerate(rows_of(table, asked, choices, answer)):
        try:
            prompt = "\n".join(message["content"] for message in messages_of(row, asked))
            options, index = _options(row, choices, answer)
        except Unusable as error:
            broken = broken or (number, str(error))
            set_aside += 1
            if set_aside > limit:
                break
            continue
        found = model.told(prompt, options)
        nats, sizes = np.array(found.nats), np.array([max(len(one.encode()), 1) for one in options])
        right.append(int(np.argmax(nats)) == index)
        by_byte.append(int(np.argmax(nats / sizes)) == index)
        cut += not found.whole
    if broken and (not right or set_aside > limit):
        number, reason = broken
        raise DataError(
            f"{set_aside:,} of {set_aside + len(right):,} rows cannot be asked; the first: {reason}",
            where=table.where(number),
            fix=f"give a text in {asked.prompt}, two or more {choices}, and in {answer} the index (from 0), "
            "the letter, the label or the text of the right one",
        )
    if not right:
        raise DataError("there is no row to judge by", where=table.name, fix="give some")
    metrics = {"accuracy": float(np.mean(right)), "accuracy_by_byte": float(np.mean(by_byte))}
    return metrics, set_aside, cut


def _options(row: Mapping[str, Any], choices: str, answer: str) -> tuple[list[str], int]:
    """Return the choices of a row, and the index of the right one.

    Raises:
        Unusable: it has no choices, or none of them is right.
    """
    options, labels = choices_of(row[choices])
    index = _right(row[answer], options, labels)
    if index is None or len(options) < 2:
        raise Unusable(f"{answer} is {row[answer]!r}, which is none of its {len(options)} choices")
    return options, index


def _right(answer: Any, options: Sequence[str], labels: Sequence[str] | None) -> int | None:
    """Return the index of the right choice: given by label where there are some, else as index or letter; or
    as text.
    """
    if isinstance(answer, bool) or answer is None:
        return None
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    text = str(answer).strip()
    if labels is not None and text in labels:
        return list(labels).index(text)
    if isinstance(answer, str) and text in options:
        return list(options).index(text)
    if labels is not None:
        return None
    if text.isdecimal():
        return int(text) if int(text) < len(options) else None
    place = ord(text.upper()) - ord("A") if len(text) == 1 else -1
    return place if 0 <= place < len(options) else None


def _texts(model: TextModel, table: Table) -> tuple[dict[str, float], int]:
    """Return loss, perplexity and bits of texts that are read as in training, and how many rows are none."""
    from trainwright.data.token_store import Tokens
    from trainwright.features.language.formats import choose_format
    from trainwright.features.language.samples import parts_of, read_samples, tokenized
    from trainwright.tasks.language import LANGUAGE_TASKS
    from trainwright.workshop.language_judging import measured, text_read
    from trainwright.workshop.language_network import objective_of
    from trainwright.workshop.language_reading import reading_of

    recipe, task = model.recipe, model.recipe.task
    assert task is not None
    objective = objective_of(task, encodes=model.network.encodes)
    _, form, names = choose_format(
        list(table.schema), task=task, asked="auto", called=recipe.language.columns, where=table.name
    )
    sums, counts = np.zeros(len(LANGUAGE_TASKS[objective].measures)), 0.0
    told: Counter[str] = Counter()
    row = set_aside = 0
    columns = sorted(set(names.values()))
    for frame in table.chunks(columns, size=rows_at_once(table, columns)):
        samples, rows, broken = read_samples(frame, form, names, row)
        row += len(frame)
        made = tokenized(samples, rows, model.tokenizer, task=objective, where=table.where)
        set_aside += len(broken) + len(made.broken)
        if not len(made.ids):
            continue
        offsets = np.concatenate([[0], np.cumsum(made.lengths)]).astype(np.int64)
        tokens = Tokens(made.ids, made.trained, offsets, made.rows, made.sizes, made.characters)
        learned = LANGUAGE_TASKS[objective](tokens, reading_of(recipe, model.tokenizer))
        index = np.arange(0, len(made.lengths), parts_of(task))
        budget = model.network.at_once(max(recipe.training.batch_tokens or 2048, 1))
        batches = learned.batches(index, budget=budget, training=False)
        plan = batches.plan(0)
        shares = [plan[i] for i in range(len(plan))]
        some, count = measured(learned, model.network, batches, shares, model.device)
        sums, counts = sums + some.sum(axis=1), counts + count.sum()
        if task == "causal-lm" and shares:
            told.update(text_read(tokens, model.tokenizer, batches.cutting, plan.rows))
    if not counts:
        raise DataError(
            "there is nothing to judge by", where=table.name, fix="give texts of at least a few words"
        )
    if task == "preference":
        # The reference is not kept: what is left is which answer the model finds likelier.
        return {"accuracy": float(sums[1] / counts)}, set_aside
    loss = float(sums[0] / counts)
    found = {"loss": loss, "perplexity": math.exp(min(loss, 700))}
    for unit, size in told.items():
        found[f"bits_per_{unit}"] = float(sums[0]) / math.log(2) / max(size, 1)
    return found, set_aside
