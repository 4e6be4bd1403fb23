"""The chart scripts that every report carries: kept beside this file, and checked before they are used."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trainwright.foundation.errors import UserError

VENDOR = Path(__file__).parent / "vendor"
# In the order in which they need one another.
SCRIPTS = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")

_SOURCE_MAP = re.compile(r"\n//# sourceMappingURL=\S*\s*\Z")


@dataclass(frozen=True)
class VendoredScript:
    """A third party's script and its licence.

    Attributes:
        name: file name.
        code: its text, without the pointer to a source map that the page does not carry.
        licence: the licence texts of all that the file contains.
    """

    name: str
    code: str
    licence: str


@cache
def vendored_scripts(folder: Path = VENDOR) -> tuple[VendoredScript, ...]:
    """Return the scripts of a report, in loading order.

    Raises:
        UserError: a file is not byte for byte the one whose hash `SHA256SUMS` gives.
    """
    sums: dict[str, str] = {}
    for line in (folder / "SHA256SUMS").read_text(encoding="ascii").splitlines():
        expected, name = line.split()
        sums[name] = expected
    return tuple(_read(folder, name, sums.get(name, "")) for name in SCRIPTS)


def _read(folder: Path, name: str, expected: str) -> VendoredScript:
    path = folder / name
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != expected:
        raise UserError(
            "this chart script is not the one that Trainwright was released with",
            where=str(path),
            fix="install Trainwright again",
        )
    licence = path.with_name(name.replace(".min.js", ".LICENSE.txt")).read_text(encoding="utf-8")
    return VendoredScript(name, _SOURCE_MAP.sub("\n", content.decode()), licence)
