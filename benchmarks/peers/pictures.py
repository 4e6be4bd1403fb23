"""The usual PyTorch loop on pictures: a `Dataset`, transforms of every picture by itself, a `DataLoader`.

The transforms are those of torchvision for CIFAR-10 (`RandomCrop(32, padding=4)`, `RandomHorizontalFlip`,
`ToTensor`, `Normalize`), done as torchvision does them on PIL pictures. The model is our ResNet, written as
it usually is. Three ways, each with the number of workers that is fastest here:

- `files`: every picture is decoded whenever it is asked for.
- `array`: all pictures are decoded once, as `torchvision.datasets.CIFAR10` has them.
- `tuned`: decoded once; transforms of a few NumPy operations in place of PIL; `channels_last`.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader, Dataset

PAD, SIDE = 4, 32
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
PROBED, WARM_UP = 12, 4
"""Steps that are timed for each number of workers, behind a warm-up."""


class Block(nn.Module):
    """The basic block of He et al. 2016."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, 3, stride)
        self.second = _convolution(outputs, outputs, 3, 1)
        nn.init.zeros_(self.second[1].weight)
        alike = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if alike else _convolution(inputs, outputs, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps):
        return self.relu(self.second(self.relu(self.first(maps))) + self.shortcut(maps))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


def make_model(widths: list[int], classes: int) -> nn.Sequential:
    """Return the network that `model.size` tiny or small gives pictures of 32 pixels."""
    first = widths[0]
    blocks, before = [], first
    for place, width in enumerate(widths):
        blocks.append(Block(before, width, 2 if place else 1))
        before = width
    return nn.Sequential(
        _convolution(3, first, 3, 1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(before, classes),
    )


def decoded(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file)).convert("RGB")


def normalised(picture: Image.Image) -> torch.Tensor:
    """Do what `ToTensor` and `Normalize` do."""
    pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True))
    pixels = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    return pixels.sub_(torch.tensor(MEAN).view(-1, 1, 1)).div_(torch.tensor(STD).view(-1, 1, 1))


def varied(picture: Image.Image) -> Image.Image:
    """Do what `RandomCrop(32, padding=4)` and `RandomHorizontalFlip` do."""
    picture = ImageOps.expand(picture, border=PAD, fill=0)
    top, left = (int(torch.randint(0, 2 * PAD + 1, (1,)).item()) for _ in range(2))
    picture = picture.crop((left, top, left + SIDE, top + SIDE))
    if torch.rand(1) < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return picture


class Files(Dataset):
    """Files that are decoded when they are asked for."""

    def __init__(self, files: list[bytes], labels: list[int], training: bool) -> None:
        self.files, self.labels, self.training = files, labels, training

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        picture = decoded(self.files[row])
        return normalised(varied(picture) if self.training else picture), self.labels[row]


class Decoded(Files):
    """Pictures that were decoded once, [rows, 32, 32, 3]."""

    def __init__(self, files: list[bytes], labels: list[int], training: bool) -> None:
        super().__init__([], labels, training)
        self.pixels = np.stack([np.asarray(decoded(file)) for file in files])

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.pixels[row])
        return normalised(varied(picture) if self.training else picture), self.labels[row]


class Tuned(Files):
    """Pictures that were decoded and padded once; a crop is a view, a mirror image too."""

    def __init__(self, files: list[bytes], labels: list[int], training: bool) -> None:
        super().__init__([], labels, training)
        pixels = np.stack([np.asarray(decoded(file)) for file in files])
        self.pixels = np.pad(pixels, ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)))
        self.scale = (1 / (255 * np.array(STD))).astype(np.float32)
        self.shift = (np.array(MEAN) / np.array(STD)).astype(np.float32)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        top, left = PAD, PAD
        if self.training:
            top, left = random.randrange(2 * PAD + 1), random.randrange(2 * PAD + 1)
        pixels = self.pixels[row, top : top + SIDE, left : left + SIDE]
        if self.training and random.random() < 0.5:
            pixels = pixels[:, ::-1]
        return torch.from_numpy((pixels * self.scale - self.shift).transpose(2, 0, 1)), self.labels[row]


