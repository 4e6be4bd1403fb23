"""What is saved of a language model is what was trained: folders, slivers and their base, exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_checkpoints import TEXTS, gpt2

import trainwright as tw
from trainwright.cli.main import main
from trainwright.features.language.template import CHATML
from trainwright.foundation.errors import ModelFolderError, UserError
from trainwright.models.layers.packing import packing
from trainwright.reporting.manifest import write_manifest
from trainwright.workshop.text_model import TextModel

QUICK: dict[str, Any] = {
    "language.context": 48,
    "training.batch_tokens": 256,
    "training.learning_rate": 0.01,
    "evaluation.sample_tokens": 0,
    "evaluation.bootstrap": 0,
}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two checkpoints of one shape, texts and conversations."""
    home = tmp_path_factory.mktemp("home")
    gpt2(home / "base")
    gpt2(home / "other", seed=1)
    draw = np.random.default_rng(0)
    write(home / "texts.jsonl", [{"text": " ".join(draw.choice(TEXTS, 3))} for _ in range(80)])
    talks = [{"prompt": f"Say {word}", "completion": word} for word in " ".join(TEXTS).split()] * 4
    write(home / "talks.jsonl", talks)
    return home


def train(home: Path, place: Path, task: str = "causal-lm", **settings: Any) -> tw.Run:
    given = QUICK | {"model.checkpoint": str(home / "base")} | settings
    data = home / ("texts.jsonl" if task == "causal-lm" else "talks.jsonl")
    return tw.train(str(data), task=task, budget="6 steps", settings=given, run=place)


def test_a_loaded_model_is_asked_as_it_was_trained(home: Path, tmp_path: Path) -> None:
    """Fine-tuned on plain text it does not chat; on conversations it does."""
    plain = train(home, tmp_path / "plain")
    model = plain.model
    assert not model.chats
    answer = model.answers(["the cat"], max_tokens=6)[0].text
    assert answer == model.generate("the cat", max_tokens=6)
    talking = train(home, tmp_path / "talking", "chat")
    loaded = tw.load(talking.path)
    assert loaded.chats and loaded.tokenizer.has_own_template
    assert loaded.tokenizer.template.source == talking.model.tokenizer.template.source


@pytest.fixture(scope="module")
def sliver(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tw.Run:
    """A LoRA on the base, by a recipe beside it that names it, data and template from its own folder."""
    (home / "template.jinja").write_text(CHATML, encoding="utf-8")
    recipe = {"data": "talks.jsonl", "task": "chat", "tuning": {"method": "lora", "rank": 4}}
    recipe |= {"model": {"checkpoint": "base"}, "language": {"template": "template.jinja"}}
    (home / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.chdir(elsewhere)
        return tw.train(
            recipe=home / "recipe.yaml",
            budget="10 steps",
            settings=QUICK | {"training.learning_rate": 0.1},
            run=elsewhere / "run",
        )


def test_a_sliver_is_loaded_from_anywhere(
    sliver: tw.Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = [{"role": "user", "content": "Say cat"}]
    said = sliver.model.chat(question, max_tokens=8)
    monkeypatch.chdir(tmp_path)
    loaded = tw.load(sliver.path)
    assert loaded.recipe.model.checkpoint == str(home / "base")
    assert loaded.chat(question, max_tokens=8) == said
    weights = loaded.network.state_dict()
    assert weights and all("lora" in name for name in weights)
    assert (sliver.path / "model" / "model.safetensors").stat().st_size < 100_000


def test_a_base_that_is_gone_or_another_is_named(sliver: tw.Run, home: Path) -> None:
    base, kept = home / "base", home / "kept"
    base.rename(kept)
    try:
        with pytest.raises(
            ModelFolderError, match=r"the base that this model was trained on, .*base, cannot be"
        ):
            tw.load(sliver.path)
        (home / "other").rename(base)
        with pytest.raises(ModelFolderError, match="is not the base that this model was trained on"):
            tw.load(sliver.path)
        base.rename(home / "other")
    finally:
        kept.rename(base)
    tw.load(sliver.path)


def test_an_adapter_names_its_base_as_the_recipe_does(sliver: tw.Run, home: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    tw.export(sliver.path, tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(home / "base")
    theirs = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter").eval()
    assert_same_logits(sliver.model, theirs)


def test_merging_for_export_leaves_the_model_as_it_is(sliver: tw.Run, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = sliver.model
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    tw.export(model, tmp_path / "merged", merge=True)
    after = model.network.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert_same_logits(model, theirs)
    with pytest.raises(UserError, match="there is something already"):
        tw.export(model, tmp_path / "merged", merge=True)


def test_the_verb_exports_adapters_and_whole_models(
    sliver: tw.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, flags, file in (("a", [], "adapter_config.json"), ("b", ["--merge"], "config.json")):
        place = tmp_path / name
        assert main(["export", str(sliver.path), "-o", str(place), *flags]) == 0
        assert capsys.readouterr().out.strip() == str(place)
        assert (place / file).is_file() and (place / "tokenizer.json").is_file()
        assert (place / "config.json").is_file() is bool(flags)
    assert main(["export", str(sliver.path), "-o", str(tmp_path / "a")]) == 2


def test_a_whole_model_has_nothing_to_merge(home: Path, tmp_path: Path) -> None:
    run = train(home, tmp_path / "run")
    with pytest.raises(UserError, match="nothing to merge"):
        tw.export(run, tmp_path / "out", merge=True)
    tw.export(run, tmp_path / "out")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert_same_logits(run.model, theirs)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template is None


def assert_same_logits(model: TextModel, theirs: Any) -> None:
    tokens = torch.arange(3, 20)
    ours = model.network.logits(model.network.states(tokens, packing(torch.tensor([17]))))
    found = theirs(input_ids=tokens.unsqueeze(0)).logits[0]
    torch.testing.assert_close(ours, found, atol=1e-4, rtol=1e-4)


def resealed(model: Path, place: Path, file: str, content: bytes) -> Path:
    """Copy a model folder with another file, and a manifest that agrees with it."""
    shutil.copytree(model, place)
    (place / file).write_bytes(content)
    write_manifest(place, data_fingerprint="", metrics={})
    return place


NO_WEIGHTS = (8).to_bytes(8, "little") + b'{"a":{}}'
"""A header that names a tensor and says nothing of it."""


def test_malformed_folders_are_refused_before_memory_is_taken(home: Path, tmp_path: Path) -> None:
    ours = {"model.checkpoint": None, "model.options": {"depth": 2, "width": 32}, "language.vocabulary": 320}
    for run, huge in (
        (train(home, tmp_path / "theirs"), {"n_layer": 10**9, "n_embd": 10**6, "vocab_size": 10**9}),
        (train(home, tmp_path / "ours", **ours), {"depth": 500, "width": 2**20}),
    ):
        model = run.path / "model"
        about = json.loads((model / "language.json").read_text())
        shape = about.get("options") or about["config"]
        for name, value in huge.items():
            shape[name], kept = value, shape[name]
            place = tmp_path / f"{run.path.name}-{name}"
            resealed(model, place, "language.json", json.dumps(about).encode())
            with pytest.raises(ModelFolderError, match="a larger model than there are weights for"):
                tw.load(place)
            shape[name] = kept
        for content in (b"", b"\xff" * 64, (1 << 40).to_bytes(8, "little") + b"{}", NO_WEIGHTS):
            place = tmp_path / f"{run.path.name}-{len(content)}"
            resealed(model, place, "model.safetensors", content)
            with pytest.raises(ModelFolderError, match="the weights do not fit the model"):
                tw.load(place)
