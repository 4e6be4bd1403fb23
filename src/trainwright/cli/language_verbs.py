"""Verbs of language models: generate, chat, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from trainwright.cli.verbs import JsonFlag, ModelArgument, app, print_json, print_line

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
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Text at which it ends; repeat for several.")
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonFlag = False,
) -> None:
    """Let a language model go on with PROMPT."""
    from trainwright.workshop.generate import open_text_model

    prompts = list(prompt or ())
    if prompts in ([], ["-"]):
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
    seed: SeedOption = 0,
) -> None:
    """Talk to a language model; /new begins again, /quit or Ctrl-D ends."""
    from trainwright.workshop.generate import open_text_model

    loaded = open_text_model(model)
    loaded.check_chats()
    first = [{"role": "system", "content": system}] if system else []
    messages = list(first)
    turn = 0
    while True:
        try:
            said = input("you> " if sys.stdin.isatty() else "")
        except EOFError:
            break
        if said.strip() == "/quit":
            break
        if said.strip() == "/new":
            messages = list(first)
            continue
        if not said.strip():
            continue
        messages.append({"role": "user", "content": said})
        answer = ""
        try:
            for piece in loaded.stream(
                messages,
                max_tokens=max_tokens,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                repetition_penalty=repetition_penalty,
                seed=seed + turn,
            ):
                answer += piece
                typer.echo(piece, nl=False)
        except KeyboardInterrupt:  # enough of this answer, not of the conversation
            typer.echo(" …", nl=False)
        typer.echo()
        messages.append({"role": "assistant", "content": answer})
        turn += 1


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
