"""Verbs of language models: generate, chat, export."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainwright.cli.verbs import JsonFlag, ModelArgument, app, print_json, print_line
from trainwright.foundation.errors import UserError

if TYPE_CHECKING:
    from trainwright.workshop.text_model import Messages

TokensOption = Annotated[int, typer.Option("--max-tokens", metavar="NUMBER", help="Most new tokens.")]
TemperatureOption = Annotated[
    float, typer.Option(metavar="NUMBER", help="0 takes the likeliest token; 1 draws by the model's chances.")
]
TopKOption = Annotated[
    int, typer.Option("--top-k", metavar="NUMBER", help="Draw among so many tokens; 0 for all.")
]
TopPOption = Annotated[
    float,
    typer.Option("--top-p", metavar="SHARE", help="Draw among the likeliest with this share of chances."),
]
PenaltyOption = Annotated[
    float, typer.Option("--repetition-penalty", metavar="NUMBER", help="Above 1 repeats less.")
]
StopOption = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="Text at which it ends; repeat for several.")
]
SeedOption = Annotated[int, typer.Option(metavar="NUMBER", help="Where the draws come from.")]


@app.command()
def generate(
    model: ModelArgument,
    prompt: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="Text to go on with; read from - or a pipe.")
    ] = None,
    max_tokens: TokensOption = 256,
    temperature: TemperatureOption = 0.8,
    top_k: TopKOption = 0,
    top_p: TopPOption = 0.95,
    repetition_penalty: PenaltyOption = 1.0,
    stop: StopOption = None,
    seed: SeedOption = 0,
    as_json: JsonFlag = False,
) -> None:
    """Let a language model go on with PROMPT."""
    from trainwright.workshop.generate import open_text_model

    prompts = list(prompt or ())
    if prompts in ([], ["-"]):
        with _utf8_input():
            prompts = [sys.stdin.read()]
    loaded = open_text_model(model)
    words: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
    }
    with _long_prompts_said():
        if as_json:
            texts = loaded.generate(prompts, stop=stop or (), **words)
            print_json([{"prompt": one, "text": text} for one, text in zip(prompts, texts, strict=True)])
        elif len(prompts) > 1:
            for text in loaded.generate(prompts, stop=stop or (), **words):
                print_line(text)
        else:
            for piece in loaded.stream(prompts[0], stop=stop or (), **words):
                typer.echo(piece, nl=False)
            typer.echo()


@app.command()
def chat(
    model: ModelArgument,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the model is told before the first message.")
    ] = None,
    max_tokens: TokensOption = 512,
    temperature: TemperatureOption = 0.7,
    top_k: TopKOption = 0,
    top_p: TopPOption = 0.95,
    repetition_penalty: PenaltyOption = 1.0,
    stop: StopOption = None,
    seed: SeedOption = 0,
) -> None:
    """Talk to a language model; /new begins again, /quit or Ctrl-D ends."""
    from trainwright.workshop.generate import open_text_model

    loaded = open_text_model(model)
    loaded.check_chats()
    first = [{"role": "system", "content": system}] if system else []
    messages: Messages = first
    turn = 0
    with _long_prompts_said():
        while (said := _line_said()) is not None and said.strip() != "/quit":
            if said.strip() == "/new":
                messages = first
            if said.strip() in {"/new", ""}:
                continue
            # What has been left out once stays out: a conversation takes no longer to read the longer it is.
            messages = loaded.fitting([*messages, {"role": "user", "content": said}], max_tokens=max_tokens)
            answer = ""
            try:
                for piece in loaded.stream(
                    messages,
                    max_tokens=max_tokens,
                    temperature=temperature,
                    top_k=top_k,
                    top_p=top_p,
                    repetition_penalty=repetition_penalty,
                    stop=stop or (),
                    seed=seed + turn,
                ):
                    answer += piece
                    typer.echo(piece, nl=False)
            except KeyboardInterrupt:  # enough of this answer, not of the conversation
                typer.echo(" …", nl=False)
            typer.echo()
            messages = [*messages, {"role": "assistant", "content": answer}]
            turn += 1


def _line_said() -> str | None:
    """Return the next line of the person at the other end; None where there is none."""
    try:
        with _utf8_input():
            return input("you> " if sys.stdin.isatty() else "")
    except EOFError:
        return None


@contextmanager
def _utf8_input() -> Iterator[None]:
    """Read standard input as UTF-8.

    Raises:
        UserError: it is something else.
    """
    given = sys.stdin
    known = given.isatty() or (given.encoding, given.errors) == ("utf-8", "strict")
    if isinstance(given, io.TextIOWrapper) and not known:  # it can be set before the first line alone
        given.reconfigure(encoding="utf-8", errors="strict")
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(
            f"what is piped in is not UTF-8 (byte {error.object[error.start]:#04x})",
            where="standard input",
            fix="convert it, as with: iconv -f latin1 -t utf-8",
        ) from error


@contextmanager
def _long_prompts_said() -> Iterator[None]:
    """Say on standard error, once, that of prompts the beginning is left out."""
    from trainwright.workshop.text_model import LongPrompt

    said = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", LongPrompt)
        show = warnings.showwarning

        def say(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, LongPrompt):
                show(message, category, *where, **more)
            elif str(message) not in said:
                said.add(str(message))
                typer.echo(message, err=True)

        warnings.showwarning = say
        yield


@app.command()
def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write.")],
    to: Annotated[str, typer.Option(metavar="KIND", help="hf: a folder for transformers.")] = "hf",
    merge: Annotated[
        bool, typer.Option("--merge", help="Work an adapter into the weights of its base.")
    ] = False,
) -> None:
    """Write a language model for other software."""
    from trainwright.workshop.export import export as verb

    print_line(verb(model, output, to=to, merge=merge))
