"""A password in the URL of the data is used, and never written."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import trainwright as tw
from trainwright.data.sources import sql
from trainwright.foundation.errors import DataError

PASSWORD = "s3cr3t-w0rd"


@pytest.fixture
def guarded(rows: pl.DataFrame) -> Iterator[str]:
    """The address of the rows, on a server that wants a user and a password."""
    stream = io.BytesIO()
    rows.write_csv(stream)
    wanted = f"Basic {base64.b64encode(f'me:{PASSWORD}'.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Authorization"] != wanted:
                self.send_error(401)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(stream.getvalue())))
            self.send_header("ETag", "1")
            self.end_headers()
            self.wfile.write(stream.getvalue())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://me:{PASSWORD}@127.0.0.1:{http.server_address[1]}/flats.csv"
        http.shutdown()


def assert_unwritten(folder: Path, word: str) -> None:
    """Fail where a word stands in a file, or is the name of one."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if word in str(path) or word.encode() in path.read_bytes()]


def test_no_file_holds_it_and_a_run_goes_on_when_it_is_given_again(
    guarded: str,
    quick: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "run"
    run = tw.train(guarded, target="grade", budget="2 steps", settings=quick, run=place, quiet=False)
    assert run.metrics
    assert PASSWORD not in "".join(capfd.readouterr())
    recipe = (place / "recipe.yaml").read_text()
    assert "http://***@127.0.0.1" in recipe
    assert "http://***@127.0.0.1" in (place / "model" / "recipe.yaml").read_text()
    for page in (run.report, place / "data.json"):
        assert "without its password" in page.read_text()
    assert len(tw.predict(run, guarded, place / "out.csv", keep=["city"]).read_text().splitlines()) == 301
    assert tw.evaluate(run, guarded)["rows"] == 300
    tw.init(guarded, target="grade", output=place / "again.yaml")
    assert "http://***@127.0.0.1" in (place / "again.yaml").read_text()
    assert_unwritten(tmp_path, PASSWORD)

    (place / "evaluation.json").unlink()
    for start in (lambda: tw.resume(place), lambda: tw.train(place / "recipe.yaml", run=tmp_path / "new")):
        with pytest.raises(
            DataError, match=r"the password was left out of the recipe.*write it in that place"
        ):
            start()
    (place / "recipe.yaml").write_text(recipe.replace("***", f"me:{PASSWORD}"))
    assert tw.resume(place).finished
    assert (place / "recipe.yaml").read_text() == recipe
    assert_unwritten(tmp_path, PASSWORD)


def test_a_run_from_a_database_goes_on_where_the_client_finds_the_password(
    rows: pl.DataFrame,
    quick: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def frames(reading: Any, url: str, query: str | None) -> Iterator[pl.DataFrame]:
        asked.append(url.partition("://")[2])
        yield rows

    monkeypatch.setattr(sql, "_server_frames", frames)
    settings = {**quick, "data.query": "flats"}
    url = f"postgresql://me:{PASSWORD}@host/shop"
    run = tw.train(url, target="grade", budget="2 steps", settings=settings, run=tmp_path / "run")
    assert "postgresql://me:***@host/shop" in (run.path / "recipe.yaml").read_text()
    assert_unwritten(run.path, PASSWORD)
    (run.path / "evaluation.json").unlink()
    assert tw.resume(run.path).finished
    assert asked == [f"me:{PASSWORD}@host/shop", "me@host/shop"]
