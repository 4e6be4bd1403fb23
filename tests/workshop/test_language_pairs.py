"""Checkpoints with an encoder and a decoder, from pairs to a model that answers, through the same doors."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pair_checkpoints import WORDS, checkpoint, pairs, tokenizer

import trainwright as tw
from trainwright.cli.main import main
from trainwright.foundation.errors import RecipeError, UserError
from trainwright.training.events import read_events

QUICK: dict[str, Any] = {
    "language.context": 64,
    "training.batch_tokens": 2_000,
    "training.learning_rate": 0.01,
    "training.early_stopping": 0,
    "evaluation.bootstrap": 20,
    "evaluation.sample_tokens": 8,
}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def digest(run: tw.Run) -> str:
    return hashlib.sha256((run.path / "model" / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    # So few words make few pairs, and equal ones would be in one part: a column says that they need not.
    parts = {0: "validation", 1: "test"}
    rows = [row | {"split": parts.get(number % 20, "train")} for number, row in enumerate(pairs(300))]
    return write(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", rows)


def trained(data: str, name: str, run: Path, budget: str = "3 steps", **settings: Any) -> tw.Run:
    words = QUICK | {"model.checkpoint": name} | settings
    return tw.train(data, task="sequence-to-sequence", budget=budget, settings=words, run=run)


@pytest.fixture(scope="module", params=["t5", pytest.param("bart", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, data: str, tmp_path_factory: pytest.TempPathFactory) -> tw.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        home = tmp_path_factory.mktemp(request.param)
        return trained(data, checkpoint(home / "base", request.param), home / "run", "150 steps")


def test_it_learns_to_translate(run: tw.Run, data: str) -> None:
    model = run.model
    assert model.generate("red cat", max_tokens=20) == "rot Katze"
    assert model.generate(["red cat", "dog and", "x"], max_tokens=20)[:2] == ["rot Katze", "Hund und"]
    assert "".join(model.stream("old tree", max_tokens=20)) == "alt Baum"
    found = tw.evaluate(model, data)
    assert found["kind"] == "answers"
    assert found["metrics"]["exact_match"] > 0.9


def test_it_is_judged_beside_counting(run: tw.Run, data: str, tmp_path: Path) -> None:
    judged = run.evaluation["language"]
    # The model sees the source; counting knows only what targets look like.
    assert judged["verdict"]["outcome"] == "better"
    assert (
        judged["baseline"]["metrics"]["perplexity"]
        > judged["parts"]["test"]["metrics"]["perplexity"]["value"]
    )
    assert judged["samples"][0]["prompt"].split()[0] in WORDS
    assert "Better than counting" in run.report.read_text()
    card = (run.path / "model" / "card.md").read_text()
    assert "one text from another" in card and 'model.generate("a source")' in card
    shown = json.loads((run.path / "data.json").read_text())["shown"][0]
    learned = "".join(token["text"] for token in shown if token["trained"])
    assert learned.endswith("</s>") and learned.replace("<s>", "").split()[0] in WORDS.values()


def test_it_is_judged_on_more_pairs(run: tw.Run, tmp_path: Path) -> None:
    """Columns that neither ask nor answer are read as in training."""
    path = write(
        tmp_path / "more.jsonl", [{"a": row["source"], "b": row["target"]} for row in pairs(50, seed=1)]
    )
    model = run.model
    recipe = model.recipe
    language = recipe.language.model_copy(update={"columns": {"source": "a", "target": "b"}})
    model.recipe = recipe.model_copy(update={"language": language})
    found = tw.evaluate(model, path)
    model.recipe = recipe
    assert found["kind"] == "texts"
    assert found["metrics"]["loss"] < 0.5


def test_choices(run: tw.Run, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{word} red", "choices": [f"{other} rot" for other in WORDS.values()], "answer": number}
        for number, word in enumerate(WORDS)
    ]
    found = tw.evaluate(run.model, write(tmp_path / "choices.jsonl", rows))
    assert found["kind"] == "choices"
    assert found["metrics"]["accuracy"] > 0.8


def test_it_writes_and_does_not_chat(run: tw.Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="makes one text of another and does not chat"):
        run.model.chat([{"role": "user", "content": "hi"}])
    capsys.readouterr()
    assert main(["chat", str(run.path)]) == 2
    assert "does not chat; use `trainwright generate`." in capsys.readouterr().err
    assert main(["generate", str(run.path), "red cat", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "rot Katze\n"


def test_exported_and_back(run: tw.Run, data: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    place = tw.export(run.path, tmp_path / "exported")
    theirs = AutoModelForSeq2SeqLM.from_pretrained(place).eval()
    tokenizer = AutoTokenizer.from_pretrained(place)
    model = run.model
    asked = tokenizer("red cat", return_tensors="pt")
    assert asked.input_ids[0].tolist() == model._prompt("red cat").tolist()
    target = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        expected = theirs(**asked, labels=target).logits[0]
        found = model.network.logits(model.network.states_of_pairs([asked.input_ids[0]], [target[0]]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    made = theirs.generate(**asked, do_sample=False, num_beams=1, max_new_tokens=20)
    assert tokenizer.decode(made[0], skip_special_tokens=True) == "rot Katze"
    # And it is a checkpoint again, from which a sliver is trained.
    again = trained(data, str(place), tmp_path / "again", tuning="lora", **{"training.learning_rate": 1e-4})
    assert again.model.generate("red cat", max_tokens=20) == "rot Katze"
    merged = tw.export(again.path, tmp_path / "merged", merge=True)
    whole = AutoModelForSeq2SeqLM.from_pretrained(merged).eval()
    network = again.model.network
    with torch.no_grad():
        torch.testing.assert_close(
            network.logits(network.states_of_pairs([asked.input_ids[0]], [target[0]])),
            whole(**asked, labels=target).logits[0],
            atol=1e-4,
            rtol=1e-4,
        )


def test_an_output_layer_of_its_own_survives(data: str, tmp_path: Path) -> None:
    """T5 1.1 neither shares it nor scales what it takes; the library's configuration says otherwise."""
    from transformers import AutoModelForSeq2SeqLM

    run = trained(data, checkpoint(tmp_path / "base", "t5-v1.1"), tmp_path / "run")
    place = tw.export(run.path, tmp_path / "exported")
    theirs = AutoModelForSeq2SeqLM.from_pretrained(place).eval()
    network = run.model.network
    assert not torch.equal(network.model.lm_head.weight, network.model.shared.weight)
    source, target = torch.tensor([[5, 6, 1]]), torch.tensor([[7, 1]])
    with torch.no_grad():
        torch.testing.assert_close(
            network.logits(network.states_of_pairs([source[0]], [target[0]])),
            theirs(input_ids=source, labels=target).logits[0],
            atol=1e-4,
            rtol=1e-4,
        )


