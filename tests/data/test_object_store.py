"""Object stores: shards over the S3 protocol, with a server that fails now and then."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.data.s3_server import Faults, s3_server
from trainwright.data import ranged, remote_files, retry
from trainwright.data.open import open_table
from trainwright.data.remote_files import spread
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

pytest.importorskip("s3fs", reason="the extra 's3' is not installed")
boto3 = pytest.importorskip("boto3", reason="moto is not installed")
pytest.importorskip("moto.server", reason="moto is not installed")

ROWS, SHARDS, RANGE = 3_000, 5, 1 << 14


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Faults]]:
    with s3_server() as found:
        yield found


@pytest.fixture
def store(
    server: tuple[str, Faults], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[Any, Faults]]:
    """A client of an empty bucket, and the faults of its server; the cache is empty, and patience short."""
    import s3fs

    address, faults = server
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "TRAINWRIGHT_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ranged, "RANGE_BYTES", RANGE)
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote_files, "_STALL_SECONDS", 1.0)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    name = f"bucket-{time.time_ns()}"
    client.create_bucket(Bucket=name)
    faults.choose, faults.number = (lambda number: None), 0
    faults.delivered.clear()
    faults.failed.clear()

    def put(key: str, content: bytes) -> str:
        client.put_object(Bucket=name, Key=key, Body=content)
        return f"s3://{name}/{key}"

    yield put, faults
    s3fs.S3FileSystem.clear_instance_cache()


def parquet(shard: int, rows: int = ROWS) -> bytes:
    random = np.random.default_rng(shard)
    frame = pl.DataFrame({"row": np.arange(rows) + shard * rows, "x": random.normal(size=rows)})
    stream = io.BytesIO()
    frame.write_parquet(stream, compression="uncompressed")
    return stream.getvalue()


def put_shards(put: Any) -> str:
    """Put shards into the bucket; return the URL of their folder."""
    urls = [put(f"set/part-{shard:02}.parquet", parquet(shard)) for shard in range(SHARDS)]
    return urls[0].rpartition("/")[0]


def assert_nothing_twice(faults: Faults) -> None:
    """Every byte came once, apart from what failed."""
    assert max(Counter(faults.delivered).values()) == 1
    for path in {path for path, _, _ in faults.delivered}:
        spans = sorted((start, end) for name, start, end in faults.delivered if name == path)
        assert all(end < following for (_, end), (following, _) in pairwise(spans))


@pytest.mark.parametrize("pattern", ["", "/*.parquet", "/part-{00..04}.parquet", "/part-0[0-9]*.parquet"])
def test_shards_are_one_table(store: tuple[Any, Faults], pattern: str) -> None:
    put, faults = store
    folder = put_shards(put)
    table = open_table(DataSettings(path=folder + pattern))
    assert table.column("row").to_list() == list(range(ROWS * SHARDS))
    assert_nothing_twice(faults)
    before = len(faults.delivered)
    open_table(DataSettings(path=folder + pattern))
    assert len(faults.delivered) == before  # what has not changed is not fetched again


@pytest.mark.parametrize("kind", ["unavailable", "cut", "slow"])
def test_what_fails_for_a_moment_is_asked_for_again(store: tuple[Any, Faults], kind: str) -> None:
    put, faults = store
    folder = put_shards(put)
    faults.choose = lambda number: kind if number % 7 == 3 and number < 25 else None
    table = open_table(DataSettings(path=folder))
    assert table.column("row").to_list() == list(range(ROWS * SHARDS))
    assert faults.failed and set(faults.failed) == {kind}
    if kind != "cut":  # half of such an answer is kept, and the rest asked for
        assert_nothing_twice(faults)


def test_failures_of_all_kinds_at_random_lose_nothing(store: tuple[Any, Faults]) -> None:
    put, faults = store
    folder = put_shards(put)
    random = np.random.default_rng(0)
    faults.choose = lambda number: (
        str(random.choice(["unavailable", "cut"])) if random.random() < 0.2 else None
    )
    table = open_table(DataSettings(path=folder))
    assert table.column("row").to_list() == list(range(ROWS * SHARDS))
    assert len(faults.failed) > 3


def test_a_server_that_stays_away_is_one_sentence(store: tuple[Any, Faults]) -> None:
    put, faults = store
    folder = put_shards(put)
    faults.choose = lambda number: "unavailable"
    with pytest.raises(DataError) as caught:
        open_table(DataSettings(path=folder))
    assert "set" in (caught.value.where or "")
    # No more than the attempts for each file that was under way.
    assert faults.number <= SHARDS * retry.ATTEMPTS
    faults.choose = lambda number: None
    assert open_table(DataSettings(path=folder)).num_rows == ROWS * SHARDS


def test_what_is_not_there_is_said_at_once(store: tuple[Any, Faults]) -> None:
    put, faults = store
    folder = put_shards(put)
    for path, why in ((f"{folder}/none.parquet", "no such file"), (f"{folder}/*.csv", "called so")):
        with pytest.raises(DataError, match=why):
            open_table(DataSettings(path=path))
    assert not faults.number


def test_a_download_that_is_killed_goes_on_where_it_was(store: tuple[Any, Faults]) -> None:
    put, faults = store
    url = put("big/part-00.parquet", parquet(0, 60_000))
    program = (
        "import sys; from trainwright.data import ranged; from trainwright.data.open import open_table\n"
        "from trainwright.recipe.recipe import DataSettings\n"
        f"ranged.RANGE_BYTES = {RANGE}\n"
        "open_table(DataSettings(path=sys.argv[1]))"
    )
    faults.choose = lambda number: time.sleep(0.02)  # type: ignore[func-returns-value]
    process = subprocess.Popen([sys.executable, "-c", program, url])
    until = time.monotonic() + 60
    while len(faults.delivered) < 8 and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 8 <= len(faults.delivered) < 50
    faults.choose = lambda number: None
    time.sleep(0.3)  # the answer on its way when the process died
    table = open_table(DataSettings(path=url))
    assert table.column("row").to_list() == list(range(60_000))
    # At most the one range that was on its way was asked for again.
    assert sum(Counter(faults.delivered).values()) - len(set(faults.delivered)) <= 1


def test_a_part_of_another_version_is_not_gone_on_with(store: tuple[Any, Faults]) -> None:
    put, faults = store
    url = put("set/one.parquet", parquet(0))
    faults.choose = lambda number: None if number < 2 else "unavailable"
    with pytest.raises(DataError):
        open_table(DataSettings(path=url))
    put("set/one.parquet", parquet(1))
    faults.choose = lambda number: None
    assert open_table(DataSettings(path=url)).column("row").to_list() == list(range(ROWS, 2 * ROWS))


def test_content_that_is_not_what_the_server_has_is_fetched_again(
    store: tuple[Any, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, _ = store
    url = put("set/one.parquet", parquet(0))
    real, spoilt = remote_files._within, []

    def spoil(seconds: float, work: Any) -> Any:
        found = real(seconds, work)
        if isinstance(found, bytes) and not spoilt:
            spoilt.append(True)
            return bytes(len(found))
        return found

    monkeypatch.setattr(remote_files, "_within", spoil)
    assert open_table(DataSettings(path=url)).column("row").to_list() == list(range(ROWS))
    assert spoilt


def test_more_than_the_cache_may_take_is_refused_before_the_first_byte(
    store: tuple[Any, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, faults = store
    folder = put_shards(put)
    monkeypatch.setenv("TRAINWRIGHT_CACHE_GB", str(20_000 / 2**30))
    with pytest.raises(DataError, match="TRAINWRIGHT_CACHE_GB"):
        open_table(DataSettings(path=folder))
    assert not faults.number


def sample_tar(samples: int, first: int = 0) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(first, first + samples):
            files = {
                "jpg": bytes([number % 256]) * 50,
                "cls": str(number % 3).encode(),
                "json": json.dumps({"price": number / 2, "tags": ["a", number]}).encode(),
            }
            for ending, content in files.items():
                entry = tarfile.TarInfo(f"train/{number:06}.{ending}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def test_tar_shards_are_rows_of_samples(store: tuple[Any, Faults]) -> None:
    put, faults = store
    put("tars/part-0.tar", sample_tar(40))
    folder = put("tars/part-1.tar", sample_tar(60, first=40)).rpartition("/")[0]
    faults.choose = lambda number: "cut" if number in {2, 5} else None
    table = open_table(DataSettings(path=f"{folder}/part-{{0..1}}.tar"))
    assert list(table.schema) == ["image", "cls", "price", "tags"]
    assert table.column("price").to_list() == [number / 2 for number in range(100)]
    assert table.column("cls").to_list() == [str(number % 3) for number in range(100)]
    assert table.column("image")[99] == bytes([99]) * 50
    assert table.where(41).endswith("row 1") or "part-1.tar" in table.where(41)


def test_a_range_of_names_is_spread() -> None:
    assert spread("a/{08..11}.tar") == ["a/08.tar", "a/09.tar", "a/10.tar", "a/11.tar"]
    assert spread("{0..1}/{1..2}") == ["0/1", "0/2", "1/1", "1/2"]
    with pytest.raises(DataError, match="empty or too long"):
        spread("{5..2}")


def test_without_credentials_nothing_is_tried_again(
    store: tuple[Any, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    put, _ = store
    url = put("set/one.parquet", parquet(0))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(DataError, match="no credentials"):
        open_table(DataSettings(path=url))
