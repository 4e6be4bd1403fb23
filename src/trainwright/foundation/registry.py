"""Closed registries: a recipe names things by word, never by an import path."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from trainwright.foundation.errors import RecipeError, UserError, did_you_mean

T = TypeVar("T")


@cache
def _installed() -> Any:  # EntryPoints; before Python 3.12, SelectableGroups
    """Return the entry points of all packages, read once: with a hundred packages that takes 40 ms."""
    return entry_points()


class Registry(Generic[T]):
    """Name to object, filled by decorators.

    The modules of `package` are imported at the first look-up, so a new entry is one new file. Third
    parties add entries through the entry-point group `trainwright.<kind>` (spaces become underscores).

    Args:
        kind: what the entries are, as the user would call one ("encoder").
        package: dotted name of the package whose modules register entries.
    """

    def __init__(self, kind: str, *, package: str) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._loaded = False
        self._loading = False
        self._lock = threading.RLock()

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that stores its object under `name`."""

        def store(entry: T) -> T:
            known = self._entries.get(name)
            assert known is None or known is entry, f"two entries are called {name!r} in {self.kind}"
            self._entries[name] = entry
            return entry

        return store

    def _load(self) -> None:
        if self._loaded:
            return
        with self._lock:  # another thread waits here for all entries instead of seeing some
            if self._loaded or self._loading:  # a module may look an entry up while it is being imported
                return
            self._loading = True
            try:
                package = importlib.import_module(self._package)
                for module in pkgutil.iter_modules(package.__path__):
                    importlib.import_module(f"{self._package}.{module.name}")
                for point in _installed().select(group=f"trainwright.{self.kind.replace(' ', '_')}"):
                    self._add(point)
                self._loaded = True
            finally:
                self._loading = False

    def _add(self, point: EntryPoint) -> None:
        """Add the entry of a third party, which is not ours to assert about."""
        origin = point.dist.name if point.dist is not None else point.value
        fix = "update that package, or uninstall it"
        try:
            entry = point.load()
        except Exception as error:
            raise UserError(
                f"the {self.kind} '{point.name}' cannot be loaded ({error})",
                where=f"package {origin}",
                fix=fix,
            ) from error
        if self._entries.setdefault(point.name, entry) is not entry:
            raise UserError(
                f"it brings another {self.kind} called '{point.name}'", where=f"package {origin}", fix=fix
            )

    def __getitem__(self, name: str) -> T:
        self._load()
        if name not in self._entries:
            raise RecipeError(
                f"there is no {self.kind} called '{name}'", fix=did_you_mean(name, sorted(self._entries))
            )
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))

    def items(self) -> list[tuple[str, T]]:
        """Return (name, entry) pairs in alphabetical order."""
        return [(name, self._entries[name]) for name in self]
