"""URLs: their kinds, and how messages show them without giving secrets away."""

from __future__ import annotations

import re
from urllib.parse import unquote

REMOTE = frozenset(
    {"http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "hf"}
    | {"webdav", "webhdfs", "hdfs", "ftp", "sftp"}
)
"""Kinds of URL that never open a file of this machine."""

_USER = re.compile(r"[^/?#@]*@")
_ODD_USER = re.compile(r"^[^/?#@]*:.*@")
"""A password that should have been percent-encoded."""

_PASSWORD = re.compile(r"[^:]+://[^:/@]*:(.+)@")
_NAMED = re.compile(r"\$\w+|\$\{[^}]*\}")


def scheme_of(url: str) -> str:
    """Return the kind of a URL in lower case."""
    return url.partition("://")[0].lower()


def public_name(url: str) -> str:
    """Return a URL as messages may show it: without user, password and query, which may hold keys."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    rest = _USER.sub("", rest) if _USER.match(rest) else _ODD_USER.sub("", rest)
    return f"{scheme}://{rest.partition('?')[0].partition('#')[0]}"


def has_password(url: str) -> bool:
    """Return whether a URL holds a password, and not only `$NAME` for one."""
    found = _PASSWORD.match(url)
    return found is not None and not _NAMED.fullmatch(found[1])


def without_password(text: str, url: str) -> str:
    """Return a message with the password of a URL blotted out."""
    found = _PASSWORD.match(url)
    if found is None:
        return text
    for word in (found[1], unquote(found[1])):
        text = text.replace(word, "***")
    # What stands behind an @ in a password may have been taken for a part of the host.
    rest = found[1].partition("@")[2]
    return text.replace(f"{rest}@", "***@") if rest else text
