"""The verbs of the command line: each is the library function of the same name, said with words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from trainwright.cli.mistakes import Verbs

app = typer.Typer(
    cls=Verbs,
    help="Bring data; get a trained, honestly judged model, and know why it is as good as it is.",
    epilog="Begin with: trainwright demo, or trainwright train DATA --target COLUMN",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on standard error.")]
TargetOption = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", metavar="COLUMN", help="Column to predict; repeat for several."),
]
SeedOption = Annotated[
    int | None,
    typer.Option(metavar="NUMBER", help="Where every random draw comes from; 0 by default."),
]
RunOption = Annotated[
    Path | None,
    typer.Option("--run", metavar="FOLDER", help="Run folder to make; by default one under runs/."),
]
OnOption = Annotated[
    str | None,
    typer.Option(
        "--on", metavar="CLUSTER", help="Ray cluster to train on: ray://host:10001, auto, or local-cluster."
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
QueryOption = Annotated[
    str | None,
    typer.Option(metavar="SQL", help="Table or SELECT, where DATA is a database."),
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="Model folder or run folder.")]


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    del debug  # `main` has looked for it already, behind the verb too
    if version:
        import trainwright

        print_line(trainwright.__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print_line(context.get_help())


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="File, folder, glob, archive, URL, or a recipe ending in .yaml."),
    ],
    target: TargetOption = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="Of a language model: causal-lm, masked-lm, chat, preference, …"),
    ] = None,
    run: RunOption = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="BUDGET", help="When to stop: 20m, '10 epochs', 5_000steps or 2e9tokens."),
    ] = None,
    seed: SeedOption = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Any field of the recipe: model.size=tiny; repeat for several.",
        ),
    ] = None,
    on: OnOption = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> int:
    """Train a model on DATA, judge it, and write a report."""
    from trainwright.workshop.train import train as verb

    made = verb(
        data,
        target=target,
        task=task,
        run=run,
        budget=budget,
        seed=seed,
        settings=set_ or (),
        on=on,
        quiet=quiet or as_json,
    )
    return _finish_run(made, as_json, quiet)


@app.command()
def resume(
    run: RunArgument,
    on: OnOption = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> int:
    """Go on with a run that was stopped or killed."""
    from trainwright.workshop.resume import resume as verb

    return _finish_run(verb(run, on=on, quiet=quiet or as_json), as_json, quiet)


@app.command("launch-files")
def launch_files(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe ending in .yaml.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write to.")],
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND", help="skypilot, kuberay or kubeflow; repeat for several, all by default."
        ),
    ] = None,
    nodes: Annotated[
        int, typer.Option(metavar="NUMBER", help="Machines that share out training.devices processes.")
    ] = 1,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="A GPU for each process, of a kind that SkyPilot knows: H100."),
    ] = None,
    image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Container image with Trainwright in it.")
    ] = None,
    volume: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Volume claim, or bucket, that all machines see at /shared."),
    ] = None,
    cpus: Annotated[int, typer.Option(metavar="NUMBER", help="Cores of each process.")] = 4,
    memory: Annotated[int, typer.Option(metavar="GB", help="Memory of each process.")] = 16,
) -> int:
    """Write files that start RECIPE on a cluster: SkyPilot, KubeRay, Kubeflow Trainer."""
    from trainwright.workshop.launch_files import KINDS, needed_there
    from trainwright.workshop.launch_files import launch_files as verb

    made = verb(
        recipe,
        output=output,
        to=to or KINDS,
        nodes=nodes,
        gpu=gpu,
        image=image,
        volume=volume,
        cpus=cpus,
        memory=memory,
    )
    for path in made:
        print_line(str(path))
    for needed in needed_there(recipe):
        print(f"Copy {needed} to /shared/data on the cluster before you start.", file=sys.stderr)  # noqa: T201
    return 0


@app.command()
def predict(
    model: ModelArgument,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Rows to predict for: file, folder, glob or URL.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="File to write: .csv, .jsonl or .parquet."),
    ],
    query: QueryOption = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of DATA to copy; repeat for several."),
    ] = None,
    probabilities: Annotated[bool, typer.Option(help="Also probabilities and intervals.")] = True,
    quiet: QuietFlag = False,
) -> None:
    """Predict for the rows of DATA."""
    from trainwright.workshop.predict import predict as verb

    made = verb(model, data, output, query=query, probabilities=probabilities, keep=keep or (), quiet=quiet)
    print_line(made)


@app.command()
def evaluate(
    model: ModelArgument,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Rows with the target: file, folder, glob or URL.")
    ] = None,
    query: QueryOption = None,
    lm_eval: Annotated[
        list[str] | None,
        typer.Option(
            "--lm-eval",
            metavar="TASK",
            help="Task of lm-eval instead of DATA; repeat for several.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="NUMBER", help="Examples of each such task; all by default.")
    ] = None,
    fewshot: Annotated[
        int | None,
        typer.Option(min=0, metavar="NUMBER", help="Solved examples before each; by default the task's."),
    ] = None,
    include_path: Annotated[
        Path | None,
        typer.Option("--include-path", metavar="FOLDER", help="Folder of such tasks of your own, in YAML."),
    ] = None,
    chat_template: Annotated[
        bool, typer.Option("--chat-template", help="Ask them in the model's chat template.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Judge a model on rows that it has not seen, or a language model on tasks of lm-eval."""
    from trainwright.workshop.evaluate import evaluate as verb

    found = verb(
        model,
        data,
        query=query,
        lm_eval=lm_eval or (),
        limit=limit,
        fewshot=fewshot,
        include_path=include_path,
        chat_template=chat_template,
    )
    if as_json:
        print_json(found)
        return
    from trainwright.reporting.console import metrics_table

    _draw(metrics_table(found))


