"""Results for the terminal, from the same documents as the report; drawn by rich, in English.

Text from the data is always `rich.text.Text`, never markup: a column called "[red]" stays a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.reporting.numbers import clip, count, duration, interval, number, percent, signed
from trainwright.reporting.pages.language import language_remarks
from trainwright.reporting.run_documents import one_line, read_run
from trainwright.reporting.verdict import Verdict, verdict_of
from trainwright.reporting.words import baseline_title, metric_title, part_title, split_title

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

_MOST_LINES = 24
_MOST_METRICS = 8
_MOST_REASONS = 3
_MOST_COUNTS = 6
_MOST_SETTINGS = 40
_STYLES = {"better": "green", "as good": "yellow", "worse": "red"}
_ORDER = ("target", "input", "left out")


def data_summary(data: Mapping[str, Any]) -> Group:
    """Return what each column was taken for and why, how the rows were shared out, and what was set aside.

    Args:
        data: data.json.
    """
    from rich.console import Group

    if data.get("kind") == "language":
        return language_summary(data)
    split = data["split"]
    parts = ", ".join(f"{count(rows)} {part_title(name).en}" for name, rows in split["rows"].items())
    lines: list[RenderableType] = [
        _text(f"{data['name']}: {count(data['rows'])} rows", style="bold"),
        schema_table(data["columns"]),
        _text(f"Rows: {parts} (shared out {split_title(split['method']).en})"),
    ]
    quarantined = data.get("quarantined") or {"count": 0, "reasons": []}
    if quarantined["count"]:
        reasons = "; ".join(
            f"{count(each['count'])} x {clip(each['reason'], 100)}"
            for each in quarantined["reasons"][:_MOST_REASONS]
        )
        lines.append(_text(f"Set aside: {count(quarantined['count'])} rows ({reasons})", style="yellow"))
    notes = [*(split.get("notes") or []), *(data.get("notes") or [])]
    lines += [_text(f"Note: {clip(note, 300)}", style="dim") for note in notes[:_MOST_REASONS]]
    counted = [
        f"{count(number_of)} values in column '{clip(column, 40)}': {word}."
        for column, what in (data.get("counts") or {}).items()
        for word, number_of in what.items()
    ]
    lines += [_text(line, style="yellow") for line in counted[:_MOST_COUNTS]]
    more = []
    if len(counted) > _MOST_COUNTS:
        more.append(f"{count(len(counted) - _MOST_COUNTS)} more lines like these")
    if noted := len(data.get("column_notes") or {}):
        more.append(f"notes on {count(noted)} {'column' if noted == 1 else 'columns'}")
    if more:
        said = " and ".join(more)
        lines.append(_text(f"{said[0].upper()}{said[1:]} will stand in the report.", style="dim"))
    return Group(*lines)


def language_summary(data: Mapping[str, Any]) -> Group:
    """Return what a language model reads: samples, tokens, and one sample with what is learned of it.

    Args:
        data: data.json.
    """
    from rich.console import Group

    parts = ", ".join(
        f"{count(each['samples'])} {part_title(name).en} ({count(each['tokens'])} tokens)"
        for name, each in data["parts"].items()
    )
    tokenizer = data["tokenizer"]
    made = "trained on this data" if tokenizer["made"] else "of the checkpoint"
    lines: list[RenderableType] = [
        _text(f"{data['name']}: {count(data['rows'])} rows, read as {data['format']}", style="bold"),
        _text(f"Samples: {parts}"),
        _text(f"Tokenizer: {count(tokenizer['vocabulary'])} tokens, {made}"),
        *(_text(f"  {fertility_said(each)}", style="dim") for each in tokenizer["fertility"][:_MOST_REASONS]),
    ]
    if data["shown"]:
        lines.append(_colored(data["shown"][0], hidden=data["task"] == "masked-lm"))
    quarantined = data["quarantined"]
    if quarantined["count"]:
        reasons = "; ".join(
            f"{count(each['count'])} x {clip(each['reason'], 100)}"
            for each in quarantined["reasons"][:_MOST_REASONS]
        )
        lines.append(_text(f"Set aside: {count(quarantined['count'])} samples ({reasons})", style="yellow"))
    lines += [_text(f"Note: {clip(note, 300)}", style="dim") for note in data["notes"][:_MOST_REASONS]]
    return Group(*lines)


def fertility_said(each: Mapping[str, Any]) -> str:
    """Return in a line how a tokenizer cuts the texts of a script."""
    return (
        f"{each['script']}: {number(each['characters_per_token'])} characters a token, "
        f"{number(each['tokens_per_word'])} tokens a word"
    )


def _colored(tokens: Sequence[Mapping[str, Any]], *, hidden: bool) -> Text:
    """Return a sample as the model reads it; what is learned stands out, unless it is hidden in turn."""
    from rich.text import Text

    what = "the model learns what is green"
    if hidden:
        what = "the model learns words of it that are hidden from it, others in each epoch"
    text = Text(f"A sample; {what}: ", style="dim")
    for token in tokens:
        text.append(one_line(token["text"]) or " ", style="green not dim" if token["trained"] else "dim")
    return text


def schema_table(columns: Sequence[Mapping[str, Any]]) -> Table:
    """Return what each column was taken for and why, targets first; columns that are alike share a line."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for column in sorted(columns, key=lambda column: _ORDER.index(column["role"])):
        kind = column["type"] if column["role"] == "input" else f"{column['type']} ({column['role']})"
        missing = percent(column["missing"]) if column.get("missing") else ""
        groups.setdefault((column["role"], kind, missing, column.get("reason") or ""), []).append(
            column["name"]
        )
    table = _table("column", "taken as", "missing", "why")
    for (role, kind, missing, reason), names in list(groups.items())[:_MOST_LINES]:
        shown = ", ".join(clip(name, 32) for name in names[:2])
        if len(names) > 2:
            shown += f" and {count(len(names) - 2)} more"
        style = {"target": "bold", "left out": "dim"}.get(role, "")
        table.add_row(*map(_text, (shown, kind, missing, clip(reason, 160))), style=style)
    if len(groups) > _MOST_LINES:
        table.add_row(_text(f"and {count(len(groups) - _MOST_LINES)} more lines in the report"), style="dim")
    return table


