"""A language model as EleutherAI's lm-evaluation-harness sees one; to import this, lm-eval must be there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
from lm_eval.api.model import LM

from trainwright.features.language.template import Turn
from trainwright.foundation.errors import UserError, did_you_mean
from trainwright.foundation.hashing import json_hash
from trainwright.workshop.generate import open_text_model
from trainwright.workshop.likelihoods import Ids, Row, rolling, score
from trainwright.workshop.text_model import TextModel

_SCORED, _WRITTEN = 256, 8
"""Requests that are answered together; those that are scored are cut into batches by their tokens."""
_NEW_TOKENS = 256
"""What the harness's own models write at most where a task does not say."""
_SAMPLING = {
    "max_gen_toks": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "repetition_penalty": "repetition_penalty",
    "seed": "seed",
}
"""A task's `generation_kwargs` → fields of `Sampling`."""

_OF_DRAWS = {"temperature", "top_k", "top_p"}
"""What has no effect where the likeliest token is taken; tasks set it all the same."""

_Answer = TypeVar("_Answer")


class LmEvalModel(LM):  # type: ignore[misc]
    """A Trainwright model for `lm_eval.simple_evaluate(model=…)`.

    Texts are read as in training: behind the token that stands before every text there.

    Args:
        model: a language model, a run, or the folder of either.

    Attributes:
        model: what answers.
        num_truncated: requests of which the beginning was left out, as the model reads no more at a time.

    Raises:
        UserError: the model tells no text from left to right.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: TextModel = open_text_model(model)
        if not self.model.network.causal:
            raise UserError(
                "a masked model does not tell texts from left to right, as the tasks of lm-eval ask",
                where=str(self.model.path or "the model"),
                fix="judge it on texts: `trainwright evaluate MODEL DATA`",
            )
        if self.model.network.encodes:
            raise UserError(
                "a model with an encoder and a decoder does not go on with a text, as lm-eval asks",
                where=str(self.model.path or "the model"),
                fix="judge it on sources and targets: `trainwright evaluate MODEL DATA`",
            )
        self.num_truncated = 0
        self._rendered = False

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return the log-probability of each continuation, and whether it would be written greedily.

        Args:
            requests: with `args`: context and continuation.
            disable_tqdm: show no progress.
        """

        def answer(pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
            rows = [self._within(self._pair(*pair)) for pair in pairs]
            return [(found.nats, found.greedy) for found in score(self.model, rows)]

        return self._answered("loglikelihood", requests, answer, size=_SCORED, quiet=disable_tqdm)

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-probability of each whole text; of long ones window by window, none left out.

        Args:
            requests: with `args`: a text.
            disable_tqdm: show no progress.
        """

        def answer(texts: Sequence[tuple[str]]) -> list[float]:
            windows = [list(rolling(self._ids(text), self.model.reads)) for (text,) in texts]
            told = iter(score(self.model, [row for rows in windows for row in rows]))
            return [sum(next(told).nats for _ in rows) for rows in windows]

        return self._answered("loglikelihood_rolling", requests, answer, size=_SCORED, quiet=disable_tqdm)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return how each context goes on.

        Args:
            requests: with `args`: context and the task's `generation_kwargs`.
            disable_tqdm: show no progress.
        """

        def answer(asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
            stop, sampling = _sampling(asked[0][1])
            contexts = [self._asking(context) for context, _ in asked]
            rows = [self._within(Row(np.append(ids, ids[-1:]), len(ids))) for ids in contexts]
            return self.model.continued([row.ids[:-1] for row in rows], stop=stop, **sampling)

        return self._answered("generate_until", requests, answer, size=_WRITTEN, quiet=disable_tqdm)

    def apply_chat_template(
        self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return a conversation as the model reads it.

        Args:
            chat_history: messages with role and content.
            add_generation_prompt: end where the assistant speaks; else within its last message.
        """
        self._rendered = True
        turns = [Turn(message["role"], message["content"]) for message in chat_history]
        template = self.model.tokenizer.template
        if add_generation_prompt:
            return template.prompt(turns)
        return template.prompt(turns[:-1]) + turns[-1].text

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Return the chat template, for the harness's records."""
        return self.model.tokenizer.template.source if chat_template else ""

    @property
    def tokenizer_name(self) -> str:
        """What names tokenizer and template in the harness's cache of requests."""
        return json_hash(self.model.tokenizer.hash_key)

    def _ids(self, text: str) -> Ids:
        """Return the ids of a text; what a template wrote brings its own beginning."""
        tokenizer = self.model.tokenizer
        first = [] if self._rendered and text else [tokenizer.first]
        ids = tokenizer.encode([text], special=self._rendered)[0]
        return np.concatenate([first, ids]).astype(np.int32)

    def _asking(self, context: str) -> Ids:
        """Return the ids behind which a continuation follows."""
        ids = self._ids(context)
        return np.append(ids, self.model.tokenizer.end).astype(np.int32) if self._from_source else ids

    @property
    def _from_source(self) -> bool:
        """Whether it learned targets, each cut by itself and behind the token that ends its source."""
        return self.model.recipe.task == "sequence-to-sequence"

    def _pair(self, context: str, continuation: str) -> Row:
        """Return a continuation behind its context, cut together as in training."""
        if self._from_source:  # the space between them belongs to neither
            context, continuation = context.rstrip(), continuation.strip()
        if not continuation:
            ids = self._asking(context)
            return Row(ids, len(ids))
        # What a template wrote brings its own beginning.
        rendered = self._rendered
        return self.model.pair(context, continuation, special=rendered, first=not (rendered and context))

    def _within(self, row: Row) -> Row:
        """Return as much of a row as the model reads at a time; what is left out is counted."""
        kept = row.within(self.model.reads)
        self.num_truncated += len(kept.ids) < len(row.ids)
        return kept

    def _answered(
        self,
        kind: str,
        requests: Sequence[Any],
        answer: Callable[[Sequence[Any]], list[_Answer]],
        *,
        size: int,
        quiet: bool,
    ) -> list[_Answer]:
        """Return the answers to some requests; those of like length and settings are asked together."""
        from rich.console import Console
        from rich.progress import track

        asked = [request.args for request in requests]
        found: dict[int, _Answer] = {}
        for numbers in track(
            list(_batches(asked, size)),
            description=kind,
            console=Console(stderr=True),
            disable=quiet or not sys.stderr.isatty(),
        ):
            for number, one in zip(numbers, answer([asked[number] for number in numbers]), strict=True):
                found[number] = one
                self.cache_hook.add_partial(kind, asked[number], one)
        return [found[number] for number in range(len(asked))]


def _batches(asked: Sequence[tuple[Any, ...]], size: int) -> Iterator[list[int]]:
    """Yield the numbers of requests that are answered together: of one kind, the longest first."""

    def settings(number: int) -> str:
        more = asked[number][1:]
        return json.dumps(more[0], sort_keys=True) if more and isinstance(more[0], Mapping) else ""

    order = sorted(range(len(asked)), key=lambda number: (settings(number), -len(asked[number][0])))
    for _, alike in groupby(order, key=settings):
        numbers = list(alike)
        yield from (numbers[first : first + size] for first in range(0, len(numbers), size))


def _sampling(asked: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the texts that end what is written, and the fields of `Sampling`.

    Raises:
        UserError: a task asks for something that there is not.
    """
    given = dict(asked)
    until = given.pop("until", None) or []
    if not given.pop("do_sample", float(given.get("temperature") or 0) > 0):
        given = {name: value for name, value in given.items() if name not in _OF_DRAWS}
    unknown = next((name for name in given if name not in _SAMPLING), None)
    if unknown is not None:
        raise UserError(
            f"a task of lm-eval asks for '{unknown}' in generation_kwargs, which there is not",
            fix=did_you_mean(unknown, _SAMPLING),
        )
    sampling: dict[str, Any] = {"max_tokens": _NEW_TOKENS}
    sampling |= {_SAMPLING[name]: value for name, value in given.items() if value is not None}
    return [until] if isinstance(until, str) else list(until), sampling
