"""How fast do rows become tensors, beside pandas, scikit-learn and tokenizers?

    python -m benchmarks.encode [--rows 1_000_000] [--rounds 3] [--out FILE]

A Parquet file of 10 numbers, 5 categories, a text of 30 words and a target. Ours is what a run does before
its first step with a cold cache: types are inferred, rows are split, transforms fitted on the training rows,
and all rows encoded into the memory-mapped cache. The peer is what an engineer writes in an afternoon: pandas
reads the file, a ColumnTransformer imputes and scales numbers and numbers the categories, a byte-level BPE of
as many tokens is trained on the training texts and all are encoded in batches, cut to 64 and padded; the
arrays are saved. Each is a process of its own; seconds are from the file to the arrays on the disk, imports
left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pairs

WORDS, VOCABULARY = 30, 20_000
CATEGORIES = (3, 10, 50, 200, 1000)


def write(path: Path, rows: int, seed: int = 0) -> None:
    """Write the file, a million rows in pieces."""
    import polars as pl
    import pyarrow.parquet as pq

    random = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(["".join(random.choice(letters, random.integers(2, 10))) for _ in range(VOCABULARY)])
    writer = None
    for start in range(0, rows, 100_000):
        n = min(100_000, rows - start)
        columns: dict[str, Any] = {f"n{i}": random.normal(size=n) for i in range(10)}
        for column in list(columns)[:3]:
            columns[column] = np.where(random.random(n) < 0.05, np.nan, columns[column])
        for i, size in enumerate(CATEGORIES):
            columns[f"c{i}"] = np.char.add("v", random.integers(0, size, n).astype(str))
        drawn = np.minimum(random.zipf(1.3, (n, WORDS)) - 1, VOCABULARY - 1)
        columns["text"] = [" ".join(row) for row in words[drawn]]
        columns["target"] = np.where(columns["n5"] + random.normal(size=n) > 0, "yes", "no")
        table = pl.DataFrame(columns).with_columns(pl.col("n0", "n1", "n2").fill_nan(None)).to_arrow()
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def ours(path: str) -> dict[str, Any]:
    """Encode as a run does."""
    from trainwright.workshop.ask import ask_recipe
    from trainwright.workshop.prepare import prepare

    began = time.perf_counter()
    asked, frame, base = ask_recipe(path, target="target", settings={"inputs.text": "text"})
    prepared = prepare(asked, frame, base=base)
    seconds = time.perf_counter() - began
    tokens = prepared.rows.arrays["text.tokens"]
    return {"seconds": seconds, "rows": prepared.rows.num_rows, "tokens": len(tokens.values), **memory()}


def peer(path: str) -> dict[str, Any]:
    """Encode as an engineer does in an afternoon."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder, StandardScaler
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    began = time.perf_counter()
    frame = pd.read_parquet(path)
    training, _ = train_test_split(
        np.arange(len(frame)), test_size=0.3, random_state=0, stratify=frame["target"]
    )
    numbers, categories = [f"n{i}" for i in range(10)], [f"c{i}" for i in range(5)]
    table = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("categories", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), categories),
        ]
    )
    table.fit(frame.iloc[training])
    dense = table.transform(frame).astype(np.float32)
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=16_384, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    texts = frame["text"]
    tokenizer.train_from_iterator(texts.iloc[training], trainer, length=len(training))
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding(length=64)
    ids = np.zeros((len(frame), 64), dtype=np.int32)
    for start in range(0, len(frame), 10_000):
        encoded = tokenizer.encode_batch(texts.iloc[start : start + 10_000].tolist())
        ids[start : start + len(encoded)] = [row.ids for row in encoded]
    target = (frame["target"] == "yes").to_numpy()
    np.savez(Path(os.environ["TRAINWRIGHT_CACHE"]) / "encoded.npz", dense=dense, ids=ids, target=target)
    return {
        "seconds": time.perf_counter() - began,
        "rows": len(frame),
        "tokens": int((ids > 0).sum()),
        **memory(),
    }


def memory() -> dict[str, Any]:
    """Return the greatest resident memory of this process."""
    from trainwright.foundation.devices import peak_memory_mb

    return {"megabytes": round(peak_memory_mb())}


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=["ours", "peer"], help="encode FILE in this process")
    parser.add_argument("file", nargs="?")
    words = parser.parse_args()
    if words.only:
        print(json.dumps((ours if words.only == "ours" else peer)(words.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write(path, words.rows)

        def measure(who: str, number: int) -> dict[str, Any]:
            cache = Path(folder) / f"cache-{who}-{number}"
            cache.mkdir()
            os.environ["TRAINWRIGHT_CACHE"] = str(cache)  # cold
            return pairs.ours("benchmarks.encode", "--only", who, str(path))

        pairs.compare(
            f"encode {words.rows:,} rows",
            {
                "trainwright": lambda number: measure("ours", number),
                "pandas, scikit-learn, tokenizers": lambda number: measure("peer", number),
            },
            by="seconds",
            rounds=words.rounds,
            smaller=True,
            out=words.out,
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
