"""Audio files to mono samples of one rate: hostile bytes in, a bounded number of samples out."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainwright.features.base import Array
from trainwright.features.media_values import Unreadable

_RATES = range(1_000, 768_001)
"""Sample rates that exist; a header with another one is damaged."""

_MOST_CHANNELS = 32
_UNREADABLE = "this is no audio file that can be read (WAV, FLAC, OGG, MP3, AIFF …)"


@dataclass(frozen=True)
class Recording:
    """The beginning of a recording.

    Attributes:
        samples: float32 [time], mono, 1 is full scale.
        sample_rate: samples a second.
        cut: more followed.
    """

    samples: Array
    sample_rate: int
    cut: bool


def audio_length(data: bytes) -> tuple[int, int]:
    """Return a file's sample rate and its number of samples, from its header.

    Raises:
        Unreadable: no audio, or without samples.
    """
    with _open(data) as file:
        return file.samplerate, file.frames


def read_audio(data: bytes, *, max_seconds: float) -> Recording:
    """Decode the beginning of a file; its channels are averaged.

    Args:
        data: content of the file, in any format that libsndfile reads.
        max_seconds: no more is decoded, whatever the header claims.

    Raises:
        Unreadable: no audio, without samples, or with samples that are not finite.
    """
    with _open(data) as file:
        rate = file.samplerate
        wanted = min(round(max_seconds * rate), file.frames)
        try:
            samples = file.read(wanted, dtype="float32", always_2d=True)
        except Exception as error:  # decoders of hostile bytes raise whatever they stumble on
            raise Unreadable("the audio file is cut short or damaged") from error
        cut = file.frames > wanted
    return Recording(mono(samples), rate, cut)


def mono(samples: Array) -> Array:
    """Return samples [time] from [time] or [time, channels], the channels averaged.

    Raises:
        Unreadable: there are none, too many axes, or values that are not finite.
    """
    if samples.size == 0:
        raise Unreadable("the recording has no samples")
    if samples.ndim > 2:
        raise Unreadable("an array of samples has the axes [time] or [time, channels]")
    if not np.isfinite(samples).all():
        raise Unreadable("the recording holds samples that are not finite numbers")
    if samples.ndim == 1:
        return samples
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)


def resampled(samples: Array, rate: int, wanted: int) -> Array:
    """Return float32 samples at another rate (soxr, high quality: the alias is below -100 dB)."""
    if rate == wanted:
        return samples
    import soxr

    converted: Array = soxr.resample(samples, rate, wanted, quality="HQ")
    return converted


def _open(data: bytes) -> Any:
    import soundfile

    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except Exception as error:  # decoders of hostile bytes raise whatever they stumble on
        raise Unreadable(_UNREADABLE) from error
    if file.samplerate not in _RATES or file.channels > _MOST_CHANNELS:
        raise Unreadable(f"a recording of {file.channels} channels at {file.samplerate} Hz cannot be meant")
    if file.frames <= 0:
        raise Unreadable("the recording has no samples")
    return file
