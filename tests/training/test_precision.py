"""bfloat16 is for products alone: weights, gradients, moments, norms' weights and losses are float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import SETTINGS, run
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from trainwright.data.encoded import Batch
from trainwright.tasks.base import TASKS, Loss
from trainwright.training.checkpoint import Checkpoints
from trainwright.training.loop import Judgement

LOGARITHMS = {
    "_log_softmax",
    "_softmax",
    "logsumexp",
    "log",
    "exp",
    "softplus",
    "binary_cross_entropy_with_logits",
}


class Kinds(TorchDispatchMode):
    """Notes the type of the first input of every operator."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        floats = [arg for arg in args if isinstance(arg, Tensor) and arg.is_floating_point()]
        if floats:
            self.seen.setdefault(func._overloadpacket.__name__, set()).add(floats[0].dtype)
        return func(*args, **(kwargs or {}))


class Classes(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, outputs))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.net(inputs["x"]).unsqueeze(1)


TARGETS: dict[str, tuple[dict[str, Any], Any]] = {
    "multiclass": ({"classes": ["a", "b", "c"]}, lambda y: (y > 0).long() + (y > 3)),
    "binary": ({"classes": ["no", "yes"]}, lambda y: (y > 0).long()),
    "ordinal": ({"classes": ["a", "b", "c"]}, lambda y: (y > 0).long() + (y > 3)),
    "multilabel": ({"classes": ["p", "q"]}, lambda y: torch.stack([(y > 0).float(), (y > 3).float()], 1)),
    "regression": ({"mean": 0.0, "std": 1.0}, lambda y: y),
}


@pytest.mark.parametrize("kind", list(TARGETS))
def test_masters_are_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    spec, target = TARGETS[kind]
    task = TASKS[kind]("y", spec)
    losses: list[Loss] = []

    class Asked:
        def count(self, batch: Batch) -> Tensor:
            return task.count(target(batch.targets["y"]))[None]

        def __call__(self, model: nn.Module, batch: Batch) -> Loss:
            loss = task.loss(model(batch.inputs), target(batch.targets["y"]), smoothing=0.1)
            losses.append(loss)
            return Loss(loss.sum[None], loss.count[None])

    monkeypatch.setattr("small_training.Net", lambda: Classes(task.outputs))
    settings = replace(SETTINGS, precision="bfloat16", steps=3, checkpoint_seconds=0.0, evaluate_every=9)
    with Kinds() as kinds:
        net, _, _ = run(tmp_path, settings, objective=Asked(), evaluate=lambda _: Judgement(0.0, 0.0, {}))
    assert kinds.seen["addmm"] == {torch.bfloat16}  # products, so that the test means something
    for name in LOGARITHMS & set(kinds.seen):
        assert kinds.seen[name] == {torch.float32}, name
    assert all(loss.sum.dtype == torch.float32 for loss in losses)
    found = Checkpoints(tmp_path / "checkpoints").newest()
    assert found is not None
    stored = {n: t for n, t in found[0].items() if t.is_floating_point()}
    assert any(name.startswith("optimizer/") for name in stored)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
