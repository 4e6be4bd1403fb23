"""Reads a report as a browser would, far enough to check what is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Page(HTMLParser):
    """Elements, scripts, data blocks and visible text of a page."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    spans: dict[str, list[str]] = field(default_factory=lambda: {"en": [], "zh": []})

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = (tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in {"meta", "link", "img", "br", "input"}:
            self._open.append(element)
        if tag == "span" and element[1].get("lang") in self.spans:
            self.spans[element[1]["lang"]].append("")
        if tag in {"script", "style"}:
            self._blocks(*element).append("")

    def _blocks(self, tag: str, attributes: dict[str, str]) -> list[str]:
        return self.styles if tag == "style" else self.documents if "type" in attributes else self.scripts

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag in {"script", "style"}:
            self._blocks(tag, attributes)[-1] += data
        else:
            self.words.append(data)
            languages = [a["lang"] for tag, a in self._open if tag == "span" and a.get("lang") in self.spans]
            if languages:
                self.spans[languages[-1]][-1] += data

    @property
    def text(self) -> str:
        """All that a reader sees, in both languages."""
        return "".join(self.words)


def read_page(html: str) -> Page:
    page = Page()
    page.feed(html)
    return page
