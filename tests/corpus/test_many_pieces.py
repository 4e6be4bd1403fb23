"""Many pieces and many documents: few files are open, and memory follows the documents as promised."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tracemalloc
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import PROSE, content, make, write_jsonl

from trainwright.corpus import duplicates, features, shards
from trainwright.corpus.duplicates import exact_firsts, unite_near
from trainwright.corpus.features import HEAVY, HEAVY_FILE, LIGHT, LIGHT_FILE, Features, gather
from trainwright.corpus.minhash import BANDS, BINS

ROOT = Path(__file__).resolve().parents[2]

_FEW_DESCRIPTORS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
import trainwright as tw
from trainwright.corpus import inputs
inputs.SLICE_BYTES = 100
tw.prepare(sys.argv[1], sys.argv[2], workers=1, quiet=True, settings={"shard_megabytes": 1})
"""


def test_a_hundred_and_fifty_pieces_need_few_descriptors(tmp_path: Path) -> None:
    draw = random.Random(0)
    words = [f"{word}{number}" for word in PROSE.split()[:30] for number in range(30)]
    for number in range(150):
        text = f"The number {number} of the books: " + " ".join(draw.choices(words, k=60))
        write_jsonl(tmp_path / "in" / f"{number:03}.jsonl", [text, PROSE] if number % 50 == 0 else [text])
    done = subprocess.run(
        [sys.executable, "-c", _FEW_DESCRIPTORS, str(tmp_path / "in"), str(tmp_path / "few")],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-800:]
    found, _ = make(tmp_path / "in", tmp_path / "out", settings={"shard_megabytes": 1})
    assert len(found) == 151
    assert content(tmp_path / "few") == content(tmp_path / "out")


def test_a_shard_opens_the_pieces_that_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    opened: list[Path] = []
    real = pq.ParquetFile

    def opens(path: Any, **words: Any) -> Any:
        opened.append(Path(path))
        return real(path, **words)

    starts = np.array([0, 1, 1, 2, 4, 5])
    pieces = [tmp_path / f"{number}" for number in range(5)]
    for piece, size in zip(pieces, np.diff(starts).tolist(), strict=True):
        piece.mkdir()
        import polars as pl

        pl.DataFrame(
            {"text": [f"{piece.name}.{row}" for row in range(size)]}, schema={"text": pl.String}
        ).write_parquet(piece / "texts.parquet")
    monkeypatch.setattr(pq, "ParquetFile", opens)
    keep = np.array([True, True, False, True, True])
    for first, last, texts, names in (
        (0, 1, ["0.0"], {"0"}),
        (1, 4, ["2.0", "3.1"], {"2", "3"}),
        (3, 5, ["3.1", "4.0"], {"3", "4"}),
    ):
        opened.clear()
        tables = list(shards._kept(pieces, starts, keep, first, last))
        assert [text for table in tables for text in table.column("text").to_pylist()] == texts
        assert {path.parent.name for path in opened} == names


def of_pieces(folder: Path, light: Any, heavy: Any, sizes: list[int]) -> Features:
    """Write features as pieces have them, and gather them."""
    pieces = []
    start = 0
    for number, size in enumerate(sizes):
        piece = folder / f"{number:06}"
        piece.mkdir(parents=True)
        (piece / LIGHT_FILE).write_bytes(light[start : start + size].tobytes())
        (piece / HEAVY_FILE).write_bytes(heavy[start : start + size].tobytes())
        pieces.append(piece)
        start += size
    gather(folder / "features", pieces)
    assert not [name for piece in pieces for name in piece.iterdir()]
    return Features(folder / "features")


