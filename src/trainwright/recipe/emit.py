"""Plain values to YAML that `parse` reads back as the same values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from trainwright.recipe.parse import scalar

# Words that mean themselves without quotes wherever they stand: nothing at the start that YAML knows, and
# nothing inside that a value in a list, a key or a comment would end at.
_PLAIN = re.compile(r"(?:\.{0,2}/)?\w(?:[\w./+\\()%@*-]| (?=[\w(]))*")
# What older readers of YAML (1.1) take for yes, no or a date; ours does not, but files travel.
_OTHERWISE_READ = re.compile(r"(?i:y|n|yes|no|on|off)|[0-9]{4}-[0-9].*")
NOT_ON_A_LINE = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""Characters that end a line or that YAML does not let stand as they are."""

_INFINITE = {math.inf: ".inf", -math.inf: "-.inf"}
_KEY_LENGTH = 1000  # a key on one line may have 1024 characters (YAML 1.2.2, 7.4.2)


def emit(mapping: Mapping[str, Any]) -> str:
    """Return the YAML of a mapping: mappings in blocks, lists on one line.

    Args:
        mapping: text keys; values are mappings, lists and tuples of text, numbers, booleans and null.
    """
    return "".join(f"{line}\n" for line in block(mapping)) or "{}\n"


def block(mapping: Mapping[str, Any], indent: str = "") -> list[str]:
    """Return the lines of a mapping; mappings in it are indented by two spaces more."""
    lines: list[str] = []
    for key, value in mapping.items():
        name = flow(key)
        if isinstance(value, Mapping) and value and len(name) <= _KEY_LENGTH:
            lines += [f"{indent}{name}:", *block(value, indent + "  ")]
        else:
            lines += line(key, value, indent)
    return lines


def line(key: str, value: Any, indent: str = "") -> list[str]:
    """Return `key: value` on one line; a very long key takes a line of its own."""
    name = flow(key)
    if len(name) > _KEY_LENGTH:
        return [f"{indent}? {name}", f"{indent}: {flow(value)}"]
    return [f"{indent}{name}: {flow(value)}"]


def flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(_pair(flow(key), flow(item)) for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else _INFINITE.get(value, ".nan")
    assert isinstance(value, str), f"no plain value: {value!r}"
    plain = _PLAIN.fullmatch(value) and not _OTHERWISE_READ.fullmatch(value)
    return value if plain and isinstance(scalar(value), str) else _quoted(value)


def _pair(name: str, value: str) -> str:
    return f"{name}: {value}" if len(name) <= _KEY_LENGTH else f"? {name} : {value}"


def _quoted(text: str) -> str:
    """Return a text in double quotes; JSON's escapes are YAML's too."""
    return NOT_ON_A_LINE.sub(
        lambda found: f"\\u{ord(found.group()):04x}", json.dumps(text, ensure_ascii=False)
    )
