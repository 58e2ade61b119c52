"""Blocks on threads: order of results, and a BLAS limit that is lifted again."""

from __future__ import annotations

import threading
import time

import pytest

from presel.concurrency import blocks
from presel.concurrency.blocks import cores, each, one_blas_thread


def blas_threads() -> list[int]:
    from threadpoolctl import threadpool_info

    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_results_come_in_the_order_of_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    seen: set[int] = set()

    def slow_first(item: int) -> int:
        seen.add(threading.get_ident())
        time.sleep(0.02 if item == 0 else 0.001)
        return item * item

    assert each(slow_first, list(range(20))) == [item * item for item in range(20)]
    assert 1 < len(seen) <= 3


def test_an_error_in_a_block_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        each(lambda item: 1 // item, [3, 2, 1, 0])


def test_blas_is_limited_inside_and_restored_by_the_last_of_overlapping_holders() -> None:
    blocks._controller.cache_clear()  # libraries that other tests have loaded since are none that numpy uses
    before = blas_threads()
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    assert set(blas_threads()) <= {1}
    first.__exit__(None, None, None)
    assert set(blas_threads()) <= {1}
    second.__exit__(None, None, None)
    assert blas_threads() == before


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("2,1", 2)])
def test_the_usual_variable_sets_the_threads(monkeypatch: pytest.MonkeyPatch, value: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert cores() == threads


@pytest.mark.parametrize("value", ["", "0", "many"])
def test_an_unusable_value_leaves_the_choice_to_the_machine(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert cores() >= 1
