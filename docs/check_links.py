"""Checks that every relative link in the Markdown files leads to a file and, where named, to a heading."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
SKIP = {".venv", ".git", "node_modules", "runs"}


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings make, as GitHub names them."""
    text = CODE.sub(lambda match: match[0] if "\n" not in match[0] else "", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+\s+(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(root: Path = ROOT) -> list[str]:
    """Return a line for each link that leads nowhere."""
    found = []
    for page in sorted(root.rglob("*.md")):
        if SKIP & set(page.relative_to(root).parts):
            continue
        for match in LINK.finditer(CODE.sub("", page.read_text(encoding="utf-8"))):
            link = match[1] or match[2]
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            goal = (page.parent / path) if path else page
            if not goal.exists() or (anchor and goal.suffix == ".md" and anchor not in anchors(goal)):
                found.append(f"{page.relative_to(root)}: {link}")
    return found


if __name__ == "__main__":
    problems = broken_links()
    print("\n".join(problems) or "every link leads somewhere")  # noqa: T201
    sys.exit(bool(problems))
