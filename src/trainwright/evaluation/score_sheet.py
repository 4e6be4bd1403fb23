"""The scores of many rows, fetched from the device some megabytes at a time: it never waits for one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

_HELD_BYTES = 32 * 2**20


class ScoreSheet:
    """Gathers scores by name and row.

    Args:
        num_rows: rows of every sheet.
        arrays: name → array [num_rows, ...] to fill, where there is one already; others are made whole at
            once, as a million rows in small pieces would leave the heap full of holes.
    """

    def __init__(self, num_rows: int, arrays: Mapping[str, Array] | None = None) -> None:
        self.num_rows = num_rows
        self._arrays = dict(arrays or {})
        self._held: list[tuple[str, Array, torch.Tensor]] = []
        self._bytes = 0

    def put(self, name: str, rows: Array, scores: torch.Tensor) -> None:
        """Take the scores [rows, ...] of some rows, which are kept in float32."""
        scores = scores.float()
        self._held.append((name, rows, scores))
        self._bytes += scores.nbytes
        if scores.device.type == "cpu" or self._bytes > _HELD_BYTES:
            self._fetch()

    def arrays(self) -> dict[str, Array]:
        """Return name → scores [num_rows, ...]; rows that were not given are undefined, or as they were."""
        self._fetch()
        return self._arrays

    def _fetch(self) -> None:
        import torch

        names: dict[str, list[tuple[Array, torch.Tensor]]] = {}
        for name, rows, scores in self._held:
            names.setdefault(name, []).append((rows, scores))
        self._held, self._bytes = [], 0
        for name, parts in names.items():
            fetched = torch.cat([scores for _, scores in parts]).cpu().numpy()
            if name not in self._arrays:
                self._arrays[name] = np.empty((self.num_rows, *fetched.shape[1:]), dtype=fetched.dtype)
            self._arrays[name][np.concatenate([rows for rows, _ in parts])] = fetched
