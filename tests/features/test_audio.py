"""Audio: any recording becomes comparable samples, and padding never reaches the log-mels."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.data.encoded import Ragged
from trainwright.features.audio import AudioFeature
from trainwright.features.audio_augment import AudioAugment, audio_policy
from trainwright.features.base import FEATURES, Array, Context, Encoded, check_options
from trainwright.features.mel import fft_length, hz_to_mel, mel_filterbank, mel_frequencies, mel_to_hz
from trainwright.features.stems.audio import AudioStem, spec_augment, vary
from trainwright.foundation.errors import DataError, ModelFolderError

HERE = Context(workers=2)


def tone(seconds: float = 0.5, rate: int = 16_000, hertz: float = 440.0, level: float = 0.5) -> Array:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def file(samples: Array, rate: int = 16_000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def files(*contents: bytes | None) -> pl.Series:
    return pl.Series("clip", list(contents), dtype=pl.Binary)


def fitted(values: pl.Series, context: Context = HERE, **options: object) -> AudioFeature:
    feature = AudioFeature("clip", check_options(AudioFeature, options))
    feature.fit(values, context)
    return feature


def samples(encoded: Encoded) -> Ragged:
    ragged = encoded.arrays["samples"]
    assert isinstance(ragged, Ragged)
    return ragged


def one(content: bytes, **options: object) -> Array:
    return samples(fitted(files(content), **options).encode(files(content), HERE)).values


def batch(encoded: Encoded, rows: list[int] | None = None, *, extra: int = 0) -> dict[str, torch.Tensor]:
    """The tensors of some rows, with more padding than needed that is not even zero."""
    ragged = samples(encoded)
    padded, lengths = ragged.padded(np.arange(len(ragged.lengths)) if rows is None else np.array(rows))
    padded = np.concatenate([padded, np.full((len(padded), extra), 9_999, np.int16)], axis=1)
    if extra:
        padded[np.arange(padded.shape[1]) >= lengths[:, None]] = 9_999
    return {"samples": torch.from_numpy(padded), "samples.lengths": torch.from_numpy(lengths)}


def strongest(content: Array, rate: int) -> float:
    """The strongest frequency of a signal, in hertz."""
    spectrum = np.abs(np.fft.rfft(content * np.hanning(len(content))))
    return float(spectrum.argmax() * rate / len(content))


def test_is_registered() -> None:
    assert FEATURES["audio"] is AudioFeature


# Files of every kind


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_U8"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("FLAC", None),
        ("OGG", "VORBIS"),
        ("MP3", None),
        ("AIFF", None),
    ],
)
def test_every_format_sounds_the_same(kind: str, subtype: str | None) -> None:
    heard = one(file(tone(), 16_000, kind, subtype))
    assert heard.dtype == np.int16
    assert abs(len(heard) - 8_000) < 1_300  # MP3 pads to whole frames
    assert abs(strongest(heard[:8_000].astype(float), 16_000) - 440) < 3


def test_stereo_44100_becomes_mono_16000() -> None:
    left, right = tone(1.0, 44_100, 440), tone(1.0, 44_100, 3_000)
    content = file(np.stack([left, right], axis=1), 44_100)
    feature = fitted(files(content))
    heard = samples(feature.encode(files(content), HERE)).values / 32_767
    assert feature.spec()["sample_rate"] == 16_000
    assert len(heard) == 16_000
    mixed = tone(1.0, 16_000, 440) + tone(1.0, 16_000, 3_000)
    mixed /= np.abs(mixed).max()
    assert np.abs(heard[500:-500] - mixed[500:-500]).max() < 0.01


def test_the_rate_is_the_commonest_up_to_16000() -> None:
    low, middle = file(tone(rate=8_000), 8_000), file(tone(rate=11_025), 11_025)
    assert fitted(files(low, low, middle)).spec()["sample_rate"] == 8_000
    assert fitted(files(low, middle, middle)).spec()["sample_rate"] == 11_025
    assert fitted(files(low), sample_rate=4_000).spec()["sample_rate"] == 4_000
    assert fitted(files(low)).spec()["mels"] == 40
    assert fitted(files(file(tone()))).spec()["mels"] == 64


def test_resampling_keeps_out_what_the_rate_cannot_hold() -> None:
    content = file(tone(1.0, 16_000, 6_000) + tone(1.0, 16_000, 500, 0.1), 16_000)
    assert abs(strongest(one(content, sample_rate=8_000).astype(float), 8_000) - 500) < 3


def test_longer_recordings_keep_their_beginning_and_are_counted() -> None:
    rising = np.linspace(0, 1, 32_000, dtype=np.float32)
    values = files(file(rising), file(tone(0.2)))
    feature = fitted(values, max_seconds=0.5)
    encoded = feature.encode(values, HERE)
    assert samples(encoded).lengths.tolist() == [8_000, 3_200]
    assert encoded.counts == {"truncated": 1}
    heard = samples(encoded).values[:8_000]
    assert (np.diff(heard.astype(int)) >= 0).all()
    assert heard[-1] == 32_767


def test_length_follows_from_the_training_recordings() -> None:
    short = [file(tone(0.9))] * 200
    assert fitted(files(*short, file(tone(20.0)))).spec()["max_samples"] == 16_000
    assert fitted(files(file(tone(50.0, 2_000), 2_000))).spec()["max_samples"] == 60_000
    assert "cut" in fitted(files(*short, file(tone(20.0)))).notes()[-1]


def test_loudness_is_ignored_or_kept() -> None:
    soft, loud = file(tone(level=0.01), subtype="FLOAT"), file(tone(level=0.5), subtype="FLOAT")
    for option, ratio in (("ignore", 1), ("keep", 50)):
        encoded = fitted(files(soft, loud), loudness=option).encode(files(soft, loud), HERE)
        peaks = [
            np.abs(samples(encoded).values[part]).max() for part in (slice(0, 8_000), slice(8_000, None))
        ]
        assert peaks[1] / peaks[0] == pytest.approx(ratio, rel=0.02)
    assert one(file(np.zeros(400, np.float32))).tolist() == [0] * 400


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.float32, 1), (np.int16, 32_768), (np.int64, 32_768), (np.float64, 32_768)]
)
def test_arrays_of_any_type(dtype: type, scale: float) -> None:
    wave = tone()[:1_000]
    values = pl.Series("clip", [(wave * scale).astype(dtype).tolist(), None, [0.0] if scale == 1 else [0]])
    encoded = fitted(values, sample_rate=16_000, loudness="keep").encode(values, HERE)
    assert samples(encoded).lengths.tolist() == [1_000, 0, 1]
    assert np.abs(samples(encoded).values[:1_000] / 32_768 - wave).max() < 1e-4


def test_arrays_need_a_sample_rate() -> None:
    with pytest.raises(DataError, match=r"set inputs\.clip\.sample_rate"):
        fitted(pl.Series("clip", [[0.0, 0.1]]))


# What cannot be read


def broken_reason(content: bytes) -> str:
    feature = fitted(files(file(tone())))
    encoded = feature.encode(files(file(tone()), content), HERE)
    assert samples(encoded).lengths.tolist() == [8_000, 0]
    assert list(encoded.broken) == [1]
    return encoded.broken[1]


def test_broken_recordings_say_why() -> None:
    assert broken_reason(b"") == "the file is empty"
    assert "no audio file" in broken_reason(b"hello")
    assert "no audio file" in broken_reason(b"RIFF\x00\x00")
    assert broken_reason(file(np.zeros(0, np.float32))) == "the recording has no samples"
    assert "finite" in broken_reason(file(np.full(100, np.nan, np.float32), subtype="FLOAT"))


def test_a_rate_that_cannot_be_meant() -> None:
    content = bytearray(file(tone()))
    content[24:28] = (2_000_000_000).to_bytes(4, "little")
    assert "Hz cannot be meant" in broken_reason(bytes(content))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["WAV", "FLAC", "OGG"]), st.integers(0, 100_000), st.integers(0, 255))
def test_a_damaged_byte_never_escapes(kind: str, place: int, value: int) -> None:
    content = bytearray(file(tone(0.05), 16_000, kind))
    content[place % len(content)] = value
    feature = fitted(files(file(tone())))
    encoded = feature.encode(files(bytes(content)), Context(workers=1))
    assert (samples(encoded).lengths[0] > 0) == (0 not in encoded.broken)


def test_a_column_of_nothing_readable_is_an_error() -> None:
    with pytest.raises(DataError, match=r"none of the 2 recordings looked at can be read \(this is no audio"):
        fitted(files(b"x", b"y"))


def test_paths_start_at_the_root_and_stay_there(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(file(tone()))
    (tmp_path / "out.wav").write_bytes(file(tone()))
    context = Context(root=str(tmp_path / "in"))
    values = pl.Series("clip", ["a.wav", None, "b.wav", "../out.wav"])
    encoded = fitted(values, context).encode(values, context)
    assert (samples(encoded).lengths > 0).tolist() == [True, False, False, False]
    assert list(encoded.broken) == [2, 3]


# The contract of a feature


def mixture() -> pl.Series:
    generator = np.random.default_rng(0)
    clips = [
        generator.normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)
        for seconds in (0.3, 0.01, 0.5, 0.27)
    ]
    return files(*(file(clip) for clip in clips), None, b"")


def test_encoding_is_independent_of_company_and_threads() -> None:
    values = mixture()
    feature = fitted(values)
    together = samples(feature.encode(values, Context(workers=3)))
    for row in range(len(values)):
        alone = samples(feature.encode(values.slice(row, 1), Context(workers=1)))
        assert np.array_equal(alone.values, together.take(np.array([row])).values)


@pytest.mark.parametrize("loudness", ["ignore", "keep"])
def test_decode_and_encode_return_the_same(loudness: str) -> None:
    values = mixture()
    feature = fitted(values, loudness=loudness)
    encoded = feature.encode(values, HERE)
    heard = feature.decode(encoded)
    assert heard.is_null().to_list() == [False] * 4 + [True] * 2
    assert np.array_equal(samples(feature.encode(heard, HERE)).values, samples(encoded).values)


def test_state_survives_json() -> None:
    values = mixture()
    feature = fitted(values)
    copy = AudioFeature("clip", feature.options)
    copy.load(json.loads(json.dumps(feature.state())), {})
    assert copy.spec() == feature.spec() == json.loads(json.dumps(feature.spec()))
    assert np.array_equal(
        samples(copy.encode(values, HERE)).values, samples(feature.encode(values, HERE)).values
    )
    fields = batch(feature.encode(values, HERE))
    assert torch.equal(copy.stem().eval()(fields)[0], feature.stem().eval()(fields)[0])


@pytest.mark.parametrize(
    "change",
    [{"mean": [0.5]}, {"std": [0.0] * 64}, {"sample_rate": 0}, {"max_seconds": math.inf}, {"more": 1}],
)
def test_a_changed_state_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelFolderError, match="damaged"):
        AudioFeature("clip").load(fitted(mixture()).state() | change, {})


# Mel bands


def test_mel_scale_has_its_published_values() -> None:
    """Corners of 40 bands from 0 to 11,025 Hz, as Slaney's Auditory Toolbox lays them out."""
    corners = mel_frequencies(38, 0.0, 11_025.0)
    assert corners[[0, 1, 2, 11, 12, 13, 39]] == pytest.approx(
        [0, 85.317, 170.635, 938.490, 1_024.856, 1_119.114, 11_025.0], abs=5e-4
    )
    assert float(hz_to_mel(np.array(6_400.0))) == pytest.approx(15 + 27)


