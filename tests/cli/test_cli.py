"""The command line: one document for machines, quiet when asked, signals, and words that are nearly right."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cli_tools import QUICK, Shell, customers, write_csv

from trainwright import __version__
from trainwright.training.events import read_events

LONG = ("--budget", "1_000_000 steps", *QUICK[2:], "--set", "training.early_stopping=0")
"""A training that only a signal ends."""


def start(folder: Path, *words: str | Path, **more: Any) -> subprocess.Popen[str]:
    """Start a command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "trainwright.cli.main", *map(str, words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **more,
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Wait until something is so, as long as the process lives."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


# What machines read.


def test_json_is_one_document_and_nothing_else(shell: Shell, data: str) -> None:
    answer = shell.succeed("train", data, "-t", "churn", "--run", "run", "--json", *QUICK)
    assert answer.err == ""
    made = json.loads(answer.out)
    assert made["run"] == "run"
    assert Path(made["model"]).is_dir()
    assert Path(made["report"]).is_file()
    assert 0 <= made["metrics"]["test"]["accuracy"] <= 1
    for words in (
        ("evaluate", "run", data, "--json"),
        ("runs", ".", "--json"),
        ("compare", "run", "run", "--json"),
        ("schema",),
    ):
        answer = shell.succeed(*words)
        assert answer.err == "", words
        assert json.loads(answer.out), words


def test_json_of_a_whole_process_is_clean_too(shell: Shell, data: str) -> None:
    process = start(shell.folder, "train", data, "-t", "churn", "--json", *QUICK)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")  # no library warns, at import or at exit
    assert Path(shell.folder, json.loads(out)["report"]).is_file()


def test_json_survives_a_terminal_without_unicode(shell: Shell) -> None:
    write_csv(shell.folder / "good.csv", customers(40, **{"größe": list(range(40))}))
    shell.succeed("train", "good.csv", "-t", "churn", "--run", "läufe", "--quiet", *QUICK)
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "trainwright.cli.main", "runs", ".", "--json"],
        cwd=shell.folder,
        capture_output=True,
        env=env,
        check=True,
    )
    assert json.loads(done.stdout.decode("ascii"))[0]["run"] == "läufe"


def test_quiet_says_only_where_the_run_is(shell: Shell, data: str) -> None:
    answer = shell.succeed("train", data, "-t", "churn", "--run", "run", "--quiet", *QUICK)
    assert (answer.out, answer.err) == ("run\n", "")
    answer = shell.succeed("predict", "run", data, "-o", "out.csv", "--quiet")
    assert (answer.out, answer.err) == ("out.csv\n", "")


def test_results_go_to_standard_error_so_that_the_path_can_be_piped(shell: Shell, data: str) -> None:
    answer = shell.succeed("train", data, "-t", "churn", "--run", "run", *QUICK)
    assert answer.out == "run\n"
    assert "report.html" in answer.err
    assert "\x1b[" not in answer.err  # no colours, no bars: nobody is watching


def test_predictions_come_row_by_row_in_every_format(
    shell: Shell, data: str, copied: Callable[[str], Path]
) -> None:
    copied("run")
    read = {".csv": pl.read_csv, ".jsonl": pl.read_ndjson, ".parquet": pl.read_parquet}
    frames = {}
    for ending, reader in read.items():
        words = ("predict", "run", data, "-o", f"new/out{ending}", "--keep", "age")
        assert shell.succeed(*words).out.strip() == f"new/out{ending}"
        frames[ending] = reader(shell.folder / "new" / f"out{ending}")
    for frame in frames.values():
        assert frame["age"].cast(pl.Float64).to_list() == customers()["age"]  # copied as it was written
        assert frame["churn"].to_list() == frames[".csv"]["churn"].to_list()
    plain = shell.succeed("predict", "run", data, "-o", "plain.csv", "--no-probabilities")
    assert plain.code == 0
    assert "churn: probability of yes" not in pl.read_csv(shell.folder / "plain.csv").columns


