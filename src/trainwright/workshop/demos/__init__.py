"""Data for `demo`: one file each, real and without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trainwright.foundation.registry import Registry

Demo = Callable[[], Mapping[str, Any]]
"""Returns what `train` is asked: data, and target or task."""

DEMOS: Registry[Demo] = Registry("demo", package="trainwright.workshop.demos")
