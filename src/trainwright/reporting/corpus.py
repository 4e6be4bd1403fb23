"""The report of a corpus: what left and why, with samples, in one HTML file that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from markupsafe import Markup

from trainwright.foundation.paths import write_atomic
from trainwright.reporting.language import Message, both, mark, verbatim
from trainwright.reporting.report import page_environment, page_policy

_TEMPLATES = Path(__file__).parent / "templates"

_STEPS = {
    "read": mark("reading"),
    "language": mark("language"),
    "quality": mark("quality"),
    "duplicates": mark("doubles"),
    "contamination": mark("evaluation sets"),
}

_REASONS = {
    "exact": mark("the same text, but for case and spaces"),
    "near": mark("nearly the same text"),
    "broken line": mark("a line that is no JSON object"),
    "line too long": mark("a line of more than 64 MB"),
    "no text": mark("a row or file without text"),
    "page without main text": mark("a page without main text"),
    "page with another status than 200": mark("a page with another status than 200"),
    "page too large": mark("a page of more than 16 MB"),
    "page that cannot be unpacked": mark("a page that cannot be unpacked"),
    "record of another kind": mark("a record that is no text"),
    "PDF without text": mark("a PDF without text"),
    "parts of long files": mark("parts that long files were cut into"),
    "parts of long documents": mark("parts that long documents were cut into"),
    "front matter of Markdown left out": mark("files of Markdown without their front matter"),
    "texts with halves of characters": mark("texts with halves of characters"),
    "texts with control characters taken out": mark("texts with control characters taken out"),
    "texts with broken characters mended": mark("texts with broken characters mended"),
    "texts brought to one form of characters (NFC)": mark("texts brought to one form of characters (NFC)"),
    "texts with bytes that could not be read": mark("texts with bytes that could not be read"),
    "texts whose language needs py3langid": mark("texts whose language only py3langid could tell"),
}
"""What the corpus package calls reasons and changes; anything else is the name of a rule, set or language."""


def _called(name: str) -> Message:
    return both(_REASONS[name]) if name in _REASONS else verbatim(name)


def write_corpus_report(path: Path, manifest: Mapping[str, Any]) -> Path:
    """Write the report of a corpus from its manifest, and return its path.

    Raises:
        UserError: the place cannot be written to.
    """
    style, code = ((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "corpus.js"))
    page = (
        page_environment()
        .get_template("corpus.html.j2")
        .render(
            manifest=manifest,
            total=_total(manifest),
            steps=_steps(manifest),
            counts=_counts(manifest),
            version=version("trainwright"),
            style=Markup(style),
            code=Markup(code),
            policy=page_policy(style, [code]),
        )
    )
    write_atomic(path, page)
    return path


def _total(manifest: Mapping[str, Any]) -> Message:
    read, kept = manifest["read"], manifest["kept"]
    return both(
        "{kept} of {read} documents stay, with {characters} of {all} characters.",
        kept=f"{kept['documents']:,}",
        read=f"{read['documents']:,}",
        characters=f"{kept['characters']:,}",
        all=f"{read['characters']:,}",
    )


def _steps(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a line for each step and reason, with its samples."""
    read = max(manifest["read"]["documents"], 1)
    lines = []
    for step, reasons in manifest["left"].items():
        for reason, count in sorted(reasons.items(), key=lambda each: -each[1]["documents"]):
            rule = manifest["thresholds"].get(reason, {})
            lines.append(
                {
                    "step": both(_STEPS[step]),
                    "reason": _called(reason),
                    "rule": _rule(rule),
                    "documents": f"{count['documents']:,}",
                    "share": f"{count['documents'] / read:.2%}",
                    "characters": f"{count['characters']:,}",
                    "fired": f"{manifest['rules_that_fired'][reason]:,}" if step == "quality" else "",
                    "samples": manifest["samples"].get(f"{step}.{reason}", []),
                }
            )
    return lines


def _rule(rule: Mapping[str, Any]) -> Message | None:
    if not rule:
        return None
    template = (
        mark("below {threshold}; {source}")
        if rule["beyond"] == "below"
        else mark("above {threshold}; {source}")
    )
    return both(template, threshold=f"{rule['threshold']:g}", source=rule["source"])


def _counts(manifest: Mapping[str, Any]) -> list[tuple[Message, list[tuple[Message, str]]]]:
    """Return the tables of plain counts, those that count something."""
    tables = (
        (both("Languages of what stays"), manifest["languages"]),
        (both("Personal data that was masked"), manifest["masked"]),
        (both("What was changed and stayed"), manifest["notes"]),
        (both("Files that no reader is for, by ending"), manifest["files_of_other_kinds"]),
    )
    return [
        (
            title,
            [
                (_called(name), f"{number:,}")
                for name, number in sorted(found.items(), key=lambda each: -each[1])
            ],
        )
        for title, found in tables
        if found
    ]
