"""A language model's folder: weights or a sliver of them, tokenizer, recipe; it executes nothing it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
from trainwright.models.language.generation import Sampling, generate
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.adapters import Adapter, adapters_of, put_adapter, switch_adapter

if TYPE_CHECKING:
    import torch

    from trainwright.models.language.base import LanguageModel

ABOUT = "language.json"
"""File that a language model's folder has and no other."""

Messages = Sequence[Mapping[str, str]]


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
        found = self._texts(ids, stop, Sampling(**sampling), goes_on=self._goes_on)
        return found[0] if isinstance(prompts, str) else found

    def stream(self, prompt: str | Messages, *, stop: Sequence[str] = (), **sampling: Any) -> Iterator[str]:
        """Yield how a text or a conversation goes on, piece by piece.

        Args:
            prompt: a text; or messages, each {"role": "user", "content": "…"}.
            stop, sampling: as for `generate`.
        """
        ids = self._prompt(prompt) if isinstance(prompt, str) else self._turns(prompt)
        goes_on = isinstance(prompt, str) and self._goes_on
        text, stops = (
            TextStream(self.tokenizer, stop=stop, before=ids if goes_on else ()),
            self.tokenizer.stops,
        )
        for (token,) in self._steps([ids], Sampling(**sampling)):
            assert token is not None
            if token not in stops:
                yield from filter(None, [text.add(token)])
            if text.ended:
                return
        yield from filter(None, [text.rest()])

    def chat(self, messages: Messages, *, stop: Sequence[str] = (), **sampling: Any) -> str:
        """Return the assistant's answer to a conversation.

        Args:
            messages: each {"role": "system" | "user" | "assistant", "content": "…"}.
            stop, sampling: as for `generate`.
        """
        return self._texts([self._turns(messages)], stop, Sampling(**sampling))[0]

    def answers(self, questions: Sequence[str | Messages], **sampling: Any) -> list[str]:
        """Return answers to some questions, each by itself: as messages where the model chats, else as text.

        Args:
            questions: texts, or messages up to the answer; done together.
            sampling: as for `generate`.
        """
        asked = [self._question(one) for one in questions]
        return self._texts(asked, (), Sampling(**sampling), goes_on=self._goes_on and not self.chats)

    def continued(self, prompts: Sequence[Any], *, stop: Sequence[str] = (), **sampling: Any) -> list[str]:
        """Return how texts go on that are tokens already.

        Args:
            prompts: ids, int32 [tokens] each; done together.
            stop, sampling: as for `generate`.
        """
        return self._texts(prompts, stop, Sampling(**sampling))

    def log_probabilities(self, prompt: str, continuations: Sequence[str]) -> list[float]:
        """Return the log-probability of each continuation of a plain text, in nats.

        Args:
            prompt: what stands before; a space follows where it does not end with one. Of a text that is too
                long its beginning is not read. A model of sources and targets reads it as a source.
            continuations: what may follow; its end is not counted.

        Raises:
            UserError: the model does not read from left to right.
        """
        import torch

        from trainwright.tasks.preference import log_probabilities

        if not self.network.causal:
            raise UserError(
                "a masked model does not say how likely a text goes on",
                fix="train with task causal-lm or chat",
            )

        def tensor(ids: Any) -> torch.Tensor:
            return torch.from_numpy(ids.astype(np.int64)).to(self.device)

        pairs = [self._pair(prompt, text) for text in continuations]
        before, behind = ([tensor(pair[part]) for pair in pairs] for part in (0, 1))
        with torch.no_grad():
            states = self.network.states_of_pairs(before, behind)
            chances = log_probabilities(self.network, states, torch.cat(behind)).cpu()
        pieces = torch.split(chances, [len(ids) for ids in behind])
        return [float(told.double().sum()) for told in pieces]

    @property
    def _goes_on(self) -> bool:
        """Whether what follows a plain text is more of it, and no text of its own."""
        return self.recipe.task != "sequence-to-sequence"

    def _texts(
        self, ids: Sequence[Any], stop: Sequence[str], sampling: Sampling, *, goes_on: bool = False
    ) -> list[str]:
        texts = [TextStream(self.tokenizer, stop=stop, before=one if goes_on else ()) for one in ids]
        said, stops = [""] * len(ids), self.tokenizer.stops
        writing = set(range(len(ids)))
        for tokens in self._steps(ids, sampling):
            for number in tuple(writing):
                token = tokens[number]
                assert token is not None, "a text that has ended is written no more"
                if token in stops:
                    writing.discard(number)
                    continue
                said[number] += texts[number].add(token)
                if texts[number].ended:
                    writing.discard(number)
            if not writing:
                break
        return [before + text.rest() for before, text in zip(said, texts, strict=True)]

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

    def _question(self, question: str | Messages) -> Any:
        messages = [{"role": "user", "content": question}] if isinstance(question, str) else question
        if self.chats:
            return self._turns(messages)
        return self._prompt("\n".join(message["content"] for message in messages))

    def _pair(self, prompt: str, text: str) -> tuple[Any, Any]:
        """Return the ids of a prompt, at least one, and of what may follow it, at least one."""
        if self.recipe.task == "sequence-to-sequence":
            before, ids = self._prompt(prompt), self.tokenizer.encode([text])[0]
            behind = self._frames.target(ids, ended=not len(ids))
            if self.network.encodes:
                return before, behind
        else:
            # White space belongs to the word behind it: most tokenizers have one token for both.
            plain = prompt.rstrip()
            space = prompt[len(plain) :] or (" " if prompt else "")
            before, behind = self.tokenizer.encode_pair(plain, space + text)
            before = np.concatenate([[self.tokenizer.first], before])
        whole = np.concatenate([before, behind]).astype(np.int32)
        whole = whole if self.reads is None else whole[-self.reads - 1 :]
        place = max(len(whole) - len(behind), 1)
        return whole[:place], whole[place:]

    def _turns(self, messages: Messages) -> Any:
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
        return self.tokenizer.encode_prompt(turns)


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
