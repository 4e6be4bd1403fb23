"""Images: whatever people hand over becomes comparable pixels, and what cannot be read says why."""

from __future__ import annotations

import io
import json
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainwright.features.base import FEATURES, Array, Context, Encoded, check_options
from trainwright.features.image import ImageFeature, ImageOptions
from trainwright.features.image_arrays import Levels
from trainwright.features.image_augment import image_policy, mix
from trainwright.features.stems.image import affine, cut_out, shift_and_flip
from trainwright.foundation.errors import DataError, ModelFolderError

HERE = Context(workers=2)


def file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(height: int = 24, width: int = 32, seed: int = 0) -> Image.Image:
    """A smooth colour picture without symmetry."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def files(*contents: bytes | None) -> pl.Series:
    return pl.Series("photo", list(contents), dtype=pl.Binary)


def fitted(values: pl.Series, context: Context = HERE, **options: object) -> ImageFeature:
    feature = ImageFeature("photo", check_options(ImageFeature, options))
    feature.fit(values, context)
    return feature


def pixels(encoded: Encoded) -> Array:
    array = encoded.arrays["pixels"]
    assert isinstance(array, np.ndarray)
    return array


def one(content: bytes, **options: object) -> Array:
    """The pixels of one file by a feature fitted on it, [h, w, c]."""
    return pixels(fitted(files(content), **options).encode(files(content), HERE))[0].transpose(1, 2, 0)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header speaks of `width` x `height` pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def noisy(rows: int = 8, channels: int = 3, height: int = 12, width: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (rows, channels, height, width), dtype=torch.uint8, generator=generator)


def test_is_registered() -> None:
    assert FEATURES["image"] is ImageFeature


# Files of every kind


def test_a_lossless_file_keeps_its_pixels() -> None:
    image = photo()
    assert np.array_equal(one(file(image)), np.asarray(image))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_shows_what_the_camera_saw(orientation: int) -> None:
    upright = photo(24, 36)
    turn = Image.Transpose
    stored_by = {
        1: None, 2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE, 6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = upright if stored_by is None else upright.transpose(stored_by)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(one(file(stored, kind, exif=exif)), np.asarray(upright)), kind


def test_exif_orientation_with_reduction_and_crop() -> None:
    upright = photo(300, 400)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"height": 32, "width": 32, "resize": "crop"}
    turned = one(file(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95), **options)
    straight = one(file(upright, "JPEG", quality=95), **options)
    assert np.abs(turned.astype(int) - straight).mean() < 2


def test_draft_decoding_agrees_with_full_decoding() -> None:
    large = photo(960, 1280)
    drafted = one(file(large, "JPEG", quality=95))
    assert drafted.shape == (72, 96, 3)
    full = np.asarray(large.resize((96, 72), Image.Resampling.BILINEAR))
    assert np.abs(drafted.astype(int) - full).mean() < 2


def test_grey_stays_one_channel_even_when_saved_as_colour() -> None:
    grey = photo().convert("L")
    assert one(file(grey)).shape == (24, 32, 1)
    assert np.array_equal(one(file(grey.convert("RGB")))[:, :, 0], np.asarray(grey))
    assert one(file(grey.convert("RGB"), "JPEG")).shape == (24, 32, 1)


def test_one_colour_image_makes_the_column_colour() -> None:
    values = files(file(photo().convert("L")), file(photo()))
    encoded = pixels(fitted(values).encode(values, HERE))
    assert encoded.shape == (2, 3, 24, 32)
    assert np.array_equal(encoded[0, 0], encoded[0, 2])


def test_channels_can_be_set() -> None:
    image = photo()
    assert one(file(image), channels=1).shape == (24, 32, 1)
    assert np.abs(one(file(image), channels=1)[:, :, 0] - np.asarray(image.convert("L"), int)).max() <= 1
    assert one(file(image.convert("L")), channels=3).shape == (24, 32, 3)


def test_16_bit_grey_uses_the_whole_range() -> None:
    ramp = np.linspace(0, 65_535, 24 * 32).reshape(24, 32).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        assert np.abs(one(file(Image.fromarray(ramp), kind))[:, :, 0] - ramp / 257).max() <= 1


def test_12_bits_in_16_are_not_almost_black() -> None:
    ramp = np.linspace(0, 4_095, 24 * 32).reshape(24, 32).astype(np.uint16)
    assert one(file(Image.fromarray(ramp))).max() == 255


def test_the_range_is_the_columns_not_the_images() -> None:
    bright, dark = np.full((8, 8), 60_000, np.uint16), np.full((8, 8), 6_000, np.uint16)
    values = files(file(Image.fromarray(bright)), file(Image.fromarray(dark)))
    encoded = pixels(fitted(values).encode(values, HERE))
    assert encoded[0].max() == 233
    assert encoded[1].max() == 23


def test_float_tiff() -> None:
    ramp = np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
    assert np.abs(one(file(Image.fromarray(ramp), "TIFF"))[:, :, 0] - ramp * 255).max() <= 1


def test_transparent_parts_are_white() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert (one(file(clear)) == 255).all()
    assert np.abs(one(file(half)).astype(int) - 127).max() <= 1
    assert (one(file(Image.new("LA", (8, 8), (0, 0)))) == 255).all()


def test_palette_with_a_transparent_entry() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([200, 10, 10, 10, 10, 200])
    image.putpixel((0, 0), 1)
    shown = one(file(image, transparency=0))
    assert shown[0, 0].tolist() == [10, 10, 200]
    assert shown[1, 1].tolist() == [255, 255, 255]


def test_cmyk_and_bilevel() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(one(file(red, "JPEG", quality=95))[8, 8].astype(int) - [255, 0, 0]).max() < 12
    assert (one(file(Image.new("1", (8, 8), 1))) == 255).all()


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    assert one(stream.getvalue())[0, 0].tolist() == [255, 0, 0]


# Size


def test_small_images_keep_their_size_and_large_ones_are_reduced() -> None:
    assert one(file(photo(28, 28))).shape[:2] == (28, 28)
    assert one(file(photo(8, 8))).shape[:2] == (8, 8)
    assert one(file(photo(600, 900))).shape[:2] == (64, 96)
    assert one(file(photo(900, 600)), size=224).shape[:2] == (224, 152)


def test_one_side_alone_keeps_the_proportions() -> None:
    assert one(file(photo(60, 90)), height=20).shape[:2] == (20, 30)
    assert one(file(photo(60, 90)), width=30).shape[:2] == (20, 30)


def test_other_proportions_by_resize_mode() -> None:
    left_red = Image.new("RGB", (40, 20), "blue")
    left_red.paste("red", (0, 0, 4, 20))
    values = files(
        file(Image.new("RGB", (20, 20), "green")), file(Image.new("RGB", (20, 20), "green")), file(left_red)
    )
    drawn = {}
    for mode in ("squash", "crop", "pad"):
        feature = fitted(values, resize=mode)
        encoded = feature.encode(values, HERE)
        assert sum(encoded.counts.values()) == 1, mode
        drawn[mode] = pixels(encoded)[2].transpose(1, 2, 0)
        assert drawn[mode].shape == (20, 20, 3)
    assert drawn["squash"][10, 0, 0] > 200
    assert (drawn["crop"][:, :, 0] == 0).all()
    assert drawn["pad"][10, 0, 0] > 200
    assert (drawn["pad"][0] == drawn["pad"][19]).all()
    assert not (drawn["pad"][0] == drawn["pad"][10]).all()


# Arrays


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.uint8, 255), (np.float32, 1.0), (np.float64, 255.0), (np.uint16, 65_535), (np.int64, 255)],
)
def test_arrays_of_any_type_give_the_same_pixels(dtype: type, scale: float) -> None:
    shown = np.random.default_rng(0).integers(0, 256, (5, 6, 6), dtype=np.uint8)
    shown[0, 0, 0] = 255
    values = pl.Series("photo", (shown / 255 * scale).round(6).astype(dtype))
    assert np.abs(pixels(fitted(values).encode(values, HERE))[:, 0] - shown.astype(int)).max() <= 1


def test_array_layouts_agree() -> None:
    shown = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3), dtype=np.uint8)
    layouts = [shown.tolist(), shown.transpose(0, 3, 1, 2).tolist(), shown]
    for layout in layouts:
        values = pl.Series("photo", layout)
        encoded = pixels(fitted(values).encode(values, HERE))
        assert np.array_equal(encoded, pixels(fitted(pl.Series(shown)).encode(pl.Series(shown), HERE)))
        assert encoded.shape == (3, 3, 9, 7)


def test_flat_arrays_fold_into_squares_or_the_size_given() -> None:
    flat = np.arange(16).reshape(1, 16).repeat(2, axis=0)
    assert pixels(fitted(pl.Series(flat)).encode(pl.Series(flat), HERE)).shape == (2, 1, 4, 4)
    assert pixels(fitted(pl.Series(flat), height=2, width=8).encode(pl.Series(flat), HERE)).shape == (
        2,
        1,
        2,
        8,
    )
    colour = pl.Series(np.zeros((2, 3072)))
    with pytest.raises(DataError, match="nested arrays"):
        fitted(colour)


def test_arrays_of_different_sizes_and_broken_ones() -> None:
    values = pl.Series(
        "photo",
        [[[0.0, 255.0], [255.0, 0.0]], None, [[0.0, 9.0, 200.0]], [[1.0], [2.0, 3.0]], [[float("nan")]]],
    )
    encoded = fitted(values).encode(values, HERE)
    assert encoded.arrays["present"].tolist() == [True, False, True, False, False]
    assert list(encoded.broken) == [3, 4]
    assert "finite" in encoded.broken[4]


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_levels_hold_their_sample_without_clipping(lowest: float, extent: float) -> None:
    levels = Levels.of(lowest, lowest + extent)
    assert levels.low < levels.high
    assert levels.low <= lowest <= lowest + extent <= levels.high or extent == 0 or lowest >= 0
    shown = levels.apply(np.array([levels.low, levels.high]))
    assert shown.tolist() == [0, 255]


# What cannot be read


def broken_reason(content: bytes, **options: object) -> str:
    feature = fitted(files(file(photo())), **options)
    encoded = feature.encode(files(file(photo()), content), HERE)
    assert encoded.arrays["present"].tolist() == [True, False]
    assert not pixels(encoded)[1].any()
    assert list(encoded.broken) == [1]
    return encoded.broken[1]


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "50,000,000 pixels" in broken_reason(png_claiming(60_000, 60_000))
        assert "50,000,000 pixels" in broken_reason(png_claiming(10_000, 9_500))
        assert "1,000 pixels" in broken_reason(file(photo(100, 100)), max_pixels=1_000)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_files(kind: str) -> None:
    whole = file(photo(200, 200), kind)
    assert broken_reason(whole[: len(whole) // 2])


def test_zero_bytes_and_other_things() -> None:
    assert broken_reason(b"") == "the file is empty"
    assert "no image file" in broken_reason(b"%PDF-1.7 and so on")
    assert "no image file" in broken_reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP"]), st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_byte_never_escapes(kind: str, place: int, value: int) -> None:
    content = bytearray(file(photo(), kind))
    content[place % len(content)] = value
    feature = fitted(files(file(photo())))
    encoded = feature.encode(files(bytes(content)), Context(workers=1))
    assert encoded.arrays["present"][0] == (0 not in encoded.broken)


def test_a_column_of_nothing_readable_is_an_error() -> None:
    with pytest.raises(DataError, match=r"none of the 2 images looked at can be read \(this is no image"):
        fitted(files(b"x", b"y"))
    with pytest.raises(DataError, match="no media"):
        fitted(pl.Series("photo", [1, 2]))


def test_paths_start_at_the_root_and_stay_there(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(file(photo()))
    (tmp_path / "out.png").write_bytes(file(photo()))
    values = pl.Series("photo", ["a.png", "", None, "b.png", "../out.png"])
    context = Context(root=str(tmp_path / "in"))
    encoded = fitted(values, context).encode(values, context)
    assert encoded.arrays["present"].tolist() == [True, False, False, False, False]
    assert list(encoded.broken) == [3, 4]


def test_structs_of_bytes_and_path() -> None:
    values = pl.Series("photo", [{"bytes": file(photo()), "path": None}, None])
    assert fitted(values).encode(values, HERE).arrays["present"].tolist() == [True, False]


# The contract of a feature


def test_encoding_is_independent_of_company_and_threads() -> None:
    values = files(*(file(photo(20 + row, 40, seed=row)) for row in range(9)), None, b"")
    feature = fitted(values)
    together = pixels(feature.encode(values, Context(workers=3)))
    for row in range(len(values)):
        alone = pixels(feature.encode(values.slice(row, 1), Context(workers=1)))
        assert np.array_equal(alone[0], together[row])


def test_fit_takes_the_same_sample_for_the_same_seed() -> None:
    values = pl.Series("photo", np.random.default_rng(0).integers(0, 256, (1_500, 4, 4), dtype=np.uint8))
    assert fitted(values, Context(seed=1)).state() == fitted(values, Context(seed=1)).state()
    assert fitted(values, Context(seed=1)).state() != fitted(values, Context(seed=2)).state()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_decode_and_encode_return_the_same(mode: str) -> None:
    values = files(file(photo(200, 120).convert(mode), "JPEG"), None, file(photo(50, 50, 3).convert(mode)))
    feature = fitted(values)
    encoded = feature.encode(values, HERE)
    shown = feature.decode(encoded)
    assert shown.dtype == pl.Binary
    assert shown.is_null().to_list() == [False, True, False]
    again = feature.encode(shown, HERE)
    assert np.array_equal(pixels(again), pixels(encoded))


def test_state_survives_json() -> None:
    values = files(file(photo()), file(photo(40, 40, 2)))
    feature = fitted(values)
    copy = ImageFeature("photo", feature.options)
    copy.load(json.loads(json.dumps(feature.state())), {})
    assert copy.spec() == feature.spec()
    assert json.loads(json.dumps(copy.spec())) == copy.spec()
    assert np.array_equal(pixels(copy.encode(values, HERE)), pixels(feature.encode(values, HERE)))


@pytest.mark.parametrize(
    "change",
    [{"mean": [0.5]}, {"std": [0, 1, 1]}, {"height": -1}, {"channels": 2}, {"more": 1}, {"low": 9e9}],
)
def test_a_changed_state_is_refused(change: dict[str, object]) -> None:
    state = fitted(files(file(photo()))).state()
    with pytest.raises(ModelFolderError, match="damaged"):
        ImageFeature("photo").load(state | change, {})


def test_importing_the_feature_does_not_load_heavy_libraries() -> None:
    import subprocess

    code = (
        "import sys, trainwright.features.image, trainwright.features.audio; "
        "print({'torch', 'PIL', 'soundfile', 'soxr'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# The stem


def test_eval_only_normalises() -> None:
    values = files(*(file(photo(seed=seed)) for seed in range(6)))
    feature = fitted(values)
    batch = torch.from_numpy(pixels(feature.encode(values, HERE)))
    stem = feature.stem().eval()
    out = stem({"pixels": batch})
    assert out.dtype == torch.float32
    assert torch.equal(out, stem({"pixels": batch}))
    assert out.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    assert (out.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-2
    assert torch.equal(stem({"pixels": batch[2:3]})[0], out[2])
    assert list(stem.state_dict()) == []


@pytest.mark.parametrize(
    "options",
    [{}, {"rotate": 20.0, "scale": 0.2}, {"shift": 0.0, "flip": "none"}, {"cutout": 0.0, "colour": 0.0}],
)
def test_training_is_random_but_repeatable(options: dict[str, object]) -> None:
    values = files(*(file(photo(seed=seed)) for seed in range(6)))
    feature = fitted(values, augment=options)
    batch = {"pixels": torch.from_numpy(pixels(feature.encode(values, HERE)))}
    stem = feature.stem().train()
    torch.manual_seed(7)
    first, second = stem(batch), stem(batch)
    torch.manual_seed(7)
    assert torch.equal(stem(batch), first)
    assert not torch.equal(first, second)
    assert first.shape == batch["pixels"].shape
    assert torch.isfinite(first).all()
    assert not torch.equal(first, stem.eval()(batch))


def test_strength_0_changes_nothing() -> None:
    values = files(file(photo()))
    feature = fitted(values, augment={"strength": 0})
    batch = {"pixels": torch.from_numpy(pixels(feature.encode(values, HERE)))}
    assert torch.equal(feature.stem().train()(batch), feature.stem().eval()(batch))


def test_the_policy_follows_from_the_data_and_says_why() -> None:
    colour = fitted(files(file(photo()))).spec()["augment"]
    assert colour["flip"] == "horizontal"
    assert colour["cutout"] > 0
    grey = fitted(files(file(photo().convert("L"))), augment={"rotate": 5}).spec()["augment"]
    assert grey["flip"] == "none"
    assert grey["rotate"] == 5
    assert "mirrored" in colour["reasons"]["policy"]
    assert grey["reasons"]["rotate"] == "set in the recipe"


def policy(**changes: object) -> dict[str, object]:
    still = {
        "flip": "none",
        "shift": 0.0,
        "rotate": 0.0,
        "scale": 0.0,
        "colour": 0.0,
        "cutout": 0.0,
        "background": None,
    }
    return still | changes


def test_shift_and_flip_move_whole_pixels() -> None:
    batch = noisy(200)
    moved = shift_and_flip(batch, policy(shift=0.2, flip="horizontal"))
    wide = torch.nn.functional.pad(batch.float(), (3, 3, 2, 2), mode="reflect").to(torch.uint8)
    windows = wide.unfold(2, 12, 1).unfold(3, 16, 1)  # [rows, channels, 5, 7, 12, 16]
    plain = (windows == moved[:, :, None, None]).all(dim=(1, 4, 5)).flatten(1).any(dim=1)
    mirrored = (windows.flip(5) == moved[:, :, None, None]).all(dim=(1, 4, 5)).flatten(1).any(dim=1)
    assert (plain | mirrored).all()
    assert 60 < mirrored.sum() < 140


def test_grey_images_are_moved_over_their_background() -> None:
    batch = torch.full((50, 1, 10, 10), 200, dtype=torch.uint8)
    moved = shift_and_flip(batch, policy(shift=0.3, background=7))
    assert set(moved.unique().tolist()) == {7, 200}
    turned = affine(batch.float(), policy(rotate=45.0, background=7))
    assert turned.min() < 8
    assert turned[:, :, 5, 5].allclose(torch.tensor(200.0))


def test_affine_without_amplitudes_is_the_identity() -> None:
    batch = noisy().float()
    assert torch.allclose(affine(batch, policy()), batch, atol=1e-2)


def test_affine_rotates_pixels_not_proportions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn by 90 degrees of a wide image equals that of its square part."""
    wide = torch.zeros(1, 1, 9, 15)
    wide[0, 0, 2, 7] = 100  # two above the centre
    monkeypatch.setattr(torch, "rand", torch.ones)
    turned = affine(wide, policy(rotate=90.0, background=0))
    row, column = divmod(int(turned.flatten().argmax()), 15)
    assert (row, abs(column - 7)) == (4, 2)


