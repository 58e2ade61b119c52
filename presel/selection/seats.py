"""From scores to seats: what each task weighs, how large the budget is, and how it is divided (METHOD, steps 4 and 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from presel.selection import weights
from presel.selection.budget import allocate
from presel.selection.reference_verdict import reference_verdict

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Weighing(Protocol):
    """How scores become weights: `presel.config.WeightsConfig` says what each is for."""

    @property
    def temperature(self) -> float | None: ...
    @property
    def estimator(self) -> weights.Estimator: ...
    @property
    def shrinkage(self) -> bool: ...
    @property
    def floor(self) -> float: ...
    @property
    def size_prior(self) -> float: ...


@dataclass(frozen=True)
class Weighed:
    """Per task, in task order: `scored` samples, mean IRS with its interval, weight; and the verdict on the reference set.

    `unknown`: how many tasks have neither a score nor a weight, and weigh as the mean of the others.
    """

    scored: Counts
    irs: Floats
    low: Floats
    high: Floats
    weight: Floats
    verdict: str
    unknown: int

    def row(self, task: int) -> dict[str, Any]:
        """One task's numbers; None for an IRS that is not known."""
        irs, low, high = (float(values[task]) for values in (self.irs, self.low, self.high))
        interval = {"irs": irs, "irs_low": low, "irs_high": high}
        known = {name: value if math.isfinite(value) else None for name, value in interval.items()}
        return {"scored": int(self.scored[task]), **known, "weight": float(self.weight[task])}


def weigh(
    scores: Sequence[Floats], sizes: Sequence[int], config: Weighing, seed: int, *, given: Sequence[Floats] = ()
) -> Weighed:
    """Task weights from the IRS of every task's reference samples; sizes: usable samples of each task.

    A task without a score takes the others' mean; without any score all weigh the same. `given`: weights that were
    imported, one number or none for each task; if there is any, no IRS is asked, and no size prior is laid on them.
    """
    scored = np.array([int(np.isfinite(values).sum()) for values in scores], dtype=np.int64)
    irs = weights.mean_relevance(scores, estimator=config.estimator, shrink=config.shrinkage)
    low, high = weights.bootstrap_intervals(
        scores, seed=seed, level=0.95, temperature=config.temperature, estimator=config.estimator
    )
    imported = any(len(values) for values in given)
    raw = weights.imported_weights(given) if imported else weights.task_weights(irs, config.temperature)
    prior = 0.0 if imported else config.size_prior
    weight = weights.adjusted_weights(raw, sizes=sizes, size_prior=prior, floor=config.floor)
    known = np.array([len(values) for values in given]) if imported else scored
    verdict = (
        "The weights were imported." if imported else reference_verdict(scores, temperature=config.temperature).text
    )
    return Weighed(scored, irs, low, high, weight, verdict, int((known == 0).sum()))


@dataclass(frozen=True)
class Seats:
    """quota: what each task gets. shortfall: what it would have got beyond its supply. unplaced: seats nobody could take."""

    quota: Counts
    shortfall: Counts
    unplaced: int


def divide(weight: Floats, supply: Sequence[int], total: int, held: Sequence[int] | None = None) -> Seats:
    """`total` seats by weight, capped by supply; overflow is handed on in proportion to weight (METHOD, "Exactness").

    `held` seats are taken already and count toward a task's share: the division goes on where they end. A `total` below 0,
    where more seats are taken than the budget has, divides nothing.
    """
    total = max(0, total)
    quota = allocate(weight, supply, total, held=held)
    unlimited = allocate(weight, np.full(len(supply), total), total, held=held)
    return Seats(quota, np.maximum(0, unlimited - quota), total - int(quota.sum()))


def budget_size(samples: int, share: float) -> int:
    """B: how many samples may be instructed in all, reference set included. Rounded down: a cap is a cap.

    share * samples is taken as a decimal number: 0.15 * 20 is 3, although its float64 product may lie a hair below.
    """
    return math.floor(share * samples + 1e-9)
