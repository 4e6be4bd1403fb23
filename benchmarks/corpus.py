"""How fast do texts become a corpus, and in how much memory?

    python -m benchmarks.corpus [--sizes 100 300 1000] [--workers 2] [--source FILE] [--out FILE]

Documents of a few hundred words as JSON Lines (`texts.py`), a tenth of them real, a tenth Chinese, with
copies planted. All steps are on, with their defaults. Megabytes a second are of the source, from the command
to the finished folder, start of Python and all; memory is the greatest sum of the resident memory of all
processes, looked at ten times a second.

`recall` is the share of planted copies that left. `precision` is the share of doubles that left rightly,
bounded from below: whatever came for the first time, made or real, left wrongly, even where it left for
another reason or is like a real text before it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import pairs, texts


def measure(megabytes: int, folder: Path, *, workers: int, source: Path | None = None) -> dict[str, Any]:
    """Make a corpus of so many megabytes, and return what it took.

    Args:
        megabytes: size of the source.
        folder: where to work.
        workers: processes.
        source: longer texts that the first megabytes are taken from; made where there are none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "texts.jsonl"
    kinds = texts.write(path, megabytes * 10**6) if source is None else _beginning(source, path, megabytes)
    begun = time.perf_counter()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "trainwright", "prepare", str(path)),
            *("-o", str(folder / "corpus"), "-q", "--workers", str(workers)),
        ],
        stdout=subprocess.DEVNULL,
        cwd=pairs.ROOT,
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        time.sleep(0.1)
    seconds = time.perf_counter() - begun
    assert process.returncode == 0
    size = path.stat().st_size
    manifest = json.loads((folder / "corpus" / "manifest.json").read_text(encoding="utf-8"))
    found = {
        "size": megabytes,
        "workers": workers,
        "seconds": round(seconds, 2),
        "megabytes_per_second": round(size / 1e6 / seconds, 2),
        "megabytes": round(peak),
        "documents": manifest["read"]["documents"],
        "kept": manifest["kept"]["documents"],
        "left": {
            step: sum(each["documents"] for each in reasons.values())
            for step, reasons in manifest["left"].items()
        },
        **_quality(folder / "corpus", kinds, manifest),
    }
    path.unlink()
    return found


def _beginning(source: Path, path: Path, megabytes: int) -> bytes:
    num_lines = size = 0
    with source.open("rb") as lines, path.open("wb") as out:
        for line in lines:
            if size >= megabytes * 10**6:
                break
            out.write(line)
            size += len(line)
            num_lines += 1
    return source.with_suffix(".kinds").read_bytes()[:num_lines]


def _quality(folder: Path, kinds: bytes, manifest: dict[str, Any]) -> dict[str, float]:
    import numpy as np
    import polars as pl

    parts = sorted(folder.glob("part-*.parquet"))
    urls = pl.concat([pl.read_parquet(part, columns=["url"]) for part in parts])
    kept = urls["url"].str.split("/").list.last().cast(pl.Int64).to_numpy()
    gone = np.ones(len(kinds), dtype=bool)
    gone[kept] = False
    kind = np.frombuffer(kinds, dtype="S1")
    planted = np.isin(kind, [b"e", b"n"])
    doubles = sum(count["documents"] for count in manifest["left"].get("duplicates", {}).values())
    wrong = int((gone & np.isin(kind, [b"m", b"r"])).sum())
    return {
        "recall": round(float(gone[planted].mean()), 4),
        "precision": round(1 - wrong / max(doubles, 1), 4),
    }


def _resident(process: int) -> float:
    """Return the resident memory of a process and all below it, in MiB."""
    total, waiting = 0.0, [process]
    while waiting:
        number = waiting.pop()
        try:
            status = Path(f"/proc/{number}/status").read_text(encoding="utf-8")
            waiting += map(int, Path(f"/proc/{number}/task/{number}/children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
    return total / 1024


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1_000], metavar="MB")
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--source", type=Path, help="texts to take the first of; made where there are none")
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        source = words.source or Path(name) / "all.jsonl"
        if not source.exists():
            source.with_suffix(".kinds").write_bytes(texts.write(source, max(words.sizes) * 10**6))
        for workers in words.workers:
            for size in words.sizes:
                got = measure(size, Path(name) / f"{size}-{workers}", workers=workers, source=source)
                line = json.dumps({"question": "corpus", **got, **pairs.machine()})
                print(line)
                if words.out is not None:
                    with words.out.open("a", encoding="utf-8") as stream:
                        stream.write(line + "\n")


if __name__ == "__main__":
    main()
