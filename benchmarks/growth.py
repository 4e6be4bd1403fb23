"""Does a run take ten times as long on ten times the rows or columns, and no more memory?

    python -m benchmarks.growth [--rounds 3] [--out FILE]

Parquet files of numbers and categories, two to one (`rows.py`): 15 columns of 10,000, 100,000 and a million
rows, and 150 columns of 100,000. Each is trained for one epoch with a cold cache, in a process of its own,
and judged. The simple models are left out: they learn from 100,000 rows at most. Seconds are those of the
run's stages. What does not grow (compiling, reading modules) is told apart: `growth` is (T(100x) - T(10x)) /
(T(10x) - T(x)), which is 10 where time is linear, and `per row` is T(100x) / T(10x), which is below 10 where
fixed costs still show.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import pairs, rows

SIZES = {
    "10,000 x 15": (10_000, 1),
    "100,000 x 15": (100_000, 1),
    "1,000,000 x 15": (1_000_000, 1),
    "100,000 x 150": (100_000, 10),
}


def train(path: str, seed: int) -> dict[str, Any]:
    """Train and judge in this process."""
    import trainwright
    from trainwright.foundation.devices import peak_memory_mb

    with tempfile.TemporaryDirectory() as folder:
        run = trainwright.train(
            path,
            target="target",
            budget="1 epoch",
            seed=seed,
            settings={"evaluation.baselines": False},
            run=Path(folder) / "run",
        )
        stages = run.evaluation["timings"]
        settings = run.recipe.training
    return {
        "seconds": stages["total"],
        "stages": stages,
        "megabytes": round(peak_memory_mb()),
        "batch": settings.batch,
    }


def measure(path: Path, seed: int) -> dict[str, Any]:
    """Train in a process of its own, with a cold cache."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRAINWRIGHT_CACHE"] = cache
        return pairs.ours("benchmarks.growth", "--ours", str(path), "--seed", str(seed))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ours", metavar="FILE", help="train in this process")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    if words.ours:
        print(json.dumps(train(words.ours, words.seed)))
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SIZES}
    with tempfile.TemporaryDirectory() as folder:
        for place, (number, wider) in enumerate(SIZES.values()):
            rows.write(
                Path(folder) / f"{place}.parquet",
                number,
                numbers=10 * wider,
                categories=5 * wider,
                texts=0,
            )
        for number in range(words.rounds):
            for place, name in enumerate(SIZES):
                got = measure(Path(folder) / f"{place}.parquet", number)
                found[name].append(got)
                line = {"question": "growth", "who": name, "round": number, **got, **pairs.machine()}
                print(json.dumps(line), file=sys.stderr)
                if words.out is not None:
                    with words.out.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(line) + "\n")
    medians = {}
    for name, lines in found.items():
        medians[name] = statistics.median(line["seconds"] for line in lines)
        megabytes = statistics.median(line["megabytes"] for line in lines)
        stages = {
            stage: round(statistics.median(line["stages"][stage] for line in lines), 2)
            for stage in lines[0]["stages"]
        }
        print(f"{name}: {medians[name]:.1f} s, {megabytes:,.0f} MB, {json.dumps(stages)}")
    small, middle, large, wide = medians.values()
    print(
        f"rows: growth {(large - middle) / (middle - small):.2f}, per row {large / middle:.2f}; "
        f"columns: {wide / middle:.2f}"
    )


if __name__ == "__main__":
    main()
