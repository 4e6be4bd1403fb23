"""What a language model cannot learn from, or start from, gets one sentence and leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cli_tools import Shell
from safetensors.torch import load_file, save_file
from text_checkpoints import byte_level, checkpoint

WEIGHTS = "model.safetensors"
NEW = ("--set", "language.vocabulary=300", "--set", "model.size=tiny")
CHAT = ("--task", "chat", *NEW)
USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}


def write_rows(shell: Shell, rows: Sequence[Any]) -> str:
    (shell.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "rows.jsonl"


def write_texts(shell: Shell) -> str:
    return write_rows(shell, [{"text": f"The red cat eats {number} fish."} for number in range(60)])


def write_chats(shell: Shell, number: int = 60) -> str:
    return write_rows(shell, [{"prompt": f"{n}?", "completion": f"It is {n}."} for n in range(number)])


Bases = Callable[..., Path]


@pytest.fixture
def base(shell: Shell) -> Bases:
    """Writes a tiny checkpoint, `base`, into the shell's folder."""

    def write(kind: str = "llama", **words: Any) -> Path:
        return Path(checkpoint(shell.folder / "base", kind, **words))

    return write


FROM_BASE = ("--set", "model.checkpoint=base", "--set", "language.context=32")


# Files.


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xef\xbb\xbf"], ids=["nothing", "blanks", "mark"])
@pytest.mark.parametrize("name", ["empty.txt", "empty.jsonl"])
def test_empty_files(shell: Shell, name: str, content: bytes) -> None:
    (shell.folder / name).write_bytes(content)
    shell.refuse("train", name, "--task", "causal-lm", says=[name, "is empty", "give a file with rows"])


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"], ids=["little", "big"])
def test_a_file_that_is_a_mark_of_utf_16_and_no_more(shell: Shell, mark: bytes) -> None:
    (shell.folder / "empty.jsonl").write_bytes(mark)
    shell.refuse("train", "empty.jsonl", *CHAT, says=["empty.jsonl", "is empty", "give a file with rows"])


def test_a_binary_file_that_is_called_a_text(shell: Shell) -> None:
    (shell.folder / "noise.txt").write_bytes(bytes(range(256)) * 20)
    says = ["noise.txt", "not a text file", "zero bytes", "give texts"]
    shell.refuse("train", "noise.txt", "--task", "causal-lm", says=says)


def test_wrong_encodings(shell: Shell) -> None:
    (shell.folder / "good.txt").write_text("Straße für Straße\n" * 20, encoding="utf-8")
    asked = ("--task", "causal-lm", "--set", "data.encoding=gb18030")
    says = ["good.txt", "is UTF-8, not gb18030", "leave data.encoding"]
    shell.refuse("train", "good.txt", *asked, says=says)
    lines = ["Straße".encode()] * 20 + ["Straße".encode("latin-1")]
    (shell.folder / "mixed.txt").write_bytes(b"\n".join(lines))
    says = ["mixed.txt line 21", "not UTF-8", "mend the line"]
    shell.refuse("train", "mixed.txt", "--task", "causal-lm", says=says)


# Conversations.


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"messages": [USER, USER, ASSISTANT]}, "messages 1 and 2 are both of the user"),
        ({"messages": [USER]}, "the assistant says nothing"),
        ({"messages": [{"role": "wizard", "content": "x"}, ASSISTANT]}, "the unknown role 'wizard'"),
        ({"messages": [USER, {**ASSISTANT, "weight": 0}]}, "none of the assistant's answers is to be"),
        ({"prompt": "", "completion": "Hello."}, "the prompt is empty"),
    ],
    ids=["two users", "no assistant", "role", "weight", "prompt"],
)
def test_conversations_that_teach_nothing(shell: Shell, row: dict[str, Any], why: str) -> None:
    says = ["rows.jsonl line 1", "20 of 20 samples cannot be used", why, "mend them"]
    shell.refuse("train", write_rows(shell, [row] * 20), *CHAT, says=says)


