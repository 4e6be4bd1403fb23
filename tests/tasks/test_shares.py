"""Views of the inputs: how much each counts, and what a model is chosen by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainwright.foundation.errors import ModelFolderError
from trainwright.tasks.base import TASKS, Task
from trainwright.tasks.shares import fit_shares, log_loss, squared

SPEC = {"classes": ["a", "b", "c"], "counts": [1, 1, 1], "rows": 3, "mean": 10.0, "std": 2.0}
ROWS = 400


def task_of(name: str) -> Task:
    spec = SPEC | {"classes": SPEC["classes"][:2], "counts": [1, 1]} if name == "binary" else SPEC
    return TASKS[name]("y", spec)


def targets_of(task: Task) -> Any:
    random = np.random.default_rng(0)
    if task.name == "regression":
        return random.normal(size=ROWS).astype(np.float32)
    if task.name == "multilabel":
        return (random.random((ROWS, 3)) < 0.4).astype(np.float32)
    return random.integers(0, len(task.classes or ()), ROWS)


def outputs_like(task: Task, target: Any, sureness: float) -> torch.Tensor:
    """Return outputs [rows, 1, outputs] that know the target as well as `sureness` says."""
    torch.manual_seed(1)
    noise = torch.randn(ROWS, 1, task.outputs)
    known = torch.from_numpy(np.asarray(target, dtype=np.float32))
    if task.name == "regression":
        told = torch.stack([known / 2, torch.zeros(ROWS), torch.zeros(ROWS)], dim=1)
    elif task.name == "multilabel":
        told = 2 * known - 1
    elif task.name == "multiclass":
        told = torch.nn.functional.one_hot(known.long(), 3).float()
    else:  # binary and ordinal: logits of being beyond a class
        told = 2 * (known[:, None] > torch.arange(task.outputs)).float() - 1
    return sureness * 2 * told.unsqueeze(1) + (1 - sureness) * noise


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_view_that_learned_nothing_is_not_heard(name: str) -> None:
    task = task_of(name)
    target = targets_of(task)
    outputs = torch.cat([outputs_like(task, target, s).expand(-1, 4, -1) for s in (0.0, 1.0, 0.1)], dim=1)
    alone = task.view_scores(outputs, 3).numpy()
    assert alone.shape[:2] == (ROWS, 3)
    equally = task.skill(task.scores(outputs).numpy(), target)
    task.fit_shares(alone, target)
    assert task.shares_[1] >= 0.9
    np.testing.assert_allclose(
        task.scores(outputs).numpy(), np.einsum("rvs,v->rs", alone, task.shares_), rtol=2e-4
    )
    assert task.skill(task.scores(outputs).numpy(), target) > equally


@pytest.mark.parametrize("name", sorted(TASKS))
def test_skill_is_1_for_what_is_right_and_0_for_what_says_nothing(name: str) -> None:
    task = task_of(name)
    target = targets_of(task)
    right = task.scores((1 if name == "regression" else 100) * outputs_like(task, target, 1.0))
    assert task.skill(right.numpy(), target) > 0.9
    bias = task.initial_bias()
    assert bias is not None or name == "multiclass"
    nothing = (
        torch.zeros(ROWS, 1, task.outputs) if bias is None else torch.from_numpy(bias).expand(ROWS, 1, -1)
    )
    assert abs(task.skill(task.scores(nothing).numpy(), target)) < 0.1
    missing = np.full_like(target, np.nan if target.dtype.kind == "f" else -1)
    assert task.skill(task.scores(nothing).numpy(), missing) == 0.0


@settings(deadline=None)
@given(
    terms=arrays(
        np.float64, st.tuples(st.integers(0, 30), st.integers(1, 5)), elements=st.floats(0.01, 0.99)
    ),
    loss=st.sampled_from([log_loss, squared]),
)
def test_shares_add_up_and_are_no_worse_than_the_best_view(terms: Any, loss: Any) -> None:
    shares = fit_shares(terms, loss)
    assert len(shares) == terms.shape[1]
    assert min(shares) >= 0
    assert sum(shares) == pytest.approx(1)
    if len(terms):
        assert loss(terms @ shares) <= min(loss(view) for view in terms.T) + 1e-12


@pytest.mark.parametrize("shares", [[0.5, 0.4], [1.5, -0.5], "all", [None, 1.0]])
def test_damaged_shares_are_refused(shares: object) -> None:
    task = task_of("regression")
    with pytest.raises(ModelFolderError, match="shares"):
        task.load({**task.state(), "shares": shares})
