"""Models with an encoder and a decoder: the library's own loss, gradients and texts, by our own path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pair_checkpoints import KINDS, LAYERS, WIDTH, checkpoint, model
from torch.nn.utils.rnn import pad_sequence

from trainwright.data.token_store import Tokens
from trainwright.foundation.checkpoints import has_encoder_and_decoder
from trainwright.foundation.errors import RecipeError, UserError
from trainwright.models.language.checkpoint import load_checkpoint, trained_context
from trainwright.models.language.encoder_decoder import EncoderDecoder
from trainwright.models.language.generation import Sampling, generate
from trainwright.models.language.slivers import EncoderDecoderSliver
from trainwright.recipe.recipe import TuningSettings
from trainwright.tasks.language import LANGUAGE_TASKS, LanguageTask, Reading
from trainwright.tasks.preference import log_probabilities

END = 1
SOURCES = [[7, 8, 9, END], [20, 21, 22, 23, 24, 25, END], [30, END]]
TARGETS = [[40, 41, END], [50, END], [60, 61, 62, 63, END]]
METHODS = ["lora", "dora", "rslora", "ia3", "adapter", "prompt", "prefix"]


def task(
    sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], context: int = 64
) -> LanguageTask:
    rows = [[*source, *target] for source, target in zip(sources, targets, strict=True)]
    trained = [[0] * len(s) + [1] * len(t) for s, t in zip(sources, targets, strict=True)]
    nothing = np.zeros(len(rows), dtype=np.int64)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    flags = np.concatenate(trained).astype(np.uint8)
    ids = np.concatenate(rows).astype(np.uint16)
    reading = Reading(context=context, long="truncate", seed=3, vocabulary=320, special=frozenset({END}))
    return LANGUAGE_TASKS["encoder-decoder"](Tokens(ids, flags, offsets, nothing, nothing, nothing), reading)


def padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=fill)


def theirs(network: Any, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Any:
    """Return what the library makes of some pairs."""
    ids, labels = padded(sources, network.config.pad_token_id), padded(targets, -100)
    mask = padded([[1] * len(row) for row in sources], 0)
    return network(input_ids=ids, attention_mask=mask, labels=labels)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_the_librarys(kind: str) -> None:
    expected = model(kind)
    loss = theirs(expected, SOURCES, TARGETS).loss
    loss.backward()
    network = EncoderDecoder(model(kind)).eval()
    assert network.output() is not None  # logits of places that are not learned are never made
    learned = task(SOURCES, TARGETS)
    batches = learned.batches(np.arange(3), budget=1000, training=False)
    assert len(batches.plan(0)) == 1
    found = learned(network, batches.batch(batches.plan(0)[0]))
    assert float(found.count) == sum(map(len, TARGETS))
    mean = found.sum / found.count
    assert float(mean.detach()) == pytest.approx(float(loss.detach()), abs=1e-5)
    mean.backward()
    gradients = {name: p.grad for name, p in expected.named_parameters()}
    for name, parameter in network.model.named_parameters():
        if gradients[name] is None:  # tables of sines
            assert parameter.grad is None
            continue
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=1e-4, msg=name)
    # And alone each has the loss that it has beside the others.
    with torch.no_grad():
        alone = [learned(network, batches.batch(np.array([row]))) for row in range(3)]
    assert sum(float(one.sum) for one in alone) == pytest.approx(float(found.sum.detach()), rel=1e-5)


def test_an_output_that_is_more_than_a_layer_is_left_to_the_model() -> None:
    class Capped(type(model("t5"))):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            found = super().forward(*args, **kwargs)
            found.logits = found.logits.tanh()
            return found

    inner = model("t5")
    inner.__class__ = Capped
    network = EncoderDecoder(inner).eval()
    assert network.output() is None
    learned = task(SOURCES, TARGETS)
    with torch.no_grad():
        found = learned(network, learned.batches(np.arange(3), budget=99, training=False).batch(np.arange(3)))
        logits = theirs(inner, SOURCES, TARGETS).logits
    told = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), padded(TARGETS, -100).flatten(), reduction="sum"
    )
    assert float(found.sum) == pytest.approx(float(told), rel=1e-5)


def test_an_architecture_that_is_not_understood_is_refused() -> None:
    class Odd(type(model("t5"))):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            found = super().forward(*args, **kwargs)
            if kwargs.get("encoder_outputs") is not None:
                found.logits = found.logits + 1
            return found

    inner = model("t5")
    inner.__class__ = Odd
    with pytest.raises(RecipeError, match="Odd is not read here as transformers reads it"):
        # The output layer by itself gives other logits, and so does the model.
        inner.lm_head = torch.nn.Sequential(inner.lm_head)
        EncoderDecoder(inner)


@pytest.mark.parametrize("kind", ["mbart", "prophetnet"])
def test_targets_that_are_read_in_another_way_are_refused(kind: str) -> None:
    """mBART's begin with their language; ProphetNet tells several tokens at once."""
    import transformers as hf

    if kind == "mbart":
        inner: Any = hf.MBartForConditionalGeneration(
            hf.MBartConfig(
                vocab_size=90,
                d_model=32,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=4,
                decoder_attention_heads=4,
                encoder_ffn_dim=48,
                decoder_ffn_dim=48,
                decoder_start_token_id=5,
            )
        )
    else:
        inner = hf.ProphetNetForConditionalGeneration(
            hf.ProphetNetConfig(
                vocab_size=90,
                hidden_size=32,
                encoder_ffn_dim=48,
                decoder_ffn_dim=48,
                num_encoder_layers=1,
                num_decoder_layers=1,
                num_encoder_attention_heads=4,
                num_decoder_attention_heads=4,
                decoder_start_token_id=0,
            )
        )
    with pytest.raises(RecipeError, match="is not read here as transformers reads it"):
        EncoderDecoder(inner.eval())


