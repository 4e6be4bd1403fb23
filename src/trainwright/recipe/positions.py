"""Where each key and value of a recipe was written, and how a person writes the path to a key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from trainwright.foundation.errors import RecipeError

KeyPath = tuple[str | int, ...]
Mark = tuple[int, int]
"""Line and column, both from 1, columns counted in characters."""

_PLAIN_KEY = re.compile(r"[^\s.=\"'\[\]]+")
_STEP = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^']|'')*)'|([^.="'\s][^.=]*?))\s*(\.|\Z)""")


@dataclass(frozen=True)
class Positions:
    """Where the keys and values of a recipe came from.

    Attributes:
        source: what messages call the recipe: a path, "command line" or "recipe".
        keys: path → mark of the key; empty for a recipe that was no file.
        values: path → mark of the value.
        flags: path → command-line flag that set it, which hides what a file said beneath it.
    """

    source: str
    keys: Mapping[KeyPath, Mark] = field(default_factory=dict)
    values: Mapping[KeyPath, Mark] = field(default_factory=dict)
    flags: Mapping[KeyPath, str] = field(default_factory=dict)

    def locate(self, path: KeyPath, *, key: bool = False) -> str:
        """Return `file:line:column` of the value at `path`, or the flag that set it.

        A path that is not written out (a default, a missing key, `type` in `title: text`) gives the place
        of the section that it would be in.

        Args:
            path: keys and list indices from the top of the recipe: ("inputs", "title", "type").
            key: point at the key instead of the value.
        """
        for end in range(len(path), 0, -1):
            known = path[:end]
            if known in self.flags:
                return self.flags[known]
            mark = (self.keys if key else self.values).get(known)
            if mark is not None:
                return f"{self.source}:{mark[0]}:{mark[1]}"
        mark = self.values.get(())
        return f"{self.source}:{mark[0]}:{mark[1]}" if mark is not None else self.source

    def located(self, error: RecipeError, path: KeyPath) -> RecipeError:
        """Return an error that a later layer found, at the place of the setting that caused it."""
        return RecipeError(error.what, where=self.locate(path), fix=error.fix)

    def order(self, path: KeyPath, *, key: bool = False) -> tuple[int, int, int]:
        """Return a sort key: file order first, then the flags in the order they were given."""
        for end in range(len(path), 0, -1):
            known = path[:end]
            if known in self.flags:
                return (1, list(self.flags).index(known), 0)
            mark = (self.keys if key else self.values).get(known)
            if mark is not None:
                return (0, *mark)
        return (0, *self.values.get((), (0, 0)))

    def overridden(self, path: KeyPath, flag: str) -> Positions:
        """Return the positions after a command-line flag has set the value at `path`."""
        hidden = {known: mark for known, mark in self.flags.items() if known[: len(path)] != path}
        return Positions(self.source, self.keys, self.values, {**hidden, path: flag})


def dotted(path: KeyPath) -> str:
    """Return a path as `--set` takes it: `training.budget`, `inputs."the.price".type`, `data.path[1]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        plain = _PLAIN_KEY.fullmatch(part)
        shown = part if plain else '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
        text += f".{shown}" if text else shown
    return text


def undotted(text: str, *, where: str) -> tuple[str, ...]:
    """Return the keys of a dotted path; keys that hold a dot or an equals sign stand in quotes.

    Raises:
        RecipeError: a key is empty, or a quote is not closed.
    """
    path: list[str] = []
    position, more = 0, True
    while more:
        match = _STEP.match(text, position)
        if match is None:
            raise RecipeError(
                f"'{text}' is not a path of keys",
                where=where,
                fix="join keys with dots, as in training.budget, and quote a key that holds a dot",
            )
        double, single, plain, end = match.groups()
        if double is not None:
            path.append(re.sub(r"\\(.)", r"\1", double))
        else:
            path.append(plain if single is None else single.replace("''", "'"))
        position, more = match.end(), end == "."
    return tuple(path)
