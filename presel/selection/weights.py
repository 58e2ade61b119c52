"""From relevance scores to task weights: `w_i = softmax(-s_i / tau)`, s_i the mean IRS of task i, tau = 1 / sqrt(M).

Equation and temperature are PreSel's (CVPR 2025, arXiv 2503.07591); with every option off this module is `paper` mode.
The softmax is steep: an IRS gap of 0.2 is a weight ratio of 1.33 among 2 tasks and of 15.9 among 191, so the noise of a
small reference set becomes money. Hence the options, each off by default: a trimmed mean against single absurd losses,
empirical-Bayes shrinkage toward the pool mean (weak evidence moves a weight less), a floor, and a size prior.
Bootstrap intervals say how far a score or a weight could have come out otherwise.

Scores that are NaN or infinite are ignored here (upstream they are rejects, counted); a task without a single finite
score takes the mean score of the others, so it neither gains nor loses.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from presel.errors import InputError
from presel.selection.checks import numbers, real_number, whole_number

Floats = NDArray[np.float64]
Estimator = Literal["mean", "trimmed"]
TRIM = 0.1
"""Share of scores that the trimmed mean leaves out at each end."""


def task_weights(mean_relevance: ArrayLike, temperature: float | None = None) -> Floats:
    """Softmax of `-mean_relevance / temperature`.

    mean_relevance float[M], the mean IRS of each task (low = the question matters = a larger weight); not finite means
    "no score" and counts as the mean of the others, all not finite means equal weights. temperature > 0, None for the
    paper's 1 / sqrt(M). Returns float64[M] > 0 or underflowed to 0, sum 1. Raises InputError for a wrong shape or
    temperature.
    """
    score = fill_unscored(_vector(mean_relevance, "presel.selection.weights.task_weights"))
    if len(score) == 0:
        return score
    tau = usable_temperature(temperature, len(score), "presel.selection.weights.task_weights")
    if not np.isfinite(score).all():
        return np.full(len(score), 1 / len(score))
    # Shifted by the best task's score: the largest exponent is 0, so nothing overflows.
    with np.errstate(over="ignore"):
        raw: Floats = np.exp((score.min() - score) / tau)
    # fsum rounds once, so the order of the tasks does not matter.
    return np.asarray(raw / math.fsum(raw))


def imported_weights(given: Sequence[ArrayLike]) -> Floats:
    """Weights that were given, scaled to sum 1; float64[M]. A task without one takes the mean; all zero: equal weights."""
    known = [np.asarray(values, dtype=np.float64).ravel() for values in given]
    weight = fill_unscored(np.array([values[0] if len(values) else math.nan for values in known], dtype=np.float64))
    total = math.fsum(weight)
    return np.asarray(weight / total) if total > 0 else np.full(len(weight), 1 / max(1, len(weight)))


def default_temperature(tasks: int) -> float:
    """The paper's tau = 1 / sqrt(M)."""
    return 1 / math.sqrt(tasks)


def usable_temperature(temperature: float | None, tasks: int, where: str) -> float:
    """The temperature asked for, or the paper's; InputError unless it is a finite number above 0."""
    if temperature is None:
        return default_temperature(tasks)
    tau = real_number(temperature, where, name="temperature", expected="> 0")
    if not 0 < tau < math.inf:
        raise InputError("`temperature` is out of range", where=where, expected="> 0", got=temperature)
    return tau


def mean_relevance(
    relevance_by_task: Sequence[ArrayLike], *, estimator: Estimator = "mean", shrink: bool = False
) -> Floats:
    """One score per task from the IRS of its reference samples, float64[M].

    estimator "mean" (paper) or "trimmed" (TRIM of the scores dropped at each end). shrink: see `shrink_to_pool`.
    A task without a finite score gets the mean score of the others; NaN only when no task has one.
    """
    scored = finite_scores(relevance_by_task)
    centre = _estimator(estimator)
    score = np.array([centre(values) if len(values) else math.nan for values in scored], dtype=np.float64)
    if shrink:
        score = shrink_to_pool(score, scored)
    return fill_unscored(score)


def shrink_to_pool(score: ArrayLike, scored: Sequence[Floats]) -> Floats:
    """Empirical-Bayes estimate (James-Stein with unequal variances): `mu + t2 / (t2 + v_i) (s_i - mu)`.

    v_i is the squared standard error of task i, mu the mean over tasks, t2 the spread between tasks beyond what the
    v_i explain (method of moments, never negative). When noise explains all differences, all scores become mu.
    Variances come from the pooled within-task variance, which 8 samples cannot give for one task alone.
    """
    means = _vector(score, "presel.selection.weights.shrink_to_pool")
    known = np.isfinite(means)
    if known.sum() < 2:
        return means
    counts = np.array([len(values) for values in scored], dtype=np.float64)
    error = within_variance(scored) / counts[known]
    centre = means[known].mean()
    between = max(0.0, float(means[known].var(ddof=1) - error.mean()))
    total = between + error
    keep = np.divide(between, total, out=np.ones_like(total), where=total > 0)
    shrunk = means.copy()
    shrunk[known] = centre + keep * (means[known] - centre)
    return shrunk