@app.command()
def init(
    data: Annotated[str, typer.Argument(metavar="DATA", help="File, folder, glob or URL.")],
    target: TargetOption = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="Of a language model; without, what texts or chats are made for."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Recipe to write.")] = Path(
        "recipe.yaml"
    ),
    force: Annotated[bool, typer.Option(help="Replace a recipe that is there.")] = False,
) -> None:
    """Look at DATA and write a commented recipe for it."""
    from trainwright.workshop.init import init as verb

    verb(data, target=target or (), task=task, output=output, force=force)
    print_line(output)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, for editors."""
    from trainwright.workshop.schema import schema as verb

    print_json(verb(), indent=2)


@app.command()
def report(run: RunArgument) -> None:
    """Write a run's report again."""
    from trainwright.workshop.report import report as verb

    print_line(verb(run))


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of run folders.")] = Path("runs"),
    as_json: JsonFlag = False,
) -> None:
    """List runs, best first."""
    from trainwright.workshop.runs import runs as verb

    lines = verb(folder)
    if as_json:
        print_json(lines)
        return
    from trainwright.reporting.console import runs_table

    _draw(runs_table(lines))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Run folder.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Run folder.")],
    as_json: JsonFlag = False,
) -> None:
    """Say what differs between two runs, and whether the results do."""
    from trainwright.workshop.compare import compare as verb

    found = verb(first, second)
    if as_json:
        print_json(found)
        return
    from trainwright.reporting.console import comparison_table

    _draw(comparison_table(found))


@app.command()
def demo(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="digits (pictures), cancer (a table) or words (a language model)."
        ),
    ] = "digits",
    run: RunOption = None,
    seed: SeedOption = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> int:
    """Train on real data that needs no network."""
    from trainwright.workshop.demo import demo as verb

    return _finish_run(verb(name, run=run, seed=seed, quiet=quiet or as_json), as_json, quiet)


def _finish_run(run: Any, as_json: bool, quiet: bool) -> int:
    """Print what was made; 130 when the user stopped it early."""
    if as_json:
        print_json(run.summary())
    elif quiet or not (sys.stdout.isatty() and sys.stderr.isatty()):  # else the summary has named it
        print_line(run.path)
    return 130 if run.interrupted else 0


def _draw(drawing: Any) -> None:
    from rich.console import Console

    Console(highlight=False).print(drawing)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print a JSON document on standard output."""
    ascii_only = "utf" not in (sys.stdout.encoding or "").lower()
    print_line(json.dumps(value, indent=indent, ensure_ascii=ascii_only))


def print_line(value: object) -> None:
    """Print a line on standard output."""
    typer.echo(str(value))
