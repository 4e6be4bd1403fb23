"""The tokenizer of a language model: text to ids and back, and conversations to ids by its chat template.

The text of a user never becomes a special token: whoever writes `<|im_end|>` into a message writes these
characters. Only the template sets special tokens.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainwright.features.language.fast_bpe import FastBPE
from trainwright.features.language.template import (
    CHATML,
    PLAIN,
    ChatTemplate,
    Rendered,
    Turn,
    unused_characters,
)
from trainwright.features.language.words import word_ends
from trainwright.foundation.errors import ModelFolderError, RecipeError
from trainwright.foundation.paths import write_atomic, write_json

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Ids = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

FILE, SETTINGS = "tokenizer.json", "tokenizer_config.json"

ROLES = ("bos_token", "eos_token", "pad_token", "mask_token", "cls_token", "sep_token", "unk_token")
_AT_ONCE = 1 << 22
"""Characters that are cut at a time: a token with its place takes some 150 bytes on the way."""
_MANY = 1 << 22
"""Characters after which it is worth to check whether there is a faster way to cut them: half a second."""


@dataclass(frozen=True)
class Shown:
    """A conversation as the model reads it, what looks like a special token in a message still hidden.

    Attributes:
        rendered: its text.
        taken: placeholder → what stood in its place; such text is cut as any other.
        mark: the character on either side of a placeholder's number.
    """

    rendered: Rendered
    taken: Mapping[str, str] = field(default_factory=dict)
    mark: str = ""


class LanguageTokenizer:
    """A tokenizer with the tokens that it adds by itself.

    Args:
        backend: cuts text into ids; its truncation and padding are switched off.
        special: role (`eos_token`, …) → text of that special token.
        template: chat template; None for models that do not chat.
    """

    def __init__(self, backend: Tokenizer, special: Mapping[str, str], template: str | None = None) -> None:
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend
        self.special = {role: text for role, text in special.items() if role in ROLES and text}
        self._template = template
        self._num_cut = 0

    @property
    def vocabulary(self) -> int:
        """Number of ids."""
        # Ids of added tokens may lie behind a gap.
        return max(self.backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def id_of(self, role: str) -> int | None:
        """Return the id of a special token by role (`eos_token`), or None."""
        text = self.special.get(role)
        found = None if text is None else self.backend.token_to_id(text)
        return None if found is None else int(found)

    @property
    def end(self) -> int:
        """Id behind every document.

        Raises:
            RecipeError: the tokenizer has no such token.
        """
        found = self.id_of("eos_token")
        found = self.id_of("sep_token") if found is None else found
        if found is None:
            raise RecipeError(
                "this tokenizer has no token that ends a text",
                where="language.tokenizer",
                fix="add eos_token to its tokenizer_config.json",
            )
        return found

    @property
    def begin(self) -> int | None:
        """Id before every document, where the tokenizer itself puts one there."""
        framed = self.backend.encode("a", add_special_tokens=True).ids
        first = self.id_of("bos_token")
        first = self.id_of("cls_token") if first is None else first
        return first if framed and framed[0] == first else None

    @property
    def first(self) -> int:
        """Id before every text: its own, else, as of GPT-2's texts, the one that ends them."""
        return self.end if self.begin is None else self.begin

    @cached_property
    def frame(self) -> tuple[Ids, Ids]:
        """Ids that the tokenizer itself puts before a text, and behind it."""
        plain = self.backend.encode("a", add_special_tokens=False).ids
        framed = self.backend.encode("a", add_special_tokens=True).ids
        place = next(at for at in range(len(framed) + 1) if framed[at : at + len(plain)] == plain)
        before, behind = framed[:place], framed[place + len(plain) :]
        return np.asarray(before, dtype=np.int32), np.asarray(behind, dtype=np.int32)

    @property
    def has_own_template(self) -> bool:
        """Whether it came with a chat template."""
        return self._template is not None

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template: its own, else ours."""
        ours = CHATML if self.our_template == "chatml" else PLAIN
        return ChatTemplate(ours if self._template is None else self._template, self.special)

    @property
    def our_template(self) -> str:
        """Which of our chat templates its special tokens suit, as the recipe calls it."""
        known = self.backend.token_to_id("<|im_start|>"), self.backend.token_to_id("<|im_end|>")
        return "plain" if None in known else "chatml"

    def with_template(self, source: str | None) -> LanguageTokenizer:
        """Return the same tokenizer with another chat template; None keeps its own."""
        return self if source is None else LanguageTokenizer(self.backend, self.special, source)

    @property
    def stops(self) -> frozenset[int]:
        """Ids that end what the model says: of a document, and of a turn."""
        found = {self.end, self.backend.token_to_id("<|im_end|>"), self.turn_end}
        return frozenset(int(token) for token in found if token is not None)

    @cached_property
    def turn_end(self) -> int | None:
        """Id at the end of the assistant's turns; None where the template sets none."""
        try:
            rendered = self.template.render([Turn("user", "a"), Turn("assistant", "b")])
        except Exception:  # whether a template can be used is said where it is used
            return None
        ids, trained = self.cut([Shown(rendered)])[0]
        last = ids[trained][-1:] if trained.any() else ids[:0]
        return int(last[0]) if len(last) and int(last[0]) in self.special_ids else None

    @cached_property
    def cuts_anywhere(self) -> bool:
        """Whether a text may be cut between lines without changing its ids: byte-level, without a prefix."""
        state = json.loads(self.backend.to_str())
        before = state.get("pre_tokenizer") or {}
        steps = before.get("pretokenizers", [before])
        levels = [step for step in steps if step.get("type") == "ByteLevel"]
        return state.get("normalizer") is None and bool(levels) and not levels[0].get("add_prefix_space")

    def encode(self, texts: Sequence[str], *, special: bool = False) -> list[Ids]:
        """Return the ids of some texts, without begin and end; in parallel, in Rust.

        Args:
            texts: to be cut.
            special: what looks like a special token is one, as in texts that a chat template has written.
        """
        self._num_cut += sum(map(len, texts))
        if not special and self._num_cut >= _MANY and self._fast is not None:
            return self._fast.encode(texts)
        self.backend.encode_special_tokens = not special
        found = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.int32) for encoding in found]

    @cached_property
    def _fast(self) -> FastBPE | None:
        return FastBPE.of(self.backend)

    def encode_pair(self, before: str, behind: str, *, special: bool = False) -> tuple[Ids, Ids]:
        """Return the ids of two texts that are cut as one: those of the first, and the others, at least one.

        A token that reaches into the second text is one of the others.

        Args:
            before, behind: the texts.
            special: what looks like a special token is one (see `encode`).
        """
        self.backend.encode_special_tokens = not special
        found = self.backend.encode(before + behind, add_special_tokens=False)
        place = next((n for n, (_, end) in enumerate(found.offsets) if end > len(before)), len(found.ids))
        ids = np.asarray(found.ids, dtype=np.int32)
        place = min(place, max(len(ids) - 1, 0))
        return ids[:place], ids[place:]

    def encode_chats(self, chats: Sequence[Sequence[Turn]]) -> list[tuple[Ids, Flags]]:
        """Return ids, and which of them the assistant said, of some conversations.

        Raises:
            DataError: the template refuses a conversation.
        """
        return self.cut([self.show(turns) for turns in chats])

    def show(self, turns: Sequence[Turn]) -> Shown:
        """Return a conversation as `cut` takes it.

        Raises:
            DataError: the template refuses it.
        """
        shielded, taken, mark = self._shielded(turns)
        return Shown(self.template.render(shielded), taken, mark)

    def cut(self, shown: Sequence[Shown]) -> list[tuple[Ids, Flags]]:
        """Return ids, and which of them the assistant said, of some conversations; in parallel, in Rust."""
        found: list[tuple[Ids, Flags]] = []
        for some in _in_batches(shown):
            plain = [each.rendered.text for each in some if not each.taken]
            self.backend.encode_special_tokens = False
            encodings = iter(self.backend.encode_batch(plain, add_special_tokens=False))
            made = [None if each.taken else next(encodings) for each in some]
            for each, encoding in zip(some, made, strict=True):
                found.append(
                    self._cut_in_pieces(each) if encoding is None else self._flagged(encoding, each.rendered)
                )
        return found

    def encode_prompt(self, turns: Sequence[Turn]) -> Ids:
        """Return the ids behind which the assistant speaks."""
        shielded, taken, mark = self._shielded(turns)
        return self.cut([Shown(Rendered(self.template.prompt(shielded), ()), taken, mark)])[0][0]

    def decode(self, ids: Iterable[int], *, special: bool = False) -> str:
        """Return the text of some ids.

        Args:
            ids: tokens.
            special: show special tokens too.
        """
        return str(self.backend.decode([int(token) for token in ids], skip_special_tokens=not special))

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the text of each token by itself, for people to look at."""
        return [self.decode([token], special=True) for token in ids]

    def _shielded(self, turns: Sequence[Turn]) -> tuple[Sequence[Turn], dict[str, str], str]:
        """Return the turns with placeholders for texts that look like special tokens, what they are, and by
        which character they are known.
        """
        pattern = self._special_pattern
        if pattern is None or not any(pattern.search(turn.text) for turn in turns):
            return turns, {}, ""
        (mark,) = unused_characters([self.template.source, *(turn.text for turn in turns)], 1)
        taken: dict[str, str] = {}

        def shield(found: re.Match[str]) -> str:
            key = f"{mark}{len(taken)}{mark}"
            taken[key] = found[0]
            return key

        return [replace(turn, text=pattern.sub(shield, turn.text)) for turn in turns], taken, mark

    def _flagged(self, encoding: Encoding, rendered: Rendered) -> tuple[Ids, Flags]:
        """Return ids and which are trained, of a text that was cut as a whole."""
        ids = np.asarray(encoding.ids, dtype=np.int32)
        trained = np.zeros(len(ids), dtype=bool)
        for first, last in rendered.trained:
            begin, end = (_first_token(encoding, place, len(rendered.text)) for place in (first, last))
            trained[begin : self._turn_end(ids, begin, end)] = True
        return ids, trained

    def _turn_end(self, ids: Ids, begin: int, end: int) -> int:
        """Return where the trained tokens of a turn end: white space behind its end does not count."""
        if end <= begin or int(ids[end - 1]) in self.special_ids:
            return end
        ends = np.flatnonzero(self._is_special[ids[begin:end]])
        if len(ends) and not self.decode(ids[begin + ends[-1] + 1 : end]).strip():
            return begin + int(ends[-1]) + 1
        return end

    def _cut_in_pieces(self, shown: Shown) -> tuple[Ids, Flags]:
        """Return ids and which are trained; what stood behind placeholders is cut as plain text."""
        all_ids: list[int] = []
        all_starts: list[int] = []
        pattern = self._special_pattern
        assert pattern is not None
        place = 0
        self.backend.encode_special_tokens = True
        for piece in re.split(f"({pattern.pattern})", shown.rendered.text):
            if pattern.fullmatch(piece):
                all_ids.append(int(self.backend.token_to_id(piece) or 0))
                all_starts.append(place)
            elif piece:
                plain, places, shifts = _filled(piece, shown)
                found = self.backend.encode(plain, add_special_tokens=False)
                all_ids += found.ids
                all_starts += [
                    place + start + shifts[bisect_right(places, start) - 1] for start, _ in found.offsets
                ]
            place += len(piece)
        ids, starts = np.asarray(all_ids, dtype=np.int32), np.asarray(all_starts, dtype=np.int64)
        trained = np.zeros(len(ids), dtype=bool)
        for first, last in shown.rendered.trained:
            begin, end = (int(np.argmax(np.append(starts, 1 << 62) >= at)) for at in (first, last))
            trained[begin : self._turn_end(ids, begin, end)] = True
        return ids, trained

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of special tokens."""
        return frozenset(
            int(token) for token, added in self.backend.get_added_tokens_decoder().items() if added.special
        )

    @cached_property
    def _is_special(self) -> Flags:
        """Whether an id is that of a special token, bool [vocabulary]."""
        found = np.zeros(self.vocabulary, dtype=bool)
        found[[*self.special_ids]] = True
        return found

    @cached_property
    def _special_pattern(self) -> re.Pattern[str] | None:
        # Added tokens that are not special, such as </think>, are words that templates look for in messages.
        added = self.backend.get_added_tokens_decoder().values()
        texts = sorted(
            (token.content for token in added if token.special and token.content), key=len, reverse=True
        )
        return re.compile("|".join(map(re.escape, texts))) if texts else None

    @cached_property
    def word_ends(self) -> tuple[Flags, Flags]:
        """Whether a token begins a word, and whether what follows it does, bool [vocabulary] each."""
        return word_ends(self.backend, self.vocabulary, self.special_ids)

    @property
    def hash_key(self) -> str:
        """Text that differs where anything about the tokenizer does."""
        return json.dumps([self.backend.to_str(), self.special, self._template], sort_keys=True)

    def save(self, folder: Path) -> None:
        """Write the files by which this and transformers' tokenizers are read; no template that is ours."""
        write_atomic(folder / FILE, self.backend.to_str(pretty=True))
        settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **self.special}
        settings["clean_up_tokenization_spaces"] = False
        if self._template is not None:
            settings["chat_template"] = self._template
        write_json(folder / SETTINGS, settings)

    @classmethod
    def load(cls, folder: Path) -> LanguageTokenizer:
        """Read what `save` wrote.

        Raises:
            ModelFolderError: it is damaged.
        """
        from tokenizers import Tokenizer

        try:
            backend = Tokenizer.from_file(str(folder / FILE))
            settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        except Exception as error:  # tokenizers raises plain Exception
            raise ModelFolderError(
                f"the tokenizer cannot be read: {str(error).splitlines()[0]}",
                where=str(folder / FILE),
                fix="use an undamaged copy of the folder",
            ) from error
        special = {role: settings[role] for role in ROLES if isinstance(settings.get(role), str)}
        template = settings.get("chat_template")
        return cls(backend, special, template if isinstance(template, str) else None)


