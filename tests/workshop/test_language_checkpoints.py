"""Checkpoints and slivers through the public doors: trained, saved, loaded, merged and gone on with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from text_checkpoints import TEXT, byte_level, checkpoint

import trainwright as tw
from trainwright.foundation.errors import RecipeError
from trainwright.training.events import read_events
from trainwright.training.loop import Trainer

SETTINGS: dict[str, Any] = {
    "language.context": 32,
    "training.batch_tokens": 128,
    "training.early_stopping": 0,
    "evaluation.bootstrap": 0,
    "evaluation.sample_tokens": 0,
}
METHODS = ["lora", "dora", "rslora", "ia3", "adapter", "prompt", "prefix"]
MERGED = METHODS[:4]
PROMPTS = ["the red cat", "Answer:", "bread and"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    draw = np.random.default_rng(0)
    words = TEXT.split()
    rows = [{"text": " ".join(draw.choice(words, 12))} for _ in range(80)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return checkpoint(tmp_path_factory.mktemp("base") / "llama")


def digest(folder: str) -> str:
    return hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()


def train(texts: str, base: str, place: Path, method: str = "full", **more: Any) -> tw.Run:
    settings = {**SETTINGS, "model.checkpoint": base, "tuning.method": method}
    if method in {"lora", "dora", "rslora", "adapter"}:
        settings["tuning.rank"] = 4
    if method in {"prompt", "prefix"}:
        settings["tuning.tokens"] = 3
    return tw.train(texts, task="causal-lm", budget="6 steps", settings=settings | more, run=place)


@pytest.mark.parametrize("method", ["full", *METHODS])
def test_trained_saved_and_loaded_it_writes_the_same(
    method: str, texts: str, base: str, tmp_path: Path
) -> None:
    before = digest(base)
    run = train(texts, base, tmp_path / "run", method, **{"training.learning_rate": 0.03})
    model = tw.load(tmp_path / "run")
    found = model.generate(PROMPTS, max_tokens=16)
    assert found == [model.generate(prompt, max_tokens=16) for prompt in PROMPTS]
    (tmp_path / "again").mkdir()
    model.save(tmp_path / "again")
    assert digest(str(tmp_path / "again")) == digest(str(run.path / "model"))
    assert digest(base) == before, "the base has changed"
    # What it has learned is in the folder: the base writes something else.
    kept = load_file(run.path / "model" / "model.safetensors")
    assert (sum(map(torch.numel, kept.values())) < 20_000) == (method != "full")
    untrained = train(texts, base, tmp_path / "untrained", method, **{"training.learning_rate": 1e-12})
    assert untrained.model.generate(PROMPTS, max_tokens=16) != found
    assert (
        tw.evaluate(model, texts)["metrics"]["loss"] < tw.evaluate(untrained.model, texts)["metrics"]["loss"]
    )


@pytest.mark.parametrize("method", MERGED)
def test_merged_and_exported_it_is_the_same(method: str, texts: str, base: str, tmp_path: Path) -> None:
    import transformers

    run = train(texts, base, tmp_path / "run", method, **{"training.learning_rate": 0.03})
    tw.export(run.model, tmp_path / "merged", merge=True)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    for prompt, text in zip(PROMPTS, run.model.generate(PROMPTS, max_tokens=12), strict=True):
        model = run.model
        ids = torch.tensor([[model.tokenizer.first, *model.tokenizer.encode([prompt])[0].tolist()]])
        out = theirs.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        assert model.tokenizer.decode(out[0, ids.shape[1] :].tolist()) == text


@pytest.mark.parametrize("method", ["adapter", "prompt", "prefix"])
def test_what_weights_cannot_hold_is_not_merged(method: str, texts: str, base: str, tmp_path: Path) -> None:
    run = train(texts, base, tmp_path / "run", method)
    with pytest.raises(RecipeError, match=f"{method} cannot be merged"):
        tw.export(run.model, tmp_path / "merged", merge=True)


@pytest.mark.parametrize("method", ["dora", "prefix"])
def test_a_sliver_that_was_stopped_goes_on_to_the_same_weights(
    method: str, texts: str, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(texts, base, tmp_path / "whole", method)
    place, step = tmp_path / "stopped", Trainer._step

    def dies(trainer: Trainer, window: Any, position: Any) -> Any:
        if position.step == 4:
            raise InterruptedError
        return step(trainer, window, position)

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(Trainer, "_step", dies)
        train(texts, base, place, method, **{"training.checkpoint_minutes": 1e-9})
    made = tw.resume(place)
    assert any(event["kind"] == "resume" for event in read_events(place / "events.jsonl"))
    assert digest(str(made.path / "model")) == digest(str(whole.path / "model"))


def test_the_tokenizer_is_the_checkpoints_own(texts: str, base: str, tmp_path: Path) -> None:
    other = checkpoint(tmp_path / "other", tokenizer=byte_level("other words altogether", size=300))
    for name in (other, "bpe"):
        with pytest.raises(RecipeError, match="reads with the tokenizer that it was trained with"):
            train(texts, base, tmp_path / "run", **{"language.tokenizer": name})


def test_more_ids_than_the_model_knows_are_refused(texts: str, tmp_path: Path) -> None:
    name = checkpoint(tmp_path / "base", tokenizer=byte_level(size=300))
    byte_level(size=400).save_pretrained(name)
    with pytest.raises(RecipeError, match=r"gives ids up to 3\d\d, and the model knows \d+ tokens"):
        train(texts, name, tmp_path / "run")


def test_a_tokenizer_that_hides_nothing_is_refused(texts: str, tmp_path: Path) -> None:
    settings = {**SETTINGS, "model.options": {"depth": 2, "width": 32, "heads": 2}}
    other = checkpoint(tmp_path / "other")
    with pytest.raises(RecipeError, match="has no token that hides others"):
        tw.train(
            texts,
            task="masked-lm",
            budget="2 steps",
            settings=settings | {"language.tokenizer": other},
            run=tmp_path / "run",
        )
