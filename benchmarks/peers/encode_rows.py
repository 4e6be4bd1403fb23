"""Rows to arrays with pandas, scikit-learn and tokenizers, as an engineer writes it in an afternoon.

    python -m benchmarks.peers.encode_rows FILE FOLDER [--lean] [--tokenizer tokenizer.json]

pandas reads the file, 70 % of the rows are for training, a ColumnTransformer imputes and scales the numbers
and numbers the categories, and a byte-level BPE of 16,384 tokens (the kind that we train) learns from all
training texts; or a tokenizer that is there already is read. Texts are encoded in batches, cut to 64 tokens,
and padded. All arrays are saved. `--lean` is for who has read more of the manual: offsets that nobody needs
are left out (`encode_batch_fast`), and the tokenizer learns from no more text than ours, 30 million
characters.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TOKENS = 64
_BATCH = 10_000
_LEAN_CHARACTERS = 30_000_000


def main() -> None:
    """Encode, and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lean", action="store_true")
    parser.add_argument("--tokenizer")
    words = parser.parse_args()
    began = time.perf_counter()
    frame = pd.read_parquet(words.file)
    training, _ = train_test_split(
        np.arange(len(frame)), test_size=0.3, random_state=0, stratify=frame["target"]
    )
    numbers = [name for name in frame if name.startswith("number")]
    categories = [name for name in frame if name.startswith("category")]
    table = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
            ("categories", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), categories),
        ]
    )
    table.fit(frame.iloc[training])
    dense = table.transform(frame).astype(np.float32)
    arrays = {"dense": dense, "target": (frame["target"] == "yes").to_numpy()}
    tokens = 0
    for name in (name for name in frame if name.startswith("text")):
        ids = _ids(frame[name], training, words.tokenizer, lean=words.lean)
        tokens += int((ids > 0).sum())
        arrays[name] = ids
    np.savez(words.folder / "encoded.npz", **arrays)
    taken = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": taken.ru_utime + taken.ru_stime,
        "megabytes": round(taken.ru_maxrss / 1024),
        "rows": len(frame),
        "tokens": tokens,
    }
    print(json.dumps(found))


def _ids(texts: Any, training: Any, saved: str | None, *, lean: bool) -> Any:
    """Return token ids, int32 [rows, TOKENS]."""
    if saved:
        tokenizer = Tokenizer.from_file(saved)
    else:
        learned_from = texts.iloc[training]
        if lean:
            learned_from = learned_from[learned_from.str.len().cumsum() < _LEAN_CHARACTERS]
        tokenizer = _trained(learned_from)
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    encode = tokenizer.encode_batch_fast if lean else tokenizer.encode_batch
    ids = np.zeros((len(texts), TOKENS), dtype=np.int32)
    for start in range(0, len(texts), _BATCH):
        encoded = encode(texts.iloc[start : start + _BATCH].tolist())
        ids[start : start + len(encoded)] = [row.ids for row in encoded]
    return ids


def _trained(texts: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=16_384,
        min_frequency=2,
        special_tokens=["[PAD]"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer


if __name__ == "__main__":
    main()
