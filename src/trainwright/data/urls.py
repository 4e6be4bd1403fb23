"""URLs: their kinds, and how messages and files show them without giving secrets away."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

from trainwright.recipe.recipe import DataSettings

REMOTE = frozenset(
    {"http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "hf"}
    | {"webdav", "webhdfs", "hdfs", "ftp", "sftp"}
)
"""Kinds of URL that never open a file of this machine."""

DATABASES = frozenset(
    {"sqlite", "postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle", "duckdb", "snowflake"}
    | {"bigquery", "redshift", "cockroachdb", "clickhouse", "trino", "presto", "databricks"}
)
"""First words of database URLs."""

LEFT_OUT = "***"
"""What stands for a password where it is left out."""

_WEB = frozenset({"http", "https"})
_SCHEME = re.compile(r"([a-zA-Z][\w+.-]*)://")
_CHAINED = re.compile(r"::(?=[a-zA-Z][\w+.-]*://)")
"""Between the URLs of a chain, which fsspec opens one in the other: `zip://a.csv::https://host/b.zip`."""

# User and password, up to the @. As their readers take them: SQLAlchemy ends the password of a database at
# the first @, others what is before the host at a slash. Where that leaves an @ that should have been
# percent-encoded, all up to it is taken for the password: rather too much than a part of it shown.
_DATABASE_USER = re.compile(r"[^:/]*:[^@]*(?:@[^?@]*)*@|[^:/]*@")
_USER = re.compile(r"[^/?#]*@")
_ODD_USER = re.compile(r"[^/?#@:\[]*:(?!\d*(?:[/?#]|$)).*@", re.DOTALL)

_PAIR = re.compile(r"[?&;#]([^=&;#?/]+)=(?=([^&]*))")
_SECRET = re.compile(
    r"passw|passphrase|pwd|token|secret|signature|credential|jwt|odbcconnect"
    r"|(?:api|access|account|auth|private|shared|subscription)key$|^(?:key|auth|authorization|pass|sig|sas)$"
)
_PLACE = re.compile(r"(?:file|path)$")
"""Names of a query that say where a secret lies."""

_NAMED = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")


def scheme_of(url: str) -> str:
    """Return the kind of a URL in lower case."""
    return url.partition("://")[0].lower()


def is_database(scheme: str) -> bool:
    """Return whether URLs of this kind name a database: `postgresql`, `postgresql+psycopg`."""
    return scheme.partition("+")[0] in DATABASES


def public_name(url: str) -> str:
    """Return a URL as messages may show it: without user, password and query, which may hold keys."""
    shown, position = "", 0
    for scheme, start, end in _chain(url):
        shown += url[position:start]
        position = start + _user_length(scheme, url[start:end])
    shown += url[position:]
    return shown.partition("?")[0].partition("#")[0] if position else url


def redacted(url: str) -> str:
    """Return a URL as files may hold it: `***` stands for every password, token and key.

    `$NAME` in the URL of a database stays where there is such a variable of the environment.
    """
    shown, position = "", 0
    for start, end in _secrets(url):
        shown += url[position:start] + LEFT_OUT
        position = end
    return shown + url[position:]


def redacted_settings(data: DataSettings) -> DataSettings:
    """Return settings as files may hold them: without the passwords of their URLs."""
    return data.model_copy(
        update={
            "path": redacted(data.path) if isinstance(data.path, str) else tuple(map(redacted, data.path)),
            "validation": data.validation and redacted(data.validation),
            "test": data.test and redacted(data.test),
        }
    )


def has_password(url: str) -> bool:
    """Return whether a URL holds a password, token or key, or `***` for one."""
    return next(_secrets(url), None) is not None


def is_left_out(url: str) -> bool:
    """Return whether `***` stands for a password in a URL."""
    return any(url[start:end] == LEFT_OUT for start, end in _secrets(url))


def without_mark(url: str) -> str:
    """Return the URL of a database without `***`, so that its client looks for a password elsewhere."""
    url = url.replace(f":{LEFT_OUT}@", "@", 1)
    return re.sub(rf"(?<=[?&])[^=&]*={re.escape(LEFT_OUT)}(?:&|$)", "", url).rstrip("?&")


def without_password(text: str, url: str) -> str:
    """Return a message with the passwords of a URL blotted out."""
    for start, end in _secrets(url):
        secret = url[start:end]
        for word in (secret, secret.partition(":")[2]):  # on the web the user stands before the password
            for written in (word, unquote(word), unquote_plus(word)):
                text = text.replace(written, LEFT_OUT) if written else text
        # What stands behind an @ in a password may have been taken for a part of the host.
        rest = secret.partition("@")[2]
        text = text.replace(f"{rest}@", f"{LEFT_OUT}@") if rest else text
    return text


def _chain(url: str) -> Iterator[tuple[str, int, int]]:
    """Yield the kind of each URL of a chain, and where what follows its `://` begins and ends."""
    position = 0
    while found := _SCHEME.search(url, position):
        scheme, start = found[1].lower(), found.end()
        after = None if is_database(scheme) else _CHAINED.search(url, start)
        position = len(url) if after is None else after.start()
        yield scheme, start, position


def _user_length(scheme: str, rest: str) -> int:
    """Return how many characters user and password take, with the @; `rest` follows the `://`."""
    patterns = (_DATABASE_USER,) if is_database(scheme) else (_USER, _ODD_USER)
    return next((found.end() for pattern in patterns if (found := pattern.match(rest))), 0)


def _secrets(url: str) -> Iterator[tuple[int, int]]:
    """Yield where passwords, tokens and keys begin and end in a URL, in order."""
    for scheme, start, end in _chain(url):
        rest = url[start:end]
        database = is_database(scheme)
        behind = _user_length(scheme, rest)
        colon = rest.find(":", 0, behind)
        # On the web a user may be a token: https://TOKEN@host, https://TOKEN:x-oauth-basic@host.
        spans = [(0 if scheme in _WEB else colon + 1, behind - 1)] if scheme in _WEB or colon >= 0 else []
        spans += [pair.span(2) for pair in _PAIR.finditer(rest, behind) if _is_secret(pair[1])]
        done = 0
        for first, last in spans:
            if done <= first < last and not (database and _is_named(rest[first:last])):
                yield start + first, start + last
                done = last


def _is_secret(name: str) -> bool:
    word = re.sub(r"[^a-z0-9]", "", unquote(name).lower())
    return _SECRET.search(word) is not None and _PLACE.search(word) is None


def _is_named(password: str) -> bool:
    """Return whether a password is `$NAME`, and not a word that begins with a dollar."""
    found = _NAMED.fullmatch(password)
    return found is not None and (found[1] or found[2]) in os.environ
