"""Is the reference set large enough? Said plainly, with the number that would settle it.

A task's weight is `exp(-s / tau)` over a sum, so an error e in its mean IRS multiplies the weight by `exp(e / tau)`.
With z the normal quantile of the level and sigma the spread of a single score, n samples leave an error of up to
`z sigma / sqrt(n)`: among 191 tasks, 48 samples of sigma 0.18 move a weight by x1.8 through noise alone. Solving for n
gives the samples that hold the factor under a tolerance. Each task's sigma is its own variance shrunk to the pooled one
(4 pseudo-samples), because three scores that happen to agree prove nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from presel.errors import InputError
from presel.selection.checks import real_number
from presel.selection.weights import finite_scores, usable_temperature, within_variance

WHERE = "presel.selection.reference_verdict.reference_verdict"
PSEUDO_SAMPLES = 4
MOST_SAMPLES = 10**9
HOPELESS = 1_000_000
"""More samples than this are not a plan: the temperature is too low for scores this noisy."""


@dataclass(frozen=True, slots=True)
class ReferenceVerdict:
    """enough: every task's noise factor is within the tolerance. factor float64[M]: what noise alone may multiply or
    divide a weight by (inf: unknown). further int64[M]: samples still to score per task. text: all this in words."""

    enough: bool
    factor: NDArray[np.float64]
    further: NDArray[np.int64]
    text: str


def reference_verdict(
    relevance_by_task: Sequence[ArrayLike],
    *,
    temperature: float | None = None,
    level: float = 0.9,
    tolerance: float = 1.5,
) -> ReferenceVerdict:
    """Judge a reference set by what its noise does to the weights.

    tolerance > 1: the factor by which noise may change a weight at confidence `level` (0 to 1). temperature as in
    `task_weights`. `further` stops at 10^9 a task. Raises InputError for values out of range.
    With fewer than two scores in every task nothing is known and the verdict says so.
    """
    wanted = real_number(tolerance, WHERE, name="tolerance", expected="> 1")
    if not (1 < wanted < math.inf and 0 < real_number(level, WHERE, name="level", expected="between 0 and 1") < 1):
        raise InputError(
            "tolerance or level out of range",
            where=WHERE,
            expected="tolerance > 1, 0 < level < 1",
            got=(tolerance, level),
        )
    scored = finite_scores(relevance_by_task)
    tau = usable_temperature(temperature, max(1, len(scored)), WHERE)
    counts = np.array([len(values) for values in scored], dtype=np.int64)
    if len(scored) < 2:
        one = "Large enough: with one task there is no weight to get wrong." if scored else "There is no task."
        return ReferenceVerdict(True, np.ones(len(scored)), np.zeros(len(scored), dtype=np.int64), one)
    if counts.max() < 2:
        unknown = np.full(len(scored), math.inf)
        text = "Cannot be said: no task has two scores. Score at least two samples of each task, better thirty."
        return ReferenceVerdict(False, unknown, np.maximum(0, 2 - counts), text)
    reach = NormalDist().inv_cdf((1 + level) / 2) * _spread(scored) / tau
    factor = np.where(counts > 0, np.exp(np.minimum(reach / np.sqrt(np.maximum(counts, 1)), 700.0)), math.inf)
    needed = np.clip(np.ceil((reach / math.log(tolerance)) ** 2), 1, MOST_SAMPLES).astype(np.int64)
    further = np.maximum(0, needed - counts)
    return ReferenceVerdict(not further.any(), factor, further, _in_words(counts, factor, further, level, tolerance))


def _spread(scored: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    pooled = within_variance(scored)
    squares = np.array([float(((v - v.mean()) ** 2).sum()) if len(v) else 0.0 for v in scored])
    freedom = np.array([max(0, len(v) - 1) for v in scored])
    return np.asarray(np.sqrt((squares + PSEUDO_SAMPLES * pooled) / (freedom + PSEUDO_SAMPLES)))


def _in_words(
    counts: NDArray[np.int64],
    factor: NDArray[np.float64],
    further: NDArray[np.int64],
    level: float,
    tolerance: float,
) -> str:
    share = f"{level:.0%}"
    if not further.any():
        return (
            f"Large enough: with {share} confidence noise changes no task's weight by more than "
            f"x{factor.max():.2f} (allowed: x{tolerance:.2f})."
        )
    short = int((further > 0).sum())
    worst = _at_most(float(factor.max()))
    settle = f"{int(further.sum())} further samples would settle it, at most {int(further.max())} in one task."
    if further.max() > HOPELESS:
        settle = f"More than {HOPELESS} further samples in one task would be needed to settle it."
    return (
        f"Too small for {short} of {len(counts)} tasks: with {share} confidence noise alone may change a weight "
        f"{worst}, allowed is x{tolerance:.2f}. {settle}"
    )


def _at_most(factor: float) -> str:
    """A factor in words: beyond x1000 the digits say nothing more."""
    if not math.isfinite(factor):
        return "by an unknown factor (a task has no score)"
    return f"up to x{factor:.2f}" if factor <= 1000 else "by more than x1000"
