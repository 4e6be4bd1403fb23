"""An S3 server on loopback (moto), in front of which requests can be made to fail."""

from __future__ import annotations

import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
Fault = str | None
"""What happens to a request: "slow", "unavailable", "cut", "reset" or "forbidden"; None lets it pass."""


class Faults:
    """WSGI middleware: asks `choose` about each range of an object that is read, `choose_other` about all
    other requests that read, and keeps account.

    Attributes:
        delivered: path, first and last byte of each range that was sent whole.
        failed: the faults that ranges met.
        asked: number of other requests that read.
        rewrite: what becomes of the answers to other requests, listings among them.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self.choose: Callable[[int], Fault] = lambda number: None
        self.choose_other: Callable[[int], Fault] = lambda number: None
        self.rewrite: Callable[[bytes], bytes] = lambda body: body
        self.number = self.asked = self.at_once = self.most_at_once = 0
        self.delivered: list[tuple[str, int, int]] = []
        self.failed: list[str] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return self.app(environ, start)
        found = _RANGE.fullmatch(environ.get("HTTP_RANGE", ""))
        if found is None:
            with self.lock:
                self.asked += 1
                fault = self.choose_other(self.asked)
            return _failing(fault, environ, start) or self._other(environ, start)
        with self.lock:
            self.number += 1
            fault = self.choose(self.number)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            if fault is None:
                self.delivered.append((environ["PATH_INFO"], int(found[1]), int(found[2])))
            else:
                self.failed.append(fault)
        try:
            body = _failing(fault, environ, start) or [b"".join(self.app(environ, start))]
            return [body[0][: len(body[0]) // 2]] if fault == "cut" else body
        finally:
            with self.lock:
                self.at_once -= 1

    def _other(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        answers: list[Any] = []
        body = self.rewrite(b"".join(self.app(environ, lambda *answer: answers.append(answer))))
        status, headers = answers[0][:2]
        kept = [
            (name, self.rewrite(value.encode()).decode() if name.lower() == "etag" else value)
            for name, value in headers
            if environ["REQUEST_METHOD"] == "HEAD" or name.lower() != "content-length"
        ]
        start(status, kept)
        return [body]


def _failing(fault: Fault, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes] | None:
    """Return the answer of a request that fails; None where there is more to do."""
    if fault in {"unavailable", "forbidden"}:
        start(
            {"unavailable": "503 Slow Down", "forbidden": "403 Forbidden"}[fault], [("Content-Length", "0")]
        )
        return [b""]
    if fault == "slow":
        time.sleep(1.5)
    if fault == "reset":
        # To linger for no time is to send RST in place of FIN.
        line = environ["werkzeug.socket"]
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(line.detach())
        raise ConnectionResetError
    return None


@contextmanager
def s3_server() -> Iterator[tuple[str, Faults]]:
    """Yield the address of a server, and its faults."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_: Any) -> None:
            pass

    faults = Faults(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, faults, threaded=True, request_handler=Quiet)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # a line that was cut is no news
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
