"""Muon on hidden matrices, AdamW on the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trainwright.recipe.recipe import ModelSettings
from trainwright.training.muon import orthogonal
from trainwright.training.optimizers import OPTIMIZERS, ParameterGroup


def test_singular_values_come_close_to_one() -> None:
    for shape in ((3, 8, 8), (2, 5, 20), (2, 20, 5)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.3 and values.max() < 1.3
    assert not orthogonal(torch.zeros(1, 3, 3)).any()


def steps(net: nn.Module, take: int, each: object) -> None:
    torch.manual_seed(1)
    inputs = torch.randn(64, 6)
    targets = inputs[:, :1] * inputs[:, 1:2]
    for _ in range(take):
        (net(inputs) - targets).square().mean().backward()
        each()  # type: ignore[operator]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))


def test_it_steps_as_torchs_own_does() -> None:
    mine, theirs = net(), net()
    rule = OPTIMIZERS["muon"](
        [ParameterGroup(dict(mine.named_parameters()), 0.1, 0.5, hidden=frozenset({"0.weight", "2.weight"}))],
        momentum=0.95,
    )
    hidden = [theirs[0].weight, theirs[2].weight]
    others = [p for p in theirs.parameters() if all(p is not q for q in hidden)]
    muon = torch.optim.Muon(hidden, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")  # type: ignore[arg-type]
    adamw = torch.optim.AdamW(others, lr=0.01, weight_decay=0.1)

    def own() -> None:
        rule.step(0.02)  # half of it, by the group's scale
        rule.zero_grad()

    def torchs() -> None:
        for optimizer in (muon, adamw):
            optimizer.step()
        theirs.zero_grad()

    start = [p.detach().clone() for p in mine.parameters()]
    steps(mine, 10, own)
    steps(theirs, 10, torchs)
    for before, one, other in zip(start, mine.parameters(), theirs.parameters(), strict=True):
        # torch iterates in bfloat16 on a CPU as well
        assert (one - other).norm() < 0.05 * (one - before).norm() + 1e-4


def test_a_step_to_be_skipped_leaves_everything() -> None:
    mine = net()
    rule = OPTIMIZERS["muon"]([ParameterGroup(dict(mine.named_parameters()), hidden=frozenset({"2.weight"}))])
    steps(mine, 2, lambda: (rule.step(0.01), rule.zero_grad()))
    weights = copy.deepcopy(mine.state_dict())
    state = {name: tensor.clone() for name, tensor in rule.tensors().items()}
    for parameter in mine.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    rule.step(0.01, skip=torch.ones(()))
    assert all(torch.equal(weights[name], tensor) for name, tensor in mine.state_dict().items())
    assert all(torch.equal(state[name], tensor) for name, tensor in rule.tensors().items())


def test_hidden_matrices_keep_no_adam_state() -> None:
    mine = net()
    rule = OPTIMIZERS["muon"]([ParameterGroup(dict(mine.named_parameters()), hidden=frozenset({"2.weight"}))])
    steps(mine, 1, lambda: (rule.step(0.01), rule.zero_grad()))
    assert "velocity/2.weight" in rule.tensors() and "mean/2.weight" not in rule.tensors()
    assert "mean/0.weight" in rule.tensors() and "velocity/0.weight" not in rule.tensors()


KINDS = {
    ("mlp", "table"): (2, 2),  # two layers; nothing else is a matrix between layers
    ("tabm", "table"): (2, 2),
    ("ft_transformer", "table"): (4, 2),
    ("resnet", "image"): (9, 4),
    ("vit", "image"): (9, 4),
    ("lstm", "sequence"): (5, 2),
}
"""Encoder and kind of input → how many hidden matrices there are, and the most axes one of them has."""


@pytest.mark.parametrize(("encoder", "modality"), list(KINDS))
def test_what_is_hidden_is_known_from_outside(encoder: str, modality: str) -> None:
    from trainwright.models.defaults import GroupSpec
    from trainwright.models.multimodal import MultimodalModel
    from trainwright.workshop.assemble import parameter_groups

    specs = {
        "table": {"dense": 3, "index": [5, 40], "bins": [None] * 3, "periodic": [False] * 3},
        "image": {"channels": 3, "height": 16, "width": 16, "mean": [0.5] * 3, "std": [0.2] * 3},
        "sequence": {"width": 3, "max_length": 9},
    }
    groups = {"it": GroupSpec("it", modality, specs[modality])}
    settings = ModelSettings(name=encoder, size="tiny")
    model = MultimodalModel.build(groups, {"y": 2}, settings, {})
    found = parameter_groups(model, 0.1)
    hidden = {name: p for group in found for name, p in group.params.items() if name in group.hidden}
    assert all(name.startswith("encoders.") for name in hidden)
    assert (len(hidden), max((p.dim() for p in hidden.values()), default=2)) == KINDS[encoder, modality]
    tables = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)}
    assert not any(id(parameter) in tables for parameter in hidden.values())


def test_kernels_are_flattened() -> None:
    torch.manual_seed(0)
    kernel, flat = nn.Parameter(torch.randn(4, 3, 3, 3)), nn.Parameter(torch.empty(4, 27))
    flat.data.copy_(kernel.data.flatten(1))
    gradient = torch.randn_like(kernel)
    kernel.grad, flat.grad = gradient, gradient.flatten(1)
    for parameter in (kernel, flat):
        rule = OPTIMIZERS["muon"]([ParameterGroup({"w": parameter}, 0.1, hidden=frozenset({"w"}))])
        rule.step(0.1)
    torch.testing.assert_close(kernel.flatten(1), flat)


def test_loss_falls_further_than_adamws_at_the_rates_of_a_recipe() -> None:
    from trainwright.workshop.choices import RATE_FACTORS

    def ends(name: str, seed: int) -> float:
        torch.manual_seed(seed)
        layers = [nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1)]
        model, inputs = nn.Sequential(*layers), torch.randn(512, 6)
        target = (inputs[:, :1] * inputs[:, 1:2]).sin() + inputs[:, 2:3].abs()
        groups = [ParameterGroup(dict(model.named_parameters()), hidden=frozenset({"0.weight", "2.weight"}))]
        rule = OPTIMIZERS[name](groups, momentum=0.95)
        for step in range(300):
            rows = torch.randint(512, (64,))
            loss = (model(inputs[rows]) - target[rows]).square().mean()
            loss.backward()
            rule.step(0.003 * RATE_FACTORS[name] * (1 - step / 300))
            rule.zero_grad()
        return float((model(inputs) - target).square().mean().detach())

    assert ends("muon", 0) < ends("adamw", 0)