def _in_batches(shown: Sequence[Shown]) -> Iterator[Sequence[Shown]]:
    """Yield conversations of together about four million characters."""
    ends = np.cumsum([len(each.rendered.text) for each in shown])
    begin = 0
    while begin < len(shown):
        until = int(np.searchsorted(ends, (ends[begin - 1] if begin else 0) + _AT_ONCE, side="right"))
        yield shown[begin : max(until, begin + 1)]
        begin = max(until, begin + 1)


def _first_token(encoding: Encoding, place: int, length: int) -> int:
    """Return the first token that begins at or behind a place of a text; asks for few tokens' places."""
    for at in range(place, length):  # white space may belong to no token
        token = encoding.char_to_token(at)
        if token is not None:
            while (span := encoding.token_to_chars(token)) is not None and span[0] < place:
                token += 1  # it began before; so may those that share its characters
            return token
    return len(encoding)


def _filled(piece: str, shown: Shown) -> tuple[str, list[int], list[int]]:
    """Return a text with its placeholders filled in, and how places in it map back.

    Returns:
        text: without placeholders.
        places: where, in that text, what follows is shifted.
        shifts: by how much.
    """
    text, places, shifts = "", [0], [0]
    end = 0
    for found in re.finditer(f"{shown.mark}\\d+{shown.mark}", piece):
        text += piece[end : found.start()] + shown.taken[found[0]]
        end = found.end()
        places.append(len(text))
        shifts.append(end - len(text))
    return text + piece[end:], places, shifts