def test_a_query_says_which_rows_of_a_database(shell: Shell, copied: Callable[[str], Path]) -> None:
    copied("run")
    with closing(sqlite3.connect(shell.folder / "shop.db")) as connection:
        pl.DataFrame(customers()).to_pandas().to_sql("customers", connection, index=False)
        connection.execute("CREATE TABLE orders (id)")
        connection.commit()
    shell.refuse("evaluate", "run", "shop.db", says=["customers, orders", "--query"])
    query = "SELECT * FROM customers WHERE age > 50"
    shell.succeed("predict", "run", "shop.db", "-o", "old.csv", "--query", query)
    answer = shell.succeed("evaluate", "run", "shop.db", "--query", query, "--json")
    assert json.loads(answer.out)["rows"] == len(pl.read_csv(shell.folder / "old.csv")) < 60


def test_no_password_of_the_command_line_is_repeated(shell: Shell) -> None:
    url = "postgresql://me:s3cret@host/shop"
    for words in (
        (url,),
        ("predict", "run", "d.csv", url, "-o", "p.csv"),
        ("train", "d", f"--set=data.pth={url}"),
    ):
        assert "s3cret" not in shell.refuse(*words, says="postgresql://me:***@host/shop")


def test_flags_and_a_recipe_make_the_same_run(shell: Shell, data: str) -> None:
    shell.succeed("init", data, "-t", "churn", "-o", "recipe.yaml")
    shell.succeed("train", "recipe.yaml", "--run", "one", "--quiet", *QUICK)
    shell.succeed("train", data, "-t", "churn", "--run", "two", "--quiet", *QUICK)
    answer = shell.succeed("compare", "one", "two", "--json")
    for metric in json.loads(answer.out)["targets"]["churn"]["metrics"]:
        assert metric["first"] == metric["second"]


