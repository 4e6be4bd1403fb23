"""Between the passes: which documents stay, in which shard each goes, and what became of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwright.corpus.duplicates import exact_firsts, near_firsts
from trainwright.corpus.features import HEAVY, LIGHT, Rows, read_features
from trainwright.corpus.ledger import SAMPLES, Ledger
from trainwright.corpus.personal import KINDS
from trainwright.corpus.pieces import HEAVY_FILE, LEDGER, LIGHT_FILE, TEXTS
from trainwright.corpus.settings import CorpusSettings
from trainwright.foundation.paths import whole_folder, write_json

KEEP, PLAN = "keep.npy", "shards.json"

_KEPT, _EXACT, _NEAR, _CONTAMINATED = range(4)


def resolve(folder: Path, pieces: Sequence[Path], settings: CorpusSettings, *, sets: Sequence[str]) -> None:
    """Decide on all documents, and write the decision.

    Args:
        folder: what to make.
        pieces: folders of the first pass, in order.
        settings: what to do.
        sets: names of the evaluation sets.
    """
    import json

    ledger = Ledger()
    for piece in pieces:
        ledger.add(Ledger.from_json(json.loads((piece / LEDGER).read_text(encoding="utf-8"))))
    light = [read_features(piece / LIGHT_FILE, LIGHT) for piece in pieces]
    offsets = np.cumsum([0, *map(len, light)])
    fate, first = _fates(light, [piece / HEAVY_FILE for piece in pieces], settings)
    _count(ledger, pieces, light, offsets, fate, first, settings, sets)
    keep = fate == _KEPT
    sizes = np.concatenate([part["bytes"] for part in light] or [np.zeros(0, np.uint32)])
    with whole_folder(folder, durable=False) as scratch:
        np.save(scratch / KEEP, keep)
        write_json(scratch / LEDGER, ledger.to_json())
        write_json(scratch / PLAN, _shards(keep, sizes, settings.shard_megabytes << 20))


def _fates(
    light: Sequence[Rows], heavy: Sequence[Path], settings: CorpusSettings
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return what becomes of each document, and the first of those that are the same."""
    number = sum(map(len, light))
    fate = np.full(number, _KEPT, dtype=np.uint8)
    first = np.arange(number)
    if settings.contaminated == "drop" and number:
        # Before doubles: one that is clean must not leave as a double of what leaves itself.
        fate[np.concatenate([part["set"] for part in light]) > 0] = _CONTAMINATED
    if settings.exact_duplicates and number:
        alive = np.flatnonzero(fate == _KEPT)
        first[alive] = alive[exact_firsts(np.concatenate([part["exact"] for part in light])[alive])]
        fate[first < np.arange(number)] = _EXACT
    if settings.near_duplicates is not None and number:
        alive = (fate == _KEPT) & np.concatenate([part["signed"] for part in light])
        features = [read_features(path, HEAVY) for path in heavy]
        near = near_firsts(features, alive, similarity=settings.near_duplicates)
        double = near < np.arange(number)
        fate[double & (fate == _KEPT)] = _NEAR
        first = np.where(double, near, first)
    empty = np.concatenate([part["bytes"] for part in light] or [np.zeros(0, np.uint32)]) == 0
    fate[empty & (fate == _KEPT)] = _CONTAMINATED  # all of it was cut out
    return fate, first


def _count(
    ledger: Ledger,
    pieces: Sequence[Path],
    light: Sequence[Rows],
    offsets: npt.NDArray[np.int64],
    fate: npt.NDArray[np.uint8],
    first: npt.NDArray[np.int64],
    settings: CorpusSettings,
    sets: Sequence[str],
) -> None:
    for piece, part in enumerate(light):
        here = fate[offsets[piece] : offsets[piece + 1]]
        kept = here == _KEPT
        for kind, number in zip(
            KINDS, part["masked"][kept].sum(axis=0, dtype=np.int64).tolist(), strict=True
        ):
            if number:
                ledger.masked[kind] = ledger.masked.get(kind, 0) + number
        for code, step, reason in ((_EXACT, "duplicates", "exact"), (_NEAR, "duplicates", "near")):
            _left(ledger, step, reason, part["characters"][here == code])
        for number, name in enumerate(sets, start=1):
            met = part["set"] == number
            _left(ledger, "contamination", name, part["characters"][met & (here == _CONTAMINATED)])
            if settings.contaminated == "cut":
                ledger.note(f"texts with parts of {name} cut out", int((met & kept).sum()))
    for code, name in ((_EXACT, "duplicates.exact"), (_NEAR, "duplicates.near")):
        for document in np.flatnonzero(fate == code)[:SAMPLES]:
            where, text = _document(pieces, offsets, int(document))
            kept_where, kept_text = _document(pieces, offsets, int(first[document]))
            ledger.sample(name, where, text, like=kept_where, like_text=kept_text)
    sets_of = np.concatenate([part["set"] for part in light] or [np.zeros(0, np.uint8)])
    for number, name in enumerate(sets, start=1):
        for document in np.flatnonzero((fate == _CONTAMINATED) & (sets_of == number))[:SAMPLES]:
            ledger.sample(f"contamination.{name}", *_document(pieces, offsets, int(document)))
    masked_any = np.concatenate([part["masked"].any(axis=1) for part in light] or [np.zeros(0, dtype=bool)])
    for document in np.flatnonzero((fate == _KEPT) & masked_any)[:SAMPLES]:
        where, text = _document(pieces, offsets, int(document))
        place = min((at for kind in KINDS if (at := text.find(f"<{kind.upper()}>")) >= 0), default=0)
        ledger.sample("personal.masked", where, text[max(0, place - 80) :])


def _left(ledger: Ledger, step: str, reason: str, characters: npt.NDArray[np.uint32]) -> None:
    if len(characters):
        count = ledger.left.setdefault(step, {}).setdefault(reason, [0, 0])
        count[0] += len(characters)
        count[1] += int(characters.sum(dtype=np.int64))


def _document(pieces: Sequence[Path], offsets: npt.NDArray[np.int64], document: int) -> tuple[str, str]:
    """Return where a document comes from, and its text."""
    import pyarrow.parquet as pq

    piece = int(np.searchsorted(offsets, document, side="right")) - 1
    row = document - int(offsets[piece])
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


def _shards(keep: npt.NDArray[np.bool_], sizes: npt.NDArray[np.uint32], most: int) -> list[dict[str, Any]]:
    """Return which range of documents each shard holds."""
    kept = np.flatnonzero(keep)
    if not len(kept):
        return []
    before = np.cumsum(sizes[kept], dtype=np.int64) - sizes[kept]
    shard = before // most
    heads = np.flatnonzero(np.diff(shard, prepend=-1))
    ends = np.append(heads[1:], len(kept))
    return [
        {"first": int(kept[head]), "last": int(kept[end - 1]) + 1, "rows": int(end - head)}
        for head, end in zip(heads, ends, strict=True)
    ]
