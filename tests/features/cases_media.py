"""Cases of images and recordings."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import soundfile
from contract import Case, Values, constant, register
from PIL import Image

RANDOM = np.random.default_rng(0)
CHEQUERED = RANDOM.integers(0, 256, (3, 12, 10, 3), dtype=np.uint8)
NOISE = [RANDOM.normal(0, 0.1, length).astype(np.float32) for length in (9_000, 100, 4_000)]


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="WAV")
    return stream.getvalue()


def written(folder: Path, suffix: str, contents: list[bytes]) -> list[str]:
    names = [f"{index}{suffix}" for index in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (folder / name).write_bytes(content)
    return names


def photo_paths(folder: Path) -> Values:
    names = written(folder, ".png", [png(pixels) for pixels in CHEQUERED] + [b"", b"no image"])
    return pl.Series([*names[:3], None]), pl.Series(
        [names[0], None, names[3], names[4], "gone.png", "../x.png", ""]
    )


def clip_paths(folder: Path) -> Values:
    names = written(folder, ".wav", [wav(samples) for samples in NOISE] + [b"", b"no sound"])
    return pl.Series([*names[:3], None]), pl.Series(
        [names[0], None, names[3], names[4], "gone.wav", "../x.wav", ""]
    )


def bytes_series(*contents: bytes | None) -> pl.Series:
    return pl.Series(list(contents), dtype=pl.Binary)


PHOTOS = bytes_series(*(png(pixels) for pixels in CHEQUERED), None)
SCANS = bytes_series(*(png((pixels[:, :, 0].astype(np.uint16) + 1) * 250) for pixels in CHEQUERED), None)
ODD_PHOTOS = bytes_series(
    png(CHEQUERED[0, :5]), None, b"", PHOTOS[1][:60], png(CHEQUERED[1, :, :, 0]), b"\x89PNG"
)
ODD_CLIPS = bytes_series(
    wav(NOISE[0], 44_100), None, b"", b"RIFF", wav(NOISE[1][:0]), wav(np.stack(NOISE[:1] * 2, 1))
)
CLIPS = bytes_series(*(wav(samples) for samples in NOISE), None)
GLYPHS = pl.Series([*((pixels[:, :, 0] // 16).tolist() for pixels in CHEQUERED), None])
ODD_GLYPHS = pl.Series([[[1, 2], [3, 4]], None, [[1], [2, 3]], [], GLYPHS[0].to_list()])
WAVES = pl.Series([*(samples.tolist() for samples in NOISE), None])
ODD_WAVES = pl.Series([[0.5], None, [], [float("nan")], [2.0, -1.0]])

register(Case("image-paths", "image", photo_paths))
register(Case("image-bytes", "image", constant(PHOTOS, ODD_PHOTOS), same=lambda value, again: value == again))
register(Case("image-16-bit", "image", constant(SCANS, ODD_PHOTOS)))
register(
    Case("image-pad", "image", constant(PHOTOS, ODD_PHOTOS), {"resize": "pad", "height": 8, "width": 20})
)
register(
    Case("image-crop", "image", constant(PHOTOS, ODD_PHOTOS), {"resize": "crop", "size": 8, "channels": 1})
)
register(Case("audio-paths", "audio", clip_paths))
register(Case("audio-bytes", "audio", constant(CLIPS, ODD_CLIPS), {"loudness": "keep"}))
register(Case("audio-cut", "audio", constant(CLIPS, ODD_CLIPS), {"max_seconds": 0.1, "sample_rate": 8_000}))
register(Case("image-arrays", "image", constant(GLYPHS, ODD_GLYPHS)))
register(Case("audio-arrays", "audio", constant(WAVES, ODD_WAVES), {"sample_rate": 16_000}))
