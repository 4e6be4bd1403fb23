"""Pieces of run folders as training leaves them: figures, curves, events, media, hostile text."""

from __future__ import annotations

import base64
import io
import json
import math
import wave
from pathlib import Path
from typing import Any

import numpy as np

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    '" onmouseover="alert(3)',
    "{{ 7 * 7 }} {count} %s",
    "\u202egnihsif si siht\u202c",
    "line\u2028and\u2029paragraph",
    "Donaudampfschifffahrtsgesellschaftskapitän" * 6,
    "half a \ud83d pair and a \x00 byte",
)

ENVIRONMENT = {
    "python": "3.11.9",
    "system": "Linux x86_64",
    "processor": "AMD EPYC 7B13",
    "cores": 2,
    "memory_gb": 7.8,
    "accelerator": None,
    "packages": {
        "trainwright": "0.1.0",
        "torch": "2.13.0",
        "numpy": "2.4.1",
        "polars": "2.1.0",
        "scikit-learn": "1.9.0",
    },
}


def figure(
    title: str, value: float | None, spread: float, *, greater: bool = True, why: str | None = None
) -> dict:
    low, high = (None, None) if value is None else (value - spread, value + spread)
    if value is not None and greater and value <= 1:
        high = min(high, 1.0)
    return {
        "title": title,
        "value": value,
        "low": low,
        "high": high,
        "greater_is_better": greater,
        "why": why,
    }


