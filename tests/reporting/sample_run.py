"""Run folders as training leaves them, made up but likely, for looking at reports and for testing them.

`python tests/reporting/sample_run.py FOLDER` writes every sample and its report into FOLDER.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sample_parts import (
    HOSTILE,
    TIMINGS,
    baselines,
    class_results,
    column,
    events_of,
    figure,
    picture,
    simulated,
    sound,
    write_run,
)

NUMBERS = "numbers in all of 6,000 values"
CODE = "a different code in nearly every row: nothing that holds for new rows"
WORDS = "about 24 words each, 4,988 different ones in 5,000 rows"
SKIPPED = {
    "name": "boosting",
    "title": "gradient-boosted trees",
    "metrics": {},
    "difference": None,
    "seconds": 0.0,
    "note": "skipped: no time was left",
}


def binary_run(folder: Path) -> Path:
    """A table with columns, classes and values that attack the page; the model is as good as the trees."""
    probabilities, truth = simulated(1200, 2, 2.2)
    classes = ["stays", HOSTILE[1]]
    metrics = {
        "roc_auc": figure("ROC-AUC", 0.9268, 0.011),
        "accuracy": figure("accuracy", 0.8717, 0.018),
        "f1": figure("F1", 0.702, 0.031),
        "pr_auc": figure("PR-AUC", 0.811, 0.026),
        "log_loss": figure("log loss", 0.2814, 0.02, greater=False),
        "brier": figure("Brier score", 0.0912, 0.007, greater=False),
        "mcc": figure("Matthews correlation", None, 0, why="all rows have the same class"),
    }
    lead = {
        "majority": (0.4268, 0.41, 0.44),
        "logistic": (0.0204, 0.011, 0.031),
        "boosting": (0.0021, -0.004, 0.008),
    }
    names = ["age", "monthly fee", *HOSTILE, "contract", "customer id"]
    columns = [
        column("age", "number", "input", NUMBERS, examples=[34, 51, 27], missing=0.012),
        column("monthly fee", "number", "input", NUMBERS, examples=[29.85, 56.95, 104.2]),
        *(
            column(
                name,
                "category",
                "input",
                "8 different values in 6,000 rows",
                examples=[name, "b"],
                missing=0.2,
            )
            for name in HOSTILE
        ),
        column(
            "contract",
            "category",
            "input",
            "3 different values in 6,000 rows",
            examples=["month", "year"],
            alternatives=[{"type": "text", "reason": "if their words or spelling tell something"}],
        ),
        column(
            "customer id",
            "id",
            "left out",
            "a different code in nearly every row: nothing that holds for new rows",
            examples=["A-001"],
        ),
        column(
            "leaves", "category", "target", "2 different values in 6,000 rows", examples=["stays", HOSTILE[1]]
        ),
    ]
    draw = np.random.default_rng(2)
    examples = [
        {
            "row": index,
            "where": f"churn.csv:{100 + 7 * index}",
            "true": classes[1],
            "predicted": classes[0],
            "probability": 0.985 - 0.02 * index,
            "loss": 4.2 - 0.2 * index,
            "inputs": {
                name: {
                    "type": "category",
                    "value": name if name in HOSTILE else round(float(draw.normal(40, 9)), 2),
                    "data": None,
                }
                for name in names
            },
        }
        for index in range(8)
    ]
    evaluation = {
        "targets": {
            "leaves": {
                "task": "binary",
                "metric": "roc_auc",
                "confidence": 0.95,
                "classes": classes,
                "rows": {"test": 1200, "validation": 960},
                "metrics": metrics,
                "validation": {name: {"value": f["value"]} for name, f in metrics.items()},
                "baselines": baselines(
                    metrics, {"majority": 0.54, "logistic": 0.978, "boosting": 0.998}, lead=lead
                ),
                "verdict": {"outcome": "as good", "baseline": "boosting", "values": {}, "sentences": []},
                "threshold": 0.41,
                "temperature": 1.12,
                "residuals": None,
                **class_results(probabilities, truth, classes),
                "slices": [
                    {
                        "column": name,
                        "value": value,
                        "rows": rows,
                        "metric": figure("ROC-AUC", score, spread),
                        "flag": flag,
                    }
                    for name, value, rows, score, spread, flag in (
                        ("contract", "month", 660, 0.902, 0.017, False),
                        ("contract", "year", 300, 0.941, 0.02, False),
                        ("contract", HOSTILE[0], 240, 0.81, 0.04, True),
                        (HOSTILE[6], "b", 190, 0.925, 0.03, False),
                    )
                ],
                "examples": {"worst": examples, "doubtful": examples[:3]},
                "contributions": [
                    {
                        "input": name,
                        "value": 0.14 / (index + 1) - 0.012,
                        "low": 0.12 / (index + 1) - 0.02,
                        "high": 0.16 / (index + 1) - 0.006,
                    }
                    for index, name in enumerate(names[:-1])
                ],
            }
        },
        "timings": TIMINGS,
        "peak_memory_mb": 612.4,
    }
    data = {
        "name": "churn.csv",
        "fingerprint": "7f3a9c1d2b4e5f60718293a4b5c6d7e8",
        "rows": 6000,
        "columns": columns,
        "split": {
            "method": "stratified",
            "column": None,
            "rows": {"training": 3836, "validation": 960, "test": 1200},
            "notes": ["no group of 'region' is in two parts (14 groups)"],
        },
        "quarantined": {
            "count": 4,
            "reasons": [{"reason": "the target is missing", "count": 3}, {"reason": HOSTILE[0], "count": 1}],
        },
        "notes": [HOSTILE[3]],
        "column_notes": {
            "contract": ["rare levels that share one index: 2 of 5"],
            HOSTILE[0]: [HOSTILE[1]],
        },
        "counts": {"contract": {"unseen": 2, "truncated": 0}},
    }
    quarantine = [
        {
            "source": "churn.csv",
            "position": 812,
            "reason": "the target is missing",
            "column": "leaves",
            "row": 811,
        },
        {"source": "churn.csv", "position": 1904, "reason": HOSTILE[0], "column": HOSTILE[1], "row": 1903},
    ]
    recipe = f"data: churn.csv\ntargets:\n  leaves: category\nseed: 0  # {HOSTILE[1]}\n"
    events = events_of({"roc_auc": (0.6, 0.93), "accuracy": (0.72, 0.874)}, steps=400, loss=(0.69, 0.27))
    return write_run(
        folder, recipe=recipe, data=data, events=events, evaluation=evaluation, quarantine=quarantine
    )


def _class_run(
    folder: Path,
    *,
    classes: list[str],
    target: str,
    inputs: Callable[[int], dict],
    columns: list[dict],
    name: str,
    sharpness: float,
    outcome: str = "better",
) -> Path:
    probabilities, truth = simulated(1000, len(classes), sharpness)
    predicted = probabilities.argmax(1)
    accuracy = float((predicted == truth).mean())
    metrics = {
        "accuracy": figure("accuracy", accuracy, 0.009),
        "balanced_accuracy": figure("balanced accuracy", accuracy - 0.002, 0.01),
        "f1_macro": figure("F1 (macro)", accuracy - 0.001, 0.01),
        "log_loss": figure("log loss", 0.081, 0.014, greater=False),
        "ece": figure("calibration error (ECE)", 0.0093, 0.004, greater=False),
    }
    worst = np.argsort(probabilities[np.arange(len(truth)), truth])[:9]
    doubtful = np.argsort(np.abs(probabilities.max(1) - 0.5))[:6]

    def example(row: int) -> dict[str, Any]:
        return {
            "row": int(row),
            "where": f"{name}:{row + 2}" if row % 2 else None,
            "true": classes[truth[row]],
            "predicted": classes[predicted[row]],
            "probability": float(probabilities[row].max()),
            "loss": float(-np.log(probabilities[row, truth[row]])),
            "inputs": inputs(int(row)),
        }

    lead = {
        "majority": (accuracy - 0.1, accuracy - 0.12, accuracy - 0.08),
        "logistic": (0.0212, 0.009, 0.034),
    }
    evaluation = {
        "targets": {
            target: {
                "task": "multiclass",
                "metric": "accuracy",
                "classes": classes,
                "rows": {"test": 1000, "validation": 800},
                "metrics": metrics,
                "validation": {},
                "baselines": [*baselines(metrics, {"majority": 0.11, "logistic": 0.978}, lead=lead), SKIPPED],
                "verdict": {"outcome": outcome, "baseline": "logistic", "values": {}, "sentences": []},
                "threshold": None,
                "temperature": 1.04,
                "residuals": None,
                **class_results(probabilities, truth, classes),
                "slices": [],
                "contributions": [],
                "examples": {
                    "worst": [example(row) for row in worst],
                    "doubtful": [example(row) for row in doubtful],
                },
            }
        },
        "timings": TIMINGS,
        "peak_memory_mb": 580.0,
    }
    data = {
        "name": name,
        "fingerprint": "00aa11bb22cc33dd44ee55ff66778899",
        "rows": 5000,
        "columns": columns,
        "split": {
            "method": "stratified",
            "column": None,
            "rows": {"training": 3200, "validation": 800, "test": 1000},
            "notes": [],
        },
        "quarantined": {"count": 0, "reasons": []},
        "notes": [],
        "counts": {},
    }
    recipe = f"data: {name}\ntargets:\n  {target}: category\nmodel:\n  size: small\nseed: 0\n"
    events = events_of({"accuracy": (0.3, accuracy)}, steps=300, loss=(2.2, 0.08))
    return write_run(folder, recipe=recipe, data=data, events=events, evaluation=evaluation)


def picture_run(folder: Path) -> Path:
    """Ten digits from pictures, with a sound beside each."""
    tone = sound()
    return _class_run(
        folder,
        classes=[str(digit) for digit in range(10)],
        target="digit",
        name="digits.npz",
        sharpness=5.6,
        inputs=lambda row: {
            "image": {"type": "image", "value": None, "data": picture(row)},
            **({"spoken": {"type": "audio", "value": None, "data": tone}} if row % 3 == 0 else {}),
        },
        columns=[
            column("image", "image", "input", "28 x 28 numbers in every row"),
            column("digit", "category", "target", "10 different values in 5,000 rows", examples=[0, 1, 2]),
        ],
    )


def chinese_run(folder: Path) -> Path:
    """Chinese hotel reviews, and more classes than a heat map can show."""
    topics = [
        "房间",
        "早餐",
        "服务",
        "位置",
        "价格",
        "卫生",
        "前台",
        "网络",
        "停车",
        "游泳池",
        "电梯",
        "隔音",
        "设施",
    ]
    classes = [f"{topic}{word}" for topic in topics for word in ("好", "差")]
    text = (
        "酒店位置很好，离地铁站只有五分钟，但是房间隔音太差，晚上睡不着觉。前台服务员态度一般，早餐品种少。"
    )
    return _class_run(
        folder,
        classes=classes,
        target="评价",
        name="酒店评论.csv",
        sharpness=4.0,
        inputs=lambda row: {"正文": {"type": "text", "value": text * (1 + row % 4), "data": None}},
        columns=[
            column(
                "正文",
                "text",
                "input",
                WORDS,
                examples=[text],
            ),
            column("评价", "category", "target", "26 different values in 5,000 rows", examples=classes[:3]),
        ],
        outcome="worse",
    )


def _number_target(metric_scale: float, outcome: str) -> dict[str, Any]:
    draw = np.random.default_rng(3)
    true = np.exp(draw.normal(12.1, 0.5, 1500)) * metric_scale
    predicted = true * np.exp(draw.normal(0, 0.16, 1500))
    errors = predicted - true
    counts, edges = np.histogram(errors, 32)
    rmse = float(np.sqrt((errors**2).mean()))
    metrics = {
        "rmse": figure("root mean squared error (RMSE)", rmse, rmse * 0.05, greater=False),
        "mae": figure("mean absolute error (MAE)", float(np.abs(errors).mean()), rmse * 0.02, greater=False),
        "r2": figure("R²", 0.842, 0.014),
        "mape": figure("mean absolute percentage error (MAPE)", 0.129, 0.006, greater=False),
    }
    lead = {
        "mean": (rmse, rmse * 0.9, rmse * 1.1),
        "ridge": (rmse * 0.4, rmse * 0.3, rmse * 0.5),
        "boosting": (rmse * 0.06, rmse * 0.02, rmse * 0.1),
    }
    worst = np.argsort(-np.abs(errors))[:6]
    return {
        "task": "regression",
        "metric": "rmse",
        "classes": None,
        "rows": {"test": 1500, "validation": 1200},
        "metrics": metrics,
        "validation": {},
        "baselines": baselines(metrics, {"mean": 0.05, "ridge": 0.6, "boosting": 0.94}, lead=lead),
        "verdict": {"outcome": outcome, "baseline": "boosting", "values": {}, "sentences": []},
        "threshold": None,
        "temperature": None,
        "confusion": None,
        "roc": [],
        "pr": [],
        "calibration": [],
        "residuals": {
            "points": [[float(p), float(t)] for p, t in zip(predicted[:1000], true[:1000], strict=True)],
            "histogram": [
                {"low": float(low), "high": float(high), "count": int(number)}
                for low, high, number in zip(edges[:-1], edges[1:], counts, strict=True)
            ],
            "interval": {"coverage_wanted": 0.9, "coverage": 0.893, "mean_width": rmse * 3.1},
        },
        "per_class": [],
        "slices": [
            {
                "column": "ocean",
                "value": value,
                "rows": rows,
                "metric": figure("RMSE", rmse * factor, rmse * 0.08, greater=False),
                "flag": factor > 1.3,
            }
            for value, rows, factor in (("inland", 610, 0.8), ("near bay", 220, 1.02), ("island", 31, 1.61))
        ],
        "examples": {
            "worst": [
                {
                    "row": int(row),
                    "where": f"houses.parquet:{row}",
                    "true": float(true[row]),
                    "predicted": float(predicted[row]),
                    "probability": None,
                    "loss": float(abs(errors[row])),
                    "inputs": {
                        "rooms": {"type": "number", "value": 5.25, "data": None},
                        "ocean": {"type": "category", "value": "island", "data": None},
                        "year": {"type": "number", "value": 1974, "data": None},
                        "note": {"type": "text", "value": None, "data": None},
                    },
                }
                for row in worst
            ],
            "doubtful": [],
        },
        "contributions": [
            {"input": name, "value": rmse * share, "low": rmse * share * 0.9, "high": rmse * share * 1.1}
            for name, share in (("location", 0.9), ("income", 0.6), ("rooms", 0.11), ("year", 0.004))
        ],
    }


def regression_run(folder: Path) -> Path:
    """Two prices at once: several targets, neither of classes."""
    evaluation = {
        "targets": {"price": _number_target(1.0, "better"), "rent": _number_target(0.004, "as good")},
        "timings": TIMINGS,
        "peak_memory_mb": 733.0,
    }
    data = {
        "name": "houses.parquet",
        "fingerprint": "ab" * 16,
        "rows": 7500,
        "columns": [
            column("location", "vector", "input", "2 numbers in every row"),
            column("income", "number", "input", NUMBERS),
            column("rooms", "number", "input", NUMBERS, missing=0.031),
            column("year", "number", "input", NUMBERS),
            column("price", "number", "target", NUMBERS, examples=[128000.0, 244500.0]),
            column("rent", "number", "target", NUMBERS, examples=[812.5, 990.0]),
        ],
        "split": {
            "method": "random",
            "column": None,
            "rows": {"training": 4800, "validation": 1200, "test": 1500},
            "notes": [],
        },
        "quarantined": {"count": 0, "reasons": []},
        "notes": [],
        "counts": {},
    }
    events = events_of(
        {"price: rmse": (110_000, 43_000), "rent: rmse": (420, 171)}, steps=500, loss=(1.0, 0.18)
    )
    recipe = "data: houses.parquet\ntargets:\n  price: number\n  rent: number\nseed: 0\n"
    return write_run(folder, recipe=recipe, data=data, events=events, evaluation=evaluation)


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "binary": binary_run,
    "pictures": picture_run,
    "chinese": chinese_run,
    "regression": regression_run,
}


if __name__ == "__main__":
    from trainwright.reporting.report import write_report

    for sample, build in SAMPLES.items():
        print(write_report(build(Path(sys.argv[1]) / sample)))
