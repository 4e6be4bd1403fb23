"""Chat templates: turns as the text that a model reads, and which part of it the assistant said.

Training and use go through the same functions. A template comes with a checkpoint, so it is run in Jinja's
sandbox, which reaches neither files nor Python.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from trainwright.foundation.errors import DataError, RecipeError

CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}{{- '\\n' -}}
{%- else -%}
{{- message['content'] + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
"""Ours, for tokenizers that know `<|im_start|>` and `<|im_end|>`."""

PLAIN = """\
{%- for message in messages -%}
{{- message['role'][0] | upper + message['role'][1:] + ': ' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + eos_token -}}{%- endgeneration -%}
{%- else -%}
{{- message['content'] + '\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'Assistant: ' -}}{%- endif -%}
"""
"""Ours, for checkpoints without a template: no token need be added to their vocabulary."""

ROLES = ("system", "user", "assistant", "tool")

_MARKED = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")
_BEGIN, _END = "generation_begins", "generation_ends"
"""What the template's context calls the marks around what the assistant says."""
_PRIVATE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
"""Code points that mean nothing by themselves (Unicode 16, section 23.5)."""


@dataclass(frozen=True)
class Turn:
    """One message of a conversation.

    Attributes:
        role: "system", "user", "assistant" or "tool".
        text: what is said.
        learned: whether what the assistant says here is to be learned, or only read.
    """

    role: str
    text: str
    learned: bool = True


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model reads it.

    Attributes:
        text: with the template's special tokens.
        trained: (start, end) in characters of what the assistant says and is learned, with the token that
            ends its turn.
    """

    text: str
    trained: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template.

    Attributes:
        source: Jinja text.
        special: name → text of the special tokens that it may use: bos_token, eos_token, …
    """

    source: str
    special: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_marked(self) -> bool:
        """Whether it says itself what the assistant says, by {% generation %}."""
        return _MARKED.search(self.source) is not None

    def prompt(self, turns: Sequence[Turn]) -> str:
        """Return the text behind which the assistant speaks."""
        return self._render(turns, prompt=True)

    def render(self, turns: Sequence[Turn]) -> Rendered:
        """Return a conversation and which part of it the assistant said, of turns that are to be learned.

        Raises:
            DataError: the template refuses the conversation, or does not tell its turns apart.
            RecipeError: it does not tell what the assistant says.
        """
        if self.is_marked:
            begin, end = unused_characters([self.source, *(turn.text for turn in turns)], 2)
            return _learned(_between(self._render(turns, marks=(begin, end)), begin, end), turns)
        whole = self._render(turns)
        spans = []
        for number, turn in enumerate(turns):
            if turn.role == "assistant" and turn.learned:
                before = self._render(turns[:number], prompt=True)
                until = whole if number == len(turns) - 1 else self._render(turns[: number + 1])
                if not (until.startswith(before) and whole.startswith(until)):
                    raise RecipeError(
                        "this chat template has no {% generation %} around what the assistant says, and does "
                        "not write one turn behind the other",
                        where="language.template",
                        fix="add {% generation %} and {% endgeneration %} to it, or set language.template",
                    )
                spans.append((len(before), len(until)))
        return Rendered(whole, tuple(spans))

    def _render(
        self, turns: Sequence[Turn], *, prompt: bool = False, marks: tuple[str, str] = ("", "")
    ) -> str:
        from trainwright.features.language.sandbox import SECONDS

        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        words = {_BEGIN: marks[0], _END: marks[1], **self.special}
        try:
            compiled = self._compiled
            compiled.environment.deadline = time.monotonic() + SECONDS
            return str(compiled.render(messages=messages, add_generation_prompt=prompt, tools=None, **words))
        except _Refused as error:
            raise DataError(f"the chat template refuses it: {error}", fix="mend the conversation") from error
        except Exception as error:  # a template may divide by zero, call itself, or take all memory
            raise RecipeError(
                f"the chat template fails: {str(error) or type(error).__name__}",
                where="language.template",
                fix="choose another template",
            ) from error

    @cached_property
    def _compiled(self) -> Any:
        import jinja2

        from trainwright.features.language.generation_tag import GenerationTag
        from trainwright.features.language.sandbox import Sandbox

        # As transformers sets it up: templates are written for that.
        environment = Sandbox(
            trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, "jinja2.ext.loopcontrols"]
        )
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _no_clock}
        environment.filters["tojson"] = _json
        try:
            return environment.from_string(self.source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise RecipeError(
                f"this is not a Jinja template: {error}", where="language.template", fix="mend it"
            ) from error


def unused_characters(texts: Sequence[str], number: int) -> list[str]:
    """Return private characters that are in none of some texts, always the same ones.

    People do write private characters: shells and editors draw arrows with them.
    """
    return [mark for mark, _ in zip(_unused(texts), range(number), strict=False)]


def _unused(texts: Sequence[str]) -> Iterator[str]:
    candidates: Iterable[str] = (chr(point) for block in _PRIVATE for point in block)
    for mark in candidates:
        if not any(mark in text for text in texts):
            yield mark


class _Refused(Exception):  # noqa: N818
    """What a template raises by `raise_exception`."""


def _refuse(message: str) -> None:
    raise _Refused(message)


def _no_clock(form: str) -> str:
    """Return a fixed day: what a model reads must not depend on when it was trained."""
    import datetime

    return datetime.date(2026, 1, 1).strftime(form)


def _json(value: Any, ensure_ascii: bool = False, **words: Any) -> str:
    """Return a value as JSON; Jinja's own filter would escape what is special in HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **words)


def _learned(rendered: Rendered, turns: Sequence[Turn]) -> Rendered:
    """Return the same without the marks around turns that are only read."""
    said = [turn for turn in turns if turn.role == "assistant"]
    if all(turn.learned for turn in said):
        return rendered
    if len(rendered.trained) != len(said):
        raise DataError(
            "the chat template does not mark each turn of the assistant, so that none can be left out",
            fix="learn all of them, or choose another template",
        )
    spans = zip(rendered.trained, said, strict=True)
    return Rendered(rendered.text, tuple(span for span, turn in spans if turn.learned))


def _between(text: str, begin: str, end: str) -> Rendered:
    """Return a text without its marks, and what stood between them."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    length = 0
    for number, piece in enumerate(re.split(f"[{begin}{end}]", text)):
        if number % 2:
            spans.append((length, length + len(piece)))
        pieces.append(piece)
        length += len(piece)
    return Rendered("".join(pieces), tuple(spans))
