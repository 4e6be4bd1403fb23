"""Object stores: shards over the S3 protocol, with a server that fails now and then."""

from __future__ import annotations

import hashlib
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
from trainwright.data import patience, ranged, retry
from trainwright.data.open import open_table
from trainwright.data.patterns import spread
from trainwright.data.remote_files import fetch_files
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
    monkeypatch.setattr(patience, "STALL_SECONDS", 1.0)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    name = f"bucket-{time.time_ns()}"
    client.create_bucket(Bucket=name)
    faults.clear()

    def put(key: str, content: bytes, **more: Any) -> str:
        client.put_object(Bucket=name, Key=key, Body=content, **more)
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


def assert_each_byte_once(faults: Faults) -> None:
    """The ranges that were sent whole cover each file from its first byte on, and none twice."""
    assert faults.delivered
    for path in {path for path, _, _ in faults.delivered}:
        spans = sorted((start, end) for name, start, end in faults.delivered if name == path)
        assert spans[0][0] == 0
        assert all(end + 1 == following for (_, end), (following, _) in pairwise(spans)), (path, spans)


@pytest.mark.parametrize(
    "pattern",
    ["", "/", "/*.parquet", "/part-{00..04}.parquet", "/part-0[0-9]*.parquet", "/part-0?.parquet"],
)
def test_shards_are_one_table(store: tuple[Any, Faults], pattern: str) -> None:
    put, faults = store
    folder = put_shards(put)
    table = open_table(DataSettings(path=folder + pattern))
    assert table.column("row").to_list() == list(range(ROWS * SHARDS))
    assert_each_byte_once(faults)
    assert (
        max(end + 1 - start for _, start, end in faults.delivered) <= RANGE
    )  # memory holds no more of a file
    before = len(faults.delivered)
    open_table(DataSettings(path=folder + pattern))
    assert len(faults.delivered) == before  # what has not changed is not fetched again


def test_shards_arrive_side_by_side(store: tuple[Any, Faults]) -> None:
    put, faults = store
    folder = put_shards(put)
    faults.choose = lambda number: time.sleep(0.05)  # type: ignore[func-returns-value]
    assert open_table(DataSettings(path=folder)).num_rows == ROWS * SHARDS
    assert 2 < faults.most_at_once <= 8


@pytest.mark.parametrize("kind", ["unavailable", "cut", "slow", "reset"])
def test_what_fails_for_a_moment_is_asked_for_again(store: tuple[Any, Faults], kind: str) -> None:
    put, faults = store
    folder = put_shards(put)
    faults.choose = lambda number: kind if number % 7 == 3 and number < 25 else None
    table = open_table(DataSettings(path=folder))
    assert table.column("row").to_list() == list(range(ROWS * SHARDS))
    assert faults.failed and set(faults.failed) == {kind}
    assert_each_byte_once(faults)
    assert faults.number == len(faults.delivered) + len(faults.failed)


@pytest.mark.parametrize("kind", ["unavailable", "slow", "reset"])
def test_a_listing_that_fails_for_a_moment_is_asked_for_again(store: tuple[Any, Faults], kind: str) -> None:
    put, faults = store
    folder = put_shards(put)
    faults.choose_other = lambda number: kind if number in {1, 3} else None
    assert open_table(DataSettings(path=f"{folder}/*.parquet")).num_rows == ROWS * SHARDS
    assert_each_byte_once(faults)


