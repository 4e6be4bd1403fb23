"""Locations: what the user wrote, seen from somewhere else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from trainwright.data.locate import database, locate, seen_from


@pytest.mark.parametrize("location", ["rows.csv", "data/rows.csv", "./data/../rows.csv", "../work/rows.csv"])
def test_a_relative_path_leads_to_the_same_file_from_another_folder(tmp_path: Path, location: str) -> None:
    work, run = tmp_path / "work", tmp_path / "deep" / "down" / "run"
    for folder in (work / "data", run):
        folder.mkdir(parents=True)
    for place in (work / "rows.csv", work / "data" / "rows.csv"):
        place.write_text(str(place))
    (there,) = locate(location, work)
    (here,) = locate(seen_from(run, location, work), run)
    assert not Path(seen_from(run, location, work)).is_absolute()
    assert here.path.samefile(there.path)


def test_links_to_the_run_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "rows.csv").write_text("a")
    (tmp_path / "disk" / "two" / "runs").mkdir(parents=True)
    (tmp_path / "work" / "runs").symlink_to(tmp_path / "disk" / "two" / "runs")
    run = tmp_path / "work" / "runs"
    assert (run / seen_from(run, "rows.csv", tmp_path / "work")).samefile(tmp_path / "work" / "rows.csv")


@pytest.mark.parametrize(
    "location",
    [
        "/data/rows.csv",
        "~/rows.csv",
        "https://example.org/rows.csv",
        "hf://datasets/a/b",
        "sqlite:////data/a.db",
        "postgresql://user@host/rows",
        "s3://bucket/data/*.parquet",
    ],
)
def test_what_is_not_relative_stays(tmp_path: Path, location: str) -> None:
    assert seen_from(tmp_path, location, Path("elsewhere")) == location


def test_globs_and_databases_are_relative_too(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert seen_from(run, "data/*.csv", tmp_path) == "../data/*.csv"
    sqlite3.connect(tmp_path / "my rows.db").close()
    seen = seen_from(run, "sqlite:///my rows.db?mode=ro", tmp_path)
    assert seen == "sqlite:///../my%20rows.db?mode=ro"
    assert database(seen, run).path.samefile(tmp_path / "my rows.db")
