"""Running ahead: results in order, a bounded number of them in the making.

The threads belong to the process, not to a part: ten parts that are embedded at once share the same readers and the same
decoders, one for each core, where ten pools would fight over them.
"""

from __future__ import annotations

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


@lru_cache(maxsize=8)
def shared_pool(name: str, threads: int) -> Executor:
    """The pool of that name; started when it is first used, ended with the process."""
    return ThreadPoolExecutor(threads, name)


def ahead(work: Callable[[Item], Result], items: Iterable[Item], pool: Executor, window: int) -> Iterator[Result]:
    """`map(work, items)` on a pool, in order, at most `window` results unclaimed.

    Unlike Executor.map it takes from `items` only as results are claimed, so stages may be chained and memory stays bounded.
    When the consumer stops early, what has not begun is cancelled.
    """
    pending: deque[Future[Result]] = deque()
    source = iter(items)
    try:
        for item in source:
            pending.append(pool.submit(work, item))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
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
        spent = time.perf_counter() - self._local.started
        with self._lock:
            self.total += spent