def adjusted_weights(
    weights: ArrayLike, *, sizes: ArrayLike | None = None, size_prior: float = 0.0, floor: float = 0.0
) -> Floats:
    """Weights after a size prior and a floor; both zero returns them unchanged (paper: size plays no part).

    size_prior p in [0, 1] multiplies each weight by size^p (1: a task twice as large gets twice as much) and needs
    `sizes`. floor f in [0, 1] mixes in equal shares, so that no task gets less than f / M. Sum 1 in, sum 1 out.
    """
    where = "presel.selection.weights.adjusted_weights"
    weight = _vector(weights, where)
    for name, value in (("size_prior", size_prior), ("floor", floor)):
        if not 0 <= real_number(value, where, name=name, expected="0 to 1") <= 1:
            raise InputError(f"`{name}` is out of range", where=where, expected="0 to 1", got=value)
    if len(weight) == 0:
        return weight
    if size_prior > 0:
        size = _vector([] if sizes is None else sizes, where)
        if size.shape != weight.shape or not (np.isfinite(size) & (size >= 0)).all():
            raise InputError(
                "a size prior needs one size for each task",
                where=where,
                expected=f"{len(weight)} finite numbers >= 0",
                got=sizes,
            )
        weight = weight * size**size_prior
        total = math.fsum(weight)
        weight = weight / total if total > 0 else np.full(len(weight), 1 / len(weight))
    return (1 - floor) * weight + floor / len(weight) if floor > 0 else weight


def bootstrap_intervals(
    relevance_by_task: Sequence[ArrayLike],
    *,
    seed: int,
    draws: int = 1000,
    level: float = 0.9,
    temperature: float | None = None,
    estimator: Estimator = "mean",
    of: Literal["relevance", "weight"] = "relevance",
) -> tuple[Floats, Floats]:
    """Percentile bootstrap (low, high), float64[M] each, of every task's score, or of its weight with `of="weight"`.

    Each draw resamples every task's scores with replacement; weights are recomputed per draw, so that their intervals
    include what the other tasks' noise does to them. A task with one sample has an interval of width zero: read
    `presel.selection.reference_verdict` beside it. A task's draws depend on `seed` and its own scores alone, not on its
    position.
    seed >= 0, draws >= 1, level between 0 and 1; InputError otherwise.
    """
    where = "presel.selection.weights.bootstrap_intervals"
    seed, draws = whole_number(seed, where, name="seed", least=0), whole_number(draws, where, name="draws", least=1)
    if not 0 < real_number(level, where, name="level", expected="between 0 and 1") < 1:
        raise InputError("`level` is out of range", where=where, expected="between 0 and 1", got=level)
    if of not in ("relevance", "weight"):
        raise InputError("intervals of what is unknown", where=where, expected="relevance or weight", got=of)
    scored = finite_scores(relevance_by_task)
    drawn = np.array([_drawn_scores(values, seed, draws, estimator) for values in scored]).reshape(len(scored), draws)
    drawn = np.array([fill_unscored(column) for column in drawn.T]).reshape(draws, len(scored))
    if of == "weight":
        drawn = np.array([task_weights(row, temperature) for row in drawn]).reshape(draws, len(scored))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def finite_scores(relevance_by_task: Sequence[ArrayLike]) -> list[Floats]:
    """Each task's finite scores, ascending: sums no longer depend on the order in which samples came."""
    tasks = [numbers(values, "presel.selection.weights", name="relevance").ravel() for values in relevance_by_task]
    return [np.sort(values[np.isfinite(values)]) for values in tasks]


def within_variance(scored: Sequence[Floats]) -> float:
    """Pooled variance of a score inside its task; 0 when no task has two scores."""
    freedom = sum(max(0, len(values) - 1) for values in scored)
    squares = math.fsum(float(((values - values.mean()) ** 2).sum()) for values in scored if len(values) > 1)
    return squares / freedom if freedom else 0.0


def fill_unscored(score: Floats) -> Floats:
    """Tasks without a score get the mean of the others; all without: unchanged."""
    known = np.isfinite(score)
    if known.all() or not known.any():
        return np.where(known, score, math.nan)
    return np.where(known, score, math.fsum(score[known]) / int(known.sum()))


def _drawn_scores(values: Floats, seed: int, draws: int, estimator: Estimator) -> Floats:
    if len(values) == 0:
        return np.full(draws, math.nan)
    digest = hashlib.blake2b(values.tobytes(), digest_size=16).digest()
    generator = np.random.default_rng([seed, *np.frombuffer(digest, dtype=np.uint32).tolist()])
    centre = _estimator(estimator)
    # One draw at a time keeps memory at one task's scores; 1,000 draws of 500 scores take 20 ms.
    return np.array([centre(values[generator.integers(0, len(values), len(values))]) for _ in range(draws)])


def _estimator(name: Estimator) -> Callable[[Floats], float]:
    known: dict[str, Callable[[Floats], float]] = {"mean": _plain_mean, "trimmed": _trimmed_mean}
    if name not in known:
        raise InputError("unknown estimator", where="presel.selection.weights", expected=sorted(known), got=name)
    return known[name]


def _plain_mean(values: Floats) -> float:
    return float(values.mean())


def _trimmed_mean(values: Floats) -> float:
    """Mean without the TRIM lowest and highest scores; of fewer than 1 / TRIM scores none is dropped."""
    cut = int(len(values) * TRIM)
    return float(np.sort(values)[cut : len(values) - cut].mean())


def _vector(value: ArrayLike, where: str) -> Floats:
    vector = numbers(value, where, name="numbers")
    if vector.ndim != 1:
        raise InputError("one number for each task is needed", where=where, expected="float[M]", got=vector.shape)
    return vector
