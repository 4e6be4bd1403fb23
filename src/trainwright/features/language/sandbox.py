"""Jinja's sandbox with bounds: a chat template comes with a checkpoint, and may be made to go on for ever.

Jinja keeps a template from files and from Python. Here each turn of a loop and each call of a macro looks at
the clock, and a product or power that no conversation needs is refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS = 10.0
"""Longest that one conversation is rendered; a thousand times as long as it takes."""
_SIZE = 10_000_000
"""Characters or items of a product, and the largest number that is multiplied or raised to a power."""
_POWER = 64


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment whose templates end.

    Attributes:
        deadline: when a template has to be done, by the monotonic clock; who renders sets it.
    """

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.deadline = math.inf

    def in_time(self) -> bool:
        """Return True until the deadline.

        Raises:
            TemplateRuntimeError: it is over.
        """
        if time.monotonic() > self.deadline:
            raise jinja2.TemplateRuntimeError(f"it is not done after {SECONDS:g} seconds")
        return True

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        repeated: Iterator[nodes.For | nodes.Macro | nodes.CallBlock] = template.find_all(
            (nodes.For, nodes.Macro, nodes.CallBlock)
        )
        for node in repeated:
            node.body.insert(0, nodes.ExprStmt(self._look(), lineno=node.lineno))
            if isinstance(node, nodes.For) and node.test is not None:
                node.test = nodes.And(self._look(), node.test, lineno=node.lineno)
        template.set_environment(self)
        return template

    def _look(self) -> nodes.Call:
        """Return a call of `in_time` that no variable of the template can stand in for."""
        return nodes.Call(nodes.EnvironmentAttribute("in_time"), [], [], None, None)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Return the product or power of two values.

        Raises:
            TemplateRuntimeError: it is far larger than a conversation.
        """
        sizes = [len(part) if hasattr(part, "__len__") else abs(part) for part in (left, right)]
        most = _POWER if operator == "**" else _SIZE // max(sizes[0], 1)
        if max(sizes) > _SIZE or sizes[1] > most:
            raise jinja2.TemplateRuntimeError("it computes what is far larger than a conversation")
        return super().call_binop(context, operator, left, right)
