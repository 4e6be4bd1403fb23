"""Between the passes: which documents stay, in which shard each goes, and what became of the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwright.corpus.duplicates import Flags, exact_firsts, unite_near
from trainwright.corpus.features import Features, Indices
from trainwright.corpus.ledger import SAMPLES, Ledger
from trainwright.corpus.personal import KINDS
from trainwright.corpus.pieces import LEDGER, TEXTS
from trainwright.corpus.settings import CorpusSettings
from trainwright.foundation.paths import whole_folder, write_json

KEEP, PLAN = "keep.npy", "shards.json"

_KEPT, _EXACT, _NEAR, _CONTAMINATED = range(4)

Fates = npt.NDArray[np.uint8]


def resolve(
    folder: Path,
    pieces: Sequence[Path],
    features: Features,
    settings: CorpusSettings,
    *,
    sets: Sequence[str],
) -> None:
    """Decide on all documents, and write the decision.

    Args:
        folder: what to make.
        pieces: folders of the first pass, in order.
        features: features of their documents.
        settings: what to do.
        sets: names of the evaluation sets.
    """
    ledger = Ledger()
    for piece in pieces:
        ledger.add(Ledger.from_json(json.loads((piece / LEDGER).read_text(encoding="utf-8"))))
    fate, first = _fates(features, settings)
    shown = _count(ledger, features, fate, settings, sets)
    for name, documents in shown.items():
        _show(ledger, name, documents, pieces, features, first)
    keep = fate == _KEPT
    with whole_folder(folder, durable=False) as scratch:
        np.save(scratch / KEEP, keep)
        write_json(scratch / LEDGER, ledger.to_json())
        write_json(scratch / PLAN, _shards(keep, features, settings.shard_megabytes << 20))


def _fates(features: Features, settings: CorpusSettings) -> tuple[Fates, Indices]:
    """Return what becomes of each document, and the first of those that are the same."""
    fate = np.full(features.num_documents, _KEPT, dtype=np.uint8)
    if settings.contaminated == "drop":
        # Before doubles: one that is clean must not leave as a double of what leaves itself.
        fate[features.column("set") > 0] = _CONTAMINATED
    alive = fate == _KEPT
    first = np.arange(len(fate))
    if settings.exact_duplicates:
        first = exact_firsts(features.column("exact"), alive)
        fate[_later(first)] = _EXACT
    if settings.near_duplicates is not None:
        alive &= (fate == _KEPT) & features.column("signed")
        unite_near(first, features, alive, similarity=settings.near_duplicates)
        fate[_later(first) & alive] = _NEAR
    fate[(features.column("bytes") == 0) & (fate == _KEPT)] = _CONTAMINATED  # all of it was cut out
    return fate, first


def _later(first: Indices) -> Flags:
    return np.asarray(first < np.arange(len(first)))


def _count(
    ledger: Ledger, features: Features, fate: Fates, settings: CorpusSettings, sets: Sequence[str]
) -> dict[str, list[int]]:
    """Count what became of the documents; return the first few of each reason."""
    shown: dict[str, list[int]] = {}
    for start, part in features.light():
        here = fate[start : start + len(part)]
        kept = here == _KEPT
        for kind, number in zip(
            KINDS, part["masked"][kept].sum(axis=0, dtype=np.int64).tolist(), strict=True
        ):
            if number:
                ledger.masked[kind] = ledger.masked.get(kind, 0) + number
        left = [("duplicates", "exact", here == _EXACT), ("duplicates", "near", here == _NEAR)]
        for number, name in enumerate(sets, start=1):
            met = part["set"] == number
            left.append(("contamination", name, met & (here == _CONTAMINATED)))
            if settings.contaminated == "cut":
                ledger.note(f"texts with parts of {name} cut out", int((met & kept).sum()))
                ledger.note(f"characters of parts of {name} cut out", int(part["cut"][met & kept].sum()))
        for step, reason, flags in left:
            _left(ledger, step, reason, part["characters"][flags] + part["cut"][flags])
            _remember(shown, f"{step}.{reason}", flags, start)
        _remember(shown, "personal.masked", kept & part["masked"].any(axis=1), start)
    return shown


def _left(ledger: Ledger, step: str, reason: str, characters: npt.NDArray[np.uint32]) -> None:
    if len(characters):
        count = ledger.left.setdefault(step, {}).setdefault(reason, [0, 0])
        count[0] += len(characters)
        count[1] += int(characters.sum(dtype=np.int64))


def _remember(shown: dict[str, list[int]], name: str, flags: Flags, start: int) -> None:
    documents = shown.setdefault(name, [])
    if len(documents) < SAMPLES:
        documents += (np.flatnonzero(flags)[: SAMPLES - len(documents)] + start).tolist()


def _show(
    ledger: Ledger,
    name: str,
    documents: Sequence[int],
    pieces: Sequence[Path],
    features: Features,
    first: Indices,
) -> None:
    """Keep documents as samples."""
    for document in documents:
        where, text = _document(pieces, features.starts, document)
        if name.startswith("duplicates."):
            kept_where, kept_text = _document(pieces, features.starts, int(first[document]))
            ledger.sample(name, where, text, like=kept_where, like_text=kept_text)
        elif name == "personal.masked":
            place = min((at for kind in KINDS if (at := text.find(f"<{kind.upper()}>")) >= 0), default=0)
            ledger.sample(name, where, text[max(0, place - 80) :])
        else:
            ledger.sample(name, where, text)


def _document(pieces: Sequence[Path], starts: Indices, document: int) -> tuple[str, str]:
    """Return where a document comes from, and its text."""
    import pyarrow.parquet as pq

    piece = int(np.searchsorted(starts, document, side="right")) - 1
    row = document - int(starts[piece])
    with pq.ParquetFile(pieces[piece] / TEXTS, pre_buffer=False) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                columns = ["text", "source", "position"]
                found = file.read_row_group(group, columns=columns, use_threads=False).slice(row, 1)
                values = found.to_pylist()[0]
                return f"{values['source']} {values['position']}".strip(), values["text"]
            row -= rows
    raise AssertionError("a document lies in no row group")


def _shards(keep: Flags, features: Features, most: int) -> list[dict[str, Any]]:
    """Return which range of documents each shard holds."""
    shards: list[dict[str, Any]] = []
    total, last = 0, -1
    for start, part in features.light():
        kept = np.flatnonzero(keep[start : start + len(part)])
        sizes = part["bytes"][kept].astype(np.int64)
        shard = (total + np.cumsum(sizes) - sizes) // most
        total += int(sizes.sum())
        for number in np.unique(shard).tolist():
            documents = kept[shard == number] + start
            if number != last:
                shards.append({"first": int(documents[0]), "last": 0, "rows": 0})
                last = number
            shards[-1]["last"] = int(documents[-1]) + 1
            shards[-1]["rows"] += len(documents)
    return shards
