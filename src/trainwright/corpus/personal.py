"""Personal data, found by form and check digit, and masked: `<EMAIL>`, `<PHONE>`, `<CARD>` …

What has a check digit must have the right one, so that ordinary numbers stay. Texts are looked through only
where signs lie so that they could hold something: an @, seven digits close together, dots between digits.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator

import numpy as np

from trainwright.corpus.check_digits import IBAN_LENGTHS, is_card, is_iban, is_resident_id
from trainwright.corpus.measures import Flags, places
from trainwright.corpus.tokens import Places, Tokens

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9])?"
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


_STEPS: tuple[tuple[str, str, re.Pattern[str], Callable[[str], str | None]], ...] = (
    ("email", "@", _EMAIL, _email),
    ("iban", "digits", _IBAN, _iban),
    ("resident_id", "digits", _RESIDENT, _resident),
    ("card", "digits", _CARD, _card),
    ("phone", "digits", _PHONE, _phone),
    ("ip", "dots", _IPV4, _ip),
    ("ip", "colons", _IPV6, _ip),
)

KINDS = tuple(dict.fromkeys(kind for kind, *_ in _STEPS))
"""Kinds of personal data; `email` becomes `<EMAIL>`."""

_HEX = np.zeros(256, dtype=bool)
_HEX[[*b"0123456789abcdefABCDEF:"]] = True


def masked(text: str, kinds: Collection[str], signs: Collection[str] = ("@", "digits", "dots", "colons")) -> tuple[
    str, dict[str, int]
]:
    """Return a text with personal data masked, and how many places of each kind there were.

    Args:
        text: the text.
        kinds: what is masked, of `KINDS`.
        signs: what the text holds that may belong to personal data; see `suspects`.
    """
    counts: dict[str, int] = {}
    for kind, sign, pattern, part_of in _STEPS:
        if kind not in kinds or sign not in signs:
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


def suspects(tokens: Tokens) -> Iterator[tuple[int, set[str]]]:
    """Yield the texts that may hold personal data, and what signs of it they hold."""
    codes = tokens.codes
    signs = {
        "@": _flags(tokens, places(tokens.data, b"@")),
        "digits": _flags(tokens, _close(np.flatnonzero(_digits(codes)), number=7, gap=4)),
        "dots": _flags(tokens, _close(_between(codes, ord("."), _DIGITS), number=3, gap=4)),
        "colons": _flags(tokens, _close(_between(codes, ord(":"), _HEX), number=2, gap=5)),
    }
    anywhere = np.any(list(signs.values()), axis=0)
    for number in np.flatnonzero(anywhere):
        yield int(number), {sign for sign, flags in signs.items() if flags[number]}


_DIGITS = np.zeros(256, dtype=bool)
_DIGITS[ord("0") : ord("9") + 1] = True


def _digits(codes: np.ndarray) -> Flags:  # type: ignore[type-arg]
    return np.asarray((codes - np.uint8(48)) < 10)


def _between(codes: np.ndarray, sign: int, neighbours: Flags) -> Places:  # type: ignore[type-arg]
    found = np.flatnonzero(codes == sign)
    found = found[(found > 0) & (found < len(codes) - 1)]
    return found[neighbours[codes[found - 1]] & neighbours[codes[found + 1]]]


def _close(found: Places, *, number: int, gap: int) -> Places:
    """Return the last of each `number` places that follow one another by at most `gap`."""
    if len(found) < number:
        return found[:0]
    near = np.diff(found) <= gap
    runs = np.cumsum(np.concatenate([[0], near]))
    return found[number - 1 :][runs[number - 1 :] - runs[: len(runs) - number + 1] == number - 1]


def _flags(tokens: Tokens, found: Places) -> Flags:
    flags = np.zeros(tokens.num_texts, dtype=bool)
    flags[tokens.texts_at(found)] = True
    return flags
