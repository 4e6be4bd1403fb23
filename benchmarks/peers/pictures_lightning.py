"""The pictures of `pictures.py` under Lightning: the same data set, loader, model and schedule.

Logger, checkpoints, progress bar and summary are off: they cost time and serve no comparison.
"""

from __future__ import annotations

import json
import logging
import random
import time
import warnings

import lightning
import torch
from torch import nn

from benchmarks.peers import pictures


class Module(lightning.LightningModule):
    def __init__(self, words, model: nn.Module, steps: int, memory: torch.memory_format) -> None:
        super().__init__()
        self.words, self.model, self.steps, self.memory = words, model, steps, memory
        self.hits = self.rows = 0

    def forward(self, batch):
        images, labels = batch
        return self.model(images.contiguous(memory_format=self.memory)), labels

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(*self(batch))

    def validation_step(self, batch, _) -> None:
        outputs, labels = self(batch)
        self.hits += (outputs.argmax(1) == labels).sum()
        self.rows += len(labels)

    def on_validation_epoch_start(self) -> None:
        self.hits = self.rows = 0

    def configure_optimizers(self):
        words = self.words
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=words.learning_rate, weight_decay=words.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: pictures.rate(step, self.steps, round(words.warmup * self.steps))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def main() -> None:
    words = pictures.arguments()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(words.seed, verbose=False)
    random.seed(words.seed)
    memory = torch.channels_last if words.way == "tuned" else torch.contiguous_format
    kind = pictures.WAYS[words.way]
    if words.workers is None:
        files, labels, classes = pictures.read(words.folder, "train")
        step = pictures.training_step(pictures.make_model(words.widths, classes), memory)
        words.workers = pictures.fastest_workers(kind(files, labels, True), words, step)

    began = time.perf_counter()
    files, labels, classes = pictures.read(words.folder, "train")
    training = kind(files, labels, True)
    validation = kind(*pictures.read(words.folder, "validation")[:2], False)
    ready = time.perf_counter()
    batches = pictures.loader(training, words, words.workers)
    judging = pictures.loader(validation, words, words.workers)
    model = pictures.make_model(words.widths, classes).to(memory_format=memory)
    module = Module(words, model, words.epochs * len(batches), memory)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=words.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, batches, judging)
    seconds = time.perf_counter() - began

    test = pictures.loader(kind(*pictures.read(words.folder, "test")[:2], False), words, 0)
    print(
        json.dumps(
            {
                "rows_per_second": words.epochs * len(labels) / seconds,
                "seconds": seconds,
                "decode_seconds": ready - began,
                "accuracy": pictures.right(model, test, memory),
                "workers": words.workers,
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
            }
        )
    )


if __name__ == "__main__":
    main()
