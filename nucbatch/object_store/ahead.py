"""Makes several requests to a store at once, so that they wait together, ahead of the use of the answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from nucbatch.object_store.path import is_address

AT_ONCE = 32
"""Small requests to a store that are made at once."""

T = TypeVar("T")
R = TypeVar("R")


def at_once(root: str | Path, here: int) -> int:
    """Returns how many small reads below a root to make at once: ``here`` from a disk, more from a store.

    >>> at_once("s3://bucket/plate", 8), at_once("/data/plate", 8)
    (32, 8)
    """
    return max(here, AT_ONCE) if is_address(str(root)) else here


def ahead(ask: Callable[[T], R], items: Iterable[T], most: int = AT_ONCE) -> Iterator[Future[R]]:
    """Calls a function for each item in threads, and yields the calls in the order of the items.

    At most ``most`` calls are made and not yet yielded, so few answers are held.

    >>> [call.result() for call in ahead(str, range(3), 2)]
    ['0', '1', '2']
    """
    rest = iter(items)
    pool = ThreadPoolExecutor(most, "nucbatch-ahead")
    try:
        calls = deque(pool.submit(ask, item) for item in islice(rest, most))
        while calls:
            yield calls.popleft()
            calls += [pool.submit(ask, item) for item in islice(rest, 1)]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def each(root: Path, ask: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yields the results of a function for each item: several calls at once below the address of a store."""
    if is_address(str(root)):
        yield from (call.result() for call in ahead(ask, items))
    else:
        yield from map(ask, items)
