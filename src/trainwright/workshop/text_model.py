"""A language model's folder: weights or a sliver of them, tokenizer, recipe; it executes nothing it holds."""

from __future__ import annotations

import json
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainwright.data.urls import redacted_settings
from trainwright.features.language.pairs import PairFrames
from trainwright.features.language.template import ROLES, Turn
from trainwright.features.language.text_stream import TextStream
from trainwright.features.language.tokenizer import LanguageTokenizer
from trainwright.foundation.devices import choose_device
from trainwright.foundation.errors import ModelFolderError, UserError
from trainwright.foundation.paths import write_atomic, write_json
from trainwright.models.language.generation import Sampling, generate, most_read
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.adapters import Adapter, adapters_of, put_adapter, switch_adapter
from trainwright.workshop.likelihoods import Row, score

if TYPE_CHECKING:
    import torch

    from trainwright.models.language.base import LanguageModel

ABOUT = "language.json"
"""File that a language model's folder has and no other."""

Messages = Sequence[Mapping[str, str]]


class LongPrompt(UserWarning):
    """Of a prompt or a conversation the beginning is left out: the model reads no more at a time."""


@dataclass(frozen=True)
class Written:
    """What a model wrote behind a prompt.

    Attributes:
        text: without the token that ends it.
        ended: whether it ended by itself, and not because it had as many tokens as it may have.
        whole: whether the prompt was read from its beginning, for every token of the text.
    """

    text: str
    ended: bool
    whole: bool


@dataclass(frozen=True)
class Told:
    """How likely a model finds texts behind a prompt.

    Attributes:
        nats: log-probability of each.
        whole: whether the prompt was read from its beginning.
    """

    nats: list[float]
    whole: bool


