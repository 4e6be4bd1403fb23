"""Several adapters on one base: each answers as the model that it was trained into, and is saved alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_checkpoints import gpt2

import trainwright as tw
from trainwright.foundation.errors import ModelFolderError, UserError
from trainwright.workshop.text_model import TextModel

QUICK: dict[str, Any] = {
    "tuning.method": "lora",
    "language.context": 48,
    "training.batch_tokens": 256,
    "training.learning_rate": 0.1,
    "evaluation.sample_tokens": 0,
    "evaluation.bootstrap": 0,
}
QUESTION = [{"role": "user", "content": "Say cat"}]


def trained(home: Path, name: str, base: str = "base", **settings: Any) -> Path:
    """Train an adapter that answers everything with one word; return its run."""
    rows = [{"prompt": f"Say {number}", "completion": name} for number in range(80)]
    data = home / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = QUICK | {"model.checkpoint": str(home / base)} | settings
    return tw.train(str(data), task="chat", budget="12 steps", settings=given, run=home / "runs" / name).path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and two adapters on it, of other ranks and methods."""
    home = tmp_path_factory.mktemp("adapters")
    gpt2(home / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        trained(home, "tree", **{"tuning.rank": 4})
        trained(home, "mat", **{"tuning.rank": 8, "tuning.method": "dora"})
    return home


def said(model: TextModel) -> str:
    return model.chat(QUESTION, max_tokens=12)


def test_each_answers_as_it_does_alone(home: Path, tmp_path: Path) -> None:
    alone = {name: said(tw.load(home / "runs" / name)) for name in ("tree", "mat")}
    assert alone["tree"] != alone["mat"]
    model = tw.load(home / "runs" / "tree")
    assert model.adapters == ("default",)
    model.load_adapter(home / "runs" / "mat", "second")
    assert model.adapters == ("default", "second") and model.recipe.tuning.rank == 8
    assert said(model) == alone["mat"]
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    kept = home / "runs" / "mat" / "model"
    for name in ("model.safetensors", "language.json", "adapter/adapter_model.safetensors"):
        assert (tmp_path / "saved" / name).read_bytes() == (kept / name).read_bytes(), name
    tw.export(model, tmp_path / "exported")
    assert json.loads((tmp_path / "exported" / "adapter_config.json").read_text())["r"] == 8
    assert not (tmp_path / "exported" / "second").exists()
    model.use_adapter("default")
    assert said(model) == alone["tree"] and model.recipe.tuning.rank == 4
    model.use_adapter("second")
    assert said(model) == alone["mat"]


def test_what_is_no_adapter_of_this_base_is_refused(home: Path) -> None:
    gpt2(home / "other", seed=1)
    elsewhere = trained(home, "dog", "other")
    whole = trained(home, "cat", **{"tuning.method": "full"})
    model = tw.load(home / "runs" / "tree")
    with pytest.raises(ModelFolderError, match="was trained on another base: its weights are others"):
        model.load_adapter(elsewhere, "second")
    with pytest.raises(ModelFolderError, match="is no adapter: all of it was trained"):
        model.load_adapter(whole, "second")
    with pytest.raises(UserError, match="takes adapters"):
        tw.load(whole).load_adapter(home / "runs" / "tree", "second")
    for name, reason in (("default", "already"), ("a.b", "cannot be"), ("", "cannot be")):
        with pytest.raises(UserError, match=f"{reason} an adapter called '{name}'"):
            model.load_adapter(home / "runs" / "mat", name)
    with pytest.raises(UserError, match="no adapter called 'defualt'; did you mean 'default'"):
        model.use_adapter("defualt")
    assert model.adapters == ("default",)
