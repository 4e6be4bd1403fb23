"""Two runs of language models side by side: what each reaches on the same texts, and what it took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import trainwright as tw
from trainwright.cli.main import main
from trainwright.foundation.errors import UserError


def again(run: tw.Run, place: Path, **changes: object) -> tw.Run:
    """Train as a run was trained, with some other settings."""
    fields = json.loads(run.recipe.model_dump_json(exclude_defaults=True))
    data = run.recipe.data.path
    assert isinstance(data, str)
    fields["data"] = str((run.path / data).resolve())
    settings = {name.replace("__", "."): value for name, value in changes.items()}
    return tw.train(recipe=fields, settings={"training.budget": "10 steps"} | settings, run=place)


def test_a_shorter_run_is_worse(
    small_text_run: tw.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = again(small_text_run, tmp_path / "short")
    found = tw.compare(small_text_run, short)
    target = found["targets"]["causal-lm"]
    assert target["metric"] == "bits_per_byte" and target["why"] is None
    gain = target["difference"]
    assert gain["low"] < gain["value"] < gain["high"] < 0
    first, second = (run.metrics["test"]["bits_per_byte"] for run in (small_text_run, short))
    assert gain["value"] == pytest.approx(first - second)
    facts = {line["fact"]: line for line in found["facts"]}
    assert (facts["steps"]["first"], facts["steps"]["second"]) == (150, 10)
    assert facts["parameters"]["first"] == facts["parameters"]["second"] > 0
    assert [line["field"] for line in found["settings"]] == ["training.budget"]
    assert main(["compare", str(small_text_run.path), str(short.path)]) == 0
    said = capsys.readouterr().out
    assert "short is worse in bits per byte" in said and "parameters" in said


def test_another_tokenizer_is_compared_by_bytes(small_text_run: tw.Run, tmp_path: Path) -> None:
    other = again(small_text_run, tmp_path / "other", language__vocabulary=280)
    found = tw.compare(small_text_run, other)
    assert found["targets"]["causal-lm"]["metric"] == "bits_per_byte"
    assert found["targets"]["causal-lm"]["difference"] is not None
    assert any("tokenizers differ" in note for note in found["notes"])
    # What fits into so many tokens is another part of the texts for each.
    document = json.loads((other.path / "evaluation.json").read_text())
    document["language"]["parts"]["test"]["whole"] = False
    (other.path / "evaluation.json").write_text(json.dumps(document))
    target = tw.compare(small_text_run, tw.Run(other.path))["targets"]["causal-lm"]
    assert target["difference"] is None
    assert target["why"] == "each was judged on the first tokens of the texts, and their tokenizers differ"


def test_what_does_not_compare_is_said(small_text_run: tw.Run, run: tw.Run, tmp_path: Path) -> None:
    masked = again(small_text_run, tmp_path / "masked", task="masked-lm", training__optimizer="auto")
    with pytest.raises(UserError, match=r"learn different things \(causal-lm and masked-lm\)"):
        tw.compare(small_text_run, masked)
    with pytest.raises(UserError, match="a language model and a model of columns"):
        tw.compare(small_text_run, run)
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("The cow says cow-cow.\n" * 500)
    other = again(small_text_run, tmp_path / "other", data=str(elsewhere))
    target = tw.compare(small_text_run, other)["targets"]["causal-lm"]
    assert target["difference"] is None
    assert target["why"] == "the runs were made from different data"
    split = again(small_text_run, tmp_path / "split", split__test=0.2)
    why = tw.compare(small_text_run, split)["targets"]["causal-lm"]["why"]
    assert why == "the runs were judged on different texts (another seed or split)"
