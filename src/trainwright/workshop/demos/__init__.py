"""Data for `demo`: one file each, real and without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trainwright.foundation.registry import Registry

Demo = Callable[[], tuple[Mapping[str, Any], str]]
"""Returns the columns of the data and the name of the target."""

DEMOS: Registry[Demo] = Registry("demo", package="trainwright.workshop.demos")