def run_summary(run: Path) -> Group:
    """Return results, verdict, and the paths of report and model of a judged run.

    Raises:
        UserError: it is no run folder, or a document is damaged.
    """
    from rich.console import Group
    from rich.text import Text

    documents = read_run(run)
    parts: list[RenderableType] = []
    language = (documents.evaluation or {}).get("language")
    if language is not None:
        parts += [_text(""), language_table(language, documents.judged_part)]
        remarks = language_remarks(language, documents.judged_part)
        parts += [*(_text(remark.en, style="dim") for remark in remarks), _text("")]
        parts += [
            _text(f"{clip(each['prompt'], 80)} → {clip(each['text'], 200)}", style="dim")
            for each in language["samples"][:_MOST_REASONS]
        ]
        parts.append(_text(""))
    for name, evaluation in documents.targets.items():
        verdict = _verdict_text(verdict_of(name, evaluation))
        parts += [_text(""), result_table(name, evaluation), _text(""), verdict, _text("")]
    total = ((documents.evaluation or {}).get("timings") or {}).get("total")
    paths = [
        ("Report", run / "report.html"),
        ("Model", run / "model"),
        ("Run", f"{run}{f'  ({duration(total)})' if total else ''}"),
    ]
    # Paths are never wrapped: they are there to be copied.
    parts += [Text(f"{title:<7} {path}", no_wrap=True, overflow="ignore") for title, path in paths]
    return Group(*parts)