class TextModel:
    """A trained language model.

    Attributes:
        recipe: what it was made from.
        tokenizer: cuts texts.
        network: the torch module, in evaluation mode.
        path: the folder it came from; None while it has none.
    """

    def __init__(
        self,
        recipe: Recipe,
        tokenizer: LanguageTokenizer,
        network: LanguageModel,
        *,
        path: Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.network = network.eval()
        self.path = path
        self._adapters: dict[str, Adapter] = {}

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto") -> TextModel:
        """Load a model folder after checking it against its manifest.

        Raises:
            ModelFolderError: it is no model folder, a byte has changed, or a newer version wrote it.
        """
        from trainwright.recipe.reader import read_recipe
        from trainwright.reporting.manifest import check_manifest
        from trainwright.workshop.language_network import load_network

        folder = Path(folder)
        check_manifest(folder)
        recipe = read_recipe(folder / "recipe.yaml").recipe
        tokenizer = LanguageTokenizer.load(folder)
        network = load_network(folder, recipe)
        return cls(recipe, tokenizer, network.to(choose_device(device)), path=folder)

    def save(self, folder: Path) -> None:
        """Write weights, tokenizer and recipe into a folder; card and manifest come after."""
        from trainwright.recipe.writer import dump_recipe
        from trainwright.workshop.language_network import save_network

        save_network(self.network, folder)
        self.save_tokenizer(folder)
        whole = self.recipe.model_copy(update={"data": redacted_settings(self.recipe.data)})
        write_atomic(folder / "recipe.yaml", dump_recipe(whole))

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer, with a chat template where the model chats: others read by it that it does."""
        template = self.tokenizer.template.source if self.chats else None
        self.tokenizer.with_template(template).save(folder)

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters on its base; the one that it came with is "default"."""
        return adapters_of(self.network)

    def load_adapter(self, model: str | Path, name: str) -> None:
        """Put the adapter of another model on the same base, and use it.

        The model then answers as the other does, by its tokenizer, chat template and recipe; it is that one
        that is saved and exported.

        Args:
            model: the folder of a model, or of a run.
            name: what the adapter is called from now on.

        Raises:
            UserError: this model or the other is no adapter, their bases differ, or the name is taken.
        """
        found = put_adapter(self.network, model, name)
        if not self._adapters:
            (own, _) = self.adapters
            self._adapters[own] = Adapter(self.recipe, self.tokenizer)
        self._adapters[name] = found
        self._become(found)

    def use_adapter(self, name: str) -> None:
        """Use one of `adapters`.

        Raises:
            UserError: there is none of that name.
        """
        switch_adapter(self.network, name)
        if name in self._adapters:
            self._become(self._adapters[name])

    def _become(self, adapter: Adapter) -> None:
        self.recipe, self.tokenizer = adapter.recipe, adapter.tokenizer
        self.__dict__.pop("_frames", None)  # they were those of the other tokenizer

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def chats(self) -> bool:
        """Whether it was trained on conversations, or comes with a chat template."""
        if self.network.encodes:
            return False
        own = self.recipe.model.checkpoint is not None and self.tokenizer.has_own_template
        return self.recipe.task in {"chat", "preference"} or own

    @property
    def reads(self) -> int | None:
        """Most tokens that it reads at a time, those of its training; None without a limit."""
        return self.recipe.language.context if self.recipe.model.checkpoint is None else self.network.context

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        stop: Sequence[str] = (),
        **sampling: Any,
    ) -> str | list[str]:
        """Return how texts go on.

        Args:
            prompts: a text, or several that are done together.
            stop: texts at which it ends; they are not returned.
            sampling: fields of `Sampling`: max_tokens, temperature, top_k, top_p, repetition_penalty, seed.

        Returns:
            What follows the prompt; a list for several.
        """
        many = [prompts] if isinstance(prompts, str) else list(prompts)
        ids = [self._prompt(text) for text in many]
        self._warn_of_long(ids)
        found = [one.text for one in self._texts(ids, stop, Sampling(**sampling), goes_on=self._goes_on)]
        return found[0] if isinstance(prompts, str) else found

    def stream(self, prompt: str | Messages, *, stop: Sequence[str] = (), **sampling: Any) -> Iterator[str]:
        """Yield how a text or a conversation goes on, piece by piece.

        Args:
            prompt: a text; or messages, each {"role": "user", "content": "…"}, as for `chat`.
            stop, sampling: as for `generate`.
        """
        settings = Sampling(**sampling)
        ids = self._prompt(prompt) if isinstance(prompt, str) else self._chat(prompt, settings)
        self._warn_of_long([ids])
        goes_on = isinstance(prompt, str) and self._goes_on
        text, stops = (
            TextStream(self.tokenizer, stop=stop, before=ids if goes_on else ()),
            self.tokenizer.stops,
        )
        for (token,) in self._steps([ids], settings):
            assert token is not None
            if token not in stops:
                yield from filter(None, [text.add(token)])
            if text.ended:
                return
        yield from filter(None, [text.rest()])

    def chat(self, messages: Messages, *, stop: Sequence[str] = (), **sampling: Any) -> str:
        """Return the assistant's answer to a conversation.

        Args:
            messages: each {"role": "system" | "user" | "assistant", "content": "…"}; of a long conversation
                what `fitting` returns is read.
            stop, sampling: as for `generate`.
        """
        settings = Sampling(**sampling)
        ids = self._chat(messages, settings)
        self._warn_of_long([ids])
        return self._texts([ids], stop, settings)[0].text

    def fitting(self, messages: Messages, *, max_tokens: int = Sampling.max_tokens) -> Messages:
        """Return a conversation as far as it fits beside an answer of so many tokens.

        Of a longer one the oldest turns are left out, up to a message of the user, and `LongPrompt` warns of
        it; what the system says stays, and so does the last message of the user.

        Args:
            messages: as for `chat`.
            max_tokens: of the answer; at most half of what the model reads is kept free for it.
        """
        turns = self._turns(messages)
        kept = self._latest(turns, max_tokens)
        if len(kept) == len(turns):
            return messages
        warnings.warn(
            f"The conversation is longer than the model reads ({self.reads:,} tokens): its oldest turns are "
            "left out.",
            LongPrompt,
            stacklevel=2,
        )
        return [{"role": turn.role, "content": turn.text} for turn in kept]

    def answers(self, questions: Sequence[str | Messages], **sampling: Any) -> list[Written]:
        """Return answers to some questions, each by itself: as messages where the model chats, else as text.

        Nothing warns of questions that are too long: what was left out is said of each answer.

        Args:
            questions: texts, or messages up to the answer; done together.
            sampling: as for `generate`.
        """
        settings = Sampling(**sampling)
        asked = [self._question(one, settings.max_tokens) for one in questions]
        found = self._texts([ids for ids, _ in asked], (), settings, goes_on=self._goes_on and not self.chats)
        return [
            Written(one.text, one.ended, one.whole and whole)
            for one, (_, whole) in zip(found, asked, strict=True)
        ]

    def continued(self, prompts: Sequence[Any], *, stop: Sequence[str] = (), **sampling: Any) -> list[str]:
        """Return how texts go on that are tokens already.

        Args:
            prompts: ids, int32 [tokens] each; done together.
            stop, sampling: as for `generate`.
        """
        return [one.text for one in self._texts(prompts, stop, Sampling(**sampling))]

    def log_probabilities(self, prompt: str, continuations: Sequence[str]) -> list[float]:
        """Return the log-probability of each continuation of a plain text, in nats.

        Args:
            prompt: what stands before; a space follows where it does not end with one. Of a text that is too
                long its beginning is not read. A model of sources and targets reads it as a source.
            continuations: what may follow; its end is not counted.

        Raises:
            UserError: the model does not read from left to right.
        """
        return self.told(prompt, continuations).nats

    def told(self, prompt: str, continuations: Sequence[str]) -> Told:
        """Return what `log_probabilities` does, and whether the prompt was read whole."""
        if not self.network.causal:
            raise UserError(
                "a masked model does not say how likely a text goes on",
                fix="train with task causal-lm or chat",
            )

        if self.network.encodes:
            return self._told_from_source(prompt, continuations)
        # A space stands between words; a target is a text of its own.
        space = " " if self._goes_on and prompt and not prompt[-1].isspace() else ""
        rows = [self.pair(prompt, space + text) for text in continuations]
        read = [row.within(self.reads) for row in rows]
        whole = all(len(kept.ids) == len(row.ids) for kept, row in zip(read, rows, strict=True))
        return Told([found.nats for found in score(self, read)], whole)

    def pair(self, prompt: str, text: str, *, special: bool = False, first: bool = True) -> Row:
        """Return a text behind a prompt, cut as one where it goes on with it, to be scored.

        A token that reaches from the one into the other is one of the text.

        Args:
            prompt: what stands before, for a model without an encoder.
            text: what follows at once; at least one token of it is scored.
            special: what looks like a special token is one, as in what a chat template has written.
            first: the token that stands before every text stands before this one.
        """
        if self._goes_on:
            # White space belongs to the word behind it: most tokenizers have one token for both.
            plain = prompt.rstrip()
            before, behind = self.tokenizer.encode_pair(plain, prompt[len(plain) :] + text, special=special)
        else:
            before, behind = self.tokenizer.encode([prompt, text], special=special)
            before = np.concatenate([before, self._frames.behind_source])
            behind = self._frames.target(behind, ended=not len(behind))
        begin = [self.tokenizer.first] if first else []
        ids = np.concatenate([begin, before, behind]).astype(np.int32)
        return Row(ids, max(len(ids) - len(behind), 1))

    def _told_from_source(self, prompt: str, targets: Sequence[str]) -> Told:
        """Return how likely targets are of a source that an encoder reads."""
        import torch

        from trainwright.tasks.preference import log_probabilities

        def tensor(ids: Any) -> torch.Tensor:
            return torch.from_numpy(ids.astype(np.int64)).to(self.device)

        source, whole = self._within(self._prompt(prompt))
        cut = self.tokenizer.encode(targets)
        behind = [tensor(self._frames.target(ids, ended=not len(ids))) for ids in cut]
        with torch.no_grad():
            states = self.network.states_of_pairs([tensor(source)] * len(behind), behind)
            chances = log_probabilities(self.network, states, torch.cat(behind)).cpu()
        pieces = torch.split(chances, [len(ids) for ids in behind])
        return Told([float(each.double().sum()) for each in pieces], whole)

    def _within(self, source: Any) -> tuple[Any, bool]:
        """Return as much of a source as an encoder reads, and whether that is all.

        As in training its beginning is read, and the special token at its end stays.
        """
        if self.reads is None or len(source) <= self.reads:
            return source, True
        end = self._frames.behind_source
        return np.concatenate([source[: self.reads - len(end)], end]), False

    @property
    def _goes_on(self) -> bool:
        """Whether what follows a plain text is more of it, and no text of its own."""
        return self.recipe.task != "sequence-to-sequence"

    def _texts(
        self, ids: Sequence[Any], stop: Sequence[str], sampling: Sampling, *, goes_on: bool = False
    ) -> list[Written]:
        texts = [TextStream(self.tokenizer, stop=stop, before=one if goes_on else ()) for one in ids]
        said, sizes, stops = [""] * len(ids), [0] * len(ids), self.tokenizer.stops
        writing = set(range(len(ids)))
        for tokens in self._steps(ids, sampling):
            for number in tuple(writing):
                token = tokens[number]
                assert token is not None, "a text that has ended is written no more"
                sizes[number] += 1
                if token in stops:
                    writing.discard(number)
                    continue
                said[number] += texts[number].add(token)
                if texts[number].ended:
                    writing.discard(number)
            if not writing:
                break
        # An encoder reads its source once; else what is written is read behind the prompt, but for the last.
        most = None if self.network.encodes else self.reads
        return [
            Written(
                said[number] + text.rest(),
                ended=number not in writing,
                whole=most is None or len(ids[number]) + sizes[number] - 1 <= most,
            )
            for number, text in enumerate(texts)
        ]

    def _steps(self, ids: Sequence[Any], sampling: Sampling) -> Iterator[list[int | None]]:
        if not self.network.causal:
            raise UserError(
                "a masked model writes no text", fix="train with task causal-lm or chat, or predict with it"
            )
        return generate(self.network, ids, sampling, stops=self.tokenizer.stops, context=self.reads)

    @cached_property
    def _frames(self) -> PairFrames:
        return PairFrames.of(self.tokenizer, encodes=self.network.encodes)

    def _prompt(self, text: str) -> Any:
        ids = self.tokenizer.encode([text])[0]
        if self.recipe.task == "sequence-to-sequence":  # behind a source a target follows; a text goes on
            return self._frames.source(ids)
        return np.concatenate([[self.tokenizer.first], ids]).astype(np.int32)

    def check_chats(self) -> None:
        """Check that the model can hold a conversation.

        Raises:
            UserError: it has an encoder, which reads one text.
        """
        if self.network.encodes:
            raise UserError(
                "a model with an encoder and a decoder makes one text of another and does not chat",
                where=str(self.path or "the model"),
                fix="use `trainwright generate`",
            )

    def _warn_of_long(self, ids: Sequence[Any]) -> None:
        """Warn of prompts whose beginning is not read; an encoder refuses what it cannot read whole."""
        if self.reads is None or self.network.encodes:
            return
        long = sum(len(one) > self.reads for one in ids)
        if long:
            which = "The prompt is" if len(ids) == 1 else f"{long:,} of {len(ids):,} prompts are"
            warnings.warn(
                f"{which} longer than the model reads ({self.reads:,} tokens): of such a text the beginning "
                "is left out.",
                LongPrompt,
                stacklevel=3,
            )

    def _question(self, question: str | Messages, new: int) -> tuple[Any, bool]:
        """Return the ids of a question that has an answer of so many tokens, and whether they are all."""
        messages = [{"role": "user", "content": question}] if isinstance(question, str) else question
        if self.chats:
            turns = self._turns(messages)
            kept = self._latest(turns, new)
            return self.tokenizer.encode_prompt(kept), len(kept) == len(turns)
        ids = self._prompt("\n".join(message["content"] for message in messages))
        return self._within(ids) if self.network.encodes else (ids, True)

    def _chat(self, messages: Messages, sampling: Sampling) -> Any:
        return self.tokenizer.encode_prompt(
            self._turns(self.fitting(messages, max_tokens=sampling.max_tokens))
        )

    def _latest(self, turns: Sequence[Turn], new: int) -> Sequence[Turn]:
        """Return the latest turns that fit beside so many new tokens, behind what the system says."""
        if self.reads is None:
            return turns
        room = most_read(self.reads, new)
        system = [turn for turn in turns[:1] if turn.role == "system"]

        def fits(first: int) -> bool:
            return len(self.tokenizer.encode_prompt([*system, *turns[first:]])) <= room

        begins = [n for n, turn in enumerate(turns) if turn.role == "user"]
        if fits(len(system)) or not begins:
            return turns
        first = begins[min(bisect_left(begins, True, key=fits), len(begins) - 1)]
        return [*system, *turns[first:]]

    def _turns(self, messages: Messages) -> list[Turn]:
        """Return messages as turns.

        Raises:
            UserError: one is no message, or there is none.
        """
        self.check_chats()
        turns = []
        for message in messages:
            role, content = message.get("role"), message.get("content")
            if role not in ROLES or not isinstance(content, str):
                raise UserError(
                    f"this is no message: {message!r}",
                    fix=f"give role ({', '.join(ROLES)}) and content, a text",
                )
            turns.append(Turn(role, content))
        if not turns:
            raise UserError("there is no message to answer", fix="give at least one of the user")
        return turns


def read_about(folder: Path) -> dict[str, Any]:
    """Return what a language model's folder says of its network.

    Raises:
        ModelFolderError: it is damaged.
    """
    try:
        found = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFolderError(
            f"{ABOUT} cannot be read", where=str(folder), fix="use an undamaged copy of the folder"
        ) from error
    if not isinstance(found, dict) or "family" not in found:
        raise ModelFolderError(
            f"{ABOUT} does not say what the model is",
            where=str(folder),
            fix="use an undamaged copy of the folder",
        )
    return found


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Write what `read_about` returns."""
    write_json(folder / ABOUT, dict(about))
