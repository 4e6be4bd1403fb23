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

_LETTER = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u052f"
"""Latin with its accents, Greek, Cyrillic; no Chinese, which stands beside an address without a space."""
_EMAIL = re.compile(
    rf"(?<![{_LETTER}0-9_])[{_LETTER}0-9_](?:[{_LETTER}0-9._%+'’-]{{0,62}}[{_LETTER}0-9_+-])?"
    rf"@(?:[{_LETTER}0-9](?:[{_LETTER}0-9-]{{0,61}}[{_LETTER}0-9])?\.){{1,6}}"
    rf"(?:xn--[a-z0-9-]{{2,24}}|[{_LETTER}]{{2,24}})(?![{_LETTER}0-9])"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_RESIDENT = re.compile(r"(?<![A-Za-z0-9])[1-9]\d{16}[0-9Xx](?![A-Za-z0-9])")
_CARD = re.compile(
    # 4111111111111111; 4111 1111 1111 1111, perhaps with three more; 3782 822463 10005; no row of a table
    r"(?<![A-Za-z0-9.,+])(?<!\d-)(?:\d{13,19}"
    r"|(?<!\d{4}[ -])\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?!\1\d{4}(?!\d))(?:\1\d{3}(?!\d))?"
    r"|(?<!\d{4}[ -])\d{4}([ -])\d{6}\2\d{4,5})(?![A-Za-z0-9]|[.,-]\d)"
)
_CARD_ALONE = re.compile(r"(?<![A-Za-z0-9.,+])(?<!\d[ -])\d(?:[ -]?\d){12,18}(?![A-Za-z0-9]|[.,]\d|[ -]?\d)")
_PHONE_ABROAD = re.compile(
    # With a country code: +49 30 1234567, +49 (0)30 1234567, +1 (212) 555-0100
    r"(?<![A-Za-z0-9+])\+[1-9]\d{0,14}"
    r"(?:[ .\-/]?\(\d{1,4}\)[ .\-/]?\d{1,11}|[ .\-/]\d{1,11}){0,6}(?![A-Za-z0-9])"
)
_PHONE = re.compile(
    # North America: (212) 555-0100, 212-555-0100
    r"(?<![A-Za-z0-9.-])(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-.])[2-9]\d{2}[-.]\d{4}(?![A-Za-z0-9]|[.-]\d)"
    # China: 138 0013 8000, 010-12345678
    r"|(?<![A-Za-z0-9.+-])1[3-9]\d(?:[ -]?\d{4}){2}(?![A-Za-z0-9]|[.-]\d)"
    r"|(?<![A-Za-z0-9.-])0\d{2,3}-\d{7,8}(?![A-Za-z0-9]|[.-]\d)"
)
_IPV4 = re.compile(r"(?<![A-Za-z0-9.])(?:\d{1,3}\.){3}\d{1,3}(?![A-Za-z0-9]|\.\d)")
_IPV6 = re.compile(
    r"(?<![A-Za-z0-9:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){2,6}[0-9A-Fa-f]{0,4}(?![A-Za-z0-9:])"
)

_VERSION = re.compile(r"(?:\bv|\bver\.?|version|release|build|firmware|版本)[\s:=#(]*\Z", re.IGNORECASE)
_COUNTRY = re.compile(
    r"[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|2[1-69]\d|3[578]\d|42\d|50\d|59\d|6[789]\d|8[0578]\d|9[679]\d"
)
"""Codes of countries (ITU-T E.164.D); a code is never the beginning of another."""
_AMERICAN = re.compile(r"\+1[ .\-/]?\(?[2-9]\d{2}\)?[ .\-/]?\d{3}[ .\-]?\d{4}(?!\d)")
_RUSSIAN = re.compile(r"\+7[ .\-/]?\(?[3-9]\d{2}\)?[ .\-/]?\d{3}[ .\-]?\d{2}[ .\-]?\d{2}(?!\d)")

_IBAN_DIGITS = 10
"""Of a number in lower case: words make none with so many."""


def _iban(match: re.Match[str]) -> int:
    found = match[0]
    size, signs = IBAN_LENGTHS.get(found[:2].upper(), 0), 0
    for place, sign in enumerate(found):
        signs += sign.isalnum()
        if signs == size and size:
            number = re.sub("[ -]", "", found[: place + 1])
            ends = not match.string[match.start() + place + 1 : match.start() + place + 2].isalnum()
            sure = number.isupper() or sum(map(str.isdigit, number)) >= _IBAN_DIGITS
            return place + 1 if ends and sure and is_iban(number.upper()) else 0
    return 0


def _resident(match: re.Match[str]) -> int:
    return len(match[0]) if is_resident_id(match[0]) else 0


def _card(match: re.Match[str]) -> int:
    found = match[0]
    parts = re.split("[ -]", found)
    for part in (found, found[:-4]) if len(parts) == 5 else (found,):  # with and without three digits more
        if is_card(re.sub("[ -]", "", part)):
            return len(part)
    return 0


def _phone(match: re.Match[str]) -> int:
    return len(match[0]) if 8 <= sum(map(str.isdigit, match[0])) <= 15 else 0


def _phone_abroad(match: re.Match[str]) -> int:
    """Return the length of a number with a country code; further numbers behind it are left out."""
    found = match[0]
    if re.fullmatch(r"\+\d{1,3}\.\d+", found):  # a decimal fraction
        return 0
    country = _COUNTRY.match(found, 1)
    if country is None:
        return 0
    national = {"1": _AMERICAN, "7": _RUSSIAN}.get(country[0])
    if national is not None:
        number = national.match(found)
        return len(number[0]) if number else 0
    ends = [group.end() for group in re.finditer(r"\d+", found)]
    for place in range(len(ends) - 1, -1, -1):
        part = found[: ends[place]]
        alone = place > 0 and len(re.split(r"\D", part)[-1]) == 1
        if 9 <= sum(map(str.isdigit, part)) <= (13 if place else 15) and not alone:
            return len(part)
    return 0


def _ip(match: re.Match[str]) -> int:
    """Return the length of an address of the Internet; those of a private network tell nothing."""
    if _VERSION.search(match.string[max(0, match.start() - 16) : match.start()]):
        return 0
    try:
        return len(match[0]) if ipaddress.ip_address(match[0]).is_global else 0
    except ValueError:
        return 0


def _ipv6(match: re.Match[str]) -> int:
    """Return the length of an address with four groups or more: slices of programs have fewer."""
    return _ip(match) if sum(map(bool, match[0].split(":"))) >= 4 else 0


def _email(match: re.Match[str]) -> int:
    return len(match[0]) if ".." not in match[0] else 0


_STEPS: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], int]], ...] = (
    ("email", _EMAIL, _email),
    ("iban", _IBAN, _iban),
    ("resident_id", _RESIDENT, _resident),
    ("card", _CARD, _card),
    ("card", _CARD_ALONE, _card),
    ("phone", _PHONE_ABROAD, _phone_abroad),
    ("phone", _PHONE, _phone),
    ("ip", _IPV4, _ip),
    ("ip", _IPV6, _ipv6),
)
"""Kind, form, and the characters of a match that are of that kind: 0 where it only looks so."""

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
    for kind, pattern, size_of in _STEPS:
        if kind not in kinds:
            continue
        pieces, behind = [], 0
        match = pattern.search(text)
        while match is not None:
            size = size_of(match)
            if size:
                pieces += [text[behind : match.start()], f"<{kind.upper()}>"]
                behind = match.start() + size
            # What was none may hide one that begins within it.
            match = pattern.search(text, match.start() + (size or 1))
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
