"""Image files to pixels: hostile bytes in, a checked picture of the wanted size out."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from trainwright.features.base import Array
from trainwright.features.media_values import Unreadable

if TYPE_CHECKING:
    from PIL import Image

ResizeMode = Literal["squash", "crop", "pad"]

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "QOI")
"""Formats that Pillow decodes itself; EPS would start Ghostscript, TGA has no signature."""

_DEEP_MODES = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
"""Pillow modes with more than 8 bits a value."""

_ORIENTATION_TAG = 0x0112
_SPEAK_OF_ORIENTATION = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
"""Keys of `Image.info` under which a file's orientation may be found."""
_SWAPPING = {5, 6, 7, 8}
"""EXIF orientations that turn the stored picture by a quarter."""


_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


@dataclass(frozen=True)
class Canvas:
    """The size that pictures are brought to, and how.

    Attributes:
        height, width: size in pixels.
        mode: "squash" stretches the picture, "crop" cuts its centre, "pad" fills the rest.
        fill: value of padding, 0 to 255.
    """

    height: int
    width: int
    mode: ResizeMode = "squash"
    fill: int = 0

    def region(self, height: int, width: int) -> tuple[tuple[float, float, float, float], tuple[int, int]]:
        """Return the part that is used, (left, top, right, bottom), and the (width, height) it gets."""
        whole = (0.0, 0.0, float(width), float(height))
        if self.mode == "crop":
            scale = min(width / self.width, height / self.height)
            left, top = (width - self.width * scale) / 2, (height - self.height * scale) / 2
            return (left, top, width - left, height - top), (self.width, self.height)
        if self.mode == "pad":
            scale = min(self.width / width, self.height / height)
            inner = max(1, round(width * scale)), max(1, round(height * scale))
            return whole, (min(inner[0], self.width), min(inner[1], self.height))
        return whole, (self.width, self.height)


@dataclass(frozen=True)
class Opened:
    """A picture whose header was read and checked; its pixels were not.

    Attributes:
        image: the lazily loaded Pillow image, as stored.
        height, width: size as seen, after the EXIF orientation.
        orientation: EXIF orientation that is still to be applied, 1 to 8.
    """

    image: Image.Image
    height: int
    width: int
    orientation: int


def open_image(data: bytes, *, max_pixels: int) -> Opened:
    """Read an image file's header.

    Args:
        data: content of the file.
        max_pixels: largest height x width; more is refused before memory is taken.

    Raises:
        Unreadable: no image, an image that is damaged, or one that is too large.
    """
    from PIL import Image, UnidentifiedImageError

    too_large = f"the image has more than {max_pixels:,} pixels (option max_pixels)"
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError as error:
        raise Unreadable(too_large) from error
    except UnidentifiedImageError as error:
        raise Unreadable(
            "this is no image file that can be read (JPEG, PNG, GIF, WebP, BMP, TIFF …)"
        ) from error
    except Exception as error:  # decoders of hostile bytes raise whatever they stumble on
        raise Unreadable("the image file is damaged") from error
    width, height = image.size
    if width * height > max_pixels:
        raise Unreadable(too_large)
    orientation = _orientation(image)
    if orientation in _SWAPPING:
        width, height = height, width
    return Opened(image, height, width, orientation)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied; may decode the picture (PNG)."""
    if image.format == "TIFF":  # Pillow turns these by itself when it loads them
        return 1
    if image.format == "JPEG" and not _SPEAK_OF_ORIENTATION & image.info.keys():
        return 1  # Pillow would look for it in vain, which takes a tenth of the time of a small picture
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception as error:  # decoders of hostile bytes raise whatever they stumble on
        raise Unreadable("the image file is cut short or damaged") from error
    return orientation if orientation in range(1, 9) else 1


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that this build of Pillow has."""
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def draw(opened: Opened, canvas: Canvas) -> Array:
    """Decode a picture onto a canvas, as seen: turned by its EXIF orientation, its transparent parts white.

    JPEG files far larger than the canvas are decoded at a half, quarter or eighth (`draft`), which is what
    makes photographs cheap. Of an animation the first frame is taken.

    Returns:
        uint8 [h, w, 1 or 3], or float32 [h, w, 1] with the stored values where the file has more than 8 bits
        a pixel (see `image_arrays.Levels`). In "pad" mode it may be smaller than the canvas (see `pad`).

    Raises:
        Unreadable: the file is cut short or damaged.
    """
    box, size = canvas.region(opened.height, opened.width)
    image = opened.image
    if opened.orientation in _SWAPPING:
        box, size = (box[1], box[0], box[3], box[2]), (size[1], size[0])
    try:
        stored = image.size
        share = ((box[2] - box[0]) / stored[0], (box[3] - box[1]) / stored[1])
        image.draft(None, (max(1, int(size[0] / share[0])), max(1, int(size[1] / share[1]))))
        scale = (image.size[0] / stored[0], image.size[1] / stored[1])
        image.load()
        picture = _on_white(_resized(_plain(image), box, scale, size))
    except Exception as error:  # decoders of hostile bytes raise whatever they stumble on
        raise Unreadable("the image file is cut short or damaged") from error
    pixels = np.asarray(_turned(picture, opened.orientation))
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return pixels


def picture_of(pixels: Array) -> Opened:
    """Return an array as an opened picture.

    Args:
        pixels: uint8 [height, width, 1, 3 or 4 channels].
    """
    from PIL import Image

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return Opened(image, pixels.shape[0], pixels.shape[1], 1)


def pad(pixels: Array, canvas: Canvas) -> Array:
    """Return uint8 [canvas height, canvas width, channels] with the picture in the middle."""
    height, width, channels = pixels.shape
    if (height, width) == (canvas.height, canvas.width):
        return pixels
    sheet = np.full((canvas.height, canvas.width, channels), canvas.fill, dtype=pixels.dtype)
    top, left = (canvas.height - height) // 2, (canvas.width - width) // 2
    sheet[top : top + height, left : left + width] = pixels
    return sheet


def to_channels(pixels: Array, channels: int) -> Array:
    """Return [height, width, `channels`]: colour to luma (ITU-R BT.601) or grey to three equal channels."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    luma = (pixels @ _LUMA)[:, :, None]
    return (luma + 0.5).astype(np.uint8) if pixels.dtype == np.uint8 else luma


def _plain(image: Image.Image) -> Image.Image:
    """Return the picture in a mode that can be resized: L, RGB, LA, RGBA or F."""
    from PIL import Image

    if image.mode in _DEEP_MODES:
        return Image.fromarray(np.asarray(image).astype(np.float32))
    if "transparency" in image.info or image.mode in {"PA", "La", "RGBa"}:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in {"L", "RGB", "LA", "RGBA"} else image.convert("RGB")


def _resized(
    image: Image.Image,
    box: tuple[float, float, float, float],
    scale: tuple[float, float],
    size: tuple[int, int],
) -> Image.Image:
    from PIL import Image

    box = (box[0] * scale[0], box[1] * scale[1], box[2] * scale[0], box[3] * scale[1])
    if image.size == size and box == (0, 0, *size):
        return image
    # Bilinear in Pillow widens with the reduction, so that fine patterns are averaged and not aliased.
    return image.resize(size, Image.Resampling.BILINEAR, box=box)


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode not in {"LA", "RGBA"}:
        return image
    plain = image.mode[:-1]
    sheet = Image.new(plain, image.size, "white")
    sheet.paste(image.convert(plain), mask=image.getchannel("A"))
    return sheet


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    from PIL import Image

    if orientation == 1:
        return image
    turn = Image.Transpose
    method = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    return image.transpose(method[orientation])