WAYS: dict[str, type[Files]] = {"files": Files, "array": Decoded, "tuned": Tuned}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--way", choices=list(WAYS), required=True)
    parser.add_argument("--widths", type=int, nargs="+", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--weight-decay", type=float, required=True)
    parser.add_argument("--warmup", type=float, default=0.05)
    parser.add_argument("--workers", type=int, help="processes of the DataLoader; the fastest of 0, 1 and 2")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def read(folder: Path, part: str) -> tuple[list[bytes], list[int], int]:
    frame = pl.read_parquet(folder / f"{part}.parquet")
    names = sorted(frame["label"].unique())
    return frame["image"].to_list(), [names.index(name) for name in frame["label"]], len(names)


def loader(rows: Files, words: argparse.Namespace, workers: int) -> DataLoader:
    return DataLoader(
        rows,
        batch_size=words.batch,
        shuffle=rows.training,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def fastest_workers(rows: Files, words: argparse.Namespace, step: Callable[[Any, Any], None]) -> int:
    """Return which number of workers feeds some steps fastest."""
    seconds = {}
    for workers in (0, 1, 2):
        batches = iter(loader(rows, words, workers))
        for number in range(WARM_UP + PROBED):
            if number == WARM_UP:
                began = time.perf_counter()
            step(*next(batches))
        seconds[workers] = time.perf_counter() - began
        del batches
    return min(seconds, key=seconds.__getitem__)


def rate(step: int, steps: int, warmup: int) -> float:
    """Return the multiple of the peak learning rate: ours."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def right(model: nn.Module, batches: DataLoader, memory: torch.memory_format) -> float:
    """Return the accuracy."""
    model.eval()
    with torch.no_grad():
        hits = [
            (model(pictures.contiguous(memory_format=memory)).argmax(1) == labels).float().mean()
            * len(labels)
            for pictures, labels in batches
        ]
    model.train()
    return float(sum(hits)) / len(batches.dataset)


def main() -> None:
    words = arguments()
    torch.manual_seed(words.seed)
    random.seed(words.seed)
    memory = torch.channels_last if words.way == "tuned" else torch.contiguous_format
    kind = WAYS[words.way]
    workers = words.workers
    if workers is None:
        files, labels, classes = read(words.folder, "train")
        workers = fastest_workers(
            kind(files, labels, True), words, training_step(make_model(words.widths, classes), memory)
        )

    began = time.perf_counter()
    files, labels, classes = read(words.folder, "train")
    training = kind(files, labels, True)
    validation = kind(*read(words.folder, "validation")[:2], False)
    ready = time.perf_counter()
    batches, judging = loader(training, words, workers), loader(validation, words, workers)
    model = make_model(words.widths, classes).to(memory_format=memory)
    optimizer = torch.optim.AdamW(model.parameters(), lr=words.learning_rate, weight_decay=words.weight_decay)
    steps = words.epochs * len(batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate(step, steps, round(words.warmup * steps))
    )
    step = training_step(model, memory, optimizer, schedule)
    for _ in range(words.epochs):
        for pictures, targets in batches:
            step(pictures, targets)
        right(model, judging, memory)
    seconds = time.perf_counter() - began

    test = loader(kind(*read(words.folder, "test")[:2], False), words, 0)
    print(
        json.dumps(
            {
                "rows_per_second": words.epochs * len(labels) / seconds,
                "seconds": seconds,
                "decode_seconds": ready - began,
                "accuracy": right(model, test, memory),
                "workers": workers,
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
            }
        )
    )


def training_step(
    model: nn.Module, memory: torch.memory_format, optimizer: Any = None, schedule: Any = None
) -> Callable[[Any, Any], None]:
    """Return what does a training step; without an optimiser, for the sake of its time."""
    model = model.to(memory_format=memory)
    optimizer = optimizer or torch.optim.AdamW(model.parameters())

    def step(pictures, targets) -> None:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(pictures.contiguous(memory_format=memory)), targets)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()

    return step


if __name__ == "__main__":
    main()
