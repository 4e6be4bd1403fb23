from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings


def read(path: Path) -> Table:
    return open_table(DataSettings(path=str(path)))


IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


def test_arrays_keep_their_shape(tmp_path: Path) -> None:
    np.savez_compressed(
        tmp_path / "d.npz",
        images=IMAGES,
        labels=np.arange(5)[:, None],
        names=np.array(["a", "bc", "", "d", "é"]),
        raw=np.array([b"x", b"y", b"", b"z", b"w"]),
        big=np.arange(5, dtype=">f8"),
        columnwise=np.asfortranarray(np.arange(10.0).reshape(5, 2)),
    )
    table = read(tmp_path / "d.npz")
    assert table.schema == {
        "images": pl.Array(pl.UInt8, (4, 3)),
        "labels": pl.Int64,
        "names": pl.String,
        "raw": pl.String,
        "big": pl.Float64,
        "columnwise": pl.Array(pl.Float64, 2),
    }
    assert (table.column("images").to_numpy() == IMAGES).all()
    assert (table.column("columnwise").to_numpy() == np.arange(10.0).reshape(5, 2)).all()
    assert table.column("big").to_list() == [0, 1, 2, 3, 4]
    assert table.part is None


@pytest.mark.parametrize("pattern", ["{part}_{name}", "{name}_{part}"])
def test_names_say_the_parts(tmp_path: Path, pattern: str) -> None:
    arrays = {}
    for part, rows in (("train", 3), ("val", 1), ("test", 2)):
        arrays[pattern.format(part=part, name="x")] = np.full((rows, 2, 2), rows)
        arrays[pattern.format(part=part, name="y")] = np.full(rows, rows)
    np.savez(tmp_path / "d.npz", **arrays)
    table = read(tmp_path / "d.npz")
    assert list(table.schema) == ["x", "y"]
    assert table.part is not None
    assert table.part.tolist() == [0, 0, 0, 1, 2, 2]
    assert table.column("y").to_list() == [3, 3, 3, 1, 2, 2]


def test_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", a=np.array([{"x": 1}, None], dtype=object))
    with pytest.raises(DataError, match="the array 'a' holds Python objects, which are never loaded"):
        read(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"a": np.zeros(3), "b": np.zeros(4)}, "its arrays differ in the number of rows: 'a' 3, 'b' 4"),
        (
            {"a": np.zeros(3), "b": np.float64(1)},
            r"the array 'b' of type float64 and shape \(\) cannot be a column",
        ),
        ({"a": np.zeros(3, complex)}, "cannot be a column"),
        ({"train_x": np.zeros(3), "test_y": np.zeros(2)}, "there is no column 'x'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], expected: str
) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError, match=expected):
        read(tmp_path / "d.npz")


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, a=np.random.default_rng(0).normal(size=20_000))
    content = path.read_bytes()
    path.write_bytes(content[:5000])
    with pytest.raises(DataError, match="not a whole NumPy archive"):
        read(path)
    path.write_bytes(content[:9000] + b"\xff" * 500 + content[9500:])
    with pytest.raises(DataError, match="not a whole NumPy archive"):
        read(path)


def test_a_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.save(tmp_path / "a.npy", np.zeros(4))
    content = (tmp_path / "a.npy").read_bytes().replace(b"(4,)", b"(9,)")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(DataError, match="not a whole NumPy archive"):
        read(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", a=np.zeros(9_000_000))
    with pytest.raises(DataError, match="looks like a zip bomb: it unpacks to more than 200 times its size"):
        read(tmp_path / "d.npz")