def test_accumulation_does_not_change_the_loss(data: str, tmp_path: Path) -> None:
    name = checkpoint(tmp_path / "base", "t5")
    losses = []
    for parts in (1, 2, 4):
        # Every step sees all pairs.
        settings = {
            "training.batch_tokens": 12_000 // parts,
            "training.accumulation": parts,
            "evaluation.sample_tokens": 0,
        }
        made = trained(data, name, tmp_path / str(parts), "8 steps", **settings)
        events = read_events(made.path / "events.jsonl")
        losses.append([event["loss"] for event in events if event["kind"] == "step"])
    assert len(losses[0]) == 8
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-5, rtol=0)
    np.testing.assert_allclose(losses[2], losses[0], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(data: str, tmp_path: Path) -> None:
    name = checkpoint(tmp_path / "base", "bart", dropout=0.1)
    settings = {"training.batch_tokens": 400, "training.checkpoint_minutes": 1e-9}
    whole = trained(data, name, tmp_path / "whole", "60 steps", **settings)
    words = QUICK | settings | {"model.checkpoint": name}
    place = tmp_path / "killed"
    command = [sys.executable, "-m", "trainwright", "train", data, "--task", "sequence-to-sequence"]
    command += ["--budget", "60steps", "--quiet", "--run", str(place)]
    command += [f"--set={key}={json.dumps(value)}" for key, value in words.items()]
    child = subprocess.Popen(command)
    until = time.monotonic() + 120
    while not list((place / "checkpoints").glob("step-*0")) and time.monotonic() < until:
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -9
    made = tw.resume(place)
    assert any(event["kind"] == "resume" for event in read_events(place / "events.jsonl"))
    assert digest(made) == digest(whole)


def test_few_pairs_are_shared_out_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "few.jsonl", pairs(20))
    run = trained(path, checkpoint(tmp_path / "base"), tmp_path / "run")
    parts = json.loads((run.path / "data.json").read_text())["parts"]
    assert [parts[name]["samples"] for name in ("training", "validation", "test")] == [18, 1, 1]


def test_long_pairs_are_counted(tmp_path: Path) -> None:
    rows = pairs(60) + pairs(3, words=40)
    path = write(tmp_path / "long.jsonl", rows)
    name = checkpoint(tmp_path / "base", "bart", context=24)
    run = trained(path, name, tmp_path / "run", **{"language.context": None})
    notes = json.loads((run.path / "data.json").read_text())["notes"]
    assert "3 of 63 samples have more than 24 tokens: cut off there." in notes
    with pytest.raises(UserError, match="and the model reads at most 24"):
        run.model.generate(rows[-1]["source"])
    with pytest.raises(RecipeError, match="the model reads at most 24 tokens, and the context is 64"):
        trained(path, name, tmp_path / "other")
    with pytest.raises(RecipeError, match="a source and its target are not split"):
        trained(path, name, tmp_path / "split", **{"language.context": 24, "language.long": "split"})


@pytest.mark.parametrize(
    ("task", "part"),
    [
        ("causal-lm", "a decoder"),
        ("chat", "a decoder"),
        ("preference", "a decoder"),
        ("masked-lm", "an encoder"),
    ],
)
def test_other_tasks_are_refused(task: str, part: str, data: str, tmp_path: Path) -> None:
    settings = QUICK | {"model.checkpoint": checkpoint(tmp_path / "base")}
    why = f"this checkpoint has an encoder and a decoder, and {task} is learned by {part} alone"
    with pytest.raises(RecipeError, match=why) as error:
        tw.train(data, task=task, settings=settings, run=tmp_path / "run")
    assert "set task to sequence-to-sequence" in str(error.value)


def test_language_codes_are_refused(data: str, tmp_path: Path) -> None:
    from tokenizers import processors

    name = checkpoint(tmp_path / "base", "t5")
    marked = tokenizer("t5")
    marked.add_special_tokens({"additional_special_tokens": ["en_XX"]})
    marked.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s> en_XX",
        special_tokens=[(text, marked.convert_tokens_to_ids(text)) for text in ("</s>", "en_XX")],
    )
    marked.save_pretrained(name)
    with pytest.raises(RecipeError, match=r"marks the language of a text \(en_XX\), which is not supported"):
        trained(data, name, tmp_path / "run")