def texts(network: EncoderDecoder, prompts: Sequence[Sequence[int]], *, cached: bool, most: int = 12) -> Any:
    found: list[list[int]] = [[] for _ in prompts]
    ids = [np.array(prompt, dtype=np.int32) for prompt in prompts]
    stops = frozenset({END, network.model.config.eos_token_id})
    for tokens in generate(network, ids, Sampling(max_tokens=most), stops=stops, cached=cached):
        for row, token in zip(found, tokens, strict=True):
            if token is not None:
                row.append(token)
    return found


@pytest.mark.parametrize("forced", [None, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_the_librarys(kind: str, forced: int | None) -> None:
    inner = model(kind)
    inner.generation_config.forced_bos_token_id = forced
    stop = inner.config.eos_token_id
    with torch.no_grad():  # make the end likely enough that some texts end early
        inner.get_output_embeddings().weight[stop] *= 2
    network = EncoderDecoder(inner).eval()
    found = texts(network, SOURCES, cached=True)
    assert found == texts(network, SOURCES, cached=False)
    for source, text in zip(SOURCES, found, strict=True):
        assert text == texts(network, [source], cached=True)[0]
        ids = inner.generate(
            torch.tensor([source]),
            attention_mask=torch.ones(1, len(source), dtype=torch.int64),
            do_sample=False,
            num_beams=1,
            max_new_tokens=12 + (forced is not None),
        )[0].tolist()
        assert ids[1 + (forced is not None) :][: len(text)] == text
        assert len(text) == 12 or text[-1] in {stop, END}


def test_the_encoder_reads_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = EncoderDecoder(model("t5")).eval()
    calls = []
    forward = network.model.encoder.forward
    monkeypatch.setattr(
        network.model.encoder, "forward", lambda *args, **words: calls.append(1) or forward(*args, **words)
    )
    assert len(texts(network, SOURCES, cached=True)[0]) > 3
    assert len(calls) == 1


def test_contexts(tmp_path: Path) -> None:
    bart = EncoderDecoder(model("bart", context=16)).eval()
    assert bart.context == 16
    with pytest.raises(UserError, match="the text has 17 tokens, and the model reads at most 16"):
        texts(bart, [list(range(10, 27))], cached=True)
    bart.model.final_logits_bias[0, [END, 2]] = -1e9  # it never ends by itself
    assert len(texts(bart, [[7, 8, 2]], cached=True, most=100)[0]) == 16
    assert texts(bart, [[7, 8, 2]], cached=True, most=100) == texts(bart, [[7, 8, 2]], cached=False, most=100)
    # T5 has no limit: what it was trained on is said by its configuration, or its tokenizer.
    name = checkpoint(tmp_path, "t5")
    t5 = load_checkpoint(name, "sequence-to-sequence")
    assert has_encoder_and_decoder(name)
    assert EncoderDecoder(t5).context is None
    assert trained_context(name, t5) is None
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"model_max_length": 99}))
    assert trained_context(name, t5) == 99
    t5.config.n_positions = 512
    assert trained_context(name, t5) == 512


def test_long_sources_and_targets_are_cut_each_by_itself() -> None:
    learned = task([[*range(10, 30), END], [5, END]], [[40, END], list(range(40, 60))], context=8)
    assert learned.num_long(np.arange(2)) == 2
    batches = learned.batches(np.arange(2), budget=100, training=False)
    assert batches.size(np.arange(2)) == 8 + 2 + 2 + 8
    batch = batches.batch(np.array([0, 1]))
    # A source keeps the token that ends it; a target that is cut off does not end.
    assert batch.inputs["source"].tolist() == [[*range(10, 17), END], [5, END, 0, 0, 0, 0, 0, 0]]
    assert batch.inputs["source.lengths"].tolist() == [8, 2]
    assert batch.targets["labels"].tolist() == [40, END, *range(40, 48)]