def test_failures_of_all_kinds_at_random_lose_nothing(
    store: tuple[Any, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, faults = store
    monkeypatch.setattr(ranged, "RANGE_BYTES", RANGE // 8)
    folder = put_shards(put)
    random = np.random.default_rng(0)
    kinds = [str(kind) for kind in random.choice(["unavailable", "cut", "reset"], 1_000)]
    fails = random.random(1_000) < 0.25
    faults.choose = lambda number: kinds[number] if fails[number] else None
    table = open_table(DataSettings(path=folder))
    assert table.column("row").to_list() == list(range(ROWS * SHARDS))
    assert set(faults.failed) == {"unavailable", "cut", "reset"} and len(faults.failed) > 20
    assert_each_byte_once(faults)


def test_a_long_download_survives_more_failures_than_there_are_attempts(store: tuple[Any, Faults]) -> None:
    put, faults = store
    url = put("big/part-00.parquet", parquet(0, 60_000))
    faults.choose = lambda number: "unavailable" if number % 3 else None
    assert open_table(DataSettings(path=url)).column("row").to_list() == list(range(60_000))
    assert len(faults.failed) > 5 * retry.ATTEMPTS
    assert_each_byte_once(faults)


def test_a_server_that_stays_away_is_one_sentence(store: tuple[Any, Faults]) -> None:
    put, faults = store
    folder = put_shards(put)
    faults.choose = lambda number: "unavailable" if number > 7 else None
    with pytest.raises(DataError, match="cannot be reached") as caught:
        open_table(DataSettings(path=folder))
    assert (caught.value.where or "").startswith(f"{folder}/part-0")
    # The clients' own attempts do not multiply with these.
    assert faults.number <= 7 + SHARDS * retry.ATTEMPTS
    faults.choose = lambda number: None
    assert open_table(DataSettings(path=folder)).num_rows == ROWS * SHARDS
    assert_each_byte_once(faults)


def test_pauses_grow_and_end() -> None:
    pauses: list[float] = []

    def fail() -> None:
        raise ConnectionResetError

    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            retry.retried(fail, "one", sleep=pauses.append)
    first, again = pauses[: len(pauses) // 2], pauses[len(pauses) // 2 :]
    assert len(first) == retry.ATTEMPTS - 1
    assert all(0.25 * 2**step <= pause <= 0.5 * 2**step for step, pause in enumerate(first))
    assert first == again  # drawn from a stream of that name
    with pytest.raises(ConnectionResetError):
        retry.retried(fail, "another", sleep=pauses.append)
    assert pauses[-1] != first[-1]


def test_what_is_forbidden_is_said_at_once(store: tuple[Any, Faults]) -> None:
    put, faults = store
    url = put("set/one.parquet", parquet(0))
    faults.choose = lambda number: "forbidden"
    with pytest.raises(DataError, match="refuses access; check the credentials") as caught:
        open_table(DataSettings(path=url))
    assert caught.value.where == url
    assert faults.number == 1
    faults.clear()
    faults.choose_other = lambda number: "forbidden"
    with pytest.raises(DataError, match="refuses access"):
        open_table(DataSettings(path=url))
    assert faults.asked <= 2 and not faults.number


def test_what_is_not_there_is_said_at_once(store: tuple[Any, Faults]) -> None:
    put, faults = store
    folder = put_shards(put)
    for path, why in (
        (f"{folder}/none.parquet", "no such file"),
        (f"{folder}/*.csv", "called so"),
        (f"{folder}/part-{{03..06}}.parquet", r"2 of the range are not there \(the first: part-05.parquet\)"),
        (f"{folder}/part-{{03..05}}.par*", "1 of the range"),
    ):
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
    # At most the one range that was on its way when the process died was asked for again.
    counts = Counter(faults.delivered)
    assert sum(counts.values()) - len(counts) <= 1
    faults.delivered = sorted(counts)
    assert_each_byte_once(faults)


def test_a_file_that_came_whole_by_another_name_is_not_its_own_part(store: tuple[Any, Faults]) -> None:
    put, faults = store
    url = put_shards(put) + "/part-00.parquet"
    faults.choose = lambda number: "unavailable" if number > 1 else None
    with pytest.raises(DataError, match="cannot be reached"):
        open_table(DataSettings(path=url))
    faults.choose = lambda number: None
    assert open_table(DataSettings(path=url.replace("00.parquet", "0*"))).num_rows == ROWS * SHARDS
    for _ in range(2):
        path = fetch_files(url)
        assert [file.name for file in path.parent.iterdir()] == ["part-00.parquet"]
        assert path.name == "part-00.parquet"


def test_a_part_of_another_version_is_not_gone_on_with(store: tuple[Any, Faults]) -> None:
    put, faults = store
    url = put("set/one.parquet", parquet(0))
    faults.choose = lambda number: None if number < 2 else "unavailable"
    with pytest.raises(DataError):
        open_table(DataSettings(path=url))
    put("set/one.parquet", parquet(1))
    faults.choose = lambda number: None
    assert open_table(DataSettings(path=url)).column("row").to_list() == list(range(ROWS, 2 * ROWS))


def test_where_one_shard_changes_the_others_are_not_fetched_again(store: tuple[Any, Faults]) -> None:
    put, faults = store
    folder = put_shards(put)
    open_table(DataSettings(path=folder))
    faults.delivered.clear()
    put("set/part-03.parquet", parquet(9))
    rows = open_table(DataSettings(path=f"{folder}/*.parquet")).column("row").to_list()
    assert sorted(rows) == [*range(3 * ROWS), *range(4 * ROWS, 5 * ROWS), *range(9 * ROWS, 10 * ROWS)]
    assert {path.rpartition("/")[2] for path, _, _ in faults.delivered} == {"part-03.parquet"}
    assert_each_byte_once(faults)


def test_where_a_shard_is_added_the_parts_of_the_others_are_gone_on_with(store: tuple[Any, Faults]) -> None:
    put, faults = store
    folder = put_shards(put)
    faults.choose = lambda number: "unavailable" if number > 9 else None
    with pytest.raises(DataError):
        open_table(DataSettings(path=folder))
    put("set/part-05.parquet", parquet(5))
    faults.choose = lambda number: None
    assert open_table(DataSettings(path=folder)).column("row").to_list() == list(range(6 * ROWS))
    assert_each_byte_once(faults)


def test_a_shard_that_is_replaced_while_it_arrives_is_told_and_not_mixed(store: tuple[Any, Faults]) -> None:
    put, faults = store
    folder = put_shards(put)

    def replace(number: int) -> None:
        if number == 12:
            put("set/part-00.parquet", parquet(9))

    faults.choose = replace  # type: ignore[assignment]
    with pytest.raises(DataError, match=r"changed while it was fetched|not what the store has"):
        open_table(DataSettings(path=folder))
    faults.choose = lambda number: None
    rows = open_table(DataSettings(path=folder)).column("row").to_list()
    assert rows == [*range(9 * ROWS, 10 * ROWS), *range(ROWS, 5 * ROWS)]


def spoil_tags(faults: Faults, content: bytes) -> None:
    """Let the server say of this content that its tag is another one of 32 digits."""
    true = hashlib.md5(content).hexdigest().encode()
    faults.rewrite = lambda body: body.replace(true, true[::-1])


def test_content_that_is_not_what_the_store_says_is_fetched_once_more_and_refused(
    store: tuple[Any, Faults],
) -> None:
    put, faults = store
    url = put("set/one.parquet", parquet(0))
    spoil_tags(faults, parquet(0))
    with pytest.raises(DataError, match="not what the store has by its own word"):
        open_table(DataSettings(path=url))
    assert set(Counter(faults.delivered).values()) == {2}
    assert not list(Path(os.environ["TRAINWRIGHT_CACHE"]).rglob("one.parquet*"))
    faults.rewrite = lambda body: body
    assert open_table(DataSettings(path=url)).num_rows == ROWS


def test_a_tag_of_encrypted_content_is_not_taken_for_its_digest(store: tuple[Any, Faults]) -> None:
    put, faults = store
    url = put("set/one.parquet", parquet(0), ServerSideEncryption="aws:kms")
    spoil_tags(faults, parquet(0))
    assert open_table(DataSettings(path=url)).num_rows == ROWS
    assert_each_byte_once(faults)


def test_more_than_the_cache_may_take_is_refused_before_the_first_byte(
    store: tuple[Any, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, faults = store
    folder = put_shards(put)
    monkeypatch.setenv("TRAINWRIGHT_CACHE_GB", str(20_000 / 2**30))
    with pytest.raises(DataError, match="TRAINWRIGHT_CACHE_GB"):
        open_table(DataSettings(path=folder))
    assert not faults.number


def test_what_a_dead_process_used_makes_room_before_new_bytes_arrive(
    store: tuple[Any, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, faults = store
    first, second = (put(f"sets/{name}.parquet", parquet(number)) for number, name in enumerate("ab"))
    monkeypatch.setenv("TRAINWRIGHT_CACHE_GB", str(1.5 * len(parquet(0)) / 2**30))
    downloads = Path(os.environ["TRAINWRIGHT_CACHE"], "downloads")

    def held() -> set[str]:
        return {path.stem for path in downloads.glob("*/content/*.parquet")}

    code = "import sys; from trainwright.data.remote import fetch; fetch(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, first], check=True)
    assert held() == {"a"}
    seen: list[set[str]] = []
    faults.choose = lambda number: seen.append(held())  # type: ignore[func-returns-value]
    open_table(DataSettings(path=second))
    assert seen[0] == set() and held() == {"b"}
    open_table(DataSettings(path=first))
    assert held() == {"a", "b"}  # this process uses both


def test_shards_in_folders_below_are_read_and_say_their_part(store: tuple[Any, Faults]) -> None:
    put, _ = store
    url = put("deep/year=2023/part-0.parquet", parquet(0)).partition("/year")[0]
    put("deep/year=2024/part-0.parquet", parquet(1))
    put("deep/part-0.parquet", parquet(2))
    put("deep/_SUCCESS", b"")
    put("deep/_log/0.json", b'{"note": 1}')
    for pattern in ("", "/**/*.parquet"):
        table = open_table(DataSettings(path=url + pattern))
        assert sorted(table.column("row").to_list()) == list(range(3 * ROWS))
        assert "year=2023/part-0.parquet" in table.where(table.column("row").to_list().index(0))
    put("parts/train/month=1/p.parquet", parquet(0))
    url = put("parts/test/month=1/p.parquet", parquet(1)).partition("/test")[0]
    table = open_table(DataSettings(path=url))
    assert table.part is not None
    parts = dict(zip(table.column("row").to_list(), table.part.tolist(), strict=True))
    assert parts == {row: 2 * (row >= ROWS) for row in range(2 * ROWS)}


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


def test_a_model_is_trained_from_shards_of_a_failing_store(store: tuple[Any, Faults], tmp_path: Path) -> None:
    import trainwright as tw

    put, faults = store
    for shard in range(4):
        url = put(f"tars/part-{shard:02}.tar", picture_tar(shard))
    faults.choose = lambda number: "cut" if number % 4 == 2 else None
    run = tw.train(
        f"{url.rpartition('/')[0]}/part-{{00..03}}.tar",
        target="cls",
        budget="2 steps",
        settings={"model.size": "tiny"},
        run=tmp_path / "run",
    )
    data = json.loads((run.path / "data.json").read_text())
    assert (data["rows"], data["quarantined"]["count"], sum(data["split"]["rows"].values())) == (160, 0, 160)
    assert {column["name"]: column["type"] for column in data["columns"]}["image"] == "image"
    assert_each_byte_once(faults)


def picture_tar(shard: int) -> bytes:
    """Return a tar file of 40 pictures: two colours, and noise that makes each of them another one."""
    from PIL import Image

    random, stream = np.random.default_rng(shard), io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(40):
            pixels = random.integers(0, 99, (12, 12, 3), dtype=np.uint8)
            pixels[..., number % 2] += 150
            picture = io.BytesIO()
            Image.fromarray(pixels).save(picture, "png")
            for ending, content in (("png", picture.getvalue()), ("cls", str(number % 2).encode())):
                entry = tarfile.TarInfo(f"{shard}-{number:04}.{ending}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


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
