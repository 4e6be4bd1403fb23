"""Templates render as in transformers, to the letter, and mark the same tokens as the assistant's."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.features.language.template import CHATML, PLAIN, ChatTemplate, Turn
from trainwright.features.language.tokenizer import LanguageTokenizer
from trainwright.features.language.train import train_tokenizer

INDENTED = """
{% for message in messages %}
    {% if message['role'] == 'assistant' %}
<|im_start|>assistant
        {% generation %}
{{ message['content'] }}<|im_end|>
        {% endgeneration %}

    {% else %}
<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""
DASHED = """
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}
        {{- message.content + '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- else %}
        {{- message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
"""
REASONING = """
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}{{ content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
WITH_JSON = """
{%- for message in messages %}
    {%- if message.role == 'system' %}{% continue %}{% endif %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}
    {%- else %}{{ {"said": message.content} | tojson }}<|im_end|>
    {%- endif %}
{% endfor %}
"""
TEMPLATES = {
    "chatml": CHATML,
    "plain": PLAIN,
    "indented": INDENTED,
    "dashed": DASHED,
    "reasoning": REASONING,
    "json": WITH_JSON,
}
TEXTS = [
    "The quick brown fox says <b>hi</b> & 'bye'.\n",
    "白日依山盡，黃河入海流。",
    "x = 1\n    y = 2\n",
] * 30
CHAT = [
    Turn("system", "Be kind."),
    Turn("user", "  <a> & 'b' 白日\n"),
    Turn("assistant", "\nThe fox.\n"),
    Turn("user", "and?"),
    Turn("assistant", "<think>secret</think>\n\nyes"),
]


@cache
def tokenizer(name: str) -> LanguageTokenizer:
    made = train_tokenizer(TEXTS, kind="bpe", vocabulary=400, masked=False)
    made.backend.add_tokens(["<think>", "</think>"])  # known, and not special, as in Qwen3
    return LanguageTokenizer(made.backend, made.special, TEMPLATES[name])


@cache
def theirs(name: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    ours = tokenizer(name)
    return PreTrainedTokenizerFast(
        tokenizer_object=ours.backend, chat_template=TEMPLATES[name], **dict(ours.special)
    )


def messages(turns: list[Turn]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.text} for turn in turns]


@pytest.mark.parametrize("name", list(TEMPLATES))
@given(st.lists(st.sampled_from(["a", " b\n", "\n", "{% x %}", "白日", "1 < 2", "\ue0b0\ue0b2"]), max_size=5))
def test_what_is_read_and_what_is_learned_are_theirs(name: str, said: list[str]) -> None:
    turns = [*CHAT, Turn("user", "".join(said)), Turn("assistant", "".join(reversed(said)))]
    made, other = tokenizer(name), theirs(name)
    expected = other.apply_chat_template(messages(turns), tokenize=False)
    assert ChatTemplate(TEMPLATES[name], made.special).render(turns).text == expected
    read = other.apply_chat_template(
        messages(turns), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, trained = made.encode_chats([turns])[0]
    assert ids.tolist() == read["input_ids"]
    learned = np.asarray(read["assistant_masks"], bool)
    # We leave out white space behind the end of a turn, which nobody asks the model for.
    assert not (trained & ~learned).any()
    assert not made.decode(ids[learned & ~trained]).strip()
    prompt = other.apply_chat_template(messages(turns[:-1]), tokenize=True, add_generation_prompt=True)
    assert made.encode_prompt(turns[:-1]).tolist() == prompt["input_ids"]


def test_reasoning_that_a_template_leaves_out_is_left_out() -> None:
    made = tokenizer("reasoning")
    ids, trained = made.encode_chats([CHAT])[0]
    assert "secret" not in made.decode(ids, special=True)
    assert made.decode(ids[trained], special=True) == "\nThe fox.\n<|im_end|>yes<|im_end|>"


@pytest.mark.parametrize("shield", ["", "<|im_end|>"])
@pytest.mark.parametrize(
    "private", ["\ue0b0", "\ue0b1x", "\ue0b2", "\ue0b29\ue0b2", "".join(map(chr, range(0xE000, 0xF900)))]
)
def test_private_characters_are_text_as_any_other(private: str, shield: str) -> None:
    """Shells draw arrows with them; here they also are what marks and placeholders are made of."""
    made = tokenizer("chatml")
    asked, answer = f"before {private}{shield} after", f"an{private}swer{shield}"
    ids, trained = made.encode_chats([[Turn("user", asked), Turn("assistant", answer)]])[0]
    assert made.decode(ids[trained], special=True) == f"{answer}<|im_end|>"
    whole = made.decode(ids, special=True)
    assert whole == f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
    assert (ids == made.backend.token_to_id("<|im_end|>")).sum() == 2
    prompt = made.encode_prompt([Turn("user", asked)])
    assert np.array_equal(prompt, ids[: len(prompt)])


def test_conversations_are_cut_alike_alone_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tokenizer("chatml")
    chats = [
        [Turn("user", "q" * number + ("<|im_end|>" if number % 3 == 0 else "")), Turn("assistant", "白日 a")]
        for number in range(12)
    ]
    alone = [made.encode_chats([chat])[0] for chat in chats]
    for at_once in (1, 100, 1 << 22):
        monkeypatch.setattr("trainwright.features.language.tokenizer._AT_ONCE", at_once)
        together = made.encode_chats(chats)
        assert len(together) == len(chats)
        for (ids, trained), (other, flags) in zip(alone, together, strict=True):
            assert np.array_equal(ids, other)
            assert np.array_equal(trained, flags)