def some_features(draw: Any, number: int) -> tuple[Any, Any]:
    """Return features of documents in clusters, some of which are exact doubles."""
    light, heavy = np.zeros(number, dtype=LIGHT), np.zeros(number, dtype=HEAVY)
    light["exact"] = draw.integers(0, 2**64, (max(1, number // 3), 2), dtype=np.uint64)[
        draw.integers(0, max(1, number // 3), number)
    ]
    light["signed"] = True
    cluster = draw.integers(0, max(1, number // 4), number)
    signature = draw.integers(0, 2**16, (number, BINS), dtype=np.uint16)[cluster]
    other = draw.random((number, BINS)) < draw.choice([0.02, 0.1, 0.3], (number, 1))
    signature[other] = draw.integers(0, 2**16, int(other.sum()), dtype=np.uint16)
    heavy["signature"] = signature
    heavy["bands"] = draw.integers(0, 2**64, (number, BANDS), dtype=np.uint64)[cluster]
    lost = draw.random((number, BANDS)) < 0.7
    heavy["bands"][lost] = draw.integers(0, 2**64, int(lost.sum()), dtype=np.uint64)
    return light, heavy


@pytest.mark.parametrize("number", [0, 1, 40, 3_000])
@pytest.mark.parametrize("sorted_together", [7, 1 << 22])
def test_doubles_are_those_that_a_slow_search_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sorted_together: int
) -> None:
    monkeypatch.setattr(duplicates, "_SORTED", max(sorted_together, number // 500))
    monkeypatch.setattr(duplicates, "_PAIRS", 11)
    monkeypatch.setattr(features, "BLOCK", 100)
    draw = np.random.default_rng(number)
    light, heavy = some_features(draw, number)
    sizes = [number // 3, 0, number // 5, number - number // 3 - number // 5]
    found = of_pieces(tmp_path / "pieces", light, heavy, sizes)
    assert (found.column("exact") == light["exact"]).all()
    assert all((found.band(band) == heavy["bands"][:, band]).all() for band in range(BANDS) if number)
    alive = draw.random(number) < 0.9
    first = exact_firsts(found.column("exact"), alive)
    seen: dict[bytes, int] = {}
    wanted = [
        seen.setdefault(light["exact"][document].tobytes(), document) if alive[document] else document
        for document in range(number)
    ]
    assert first.tolist() == wanted
    alive &= first == np.arange(number)
    near = first.copy()
    unite_near(near, found, alive, similarity=0.8)
    assert near.tolist() == slow_firsts(heavy, alive, first.tolist())


def slow_firsts(heavy: Any, alive: Any, first: list[int]) -> list[int]:
    """Return the first of each cluster, found pair by pair."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for document in np.flatnonzero(alive).tolist():
        for band, key in enumerate(heavy["bands"][document].tolist()):
            groups[band, key].append(document)
    parent = list(first)

    def head(document: int) -> int:
        while parent[document] != document:
            document = parent[document]
        return document

    for group in groups.values():
        for place, document in enumerate(group[1:], start=1):
            for other in (group[0], group[place - 1]):
                if (heavy["signature"][document] == heavy["signature"][other]).mean() >= 0.8:
                    low, high = sorted((head(document), head(other)))
                    parent[high] = low
    return [head(document) if alive[document] else first[document] for document in range(len(first))]


def test_memory_and_time_of_the_search_follow_the_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of a hundred thousand near doubles, each like the one before only, and as many strangers."""
    monkeypatch.setattr(duplicates, "_SORTED", 1 << 12)
    number = 200_000
    draw = np.random.default_rng(0)
    light, heavy = np.zeros(number, dtype=LIGHT), np.zeros(number, dtype=HEAVY)
    light["exact"] = draw.integers(0, 2**64, (number, 2), dtype=np.uint64)
    light["signed"] = True
    heavy["bands"] = draw.integers(0, 2**64, (number, BANDS), dtype=np.uint64)
    heavy["bands"][: number // 2, 0] = 12_345
    place = np.arange(number // 2)
    heavy["signature"] = draw.integers(0, 2**16, (number, BINS), dtype=np.uint16)
    heavy["signature"][: number // 2] = (place[:, None] + np.arange(BINS)) // (2 * BINS)
    draw.shuffle(heavy["signature"][: number // 2])
    found = of_pieces(tmp_path / "pieces", light, heavy, [number // 2, number // 2])
    del light, heavy
    alive = np.ones(number, dtype=bool)
    tracemalloc.start()
    first = exact_firsts(found.column("exact"), alive)
    _, exact_peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    unite_near(first, found, alive, similarity=0.8)
    _, near_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The bytes of what the test holds are in it, too: one of `alive` for each document.
    assert exact_peak < 34 * number + (4 << 20), exact_peak / number
    assert near_peak < 34 * number + (44 << 20), near_peak / number


@pytest.mark.parametrize("after", [1, 4, 9, 11, 12, 17])
def test_what_is_gathered_is_whole_or_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Stop it at any of ten files that are read, or of ten that are removed from the pieces behind that."""
    monkeypatch.setattr("trainwright.corpus.inputs.SLICE_BYTES", 100)
    for number in range(5):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", [f"{PROSE} {number}", f"{number} {PROSE[::-1]}"])
    make(tmp_path / "in", tmp_path / "whole", quality="off")
    steps = 0

    def stopping(real: Any) -> Any:
        def stops(path: Path, *rest: Any, **words: Any) -> Any:
            nonlocal steps
            steps += path.name in {LIGHT_FILE, HEAVY_FILE}
            if steps == after:
                raise KeyboardInterrupt
            return real(path, *rest, **words)

        return stops

    monkeypatch.setattr(features, "_blocks", stopping(features._blocks))
    monkeypatch.setattr(Path, "unlink", stopping(Path.unlink))
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "in", tmp_path / "out", quality="off")
    monkeypatch.undo()
    monkeypatch.setattr("trainwright.corpus.inputs.SLICE_BYTES", 100)
    (tmp_path / "out" / ".lock").unlink(missing_ok=True)
    make(tmp_path / "in", tmp_path / "out", quality="off")
    assert content(tmp_path / "out") == content(tmp_path / "whole")
