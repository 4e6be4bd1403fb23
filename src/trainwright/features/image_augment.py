"""How training images are varied: the options, the policy that follows from the data, and mixing of rows.

The policy is applied on the device by `features.stems.image`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from trainwright.features.base import FeatureOptions

if TYPE_CHECKING:
    from torch import Tensor

_DRAWING_SIDE = 64
"""Grey images up to this many pixels a side are taken for glyphs and drawings."""

Flip = Literal["none", "horizontal", "both"]


class ImageAugment(FeatureOptions):
    """Random changes of training images; what is not set follows from the data (see `image_policy`)."""

    strength: float = Field(
        default=1.0, ge=0, le=3, description="Multiplies every amplitude below; 0 varies nothing."
    )
    flip: Literal["auto"] | Flip = Field(
        default="auto", description="Mirror half of the images: none, horizontal or both."
    )
    shift: float | None = Field(
        default=None, ge=0, le=0.5, description="Largest shift, as a share of the side."
    )
    rotate: float | None = Field(default=None, ge=0, le=180, description="Largest rotation in degrees.")
    scale: float | None = Field(
        default=None, ge=0, le=0.9, description="Largest change of size: 0.1 is 0.9 to 1.1."
    )
    colour: float | None = Field(
        default=None,
        ge=0,
        le=0.9,
        description="Largest change of brightness, contrast and saturation, as a share.",
    )
    cutout: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Side of a blanked square, as a share of the shorter side (DeVries & Taylor 2017).",
    )


def image_policy(
    options: ImageAugment, *, channels: int, height: int, width: int, background: int
) -> dict[str, Any]:
    """Return the amplitudes of every random change, and why (JSON-able).

    Args:
        options: what the user set.
        channels, height, width: size of the encoded images.
        background: usual value at the border of grey images, 0 to 255; what moves in from outside gets it.

    Returns:
        {"flip", "shift", "rotate", "scale", "colour", "cutout", "background" (None: mirror the image at its
        border), "reasons": {"policy": sentence, option: sentence for what the user set}}.
    """
    auto, reason = _automatic(channels, max(height, width))
    asked = options.model_dump(exclude={"strength", "flip"}, exclude_none=True)
    policy = {**auto, **asked, "flip": auto["flip"] if options.flip == "auto" else options.flip}
    reasons = {"policy": reason} | dict.fromkeys(asked, "set in the recipe")
    if options.flip != "auto":
        reasons["flip"] = "set in the recipe"
    for name, limit in (("shift", 0.5), ("rotate", 180.0), ("scale", 0.9), ("colour", 0.9), ("cutout", 1.0)):
        policy[name] = min(policy[name] * options.strength, limit)
    if options.strength == 0:
        policy["flip"] = "none"
        reasons = {"policy": "strength is 0 in the recipe"}
    return {**policy, "background": background if channels == 1 else None, "reasons": reasons}


def _automatic(channels: int, side: int) -> tuple[dict[str, Any], str]:
    """Return the amplitudes that suit such images, and why."""
    if channels == 3:
        photo = {
            "flip": "horizontal",
            "shift": 0.125,
            "rotate": 0.0,
            "scale": 0.0,
            "colour": 0.1,
            "cutout": 0.25,
        }
        return photo, (
            "colour photographs show the same thing when mirrored, shifted or tinted a little, and a blanked "
            "square makes the model look at more than one part; set flip to none where left and right differ"
        )
    grey = {"flip": "none", "shift": 0.1, "rotate": 10.0, "scale": 0.1, "colour": 0.0, "cutout": 0.0}
    if side <= _DRAWING_SIDE:
        return grey, (
            "small grey images such as digits mean the same when moved, turned or scaled a little, "
            "but not when mirrored"
        )
    return grey | {"colour": 0.1}, (
        "grey images such as scans vary in position, angle, size and exposure; left and right may matter"
    )


def mix(
    pixels: Tensor,
    alpha: float,
    *,
    kind: Literal["mixup", "cutmix"] = "mixup",
    shared: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix every image with another of the batch, each pair in its own proportion.

    The loss of row i is then `weight[i] * loss(target[i]) + (1 - weight[i]) * loss(target[permutation[i]])`.
    Random numbers come from torch's global generator of the images' device. mixup: Zhang et al. 2018;
    CutMix: Yun et al. 2019.

    Args:
        pixels: [batch, channels, height, width], uint8 or float.
        alpha: both parameters of the Beta distribution that the proportions come from, greater than 0.
        kind: "mixup" blends whole images, "cutmix" pastes a rectangle.
        shared: permutation and weight that an earlier call gave, for a second image of the same rows.

    Returns:
        Mixed images like `pixels`, permutation int64 [batch], and weight float [batch]: each row's own share.
    """
    import torch

    rows, _, height, width = pixels.shape
    device = pixels.device
    if shared is None:
        concentration = torch.full((rows,), float(alpha), device=device)
        # To validate what was just made, the host would wait for the device.
        weight = torch.distributions.Beta(concentration, concentration, validate_args=False).sample()
        shared = torch.randperm(rows, device=device), weight
    permutation, weight = shared
    if kind == "mixup":
        own = weight.view(-1, 1, 1, 1)
    else:
        # A rectangle with the image's proportions and an area of 1 - weight, wholly inside. Pixels on its
        # edge are blended by the part it covers, so that the weight is exact at any resolution.
        side = (1 - weight).sqrt()
        corner = torch.rand(2, rows, device=device) * (1 - side)
        down = _covered(corner[0] * height, side * height, height)
        across = _covered(corner[1] * width, side * width, width)
        own = 1 - down[:, None, :, None] * across[:, None, None, :]
    mixed = own * pixels + (1 - own) * pixels[permutation]
    if not pixels.is_floating_point():
        mixed = mixed.round()
    return mixed.to(pixels.dtype), permutation, weight


def _covered(start: Tensor, length: Tensor, steps: int) -> Tensor:
    """Return which part of each unit step lies in [start, start + length], [batch, steps]."""
    import torch

    left = torch.arange(steps, device=start.device)
    end = (start + length).unsqueeze(1)
    return (torch.minimum(end, left + 1) - torch.maximum(start.unsqueeze(1), left)).clamp(0, 1)
