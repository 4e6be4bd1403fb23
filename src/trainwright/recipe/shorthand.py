"""The short forms of a recipe: `title: text` for `title: {type: text}`, an empty section for defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class Shorthand:
    """Annotation of a section that may be written as the value of one of its keys, or left empty.

    Attributes:
        key: the key that a bare value stands for; None where only emptiness is short.
        many: whether a list may stand for it too.
    """

    key: str | None = None
    many: bool = False

    def widen(self, value: Any) -> Any:
        """Return the long form of a value; what is no short form is returned as it is."""
        if value is None:
            return {}
        if self.key is not None and isinstance(value, (str, list, tuple) if self.many else str):
            return {self.key: value}
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.widen, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        short: list[dict[str, Any]] = [{"type": "null"}]
        if self.key is not None:
            short.insert(0, {"type": "string"})
        if self.many:
            short.insert(1, {"type": "array", "items": {"type": "string"}})
        return {"anyOf": [*short, handler(schema)]}
