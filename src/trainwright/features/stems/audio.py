"""The audio stem: int16 samples to normalised log-mel frames, with random changes while training.

Everything is tensor work over the whole batch on the samples' device. Random numbers come from torch's global
generator of that device, which the trainer seeds and checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainwright.features.mel import fft_length, mel_filterbank

_FLOOR = 1e-8
"""Power below which a band is silence, 1 being a full-scale square wave: -80 dB."""

_SMALLEST_STD = 0.1
"""Floor of the deviation of log-mels (natural log): silence is not blown up to noise."""

_MASKS = 2
"""Blanked stretches and blanked bands a recording (the LibriSpeech double policy of SpecAugment)."""


class AudioStem(nn.Module):
    """({"samples": int16 [b, time], "samples.lengths": int64 [b]}) → (float [b, frames, mels], lengths [b]).

    A frame is 25 ms long and starts 10 ms after the one before. A recording of n samples has
    1 + max(0, n - window) // hop frames, one of none has none; frames beyond a row's length are 0.

    Args:
        spec: what `AudioFeature.spec` gives: "sample_rate", "mels", "window" and "hop" in samples, "mean" and
            "std" (of each band; see `normalised`), "by_recording" and "augment".
    """

    filters: Tensor
    window: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__()
        rate, mels = spec["sample_rate"], spec["mels"]
        self.hop, self.length = int(spec["hop"]), int(spec["window"])
        self.fft = fft_length(mels, window=self.length, sample_rate=rate)
        self.by_recording = bool(spec["by_recording"])
        self.policy = dict(spec["augment"])
        window = torch.hann_window(self.length)
        # Scaled so that power does not depend on the window, and a band's weights sum to about one.
        bank = torch.from_numpy(mel_filterbank(mels, fft=self.fft, sample_rate=rate))
        for name, value in (
            ("window", window / window.square().sum().sqrt()),
            ("filters", bank * (rate / self.fft)),
            ("mean", torch.tensor(spec["mean"])),
            ("std", torch.tensor(spec["std"])),
        ):
            # All follow from the spec; the weights file need not hold them.
            self.register_buffer(name, value, persistent=False)

    def forward(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return log-mel frames and their number in each row."""
        samples, lengths = inputs["samples"].float() / 32_768, inputs["samples.lengths"]
        samples = samples.masked_fill(~_inside(lengths, samples.shape[1]), 0)
        if self.training:
            samples = vary(samples, lengths, self.policy)
        frames, lengths = self.log_mel(samples, lengths)
        frames = self.normalised(frames, lengths)
        if self.training and (self.policy["mask_time"] or self.policy["mask_mels"]):
            frames = spec_augment(frames, lengths, self.policy)
        return frames, lengths

    def log_mel(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return log power in mel bands, [b, frames, mels], and the number of frames of each row.

        Args:
            samples: float [b, time], 0 beyond a row's length.
            lengths: samples of each row, int64 [b].
        """
        # The window lies in the middle of a longer transform: pad so that frame i starts at sample i · hop.
        left = (self.fft - self.length) // 2
        right = self.fft - self.length - left + max(0, self.length - samples.shape[1])
        spectrum = torch.stft(
            F.pad(samples, (left, right)),
            self.fft,
            hop_length=self.hop,
            win_length=self.length,
            window=self.window,
            center=False,
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()  # [b, bins, frames]
        counts = 1 + (lengths - self.length).clamp(min=0) // self.hop
        return (power.transpose(1, 2) @ self.filters).clamp(min=_FLOOR).log(), counts * (lengths > 0)

    def normalised(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return frames with the training data's mean and deviation taken out of each band.

        Where loudness is to be ignored, each recording's own mean and deviation over all its bands and frames
        are taken out first: a gain adds the same to every log-mel. The shape of the spectrum stays.

        Args:
            frames: log-mels [b, frames, mels].
            lengths: frames of each row [b].
        """
        inside = _inside(lengths, frames.shape[1]).unsqueeze(2)
        if self.by_recording:
            count = (lengths * frames.shape[2]).clamp(min=1).view(-1, 1, 1)
            mean = frames.masked_fill(~inside, 0).sum(dim=(1, 2), keepdim=True) / count
            centred = (frames - mean).masked_fill(~inside, 0)
            deviation = (centred.square().sum(dim=(1, 2), keepdim=True) / count).sqrt()
            frames = centred / deviation.clamp(min=_SMALLEST_STD)
        return ((frames - self.mean) / self.std).masked_fill(~inside, 0)


def _inside(lengths: Tensor, time: int) -> Tensor:
    """Return bool [b, time], true within a row's length."""
    return torch.arange(time, device=lengths.device) < lengths.unsqueeze(1)


def vary(samples: Tensor, lengths: Tensor, policy: Mapping[str, Any]) -> Tensor:
    """Move every recording in time, change its level and add noise, each row by its own amounts.

    Args:
        samples: float [b, time], 0 beyond a row's length.
        lengths: samples of each row, int64 [b].
        policy: "shift" (share of the length), "gain" (decibels) and "noise" (share of the row's level).
    """
    rows, time = samples.shape
    inside = _inside(lengths, time)
    draw = 2 * torch.rand(3, rows, 1, device=samples.device) - 1
    if policy["shift"]:
        moved = (
            torch.arange(time, device=samples.device)
            - (draw[0] * policy["shift"] * lengths.unsqueeze(1)).long()
        )
        there = (moved >= 0) & (moved < lengths.unsqueeze(1)) & inside
        samples = samples.gather(1, moved.clamp(0, time - 1)).masked_fill(~there, 0)
    if policy["noise"]:
        count = lengths.clamp(min=1).unsqueeze(1)
        level = (samples.square().sum(dim=1, keepdim=True) / count).sqrt()
        noise = torch.randn_like(samples) * level * policy["noise"] * draw[1].abs()
        samples = samples + noise.masked_fill(~inside, 0)
    if policy["gain"]:
        samples = samples * 10 ** (draw[2] * policy["gain"] / 20)
    return samples


def spec_augment(frames: Tensor, lengths: Tensor, policy: Mapping[str, Any]) -> Tensor:
    """Blank random stretches and bands of every recording (Park et al. 2019, without time warping).

    Args:
        frames: normalised log-mels [b, frames, mels]; blank is 0, the mean.
        lengths: frames of each row, int64 [b].
        policy: "mask_time" and "mask_mels", the longest mask as a share of the axis.
    """
    rows, time, mels = frames.shape
    device = frames.device
    draw = torch.rand(4, _MASKS, rows, 1, device=device)
    span = lengths.view(1, rows, 1).float()
    long = draw[0] * policy["mask_time"] * span
    start = draw[1] * (span - long)
    position = torch.arange(time, device=device)
    blank = ((position >= start.round()) & (position < (start + long).round())).any(dim=0)
    wide = draw[2] * policy["mask_mels"] * mels
    lowest = draw[3] * (mels - wide)
    band = torch.arange(mels, device=device)
    muted = ((band >= lowest.round()) & (band < (lowest + wide).round())).any(dim=0)
    return frames.masked_fill(blank.unsqueeze(2) | muted.unsqueeze(1), 0)
