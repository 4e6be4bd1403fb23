"""A language model from raw text to one that writes, through the same doors as everything else."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwright as tw
from trainwright.foundation.errors import DataError, RecipeError, UserError
from trainwright.reporting import numbers
from trainwright.training.events import read_events
from trainwright.training.loop import Position
from trainwright.workshop.ask import ask_recipe
from trainwright.workshop.language_job import language_job

TINY: dict[str, Any] = {
    "model.options": {"depth": 2, "width": 32, "heads": 2},
    "language.vocabulary": 400,
    "language.context": 32,
    "training.batch_tokens": 256,
    "evaluation.bootstrap": 50,
    "evaluation.sample_tokens": 8,
}
WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "under",
    "mat",
    "tree",
    "and",
    "it",
    "was",
    "old",
    "red",
]


def story(draw: np.random.Generator, words: int = 60) -> str:
    return " ".join(draw.choice(WORDS, words)) + ".\n"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of repeated phrases, which even a tiny model learns something of."""
    draw = np.random.default_rng(0)
    phrases = [story(draw, 8) for _ in range(20)]
    path = tmp_path_factory.mktemp("text") / "stories.txt"
    path.write_text("".join(draw.choice(phrases, 1500)), encoding="utf-8")
    return path


def digest(run: tw.Run) -> str:
    return hashlib.sha256((run.path / "model" / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def run(text: Path, tmp_path_factory: pytest.TempPathFactory) -> tw.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        place = tmp_path_factory.mktemp("runs") / "run"
        return tw.train(str(text), task="causal-lm", budget="150 steps", settings=TINY, run=place)


def test_it_learns_and_is_judged_beside_counting(run: tw.Run) -> None:
    test = run.metrics["test"]
    assert test["perplexity"] == pytest.approx(math.exp(test["loss"]))
    assert test["bits_per_byte"] < 1.5  # at random it is about 3
    assert run.evaluation["language"]["baseline"]["metrics"]["bits_per_byte"] > 0
    figure = run.evaluation["language"]["parts"]["test"]["metrics"]["loss"]
    assert figure["low"] <= figure["value"] <= figure["high"]
    start = next(event for event in read_events(run.path / "events.jsonl") if event["kind"] == "start")
    assert start["parameters"] == sum(p.numel() for p in run.model.network.parameters())
    assert start["flops_per_step"] > 0 and start["memory_bytes"] > 0


def test_it_says_what_it_does(run: tw.Run) -> None:
    events = list(read_events(run.path / "events.jsonl"))
    assert all(event["tokens_per_second"] > 0 for event in events if event["kind"] == "step")
    assert any(event["kind"] == "samples" and event["samples"] for event in events)
    data = json.loads((run.path / "data.json").read_text())
    assert data["parts"]["training"]["tokens"] > data["parts"]["test"]["tokens"] > 0
    fertility = data["tokenizer"]["fertility"][0]
    assert fertility["script"] == "Latin"
    page = run.report.read_text()
    assert "characters a token" in page
    assert f'<td class="number">{numbers.number(fertility["characters_per_token"])}</td>' in page
    assert "What it writes" in page and "它写出的文本" in page


def test_it_is_listed(run: tw.Run) -> None:
    (line,) = [line for line in tw.runs(run.path.parent) if line["run"] == str(run.path)]
    assert (line["target"], line["metric"]) == ("causal-lm", "bits_per_byte")
    assert line["value"] == pytest.approx(run.metrics["test"]["bits_per_byte"])
    judged = run.evaluation["language"]
    counted, figure = judged["baseline"]["metrics"], judged["parts"]["test"]["metrics"]["bits_per_byte"]
    better, worse = figure["high"] < counted["bits_per_byte"], figure["value"] > counted["bits_per_byte"]
    assert line["verdict"] == ("better" if better else "worse" if worse else "as good")
    words = {
        "better": "Better than counting",
        "worse": "Counting is better",
        "as good": "No better than counting",
    }
    assert words[line["verdict"]] in run.report.read_text()


def test_it_says_what_it_costs(text: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "trainwright",
        "train",
        str(text),
        "--task",
        "causal-lm",
        "--budget",
        "2steps",
    ]
    settings = [f"--set={name}={json.dumps(value)}" for name, value in TINY.items()]
    words = [*command, *settings, "--run", str(tmp_path / "run")]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parameters = sum(p.numel() for p in tw.Run(tmp_path / "run").model.network.parameters())
    assert f"{parameters:,} parameters; " in done.stderr
    assert "GFLOP a step" in done.stderr


def test_a_killed_run_goes_on_to_the_same_weights(run: tw.Run, text: Path, tmp_path: Path) -> None:
    """It dies behind a checkpoint, at a moment of its own."""
    recipe = run.recipe.model_copy(
        update={"training": run.recipe.training.model_copy(update={"checkpoint_minutes": 1e-9})}
    )
    place = tmp_path / "killed"
    fields = recipe.model_dump(mode="json", exclude_defaults=True) | {"data": str(text)}
    (tmp_path / "recipe.yaml").write_text(json.dumps(fields))
    command = [
        sys.executable,
        "-m",
        "trainwright",
        "train",
        str(tmp_path / "recipe.yaml"),
        "--run",
        str(place),
    ]
    child = subprocess.Popen([*command, "--quiet"])
    until = time.monotonic() + 60
    while not list((place / "checkpoints").glob("step-*0")) and time.monotonic() < until:
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -9
    made = tw.resume(place)
    assert any(event["kind"] == "resume" for event in read_events(place / "events.jsonl"))
    assert digest(made) == digest(run)


def test_a_repeated_run_has_the_same_weights(run: tw.Run, text: Path, tmp_path: Path) -> None:
    again = tw.train(recipe=run.path / "recipe.yaml", run=tmp_path / "again")
    assert digest(again) == digest(run)
    assert again.metrics == run.metrics


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of 31 letters: with the tokens around them, 32 tokens to be told each."""
    draw = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("even") / "even.jsonl"
    texts = ["".join(draw.choice(list("abcde "), 29)) for _ in range(300)]
    path.write_text("".join(json.dumps({"text": f"x{text}y"}) + "\n" for text in texts), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of 2 to 29 letters."""
    draw = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("uneven") / "uneven.jsonl"
    texts = ["".join(draw.choice(list("abcde "), draw.integers(27))) for _ in range(600)]
    path.write_text("".join(json.dumps({"text": f"x{text}y"}) + "\n" for text in texts), encoding="utf-8")
    return path


def test_parts_of_a_step_weigh_as_much_as_they_have_tokens(uneven: Path) -> None:
    """The same texts of unequal length, in one part and in 2, 4 and 8 that have unequal numbers of tokens."""
    words = {"language.vocabulary": 260, "training.batch_tokens": 512, "evaluation.sample_tokens": 0}
    job = language_job(
        *ask_recipe(str(uneven), target=None, task="causal-lm", budget="3 steps", settings=TINY | words)
    )
    losses = []
    for parts in (1, 2, 4, 8):
        trainer = job.over(copy.deepcopy(job.network)).trainer()
        trainer._begin()
        plan = trainer._plan(0)
        halves = np.array_split(plan[0], parts)
        assert parts == 1 or len({trainer.batches.size(half) for half in halves}) > 1
        places = [Position(step=step, window=step, split=parts) for step in range(3)]
        losses.append([float(trainer._step([plan[place.step]], place).loss) for place in places])
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], atol=0, rtol=1e-6)


