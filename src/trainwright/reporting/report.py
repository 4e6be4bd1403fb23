"""The report of a run: one HTML file that holds everything it shows and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from trainwright.foundation.paths import write_atomic
from trainwright.reporting.language import Message, both, isolated
from trainwright.reporting.numbers import clip
from trainwright.reporting.pages.data import data_page, judged_on_validation
from trainwright.reporting.pages.examples import are_rows
from trainwright.reporting.pages.language import language_page
from trainwright.reporting.pages.process import learning_page, machine_page, made_at
from trainwright.reporting.pages.target import target_pages
from trainwright.reporting.run_documents import read_run
from trainwright.reporting.vendored import vendored_scripts

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(run: Path, *, evaluation: Mapping[str, Any] | None = None) -> Path:
    """Write `report.html` into a run folder, from the documents that are there, and return its path.

    Args:
        run: the run folder.
        evaluation: see `read_run`.

    Raises:
        UserError: it is no run folder, a document is damaged, or a chart script was changed.
    """
    documents = read_run(run, evaluation=evaluation)
    scripts = vendored_scripts()
    style, code = _own_file("report.css"), _own_file("report.js")
    page = (
        page_environment()
        .get_template("report.html.j2")
        .render(
            run=documents,
            made=made_at(documents),
            version=version("trainwright"),
            targets=target_pages(documents),
            language=language_page(documents),
            warning=judged_on_validation() if documents.judged_part == "validation" else None,
            data=data_page(documents),
            learning=learning_page(documents),
            machine=machine_page(documents),
            scripts=scripts,
            style=Markup(style),
            code=Markup(code),
            policy=page_policy(style, [*(script.code for script in scripts), code]),
        )
    )
    path = run / "report.html"
    write_atomic(path, page)
    return path


def embedded(value: Any) -> Markup:
    """Return JSON that can stand inside a `<script>` element: no `<`, `>`, `&` or line separator in it.

    Messages become `{"en": …, "zh": …}`, of which the page's script takes one.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_words, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _words(value: object) -> dict[str, str]:
    assert isinstance(value, Message), f"{type(value).__name__} is no part of a chart"
    return {"en": value.en, "zh": value.zh}


@cache
def _own_file(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def page_policy(style: str, scripts: list[str]) -> str:
    """Return the content security policy: our own scripts and style by hash, embedded media, nothing else."""
    allowed = " ".join(_hash(code) for code in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; media-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


@cache
def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def page_environment() -> jinja2.Environment:
    """Return what pages are rendered with: values are escaped, and a missing one is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["t"] = both
    environment.tests["rows"] = are_rows
    environment.filters |= {"embedded": embedded, "isolated": isolated, "clip": clip}
    return environment