def test_both_paths_mirror_half_of_the_images() -> None:
    batch = noisy(300)
    mirrored = batch.flip(3)
    for out in (
        shift_and_flip(batch, policy(flip="horizontal")),
        affine(batch.float(), policy(flip="horizontal")).round(),
    ):
        same = (out == batch).flatten(1).float().mean(dim=1) > 0.9
        other = (out == mirrored).flatten(1).float().mean(dim=1) > 0.9
        assert (same ^ other).all()
        assert 100 < int(same.sum()) < 200


def test_cutout_blanks_one_square() -> None:
    images = torch.ones(100, 3, 20, 20)
    share = (cut_out(images, 0.5) == 0).float().mean(dim=(1, 2, 3))
    assert share.min() > 0
    assert 0.2 < share.max() <= 0.25


def test_colour_changes_are_bounded_and_keep_grey_grey() -> None:
    values = files(file(photo()))
    feature = fitted(values, augment={"flip": "none", "shift": 0, "cutout": 0, "colour": 0.3})
    grey = torch.full((64, 3, 24, 32), 100, dtype=torch.uint8)
    mean, std = (torch.tensor(feature.spec()[name]).view(3, 1, 1) for name in ("mean", "std"))
    seen = (feature.stem().train()({"pixels": grey}) * std + mean) * 255
    assert (seen.amax(dim=1) - seen.amin(dim=1)).max() < 0.01
    assert 69 < seen.min() < 80
    assert 120 < seen.max() < 131