@pytest.mark.parametrize(
    ("accumulation", "processes"),
    [(2, 1), (4, 1), (8, 1), pytest.param(1, 2, marks=pytest.mark.slow), (2, 2)],
)
def test_neither_accumulation_nor_processes_change_the_loss(
    accumulation: int, processes: int, even: Path, uneven: Path, tmp_path: Path
) -> None:
    # Smaller micro-batches are packed anew: of unequal texts they would hold others.
    data = even if accumulation > 1 else uneven
    losses = []
    for number, (parts, devices) in enumerate([(1, 1), (accumulation, processes)]):
        settings = TINY | {
            "language.vocabulary": 260,
            "training.batch_tokens": 512 // parts,
            "training.accumulation": parts,
            "training.devices": devices,
            "evaluation.sample_tokens": 0,
        }
        place = tmp_path / str(number)
        made = tw.train(str(data), task="causal-lm", budget="12 steps", settings=settings, run=place)
        events = read_events(made.path / "events.jsonl")
        losses.append([event["loss"] for event in events if event["kind"] == "step"])
    assert len(losses[0]) == 12
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-6, rtol=0)


def test_it_writes(run: tw.Run) -> None:
    model = run.model
    first = model.generate("the cat", max_tokens=12)
    assert first == model.generate("the cat", max_tokens=12)
    assert model.generate(["the cat", "a dog"], max_tokens=12)[0] == first
    assert "".join(model.stream("the cat", max_tokens=12)) == first
    drawn = model.generate("the cat", max_tokens=12, temperature=1.0, seed=1)
    assert drawn == model.generate("the cat", max_tokens=12, temperature=1.0, seed=1)
    stop = first.split()[1]
    assert model.generate("the cat", max_tokens=12, stop=[stop]) == first[: first.index(stop)]
    # Longer than what it was trained on: it goes on with the later half.
    assert len(model.generate("the cat", max_tokens=100)) > len(first)
    with pytest.raises(UserError, match="language model, which writes text"):
        tw.predict(run.path, str(run.path / "predictions.parquet"))


