"""Whole seats for fractional shares: Sainte-Lague (Webster) with caps.

The paper rounds `w_i x budget` and clips. Rounding loses or invents images (its scripts leave a third of the clusters
without a pick), and largest remainder is not monotone: with one more image to give, a task can lose one (the Alabama
paradox), so a 10 % set would not lie inside the 15 % set. A divisor method hands out seats one after another, the next
to the largest `w_i / (2 s_i + 1)` that still has room; a larger total only continues the sequence, so budgets nest by
construction. It stays within one seat of the paper's rounding while no cap binds, and a capped task's overflow goes to
the others in proportion to their weights. The same rule serves tasks in the pool and clusters in a task.

Handing 100,000 seats out one by one costs 41 ms in a heap. Seats that the sequence must reach are counted at once from
the price of a seat, and only the last (at most two a task) go through the heap: 0.5 ms.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import ArrayLike, NDArray

from presel.errors import InputError
from presel.selection.checks import array, numbers, whole_number

WHERE = "presel.selection.budget.allocate"
MOST_SEATS = 1 << 50
"""Up to here the seats counted at once, in float64, are right to within the one that is held back."""


def allocate(weights: ArrayLike, supply: ArrayLike, total: int, *, held: ArrayLike | None = None) -> NDArray[np.int64]:
    """Seats per task, in proportion to `weights`, never above `supply`.

    weights float[M] >= 0, any scale; supply int[M] >= 0; total >= 0, above 2^50 only where it fills every task. held
    int[M] >= 0, None for none: seats that are taken already; `supply`, `total` and the result are about further seats,
    and the sequence goes on from there, so a task that holds more than its share gets none until the others have caught
    up. Returns int64[M] whose sum is exactly `min(total, supply.sum())` (the difference to `total` is the shortfall)
    and of which no entry ever falls when `total` grows. Equal claims go to the lowest index, so pass tasks sorted by
    name. Ties are ties as floats: claims
    whose float64 quotients `w / (2 s + 1)` round to the same number count as equal. A task of weight zero gets seats
    only after all others are full, equally with its like; all weights zero means equal weights.
    Raises InputError for shapes that differ, negative or non-finite weights, fractional or negative supply or held.
    """
    weight = _weights(weights)
    room = _counts(supply, weight, name="supply")
    taken = np.zeros_like(room) if held is None else _counts(held, weight, name="held")
    left = whole_number(total, WHERE, name="total", least=0)
    # Sums of Python integers: supplies may mean "no limit", and their int64 sum would wrap.
    if left >= sum(room.tolist()):
        return room
    if left > MOST_SEATS:
        raise InputError("`total` is too large", where=WHERE, expected=f"<= {MOST_SEATS}", got=left)
    room = np.minimum(room, left)
    seats = np.zeros(len(weight), dtype=np.int64)
    for group, claim in ((weight > 0, weight), (weight == 0, np.ones_like(weight))):
        seats[group] = _sainte_lague(claim[group], room[group], min(left, sum(room[group].tolist())), taken[group])
        left -= int(seats[group].sum())
    return seats


def _sainte_lague(
    weight: NDArray[np.float64], room: NDArray[np.int64], total: int, held: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The next `total` seats of the sequence after those held; weights are positive and `total` fits into `room`."""
    # With seats held there is no short cut: the heap hands out every one (0.1 s per 100,000).
    seats = np.zeros_like(room) if held.any() else _certain_seats(weight, room, total)
    claims, rooms, before, taken = weight.tolist(), room.tolist(), held.tolist(), seats.tolist()

    def price(i: int) -> float:
        return float(-claims[i] / (2 * (before[i] + taken[i]) + 1))

    queue = [(price(i), i) for i in range(len(claims)) if taken[i] < rooms[i]]
    heapq.heapify(queue)
    for _ in range(total - sum(taken)):
        i = queue[0][1]
        taken[i] += 1
        if taken[i] < rooms[i]:
            heapq.heapreplace(queue, (price(i), i))
        else:
            heapq.heappop(queue)
    return np.array(taken, dtype=np.int64)


def _certain_seats(weight: NDArray[np.float64], room: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Seats that the first `total` steps reach whatever the ties: those dearer than a price nobody can undercut.

    At a price p, task i claims floor((w_i/p + 1)/2) seats; with p = W/(2R - M) over the M open tasks the claims sum
    to at most the R seats left. One seat is held back per task, so rounding of p can never grant one too many.
    """
    seats = np.zeros(len(weight), dtype=np.int64)
    unfilled = np.flatnonzero(room > 0)
    while len(unfilled):
        left = total - int(seats.sum() - seats[unfilled].sum())
        spread = 2 * left - len(unfilled)
        if spread <= 0:
            break
        # Scaling by a power of two keeps the price of very small weights in the normal range.
        claim = np.ldexp(weight[unfilled], -int(np.frexp(weight[unfilled].max())[1]))
        granted = np.floor((claim * (spread / claim.sum()) + 1) / 2) - 1
        seats[unfilled] = np.clip(granted, 0, room[unfilled])
        unfilled = unfilled[seats[unfilled] < room[unfilled]]
        if len(granted) == len(unfilled):
            break
    return seats


def _weights(value: ArrayLike) -> NDArray[np.float64]:
    weight = numbers(value, WHERE, name="weights")
    if weight.ndim != 1 or not np.isfinite(weight).all() or (weight < 0).any():
        raise InputError("weights must be finite and not negative", where=WHERE, expected=">= 0", got=weight.tolist())
    return weight


def _counts(value: ArrayLike, weight: NDArray[np.float64], *, name: str) -> NDArray[np.int64]:
    """One whole number for each weight, as an array of its own."""
    count = array(value, WHERE, name=name)
    if weight.shape != count.shape:
        raise InputError(
            f"weights and `{name}` must name the same tasks", where=WHERE, expected=list(weight.shape), got=count.shape
        )
    if count.size == 0:
        return np.zeros(0, dtype=np.int64)
    if count.dtype.kind not in "iuf" or not ((count >= 0) & (count < 2**63) & (count == np.floor(count))).all():
        raise InputError(
            f"`{name}` must be whole and not negative", where=WHERE, expected="int64 >= 0", got=count.tolist()
        )
    return count.astype(np.int64)
