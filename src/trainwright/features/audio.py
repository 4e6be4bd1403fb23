"""Audio: files, bytes or sample arrays to mono int16 samples of one rate; log-mels are made on the device."""

from __future__ import annotations

import io
import math
import wave
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from trainwright.features.audio_augment import AudioAugment, audio_policy
from trainwright.features.audio_files import Recording, audio_length, mono, read_audio, resampled
from trainwright.features.base import FEATURES, Array, Context, Encoded, FeatureOptions, Ragged
from trainwright.features.learned import LearnedFeature, LearnedInput
from trainwright.features.media_values import (
    Unreadable,
    Value,
    first_reason,
    in_threads,
    media_values,
    read_bytes,
    sample_rows,
)
from trainwright.foundation.errors import DataError

if TYPE_CHECKING:
    from torch import nn

_SAMPLE = 1_000
"""Recordings that rate and length are learned from."""

_STATISTICS = 256
"""Recordings that the mean and deviation of the mel bands are learned from."""

_HIGHEST_RATE = 16_000
"""Highest automatic sample rate: speech and most events are told apart below 8 kHz."""

_LONGEST_SECONDS = 30.0
_WINDOW_SECONDS, _HOP_SECONDS = 0.025, 0.010
_PEAK, _FULL_SCALE = 32_767, 32_768
_SMALLEST_STD = 0.01


class AudioOptions(FeatureOptions):
    """Options of an audio column."""

    sample_rate: int | None = Field(
        None,
        ge=2_000,
        le=192_000,
        description="Samples a second after resampling; the commonest of the training files, at most 16000.",
    )
    max_seconds: float | None = Field(
        None,
        gt=0,
        le=600,
        description="Longer recordings are cut at the end and counted; by the 99th percentile, at most 30.",
    )
    mels: int | None = Field(None, ge=8, le=256, description="Frequency bands; 64, or 40 up to 8000 Hz.")
    loudness: Literal["ignore", "keep"] = Field(
        "ignore",
        description="ignore: every recording is brought to the same level, so that the microphone does not "
        "matter. keep: for tasks where loud and soft differ.",
    )
    augment: AudioAugment = Field(
        AudioAugment(), description="Random changes of training recordings; by the data."
    )


class LearnedRecordings(LearnedInput):
    """What an audio column learned."""

    sample_rate: int = Field(ge=2_000, le=192_000)
    max_seconds: float = Field(gt=0, le=600)
    mels: int = Field(ge=8, le=256)
    full_scale: float = Field(gt=0)
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> LearnedRecordings:
        if not (len(self.mean) == len(self.std) == self.mels and min(self.std) > 0):
            raise ValueError("the statistics of the recordings do not fit together")
        return self


