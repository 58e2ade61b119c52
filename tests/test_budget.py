"""Budgets: exact sums, caps, nesting; against a plain restatement that hands out one seat after another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.errors import InputError
from presel.selection.budget import allocate

TASKS = st.lists(st.tuples(st.floats(1e-300, 1e6), st.integers(0, 40)), min_size=1, max_size=8)


def one_by_one(weights: np.ndarray, supply: np.ndarray, total: int) -> np.ndarray:
    """METHOD: the next seat to the largest w / (2 s + 1) with room left, the lowest index on ties."""
    seats = np.zeros(len(weights), dtype=int)
    for _ in range(min(total, int(supply.sum()))):
        claim = np.where(seats < supply, weights / (2 * seats + 1), -1)
        seats[claim.argmax()] += 1
    return seats


@given(TASKS, st.integers(0, 300))
def test_seats_are_those_of_the_one_by_one_sequence(tasks: list[tuple[float, int]], total: int) -> None:
    weights, supply = np.array([w for w, _ in tasks]), np.array([s for _, s in tasks])
    np.testing.assert_array_equal(allocate(weights, supply, total), one_by_one(weights, supply, total))


@given(TASKS, st.integers(0, 200), st.integers(0, 50))
def test_sums_are_exact_caps_hold_and_budgets_nest(tasks: list[tuple[float, int]], total: int, more: int) -> None:
    weights, supply = np.array([w for w, _ in tasks]), np.array([s for _, s in tasks])
    small, large = allocate(weights, supply, total), allocate(weights, supply, total + more)
    assert small.sum() == min(total, supply.sum())
    assert (small <= supply).all()
    assert (small >= 0).all()
    assert (large >= small).all()


@given(st.integers(2, 8), st.integers(0, 500), st.integers(0, 10_000))
def test_distinct_claims_do_not_depend_on_the_order_of_tasks(tasks: int, total: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    claim, order = generator.random(tasks), generator.permutation(tasks)
    supply = generator.integers(0, 100, tasks)
    np.testing.assert_array_equal(allocate(claim, supply, total)[order], allocate(claim[order], supply[order], total))


def test_a_large_pool_is_shared_within_one_seat_of_its_exact_proportions() -> None:
    weights = np.random.default_rng(0).random(1000) + 0.1
    seats = allocate(weights, np.full(1000, 10**6), 1_000_000)
    assert np.abs(seats - weights / weights.sum() * 1_000_000).max() < 1


@pytest.mark.parametrize(
    ("tasks", "weight", "total"),
    [
        (103, 0.701, 1125899906842571),
        (127, 0.419, 1125899906842621),
        (126, 0.597, 1125899906842493),
        (127, 0.838, 1125899906842621),
        (103, 0.847, 1125899906842571),
    ],
)
def test_no_seat_too_many_where_rounding_lifts_every_share_to_the_next_whole_number(
    tasks: int, weight: float, total: int
) -> None:
    """One seat less than a multiple of the tasks: their weights' float64 sum is too small, and each share too large."""
    seats = allocate(np.full(tasks, weight), np.full(tasks, total), total)
    assert int(seats.sum()) == total
    assert seats.tolist() == [seats[0]] * (tasks - 1) + [seats[0] - 1]


def test_a_billion_seats_are_counted_and_not_handed_out_one_by_one() -> None:
    """Tasks without room, that fill at once, that fill after others have, and that never fill."""
    weights = np.array([5.0, 4.0, 0.001, 3.0, 2.0, 1.0])
    supply = np.array([0, 1_000, 2_000, 400_000_000, 10**12, 10**12])
    seats = allocate(weights, supply, 10**9)
    assert seats[:4].tolist() == [0, 1_000, 2_000, 400_000_000]
    rest = 10**9 - 400_003_000
    assert int(seats.sum()) == 10**9
    assert np.abs(seats[4:] - np.array([2, 1]) / 3 * rest).max() < 1


def test_what_a_full_task_cannot_take_goes_to_the_others_by_weight() -> None:
    np.testing.assert_array_equal(allocate([0.6, 0.3, 0.1], [12, 1000, 1000], 100), [12, 66, 22])


