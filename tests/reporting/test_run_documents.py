from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from trainwright.reporting.run_documents import one_line, read_run


def write_events(run: Path, events: list[tuple[str, int]]) -> None:
    lines = [
        json.dumps({"kind": kind, "step": step, "life": life}) for life, (kind, step) in enumerate(events)
    ]
    (run / "events.jsonl").write_text("\n".join(lines) + "\n")


def seen(run: Path) -> list[tuple[str, int]]:
    return [(event["kind"], event["step"]) for event in read_run(run).events]


def test_steps_done_again_after_a_resume_appear_once(own_run: Callable[[str], Path]) -> None:
    run = own_run("binary")
    first = [("step", 1), ("step", 2), ("evaluation", 2), ("step", 3), ("step", 4), ("evaluation", 4)]
    second = [("step", 3), ("step", 4), ("evaluation", 4), ("step", 5)]
    write_events(run, first + second)
    assert seen(run) == [*first[:3], *second]
    assert [event["life"] for event in read_run(run).events] == [0, 1, 2, 6, 7, 8, 9]


def test_an_evaluation_that_was_taken_back_is_gone(own_run: Callable[[str], Path]) -> None:
    run = own_run("binary")
    write_events(run, [("step", 1), ("step", 2), ("evaluation", 2), ("step", 2)])
    assert seen(run) == [("step", 1), ("evaluation", 2), ("step", 2)]
    write_events(run, [("step", 1), ("step", 3), ("evaluation", 3), ("step", 2)])
    assert seen(run) == [("step", 1), ("step", 2)]


def test_a_line_that_a_kill_cut_short_is_left_out(own_run: Callable[[str], Path]) -> None:
    run = own_run("binary")
    whole = len(read_run(run).events)
    with (run / "events.jsonl").open("a") as stream:
        stream.write('{"kind": "step", "st')
    assert len(read_run(run).events) == whole


def test_figures_that_json_lacks_become_none(own_run: Callable[[str], Path]) -> None:
    run = own_run("binary")
    (run / "environment.json").write_text('{"a": NaN, "b": [Infinity, 1.5]}')
    assert read_run(run).environment == {"a": None, "b": [None, 1.5]}


def test_one_line_holds_nothing_that_a_terminal_obeys() -> None:
    assert one_line("a\x1b[31mb\r\n\tc\u2028d\u202ee\ud800") == "a\ufffd[31mb\ufffd c de\ufffd"
