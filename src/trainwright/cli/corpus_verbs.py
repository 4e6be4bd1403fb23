"""`prepare` on the command line: a corpus for a language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.verbs import JsonFlag, QuietFlag, app


@app.command()
def prepare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Files, folders, globs or URLs of text, Markdown, JSONL, Parquet, HTML, WARC or PDF.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Folder to make: Parquet shards and a manifest."
        ),
    ],
    language: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE", help="Language to keep: en, zh, de; repeat for several. All by default."
        ),
    ] = None,
    quality: Annotated[
        str, typer.Option(metavar="WORD", help="How strict the rules of quality are: off, gentle or strict.")
    ] = "gentle",
    decontaminate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Evaluation set whose texts must not be in the corpus; repeat for several."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Any setting: rules.gopher_few_words=20, near_duplicates=off; repeat for several.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Processes; as many as there are cores by default.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Make it again where there is one.")] = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Make a corpus for a language model from files of texts."""
    from trainwright.workshop.prepare_corpus import prepare as verb

    made = verb(
        sources,
        output,
        languages=language or (),
        quality=quality,
        decontaminate=decontaminate or (),
        settings=set_ or (),
        workers=workers,
        force=force,
        quiet=quiet or as_json,
    )
    typer.echo(json.dumps(made.summary()) if as_json else str(made.path))
