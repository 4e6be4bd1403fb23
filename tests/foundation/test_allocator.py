"""Memory that a step frees stays with the process for the next one, and goes back at the end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trainwright.foundation import allocator

_CHILD = """
import ctypes, resource, sys
from contextlib import nullcontext
from trainwright.foundation.allocator import kept_memory

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def step():
    blocks = [library.malloc(16 << 20) for _ in range(4)]
    for block in blocks:
        ctypes.memset(block, 1, 16 << 20)
    for block in blocks:
        library.free(block)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(open("/proc/self/statm").read().split()[1])

with kept_memory() if sys.argv[1] == "kept" else nullcontext():
    step()
    before = faults()
    for _ in range(5):
        step()
    print(faults() - before)
    inside = resident()
print(inside - resident())
"""


def _run(mode: str) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", _CHILD, mode], check=True, capture_output=True, text=True)
    faults, given_back = map(int, done.stdout.split())
    return faults, given_back


@pytest.mark.skipif(allocator._glibc() is None, reason="glibc is what is told")
def test_freed_memory_is_not_faulted_in_again_and_goes_back_at_the_end() -> None:
    kept, given_back = _run("kept")
    usual, _ = _run("usual")
    assert kept < usual / 20
    assert given_back * 4096 > 40 << 20


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator._glibc() is None
    with allocator.kept_memory():
        pass
