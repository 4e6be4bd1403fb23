from __future__ import annotations

import email.message
import importlib.machinery
import sys
import time
import types
import urllib.error
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from trainwright.data.open import open_table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings


class Rows:
    """The few things of `datasets.Dataset` that are used."""

    def __init__(self, table: pa.Table, **classes: list[str]) -> None:
        self.table = table
        self.features: dict[str, Any] = {}
        for field in table.schema:
            known = types.SimpleNamespace(names=classes[field.name]) if field.name in classes else object()
            nested = pa.types.is_list(field.type)
            self.features[field.name] = types.SimpleNamespace(feature=known) if nested else known

    def __len__(self) -> int:
        return self.table.num_rows

    def with_format(self, name: str) -> Rows:
        assert name == "arrow"
        return self

    def __getitem__(self, rows: slice) -> pa.Table:
        return self.table[rows]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[tuple[str, str | None], Any]:
    """A `datasets` package that knows what the test puts here; no network is asked."""
    found: dict[tuple[str, str | None], Any] = {}

    def load_dataset(name: str, config: str | None) -> Any:
        if (name, config) not in found:
            raise FileNotFoundError(f"Dataset '{name}' doesn't exist on the Hub.\nlong story")
        return found[name, config]

    module = types.ModuleType("datasets")
    module.__spec__ = importlib.machinery.ModuleSpec("datasets", None)
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    home = tmp_path / "hf"
    module.config = types.SimpleNamespace(  # type: ignore[attr-defined]
        HF_CACHE_HOME=home, HF_DATASETS_CACHE=home / "datasets"
    )
    client = types.ModuleType("huggingface_hub")
    client.constants = types.SimpleNamespace(HF_HUB_CACHE=str(home / "hub"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return found


def test_splits_are_parts_and_numbers_become_class_names(hub: dict[Any, Any]) -> None:
    hub["o/n", "c"] = {
        "test": Rows(pa.table({"text": ["z"], "label": [-1]}), label=["bad", "good"]),
        "unsupervised": Rows(pa.table({"text": ["?"], "label": [0]}), label=["bad", "good"]),
        "train": Rows(pa.table({"text": ["x", "y"], "label": [1, 0]}), label=["bad", "good"]),
    }
    table = open_table(DataSettings(path="hf://datasets/o/n/c"))
    assert pl.concat(list(table.chunks())).rows() == [("x", "good"), ("y", "bad"), ("z", None)]
    assert table.part is not None
    assert table.part.tolist() == [0, 0, 2]
    assert table.notes == ["Left out: 1 split of other names."]


def test_lists_of_class_numbers_become_names(hub: dict[Any, Any]) -> None:
    labels = pa.array([[1, 0], [], None, [-1]], pa.list_(pa.int64()))
    hub["o/n", None] = {"train": Rows(pa.table({"label": labels, "x": [1, 2, 3, 4]}), label=["joy", "fear"])}
    table = open_table(DataSettings(path="hf://datasets/o/n"))
    assert table.column("label").to_list() == [["fear", "joy"], [], None, [None]]


def test_paths_of_a_stranger_stay_inside_the_cache(
    hub: dict[Any, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub["o/n", None] = {"train": Rows(pa.table({"image": ["/home/me/secret.png"]}))}
    assert open_table(DataSettings(path="hf://datasets/o/n")).root == str(tmp_path / "hf")
    elsewhere = tmp_path / "disk"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(elsewhere))
    assert open_table(DataSettings(path="hf://datasets/o/n")).root == str(elsewhere)


def test_a_folder_of_that_name_is_said_to_be_read(
    hub: dict[Any, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub["o/n", None] = {"train": Rows(pa.table({"x": [1, 2]}))}
    (tmp_path / "o" / "n").mkdir(parents=True)
    table = open_table(DataSettings(path="hf://datasets/o/n"))
    assert table.notes == ["The folder 'o/n' was read, and not the hub."]
    assert table.root == str(tmp_path / "o" / "n")


def test_format_hub_takes_the_plain_name(hub: dict[Any, Any]) -> None:
    hub["o/n", None] = {"train": Rows(pa.table({"x": [1, 2]}))}
    table = open_table(DataSettings(path="o/n", format="hub"))
    assert table.column("x").to_list() == [1, 2]
    assert table.part is None


def test_an_unknown_name(hub: dict[Any, Any]) -> None:
    with pytest.raises(
        DataError, match=r"the data set cannot be read \(Dataset 'o/m' doesn't exist on the Hub\); "
    ):
        open_table(DataSettings(path="hf://datasets/o/m"))


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        DataError, match=r"needs the package 'datasets'; install it with pip install 'trainwright\[hub\]'"
    ):
        open_table(DataSettings(path="hf://datasets/o/n"))


def test_a_hub_that_cannot_be_reached_is_given_up_in_seconds(
    hub: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(
        DataError, match=r"the hub at http://127\.0\.0\.1:9 cannot be reached .*check the network"
    ):
        open_table(DataSettings(path="hf://datasets/o/n"))
    assert time.monotonic() - began < 6


@pytest.mark.parametrize(("code", "said"), [(404, "doesn't exist on the Hub"), (503, "has a fault")])
def test_a_hub_with_a_fault_is_not_waited_for(
    hub: dict[Any, Any], monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    def answer(*_: object, **__: object) -> None:
        raise urllib.error.HTTPError("https://hub", code, "Reason", email.message.Message(), None)

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("urllib.request.urlopen", answer)
    with pytest.raises(DataError, match=said):
        open_table(DataSettings(path="hf://datasets/o/m"))