def _verdict_text(verdict: Verdict) -> Text:
    text = _text(f"{verdict.badge.en}. ", f"bold {_STYLES.get(verdict.outcome, '')}".strip())
    return text.append_text(_text(f"{verdict.result.en} {verdict.comparison.en}"))


def result_table(target: str, evaluation: Mapping[str, Any]) -> Table:
    """Return the metrics of a target with their intervals, beside every simple model."""
    baselines = evaluation["baselines"]
    # Their short names: the verdict below spells out the one that matters.
    table = _table(clip(target, 40), "this model", *(simple["name"] for simple in baselines))
    table.columns[1].no_wrap = True
    names = list(evaluation["metrics"])[:_MOST_METRICS]
    for name in names:
        ours = evaluation["metrics"][name]
        theirs = [simple["metrics"].get(name) or {"value": None} for simple in baselines]
        table.add_row(
            _text(metric_title(name, ours["title"]).en),
            _figure(ours),
            *(_text(number(figure["value"])) for figure in theirs),
            style="bold" if name == evaluation["metric"] else "",
        )
    return table


def language_table(language: Mapping[str, Any], part: str) -> Table:
    """Return the metrics of a language model with their intervals, beside those of a simple one."""
    baseline = language["baseline"]
    names = [part_title(part).en, *([baseline_title(baseline["name"]).en] if baseline else [])]
    table = _table(language["task"], *names)
    for name, ours in language["parts"][part]["metrics"].items():
        cells = [_figure(ours)]
        if baseline:
            value = baseline["metrics"].get(name)
            cells.append(_text("" if value is None else number(value)))
        table.add_row(_text(ours["title"]), *cells)
    return table


def metrics_table(found: Mapping[str, Any]) -> Group:
    """Return the metrics of every target, for `trainwright evaluate`.

    Args:
        found: {"data", "rows", "set_aside", "targets": as in evaluation.json}; of a language model
            what `evaluate_text` or, with "tasks", `evaluate_lm_eval` returns.
    """
    from rich.console import Group

    if "tasks" in found:
        return _benchmarks(found)
    aside = f", {count(found['set_aside'])} set aside" if found.get("set_aside") else ""
    if "kind" in found:
        table = _table(found["kind"], "this model")
        for name, value in found["metrics"].items():
            table.add_row(_text(metric_title(name).en), _text(number(value)))
        heading = _text(f"{found['data']}: {count(found['rows'])} rows{aside}", style="bold")
        return Group(heading, table, *_text_remarks(found))
    return Group(
        _text(f"{found['data']}: {count(found['rows'])} rows{aside}", style="bold"),
        *(result_table(name, evaluation) for name, evaluation in found["targets"].items()),
    )


def _text_remarks(found: Mapping[str, Any]) -> list[Text]:
    """Return what is to be known beside the metrics of a language model: what it was asked, what was cut."""
    remarks = []
    if len(asked := found.get("asked") or []) > 1:
        remarks.append(_text(f"Asked: {' and '.join(asked)}, one behind the other.", style="dim"))
    if cut := found.get("cut_prompts"):
        remarks.append(_beginning_cut(cut))
    if cut := found.get("cut_answers"):
        said = f"{count(cut)} of the answers had not ended after {count(found['max_tokens'])} tokens."
        remarks.append(_text(said, style="yellow"))
    return remarks


def _beginning_cut(requests: int) -> Text:
    said = f"Of {count(requests)} requests the beginning was left out: the model reads no more."
    return _text(said, style="yellow")


def _benchmarks(found: Mapping[str, Any]) -> Group:
    """Return what tasks of lm-evaluation-harness found."""
    from rich.console import Group

    table = _table("task", "examples", "few-shot", "metric", "this model")
    for name, task in found["tasks"].items():
        known = [name, task["rows"], task["fewshot"]]
        for metric, figure in task["metrics"].items():
            cells = ("" if cell is None else str(cell) for cell in known)
            table.add_row(*map(_text, cells), _text(metric), _figure(figure))
            known = ["", "", ""]
    lines: list[RenderableType] = [_text(f"lm-eval {found['harness']}", style="bold"), table]
    if found["truncated"]:
        lines.append(_beginning_cut(found["truncated"]))
    return Group(*lines)