def test_a_masked_model_learns(text: Path, tmp_path: Path) -> None:
    made = tw.train(str(text), task="masked-lm", budget="60 steps", settings=TINY, run=tmp_path / "run")
    assert made.metrics["test"]["perplexity"] < 60  # of 400 tokens
    with pytest.raises(UserError, match="a masked model writes no text"):
        made.model.generate("the cat")


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chats") / "chats.jsonl"
    animals = ["cat", "dog", "fox", "cow", "hen"]
    lines = [
        {"instruction": f"What does the {animal} say?", "output": f"The {animal} says {animal}-{animal}."}
        for animal in animals * 40
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_model_learns_to_answer(chats: Path, tmp_path: Path) -> None:
    settings = TINY | {
        "model.options": {"depth": 2, "width": 64, "heads": 4},
        "training.learning_rate": 0.01,
        "training.batch_tokens": 512,
        "language.context": 128,
        "training.early_stopping": 0,
    }
    made = tw.train(str(chats), task="chat", budget="200 steps", settings=settings, run=tmp_path / "run")
    answer = made.model.chat([{"role": "user", "content": "What does the fox say?"}], max_tokens=40)
    assert answer == "The fox says fox-fox."
    shown = json.loads((made.path / "data.json").read_text())["shown"][0]
    assert "".join(token["text"] for token in shown if token["trained"]).startswith("The ")
    assert not any(token["trained"] for token in shown if "What" in token["text"])


def test_a_model_learns_to_translate(tmp_path: Path) -> None:
    words = {"cat": "Katze", "dog": "Hund", "old": "alt", "red": "rot", "tree": "Baum"}
    draw = np.random.default_rng(0)
    lines = []
    for _ in range(300):
        some = draw.choice(list(words), 2)
        lines.append({"source": " ".join(some), "target": " ".join(words[word] for word in some)})
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = TINY | {
        "model.options": {"depth": 2, "width": 64, "heads": 4},
        "training.early_stopping": 0,
        "training.batch_tokens": 512,
    }
    made = tw.train(
        str(path), task="sequence-to-sequence", budget="150 steps", settings=settings, run=tmp_path / "run"
    )
    assert made.model.generate("red cat", max_tokens=10) == "rot Katze"
    found = tw.evaluate(made.model, str(path))
    assert found["kind"] == "answers"
    assert found["metrics"]["exact_match"] > 0.9
    rows = [
        {"prompt": f"{one} red", "choices": [f"{word} rot" for word in words.values()], "answer": number}
        for number, one in enumerate(words)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert tw.evaluate(made.model, str(path))["metrics"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"messages": [{"role": "user", "content": "hi"}]}] * 60, "the assistant says nothing"),
        ([{"instruction": "hi", "output": ""}] * 60, "the assistant's answer is empty"),
    ],
)
def test_data_that_teaches_nothing_is_refused(rows: list[Any], why: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(DataError, match=f"60 of 60 samples cannot be used; the first: {why}"):
        tw.train(str(path), task="chat", settings=TINY, run=tmp_path / "run")


def test_a_template_that_never_ends_a_turn_is_refused(chats: Path, tmp_path: Path) -> None:
    template = tmp_path / "template.jinja"
    template.write_text(
        "{% for message in messages %}{{ message['role'] }}: "
        "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}{% endgeneration %}"
        "{% else %}{{ message['content'] }}{% endif %}\n{% endfor %}"
    )
    settings = TINY | {"language.template": str(template)}
    with pytest.raises(DataError, match="the model would never learn to stop"):
        tw.train(str(chats), task="chat", settings=settings, run=tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"model.name": "bert"}, "bert does not learn causal-lm"),
        ({"model.name": "pretrained"}, "name: pretrained needs a checkpoint"),
        ({"tuning.method": "lora"}, "tuning: lora needs a pretrained model"),
        ({"model.options": {"dept": 3}}, "there is no key 'dept'"),
        ({"language.template": "nowhere.jinja"}, "there is no chat template"),
        ({"language.vocabulary": 100}, "no room"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    settings: dict[str, Any], why: str, text: Path, tmp_path: Path
) -> None:
    with pytest.raises((RecipeError, DataError), match=why):
        tw.train(str(text), task="causal-lm", settings=TINY | settings, run=tmp_path / "run")


