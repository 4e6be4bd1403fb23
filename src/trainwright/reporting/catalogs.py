"""Keeps the translations in step with the words in code and templates; needs `babel`, a tool for developers.

`python -m trainwright.reporting.catalogs` collects every message, merges it into the `.po` file of each
language and compiles it. What it prints is still to be translated, in the `.po` file; then run it again.
"""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.reporting.language import LANGUAGES, LOCALE

if TYPE_CHECKING:
    from babel.messages import Catalog

_PACKAGE = Path(__file__).parent
_KEYWORDS: dict[str, Any] = {"both": None, "mark": None, "t": None, "many": (1, 2)}
# A fixed date: the same words give the same bytes.
_DATE = datetime(2026, 1, 1, tzinfo=UTC)


def collect() -> Catalog:
    """Return the catalog of all messages in code and templates, untranslated."""
    from babel.messages import Catalog
    from babel.messages.extract import extract_from_dir

    catalog = Catalog(project="trainwright", charset="utf-8", creation_date=_DATE, revision_date=_DATE)
    methods = [("**/vendor/**", "ignore"), ("**.py", "python"), ("**.j2", "jinja2")]
    for _, _, message, comments, context in extract_from_dir(
        _PACKAGE, methods, {"**.j2": {"silent": "false"}}, keywords=_KEYWORDS
    ):
        catalog.add(message, auto_comments=comments, context=context)
    return catalog


def read(language: str) -> Catalog:
    """Return the catalog of a language as it stands in its `.po` file."""
    from babel.messages.pofile import read_po

    with catalog_path(language).open("rb") as stream:
        return read_po(stream, locale=language)


def catalog_path(language: str) -> Path:
    """Return the `.po` file of a language; the compiled `.mo` file lies beside it."""
    return LOCALE / language / "LC_MESSAGES" / "report.po"


def compiled(catalog: Catalog) -> bytes:
    """Return the bytes of the `.mo` file of a catalog."""
    from babel.messages.mofile import write_mo

    stream = io.BytesIO()
    write_mo(stream, catalog)
    return stream.getvalue()


def update(language: str) -> list[str]:
    """Bring a language's catalog in step with the code and compile it; return what has no translation."""
    from babel.messages import Catalog
    from babel.messages.pofile import write_po

    template, path = collect(), catalog_path(language)
    catalog = Catalog(
        locale=language,
        header_comment="# Words of Trainwright's reports; made by trainwright.reporting.catalogs.",
        project="trainwright",
        version="1",
        last_translator="The Trainwright authors",
        language_team="The Trainwright authors",
        creation_date=_DATE,
        revision_date=_DATE,
        fuzzy=False,
    )
    known = read(language) if path.exists() else Catalog(locale=language)
    for message in template:
        if message.id:
            old = known.get(message.id)
            catalog.add(message.id, old.string if old else "")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        write_po(stream, catalog, no_location=True, width=110)
    path.with_suffix(".mo").write_bytes(compiled(catalog))
    return [str(message.id) for message in catalog if message.id and not _translated(message.string)]


def _translated(string: object) -> bool:
    return all(string) if isinstance(string, tuple | list) else bool(string)


if __name__ == "__main__":
    for each in LANGUAGES[1:]:
        for untranslated in update(each):
            sys.stdout.write(f"{each}: {untranslated}\n")
