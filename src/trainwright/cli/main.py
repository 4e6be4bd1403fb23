"""The entry point: runs a verb, and turns errors into one sentence and an exit code.

Exit codes: 0 done, 2 the user can fix it, 1 our fault, 130 interrupted.
"""

from __future__ import annotations

import os
import sys

_MEMORY = "The machine ran out of memory; use fewer rows, a smaller model.size or a smaller training.batch."


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: the words after `trainwright`; those of the process by default.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        code = _run_verb([word for word in arguments if word != "--debug"])
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _say("Interrupted.", 130)
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        sentence, code = _explained(error)
        return _say(_without_passwords(sentence, arguments), code)
    return code


def _run_verb(arguments: list[str]) -> int:
    import typer

    import trainwright.cli.corpus_verbs
    import trainwright.cli.language_verbs  # noqa: F401 (verbs are registered where they are imported)
    from trainwright.cli.mistakes import explain_usage
    from trainwright.cli.verbs import app

    try:
        code = app(arguments, prog_name="trainwright", standalone_mode=False)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except typer.TyperException as error:
        raise explain_usage(error) from error
    return code if isinstance(code, int) else 0


def _explained(error: Exception) -> tuple[str, int]:
    """Return the sentence for an error, and the exit code."""
    from trainwright.foundation.errors import TrainwrightError

    if isinstance(error, TrainwrightError):
        return str(error), error.exit_code
    if _is_out_of_memory(error):
        return _MEMORY, 2
    kind, what = type(error).__name__, str(error).partition("\n")[0]
    return f"This is a fault of Trainwright ({kind}: {what}); run it again with --debug and report it.", 1


def _without_passwords(sentence: str, arguments: list[str]) -> str:
    """Return a sentence in which words of the command line come without the passwords of their URLs."""
    from trainwright.data.urls import redacted

    for word in arguments:
        for part in (word, word.partition("=")[2]):  # of --set=FIELD=VALUE the option alone is not repeated
            sentence = sentence.replace(part, redacted(part)) if part else sentence
    return sentence


def run() -> None:
    """Run the command line and leave with its exit code."""
    # Threads that spin while they wait take the cores from each other: beside another busy program a small
    # model trained 6 times slower with them (measured with two threads on two cores).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its code, not a crash.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory was refused: by Python or NumPy, by CUDA, or by torch's own allocator."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def _say(sentence: str, code: int) -> int:
    """Print one line on standard error: what data put into it cannot break the line or move the cursor."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in sentence
    )
    print(shown, file=sys.stderr)  # noqa: T201 (this is the command line)
    return code


if __name__ == "__main__":
    run()
