"""Peers, each in an environment of its own: `NAME.txt` beside this file names its packages.

A peer sees the packages of this environment too, and so runs on the very same build of torch; what its own
file names comes first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_ENVIRONMENTS = _HERE.parent / ".venvs"


def python(name: str) -> Path:
    """Return the interpreter of a peer's environment, made on the first call."""
    folder = _ENVIRONMENTS / name
    interpreter, ready, needs = folder / "bin" / "python", folder / "ready.txt", _HERE / f"{name}.txt"
    if ready.exists() and ready.read_text() == needs.read_text():
        return interpreter
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # Site packages of this environment, behind those of the peer's own.
    (folder / "lib" / version / "site-packages" / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", needs)
    subprocess.run([interpreter, *install], check=True)
    ready.write_text(needs.read_text())
    return interpreter


def run(name: str, module: str, *words: str) -> dict[str, Any]:
    """Run `benchmarks.peers.MODULE` in a peer's environment; return the JSON of its last line of output."""
    command = [python(name), "-m", f"benchmarks.peers.{module}", *words]
    done = subprocess.run(command, check=True, cwd=_HERE.parents[1], stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