@FEATURES.register("audio")
class AudioFeature(LearnedFeature):
    """A column of recordings: paths, URLs, file contents, or arrays of samples.

    Encodes to "samples", Ragged int16, mono. Recordings are brought to one peak (`loudness: ignore`), so that
    soft ones use all 16 bits; the level would not reach the model anyway, because the stem takes each
    recording's mean out. Arrays are taken to have the sample rate of the column already.

    What is longer than `max_seconds` keeps its beginning: commands, digits and most events start there, and a
    file that is cut at the front need not be decoded further.
    """

    type = "audio"
    modality = "audio"
    Options = AudioOptions
    Input = LearnedRecordings

    learned_: LearnedRecordings

    def fit(self, values: pl.Series, context: Context) -> None:
        """Learn sample rate, length, the scale of arrays, and the statistics of the mel bands.

        Raises:
            DataError: not one recording of the sample can be read.
        """
        sample = media_values(sample_rows(values, _SAMPLE, context, "audio", self.name), self.name)
        seen = in_threads(lambda row: _measured(sample[row], context.root), len(sample), context.workers)
        good = [measure for measure in seen if isinstance(measure, _Measure)]
        where = f"column '{self.name}'"
        if not good:
            reason = first_reason([measure for measure in seen if isinstance(measure, Unreadable)])
            raise DataError(
                f"none of the {len(sample)} recordings looked at can be read ({reason})",
                where=where,
                fix="mend the files or leave the column out",
            )
        options = self.options
        rates = Counter(measure.sample_rate for measure in good if measure.sample_rate is not None)
        if options.sample_rate is None and not rates:
            raise DataError(
                "arrays of samples do not say their sample rate",
                where=where,
                fix=f"set inputs.{self.name}.sample_rate",
            )
        rate = options.sample_rate or min(rates.most_common(1)[0][0], _HIGHEST_RATE)
        mels = options.mels or (64 if rate > 8_000 else 40)
        seconds = [measure.count / (measure.sample_rate or rate) for measure in good]
        longest = options.max_seconds or _usual_length(seconds)
        self.learned_ = LearnedRecordings(
            sample_rate=rate,
            max_seconds=longest,
            mels=mels,
            full_scale=_full_scale(max(measure.peak for measure in good)),
            mean=(0.0,) * mels,
            std=(1.0,) * mels,
            notes=_notes(set(rates), rate, longest, max(seconds)),
        )
        mean, std = self._band_statistics(sample[:: -(-len(sample) // _STATISTICS)], context.root)
        self.learned_ = self.learned_.model_copy(update={"mean": mean, "std": std})

    def _band_statistics(
        self, values: Sequence[Value], root: str | None
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and deviation of each mel band over the frames of some recordings."""
        import torch

        stem = self.stem().eval()
        read = self._reader(root)
        total = torch.zeros(2, self.learned_.mels, dtype=torch.float64)
        count = 0
        with torch.inference_mode():
            for value in values:
                try:
                    samples = torch.from_numpy(read(value)[0]) if value is not None else torch.zeros(0)
                except Unreadable:
                    continue
                if len(samples):
                    lengths = torch.tensor([len(samples)])
                    frames = stem({"samples": samples.unsqueeze(0), "samples.lengths": lengths})[0][
                        0
                    ].double()
                    total += torch.stack([frames.sum(dim=0), frames.square().sum(dim=0)])
                    count += len(frames)
        mean, square = total / max(count, 1)
        deviation = (square - mean.square()).clamp(min=0).sqrt().clamp(min=_SMALLEST_STD)
        means, deviations = (tuple(round(x, 5) for x in moment.tolist()) for moment in (mean, deviation))
        return means, deviations

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "samples": Ragged int16, mono, at the learned rate; a missing or broken one has length 0."""
        items = media_values(values, self.name)
        reader = self._reader(context.root)
        broken: dict[int, str] = {}
        cut = np.zeros(len(items), dtype=bool)
        nothing = np.zeros(0, dtype=np.int16)

        def one(row: int) -> Array:
            value = items[row]
            if value is None:
                return nothing
            try:
                samples, cut[row] = reader(value)
            except Unreadable as reason:
                broken[row] = str(reason)
                return nothing
            return samples

        rows = in_threads(one, len(items), context.workers)
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        samples = Ragged(np.concatenate([nothing, *rows]), offsets)
        truncated = int(cut.sum())
        return Encoded(
            {"samples": samples},
            broken=dict(sorted(broken.items())),
            counts={"truncated": truncated} if truncated else {},
        )

    def _reader(self, root: str | None) -> Callable[[str | bytes | Array], tuple[Array, bool]]:
        """Return the function from a value to int16 samples and whether they were cut."""
        learned, brought_to_peak = self.learned_, self.options.loudness == "ignore"
        most = round(learned.max_seconds * learned.sample_rate)

        def read(value: str | bytes | Array) -> tuple[Array, bool]:
            if isinstance(value, np.ndarray):
                recording = _from_array(value, learned.sample_rate, learned.full_scale, most)
            else:
                recording = read_audio(read_bytes(value, root), max_seconds=learned.max_seconds)
            samples = resampled(recording.samples, recording.sample_rate, learned.sample_rate)[:most]
            if len(samples) == 0:
                raise Unreadable("the recording has no samples")
            peak = float(np.abs(samples).max()) if brought_to_peak else 1.0
            scale = (_PEAK if brought_to_peak else _FULL_SCALE) / (peak or 1.0)
            return np.clip(np.rint(samples * scale), -_FULL_SCALE, _PEAK).astype(np.int16), recording.cut

        return read

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the encoded recordings as WAV files (Binary), null where there is none."""
        samples = encoded.arrays["samples"]
        assert isinstance(samples, Ragged)
        rate = self.learned_.sample_rate
        bounds = zip(samples.offsets[:-1].tolist(), samples.offsets[1:].tolist(), strict=True)
        files = [_wav(samples.values[start:end], rate) if end > start else None for start, end in bounds]
        return pl.Series(self.name, files, dtype=pl.Binary)

    def spec(self) -> dict[str, Any]:
        """Return rate, bands, frame sizes, statistics and the augmentation policy with its reasons."""
        learned = self.learned_
        keeps_loudness = self.options.loudness == "keep"
        window = round(_WINDOW_SECONDS * learned.sample_rate)
        hop = round(_HOP_SECONDS * learned.sample_rate)
        most = round(learned.max_seconds * learned.sample_rate)
        return {
            "sample_rate": learned.sample_rate,
            "mels": learned.mels,
            "width": learned.mels,
            "window": window,
            "hop": hop,
            "max_samples": most,
            "max_length": 1 + max(0, most - window) // hop,
            "mean": list(learned.mean),
            "std": list(learned.std),
            "by_recording": not keeps_loudness,
            "augment": audio_policy(self.options.augment, keeps_loudness=keeps_loudness),
        }

    def stem(self) -> nn.Module:
        """Return the module that makes log-mels, and in training varies them, on the device."""
        from trainwright.features.stems.audio import AudioStem

        return AudioStem(self.spec())


@dataclass(frozen=True)
class _Measure:
    """What one recording of the sample tells.

    Attributes:
        sample_rate: samples a second; None for arrays, which do not say.
        count: number of samples.
        peak: largest magnitude of an array; 0 for files, whose scale is known.
    """

    sample_rate: int | None
    count: int
    peak: float


def _measured(value: Value, root: str | None) -> _Measure | Unreadable | None:
    try:
        if value is None:
            return None
        if isinstance(value, np.ndarray):
            samples = mono(value)
            return _Measure(None, len(samples), max(float(samples.max()), -float(samples.min())))
        rate, count = audio_length(read_bytes(value, root))
        return _Measure(rate, count, 0.0)
    except Unreadable as reason:
        return reason


def _from_array(value: Array, sample_rate: int, full_scale: float, most: int) -> Recording:
    samples = mono(value)
    return Recording((samples[:most] / full_scale).astype(np.float32), sample_rate, len(samples) > most)


def _notes(rates: set[int], rate: int, max_seconds: float, longest: float) -> tuple[str, ...]:
    """Return what was decided and may surprise, one sentence each."""
    notes = []
    if not rates:
        notes.append(f"Arrays of samples are taken to have {rate} samples a second.")
    elif rates != {rate}:
        notes.append(f"Recordings are resampled to {rate} samples a second; option sample_rate changes that.")
    if longest > max_seconds:
        notes.append(
            f"Recordings longer than {max_seconds:g} s are cut at the end; option max_seconds changes that."
        )
    return tuple(notes)


def _usual_length(seconds: Sequence[float]) -> float:
    """Return the 99th percentile in whole half seconds, so that a length of 1.01 s is not cut to 1.00 s."""
    longest = float(np.quantile(np.asarray(seconds), 0.99))
    return min(_LONGEST_SECONDS, math.ceil(longest * 2) / 2)


def _full_scale(peak: float) -> float:
    """Return what arrays with this peak count as full scale: shares of 1, 16-bit or 32-bit values."""
    return next((scale for scale in (1.0, 32_768.0, 2.0**31) if peak <= 1.5 * scale), peak)


def _wav(samples: Array, sample_rate: int) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return stream.getvalue()
