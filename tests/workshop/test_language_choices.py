"""What a language model's run chooses by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import trainwright as tw
from trainwright.foundation.errors import RecipeError
from trainwright.models.language.pretrained import Pretrained
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.language_choices import depth_for, rate_for


def recipe(budget: str | None = None) -> Recipe:
    training = {} if budget is None else {"budget": budget}
    return Recipe.model_validate({"data": "texts", "task": "causal-lm", "training": training})


def parameters(depth: int) -> int:
    return 12 * depth * (64 * depth) ** 2


def depth(budget: str | None, *, tokens: int = 10**9, device: str = "cpu", devices: int = 1) -> int:
    return depth_for(
        recipe(budget),
        parameters,
        tokens=tokens,
        batch_tokens=1_024,
        device=torch.device(device),
        devices=devices,
    )


def test_more_time_teaches_a_deeper_model() -> None:
    depths = [depth(budget) for budget in ("1m", "10h", "1000h", "100000h")]
    assert depths[0] == 2
    assert depths == sorted(set(depths))
    assert depth(None, device="cuda") > depth(None)
    assert depth("2h", device="cuda", devices=8) > depth("2h", device="cuda")


@pytest.mark.parametrize("budget", ["3e8 tokens", "0.3 epochs", "292969 steps"])
def test_budgets_of_one_size_teach_one_depth(budget: str) -> None:
    found = depth(budget)
    assert 10 * parameters(found) <= 3e8 < 10 * parameters(found + 1)


def test_a_step_has_the_same_tokens_however_many_share_it_out() -> None:
    assert depth("292969 steps", devices=4) == depth("292969 steps")


def rate(width: int, task: str = "chat", method: str = "full") -> float:
    asked = {"data": "chats", "task": task, "model": {"checkpoint": "base"}, "tuning": {"method": method}}
    config = LlamaConfig(
        vocab_size=16, hidden_size=width, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    return rate_for(Recipe.model_validate(asked), Pretrained(LlamaForCausalLM(config), causal=True))


def test_the_rate_of_a_checkpoint_falls_with_its_width() -> None:
    assert rate(2_000) == pytest.approx(5e-5)
    assert rate(576, method="lora") == pytest.approx(5e-4 * (2_000 / 576) ** 0.8)
    assert rate(576) > rate(1_152)
    assert rate(16) == 1e-3
    assert rate(16, method="lora") == 2e-3
    assert rate(576, method="ia3") == rate(64, method="ia3")


@pytest.mark.parametrize("method", ["full", "lora"])
def test_preferences_are_learned_more_slowly(method: str) -> None:
    assert rate(128, "preference", method) == pytest.approx(rate(128, method=method) / 20)


def test_few_texts_teach_no_deep_model() -> None:
    found = depth("100000h", tokens=10**6)
    assert parameters(found) <= 4 * 10**6 < parameters(found + 1)


def test_a_run_without_a_size_says_the_depth_and_one_with_a_size_keeps_it(tmp_path: Path) -> None:
    texts = {"text": [f"The {n}th line says that {n} and {n + 1} follow each other." for n in range(200)]}
    run = tw.train(texts, task="causal-lm", budget="2 steps", run=tmp_path / "auto")
    assert run.recipe.model.size is None
    assert run.recipe.model.options == {"depth": 2}
    assert "The model has 2 layers" in (run.path / "data.json").read_text()
    sized = tw.train(
        texts, task="causal-lm", budget="2 steps", settings={"model.size": "tiny"}, run=tmp_path / "sized"
    )
    assert sized.recipe.model.options == {}
    assert sized.model.network.shape == (4, 256)


def test_depths_that_do_not_fit_the_other_options_are_passed_over(tmp_path: Path) -> None:
    """Five heads divide the width of 64 for each layer at 5, 10, … layers."""
    texts = {"text": [f"The {n}th line says that {n} and {n + 1} follow each other." for n in range(200)]}
    settings = {"model.options": {"heads": 5}, "evaluation.sample_tokens": 0}
    run = tw.train(texts, task="causal-lm", budget="1 steps", settings=settings, run=tmp_path / "run")
    assert run.recipe.model.options == {"heads": 5, "depth": 5}
    with pytest.raises(RecipeError, match="there is no key 'head'"):
        tw.train(texts, task="causal-lm", settings={"model.options": {"head": 5}}, run=tmp_path / "wrong")
