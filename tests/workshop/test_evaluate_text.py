"""A language model is judged on choices, on answers and on texts: the columns say how."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwright as tw
from trainwright.foundation.errors import DataError

ANIMALS = ["cat", "dog", "fox", "cow", "hen"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model that knows what each animal says, and nothing else."""
    home = tmp_path_factory.mktemp("animals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        lines = [
            {"prompt": f"What does the {animal} say?", "completion": f"{animal}-{animal}"}
            for animal in ANIMALS * 40
        ]
        (home / "talks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        settings = {
            "model.options": {"depth": 2, "width": 64, "heads": 4},
            "language.vocabulary": 400,
            "language.context": 128,
            "training.batch_tokens": 512,
            "training.learning_rate": 0.01,
            "training.optimizer": "adamw",
            "training.early_stopping": 0,
            "evaluation.sample_tokens": 0,
            "evaluation.bootstrap": 0,
        }
        return tw.train(
            str(home / "talks.jsonl"), task="chat", budget="200 steps", settings=settings, run=home / "run"
        ).model


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_answers(model: Any, tmp_path: Path) -> None:
    rows = [
        {"question": f"What does the {animal} say?", "answer": f"{animal}-{animal}"} for animal in ANIMALS
    ]
    found = tw.evaluate(model, write(tmp_path / "a.jsonl", rows))
    assert found["kind"] == "answers"
    assert found["metrics"]["exact_match"] == 1
    assert found["metrics"]["rouge_l"] == pytest.approx(1)
    wrong = [{**row, "answer": "moo"} for row in rows]
    assert tw.evaluate(model, write(tmp_path / "b.jsonl", wrong))["metrics"]["exact_match"] == 0


def asked(model: Any, monkeypatch: pytest.MonkeyPatch, texts: Sequence[str] = ()) -> list[Any]:
    """Let the model say certain texts; return what it is asked."""
    found: list[Any] = []

    def answers(questions: Sequence[Any], **_: Any) -> list[str]:
        said = [texts[len(found) + number] if texts else "" for number in range(len(questions))]
        found.extend(questions)
        return said

    monkeypatch.setattr(model, "answers", answers)
    return found


def test_all_of_a_question_is_asked(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(model, monkeypatch)
    row = {
        "instruction": "Translate:",
        "input": "the cat",
        "system": "Be brief.",
        "history": [["Hi", "Hello"]],
        "reference": "die Katze",
    }
    tw.evaluate(model, write(tmp_path / "f.jsonl", [row]))
    assert [(one["role"], one["content"]) for one in found[0]] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Translate:\nthe cat"),
    ]


