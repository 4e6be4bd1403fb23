"""Start-up: importing the package and asking for help load nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    *("torch", "polars", "numpy", "sklearn", "scipy", "transformers", "tokenizers", "safetensors", "rich"),
    *("pandas", "pyarrow", "PIL", "soundfile", "soxr", "jinja2", "fsspec", "ruamel", "asyncio"),
)
"""Packages that take tens of milliseconds or more to import. Typer loads pydantic itself, for options."""

BARE = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def modules_after(code: str, *arguments: str) -> set[str]:
    """Return the top-level modules that a new process has loaded after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {BARE}", *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("import trainwright", ()),
        ("import trainwright; dir(trainwright)", ()),
        ("from trainwright.cli.main import main; main()", ("--help",)),
        ("from trainwright.cli.main import main; main()", ("train", "--help")),
        ("from trainwright.cli.main import main; main()", ("--version",)),
        ("from trainwright.cli.main import main; main()", ("trian",)),
    ],
    ids=["import", "dir", "help", "train help", "version", "mistake"],
)
def test_nothing_heavy_is_imported(code: str, arguments: tuple[str, ...]) -> None:
    loaded = modules_after(code, *arguments)
    assert "trainwright" in loaded
    assert not loaded & set(HEAVY)


def test_the_guard_sees_what_is_imported() -> None:
    assert "numpy" in modules_after("import trainwright.data.table")


def test_reading_a_recipe_needs_no_torch() -> None:
    loaded = modules_after(
        "import trainwright.recipe.reader, trainwright.features.base, trainwright.data.open"
    )
    assert not loaded & {"torch", "sklearn", "transformers", "PIL"}
