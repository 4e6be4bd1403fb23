"""The mel filterbank: triangles along a scale on which equal steps sound equally far apart.

The scale and the area normalisation are those of Slaney, "Auditory Toolbox" (Interval Research technical
report 1998-010): linear below 1 kHz, logarithmic above. HTK's formula, 2595 log10(1 + f / 700), packs filters
so closely at low frequencies that some would fall between two bins of a 25 ms window.
"""

from __future__ import annotations

import numpy as np

from trainwright.features.base import Array

_HZ_PER_MEL = 200 / 3
_KNEE_HZ = 1_000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27
"""27 steps from 1 kHz to 6.4 kHz."""


def hz_to_mel(hz: Array) -> Array:
    """Return frequencies in mel."""
    above = _KNEE_MEL + np.log(np.maximum(hz, _KNEE_HZ) / _KNEE_HZ) / _LOG_STEP
    return np.where(hz < _KNEE_HZ, hz / _HZ_PER_MEL, above)


def mel_to_hz(mel: Array) -> Array:
    """Return frequencies in hertz: the inverse of `hz_to_mel`."""
    above = _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _KNEE_MEL) - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, above)


def mel_frequencies(mels: int, low: float, high: float) -> Array:
    """Return the corners of `mels` triangles: `mels` + 2 frequencies in hertz, evenly spaced in mel."""
    ends = hz_to_mel(np.array([low, high]))
    return mel_to_hz(np.linspace(ends[0], ends[1], mels + 2))


def mel_filterbank(mels: int, *, fft: int, sample_rate: int, low: float = 20.0) -> Array:
    """Return weights that turn a power spectrum into mel bands, float32 [fft // 2 + 1, mels].

    Filter k rises from 0 at corner k to its peak at corner k + 1 and falls to 0 at corner k + 2. Its height
    is 2 / (width in hertz), so that a band of a flat spectrum has the same power however wide it is.

    Args:
        mels: number of bands.
        fft: length of the Fourier transform, in samples.
        sample_rate: samples a second.
        low: lowest frequency in hertz; the highest is half the sample rate.
    """
    corners = mel_frequencies(mels, low, sample_rate / 2)
    bins = np.arange(fft // 2 + 1) * (sample_rate / fft)
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins[:, None] - left) / (peak - left)
    falling = (right - bins[:, None]) / (right - peak)
    triangles = np.maximum(0, np.minimum(rising, falling))
    weights: Array = (triangles * (2 / (right - left))).astype(np.float32)
    return weights


def fft_length(mels: int, *, window: int, sample_rate: int) -> int:
    """Return the shortest power of two that holds a window and leaves no mel band without a frequency bin.

    Args:
        mels: number of bands.
        window: samples of a frame.
        sample_rate: samples a second.
    """
    length = 1 << (window - 1).bit_length()
    while not mel_filterbank(mels, fft=length, sample_rate=sample_rate).any(axis=0).all():
        length *= 2
    return length
