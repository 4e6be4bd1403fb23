"""A recipe for texts, conversations, pairs and preferences, told by what the data looks like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trainwright as tw
from trainwright.cli.main import main
from trainwright.foundation.errors import DataError, UserError
from trainwright.recipe.reader import read_recipe

CHAT = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello!"}]


def written(path: Path, row: dict[str, Any], number: int = 60) -> str:
    path.write_text(f"{json.dumps(row)}\n" * number, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("row", "task", "form"),
    [
        ({"messages": CHAT}, "chat", "messages"),
        ({"instruction": "Say hello.", "output": "Hello!", "id": 3}, "chat", "alpaca"),
        ({"prompt": "Hello?", "chosen": "Hello!", "rejected": "Go."}, "preference", "preference"),
        ({"source": "Hallo", "target": "Hello"}, "sequence-to-sequence", "pairs"),
        ({"text": "Once upon a time."}, "causal-lm", "text"),
    ],
)
def test_the_columns_tell(row: dict[str, Any], task: str, form: str, tmp_path: Path) -> None:
    data = written(tmp_path / "data.jsonl", row)
    text = tw.init(data, output=tmp_path / "recipe.yaml")
    recipe = read_recipe(tmp_path / "recipe.yaml").recipe
    assert (recipe.task, recipe.language.format) == (task, form)
    assert f"The data has the format {form}, from which {task} is learned." in text
    assert "60 rows." in text and "#context: null" in text and "\ntargets:" not in text


def test_a_folder_of_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.md").write_text("Once upon a time there was a cat.\n" * 40)
    output = tmp_path / "recipe.yaml"
    assert main(["init", str(folder), "-o", str(output)]) == 0
    assert capsys.readouterr().out.strip() == str(output)
    assert read_recipe(output).recipe.task == "causal-lm"
    assert main(["init", str(folder), "--task", "masked-lm", "-o", str(output), "--force"]) == 0
    assert "auto is bert" in output.read_text()
    settings = {
        "model.options": {"depth": 1, "width": 32, "heads": 2},
        "language.vocabulary": 300,
        "training.batch_tokens": 256,
    }
    made = tw.train(output, budget="2 steps", settings=settings, run=tmp_path / "run")
    assert made.recipe.task == "masked-lm"


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    data = tmp_path / "chats.jsonl"
    silent = {"messages": CHAT[:1]}
    data.write_text("".join(json.dumps(row) + "\n" for row in [{"messages": CHAT}] * 50 + [silent] * 2))
    text = tw.init(str(data), output=None)
    assert "52 rows; 2 of 52 that were looked at cannot be used, the first: the assistant says nothing" in (
        " ".join(text.replace("#", " ").split())
    )
    with pytest.raises(DataError, match=r"no sample can be used; the first: the assistant says nothing"):
        tw.init(written(tmp_path / "bad.jsonl", silent), output=None)


def test_a_table_is_not_taken_for_texts(tmp_path: Path) -> None:
    data = written(tmp_path / "reviews.jsonl", {"text": "Good.", "stars": 5})
    with pytest.raises(UserError, match=r"no target is named.*text, stars.*language model's --task"):
        tw.init(data, output=None)
    assert "task: causal-lm" in tw.init(data, task="causal-lm", output=None)
    with pytest.raises(DataError, match="chat does not learn from data in the format text"):
        tw.init(data, task="chat", output=None)