def test_the_stem_moves_between_devices() -> None:
    values = files(file(photo()))
    feature = fitted(values)
    assert {buffer.device.type for buffer in feature.stem().to("meta").buffers()} == {"meta"}
    if torch.cuda.is_available():
        stem = feature.stem().to("cuda")
        assert stem({"pixels": noisy().cuda()}).device.type == "cuda"


# Mixing


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_mixup_blends(dtype: torch.dtype) -> None:
    batch = noisy(64).to(dtype)
    torch.manual_seed(3)
    mixed, permutation, weight = mix(batch, 0.4)
    share = weight.view(-1, 1, 1, 1)
    expected = share * batch.float() + (1 - share) * batch[permutation].float()
    assert mixed.dtype == dtype
    assert (mixed.float() - expected).abs().max() <= 0.51
    assert sorted(permutation.tolist()) == list(range(64))
    assert weight.min() >= 0
    assert weight.max() <= 1


def test_cutmix_weighs_by_the_exact_area() -> None:
    batch = torch.arange(40).float().view(40, 1, 1, 1).expand(40, 1, 9, 13)
    torch.manual_seed(3)
    mixed, permutation, weight = mix(batch, 1.0, kind="cutmix")
    expected = weight * torch.arange(40) + (1 - weight) * permutation
    assert torch.allclose(mixed.mean(dim=(1, 2, 3)), expected, atol=1e-4)
    assert (mixed == batch).flatten(1).any(dim=1).float().mean() > 0.7


