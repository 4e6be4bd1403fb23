"""`evaluate` of a language model: loss on texts, choices by likelihood, answers by what was wanted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings
from trainwright.workshop.text_model import TextModel

_CHOICES = ("choices", "options", "endings")
_PROMPTS = ("prompt", "question", "context", "query", "source", "instruction")
_ANSWERS = ("answer", "label", "gold", "target", "reference", "references", "completion", "output")
_MOST_ROWS = 100_000
_NEW_TOKENS = 128
_BATCH = 8


def evaluate_text(model: TextModel, data: Any, *, query: str | None = None) -> dict[str, Any]:
    """Judge a language model on data that it has not seen; the columns say how.

    - `prompt` (or `question`, `context`), `choices` and `answer`, the index or text of the right one: which
      choice is the likeliest after the prompt. `accuracy` compares log-probabilities, `accuracy_by_byte`
      divides them by the bytes of each choice first, as a long choice is unlikely for its length.
    - `prompt` and `answer` (or `reference`, `target`): the model answers, greedily; exact match, BLEU, chrF,
      ROUGE-L.
    - anything else is read as in training: loss and perplexity, and of texts bits per byte.

    Args:
        model: the model.
        data: a file, folder, glob, URL or frame.
        query: table or SELECT, where the data is a database.

    Returns:
        {"data", "rows", "kind": "choices" | "answers" | "texts", "metrics": name → value}.

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
    if prompt and choices and answer:
        kind, metrics = "choices", _choices(model, table, prompt, choices, answer)
    elif prompt and answer and model.network.causal:
        kind, metrics = "answers", _answers(model, table, prompt, answer)
    else:
        kind, metrics = "texts", _texts(model, table)
    return {"data": table.name, "rows": table.num_rows, "kind": kind, "metrics": metrics}


def _rows(table: Table, columns: Sequence[str]) -> list[dict[str, Any]]:
    if table.num_rows > _MOST_ROWS:
        raise DataError(
            f"{table.num_rows:,} questions would take days",
            where=table.name,
            fix=f"give {_MOST_ROWS:,} or fewer",
        )
    return [row for frame in table.chunks(columns) for row in frame.to_dicts()]


def _listed(value: Any) -> list[Any]:
    """Return the values of a list, which tables may keep as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):  # as in ARC
        value = value["text"]
    return list(value) if isinstance(value, list) else [value]


def _choices(model: TextModel, table: Table, prompt: str, choices: str, answer: str) -> dict[str, float]:
    right, by_byte = [], []
    for number, row in enumerate(_rows(table, [prompt, choices, answer])):
        options = [str(option) for option in _listed(row[choices])]
        index = _right(row[answer], options)
        if index is None or len(options) < 2:
            raise DataError(
                f"{answer} is {row[answer]!r}, which is none of its {len(options)} choices",
                where=table.where(number),
                fix=f"give the index (from 0), the letter or the text of the right one in {answer}",
            )
        chances = model.log_probabilities(str(row[prompt]), options)
        sizes = np.array([max(len(option.encode()), 1) for option in options])
        right.append(int(np.argmax(chances)) == index)
        by_byte.append(int(np.argmax(chances / sizes)) == index)
    return {"accuracy": float(np.mean(right)), "accuracy_by_byte": float(np.mean(by_byte))}


def _right(answer: Any, options: Sequence[str]) -> int | None:
    """Return the index of the right choice: given as index, letter or text."""
    if isinstance(answer, bool) or answer is None:
        return None
    if isinstance(answer, int | float):
        return int(answer) if 0 <= int(answer) < len(options) else None
    text = str(answer).strip()
    if text in options:
        return list(options).index(text)
    if text.isdecimal() and int(text) < len(options):
        return int(text)
    place = ord(text.upper()) - ord("A") if len(text) == 1 else -1
    return place if 0 <= place < len(options) else None


def _answers(model: TextModel, table: Table, prompt: str, answer: str) -> dict[str, float]:
    from trainwright.evaluation.text_scores import bleu_and_chrf, exact_match, rouge_l

    rows = _rows(table, [prompt, answer])
    references = [[str(one) for one in _listed(row[answer])] for row in rows]
    texts: list[str] = []
    for start in range(0, len(rows), _BATCH):
        asked = [str(row[prompt]) for row in rows[start : start + _BATCH]]
        texts += [text.strip() for text in model.answers(asked, max_tokens=_NEW_TOKENS)]
    bleu, chrf = bleu_and_chrf(texts, references)
    return {
        "exact_match": exact_match(texts, references),
        "rouge_l": rouge_l(texts, references),
        "bleu": bleu,
        "chrf": chrf,
    }


def _texts(model: TextModel, table: Table) -> dict[str, float]:
    """Return loss, perplexity and bits of texts that are read as in training."""
    from trainwright.data.token_store import Tokens
    from trainwright.features.language.formats import choose_format
    from trainwright.features.language.samples import parts_of, read_samples, tokenized
    from trainwright.tasks.language import LANGUAGE_TASKS
    from trainwright.workshop.language_job import reading_of
    from trainwright.workshop.language_judging import loss_of

    recipe, task = model.recipe, model.recipe.task
    assert task is not None
    _, form, names = choose_format(
        list(table.schema), task=task, asked="auto", called=recipe.language.columns, where=table.name
    )
    sums = counts = 0.0
    sizes = characters = 0
    row = 0
    for frame in table.chunks(sorted(set(names.values())), size=256):
        samples, rows, _ = read_samples(frame, form, names, row)
        row += len(frame)
        made = tokenized(samples, rows, model.tokenizer, task=task)
        if not len(made.ids):
            continue
        offsets = np.concatenate([[0], np.cumsum(made.lengths)]).astype(np.int64)
        tokens = Tokens(made.ids, made.trained, offsets, made.rows, made.sizes, made.characters)
        learned = LANGUAGE_TASKS[task](tokens, reading_of(recipe, model.tokenizer))
        index = np.arange(0, len(made.lengths), parts_of(task))
        budget = max(recipe.training.batch_tokens or 2048, 1)
        batches = learned.batches(index, budget=budget, training=False)
        plan = batches.plan(0)
        total, count = loss_of(
            learned, model.network, batches, [plan[i] for i in range(len(plan))], model.device
        )
        sums, counts = sums + total.sum(), counts + count.sum()
        sizes, characters = sizes + int(made.sizes.sum()), characters + int(made.characters.sum())
    if not counts:
        raise DataError(
            "there is nothing to judge by", where=table.name, fix="give texts of at least a few words"
        )
    loss = float(sums / counts)
    found = {"loss": loss}
    if task != "preference":
        found["perplexity"] = math.exp(min(loss, 700))
    if task == "causal-lm" and recipe.language.long == "split":
        found["bits_per_byte"] = float(sums) / math.log(2) / max(sizes, 1)
        found["bits_per_character"] = float(sums) / math.log(2) / max(characters, 1)
    return found