def test_every_pair_once_and_little_filling() -> None:
    draw = np.random.default_rng(0)
    sizes = draw.integers(1, 30, (200, 2))
    learned = task([[7] * a for a, _ in sizes], [[8] * b for _, b in sizes])
    index = np.arange(20, 200)
    batches = learned.batches(index, budget=256, training=True)
    plans = [batches.plan(epoch) for epoch in (0, 0, 1)]
    assert np.array_equal(plans[0].rows, plans[1].rows)
    assert not np.array_equal(plans[0].rows, plans[2].rows)
    plan = plans[0]
    assert sorted(plan.rows.tolist()) == index.tolist()
    filled = 0
    for number in range(len(plan)):
        batch = batches.batch(plan[number])
        filled += batch.inputs["source"].numel() + batch.inputs["target"].numel()
    assert filled < 1.6 * batches.size(index)


def test_what_the_decoder_starts_with_must_be_known() -> None:
    inner = model("t5")
    inner.config.decoder_start_token_id = None
    inner.generation_config.decoder_start_token_id = None
    with pytest.raises(RecipeError, match="does not say which token its decoder starts with"):
        EncoderDecoder(inner)


def test_what_a_continuation_is_worth() -> None:
    network = EncoderDecoder(model("bart")).eval()
    before = [torch.tensor(row) for row in SOURCES]
    behind = [torch.tensor(row) for row in TARGETS]
    with torch.no_grad():
        states = network.states_of_pairs(before, behind)
        found = log_probabilities(network, states, torch.cat(behind)).split([len(row) for row in behind])
        for one, two, chances in zip(SOURCES, TARGETS, found, strict=True):
            loss = theirs(network.model, [one], [two]).loss
            assert float(chances.mean()) == pytest.approx(-float(loss), abs=1e-5)


def sliver(method: str, kind: str, **more: Any) -> EncoderDecoderSliver:
    settings = TuningSettings(method=method, rank=4, tokens=3, **more)  # type: ignore[arg-type]
    return EncoderDecoderSliver(model(kind), settings=settings).eval()


def learn(network: EncoderDecoderSliver) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.learned().values():
            parameter.add_(0.05 * torch.randn_like(parameter))


def logits(network: EncoderDecoder) -> torch.Tensor:
    with torch.no_grad():
        before, behind = ([torch.tensor(row) for row in rows] for rows in (SOURCES, TARGETS))
        return network.logits(network.states_of_pairs(before, behind))


@pytest.mark.parametrize("kind", ["t5", "bart"])
@pytest.mark.parametrize("method", METHODS)
def test_slivers(method: str, kind: str) -> None:
    network = sliver(method, kind)
    expected = logits(EncoderDecoder(model(kind)).eval())
    if method not in {"prompt", "prefix"}:
        torch.testing.assert_close(logits(network), expected, atol=1e-5, rtol=1e-5)
    learn(network)
    moved = logits(network)
    assert not torch.allclose(moved, expected, atol=1e-4)
    # What is generated with a cache is what is read without.
    assert texts(network, SOURCES, cached=True) == texts(network, SOURCES, cached=False)
    other = sliver(method, kind)
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(logits(other), moved)
    before = {name: p.clone() for name, p in network.named_parameters() if not p.requires_grad}
    network.train()
    learned = task(SOURCES, TARGETS)
    batch = learned.batches(np.arange(3), budget=99, training=False).batch(np.arange(3))
    learned(network, batch).sum.backward()
    assert all(p.grad is not None for p in network.learned().values())
    assert all(torch.equal(before[name], p) for name, p in network.named_parameters() if name in before)
    if method in {"lora", "dora", "rslora", "ia3"}:
        merged = EncoderDecoder(other.merged()).eval()
        torch.testing.assert_close(logits(merged), moved, atol=1e-5, rtol=1e-5)
    else:
        with pytest.raises(RecipeError, match=f"{method} cannot be merged"):
            other.merged()


SIZES = {"prompt": 3 * WIDTH, "prefix": 3 * LAYERS * 2 * WIDTH}


@pytest.mark.parametrize("kind", ["t5", "bart"])
@pytest.mark.parametrize("method", ["lora", "ia3", "prompt", "prefix"])
def test_peft_reads_them(method: str, kind: str, tmp_path: Path) -> None:
    from peft import PeftModel

    network = sliver(method, kind)
    learn(network)
    if method in SIZES:
        assert sum(p.numel() for p in network.learned().values()) == SIZES[method]
    network.save_adapter(tmp_path)
    adapted = PeftModel.from_pretrained(model(kind), tmp_path).eval()
    start = network.beginning[0]
    found = []
    with torch.no_grad():
        for source, target in zip(SOURCES, TARGETS, strict=True):
            ids = torch.tensor([source])
            shifted = torch.tensor([[start, *target[:-1]]])
            words = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": shifted}
            found.append(adapted(**words).logits[0])
    torch.testing.assert_close(logits(network), torch.cat(found), atol=1e-5, rtol=1e-5)


def test_virtual_tokens_leave_less_of_a_context() -> None:
    assert sliver("prompt", "bart").context == 61
    assert sliver("lora", "bart").context == 64


def test_an_encoder_that_scales_its_embeddings_takes_no_prompt() -> None:
    with pytest.raises(RecipeError, match="MarianMTModel takes no virtual tokens before its source"):
        sliver("prompt", "marian")
    assert sliver("prefix", "marian").learned()
