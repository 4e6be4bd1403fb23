"""Losses: against torch by hand, additive over any partition of the rows, blind to missing targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from trainwright.tasks.base import TASKS, Task

WEIGHTS = [0.5, 1.0, 3.0, 2.0]


def make(name: str, *, weighted: bool = False) -> Task:
    if name == "regression":
        return TASKS[name]("y", {"mean": 10.0, "std": 2.0})
    classes = {"binary": 2, "multiclass": 4, "ordinal": 4, "multilabel": 4}[name]
    spec = {"classes": [f"c{index}" for index in range(classes)], "counts": list(range(5, 5 + classes))}
    return TASKS[name]("y", spec, class_weights=WEIGHTS[:classes] if weighted else None)


def target_of(name: str, rows: int, generator: torch.Generator, missing: float = 0.2) -> torch.Tensor:
    gone = torch.rand(rows, generator=generator) < missing
    if name == "regression":
        return torch.randn(rows, generator=generator).masked_fill(gone, torch.nan)
    if name == "multilabel":
        hot = (torch.rand(rows, 4, generator=generator) < 0.4).float()
        return hot.masked_fill(gone[:, None], torch.nan)
    classes = 2 if name == "binary" else 4
    return torch.randint(classes, (rows,), generator=generator).masked_fill(gone, -1)


def example(name: str, rows: int = 17, members: int = 3, *, seed: int = 0, weighted: bool = False):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed)
    task = make(name, weighted=weighted)
    outputs = 2 * torch.randn(rows, members, task.outputs, generator=generator, dtype=torch.float64)
    return task, outputs, target_of(name, rows, generator)


NAMES = sorted(TASKS)


def test_every_task_of_the_design_is_registered() -> None:
    assert {"binary", "multiclass", "multilabel", "regression", "ordinal"} <= set(NAMES)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 1000),
    cut=st.integers(0, 17),
    smoothing=st.sampled_from([0.0, 0.1]),
    weighted=st.booleans(),
)
def test_sum_and_count_add_up_over_any_partition(
    name: str, seed: int, cut: int, smoothing: float, weighted: bool
) -> None:
    task, outputs, target = example(name, seed=seed, weighted=weighted and name != "regression")
    whole = task.loss(outputs, target, smoothing=smoothing)
    parts = [
        task.loss(outputs[part], target[part], smoothing=smoothing) for part in (slice(cut), slice(cut, None))
    ]
    torch.testing.assert_close(parts[0].sum + parts[1].sum, whole.sum)
    torch.testing.assert_close(parts[0].count + parts[1].count, whole.count)
    torch.testing.assert_close(task.count(target).double(), whole.count.double())


@pytest.mark.parametrize("name", NAMES)
def test_missing_targets_have_no_weight_and_no_gradient(name: str) -> None:
    task, outputs, target = example(name)
    outputs.requires_grad_()
    known = ~target.isnan() if target.is_floating_point() else target >= 0
    known = known.all(dim=1) if known.ndim == 2 else known
    loss = task.loss(outputs, target)
    loss.sum.backward()
    assert 0 < known.sum() < len(known)
    assert loss.count.item() == known.sum().item()
    assert outputs.grad is not None
    assert (outputs.grad[~known] == 0).all()
    assert (outputs.grad[known].flatten(1) != 0).any(dim=1).all()
    torch.testing.assert_close(task.loss(outputs[known], target[known]).sum, loss.sum)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_targets_weighs_nothing(name: str) -> None:
    task, outputs, target = example(name)
    target = torch.full_like(target, torch.nan if target.is_floating_point() else -1)
    loss = task.loss(outputs, target)
    assert (loss.sum.item(), loss.count.item()) == (0.0, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_a_row_is_the_mean_over_members(name: str) -> None:
    task, outputs, target = example(name)
    single = [task.loss(outputs[:, [member]], target).sum for member in range(3)]
    torch.testing.assert_close(task.loss(outputs, target).sum, torch.stack(single).mean())


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_outputs_are_summed_in_full(name: str) -> None:
    task, outputs, target = example(name)
    half = outputs.to(torch.bfloat16)
    loss = task.loss(half, target)
    assert loss.sum.dtype == torch.float32
    torch.testing.assert_close(loss.sum, task.loss(half.float(), target).sum)


# By hand and against torch.


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_multiclass_is_cross_entropy(smoothing: float, weighted: bool) -> None:
    task, outputs, target = example("multiclass", members=1, weighted=weighted)
    known = target >= 0
    losses = F.cross_entropy(outputs[known, 0], target[known], reduction="none", label_smoothing=smoothing)
    weights = (
        torch.tensor(WEIGHTS)[target[known]].double() if weighted else torch.ones(int(known.sum())).double()
    )
    loss = task.loss(outputs, target, smoothing=smoothing)
    torch.testing.assert_close(loss.sum, (weights * losses).sum())
    torch.testing.assert_close(loss.count, weights.sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_is_binary_cross_entropy(smoothing: float) -> None:
    task, outputs, target = example("binary", members=1)
    known = target >= 0
    wanted = target[known].double() * (1 - smoothing) + smoothing / 2
    expected = F.binary_cross_entropy_with_logits(outputs[known, 0, 0], wanted, reduction="sum")
    torch.testing.assert_close(task.loss(outputs, target, smoothing=smoothing).sum, expected)


def test_multilabel_is_the_mean_over_labels() -> None:
    task, outputs, target = example("multilabel", members=1)
    known = ~target.isnan().any(dim=1)
    losses = F.binary_cross_entropy_with_logits(outputs[known, 0], target[known].double(), reduction="none")
    torch.testing.assert_close(task.loss(outputs, target).sum, losses.mean(dim=1).sum())
    weighted = make("multilabel", weighted=True)
    weights = torch.tensor(WEIGHTS).double()
    torch.testing.assert_close(weighted.loss(outputs, target).sum, (losses @ (weights / weights.sum())).sum())


def test_ordinal_is_the_likelihood_of_a_chain_of_questions() -> None:
    task = make("ordinal")
    outputs = torch.tensor([[[1.0, -0.5, 2.0]]])
    first, second, third = torch.sigmoid(outputs[0, 0])
    expected = [1 - first, first * (1 - second), first * second * (1 - third), first * second * third]
    torch.testing.assert_close(task.scores(outputs)[0], torch.stack(expected))
    for index, probability in enumerate(expected):
        loss = task.loss(outputs, torch.tensor([index]))
        torch.testing.assert_close(loss.sum, -probability.log())


def test_soft_targets_of_whole_classes_are_hard_targets() -> None:
    for name in ("binary", "multiclass", "ordinal"):
        task, outputs, target = example(name, weighted=True)
        soft = F.one_hot(target.clamp(min=0), len(task.classes or ())).float()
        soft[target < 0] = torch.nan
        for smoothing in (0.0, 0.1):
            hard, mixed = (task.loss(outputs, wanted, smoothing=smoothing) for wanted in (target, soft))
            torch.testing.assert_close(mixed.sum, hard.sum)
            torch.testing.assert_close(mixed.count, hard.count)


def test_a_mixed_target_costs_the_mixture() -> None:
    task, outputs, _ = example("multiclass", rows=1)
    one, other = (task.loss(outputs, torch.tensor([index])).sum for index in (0, 2))
    mixed = task.loss(outputs, torch.tensor([[0.3, 0.0, 0.7, 0.0]])).sum
    torch.testing.assert_close(mixed, 0.3 * one + 0.7 * other)


def test_regression_is_squared_error_of_the_value_and_pinball_loss_of_the_ends() -> None:
    task = make("regression")
    outputs = torch.tensor([[[0.5, 0.0, 1.0]]], dtype=torch.float64)
    below, above = (F.softplus(outputs[0, 0, index]) + 1e-3 for index in (1, 2))
    for truth in (-2.0, 0.4, 3.0):
        error = truth - 0.5
        low, high = error + below, error - above
        pinball = torch.maximum(0.05 * low, -0.95 * low) + torch.maximum(0.95 * high, -0.05 * high)
        loss = task.loss(outputs, torch.tensor([truth], dtype=torch.float64))
        torch.testing.assert_close(loss.sum, error**2 + 0.3 * pinball)


def test_the_ends_of_an_interval_do_not_pull_on_the_value() -> None:
    task = make("regression")
    outputs = torch.tensor([[[0.5, 0.0, 1.0]]], requires_grad=True)
    task.loss(outputs, torch.tensor([2.0])).sum.backward()
    assert outputs.grad is not None
    torch.testing.assert_close(outputs.grad[0, 0, 0], torch.tensor(2 * (0.5 - 2.0)))


def test_huber_grows_linearly_far_away() -> None:
    task = TASKS["regression"]("y", {"mean": 0.0, "std": 1.0, "loss": "huber"})
    outputs = torch.zeros(1, 1, 3, requires_grad=True)
    task.loss(outputs, torch.tensor([50.0])).sum.backward()
    assert outputs.grad is not None
    assert outputs.grad[0, 0, 0].item() == pytest.approx(-1.0)


# Where a model starts.


@pytest.mark.parametrize("name", ["binary", "multiclass", "ordinal"])
def test_the_initial_bias_gives_the_base_rates(name: str) -> None:
    counts = np.array([70.0, 20.0, 9.0, 400.0])[: 2 if name == "binary" else 4]
    task = TASKS[name]("y", {"classes": list("abcd")[: len(counts)], "counts": counts.tolist()})
    bias = task.initial_bias()
    assert bias is not None
    assert (bias.dtype, bias.shape) == (np.float32, (task.outputs,))
    scores = task.scores(torch.from_numpy(bias)[None, None])[0].numpy()
    np.testing.assert_allclose(scores, (counts + 1) / (counts + 1).sum(), rtol=1e-5)


def test_the_initial_bias_of_balanced_weights_is_even() -> None:
    counts = [90, 10]
    weights = [100 / 2 / count for count in counts]
    task = TASKS["binary"]("y", {"classes": ["a", "b"], "counts": counts}, class_weights=weights)
    assert abs(float(task.initial_bias()[0])) < 0.1  # type: ignore[index]


def test_the_initial_interval_is_that_of_a_normal_distribution() -> None:
    task = make("regression")
    scores = task.scores(torch.from_numpy(task.initial_bias())[None, None])[0]  # type: ignore[arg-type]
    torch.testing.assert_close(
        scores, torch.tensor([10.0, 10 - 2 * 1.6459, 10 + 2 * 1.6459]), rtol=1e-4, atol=1e-3
    )


def test_the_initial_bias_of_labels() -> None:
    task = TASKS["multilabel"]("y", {"classes": ["a", "b"], "counts": [9, 49], "rows": 100})
    scores = task.scores(torch.from_numpy(task.initial_bias())[None, None])[0]  # type: ignore[arg-type]
    torch.testing.assert_close(scores, torch.tensor([0.1, 0.5]), atol=0.01, rtol=0)


# One batch is learned by heart.


@pytest.mark.parametrize("name", NAMES)
def test_a_linear_model_learns_one_batch_by_heart(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    task = make(name)
    inputs = torch.randn(12, 16, generator=generator)
    target = target_of(name, 12, generator, missing=0.0)
    head = torch.nn.Linear(16, 2 * task.outputs)
    first = last = 0.0
    for step in range(1000):
        loss = task.loss(head(inputs).view(12, 2, task.outputs), target)
        last = float((loss.sum / loss.count).detach())
        first = first or last
        loss.sum.backward()
        with torch.no_grad():
            for parameter in head.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.05 * (1 - step / 1000) * parameter.grad)
        head.zero_grad()
    assert last < 0.2 * first
    scores = task.scores(head(inputs).view(12, 2, task.outputs)).detach().numpy()
    decided, truth = task.decide(scores), task.truth(target.numpy())
    if name == "regression":
        np.testing.assert_allclose(decided, truth, atol=0.5)
    else:
        np.testing.assert_array_equal(decided, truth)
