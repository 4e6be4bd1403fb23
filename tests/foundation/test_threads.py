"""Threads give results in order, take no more than they work on, and end with the first error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.foundation.threads import in_order


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_results_come_in_order(pauses: list[int], threads: int) -> None:
    def work(item: tuple[int, int]) -> int:
        time.sleep(item[1] / 1000)
        return item[0]

    assert list(in_order(work, enumerate(pauses), threads=threads)) == list(range(len(pauses)))


def test_threads_work_side_by_side_and_not_far_ahead() -> None:
    together = threading.Barrier(3, timeout=30)
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while taken < 9:
            taken += 1
            yield taken

    results = in_order(lambda item: together.wait() or item, items(), threads=3)
    next(results)
    assert taken == 4
    assert len(list(results)) == 8


@pytest.mark.parametrize("threads", [1, 3])
def test_the_first_error_ends_it(threads: int) -> None:
    done: list[int] = []

    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        done.append(item)
        return item

    found: list[int] = []
    with pytest.raises(ValueError, match="two"):
        found.extend(in_order(work, range(100), threads=threads))
    assert found == [0, 1]
    assert len(done) < 10
    assert not any(thread.name.startswith("in-order") for thread in threading.enumerate())


def test_who_stops_asking_leaves_no_thread_behind() -> None:
    results = in_order(lambda item: item, range(1000), threads=2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("in-order") for thread in threading.enumerate())