def test_settings_of_the_other_kind_are_refused(text: Path, tmp_path: Path) -> None:
    for settings, why in (
        ({"model.options": {"depth": 2}}, "model.options is for language models"),
        ({"tuning": "lora"}, "tuning is for language models"),
        ({"language.context": 64}, "language is for language models"),
        ({"evaluation.prompts": ["a"]}, "evaluation.prompts is for language models"),
    ):
        with pytest.raises(RecipeError, match=why):
            tw.train({"x": [1, 2], "y": [1, 2]}, target="y", settings=settings, run=tmp_path / "run")


NO_TABLE = {
    "inputs": {"text": "text"},
    "model.encoders": {"text": "transformer"},
    "model.fusion": "concat",
    "model.modality_dropout": 0.5,
    "training.batch": 8,
    "training.label_smoothing": 0.1,
    "training.class_weights": "balanced",
    "training.sampling": "balanced",
    "training.mixup": 0.2,
    "training.cutmix": 0.2,
    "training.graphs": "on",
    "evaluation.metric": "nonsense",
    "evaluation.coverage": 0.8,
    "evaluation.threshold": "f1",
    "evaluation.slices": ["text"],
}
WITH_CHECKPOINT = {"model.checkpoint": "base"}


@pytest.mark.parametrize(
    ("task", "settings", "name", "why"),
    [
        *(("chat", {name: value}, name, "is for tables") for name, value in NO_TABLE.items()),
        *(
            ("chat", WITH_CHECKPOINT | {name: value}, name, "is for models from random weights")
            for name, value in (
                ("model.size", "tiny"),
                ("model.options", {"depth": 2}),
                ("model.dropout", 0.1),
                ("language.vocabulary", 500),
            )
        ),
        ("chat", {"language.tokenizer": "gpt2", "language.vocabulary": 500}, "language.vocabulary", "taken"),
        (
            "causal-lm",
            {"language.mask": 0.3},
            "language.mask",
            "is for masked-lm, and has no effect on causal",
        ),
        ("chat", {"language.beta": 0.3}, "language.beta", "is for preference, and has no effect on chat"),
        ("masked-lm", {"evaluation.prompts": ["a"]}, "evaluation.prompts", "causal-lm, chat, sequence-to-"),
        *(
            ("chat", WITH_CHECKPOINT | {"tuning.method": method, name: value}, name, f"on tuning: {method}")
            for method, name, value in (
                ("full", "tuning.rank", 4),
                ("ia3", "tuning.rank", 4),
                ("adapter", "tuning.alpha", 4),
                ("adapter", "tuning.dropout", 0.1),
                ("lora", "tuning.tokens", 4),
                ("prompt", "tuning.targets", "mlp"),
            )
        ),
    ],
)
def test_settings_without_an_effect_are_refused(
    task: str, settings: dict[str, Any], name: str, why: str, tmp_path: Path
) -> None:
    """Before the data is looked for, which is nowhere."""
    with pytest.raises(RecipeError, match=rf"{re.escape(name)} is for .*{re.escape(why)}|{name} {why}"):
        tw.train("nowhere.jsonl", task=task, settings=settings, run=tmp_path / "run")


def test_defaults_are_not_refused(tmp_path: Path) -> None:
    settings = WITH_CHECKPOINT | {"training.graphs": "off", "tuning.rank": 16, "training.batch": None}
    with pytest.raises(UserError, match=r"nowhere|base"):
        tw.train("nowhere.jsonl", task="chat", settings=settings, run=tmp_path / "run")


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(DataError, match="zero bytes"):
        tw.train(str(tmp_path / "binary.txt"), task="causal-lm", settings=TINY, run=tmp_path / "run")
    (tmp_path / "empty.txt").write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        tw.train(str(tmp_path / "empty.txt"), task="causal-lm", settings=TINY, run=tmp_path / "run")


def test_a_folder_of_texts(text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "inner").mkdir(parents=True)
    draw = np.random.default_rng(1)
    for number in range(60):
        (folder / "inner" / f"{number}.md").write_text(story(draw, 100), encoding="utf-8")
    (folder / "broken.txt").write_bytes(bytes(range(256)) * 10)
    (folder / "empty.txt").write_bytes(b"")
    settings = TINY | {"evaluation.sample_tokens": 0}
    made = tw.train(str(folder), task="causal-lm", budget="5 steps", settings=settings, run=tmp_path / "run")
    data = json.loads((made.path / "data.json").read_text())
    assert data["parts"]["training"]["samples"] == 54  # of 60
    reasons = {each["reason"] for each in data["quarantined"]["reasons"]}
    assert any("zero bytes" in reason for reason in reasons)
    assert any("the file is empty" in reason for reason in reasons)
