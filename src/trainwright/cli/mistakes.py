"""Mistakes in the words of a command line, as one sentence: what, where, and what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from trainwright.foundation.errors import UserError, did_you_mean

_DATA_ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet", ".arrow", ".feather", ".xlsx", ".npz", ".zip", ".yaml")


class Verbs(TyperGroup):
    """The verbs of the command line; an unknown one is answered with the nearest there is."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the verb's command.

        Raises:
            UserError: there is no such verb.
        """
        word = args[0]
        if word.startswith("-") or word in self.commands:
            return super().resolve_command(ctx, args)
        if word.lower().endswith(_DATA_ENDINGS) or "://" in word or Path(word).exists():
            raise UserError("the verb is missing", fix=f"did you mean 'trainwright train {word}'?")
        raise UserError(f"there is no verb '{word}'", fix=did_you_mean(word, list(self.commands), limit=20))


def explain_usage(error: typer.TyperException) -> UserError:
    """Return what typer found wrong with a verb's words, as an error to show."""
    # Which kinds of error there are is private to typer; what they carry is told by their attributes.
    seen: Any = error
    message = error.format_message().rstrip(".")
    context = getattr(seen, "ctx", None)
    if context is None:
        option = getattr(seen, "option_name", None)
        if option is None or "requires an argument" not in message:
            return UserError(_lower(message), fix="see trainwright --help")
        return UserError(f"nothing follows the option '{option}'", fix="give it a value")
    command = str(context.command_path)
    help_ = f"see {command} --help"
    parameters = context.command.params
    if hasattr(seen, "possibilities"):
        options = [word for parameter in parameters for word in parameter.opts if word.startswith("--")]
        return UserError(
            f"there is no option '{seen.option_name}'",
            where=command,
            fix=did_you_mean(seen.option_name, options),
        )
    parameter = getattr(seen, "param", None)
    if parameter is not None:
        name = parameter.metavar if parameter.param_type_name == "argument" else parameter.opts[-1]
        if hasattr(seen, "param_type"):
            about = f"give {_lower(parameter.help.rstrip('.'))}" if parameter.help else help_
            return UserError(f"{name} is missing", where=command, fix=about)
        if "valid integer" in message:
            return UserError(f"{name} must be a whole number", where=command, fix=help_)
    if "extra argument" in message:
        words = message.rpartition("(")[2].rstrip(")")
        aimed = any("--target" in each.opts for each in parameters) and " " not in words
        fix = f"did you mean '--target {words}'?" if aimed else help_
        return UserError(f"'{words}' is more than this verb takes", where=command, fix=fix)
    return UserError(_lower(message), where=command, fix=help_)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
