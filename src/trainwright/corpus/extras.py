"""Packages of an extra: imported where they are needed, or named in one sentence where they are missing."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from trainwright.foundation.errors import UserError


@cache
def is_there(module: str) -> bool:
    """Return whether a module of an extra is installed."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


@cache
def extra(module: str, *, need: str, name: str = "corpus") -> Any:
    """Return a module of an extra.

    Args:
        module: dotted name.
        need: what it is needed for: "pages of HTML".
        name: the extra.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{need} need the package {module.partition('.')[0]}",
            fix=f"pip install 'trainwright[{name}]'",
        ) from error
