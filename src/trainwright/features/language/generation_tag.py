"""`{% generation %}` of chat templates as a statement of Jinja's: white space around it is trimmed as such.

The same construction as in transformers, whose templates these are: what we render is what it renders.
"""

from __future__ import annotations

from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser


class GenerationTag(Extension):
    """Puts the marks that the context holds around what the block renders."""

    tags = {"generation"}  # noqa: RUF012 (as Jinja declares it)

    def parse(self, parser: Parser) -> nodes.Node:
        """Return the call that renders the block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_marked", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _marked(self, context: jinja2.runtime.Context, caller: Any) -> str:
        return f"{context['generation_begins']}{caller()}{context['generation_ends']}"
