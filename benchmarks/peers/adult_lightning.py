"""Lightning on adult census, a data set of rows and a loader: validation ROC-AUC against seconds.

The network is the embedding net that its users write. Logger, checkpoints, progress bar and summary are off:
they cost time and serve no comparison.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings

import lightning
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    """A row at a time, as tutorials have it."""

    def __init__(self, *columns: np.ndarray) -> None:
        self.columns = [torch.from_numpy(column) for column in columns]

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, row):
        return tuple(column[row] for column in self.columns)


class EmbeddingNet(nn.Module):
    """An embedding for each category, batch norm, two hidden layers."""

    def __init__(self, sizes: list[int], numbers: int) -> None:
        super().__init__()
        widths = [min(600, round(1.6 * size**0.56)) for size in sizes]
        self.tables = nn.ModuleList(map(nn.Embedding, sizes, widths))
        self.norm = nn.BatchNorm1d(numbers)
        self.net = nn.Sequential(
            nn.Linear(sum(widths) + numbers, 200),
            nn.ReLU(),
            nn.BatchNorm1d(200),
            nn.Linear(200, 100),
            nn.ReLU(),
            nn.BatchNorm1d(100),
            nn.Linear(100, 1),
        )

    def forward(self, numbers, categories):
        embedded = [table(categories[:, place]) for place, table in enumerate(self.tables)]
        return self.net(torch.cat([*embedded, self.norm(numbers)], 1))[:, 0]


class Module(lightning.LightningModule):
    """Trains the net by one cycle of AdamW."""

    def __init__(self, net: nn.Module, learning_rate: float, steps: int) -> None:
        super().__init__()
        self.net, self.learning_rate, self.steps = net, learning_rate, steps
        self.seen, self.curve, self.busy = [], [], 0.0

    def training_step(self, batch, _):
        *inputs, target = batch
        return nn.functional.binary_cross_entropy_with_logits(self.net(*inputs), target)

    def validation_step(self, batch, _) -> None:
        *inputs, target = batch
        self.seen.append((self.net(*inputs), target))

    def on_train_epoch_start(self) -> None:
        self.began = time.time()

    def on_validation_epoch_start(self) -> None:
        self.busy += time.time() - self.began

    def on_validation_epoch_end(self) -> None:
        scores, target = (torch.cat(part).numpy() for part in zip(*self.seen, strict=True))
        self.seen.clear()
        self.curve.append((time.time(), float(roc_auc_score(target, scores))))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def read(file: str) -> tuple[list[np.ndarray], np.ndarray, list[int]]:
    """Return numbers, categories and target of training and validation; which is training; levels."""
    frame = pd.read_csv(file)
    frame = frame[frame["split"] != "test"]
    training = (frame.pop("split") == "train").to_numpy()
    target = (frame.pop("income").str.strip() == ">50K").to_numpy().astype(np.float32)
    text = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    numbers = frame.drop(columns=text).astype(np.float32)
    numbers = StandardScaler().fit(numbers[training]).transform(numbers)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    index = codes.fit(frame.loc[training, text]).transform(frame[text]).astype(np.int64) + 1
    return [numbers, index, target], training, [len(known) + 1 for known in codes.categories_]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int)
    words = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(words.seed, verbose=False)
    began = time.time()
    columns, training, sizes = read(words.file)
    sets = [Rows(*(column[part] for column in columns)) for part in (training, ~training)]
    more = {"num_workers": words.workers, "persistent_workers": words.workers > 0}
    train = DataLoader(sets[0], batch_size=words.batch, shuffle=True, **more)
    validation = DataLoader(sets[1], batch_size=1024, **more)
    net = EmbeddingNet(sizes, columns[0].shape[1])
    module = Module(net, words.learning_rate, words.epochs * len(train))
    prepared = time.time()
    trainer = lightning.Trainer(
        max_epochs=words.epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, train, validation)
    print(
        json.dumps(
            {
                "began": began,
                "preparation": prepared - began,
                "curve": [(when - began, auc) for when, auc in module.curve],
                "rows_per_second": words.epochs * len(sets[0]) / module.busy,
            }
        )
    )


if __name__ == "__main__":
    main()