NO_MARKS = "{% for m in messages %}{{ m.content }}\n{% generation %}{% endgeneration %}{% endfor %}"
SHUFFLED = "{% for m in messages | reverse %}{{ m.content }}{% endfor %}"
ENDLESS = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
ONE_ONLY = "{{ messages[0].content + messages[1].content + messages[2].content }}"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (NO_MARKS, ["rows.jsonl", "marks nothing that the assistant says", "language.template to chatml"]),
        (SHUFFLED, ["language.template", "no {% generation %}", "on rows.jsonl line 1", "add {% generation"]),
        (ENDLESS, ["rows.jsonl", "would never learn to stop", "set language.template to chatml"]),
        (ONE_ONLY, ["language.template", "the chat template fails", "rows.jsonl line 1", "another template"]),
    ],
    ids=["marks nothing", "no marks", "endless", "fails"],
)
def test_templates_by_which_nothing_can_be_learned(shell: Shell, template: str, says: list[str]) -> None:
    (shell.folder / "own.jinja").write_text(template)
    rows = write_chats(shell)
    shell.refuse("train", rows, *CHAT, "--set", "language.template=own.jinja", says=says)


def test_a_template_is_advised_that_the_tokenizer_can_write(shell: Shell, base: Bases) -> None:
    base()
    (shell.folder / "own.jinja").write_text(ENDLESS)
    asked = ("--task", "chat", *FROM_BASE, "--set", "language.template=own.jinja")
    rows = write_chats(shell)
    shell.refuse("train", rows, *asked, says=["never learn to stop", "set language.template to plain"])


# Checkpoints.


def test_a_context_longer_than_the_models(shell: Shell, base: Bases) -> None:
    base("gpt2", context=64)
    asked = ("--task", "causal-lm", "--set", "model.checkpoint=base", "--set", "language.context=65")
    says = ["language.context", "reads at most 64 tokens", "set it to 64 or less"]
    shell.refuse("train", write_texts(shell), *asked, says=says)


def test_a_tokenizer_that_does_not_fit_the_model(shell: Shell, base: Bases) -> None:
    folder = base(tokenizer=byte_level(size=280))
    byte_level(size=400).save_pretrained(folder)
    says = ["base", "the tokenizer gives ids up to", "and the model knows 280", "belongs to the checkpoint"]
    shell.refuse("train", write_texts(shell), "--task", "causal-lm", *FROM_BASE, says=says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("missing", ["lacks 1 weights of its model, model.norm.weight among them", "download it again"]),
        ("extra", ["weights too many (model.more.weight)", "choose another checkpoint"]),
    ],
)
def test_tensors_that_are_missing_or_too_many(
    shell: Shell, base: Bases, change: str, says: list[str]
) -> None:
    path = base() / WEIGHTS
    state = load_file(path)
    norm = state.pop("model.norm.weight")
    if change == "extra":
        state |= {"model.norm.weight": norm, "model.more.weight": norm.clone()}
    save_file(state, path, metadata={"format": "pt"})
    shell.refuse("train", write_texts(shell), "--task", "causal-lm", *FROM_BASE, says=["base", *says])


def test_pickled_weights(shell: Shell, base: Bases) -> None:
    folder = base()
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    says = ["base", "its weights are pickled (pytorch_model.bin)", "convert it once", "save_pretrained"]
    shell.refuse("train", write_texts(shell), "--task", "causal-lm", *FROM_BASE, says=says)


@pytest.mark.parametrize("content", [b"no such file", b"GGUF" + bytes(60)], ids=["other", "cut"])
def test_corrupt_gguf(shell: Shell, content: bytes) -> None:
    pytest.importorskip("gguf")
    (shell.folder / "model.gguf").write_bytes(content)
    asked = ("--task", "causal-lm", "--set", "model.checkpoint=model.gguf")
    says = ["model.gguf", "GGUF file", "download it again"]
    shell.refuse("train", write_texts(shell), *asked, says=says)


def test_targets_of_lora_that_match_nothing(shell: Shell, base: Bases) -> None:
    base()
    asked = (*FROM_BASE, "--set", "tuning.method=lora", "--set", "tuning.targets=query_proj")
    says = ["tuning.targets", "no layer of the model is called 'query_proj'", "set it to attention, mlp, all"]
    shell.refuse("train", write_texts(shell), "--task", "causal-lm", *asked, says=says)
