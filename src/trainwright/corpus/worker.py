"""A process that makes pieces and shards: `python -m trainwright.corpus.worker FOLDER`.

Tasks come as lines of JSON on its input, what happens goes out as lines of JSON. It ends with its input, at
once: whoever started it has ended, however that was.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainwright.corpus.work import Work
from trainwright.foundation.errors import UserError


def main() -> None:
    """Do what comes in."""
    say = _speaker()
    work = Work(Path(sys.argv[1]))
    tasks: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    while True:
        task = tasks.get()
        try:
            work.do(
                task["task"],
                task["number"],
                lambda documents, num_bytes: say(read=[documents, num_bytes]),
                crashed=task["crashed"],
                at=lambda number: say(at=number),
            )
            say(done=task["number"])
        except UserError as error:
            say(wrong=[error.what, error.where, error.fix])
        except MemoryError:
            say(wrong=["the machine ran out of memory", None, "use fewer workers"])


def _listen(tasks: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        tasks.put(json.loads(line))
    os._exit(0)


def _speaker() -> Callable[..., None]:
    """Return what talks to the parent; whatever any library prints goes to standard error from now on."""
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**what: Any) -> None:
        said.write(json.dumps(what) + "\n")
        said.flush()

    return say


if __name__ == "__main__":
    main()
