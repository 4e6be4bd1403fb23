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
from trainwright.features.language.tokenizer import LanguageTokenizer
from trainwright.foundation.devices import choose_device
from trainwright.foundation.errors import ModelFolderError, UserError
from trainwright.foundation.paths import write_atomic, write_json
from trainwright.models.language.generation import Sampling, generate
from trainwright.recipe.recipe import Recipe

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
        found = self._texts(ids, stop, Sampling(**sampling))
        return found[0] if isinstance(prompts, str) else found

    def stream(self, prompt: str | Messages, *, stop: Sequence[str] = (), **sampling: Any) -> Iterator[str]:
        """Yield how a text or a conversation goes on, piece by piece.

        Args:
            prompt: a text; or messages, each {"role": "user", "content": "…"}.
            stop, sampling: as for `generate`.
        """
        ids = self._prompt(prompt) if isinstance(prompt, str) else self._turns(prompt)
        text = _Text(self.tokenizer, stop)
        for (token,) in self._steps([ids], Sampling(**sampling)):
            assert token is not None
            if token not in self.tokenizer.stops:
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
        return self._texts([self._question(one) for one in questions], (), Sampling(**sampling))

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
            prompt: what stands before; a space follows where it does not end with one. A model of sources and
                targets reads it as a source.
            continuations: what may follow; its end is not counted.
        """
        import torch

        from trainwright.tasks.preference import log_probabilities

        def tensor(ids: Any) -> torch.Tensor:
            return torch.from_numpy(ids.astype(np.int64)).to(self.device)

        pairs = [self._pair(prompt, text) for text in continuations]
        before, behind = ([tensor(pair[part]) for pair in pairs] for part in (0, 1))
        with torch.no_grad():
            states = self.network.states_of_pairs(before, behind)
            chances = log_probabilities(self.network, states, torch.cat(behind)).cpu()
        pieces = torch.split(chances, [len(ids) for ids in behind])
        return [float(told.double().sum()) for told in pieces]

    def _texts(self, ids: Sequence[Any], stop: Sequence[str], sampling: Sampling) -> list[str]:
        texts = [_Text(self.tokenizer, stop) for _ in ids]
        said = [""] * len(ids)
        for tokens in self._steps(ids, sampling):
            for number, token in enumerate(tokens):
                if token is not None and token not in self.tokenizer.stops and not texts[number].ended:
                    said[number] += texts[number].add(token)
            if all(text.ended for text in texts):
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

    def _pair(self, prompt: str, text: str) -> tuple[Any, Any]:
        """Return the ids of a prompt and of what may follow it."""
        before = self._prompt(prompt)
        if self.recipe.task == "sequence-to-sequence":
            return before, self._frames.target(self.tokenizer.encode([text])[0], ended=False)
        space = "" if not prompt or prompt[-1].isspace() else " "
        whole = self._prompt(f"{prompt}{space}{text}")
        return whole[: len(before)], whole[len(before) :]

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


class _Text:
    """Tokens that become text: characters of several tokens appear when whole, and stop texts end it."""

    def __init__(self, tokenizer: LanguageTokenizer, stop: Sequence[str]) -> None:
        self._tokenizer, self._stop = tokenizer, [text for text in stop if text]
        self._ids: list[int] = []
        self._shown = 0
        self.ended = False

    def add(self, token: int) -> str:
        """Return what a token adds to the text that is sure by now."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        for stop in self._stop:
            found = text.find(stop, max(self._shown - len(stop), 0))
            if found >= 0:
                self.ended = True
                return self._show(text, max(found, self._shown))
        sure = len(text)
        if text.endswith("\ufffd"):  # half a character
            sure -= 1
        for stop in self._stop:
            # What may be the beginning of a stop text waits.
            sure = min(sure, len(text) - _overlap(text, stop))
        return self._show(text, max(sure, self._shown))

    def rest(self) -> str:
        """Return what was held back, at the end."""
        if self.ended:
            return ""
        text = self._tokenizer.decode(self._ids)
        return self._show(text, len(text))

    def _show(self, text: str, until: int) -> str:
        piece, self._shown = text[self._shown : until], until
        return piece


def _overlap(text: str, stop: str) -> int:
    """Return how many last characters of a text are the first of a stop text."""
    return next(
        (size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0
    )


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
