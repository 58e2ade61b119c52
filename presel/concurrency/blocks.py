"""Independent blocks of work on a few threads, each block computed by one thread from start to end.

The rule that makes results independent of the number of threads: the *blocks* are fixed by the data, BLAS runs on one
thread inside a block, and partial results come back in block order. Threads then only decide when a block is computed,
never how its sums are grouped. (OpenBLAS splits one product differently for one thread and for two.) numpy releases the
interpreter lock inside products, gathers and partitions, so plain threads suffice. Sharing small products among BLAS
threads costs more than it gives: 2,000 products of 100 x 768 by 768 x 100 took 1.5 CPU-seconds on two threads that way,
and 0.7 with all of neighbour centrality around them this way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_lock = threading.Lock()
_holders = 0
_limit: Any = None


def cores() -> int:
    """Threads worth starting: OMP_NUM_THREADS where it is set, else the cores this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _controller() -> Any:
    """Found once: looking through all loaded libraries takes milliseconds, and numpy's BLAS is loaded by now."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread. Counted: of overlapping holders the first sets the limit and the last lifts it."""
    global _holders, _limit
    with _lock:
        _holders += 1
        if _holders == 1:
            _limit = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                _limit.restore_original_limits()


def each(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`[work(item) for item in items]` on `cores()` threads, results in the order of the items."""
    threads = min(cores(), len(items))
    with one_blas_thread():
        if threads <= 1:
            return [work(item) for item in items]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, items))
