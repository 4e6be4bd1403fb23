"""The model card: what a model is for, how good it is and where it ends, beside its weights.

Sections follow Mitchell et al., "Model Cards for Model Reporting" (2019). The card travels with the model,
so it names columns and figures but shows no row of the data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.foundation.paths import write_atomic
from trainwright.reporting.language import Message
from trainwright.reporting.numbers import clip, count, interval, number, percent, signed
from trainwright.reporting.pages.data import judged_on_validation
from trainwright.reporting.pages.language import LanguagePage, language_page
from trainwright.reporting.pages.process import made_at
from trainwright.reporting.run_documents import RunDocuments, one_line, read_run
from trainwright.reporting.verdict import Verdict, verdict_of
from trainwright.reporting.words import baseline_title, metric_title, part_title, split_title, task_title

if TYPE_CHECKING:
    import jinja2

_MOST_COLUMNS = 100
_MOST_CLASSES = 50
_CELL = 80

_SYNTAX = re.compile(r"([\\`*_\[\]#|<>~$&])")


def write_card(run: Path, model_folder: Path, *, evaluation: Mapping[str, Any] | None = None) -> Path:
    """Write `card.md` into a model folder, from the documents of the run, and return its path.

    Args:
        run: the run folder.
        model_folder: where the card goes.
        evaluation: see `read_run`.

    Raises:
        UserError: it is no run folder, or a document is damaged.
    """
    documents = read_run(run, evaluation=evaluation)
    language = language_page(documents)
    if language is not None:
        path = model_folder / "card.md"
        write_atomic(path, _language_card(documents, language))
        return path
    page = (
        _environment()
        .get_template("card.md.j2")
        .render(
            run=documents,
            made=made_at(documents),
            version=version("trainwright"),
            targets=[_target(name, evaluation) for name, evaluation in documents.targets.items()],
            warning=judged_on_validation() if documents.judged_part == "validation" else None,
            parameters=_parameters(documents),
            columns=documents.data["columns"][:_MOST_COLUMNS],
            columns_left_out=max(0, len(documents.data["columns"]) - _MOST_COLUMNS),
            split=split_title(documents.data["split"]["method"]),
            parts=[(part_title(name), count(rows)) for name, rows in documents.data["split"]["rows"].items()],
            quarantined=(documents.data.get("quarantined") or {}).get("count", 0),
        )
    )
    path = model_folder / "card.md"
    write_atomic(path, page)
    return path


def _language_card(run: RunDocuments, page: LanguagePage) -> str:
    return (
        _environment()
        .get_template("card_language.md.j2")
        .render(
            run=run,
            made=made_at(run),
            version=version("trainwright"),
            sentence=page.sentence,
            task=page.task,
            lines=page.lines,
            baseline=page.baseline,
            remarks=page.remarks,
            warning=judged_on_validation() if run.judged_part == "validation" else None,
            parameters=_parameters(run),
            split=split_title(run.data["split"]["method"]),
            parts=page.parts,
            quarantined=run.data["quarantined"]["count"],
        )
    )


def _parameters(run: RunDocuments) -> str:
    starts = run.events_of("start")
    return count(starts[-1].get("parameters")) if starts else ""


class _Target:
    """What the card says of one target."""

    def __init__(self, name: str, evaluation: Mapping[str, Any]) -> None:
        self.name = name
        self.task = task_title(evaluation["task"])
        self.verdict: Verdict = verdict_of(name, evaluation)
        self.classes = list(evaluation["classes"] or ())[:_MOST_CLASSES]
        self.rows = count(evaluation["rows"]["test"])
        self.baselines = [
            baseline_title(simple["name"], simple["title"]) for simple in evaluation["baselines"]
        ]
        self.lines = [
            (
                metric_title(name, ours["title"]),
                _cell(ours),
                [_cell(simple["metrics"].get(name) or {"value": None}) for simple in evaluation["baselines"]],
            )
            for name, ours in evaluation["metrics"].items()
        ]
        self.leads = [
            signed((simple.get("difference") or {}).get("value")) for simple in evaluation["baselines"]
        ]
        self.metric = metric_title(evaluation["metric"])
        self.threshold = evaluation.get("threshold")
        self.weak = [item for item in evaluation.get("slices") or [] if item["flag"]]


def _target(name: str, evaluation: Mapping[str, Any]) -> _Target:
    return _Target(name, evaluation)


def _cell(figure: Mapping[str, Any]) -> str:
    between = interval(figure)
    return f"{number(figure['value'])} ({between})" if between else number(figure["value"])


def escape_markdown(value: object) -> str:
    """Return a value as text that Markdown shows as it is, on one line: no markup, no HTML, no new cell."""
    text = value.en if isinstance(value, Message) else str(value)
    return _SYNTAX.sub(r"\\\1", one_line(text))


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        # Markdown, not HTML: every value passes through the escaping of Markdown instead.
        autoescape=False,
        finalize=escape_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["clip"] = lambda value: clip(value, _CELL)
    environment.filters["percent"] = percent
    environment.filters["cell"] = _cell
    return environment