def test_a_second_image_of_the_rows_is_mixed_alike() -> None:
    torch.manual_seed(3)
    _, permutation, weight = mix(noisy(16), 1.0, kind="cutmix")
    mixed, same, alike = mix(noisy(16, 1, 30, 8).float(), 1.0, kind="cutmix", shared=(permutation, weight))
    assert torch.equal(same, permutation)
    assert torch.equal(alike, weight)
    assert mixed.shape == (16, 1, 30, 8)


def test_strength_scales_every_amplitude() -> None:
    for channels in (1, 3):
        size = {"channels": channels, "height": 32, "width": 32, "background": 0}
        half = image_policy(ImageOptions(augment={"strength": 0.5}).augment, **size)
        full = image_policy(ImageOptions().augment, **size)
        for name in ("shift", "rotate", "scale", "colour", "cutout"):
            assert half[name] == full[name] / 2


# Real data


def test_cifar(shared_data: Path) -> None:
    root = shared_data / "cifar10_folder"
    paths = sorted(str(path.relative_to(root)) for path in root.glob("test/*/*.jpg"))[::5]
    context = Context(root=str(root))
    values = pl.Series("photo", paths)
    feature = fitted(values, context)
    encoded = feature.encode(values, context)
    assert pixels(encoded).shape == (len(paths), 3, 32, 32)
    assert not encoded.broken
    assert np.abs(np.array(feature.spec()["mean"]) - [0.491, 0.482, 0.447]).max() < 0.03
    direct = np.asarray(Image.open(root / paths[3])).transpose(2, 0, 1)
    assert np.array_equal(pixels(encoded)[3], direct)


def test_houses(shared_data: Path) -> None:
    root = shared_data / "houses"
    values = pl.read_csv(root / "data.csv")["img_frontal"].head(60)
    context = Context(root=str(root))
    feature = fitted(values, context)
    encoded = feature.encode(values, context)
    assert pixels(encoded).shape == (60, 3, 64, 96)
    assert not encoded.broken
    assert "96 x 64" in feature.notes()[0]


def test_mnist(shared_data: Path) -> None:
    images = np.load(shared_data / "mnist10k" / "mnist10k.npz")["images"][:500]
    feature = fitted(pl.Series("photo", images))
    encoded = feature.encode(pl.Series("photo", images), HERE)
    assert np.array_equal(pixels(encoded)[:, 0], images)
    assert feature.spec()["augment"]["background"] == 0
