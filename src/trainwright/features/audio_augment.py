"""How training recordings are varied: the options, and the policy that follows from the data.

The policy is applied on the device by `features.stems.audio`.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from trainwright.features.base import FeatureOptions

_LIMITS = {"shift": 0.5, "gain": 40.0, "noise": 1.0, "mask_time": 0.5, "mask_mels": 0.5}


class AudioAugment(FeatureOptions):
    """Random changes of training recordings; what is not set follows from the data (see `audio_policy`)."""

    strength: float = Field(
        default=1.0, ge=0, le=3, description="Multiplies every amplitude; 0 varies nothing."
    )
    shift: float | None = Field(
        default=None, ge=0, le=0.5, description="Largest shift in time, as a share of the recording."
    )
    gain: float | None = Field(
        default=None, ge=0, le=40, description="Largest change of loudness in decibels."
    )
    noise: float | None = Field(
        default=None, ge=0, le=1, description="Largest white noise, as a share of the recording's own level."
    )
    mask_time: float | None = Field(
        default=None,
        ge=0,
        le=0.5,
        description="Longest of two blanked stretches, as a share of the recording (Park et al. 2019).",
    )
    mask_mels: float | None = Field(
        default=None,
        ge=0,
        le=0.5,
        description="Widest of two blanked bands, as a share of the mel bands (Park et al. 2019).",
    )


def audio_policy(options: AudioAugment, *, keeps_loudness: bool) -> dict[str, Any]:
    """Return the amplitudes of every random change, and why (JSON-able).

    Args:
        options: what the user set.
        keeps_loudness: loudness reaches the model.

    Returns:
        {"shift", "gain", "noise", "mask_time", "mask_mels", "reasons": {"policy" or option: sentence}}.
    """
    auto = {
        "shift": 0.1,
        "gain": 6.0 if keeps_loudness else 0.0,
        "noise": 0.05,
        "mask_time": 0.1,
        "mask_mels": 0.15,
    }
    asked = options.model_dump(exclude={"strength"}, exclude_none=True)
    reasons = {
        "policy": "a recording means the same when it starts a little earlier, has some noise in it, "
        "or lacks a short stretch or a narrow band",
        "gain": "recordings differ in level by microphone and distance"
        if keeps_loudness
        else "without effect: every recording is brought to the same level (loudness: ignore)",
    } | dict.fromkeys(asked, "set in the recipe")
    if not keeps_loudness and asked.get("gain"):
        reasons["gain"] = (
            "set in the recipe, but without effect: every recording is brought to the same level"
        )
    if options.strength == 0:
        reasons = {"policy": "strength is 0 in the recipe"}
    amplitudes = {
        name: min(value * options.strength, _LIMITS[name]) for name, value in (auto | asked).items()
    }
    if not keeps_loudness:
        amplitudes["gain"] = 0.0
    return {**amplitudes, "reasons": reasons}
