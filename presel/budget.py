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

from presel.checks import whole_number
from presel.errors import InputError

WHERE = "presel.budget.allocate"


def allocate(weights: ArrayLike, supply: ArrayLike, total: int, *, held: ArrayLike | None = None) -> NDArray[np.int64]:
    """Seats per task, in proportion to `weights`, never above `supply`.

    weights float[M] >= 0, any scale; supply int[M] >= 0; total >= 0. held int[M] >= 0, None for none: seats that are taken
    already; `supply`, `total` and the result are about further seats, and the sequence goes on from there, so a task that
    holds more than its share gets none until the others have caught up. Returns int64[M] whose sum is exactly
    `min(total, supply.sum())` (the difference to `total` is the shortfall) and of which no entry ever falls when
    `total` grows. Equal claims go to the lowest index, so pass tasks sorted by name. A task of weight zero gets seats
    only after all others are full, equally with its like; all weights zero means equal weights.
    Raises InputError for shapes that differ, negative or non-finite weights, fractional or negative supply.
    """
    weight, room = _arguments(weights, supply)
    taken = np.zeros_like(room) if held is None else _arguments(weights, held)[1]
    seats = np.zeros(len(weight), dtype=np.int64)
    left = min(whole_number(total, WHERE, name="total", least=0), int(room.sum()))
    for group, claim in ((weight > 0, weight), (weight == 0, np.ones_like(weight))):
        seats[group] = _sainte_lague(claim[group], room[group], min(left, int(room[group].sum())), taken[group])
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


def _arguments(weights: ArrayLike, supply: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    weight, room = np.asarray(weights, dtype=np.float64), np.asarray(supply)
    if weight.ndim != 1 or weight.shape != room.shape:
        raise InputError(
            "weights and supply must name the same tasks", where=WHERE, expected=f"[{weight.size}]", got=room.shape
        )
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise InputError("weights must be finite and not negative", where=WHERE, expected=">= 0", got=weight.tolist())
    whole = room.astype(np.int64)
    if room.dtype.kind not in "iuf" or (whole != room).any() or (whole < 0).any():
        raise InputError("supply must be whole and not negative", where=WHERE, expected="int >= 0", got=room.tolist())
    return weight, whole
