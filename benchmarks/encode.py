"""How fast do rows become tensors, beside pandas, scikit-learn and tokenizers?

    python -m benchmarks.encode [--rows 1_000_000] [--rounds 3] [--out FILE]

A Parquet file of 10 numbers, 5 categories, a text of 30 words and a target (`rows.py`). Ours is what a run
does before its first step with a cold cache: types are inferred, rows are split, transforms fitted on the
training rows, and all rows encoded into the memory-mapped cache. The peer is what an engineer writes in an
afternoon (`peers/encode_rows.py`), once more by one who has read more of the manual. Each is a process of its
own; seconds are from the file to the arrays on the disk, imports left out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import pairs, peers, rows


def ours(path: str) -> dict[str, Any]:
    """Encode as a run does."""
    import pyarrow.parquet  # noqa: F401 (imports are not timed)
    import tokenizers  # noqa: F401

    from trainwright.features import category, number, text  # noqa: F401
    from trainwright.foundation.devices import peak_memory_mb
    from trainwright.workshop.ask import ask_recipe
    from trainwright.workshop.prepare import prepare

    began = time.perf_counter()
    asked, frame, base = ask_recipe(path, target="target", settings={"inputs.text 0": "text"})
    prepared = prepare(asked, frame, base=base)
    seconds = time.perf_counter() - began
    taken = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "cpu_seconds": taken.ru_utime + taken.ru_stime,
        "megabytes": round(peak_memory_mb()),
        "rows": prepared.rows.num_rows,
        "tokens": len(prepared.rows.arrays["text 0.tokens"].values),
    }


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ours", metavar="FILE", help="encode in this process")
    words = parser.parse_args()
    if words.ours:
        print(json.dumps(ours(words.ours)))
        return
    peers.python("encode")  # made before the clock runs
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        rows.write(path, words.rows)

        def mine(number: int) -> dict[str, Any]:
            with tempfile.TemporaryDirectory() as cache:
                os.environ["TRAINWRIGHT_CACHE"] = cache  # cold
                return pairs.ours("benchmarks.encode", "--ours", str(path))

        def theirs(number: int, *more: str) -> dict[str, Any]:
            with tempfile.TemporaryDirectory() as place:
                return peers.run("encode", "encode_rows", str(path), place, *more)

        pairs.compare(
            f"encode {words.rows:,} rows",
            {
                "trainwright": mine,
                "the usual way": theirs,
                "the usual way, lean": lambda number: theirs(number, "--lean"),
            },
            by="seconds",
            rounds=words.rounds,
            smaller=True,
            out=words.out,
        )


if __name__ == "__main__":
    main()