def test_an_answer_is_taken_as_it_is_written(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ["2.50", "null", "1e5", "true", "{a}", "[a", '{"a": 1}']
    rows = [{"question": "?", "answer": text} for text in wanted]
    rows += [{"question": "?", "answer": ["one", "2.50"]}, {"question": "?", "answer": '["two", 3.10]'}]
    asked(model, monkeypatch, [*wanted, "2.50", "3.10"])
    found = tw.evaluate(model, write(tmp_path / "g.jsonl", rows))
    assert found["metrics"]["exact_match"] == 1


def test_rows_that_tell_nothing_are_set_aside_and_counted(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(model, monkeypatch, ["a"])
    rows = [
        {"question": "?", "answer": ["a"]},
        {"question": "?", "answer": []},
        {"question": "", "answer": ["a"]},
        {"question": "?", "answer": None},
    ]
    found = tw.evaluate(model, write(tmp_path / "h.jsonl", rows))
    assert (found["rows"], found["set_aside"]) == (4, 3)
    assert found["metrics"]["exact_match"] == 1
    with pytest.raises(DataError, match="no row has a question and an answer to compare with"):
        tw.evaluate(model, write(tmp_path / "i.jsonl", rows[1:]))


def test_without_sacrebleu_the_rest_is_told(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    asked(model, monkeypatch)
    found = tw.evaluate(model, write(tmp_path / "j.jsonl", [{"question": "?", "answer": "a"}]))
    assert set(found["metrics"]) == {"exact_match", "rouge_l"}


def test_choices_by_likelihood(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The likeliest choice is taken; a long one counts for each of its bytes."""
    chances = {"a cat": [-1.0, -2.0, -9.0], "Which?\nOf these.": [-3.0, -4.0, -5.0]}
    monkeypatch.setattr(model, "log_probabilities", lambda prompt, options: chances[prompt])
    choices = ["one", "two-two-two", "three"]
    rows = [
        {"prompt": "a cat", "choices": choices, "answer": 0},
        {"prompt": "a cat", "choices": choices, "answer": "B"},
        {"prompt": "a cat", "choices": choices, "answer": "two-two-two"},
        {"prompt": "a cat", "choices": choices, "answer": "2"},
    ]
    found = tw.evaluate(model, write(tmp_path / "c.jsonl", rows))
    assert found["kind"] == "choices"
    # One of four is the likeliest; for each byte -2 / 11 is more than -1 / 3: two of four.
    assert found["metrics"] == {"accuracy": 0.25, "accuracy_by_byte": 0.5}
    with pytest.raises(DataError, match=r"answer is 7, which is none of its 3 choices"):
        tw.evaluate(model, write(tmp_path / "d.jsonl", [{**rows[0], "answer": 7}]))
    more = [{"instruction": "Which?", "input": "Of these.", "choices": choices, "answer": 0}]
    found = tw.evaluate(model, write(tmp_path / "k.jsonl", more))
    assert found["metrics"]["accuracy"] == 1


def test_likelihoods_are_those_of_the_model(model: Any) -> None:
    import torch

    from trainwright.models.layers.packing import packing

    options = ["cat-cat", "a much longer choice of words", "x"]
    found = model.log_probabilities("What does the cat say?", options)
    for option, chance in zip(options, found, strict=True):
        before = model.tokenizer.encode(["What does the cat say?"])[0]
        whole = model.tokenizer.encode([f"What does the cat say? {option}"])[0]
        ids = torch.from_numpy(np.concatenate([[model.tokenizer.end], whole]).astype(np.int64))
        states = model.network.states(ids[:-1], packing(torch.tensor([len(ids) - 1])))
        told = model.network.logits(states).log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        assert float(told[len(before) :].sum()) == pytest.approx(float(chance), rel=1e-4)


def test_texts_are_read_as_in_training(model: Any, tmp_path: Path) -> None:
    """By the columns of training the loss is told, whatever the format; what teaches nothing is set aside."""
    rows = [{"prompt": "What does the cat say?", "completion": "cat-cat"}] * 3
    turns = ("user", "prompt"), ("assistant", "completion")
    talks = [{"messages": [{"role": role, "content": row[name]} for role, name in turns]} for row in rows]
    found = tw.evaluate(model, write(tmp_path / "e.jsonl", [*talks, {"messages": []}]))
    assert found["kind"] == "texts"
    assert (found["rows"], found["set_aside"]) == (4, 1)
    assert found["metrics"]["perplexity"] < 1.2
    again = tw.evaluate(model, write(tmp_path / "own.jsonl", rows))
    assert again["kind"] == "texts"
    assert again["metrics"] == pytest.approx(found["metrics"])


def test_exported_it_stops_where_it_did(model: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tw.export(model, tmp_path / "out")
    theirs, cuts = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "out"),
        AutoTokenizer.from_pretrained(tmp_path / "out"),
    )
    messages = [{"role": "user", "content": "What does the fox say?"}]
    asked = cuts.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    said = theirs.generate(**asked, max_new_tokens=40, do_sample=False)[0, asked["input_ids"].shape[1] :]
    assert len(said) < 40
    assert cuts.decode(said) == "fox-fox<|im_end|>"


def small(task: str, place: Path) -> Any:
    """A model of one step on a few sentences."""
    draw = np.random.default_rng(0)
    words = ["the", "cat", "Katze", "sat", "ran", "übte", "on", "猫", "old", "red"]
    texts = {"text": [" ".join(draw.choice(words, 12)) for _ in range(100)]}
    settings = {
        "model.options": {"depth": 2, "width": 32, "heads": 2},
        "language.vocabulary": 320,
        "language.context": 64,
        "evaluation.sample_tokens": 0,
    }
    return tw.train(texts, task=task, budget="1 steps", settings=settings, run=place).model


def test_bits_are_those_of_the_bytes_of_a_text(tmp_path: Path) -> None:
    import torch

    from trainwright.models.layers.packing import packing

    model = small("causal-lm", tmp_path / "run")
    texts = ["the old cat sat", "die Katze übte", "猫 猫"]
    found = tw.evaluate(model, {"text": texts})
    assert found["kind"] == "texts"
    nats, tokens = 0.0, 0
    for text in texts:
        ids = [model.tokenizer.first, *model.tokenizer.encode([text])[0].tolist(), model.tokenizer.end]
        row = torch.tensor(ids)
        with torch.no_grad():
            states = model.network.states(row[:-1], packing(torch.tensor([len(row) - 1])))
            told = model.network.logits(states).log_softmax(-1).gather(1, row[1:, None])
        nats, tokens = nats - float(told.sum()), tokens + len(row) - 1
    size, characters = sum(len(text.encode()) for text in texts), sum(map(len, texts))
    assert found["metrics"] == pytest.approx(
        {
            "loss": nats / tokens,
            "perplexity": np.exp(nats / tokens),
            "bits_per_byte": nats / np.log(2) / size,
            "bits_per_character": nats / np.log(2) / characters,
        },
        rel=1e-4,
    )


def test_a_masked_model_is_judged_by_what_it_hides(tmp_path: Path) -> None:
    model = small("masked-lm", tmp_path / "run")
    rows = {"text": ["the old cat sat on the red Katze"] * 30, "prompt": ["?"] * 30, "answer": ["!"] * 30}
    found = tw.evaluate(model, rows)
    assert (found["kind"], set(found["metrics"])) == ("texts", {"loss", "perplexity"})
    # After one step it knows next to nothing of its tokens.
    assert 0.5 * np.log(model.tokenizer.vocabulary) < found["metrics"]["loss"]
    assert found["metrics"]["loss"] < 1.2 * np.log(model.tokenizer.vocabulary)
