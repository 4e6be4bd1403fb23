"""Personal data, found by form and check digit, and masked: `<EMAIL>`, `<PHONE>`, `<CARD>` …

What has a check digit must have the right one, so that ordinary numbers stay. Texts are looked through only
where signs lie so that they could hold something: an @, seven digits close together, dots between digits.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator

import numpy as np
import numpy.typing as npt

from trainwright.corpus.check_digits import IBAN_LENGTHS, is_card, is_iban, is_resident_id
from trainwright.corpus.measures import Flags, places
from trainwright.corpus.tokens import Bytes, Places, Tokens

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_])?"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,28}")
_RESIDENT = re.compile(r"(?<![A-Za-z0-9])[1-9]\d{16}[0-9Xx](?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![A-Za-z0-9.,+])\d(?:[ -]?\d){12,18}(?![A-Za-z0-9]|[.,-]\d)")
_PHONE = re.compile(
    # With a country code: +49 30 1234567, +1 (212) 555-0100
    r"(?<![A-Za-z0-9+])\+[1-9]\d{0,2}(?:[ .-]?\(\d{1,4}\))?(?:[ .\-/]?\d){6,13}(?![A-Za-z0-9])"
    # North America: (212) 555-0100, 212-555-0100
    r"|(?<![A-Za-z0-9.-])(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-.])[2-9]\d{2}[-.]\d{4}(?![A-Za-z0-9]|[.-]\d)"
    # China: 138 0013 8000, 010-12345678
    r"|(?<![A-Za-z0-9.+-])1[3-9]\d(?:[ -]?\d{4}){2}(?![A-Za-z0-9]|[.-]\d)"
    r"|(?<![A-Za-z0-9.-])0\d{2,3}-\d{7,8}(?![A-Za-z0-9]|[.-]\d)"
)
_IPV4 = re.compile(r"(?<![A-Za-z0-9.])(?:\d{1,3}\.){3}\d{1,3}(?![A-Za-z0-9]|\.\d)")
_IPV6 = re.compile(r"(?<![A-Za-z0-9:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![A-Za-z0-9:])")


def _iban(found: str) -> str | None:
    """Return the part of a match that is an account number: its country tells the length."""
    size, signs = IBAN_LENGTHS.get(found[:2], 0), 0
    for place, sign in enumerate(found):
        signs += sign.isalnum()
        if signs == size and size:
            part = found[: place + 1]
            ends = not found[place + 1 : place + 2].isalnum()
            return part if ends and is_iban(re.sub("[ -]", "", part)) else None
    return None


def _resident(found: str) -> str | None:
    return found if is_resident_id(found) else None


def _card(found: str) -> str | None:
    return found if is_card(re.sub("[ -]", "", found)) else None


def _phone(found: str) -> str | None:
    return found if 8 <= sum(map(str.isdigit, found)) <= 15 else None


def _ip(found: str) -> str | None:
    """Return an address of the Internet; those of a private network, and of one machine, tell nothing."""
    try:
        return found if ipaddress.ip_address(found).is_global else None
    except ValueError:
        return None


def _email(found: str) -> str | None:
    return found if ".." not in found else None


_STEPS: tuple[tuple[str, re.Pattern[str], Callable[[str], str | None]], ...] = (
    ("email", _EMAIL, _email),
    ("iban", _IBAN, _iban),
    ("resident_id", _RESIDENT, _resident),
    ("card", _CARD, _card),
    ("phone", _PHONE, _phone),
    ("ip", _IPV4, _ip),
    ("ip", _IPV6, _ip),
)

KINDS = tuple(dict.fromkeys(kind for kind, *_ in _STEPS))
"""Kinds of personal data; `email` becomes `<EMAIL>`."""

_HEX = np.zeros(256, dtype=bool)
_HEX[[*b"0123456789abcdefABCDEF:"]] = True


def masked(text: str, kinds: Collection[str]) -> tuple[str, dict[str, int]]:
    """Return a text with personal data masked, and how many places of each kind there were.

    Args:
        text: the text.
        kinds: what is masked, of `KINDS`.
    """
    counts: dict[str, int] = {}
    for kind, pattern, part_of in _STEPS:
        if kind not in kinds:
            continue
        pieces, behind = [], 0
        for match in pattern.finditer(text):
            part = part_of(match[0])
            if part is not None:
                pieces += [text[behind : match.start()], f"<{kind.upper()}>"]
                behind = match.start() + len(part)
        if pieces:
            counts[kind] = counts.get(kind, 0) + len(pieces) // 2
            text = "".join([*pieces, text[behind:]])
    return text, counts


def masked_batch(
    tokens: Tokens, texts: npt.NDArray[np.int64], kinds: Collection[str]
) -> Iterator[tuple[int, bytes, dict[str, int]]]:
    """Yield the texts that hold personal data: number, the text with it masked, and the places of each kind.

    Args:
        tokens: the batch.
        texts: numbers of the texts to look at, ascending.
        kinds: what is masked, of `KINDS`.
    """
    wanted = np.zeros(tokens.num_texts, dtype=bool)
    wanted[texts] = True
    begins, ends = _windows(tokens)
    owners = tokens.texts_at(begins)
    number, pieces, counts, behind = -1, list[bytes](), dict[str, int](), 0
    for owner, begin, end in zip(owners.tolist(), begins.tolist(), ends.tolist(), strict=True):
        if not wanted[owner]:
            continue
        text, found = masked(tokens.data[begin:end].decode(), kinds)
        if not found:
            continue
        if owner != number:
            if pieces:
                yield number, b"".join([*pieces, tokens.data[behind : tokens.bounds[number + 1] - 1]]), counts
            number, pieces, counts, behind = owner, [], {}, int(tokens.bounds[owner])
        pieces += [tokens.data[behind:begin], text.encode()]
        behind = end
        for kind, count in found.items():
            counts[kind] = counts.get(kind, 0) + count
    if pieces:
        yield number, b"".join([*pieces, tokens.data[behind : tokens.bounds[number + 1] - 1]]), counts


def _windows(tokens: Tokens) -> tuple[Places, Places]:
    """Return stretches of the batch around all signs that may belong to personal data; none overlap."""
    codes = tokens.codes
    found = np.concatenate(
        [
            places(tokens.data, b"@"),
            _close(np.flatnonzero((codes - np.uint8(48)) < 10), number=7, gap=4),
            _close(_between(codes, ord("."), _DIGITS), number=3, gap=4),
            _close(_between(codes, ord(":"), _HEX), number=2, gap=5),
        ]
    )
    found.sort()
    if not len(found):
        return found, found
    owners = tokens.texts_at(found)
    apart = np.flatnonzero((np.diff(found) > 2 * _AROUND) | (np.diff(owners) > 0))
    firsts, lasts = np.concatenate([[0], apart + 1]), np.append(apart, len(found) - 1)
    begins = np.maximum(found[firsts] - _AROUND, tokens.bounds[owners[firsts]])
    ends = np.minimum(found[lasts] + _AROUND, tokens.bounds[owners[lasts] + 1] - 1)
    for _ in range(3):  # not into the middle of a character
        begins -= ((codes[begins] & 0xC0) == 0x80) & (begins > 0)
        ends += (codes[ends] & 0xC0) == 0x80
    return begins, ends


_AROUND = 160
"""Bytes around a sign that are looked at: more than any of the forms has on one side of it."""

_DIGITS = np.zeros(256, dtype=bool)
_DIGITS[ord("0") : ord("9") + 1] = True


def _between(codes: Bytes, sign: int, neighbours: Flags) -> Places:
    found = np.flatnonzero(codes == sign)
    found = found[(found > 0) & (found < len(codes) - 1)]
    return found[neighbours[codes[found - 1]] & neighbours[codes[found + 1]]]


def _close(found: Places, *, number: int, gap: int) -> Places:
    """Return the last of each `number` places that follow one another by at most `gap`."""
    if len(found) < number:
        return found[:0]
    near = np.diff(found) <= gap
    runs = np.cumsum(np.concatenate([[0], near]))
    whole = runs[number - 1 :] - runs[: len(runs) - number + 1] == number - 1
    return np.asarray(found[number - 1 :][whole])