def runs_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    """Return a line for each run, in the order given."""
    table = _table("run", "data", "target", "metric", "value", "verdict", "time", "started")
    for line in lines:
        cells = (
            str(line["run"]),
            clip(line["data"], 40),
            clip(line["target"], 30),
            metric_title(line["metric"]).en if line["metric"] else "",
        )
        figure = _figure(line) if line["value"] is not None else _text("")
        rest = (line["verdict"], duration(line["seconds"]) if line["seconds"] else "", line["started"])
        style = "dim" if line["value"] is None else ""
        table.add_row(*map(_text, cells), figure, *(_text(cell) for cell in rest), style=style)
    return table


def comparison_table(found: Mapping[str, Any]) -> Group:
    """Return two runs side by side: settings that differ, metrics, whether the difference is more than luck.

    Args:
        found: {"first", "second", "settings": [{"field", "first", "second"}], "targets": {target:
            {"metric", "metrics": [{"metric", "first", "second"}], "difference": {"value", "low", "high"}
            or None, "why"}}}; of language models also {"facts": [{"fact", "first", "second"}], "notes"}.
    """
    from rich.console import Group

    first, second = Path(found["first"]).name, Path(found["second"]).name
    parts: list[RenderableType] = []
    if found["settings"]:
        settings = _table("setting", first, second)
        for each in found["settings"][:_MOST_SETTINGS]:
            settings.add_row(*(_text(clip(each[key], 60)) for key in ("field", "first", "second")))
        parts.append(settings)
    else:
        parts.append(_text("The two recipes are the same."))
    for name, target in found["targets"].items():
        table = _table(clip(name, 40), first, second)
        for line in target["metrics"]:
            values = (number(line["first"]), number(line["second"]))
            style = "bold" if line["metric"] == target["metric"] else ""
            table.add_row(_text(metric_title(line["metric"]).en), *map(_text, values), style=style)
        parts += [table, _difference(second, target)]
    if found.get("facts"):
        table = _table("what it took", first, second)
        for line in found["facts"]:
            table.add_row(*map(_text, (line["fact"], _amount(line["first"]), _amount(line["second"]))))
        parts.append(table)
    parts += [_text(note, style="dim") for note in found.get("notes", ())]
    return Group(*parts)


def _amount(value: Any) -> str:
    return "" if value is None else count(value) if isinstance(value, int) else number(value)


def _difference(second: str, target: Mapping[str, Any]) -> Text:

    metric, gain = metric_title(target["metric"]).en, target["difference"]
    if gain is None or gain["low"] is None:
        why = target.get("why") or "there is no interval"
        return _text(f"Whether the difference in {metric} is more than luck cannot be told: {why}.")
    low, high = signed(gain["low"], like=gain["value"]), signed(gain["high"], like=gain["value"])
    if gain["low"] <= 0 <= gain["high"]:
        return _text(
            f"In {metric} the two cannot be told apart on these rows ({low} to {high}).", style="yellow"
        )
    word, style = ("better", "green") if gain["value"] > 0 else ("worse", "red")
    by = number(abs(gain["value"]))
    return _text(f"{second} is {word} in {metric} by {by} ({low} to {high}; above 0 is better).", style=style)


def _text(value: object, style: str = "") -> Text:
    """Return text on one line, without control characters that a terminal would obey."""
    from rich.text import Text

    return Text(one_line(value), style=style)


def _figure(figure: Mapping[str, Any]) -> Text:

    text, between = _text(number(figure["value"])), interval(figure)
    return text.append(f"  {between}", style="dim not bold") if between else text


def _table(*headers: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(_text(header), overflow="fold")
    return table
