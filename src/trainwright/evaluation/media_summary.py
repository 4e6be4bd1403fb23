"""Images, recordings and sequences as a few dozen plain numbers a row: what simple models take of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from trainwright.data.encoded import Ragged
from trainwright.evaluation.sample import Array

GRID = 8
"""Cells along each side that pixels are averaged over."""
MELS = 40
"""Mel bands of a recording."""

_CHUNK_CELLS = 4_000_000  # pixels, samples or values in memory as floats at a time: 16 to 32 MB
_WINDOW_SECONDS, _HOP_SECONDS = 0.032, 0.016
_QUIET = 1e-6


def pooled_pixels(pixels: Array) -> Array:
    """Return the mean brightness of an 8 by 8 grid in each channel, float32 [rows, channels * 64].

    Args:
        pixels: uint8 [rows, channels, height, width]; may be memory-mapped.
    """
    rows, channels, height, width = pixels.shape
    tops = np.linspace(0, height, min(GRID, height), endpoint=False).astype(np.int64)
    lefts = np.linspace(0, width, min(GRID, width), endpoint=False).astype(np.int64)
    area = np.outer(np.diff(tops, append=height), np.diff(lefts, append=width))
    out = np.empty((rows, channels, len(tops), len(lefts)), dtype=np.float32)
    step = max(1, _CHUNK_CELLS // max(channels * height * width, 1))
    for start in range(0, rows, step):
        chunk = pixels[start : start + step].astype(np.float32)
        sums = np.add.reduceat(np.add.reduceat(chunk, tops, axis=2), lefts, axis=3)
        out[start : start + step] = sums / (area * 255.0)
    return out.reshape(rows, -1)


def mel_statistics(samples: Ragged, sample_rate: int) -> Array:
    """Return mean and standard deviation over time of 40 log-mel bands, and the duration in seconds.

    Args:
        samples: int16 recordings, one a row; an empty one gives NaN.
        sample_rate: samples a second.

    Returns:
        float32 [rows, 81].
    """
    window = max(16, round(sample_rate * _WINDOW_SECONDS))
    hop = max(1, round(sample_rate * _HOP_SECONDS))
    bank = mel_bank(window, sample_rate).astype(np.float32)
    shape = np.hanning(window).astype(np.float32)

    def summarise(values: Array, lengths: Array) -> Array:
        frames = np.where(lengths > 0, 1 + np.maximum(lengths - window, 0) // hop, 0)
        starts = np.repeat(np.cumsum(lengths) - lengths, frames) + hop * _within(frames)
        ends = np.repeat(np.cumsum(lengths), frames)
        place = starts[:, None] + np.arange(window)
        signal = values[np.minimum(place, max(len(values) - 1, 0))].astype(np.float32) / 32768
        signal *= (place < ends[:, None]) * shape
        power = np.abs(np.fft.rfft(signal, axis=1)) ** 2
        mels = np.log(power.astype(np.float32) @ bank.T + _QUIET)
        return np.concatenate([*_moments(mels, frames), lengths[:, None] / sample_rate], axis=1)

    return _by_chunks(samples, summarise, 2 * MELS + 1, spread=window / hop)


def sequence_statistics(values: Ragged) -> Array:
    """Return mean, standard deviation, least, greatest, first and last of each dimension, and the length.

    Args:
        values: float [total, d] or [total]; an empty row gives NaN.

    Returns:
        float32 [rows, 6 * d + 1].
    """
    width = values.values.shape[1] if values.values.ndim == 2 else 1

    def summarise(flat: Array, lengths: Array) -> Array:
        flat = flat.reshape(-1, width).astype(np.float64)
        starts = np.cumsum(lengths) - lengths
        known = lengths > 0
        ends = np.full((4, len(lengths), width), np.nan)
        if known.any():
            ends[0, known] = np.minimum.reduceat(flat, starts[known], axis=0)
            ends[1, known] = np.maximum.reduceat(flat, starts[known], axis=0)
            ends[2, known] = flat[starts[known]]
            ends[3, known] = flat[(starts + lengths - 1)[known]]
        return np.concatenate([*_moments(flat, lengths), *ends, lengths[:, None]], axis=1)

    return _by_chunks(values, summarise, 6 * width + 1, spread=width)


def mel_bank(window: int, sample_rate: int) -> Array:
    """Return triangular mel filters [40, window // 2 + 1] (mel scale of O'Shaughnessy 1987)."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + sample_rate / 1400), MELS + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(window, 1 / sample_rate)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequency - left) / (centre - left)
    falling = (right - frequency) / (right - centre)
    return np.clip(np.minimum(rising, falling), 0, None)


def _by_chunks(
    ragged: Ragged, summarise: Callable[[Array, Array], Array], width: int, *, spread: float
) -> Array:
    """Return float32 [rows, width]: `summarise(values, lengths)` of runs of rows of bounded size."""
    out = np.empty((len(ragged.offsets) - 1, width), dtype=np.float32)
    for first, last in _runs(ragged.offsets, int(_CHUNK_CELLS / max(spread, 1))):
        begin, end = ragged.offsets[first], ragged.offsets[last]
        out[first:last] = summarise(np.asarray(ragged.values[begin:end]), ragged.lengths[first:last])
    return out


def _runs(offsets: Array, size: int) -> Iterator[tuple[int, int]]:
    """Yield runs of rows that hold at most `size` values together, and at least one row."""
    first, rows = 0, len(offsets) - 1
    while first < rows:
        last = int(np.searchsorted(offsets, offsets[first] + size, side="right")) - 1
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last


def _within(counts: Array) -> Array:
    """Return 0, 1, … within each of consecutive groups of the given sizes."""
    return np.asarray(np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))


def _moments(values: Array, lengths: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation [rows, d] of consecutive groups of `values` [total, d]."""
    known = lengths > 0
    mean = np.full((len(lengths), values.shape[1]), np.nan)
    square = mean.copy()
    if known.any():
        starts = (np.cumsum(lengths) - lengths)[known]
        count = lengths[known, None]
        mean[known] = np.add.reduceat(values, starts, axis=0) / count
        centred = values - np.repeat(mean[known], lengths[known], axis=0)
        square[known] = np.add.reduceat(centred**2, starts, axis=0) / count
    return mean, np.sqrt(square)
