"""How much memory does a large table take? Rows that are made here, from Parquet, with default settings.

    python -m benchmarks.memory [--rows 5_000_000] [--budget "2m"]

30 columns: 19 numbers, 8 categories, a date, a boolean, and the target, yes or no. The whole command runs in
a process of its own with a cold cache. `peak_mb` is the most that was resident at once, memory-mapped pages
of the cache among it, as the system counts it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.quality import Case, run_command

NUMBERS, CATEGORIES = 19, 8
CHUNK = 250_000


def write_rows(path: Path, rows: int) -> None:
    """Write a Parquet file of generated rows, a chunk at a time."""
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    slopes = random.normal(size=NUMBERS)
    writer = None
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        numbers = random.normal(size=(count, NUMBERS)) * 10.0 ** (np.arange(NUMBERS) % 4)
        levels = random.zipf(1.5, size=(count, CATEGORIES)) % (10 * 4 ** (np.arange(CATEGORIES) % 4))
        told = (numbers / 10.0 ** (np.arange(NUMBERS) % 4)) @ slopes + (levels[:, 0] % 3 - 1)
        frame = pl.DataFrame(
            {
                **{f"number {at}": numbers[:, at] for at in range(NUMBERS)},
                **{f"category {at}": levels[:, at] for at in range(CATEGORIES)},
                "day": np.datetime64("2020-01-01") + random.integers(0, 2_000, count),
                "seen": random.random(count) < 0.3,
                "bought": np.where(told + random.normal(scale=3, size=count) > 0, "yes", "no"),
            }
        ).with_columns(pl.col("^category .*$").cast(pl.String).str.replace("^", "level "))
        table = frame.to_arrow()
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def main() -> None:
    """Make the rows, train on them, and print a line of what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--budget", help="training budget; without, the default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write_rows(path, asked.rows)
        words = ["train", str(path), "--target", "bought"]
        words += ["--budget", asked.budget] if asked.budget else []
        line = run_command(Case("memory", tuple(words)), words, Path(folder) / "run")
        print(json.dumps({"rows": asked.rows, "parquet_mb": path.stat().st_size >> 20, **line}))


if __name__ == "__main__":
    main()
