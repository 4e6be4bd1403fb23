"""http and https, by the standard library."""

from __future__ import annotations

import http.client
import secrets
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from trainwright.data.cache import prune
from trainwright.data.transfer import CONNECT_SECONDS, broken_off, save, unreachable
from trainwright.data.urls import has_password, public_name
from trainwright.foundation.errors import DataError, UserError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.leases import use
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import cache_folder, whole_folder, write_json

_MARK = "fetched.json"
"""Says that a download is whole."""


def fetch_http(url: str) -> Path:
    """Return the local copy of a file, fetched again only when its ETag or date has changed.

    Raises:
        DataError: it is not there, the server cannot be reached, or the download broke off.
    """
    with opened_http(url, CONNECT_SECONDS) as answer:
        headers = answer.headers
        version = headers.get("ETag") or headers.get("Last-Modified")
        size = int(headers["Content-Length"]) if (headers.get("Content-Length") or "").isdigit() else None
        name = PurePosixPath(unquote(urlsplit(url).path)).name or "download"
        # Without a version each download is one of its own: a run may still read the one before.
        key = json_hash([url, version or secrets.token_hex(8), size])
        folder = cache_folder("downloads") / key
        path = folder / _safe(name)
        use(folder)
        with locked(
            folder.with_name(f".{key}.lock"),
            busy=f"another process is fetching {public_name(url)}",
            fix="wait for it",
            wait=lambda _: None,
        ):
            if not (folder / _MARK).exists():
                with whole_folder(folder) as scratch:
                    save(answer, scratch / path.name, url, size)
                    write_json(scratch / _MARK, {"url": public_name(url), "version": version})
    prune(folder)
    folder.touch()
    return path


@contextmanager
def opened_http(url: str, timeout: float) -> Iterator[Any]:
    """Yield the server's answer; a user and password in the URL are sent as basic authentication.

    Raises:
        DataError: there is no answer within `timeout` seconds, or it is an error.
    """
    name = public_name(url)
    try:
        request = _request(url)
        with urllib.request.build_opener(_Redirects).open(request, timeout=timeout) as answer:
            yield answer
    except UserError:  # which is a ValueError too
        raise
    except urllib.error.HTTPError as error:
        raise DataError(
            f"the server answers {error.code} ({error.reason})", where=name, fix="check the address"
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise unreachable(url, getattr(error, "reason", error)) from error
    except http.client.IncompleteRead as error:
        raise broken_off(url) from error
    except (http.client.HTTPException, ValueError, UnicodeError) as error:
        if has_password(url):  # the words of the error may show a part of it
            raise DataError(
                "the address cannot be used",
                where=name,
                fix="check it; special characters of a password are written as %2F for / and %40 for @",
            ) from error
        raise DataError(f"the address cannot be used ({error})", where=name, fix="check it") from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; a password is for the server that it was given for, and for no other."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the next request."""
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            following.remove_header("Authorization")
        return following


def _request(url: str) -> urllib.request.Request:
    headers = {"User-Agent": "trainwright"}
    parts = urlsplit(url)
    user, found, host = parts.netloc.rpartition("@")
    if found:
        headers["Authorization"] = f"Basic {b64encode(unquote(user).encode()).decode()}"
        url = urlunsplit(parts._replace(netloc=host))
    return urllib.request.Request(url, headers=headers)


def _safe(name: str) -> str:
    return name if name not in {"", ".", "..", _MARK} and "\0" not in name else "download"
