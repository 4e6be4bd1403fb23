"""What every encoder promises for every kind of input it takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from trainwright.models.base import ENCODERS, SIZES, Encoder

CASES = [
    (name, modality)
    for name, encoder in ENCODERS.items()
    if name != "pretrained"  # it has tests of its own: it needs a checkpoint
    for modality in encoder.modalities
]
TIMED = [(name, modality) for name, modality in CASES if modality in {"text", "audio", "sequence"}]

Make = Callable[..., Encoder]
MakeInputs = Callable[..., tuple[Tensor, ...]]

every_encoder = pytest.mark.parametrize(("name", "modality"), CASES, ids=["-".join(case) for case in CASES])


def stirred(encoder: Encoder) -> Encoder:
    """Move all weights a little off their initial values, where zeros would hide what depends on them."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return encoder


def test_the_kinds_of_the_recipe_have_their_encoders() -> None:
    takes = {name: set(ENCODERS[name].modalities) for name in ENCODERS}
    assert {"mlp", "tabm", "ft_transformer"} <= {n for n, kinds in takes.items() if "table" in kinds}
    assert {"bag", "cnn", "lstm", "gru", "transformer", "pretrained"} <= {
        n for n, k in takes.items() if "text" in k
    }
    assert {"mlp", "cnn", "resnet", "vit", "pretrained"} <= {
        n for n, kinds in takes.items() if "image" in kinds
    }
    assert {"cnn", "resnet", "lstm", "transformer"} <= {n for n, kinds in takes.items() if "audio" in kinds}
    assert {"lstm", "tcn", "transformer"} <= {n for n, kinds in takes.items() if "sequence" in kinds}


@every_encoder
def test_gives_one_vector_a_member(
    name: str, modality: str, make_encoder: Make, make_inputs: MakeInputs
) -> None:
    encoder = make_encoder(name, modality)
    result = encoder(*make_inputs(modality))
    assert result.shape == (4, encoder.members, encoder.width)
    assert result.dtype == torch.float32
    assert result.isfinite().all()


@every_encoder
def test_rows_do_not_see_each_other(
    name: str, modality: str, make_encoder: Make, make_inputs: MakeInputs
) -> None:
    encoder = stirred(make_encoder(name, modality)).eval()
    inputs = make_inputs(modality)
    together = encoder(*inputs)
    for row in range(4):
        alone = tuple(part[row : row + 1] for part in inputs)
        torch.testing.assert_close(encoder(*alone), together[row : row + 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "modality"), TIMED, ids=["-".join(case) for case in TIMED])
