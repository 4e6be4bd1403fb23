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
from trainwright.reporting.console import metrics_table
from trainwright.workshop import evaluate_answers
from trainwright.workshop.text_model import Told, Written

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

    def answers(questions: Sequence[Any], **_: Any) -> list[Written]:
        said = [texts[len(found) + number] if texts else "" for number in range(len(questions))]
        found.extend(questions)
        return [Written(text, ended=True, whole=True) for text in said]

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
    assert set(found["metrics"]) == {"exact_match", "rouge_1", "rouge_2", "rouge_l"}


@pytest.mark.parametrize(
    ("said", "wanted", "cut"),
    [
        (
            ["the cat sat on it", "a dog ran home"],
            [["the cat sat on a mat"], ["a dog ran", "one dog"]],
            "13a",
        ),
        (
            ["我很喜欢小猫和小狗。", "今天下雨。"],
            [["我很喜欢小猫和小鸟。"], ["今天没下雨。", "今天晴。"]],
            "zh",
        ),
    ],
)
def test_bleu_and_chrf_are_those_of_sacrebleu(
    model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: list[str],
    wanted: list[list[str]],
    cut: str,
) -> None:
    """Whatever number of references a text has."""
    from sacrebleu.metrics import BLEU, CHRF

    asked(model, monkeypatch, said)
    rows = [{"question": "?", "answer": some} for some in wanted]
    found = tw.evaluate(model, write(tmp_path / "bleu.jsonl", rows))["metrics"]
    turned = [[some[0] for some in wanted], [some[1] if len(some) > 1 else None for some in wanted]]
    assert found["bleu"] == pytest.approx(BLEU(tokenize=cut).corpus_score(said, turned).score)
    assert found["chrf"] == pytest.approx(CHRF().corpus_score(said, turned).score)
    assert found["bleu"] > 10


def test_a_context_stands_before_its_question(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(model, monkeypatch)
    rows = [
        {"context": "The cat is red.", "question": "Which colour?", "answers": {"text": ["red", "Red"]}},
        {"context": None, "question": "Why?", "answers": {"text": ["so"]}},
    ]
    told = tw.evaluate(model, write(tmp_path / "squad.jsonl", rows))
    assert told["asked"] == ["context", "question"]
    assert [one[-1]["content"] for one in found] == ["The cat is red.\nWhich colour?", "Why?"]
    _show(told)
    assert "Asked: context and question, one behind the other." in capsys.readouterr().out


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    Console(width=200).print(metrics_table(found))


def test_what_is_cut_is_counted_and_said(
    model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model reads 128 tokens; an answer may be twice as long as the longest that is wanted."""
    rows = [
        {"question": "What does the cat say?", "answer": "cat-cat"},
        {"question": "the red dog and the fox " * 40, "answer": "?"},
    ]
    found = tw.evaluate(model, write(tmp_path / "l.jsonl", rows))
    assert (found["cut_prompts"], found["max_tokens"]) == (1, 128)
    _show(found)
    assert "Of 1 requests the beginning was left out" in capsys.readouterr().out
    choices = [{"question": row["question"], "choices": ["cat-cat", "dog-dog"], "answer": 0} for row in rows]
    assert tw.evaluate(model, write(tmp_path / "m.jsonl", choices))["cut_prompts"] == 1


def test_an_answer_may_be_longer_than_those_that_are_wanted(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    may: list[int] = []

    def answers(questions: Sequence[Any], *, max_tokens: int) -> list[Written]:
        may.append(max_tokens)
        return [Written("a", ended=False, whole=True) for _ in questions]

    monkeypatch.setattr(model, "answers", answers)
    monkeypatch.setattr(evaluate_answers, "_LEAST_TOKENS", 5)
    long = "cat " * 9
    tokens = len(model.tokenizer.encode([long])[0])
    rows = [{"question": "?", "answer": text} for text in ("a", long, "b")]
    found = tw.evaluate(model, write(tmp_path / "n.jsonl", rows))
    assert may == [found["max_tokens"]] == [2 * tokens]
    assert found["cut_answers"] == 3
    _show(found)
    assert f"3 of the answers had not ended after {2 * tokens} tokens." in capsys.readouterr().out
    rows = [{"question": "?", "answer": long * 40}]
    assert tw.evaluate(model, write(tmp_path / "o.jsonl", rows))["max_tokens"] == model.reads


def test_choices_are_asked_however_many_there_are(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_answers, "_MOST_ROWS", 3)
    monkeypatch.setattr(model, "told", lambda prompt, options: Told([-1.0, -2.0], whole=True))
    rows = [{"question": "?", "choices": ["a", "b"], "answer": "a"}] * 5
    assert tw.evaluate(model, write(tmp_path / "p.jsonl", rows))["metrics"]["accuracy"] == 1
    with pytest.raises(DataError, match="5 questions would take days to answer"):
        tw.evaluate(model, write(tmp_path / "q.jsonl", [{"question": "?", "answer": "a"}] * 5))


def test_choices_by_likelihood(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The likeliest choice is taken; a long one counts for each of its bytes."""
    chances = {"a cat": [-1.0, -2.0, -9.0], "Which?\nOf these.": [-3.0, -4.0, -5.0]}
    monkeypatch.setattr(model, "told", lambda prompt, options: Told(chances[prompt], whole=True))
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


def test_the_right_choice_is_known_by_its_label(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in ARC: of labels 1 to 4 the answer 1 is the first, and 4 is one of them."""
    monkeypatch.setattr(model, "told", lambda prompt, options: Told([-1.0, -2.0, -3.0], whole=True))
    texts = ["ice", "steam", "rain"]
    for labels, answer, right in (
        (["1", "2", "3"], "1", 1),
        (["1", "2", "3"], "3", 0),
        ([1, 2, 3], 1, 1),
        (["A", "B", "C"], "A", 1),
        (["C", "A", "B"], "A", 0),
        (["A", "B", "C"], "ice", 1),
    ):
        row = {"question": "?", "choices": {"text": texts, "label": labels}, "answerKey": answer}
        found = tw.evaluate(model, write(tmp_path / "arc.jsonl", [row]))
        assert found["metrics"]["accuracy"] == right, (labels, answer)
    row = {"question": "?", "choices": {"text": texts, "label": ["1", "2", "3"]}, "answerKey": "0"}
    with pytest.raises(DataError, match="answerKey is '0', which is none of its 3 choices"):
        tw.evaluate(model, write(tmp_path / "arc.jsonl", [row]))


def test_choices_that_cannot_be_asked_are_set_aside_and_counted(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "told", lambda prompt, options: Told([-1.0, -2.0], whole=True))
    good = {"question": "?", "choices": ["a", "b"], "answer": "a"}
    odd = [good | {"answer": None}, good | {"question": ""}, good | {"choices": ["a"]}, good | {"answer": 2}]
    found = tw.evaluate(model, write(tmp_path / "r.jsonl", [*odd, good, good | {"answer": "b"}]))
    assert (found["rows"], found["set_aside"]) == (6, 4)
    assert found["metrics"]["accuracy"] == 0.5
    # So many are no oversight: the column says something else.
    with pytest.raises(
        DataError, match=r"11 of 12 rows cannot be asked; the first: answer is '2', which is"
    ) as e:
        tw.evaluate(model, write(tmp_path / "s.jsonl", [good, *[good | {"answer": 2}] * 20]))
    assert "s.jsonl line 2" in str(e.value)


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
