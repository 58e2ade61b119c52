"""Running ahead: results in order, a bounded number of them in the making.

The threads belong to the process, not to a part: ten parts that are embedded at once share the same readers and the same
decoders, one for each core, where ten pools would fight over them.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import lru_cache
from types import TracebackType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def shared_pool(name: str, threads: int) -> Executor:
    """The pool of that name; started when it is first used, ended with the process."""
    return _pool(name, threads, os.getpid())  # a fork has its parent's objects, but not its threads


@lru_cache(maxsize=8)
def _pool(name: str, threads: int, _: int) -> Executor:
    return ThreadPoolExecutor(threads, name)


def ahead(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    pool: Executor,
    window: int,
    weight: Callable[[Item], int] = lambda _: 0,
    most: int = 0,
) -> Iterator[Result]:
    """`map(work, items)` on a pool, in order, at most `window` results unclaimed, nor (but for one) more weight than `most`.

    Unlike Executor.map it takes from `items` only as results are claimed, so stages may be chained and memory stays bounded.
    When the consumer stops early, what has not begun is cancelled.
    """
    pending: deque[tuple[Future[Result], int]] = deque()
    held = 0
    try:
        for item in items:
            heavy = weight(item)
            while pending and held + heavy > most:
                held -= pending[0][1]
                yield pending.popleft()[0].result()
            pending.append((pool.submit(work, item), heavy))
            held += heavy
            if len(pending) >= window:
                held -= pending[0][1]
                yield pending.popleft()[0].result()
        while pending:
            yield pending.popleft()[0].result()
    finally:
        for future, _ in pending:
            future.cancel()


class Stopwatch:
    """Seconds of work, summed over the threads that did it: `with stopwatch: ...`."""

    def __init__(self) -> None:
        self.total = 0.0
        self._lock = threading.Lock()
        self._local = threading.local()

    def __enter__(self) -> None:
        self._local.started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.add(time.perf_counter() - self._local.started)

    def add(self, seconds: float) -> None:
        """Work that was done and timed elsewhere."""
        with self._lock:
            self.total += seconds