def test_padding_changes_nothing(
    name: str, modality: str, make_encoder: Make, make_inputs: MakeInputs
) -> None:
    encoder = stirred(make_encoder(name, modality)).eval()
    values, lengths = make_inputs(modality)
    expected = encoder(values, lengths)
    longer = torch.cat([values, torch.zeros_like(values)], dim=1)
    beyond = torch.arange(longer.shape[1]) >= lengths[:, None]
    rubbish = torch.randint(1, 50, longer.shape) if modality == "text" else 1e3 * torch.randn(longer.shape)
    longer = torch.where(beyond if modality == "text" else beyond[:, :, None], rubbish, longer)
    torch.testing.assert_close(encoder(longer, lengths), expected, rtol=1e-4, atol=1e-5)
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(values[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone, expected[row : row + 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "modality"), TIMED, ids=["-".join(case) for case in TIMED])
@pytest.mark.parametrize("lengths", [(0, 7, 1, 2), (0, 0)])
def test_empty_rows_are_no_special_case(
    name: str, modality: str, lengths: tuple[int, ...], make_encoder: Make, make_inputs: MakeInputs
) -> None:
    encoder = make_encoder(name, modality)
    result = encoder(*make_inputs(modality, lengths))
    assert result.isfinite().all()
    result.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@every_encoder
def test_gradient_reaches_every_parameter(
    name: str, modality: str, make_encoder: Make, make_inputs: MakeInputs
) -> None:
    encoder = stirred(make_encoder(name, modality, dropout=0.0)).train()
    lengths = (13, 32, 8, 29, 21, 30)
    result = encoder(*make_inputs(modality, lengths))
    (result * torch.randn_like(result)).sum().backward()
    for parameter_name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@every_encoder
def test_learns_one_batch_by_heart(
    name: str, modality: str, make_encoder: Make, make_inputs: MakeInputs
) -> None:
    encoder = make_encoder(name, modality, dropout=0.0).train()
    inputs, target = make_inputs(modality, (5, 11, 8, 3, 9, 12, 7, 6)), torch.arange(8) % 2
    head = nn.Linear(encoder.width, 2)
    rate = encoder.learning_rate
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=max(rate, 3e-3))
    for _ in range(40):
        loss = nn.functional.cross_entropy(head(encoder(*inputs)).mean(dim=1), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1


@every_encoder
def test_weights_come_back_from_a_state_dict(
    name: str, modality: str, make_encoder: Make, make_inputs: MakeInputs
) -> None:
    first, second = make_encoder(name, modality).eval(), make_encoder(name, modality).eval()
    inputs = make_inputs(modality)
    assert not torch.equal(first(*inputs), second(*inputs))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(*inputs), second(*inputs))


@every_encoder
def test_a_seed_gives_the_same_weights(name: str, modality: str, make_encoder: Make) -> None:
    torch.manual_seed(3)
    first = make_encoder(name, modality).state_dict()
    torch.manual_seed(3)
    second = make_encoder(name, modality).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@every_encoder
def test_sizes_grow_and_stay_single_precision(name: str, modality: str, make_encoder: Make) -> None:
    encoders = [make_encoder(name, modality, size) for size in SIZES[:3]]
    counts = [sum(parameter.numel() for parameter in encoder.parameters()) for encoder in encoders]
    assert counts == sorted(set(counts))
    for value in encoders[0].state_dict().values():
        assert value.dtype in {torch.float32, torch.int64}


@every_encoder
def test_dropout_only_in_training(
    name: str, modality: str, make_encoder: Make, make_inputs: MakeInputs
) -> None:
    encoder, inputs = stirred(make_encoder(name, modality, dropout=0.5)), make_inputs(modality)
    encoder.train()
    assert not torch.equal(encoder(*inputs), encoder(*inputs))
    encoder.eval()
    assert torch.equal(encoder(*inputs), encoder(*inputs))


@every_encoder
@pytest.mark.parametrize("scheme", ["xavier", "he", "truncated_normal", "orthogonal"])
def test_takes_every_initialisation(name: str, modality: str, scheme: str, make_encoder: Make) -> None:
    encoder = make_encoder(name, modality, initialisation=scheme)
    assert all(parameter.isfinite().all() for parameter in encoder.parameters())


def test_models_do_without_torchs_compiler() -> None:
    """Importing it costs more than a second; transformers' own models do, so `pretrained` is left out."""
    program = """
import sys, torch
from trainwright.models.defaults import GroupSpec
from trainwright.models.multimodal import MultimodalModel
from trainwright.recipe.recipe import ModelSettings
spec = {"dense": 2, "index": [3], "bins": [[0.0, 1.0], None]}
groups = {"table": GroupSpec("table", "table", spec), "t": GroupSpec("t", "text", {"vocabulary": 9})}
model = MultimodalModel.build(groups, {"y": 1}, ModelSettings(size="tiny"), {})
batch = {"table.dense": torch.randn(2, 2), "table.index": torch.ones(2, 1, dtype=torch.int64),
         "t.tokens": torch.ones(2, 3, dtype=torch.int64), "t.tokens.lengths": torch.tensor([3, 1])}
model(batch)["y"].sum().backward()
assert not {"torch._dynamo", "transformers", "sklearn"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
