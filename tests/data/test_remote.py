from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest

from trainwright.data.media import open_media
from trainwright.data.open import open_table
from trainwright.data.remote_http import fetch_http
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings
from trainwright.reporting.language import said
from trainwright.reporting.phrases import PHRASES

CSV = b"a,b\n1,2\n3,4\n"


class Handler(BaseHTTPRequestHandler):
    served = 0
    tag = "1"
    other = ""
    passwords: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/guarded.csv" and self.headers["Authorization"] != "Basic bWU6cHc=":
            self.send_error(401)
            return
        if path == "/missing.csv":
            self.send_error(404)
            return
        if path == "/slow.bin":
            time.sleep(3)
        if path in {"/elsewhere.csv", "/here.csv"}:
            host = Handler.other if path == "/elsewhere.csv" else self.headers["Host"]
            self.send_response(302)
            self.send_header("Location", f"http://{host}/seen.csv")
            self.end_headers()
            return
        if path == "/seen.csv":
            Handler.passwords.append(self.headers["Authorization"])
        if path == "/local":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        body = CSV
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + (5 if path == "/short.csv" else 0)))
        if path != "/untagged.csv":
            self.send_header("ETag", Handler.tag)
        self.end_headers()
        self.wfile.write(body)
        Handler.served += 1

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up in these tests; that is no news."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


def test_a_file_over_http(server: str) -> None:
    table = open_table(DataSettings(path=f"{server}/d.csv?key=secret"))
    assert table.column("b").to_list() == ["2", "4"]
    assert table.name == f"{server}/d.csv"
    assert table.root == server


def test_a_user_and_a_password(server: str) -> None:
    table = open_table(DataSettings(path=f"{server.replace('://', '://me:pw@')}/guarded.csv"))
    assert (table.num_rows, table.name) == (2, f"{server}/guarded.csv")
    with pytest.raises(DataError, match="the server answers 401"):
        open_table(DataSettings(path=f"{server}/guarded.csv"))


def cached_files() -> dict[Path, int]:
    import os

    root = Path(os.environ["TRAINWRIGHT_CACHE"]) / "downloads"
    return {path: path.stat().st_ino for path in root.rglob("*.csv")}


def test_a_password_is_for_the_server_that_it_was_given_for(server: str) -> None:
    guarded = server.replace("http://", "http://me:pw@")
    with Server(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        Handler.other = f"127.0.0.1:{other.server_address[1]}"
        for path in ("here.csv", "elsewhere.csv"):
            open_table(DataSettings(path=f"{guarded}/{path}"))
        other.shutdown()
    assert Handler.passwords == ["Basic bWU6cHc=", None]


def test_what_has_no_version_is_fetched_each_time_and_read_on(server: str) -> None:
    first = fetch_http(f"{server}/untagged.csv")
    second = fetch_http(f"{server}/untagged.csv")
    assert first != second
    assert first.read_bytes() == second.read_bytes() == CSV


def test_a_file_called_as_the_mark_of_a_download_is_read(server: str) -> None:
    assert fetch_http(f"{server}/fetched.json").read_bytes() == CSV


def test_what_has_not_changed_is_not_fetched_again(server: str) -> None:
    Handler.tag = "old"
    open_table(DataSettings(path=f"{server}/cached.csv"))
    before = cached_files()
    open_table(DataSettings(path=f"{server}/cached.csv"))
    assert cached_files() == before
    Handler.tag = "new"
    open_table(DataSettings(path=f"{server}/cached.csv"))
    assert len(cached_files()) == len(before) + 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/missing.csv", "the server answers 404 (Not Found); check the address"),
        ("/short.csv", "the download broke off; run it again"),
        ("/local", "cannot be"),
    ],
)
def test_what_a_server_cannot_give(server: str, path: str, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        open_table(DataSettings(path=server + path))
    assert expected in str(caught.value) or "not allowed" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/d.csv",
        "http://no-such-host.invalid/d.csv",
        "http://user:pw@127.0.0.1:9/d.csv",
        "http:///d.csv",
    ],
)
def test_being_offline_is_told_in_seconds(url: str) -> None:
    began = time.monotonic()
    with pytest.raises(DataError) as caught:
        open_table(DataSettings(path=url))
    assert time.monotonic() - began < 12
    assert "pw" not in str(caught.value)


def test_media_over_http(server: str) -> None:
    assert open_media(f"{server}/a.bin", None) == CSV
    assert open_media("a.bin", server) == CSV
    with pytest.raises(DataError, match="larger than"):
        open_media(f"{server}/a.bin", None, max_bytes=3)
    with pytest.raises(DataError, match=r"it cannot be reached \(timed out\)|did not arrive"):
        open_media(f"{server}/slow.bin", None, timeout=0.5)


def test_files_and_folders_of_fsspec() -> None:
    for name in ("train", "test"):
        with fsspec.open(f"memory://shop/data/{name}.csv", "wb") as stream:
            stream.write(CSV)
    assert open_table(DataSettings(path="memory://shop/data/test.csv")).num_rows == 2
    table = open_table(DataSettings(path="memory://shop/data"))
    assert table.num_rows == 4
    assert table.part is not None
    assert table.part.tolist() == [0, 0, 2, 2]
    with pytest.raises(DataError, match="there is no such file; check the address"):
        open_table(DataSettings(path="memory://shop/data/none.csv"))


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(DataError, match=r"'gs://' needs a package that is not installed; .*gcsfs"):
        open_table(DataSettings(path="gs://bucket/d.csv"))
    with pytest.raises(DataError, match="nosuch://"):
        open_table(DataSettings(path="nosuch://bucket/d.csv"))


@pytest.mark.parametrize("url", ["https://me:s3c/ret@host/d.csv", "https://host/d d.csv?token=s3c"])
def test_an_address_that_cannot_be_used_is_not_repeated(url: str) -> None:
    with pytest.raises(DataError, match="the address cannot be used; check it; special characters") as caught:
        open_table(DataSettings(path=url))
    assert "s3c" not in str(caught.value)


def test_a_password_that_was_left_out_is_asked_for(server: str) -> None:
    for url in (f"{server.replace('://', '://***@')}/guarded.csv", f"{server}/d.csv?key=***"):
        with pytest.raises(DataError, match=r"the password was left out of the recipe, where \*\*\* stands"):
            open_table(DataSettings(path=url))


def test_what_was_left_out_is_noted(server: str) -> None:
    assert open_table(DataSettings(path=f"{server}/d.csv")).notes == []
    (note,) = open_table(DataSettings(path=f"{server}/d.csv?key=secret", test=f"{server}/d.csv?key=x")).notes
    assert "without its password" in note
    assert "密码" in said(note, PHRASES).zh
