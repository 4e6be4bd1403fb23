"""lm-eval judges a model by tasks of a local folder; where it is not installed one sentence says so."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwright as tw
from trainwright.cli.main import main
from trainwright.foundation.errors import UserError
from trainwright.workshop.likelihoods import rolling, score

ANIMALS = ["cat", "dog", "fox", "cow", "hen"]

CHOICE = """\
task: animals_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: multiple_choice
test_split: test
fewshot_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
doc_to_choice: choices
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
metadata: {{version: 1}}
"""
WRITE = """\
task: animals_write
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: generate_until
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{said}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 12, do_sample: false, temperature: 0.0}}
metric_list: [{{metric: exact_match, ignore_case: true}}]
"""
ROLL = """\
task: animals_roll
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: bits_per_byte}}]
"""


def rows() -> list[dict[str, Any]]:
    return [
        {
            "question": f"The {animal} says",
            "said": f" {animal}-{animal}",
            "choices": [f"{other}-{other}" for other in ANIMALS],
            "answer": number,
            "text": f"The {animal} says {animal}-{animal}\n" * 8,
        }
        for number, animal in enumerate(ANIMALS)
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three tasks and their data."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    data = tmp_path / "animals.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    place = tmp_path / "tasks"
    place.mkdir()
    for name, text in (("choice", CHOICE), ("write", WRITE), ("roll", ROLL)):
        (place / f"{name}.yaml").write_text(text.format(data=data))
    return place


def test_without_the_package_one_sentence_says_so(
    small_text_run: tw.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UserError, match=r"need the package lm-eval; pip install 'trainwright\[lm-eval\]'"):
        tw.evaluate(small_text_run, lm_eval="arc_easy")


def test_one_thing_is_judged_on(small_text_run: tw.Run) -> None:
    with pytest.raises(UserError, match="nothing to judge the model on"):
        tw.evaluate(small_text_run)
    with pytest.raises(UserError, match="both are given"):
        tw.evaluate(small_text_run, "data.jsonl", lm_eval="arc_easy")
    with pytest.raises(UserError, match="limit is for tasks of lm-eval"):
        tw.evaluate(small_text_run, "data.jsonl", limit=3)


def test_tasks_of_a_folder(small_text_run: tw.Run, folder: Path) -> None:
    pytest.importorskip("lm_eval")
    found = tw.evaluate(
        small_text_run, lm_eval="animals_choice,animals_write,animals_roll", include_path=folder
    )
    tasks = found["tasks"]
    assert (found["kind"], found["rows"]) == ("lm-eval", 15)
    acc = tasks["animals_choice"]["metrics"]["acc"]
    # Where all are right the harness knows no spread, which is no certainty.
    assert acc == {"value": 1, "low": None, "high": None, "stderr": 0}
    assert tasks["animals_write"]["metrics"]["exact_match"]["value"] == 1
    # The harness's own figure, from our scores.
    model, nats, size = small_text_run.model, 0.0, 0
    for row in rows():
        ids = model.tokenizer.encode([row["text"]])[0]
        whole = np.concatenate([[model.tokenizer.first], ids]).astype(np.int32)
        nats += sum(each.nats for each in score(model, list(rolling(whole, model.reads))))
        size += len(row["text"].encode())
        assert len(ids) > model.reads
    bits = tasks["animals_roll"]["metrics"]["bits_per_byte"]["value"]
    assert bits == pytest.approx(-nats / size / math.log(2))


def test_few_shots_and_the_command_line(
    small_text_run: tw.Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lm_eval")
    words = [
        "evaluate",
        str(small_text_run.path),
        "--lm-eval",
        "animals_choice",
        "--include-path",
        str(folder),
    ]
    assert main([*words, "--limit", "2", "--fewshot", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    task = found["tasks"]["animals_choice"]
    assert (task["rows"], task["fewshot"]) == (2, 4)
    assert found["truncated"] > 0  # four examples are more than it reads at a time
    assert main([*words, "--fewshot", "9"]) == 2
    assert "animals_choice: lm-eval cannot ask this (Sample larger than" in capsys.readouterr().err
    assert main([*words, "--limit", "2"]) == 0
    shown = capsys.readouterr().out
    assert "animals_choice" in shown and "acc_norm" in shown
    assert main(["evaluate", str(small_text_run.path), "--lm-eval", "animals_chose"]) == 2
    assert "lm-eval has no task 'animals_chose'" in capsys.readouterr().err


def test_requests_are_answered_in_their_order(small_text_run: tw.Run) -> None:
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance

    from trainwright.workshop.lm_eval_model import LmEvalModel

    judged = LmEvalModel(small_text_run)

    def asked(kind: str, *pairs: tuple[Any, ...]) -> list[Instance]:
        return [Instance(kind, {}, pair, number) for number, pair in enumerate(pairs)]

    pairs = [("The cat says", " cat-cat"), ("", "The dog"), ("The", ""), ("The cat says", " dog-dog")]
    found = judged.loglikelihood(asked("loglikelihood", *pairs))
    assert [greedy for _, greedy in found] == [True, found[1][1], True, False]
    assert found[2][0] == 0 and found[0][0] > found[3][0]
    again = [judged.loglikelihood(asked("loglikelihood", pair))[0] for pair in pairs]
    assert [nats for nats, _ in again] == pytest.approx([nats for nats, _ in found], rel=1e-4)
    model = small_text_run.model
    assert found[3][0] == pytest.approx(model.log_probabilities("The cat says", ["dog-dog"])[0], rel=1e-4)
    kinds = [{"until": ["\n"], "max_gen_toks": 8}, {"max_gen_toks": 3, "until": []}]
    wanted = [(f"The {animal} says", kinds[number % 2]) for number, animal in enumerate(ANIMALS)]
    written = judged.generate_until(asked("generate_until", *wanted))
    for (context, settings), text in zip(wanted, written, strict=True):
        stop, most = settings["until"], settings["max_gen_toks"]
        assert text == model.generate(context, stop=stop, max_tokens=most)
    with pytest.raises(UserError, match="asks for 'num_beams'"):
        judged.generate_until(asked("generate_until", ("The", {"num_beams": 3})))


def test_answers_are_those_of_the_harness_own_models(small_text_run: tw.Run, tmp_path: Path) -> None:
    """The exported model behind transformers finds the same texts as likely, and writes the same."""
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from trainwright.workshop.lm_eval_model import LmEvalModel

    exported = tw.export(small_text_run, tmp_path / "hf")
    ours, theirs = LmEvalModel(small_text_run), HFLM(pretrained=str(exported), device="cpu", dtype="float32")
    begin = theirs.tokenizer.eos_token  # ours stands before every text, theirs must be told to

    def asked(kind: str, *pairs: tuple[Any, ...]) -> list[Instance]:
        return [Instance(kind, {}, pair, number) for number, pair in enumerate(pairs)]

    pairs = [(f"The {animal} says", f" {other}-{other}") for animal in ANIMALS for other in ANIMALS[:2]]
    pairs += [("The cat says ", "dog"), ("The cat says dog\n" * 9 + "The hen", " says")]
    found = ours.loglikelihood(asked("loglikelihood", *pairs))
    wanted = theirs.loglikelihood(asked("loglikelihood", *((begin + one, more) for one, more in pairs)))
    assert [nats for nats, _ in found] == pytest.approx([nats for nats, _ in wanted], abs=1e-4)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in wanted]
    texts = [("The cat says cat-cat\n" * 9,), ("Something else, ünïcode 漢字",)]
    rolled = ours.loglikelihood_rolling(asked("loglikelihood_rolling", *texts))
    assert rolled == pytest.approx(theirs.loglikelihood_rolling(asked("loglikelihood_rolling", *texts)), 1e-4)
    settings = {"until": ["\n"], "max_gen_toks": 8, "do_sample": False}
    contexts = [f"The {animal} says" for animal in ANIMALS]
    written = ours.generate_until(asked("generate_until", *((one, settings) for one in contexts)))
    theirs_too = theirs.generate_until(
        asked("generate_until", *((begin + one, settings) for one in contexts))
    )
    assert written == theirs_too


def test_a_chat_template_brings_its_own_beginning(small_text_run: tw.Run) -> None:
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance

    from trainwright.workshop.lm_eval_model import LmEvalModel

    judged, tokenizer = LmEvalModel(small_text_run), small_text_run.model.tokenizer
    messages = [{"role": "user", "content": "Hello"}]
    asked = judged.apply_chat_template(messages)
    assert asked == tokenizer.template.prompt([_turn(each) for each in messages])
    assert judged.chat_template(True) == tokenizer.template.source and judged.tokenizer_name
    ids = tokenizer.encode([asked], special=True)[0]
    assert ids.tolist() == tokenizer.encode_prompt([_turn(each) for each in messages]).tolist()
    more = [*messages, {"role": "assistant", "content": "I"}]
    begun = judged.apply_chat_template(more, add_generation_prompt=False)
    assert begun == asked + "I"
    nats, _ = judged.loglikelihood([Instance("loglikelihood", {}, (asked, "I"), 0)])[0]
    assert nats < 0


def _turn(message: dict[str, str]) -> Any:
    from trainwright.features.language.template import Turn

    return Turn(message["role"], message["content"])