# Signals and pipes.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_one_interrupt_keeps_the_model_and_resume_goes_on(
    shell: Shell, data: str, number: signal.Signals
) -> None:
    run = shell.folder / "run"
    process = start(shell.folder, "train", data, "-t", "churn", "--run", "run", *LONG)
    wait_until(lambda: any(event["kind"] == "step" for event in read_events(run / "events.jsonl")), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "the model is kept" in err
    assert "trainwright resume run" in err
    assert "Traceback" not in err
    assert out == "run\n"
    shell.succeed("predict", "run", data, "-o", "out.csv")
    (stop,) = (event for event in read_events(run / "events.jsonl") if event["kind"] == "stop")
    assert stop["reason"] == "interrupted"
    again = start(shell.folder, "resume", "run")
    wait_until(
        lambda: any(
            event["kind"] == "step" and event["step"] > stop["step"]
            for event in read_events(run / "events.jsonl")
        ),
        again,
    )
    again.send_signal(number)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 130, err
    kinds = [event["kind"] for event in read_events(run / "events.jsonl")]
    assert (kinds.count("start"), kinds.count("stop")) == (2, 2)


def test_an_interrupt_before_anything_is_learned_ends_at_once(shell: Shell) -> None:
    os.mkfifo(shell.folder / "slow.csv")  # a source that never answers
    process = start(shell.folder, "train", "slow.csv", "-t", "y", "--run", "run")
    wait_until(lambda: _has_reader(shell.folder / "slow.csv"), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert not (shell.folder / "run").exists()


def _has_reader(fifo: Path) -> bool:
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_a_reader_that_goes_away_is_no_fault(shell: Shell) -> None:
    done = subprocess.run(
        f"'{sys.executable}' -m trainwright.cli.main schema | head -n 1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        cwd=shell.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["{", "0"]
    assert done.stderr == ""


# Faults.


def test_a_fault_of_ours_says_so_in_one_line(
    shell: Shell, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("trainwright.workshop.train.prepare", fail)
    sentence = shell.refuse(
        "train", data, "-t", "churn", says=["fault of Trainwright", "ZeroDivisionError: a", "--debug"], code=1
    )
    assert "b)" not in sentence
    with pytest.raises(ZeroDivisionError):
        shell("train", data, "-t", "churn", "--debug")


def test_debug_shows_the_traceback(shell: Shell, data: str) -> None:
    process = start(shell.folder, "train", data, "-t", "chrun", "--debug")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert "Traceback (most recent call last)" in err
    assert err.rstrip().endswith("did you mean 'churn'?")


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …")],
    ids=["python", "torch"],
)
def test_a_machine_without_memory_is_told_what_to_change(
    shell: Shell, data: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("trainwright.workshop.train.prepare", fail)
    shell.refuse("train", data, "-t", "churn", says=["out of memory", "model.size", "training.batch"])


# Words that are nearly right.


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian", "good.csv"], ["'trian'", "did you mean 'train'?"]),
        (["fit", "good.csv"], ["'fit'", "train, resume, launch-files, predict"]),
        (
            ["good.csv", "--target", "churn"],
            ["verb is missing", "did you mean 'trainwright train good.csv'?"],
        ),
        (["train"], ["trainwright train", "DATA is missing", "file, folder, glob"]),
        (["train", "good.csv", "churn"], ["'churn'", "did you mean '--target churn'?"]),
        (["train", "good.csv", "a", "b"], ["'a b'", "--help"]),
        (["train", "good.csv", "--targte", "churn"], ["'--targte'", "did you mean '--target'?"]),
        (["train", "good.csv", "--epochs", "10"], ["'--epochs'", "--budget"]),
        (["train", "good.csv", "--target"], ["'--target'", "give it a value"]),
        (["train", "good.csv", "-t", "churn", "--seed", "x"], ["--seed must be a whole number"]),
        (["train", "good.csv", "-t", "churn", "--seed", "-1"], ["--seed -1", "from 0"]),
        (["predict", "run", "good.csv"], ["--output is missing", ".csv, .jsonl or .parquet"]),
        (["--jsn"], ["'--jsn'"]),
        (["demo", "digit"], ["'digit'", "did you mean 'digits'?"]),
        (["train", "god.yaml"], ["god.yaml", "no such file"]),
        (["runs"], ["runs", "train something first"]),
        (["resume", "good.csv"], ["good.csv", "a file, not a folder"]),
        (["report", "nowhere"], ["nowhere", "no such folder"]),
        (["compare", "nowhere", "nowhere"], ["nowhere", "no such folder"]),
        (["train", "good.csv", "-t", "Churn"], ["'Churn'", "did you mean 'churn'?"]),
        (["train", "good.csv", "-t", ""], ["''"]),
        (["train", "", "-t", "churn"], ["data.path is empty"]),
    ],
)
def test_a_word_that_is_nearly_right(shell: Shell, data: str, words: Sequence[str], says: list[str]) -> None:
    assert data == "good.csv"
    shell.refuse(*words, says=says)


def test_a_recipe_is_never_replaced_unasked(shell: Shell, data: str) -> None:
    (shell.folder / "recipe.yaml").write_text("mine\n")
    shell.refuse("init", data, "-t", "churn", says=["recipe.yaml", "there already", "--force"])
    assert (shell.folder / "recipe.yaml").read_text() == "mine\n"
    shell.succeed("init", data, "-t", "churn", "--force")
    assert "mine" not in (shell.folder / "recipe.yaml").read_text()


def test_what_is_no_run_or_not_yet_finished(shell: Shell, copied: Callable[[str], Path]) -> None:
    run = copied("run")
    (shell.folder / "empty").mkdir()
    shell.refuse("resume", "empty", says=["empty", "not a run folder"])
    shell.refuse("resume", "run", says=["run", "finished"])
    (run / "evaluation.json").unlink()
    shell.refuse("report", "run", says=["run", "not been judged", "trainwright resume run"])
    shell.refuse("compare", "run", "run", says=["run", "not been judged"])


def test_help_and_version(shell: Shell) -> None:
    assert shell.succeed("--version").out == f"{__version__}\n"
    top = shell.succeed("--help").out
    assert shell.succeed().out == top  # without a word, the same
    verbs = ("train", "resume", "predict", "evaluate", "init", "schema", "report", "runs", "compare", "demo")
    for verb in verbs:
        assert f"  {verb} " in top
        answer = shell.succeed(verb, "--help")
        assert answer.out.startswith(f"Usage: trainwright {verb}")
        assert answer.err == ""
