"""`evaluate` of a language model: loss on texts, choices by likelihood, answers by what was wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.features.language.formats import Unusable
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings
from trainwright.workshop.evaluate_answers import answered, asked_of, listed, rows_of
from trainwright.workshop.text_model import TextModel

_CHOICES = ("choices", "options", "endings")
_PROMPTS = ("prompt", "question", "context", "query", "source", "instruction")
_ANSWERS = ("answer", "label", "gold", "target", "reference", "references")


def evaluate_text(model: TextModel, data: Any, *, query: str | None = None) -> dict[str, Any]:
    """Judge a language model on data that it has not seen; the columns say how, the first of these that fits:

    - `prompt` (or `question`, `context`), `choices` and `answer`, the index or text of the right one: which
      choice is the likeliest after the prompt. `accuracy` compares log-probabilities, `accuracy_by_byte`
      divides them by the bytes of each choice first, as a long choice is unlikely for its length.
    - `prompt` (or `question`, `instruction` with its `input`, `source`) and `answer` (or `reference`,
      `target`): the model answers, greedily; exact match, ROUGE-L, and with sacrebleu BLEU and chrF.
    - anything else is read as in training: loss and perplexity, and of texts bits per byte.

    Args:
        model: the model.
        data: a file, folder, glob, URL or frame.
        query: table or SELECT, where the data is a database.

    Returns:
        {"data", "rows", "set_aside", "kind": "choices" | "answers" | "texts", "metrics": name → value}; rows
        that could not be read, or have nothing to compare with, are set aside.

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
    set_aside = 0
    if prompt and choices and answer:
        kind, metrics = "choices", _choices(model, table, prompt, choices, answer)
    elif prompt and answer and model.network.causal:
        kind, (metrics, set_aside) = "answers", answered(model, table, prompt, answer)
    else:
        kind, (metrics, set_aside) = "texts", _texts(model, table)
    return {
        "data": table.name,
        "rows": table.num_rows,
        "set_aside": len(table.quarantined) + set_aside,
        "kind": kind,
        "metrics": metrics,
    }


def _choices(model: TextModel, table: Table, prompt: str, choices: str, answer: str) -> dict[str, float]:
    right, by_byte = [], []
    for number, row in enumerate(rows_of(table, prompt, choices, answer)):
        options = [str(option) for option in listed(row[choices])]
        index = _right(row[answer], options)
        if index is None or len(options) < 2:
            raise DataError(
                f"{answer} is {row[answer]!r}, which is none of its {len(options)} choices",
                where=table.where(number),
                fix=f"give the index (from 0), the letter or the text of the right one in {answer}",
            )
        try:
            asked = "\n".join(message["content"] for message in asked_of(row, prompt))
        except Unusable as error:
            raise DataError(str(error), where=table.where(number), fix=f"give a text in {prompt}") from error
        chances = model.log_probabilities(asked, options)
        sizes = np.array([max(len(option.encode()), 1) for option in options])
        right.append(int(np.argmax(chances)) == index)
        by_byte.append(int(np.argmax(chances / sizes)) == index)
    return {"accuracy": float(np.mean(right)), "accuracy_by_byte": float(np.mean(by_byte))}


def _right(answer: Any, options: Sequence[str]) -> int | None:
    """Return the index of the right choice: given as index, letter or text."""
    if isinstance(answer, bool) or answer is None:
        return None
    if isinstance(answer, int | float):
        return int(answer) if answer in range(len(options)) else None
    text = str(answer).strip()
    if text in options:
        return list(options).index(text)
    if text.isdecimal() and int(text) < len(options):
        return int(text)
    place = ord(text.upper()) - ord("A") if len(text) == 1 else -1
    return place if 0 <= place < len(options) else None


def _texts(model: TextModel, table: Table) -> tuple[dict[str, float], int]:
    """Return loss, perplexity and bits of texts that are read as in training, and how many rows are none."""
    from trainwright.data.token_store import Tokens
    from trainwright.features.language.formats import choose_format
    from trainwright.features.language.samples import parts_of, read_samples, tokenized
    from trainwright.tasks.language import LANGUAGE_TASKS
    from trainwright.workshop.language_job import reading_of
    from trainwright.workshop.language_judging import measured
    from trainwright.workshop.language_network import objective_of

    recipe, task = model.recipe, model.recipe.task
    assert task is not None
    objective = objective_of(task, encodes=model.network.encodes)
    _, form, names = choose_format(
        list(table.schema), task=task, asked="auto", called=recipe.language.columns, where=table.name
    )
    sums, counts = np.zeros(len(LANGUAGE_TASKS[objective].measures)), 0.0
    sizes = characters = 0
    row = set_aside = 0
    for frame in table.chunks(sorted(set(names.values())), size=256):
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
        budget = max(recipe.training.batch_tokens or 2048, 1)
        batches = learned.batches(index, budget=budget, training=False)
        plan = batches.plan(0)
        shares = [plan[i] for i in range(len(plan))]
        some, count = measured(learned, model.network, batches, shares, model.device)
        sums, counts = sums + some.sum(axis=1), counts + count.sum()
        sizes, characters = sizes + int(made.sizes.sum()), characters + int(made.characters.sum())
    if not counts:
        raise DataError(
            "there is nothing to judge by", where=table.name, fix="give texts of at least a few words"
        )
    if task == "preference":
        # The reference is not kept: what is left is which answer the model finds likelier.
        return {"accuracy": float(sums[1] / counts)}, set_aside
    loss = float(sums[0] / counts)
    found = {"loss": loss, "perplexity": math.exp(min(loss, 700))}
    if task == "causal-lm" and recipe.language.long == "split":
        found["bits_per_byte"] = float(sums[0]) / math.log(2) / max(sizes, 1)
        found["bits_per_character"] = float(sums[0]) / math.log(2) / max(characters, 1)
    return found, set_aside
