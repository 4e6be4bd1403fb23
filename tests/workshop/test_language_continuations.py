"""How likely a text goes on, and what it goes on with: by every kind of tokenizer, in any batch."""

from __future__ import annotations

from typing import Any

import pair_checkpoints as pairs
import pytest
import torch
from text_checkpoints import byte_fallback, byte_level, text_model, wrapped

from trainwright.foundation.errors import UserError
from trainwright.models.language.encoder_decoder import EncoderDecoder
from trainwright.models.layers.packing import packing
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.text_model import TextModel

TOKENIZERS = {"byte-level": byte_level, "byte fallback": byte_fallback}


def told(model: TextModel, ids: list[int], number: int) -> float:
    """Return the log-probability of the last tokens of a text."""
    whole = torch.tensor(ids)
    logits = model.network.logits(model.network.states(whole[:-1], packing(torch.tensor([len(ids) - 1]))))
    chances = logits.log_softmax(-1).gather(1, whole[1:, None])[:, 0]
    return float(chances[len(chances) - number :].detach().sum())


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("prompt", ["Answer:", "Answer: ", "Answer:  ", "Answer:\n", "", " "])
def test_every_choice_is_scored(kind: str, prompt: str) -> None:
    model = text_model(TOKENIZERS[kind]())
    found = model.log_probabilities(prompt, ["Paris", "fish", "bread."])
    assert all(chance < -0.5 for chance in found)
    assert len(set(found)) == 3
    # A space that stands at the end of the prompt is the one that stands before the choice.
    if prompt == "Answer:":
        assert model.log_probabilities("Answer: ", ["Paris", "fish", "bread."]) == pytest.approx(found)
        assert model.log_probabilities(prompt, ["fish"]) == pytest.approx(found[1:2], rel=1e-5)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_choice_has_the_likelihood_of_its_tokens(kind: str) -> None:
    model = text_model(TOKENIZERS[kind]())
    tokenizer = model.tokenizer
    (whole,) = tokenizer.encode(["Answer: Paris"])
    (before,) = tokenizer.encode(["Answer:"])
    assert whole[: len(before)].tolist() == before.tolist()
    expected = told(model, [tokenizer.first, *whole.tolist()], len(whole) - len(before))
    assert model.log_probabilities("Answer: ", ["Paris"])[0] == pytest.approx(expected, rel=1e-4)


def test_of_a_long_prompt_the_end_is_read() -> None:
    model = text_model(byte_level(), kind="gpt2", context=24)
    prompt = "Question: what does the red cat eat? " * 5 + "Answer:"
    (found,) = model.log_probabilities(prompt, ["fish"])
    ids = [model.tokenizer.first, *model.tokenizer.encode([f"{prompt} fish"])[0].tolist()]
    number = len(ids) - 1 - len(model.tokenizer.encode([prompt])[0])
    assert found == pytest.approx(told(model, ids[-25:], number), rel=1e-4)


def test_a_target_is_scored_behind_the_end_of_its_source() -> None:
    model = text_model(byte_level(), "sequence-to-sequence")
    tokenizer = model.tokenizer
    source, target = (ids.tolist() for ids in tokenizer.encode(["red cat", "bread"]))
    (found,) = model.log_probabilities("red cat", ["bread"])
    ids = [tokenizer.first, *source, tokenizer.end, *target]
    assert found == pytest.approx(told(model, ids, len(target)), rel=1e-4)


def test_of_a_long_source_the_beginning_is_judged() -> None:
    """As in training; the token at its end stays. What is generated from is refused."""
    recipe = Recipe.model_validate(
        {"data": "pairs.jsonl", "task": "sequence-to-sequence", "model": {"checkpoint": "nowhere"}}
    )
    tokenizer = wrapped(pairs.tokenizer("bart"))
    model = TextModel(recipe, tokenizer, EncoderDecoder(pairs.model("bart", context=24)))
    word = "red "
    fits = (24 - len(model._prompt(""))) // len(tokenizer.encode([word])[0])
    short, long = word * fits, word * 60
    assert len(model._prompt(short)) == 24
    assert model.told(short, ["cat"]).whole and not model.told(long, ["cat"]).whole
    assert model.told(short, ["cat"]).nats == pytest.approx(model.told(long, ["cat"]).nats)
    found = model.answers([short, long], max_tokens=5)
    assert found[0].text == found[1].text
    assert [one.whole for one in found] == [True, False]
    with pytest.raises(UserError, match="the model reads at most 24"):
        model.generate(long)


def test_a_masked_model_is_not_asked_how_a_text_goes_on() -> None:
    model = text_model(byte_level(masked=True), "masked-lm", kind="roberta")
    with pytest.raises(UserError, match="a masked model does not say how likely"):
        model.log_probabilities("Answer:", ["Paris", "fish"])


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("more", [{}, {"temperature": 1.0, "seed": 3, "top_p": 0.9}])
def test_a_text_of_a_batch_does_not_depend_on_the_others(kind: str, more: dict[str, Any]) -> None:
    model = text_model(TOKENIZERS[kind]())
    prompts = ["the red cat", "a", "Answer: fish, and"]
    together = model.generate(prompts, max_tokens=24, **more)
    assert together == [model.generate(prompt, max_tokens=24, **more) for prompt in prompts]
    assert together == ["".join(model.stream(prompt, max_tokens=24, **more)) for prompt in prompts]
    assert model.generate([]) == []
    # It is what the tokens behind the prompt make of its text.
    assert all(together)


def test_a_text_that_ends_does_not_keep_the_others_waiting() -> None:
    model = text_model(byte_level())
    longest = model.generate(["the red cat", "bread"], max_tokens=30)
    stop = longest[0][2:5]
    found = model.generate(["the red cat", "bread"], max_tokens=30, stop=[stop])
    assert found == [text.split(stop)[0] for text in longest]
