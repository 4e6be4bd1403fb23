"""An S3 server on loopback (moto), in front of which requests can be made to fail."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
Fault = str | None
"""What happens to a request: "slow", "unavailable", "cut" or "reset"; None lets it pass."""


class Faults:
    """WSGI middleware: asks `choose` about each range of an object that is read, and keeps account."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.choose: Callable[[int], Fault] = lambda number: None
        self.number = 0
        self.delivered: list[tuple[str, int, int]] = []
        self.failed: list[str] = []
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        found = _RANGE.fullmatch(environ.get("HTTP_RANGE", ""))
        if environ["REQUEST_METHOD"] != "GET" or found is None:
            return self.app(environ, start)
        with self.lock:
            self.number += 1
            fault = self.choose(self.number)
            if fault is None:
                self.delivered.append((environ["PATH_INFO"], int(found[1]), int(found[2])))
            else:
                self.failed.append(fault)
        if fault == "unavailable":
            start("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        if fault == "slow":
            time.sleep(1.5)
        body = b"".join(self.app(environ, start))
        return [body[: len(body) // 2]] if fault == "cut" else [body]


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
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
