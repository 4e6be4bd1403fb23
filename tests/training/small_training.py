"""A training small enough for the tests of the loop: 80 rows, a net of two layers, squared error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trainwright.data.batch_plan import BatchPlan, plan_batches
from trainwright.data.encoded import Batch, EncodedRows
from trainwright.foundation.ranks import ALONE, Ranks
from trainwright.tasks.base import Loss
from trainwright.training.checkpoint import Checkpoints
from trainwright.training.events import EventLog, read_events
from trainwright.training.loop import Judgement, LoopSettings, Outcome, Trainer
from trainwright.training.optimizers import ParameterGroup
from trainwright.training.sharded_checkpoint import ShardedCheckpoints
from trainwright.training.sharding import shard

_RANDOM = np.random.default_rng(0)
X = _RANDOM.normal(size=(96, 5)).astype(np.float32)
Y = (X @ np.arange(1, 6) + _RANDOM.normal(size=96)).astype(np.float32)
ROWS = EncodedRows(96, {"x": X, "target.y": Y})


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.net(inputs["x"])[:, 0]


class Squares:
    def count(self, batch: Batch) -> torch.Tensor:
        return torch.tensor([float(len(batch.rows))])

    def __call__(self, model: nn.Module, batch: Batch) -> Loss:
        error = (model(batch.inputs) - batch.targets["y"]).square()
        return Loss(error.sum()[None], self.count(batch))


class Rows:
    unit = "rows"

    def __init__(self, batch: int) -> None:
        self.most = batch

    def plan(self, epoch: int) -> BatchPlan:
        return plan_batches(80, batch=self.most, seed=3, epoch=epoch)

    def size(self, rows: np.ndarray[Any, Any]) -> int:
        return len(rows)

    def batch(self, rows: np.ndarray[Any, Any]) -> Batch:
        return ROWS.batch(rows)


def judge(model: nn.Module) -> Judgement:
    batch = ROWS.batch(np.arange(80, 96))
    loss = float((model(batch.inputs) - batch.targets["y"]).square().mean())
    return Judgement(-loss, loss, {"mse": loss})


SETTINGS = LoopSettings(steps=60, evaluate_every=10, learning_rate=0.02, warmup=5)


def run(
    folder: Path,
    settings: LoopSettings = SETTINGS,
    *,
    batch: int = 16,
    stop_at: int | None = None,
    **more: Any,
) -> tuple[Net, Outcome, list[dict[str, Any]]]:
    torch.manual_seed(0)
    net = Net()
    if more.pop("no_dropout", False):
        net.net[1] = nn.Identity()
    folder.mkdir(exist_ok=True)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return stop_at is not None and asked > stop_at

    ranks: Ranks = more.pop("ranks", ALONE)
    checkpoints = Checkpoints(folder / "checkpoints") if ranks.is_first else None
    if more.pop("sharded", False):
        shard(net, torch.device("cpu"))
        checkpoints = ShardedCheckpoints(folder / "checkpoints", ranks)
    events = EventLog(folder / ("events.jsonl" if ranks.is_first else f"events-{ranks.rank}.jsonl"))
    trainer = Trainer(
        net,
        [ParameterGroup(dict(net.named_parameters()), 0.01)],
        more.pop("objective", Squares()),
        Rows(batch),
        more.pop("evaluate", judge),
        settings,
        events,
        checkpoints,
        stop,
        more.pop("on_progress", None),
        ranks,
    )
    try:
        outcome = trainer.run()
    finally:
        events.close()
    return net, outcome, list(read_events(folder / "events.jsonl"))


def weights(net: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in net.state_dict().values()]