def events_of(
    metrics: dict[str, tuple[float, float]], *, steps: int, loss: tuple[float, float]
) -> list[dict[str, Any]]:
    """Return the events of a smooth training: each metric goes from its first to its last figure."""
    draw = np.random.default_rng(0)
    start, epochs, time = 1_763_890_000.0, 24.0, 0.0
    events: list[dict[str, Any]] = [
        {
            "kind": "start",
            "time": start,
            "parameters": 412_930,
            "steps": steps,
            "device": "cpu",
            "threads": 2,
            "precision": "float32",
            "memory_format": "contiguous",
            "compile": "off",
            "graphs": "off",
        }
    ]
    best = -1.0
    for step in range(1, steps + 1):
        share = step / steps
        time = start + step * 0.05
        fall = math.exp(-4 * share)
        events.append(
            {
                "kind": "step",
                "time": time,
                "step": step,
                "epoch": epochs * share,
                "loss": loss[1] + (loss[0] - loss[1]) * fall + float(draw.normal(0, 0.03)),
                "learning_rate": 2e-3 * min(share / 0.05, 0.5 + 0.5 * math.cos(math.pi * share)),
                "rows_per_second": 5100 + float(draw.normal(0, 80)),
                "gradient_norm": 0.8,
            }
        )
        if step % (steps // 20) == 0:
            values = {
                name: last + (first - last) * fall + float(draw.normal(0, abs(last - first) * 0.008))
                for name, (first, last) in metrics.items()
            }
            towards = share if share < 0.75 else 0.75 - (share - 0.75) * 0.2
            events.append(
                {
                    "kind": "evaluation",
                    "time": time,
                    "step": step,
                    "epoch": epochs * share,
                    "loss": loss[1] + 0.04 + (loss[0] - loss[1]) * fall + max(0, share - 0.7) * 0.2,
                    "metrics": values,
                    "best": towards > best,
                }
            )
            best = max(best, towards)
    events.append(
        {
            "kind": "note",
            "time": time,
            "text": "training.batch: 32 (about 40 steps an epoch from 3,836 rows, within 16 to 512)",
        }
    )
    events.append(
        {
            "kind": "stop",
            "time": time,
            "reason": "early stopping",
            "step": steps,
            "best_step": int(steps * 0.75),
            "seconds": time - start,
        }
    )
    return events


def roc_pr(scores: np.ndarray, truth: np.ndarray) -> tuple[list[list[float]], list[list[float]]]:
    order = np.argsort(-scores)
    hits = truth[order].astype(float)
    true, false = np.cumsum(hits), np.cumsum(1 - hits)
    keep = np.unique(np.linspace(0, len(hits) - 1, 150).astype(int))
    roc = [[0.0, 0.0], *np.stack([false / false[-1], true / true[-1]], 1)[keep].tolist(), [1.0, 1.0]]
    return roc, np.stack([true / true[-1], true / (true + false)], 1)[keep].tolist()


def calibration(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    bins = np.minimum((confidence * 10).astype(int), 9)
    return [
        {
            "confidence": float(confidence[bins == index].mean()),
            "accuracy": float(right[bins == index].mean()),
            "count": int((bins == index).sum()),
        }
        for index in range(10)
        if (bins == index).any()
    ]


def class_results(probabilities: np.ndarray, truth: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Return the class charts and tables of some predictions: [rows, classes] and [rows]."""
    predicted = probabilities.argmax(1)
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (truth, predicted), 1)
    shown = [1] if len(classes) == 2 else range(len(classes))
    curves = {index: roc_pr(probabilities[:, index], truth == index) for index in shown}
    support, called = confusion.sum(1), confusion.sum(0)
    precision, recall = (
        np.diag(confusion) / np.maximum(called, 1),
        np.diag(confusion) / np.maximum(support, 1),
    )
    return {
        "confusion": confusion.tolist(),
        "confused": [
            {"true": classes[i], "predicted": classes[j], "count": int(confusion[i, j])}
            for i, j in np.argwhere(confusion * (1 - np.eye(len(classes), dtype=int)) > 0)[:10]
        ],
        "roc": [{"class": classes[index], "points": curve[0]} for index, curve in curves.items()],
        "pr": [{"class": classes[index], "points": curve[1]} for index, curve in curves.items()],
        "calibration": calibration(probabilities.max(1), predicted == truth),
        "per_class": [
            {
                "class": name,
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(
                    2 * precision[index] * recall[index] / max(precision[index] + recall[index], 1e-9)
                ),
                "support": int(support[index]),
            }
            for index, name in enumerate(classes)
        ],
    }


def simulated(rows: int, classes: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    truth = draw.integers(0, classes, rows)
    logits = draw.normal(0, 1, (rows, classes))
    logits[np.arange(rows), truth] += sharpness
    powers = np.exp(1.4 * logits)
    return powers / powers.sum(1, keepdims=True), truth


def picture(seed: int) -> str:
    from PIL import Image

    draw = np.random.default_rng(seed)
    pixels = np.zeros((28, 28), np.uint8)
    x, y = (
        14 + 8 * np.cos(np.linspace(0, 5, 60) + seed),
        14 + 9 * np.sin(np.linspace(0, 6, 60) * (1 + seed % 3 / 2)),
    )
    for shift in (0, 1):
        pixels[(y + shift).astype(int) % 28, x.astype(int) % 28] = 255 - draw.integers(0, 60)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((112, 112)).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def sound() -> str:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        tone = np.sin(np.arange(4000) * 0.3) * np.exp(-np.arange(4000) / 900) * 20000
        sound.writeframes(tone.astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(stream.getvalue()).decode()


def baselines(metrics: dict[str, dict], weaker: dict[str, float], *, lead: dict[str, tuple]) -> list[dict]:
    """Return simple models whose figures are those of ours, moved by a factor."""
    titles = {
        "majority": "class frequencies",
        "mean": "the mean",
        "logistic": "logistic regression",
        "ridge": "ridge regression",
        "boosting": "gradient-boosted trees",
    }
    return [
        {
            "name": name,
            "title": titles[name],
            "metrics": {
                key: ours
                if ours["value"] is None
                else figure(
                    ours["title"],
                    ours["value"] * (factor if ours["greater_is_better"] else 2 - factor),
                    (ours["high"] - ours["low"]) / 2,
                    greater=ours["greater_is_better"],
                )
                for key, ours in metrics.items()
            },
            "difference": dict(zip(("value", "low", "high"), lead[name], strict=True)),
            "seconds": 1.4,
            "note": None,
        }
        for name, factor in weaker.items()
    ]


def column(name: str, kind: str, role: str, reason: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "role": role,
        "reason": reason,
        "missing": 0.0,
        "examples": [],
        "alternatives": [],
        **more,
    }


def write_run(
    folder: Path, *, recipe: str, data: dict, events: list, evaluation: dict, quarantine: list | None = None
) -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    # ASCII only, so that half a surrogate pair survives on disk as an escape.
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (folder / "quarantine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in quarantine or []))
    return folder


TIMINGS = {"open": 0.21, "encode": 0.64, "train": 21.4, "baselines": 2.9, "judge": 1.2, "total": 26.6}
