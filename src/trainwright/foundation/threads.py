"""Work that threads share out, with results in the order of what they were made from."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int) -> Iterator[Result]:
    """Yield `work(item)` for each item, in order; threads are at most `threads` items ahead.

    Items are taken in the caller's thread, and no more of them than are worked on, so that memory does not
    follow their number. The first error ends it; what was begun is waited for.

    Args:
        work: what threads do; most of it should let other threads go on, as NumPy, polars and Arrow do.
        items: what it is done with.
        threads: 1 does it here.
    """
    if threads == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="in-order") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