def test_more_than_the_supply_leaves_a_shortfall_instead_of_an_invention() -> None:
    np.testing.assert_array_equal(allocate([1, 1], [3, 4], 100), [3, 4])


def test_weightless_tasks_come_last_and_share_equally() -> None:
    np.testing.assert_array_equal(allocate([0, 1, 0], [9, 2, 9], 6), [2, 2, 2])
    np.testing.assert_array_equal(allocate([0, 0], [5, 5], 4), [2, 2])


def test_extreme_ratios_of_weights_neither_overflow_nor_lose_seats() -> None:
    np.testing.assert_array_equal(allocate([5e-324, 1.0, 1e308], [10, 10, 10], 25), [5, 10, 10])


def test_supplies_without_a_limit_do_not_wrap_around() -> None:
    most = np.iinfo(np.int64).max
    assert allocate([1, 2, 3], [2**62] * 3, 10).tolist() == [2, 3, 5]
    assert allocate([0, 0, 0], [most] * 3, 10).sum() == 10
    assert allocate([1, 2], [most, most], 2**80).tolist() == [most, most]


def test_an_error_names_the_argument() -> None:
    with pytest.raises(InputError, match="`held` must be whole"):
        allocate([1.0], [1], 1, held=[-1])
    with pytest.raises(InputError, match="`held` must name the same tasks"):
        allocate([1.0], [1], 1, held=[1, 2])


def test_no_tasks_take_no_seats() -> None:
    assert allocate([], [], 7).tolist() == []


@pytest.mark.parametrize(
    ("weights", "supply", "total"),
    [
        ([np.nan], [1], 1),
        ([np.inf], [1], 1),
        ([-1.0], [1], 1),
        ([1.0], [-1], 1),
        ([1.0], [1.5], 1),
        ([1.0, 2.0], [1], 1),
        ([1.0], [1], -1),
        ([1.0], [1], 1.5),
        ([[1.0]], [[1]], 1),
        (["a"], [1], 1),
        (["1"], [1], 1),
        (None, [1], 1),
        ([10**400], [1], 1),
        ([1.0], ["1"], 1),
        ([1.0], [np.nan], 1),
        ([1.0], [2**63], 1),
        ([1.0, 1.0], [[1], [1, 2]], 1),
        ([1.0, 1.0], [2**62, 2**62], 2**62),
    ],
)
def test_unusable_arguments_are_named(weights: object, supply: object, total: object) -> None:
    with pytest.raises(InputError, match=r"presel\.selection\.budget\.allocate"):
        allocate(weights, supply, total)  # type: ignore[arg-type]


@given(TASKS, st.integers(0, 120), st.integers(0, 120))
def test_the_division_goes_on_where_an_earlier_one_ended(tasks: list[tuple[float, int]], held: int, more: int) -> None:
    weights, supply = np.array([w for w, _ in tasks]), np.array([s for _, s in tasks])
    first = allocate(weights, supply, held)
    further = allocate(weights, supply - first, more, held=first)
    np.testing.assert_array_equal(first + further, allocate(weights, supply, int(first.sum()) + more))


@given(TASKS, st.data(), st.integers(0, 120))
def test_who_holds_more_than_a_share_waits_for_the_others(
    tasks: list[tuple[float, int]], data: st.DataObject, total: int
) -> None:
    weights, supply = np.array([w for w, _ in tasks]), np.array([s for _, s in tasks])
    held = np.array([data.draw(st.integers(0, 60)) for _ in tasks])
    seats = np.zeros(len(tasks), dtype=int)
    for _ in range(min(total, int(supply.sum()))):
        claim = np.where(seats < supply, weights / (2 * (held + seats) + 1), -1)
        seats[claim.argmax()] += 1
    np.testing.assert_array_equal(allocate(weights, supply, total, held=held), seats)


@given(TASKS, st.integers(0, 100), st.integers(0, 100))
def test_going_on_from_held_seats_gives_the_larger_budget(
    tasks: list[tuple[float, int]], first: int, more: int
) -> None:
    weights, supply = np.array([w for w, _ in tasks]), np.array([s for _, s in tasks])
    held = allocate(weights, supply, first)
    further = allocate(weights, supply - held, more, held=held)
    np.testing.assert_array_equal(held + further, allocate(weights, supply, first + more))
