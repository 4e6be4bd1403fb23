"""The entry point: runs a verb, and turns errors into one sentence and an exit code.

Exit codes: 0 done, 2 the user can fix it, 1 our fault, 130 interrupted.
"""

from __future__ import annotations

import os
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    import typer

    from trainwright.cli.verbs import app
    from trainwright.foundation.errors import TrainwrightError

    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [word for word in arguments if word != "--debug"]
    try:
        code = app(arguments, prog_name="trainwright", standalone_mode=False)
    except TrainwrightError as error:
        if debug:
            raise
        return _say(str(error), error.exit_code)
    except typer.TyperException as error:
        verb = arguments[0] if arguments and not arguments[0].startswith("-") else ""
        known = f"trainwright {verb}".strip()
        return _say(f"{error.format_message().rstrip('.')}; `{known} --help` says what there is.", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _say("Interrupted.", 130)
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        if debug:
            raise
        return _say(
            "The machine ran out of memory; use fewer rows, a smaller model.size or training.batch.", 2
        )
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        return _say(
            f"This is a fault of Trainwright ({kind}: {error}); run it again with --debug and report it.", 1
        )
    return code if isinstance(code, int) else 0


def run() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(main())


def _say(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201 (this is the command line)
    return code


if __name__ == "__main__":
    run()
