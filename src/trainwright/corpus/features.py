"""What is kept of each document to tell doubles: fixed numbers of bytes, in files that are read in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainwright.corpus.minhash import BANDS, BINS
from trainwright.corpus.personal import KINDS

LIGHT = np.dtype(
    [
        ("exact", np.uint64, 2),
        ("bytes", np.uint32),
        ("characters", np.uint32),
        ("masked", np.uint16, len(KINDS)),
        ("set", np.uint8),
        ("signed", np.bool_),
    ]
)
"""`exact` is a hash of the text without case and spaces, `bytes` and `characters` its length as it will be
written, `masked` the places of personal data, `set` 1 + the evaluation set that it meets, `signed` whether it
has a signature."""

HEAVY = np.dtype([("bands", np.uint64, BANDS), ("signature", np.uint16, BINS)])

Rows = npt.NDArray[np.void]


def read_features(path: Path, kind: np.dtype[np.void]) -> Rows:
    """Return the records of a file, read in place."""
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=kind)
    return np.memmap(path, dtype=kind, mode="r")