@given(st.floats(0, 96_000))
def test_mel_scale_is_invertible(hertz: float) -> None:
    assert float(mel_to_hz(hz_to_mel(np.array(hertz)))) == pytest.approx(hertz, rel=1e-9, abs=1e-9)


def test_filterbank_by_its_formula() -> None:
    mels, fft, rate = 20, 256, 8_000
    bank = mel_filterbank(mels, fft=fft, sample_rate=rate, low=100.0)
    edges = [
        float(
            mel_to_hz(
                hz_to_mel(np.array(100.0))
                + step * (hz_to_mel(np.array(4_000.0)) - hz_to_mel(np.array(100.0))) / 21
            )
        )
        for step in range(22)
    ]
    expected = np.zeros((fft // 2 + 1, mels))
    for band in range(mels):
        left, peak, right = edges[band : band + 3]
        for index in range(fft // 2 + 1):
            hertz = index * rate / fft
            if left <= hertz <= peak:
                expected[index, band] = (hertz - left) / (peak - left) * 2 / (right - left)
            elif peak < hertz <= right:
                expected[index, band] = (right - hertz) / (right - peak) * 2 / (right - left)
    assert np.abs(bank - expected).max() < 1e-8


@given(st.integers(8, 160), st.sampled_from([2_000, 8_000, 16_000, 44_100]))
@settings(max_examples=30, deadline=None)
def test_no_band_is_empty(mels: int, rate: int) -> None:
    window = round(0.025 * rate)
    length = fft_length(mels, window=window, sample_rate=rate)
    assert length >= window
    assert mel_filterbank(mels, fft=length, sample_rate=rate).sum(axis=0).min() > 0


# The stem


def stem_of(feature: AudioFeature) -> AudioStem:
    stem = feature.stem()
    assert isinstance(stem, AudioStem)
    return stem


def test_log_mel_by_definition() -> None:
    feature = fitted(mixture(), loudness="keep")
    stem = stem_of(feature).eval()
    signal = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, 1_000)).float()
    frames, counts = stem.log_mel(signal.unsqueeze(0), torch.tensor([1_000]))
    assert counts.tolist() == [1 + (1_000 - 400) // 160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    window /= np.sqrt((window**2).sum())
    bank = mel_filterbank(64, fft=512, sample_rate=16_000) * (16_000 / 512)
    for frame in range(int(counts)):
        part = signal[frame * 160 : frame * 160 + 400].numpy() * window
        expected = np.log(np.maximum(np.abs(np.fft.rfft(part, 512)) ** 2 @ bank, 1e-8))
        assert np.abs(frames[0, frame].numpy() - expected).max() < 1e-3


def test_white_noise_is_flat_and_at_its_power() -> None:
    stem = stem_of(fitted(mixture()))
    noise = torch.randn(1, 160_000, generator=torch.Generator().manual_seed(0)) * 0.1
    frames, _ = stem.log_mel(noise, torch.tensor([160_000]))
    assert (frames.exp().mean(dim=1) / 0.01 - 1).abs().max() < 0.35  # narrow bands hold few bins


@pytest.mark.parametrize("loudness", ["ignore", "keep"])
def test_a_recording_alone_equals_itself_in_a_padded_batch(loudness: str) -> None:
    values = mixture()
    feature = fitted(values, loudness=loudness)
    encoded = feature.encode(values, HERE)
    stem = feature.stem().eval()
    together, lengths = stem(batch(encoded, extra=3_333))
    assert lengths.tolist() == [1 + (4_800 - 400) // 160, 1, 48, 25, 0, 0]
    for row in range(len(values)):
        alone, length = stem(batch(encoded, [row]))
        count = int(lengths[row])
        assert int(length) == count
        assert torch.allclose(alone[0, :count], together[row, :count], atol=1e-5)
        assert not together[row, count:].any()


def test_a_gain_changes_nothing_when_loudness_is_ignored() -> None:
    wave = np.random.default_rng(0).normal(0, 0.2, 8_000).astype(np.float32)
    values = files(file(wave, subtype="FLOAT"), file(wave / 300, subtype="FLOAT"))
    frames, _ = fitted(values).stem().eval()(batch(fitted(values).encode(values, HERE)))
    assert torch.allclose(frames[0], frames[1], atol=1e-3)
    kept = fitted(values, loudness="keep")
    louder, softer = kept.stem().eval()(batch(kept.encode(values, HERE)))[0]
    assert (louder > softer).all()


def test_bands_are_standardised_over_the_training_data() -> None:
    generator = np.random.default_rng(0)
    values = files(*(file(generator.normal(0, 0.1, 8_000).astype(np.float32)) for _ in range(12)))
    for loudness in ("ignore", "keep"):
        feature = fitted(values, loudness=loudness)
        frames, _ = feature.stem().eval()(batch(feature.encode(values, HERE)))
        assert frames.mean(dim=(0, 1)).abs().max() < 1e-2
        assert (frames.std(dim=(0, 1)) - 1).abs().max() < 1e-2


def test_training_is_random_but_repeatable_and_eval_is_neither() -> None:
    values = mixture()
    feature = fitted(values)
    fields = batch(feature.encode(values, HERE))
    stem = feature.stem().train()
    torch.manual_seed(5)
    first, second = stem(fields)[0], stem(fields)[0]
    torch.manual_seed(5)
    assert torch.equal(stem(fields)[0], first)
    assert not torch.equal(first, second)
    assert torch.isfinite(first).all()
    assert not first[4:].any()
    stem.eval()
    assert torch.equal(stem(fields)[0], stem(fields)[0])
    assert list(stem.state_dict()) == []


def test_strength_0_changes_nothing() -> None:
    values = mixture()
    feature = fitted(values, augment={"strength": 0})
    fields = batch(feature.encode(values, HERE))
    assert torch.equal(feature.stem().train()(fields)[0], feature.stem().eval()(fields)[0])


def policy(**changes: float) -> dict[str, float]:
    return {"shift": 0.0, "gain": 0.0, "noise": 0.0, "mask_time": 0.0, "mask_mels": 0.0} | changes


def test_shift_moves_within_the_recording() -> None:
    ramp = torch.arange(1.0, 101).repeat(50, 1)
    lengths = torch.full((50,), 80)
    ramp[:, 80:] = 0
    torch.manual_seed(0)
    moved = vary(ramp, lengths, policy(shift=0.25))
    assert not moved[:, 80:].any()
    steps = (ramp[:, 40] - moved[:, 40]).unique()
    assert steps.abs().max() <= 20
    assert len(steps) > 10
    for row in moved:
        kept = row[row > 0]
        assert (kept.diff() == 1).all()
        assert len(kept) >= 60


def test_gain_and_noise_keep_their_bounds() -> None:
    torch.manual_seed(0)
    signal = torch.ones(400, 50)
    lengths = torch.full((400,), 40)
    signal[:, 40:] = 0
    decibels = 20 * vary(signal, lengths, policy(gain=6.0))[:, 0].log10()
    assert -6 <= decibels.min() < -5
    assert 5 < decibels.max() <= 6.001
    noise = vary(signal, lengths, policy(noise=0.1)) - signal
    assert not noise[:, 40:].any()
    assert 0.05 < noise[:, :40].std(dim=1).max() < 0.15


def test_spec_augment_blanks_stretches_and_bands() -> None:
    torch.manual_seed(0)
    frames = torch.ones(200, 60, 40)
    lengths = torch.full((200,), 50)
    masked = spec_augment(frames, lengths, policy(mask_time=0.2, mask_mels=0.25))
    blank_frames = (masked == 0).all(dim=2)
    blank_bands = (masked == 0).all(dim=1)
    assert not blank_frames[:, 50:].any()
    assert 10 < blank_frames.sum(dim=1).max() <= 20
    assert 10 < blank_bands.sum(dim=1).max() <= 20
    assert torch.equal(masked == 0, blank_frames.unsqueeze(2) | blank_bands.unsqueeze(1))


def test_policy_says_what_has_no_effect() -> None:
    assert audio_policy(AudioAugment(), keeps_loudness=True)["gain"] == 6
    assert audio_policy(AudioAugment(), keeps_loudness=False)["gain"] == 0
    asked = audio_policy(AudioAugment(gain=3), keeps_loudness=False)
    assert asked["gain"] == 0
    assert "without effect" in asked["reasons"]["gain"]
    half = audio_policy(AudioAugment(strength=0.5), keeps_loudness=True)
    full = audio_policy(AudioAugment(), keeps_loudness=True)
    assert all(half[name] == full[name] / 2 for name in ("shift", "gain", "noise", "mask_time", "mask_mels"))


def test_the_stem_moves_between_devices() -> None:
    values = mixture()
    feature = fitted(values)
    assert {buffer.device.type for buffer in feature.stem().to("meta").buffers()} == {"meta"}
    if torch.cuda.is_available():
        fields = {name: tensor.cuda() for name, tensor in batch(feature.encode(values, HERE)).items()}
        assert feature.stem().to("cuda")(fields)[0].device.type == "cuda"


# Real data


def test_spoken_digits(shared_data: Path) -> None:
    root = shared_data / "fsdd"
    paths = pl.read_csv(root / "labels.csv")["path"].gather_every(50)
    context = Context(root=str(root))
    feature = fitted(paths, context)
    encoded = feature.encode(paths, context)
    assert not encoded.broken
    spec = feature.spec()
    assert (spec["sample_rate"], spec["mels"], spec["max_samples"]) == (8_000, 40, 8_000)
    frames, lengths = feature.stem().eval()(batch(encoded))
    assert frames.shape == (60, int(lengths.max()), 40)
    assert lengths.max() <= spec["max_length"]
    direct, _ = soundfile.read(root / paths[0], dtype="float32")
    assert (
        np.abs(samples(encoded).values[: len(direct)] / 32_767 - direct / np.abs(direct).max()).max() < 1e-4
    )
