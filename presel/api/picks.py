"""`presel.select` and `presel.plan`: the method on arrays, by the same functions as a run, so with the same picks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from presel.api.arguments import (
    Pool,
    Rows,
    names,
    pool_of,
    reference_rows,
    scores_by_task,
    usable,
    vectors,
    warn,
)
from presel.api.choice import Choice, NearDuplicate, choice_of, near_duplicate
from presel.selection.budget import allocate
from presel.selection.clustering import cluster_count, kmeans
from presel.selection.reference import draw_order, reference_size
from presel.selection.seats import Floats, Seats, Weighed, divide, weigh
from presel.selection.strategies import Ranking, rank
from presel.selection.unit import unit_vectors

if TYPE_CHECKING:
    import pandas as pd

Estimator = Literal["mean", "trimmed"]


def select(
    embeddings: Any,
    tasks: Any,
    *,
    share: float | None = None,
    count: int | None = None,
    irs: Any = None,
    weights: Any = None,
    ids: Any = None,
    reference: Any = None,
    seed: int = 0,
    mode: Literal["default", "paper"] = "default",
    strategy: str | None = None,
    near_duplicate: NearDuplicate = "default",
    reference_share: float = 0.05,
    images_per_cluster: int = 100,
    quality: str = "default",
    engine: str = "cpu",
    temperature: float | None = None,
    estimator: Estimator = "mean",
    shrinkage: bool = False,
    floor: float = 0.0,
    size_prior: float | None = None,
) -> pd.DataFrame:
    """Choose the samples worth instructing: the reference set, and what the method picks for the rest of the budget.

    Arguments are taken by position, row by row; a series' index plays no part.

    embeddings   float[n, d]: array, list, torch tensor, in any float type. Lengths play no part. Rows that are zero or hold
                 NaN are left out, with a warning.
    tasks        n names, all text or all whole numbers; a row without one is left out, with a warning.
    share        of the usable rows, reference set included, rounded down (0 to 1; 0.15 where `count` is not given).
    count        that many in place of a share.
    irs          mean instruction relevance score by task, or several scores by task, or one a row (NaN: not scored), or
                 what `presel.irs` returns with its `task`s. A task without one weighs as the mean of the others; None:
                 a task weighs by its size to the power `size_prior`.
    weights      weights by task in place of scores; scaled to sum 1.
    ids          n ids, unique inside a task, all text or all whole numbers. They break ties and draw the reference set,
                 so with ids the order of rows changes nothing. None: row numbers.
    reference    rows that are instructed already (row numbers, or bool[n]); None: `reference_share` of every task is drawn,
                 at least one row. An empty list: none.
    seed         of the draw, of k-means and of chance.
    mode         "paper": exactly the published algorithm; what departs from it is refused.

    The others are those of the configuration, under their names and with their defaults: `selection.strategy`
    ("coverage"; in `mode="paper"` "presel") and `near_duplicate` (0.98; None), `weights.size_prior` (0.5; 0) and its
    neighbours, `clustering.images_per_cluster`, `quality` and `engine`, `reference.share`.

    Returns a data frame, by task, reference rows first, then picks, best first:

    row (int64), task, origin ("reference" or "selected"), cluster (int64, inside the task), rank (Int64: place among the picks
    of its cluster from 0; missing for reference rows), centrality (float32, mean cosine to the five nearest; NaN for
    reference rows), and id, where ids were given. `attrs["plan"]` holds the rows of the plan behind it (see `plan`, but
    with the supply that near-duplicates leave), `attrs["left_out"]` the rows that were left out.

    A larger budget contains the picks of a smaller one. Where the budget is smaller than a drawn reference set, the draw is cut
    to it, with a warning. A budget that the supply cannot fill leaves seats empty (`shortfall` in the plan).
    Raises InputError, in words, for arguments that do not fit each other or are out of range.
    """
    where = "presel.select"
    options = _Options(share, count, seed, mode, reference_share, temperature, estimator, shrinkage, floor, size_prior)
    choice = options.choice(where, strategy, near_duplicate, images_per_cluster, quality, engine)
    matrix = vectors(embeddings)
    good = usable(matrix)
    pool = pool_of(tasks, ids, good, where)
    budget = choice.budget(sum(pool.sizes))
    drawn = _reference(reference, pool, choice, budget, len(matrix), where)
    ranked = [
        _rank(matrix[rows], rows, pool.ids, of_task, choice) for rows, of_task in zip(pool.rows, drawn, strict=True)
    ]
    weighed = _weigh(irs, weights, tasks, pool, choice, where)
    supply = [len(one.order) for one in ranked]
    seats = divide(weighed.weight, supply, budget - sum(map(len, drawn)))
    frame = _frame(pool, drawn, ranked, seats, with_ids=ids is not None)
    frame.attrs["plan"] = _plan_rows(pool, drawn, supply, weighed, seats)
    frame.attrs["left_out"] = pool.left_out
    return frame


def plan(
    tasks: Any,
    *,
    share: float | None = None,
    count: int | None = None,
    irs: Any = None,
    weights: Any = None,
    ids: Any = None,
    reference: Any = None,
    seed: int = 0,
    mode: Literal["default", "paper"] = "default",
    reference_share: float = 0.05,
    temperature: float | None = None,
    estimator: Estimator = "mean",
    shrinkage: bool = False,
    floor: float = 0.0,
    size_prior: float | None = None,
) -> pd.DataFrame:
    """How a budget would be divided among tasks, before a picture is looked at. Arguments as in `select`.

    Returns a data frame, one row a task, by name: task, images, reference (rows of the reference set), scored (how many scores
    there are), irs with irs_low and irs_high (95 %, bootstrap), weight (sum 1), supply (what is left to choose from), quota,
    and shortfall (seats that its weight asked for beyond its supply). `attrs["verdict"]` says in words whether there are
    scores enough, `attrs["budget"]` the whole budget, `attrs["unplaced"]` the seats that no task could take.

    The supply counts no near-duplicates, since it takes embeddings to find them: `select` may have fewer rows of a task.
    Raises InputError as `select` does.
    """
    where = "presel.plan"
    options = _Options(share, count, seed, mode, reference_share, temperature, estimator, shrinkage, floor, size_prior)
    choice = options.choice(where)
    pool = pool_of(tasks, ids, None, where)
    budget = choice.budget(sum(pool.sizes))
    drawn = _reference(reference, pool, choice, budget, len(pool.ids), where)
    weighed = _weigh(irs, weights, tasks, pool, choice, where)
    supply = [size - len(of_task) for size, of_task in zip(pool.sizes, drawn, strict=True)]
    seats = divide(weighed.weight, supply, budget - sum(map(len, drawn)))

    import pandas as pd

    frame = pd.DataFrame(_plan_rows(pool, drawn, supply, weighed, seats), columns=list(_PLAN))
    frame.attrs.update(verdict=weighed.verdict, budget=budget, unplaced=seats.unplaced)
    return frame


_PLAN = (
    "task", "images", "reference", "scored", "irs", "irs_low", "irs_high", "weight", "supply", "quota", "shortfall",
)  # fmt: skip


@dataclass(frozen=True)
class _Options:
    """What both functions take."""

    share: float | None
    count: int | None
    seed: int
    mode: str
    reference_share: float
    temperature: float | None
    estimator: str
    shrinkage: bool
    floor: float
    size_prior: float | None

    def choice(self, where: str, *args: Any) -> Choice:
        weights = {
            name: getattr(self, name) for name in ("temperature", "estimator", "shrinkage", "floor", "size_prior")
        }
        if self.size_prior is None:
            del weights["size_prior"]
        sections: dict[str, Mapping[str, Any]] = {"weights": weights, "selection": {}}
        if args:
            strategy, guard, images_per_cluster, quality, engine = args
            sections["selection"] = {**({} if strategy is None else {"strategy": strategy}), **near_duplicate(guard)}
            sections["clustering"] = {"images_per_cluster": images_per_cluster, "quality": quality, "engine": engine}
        return choice_of(
            where,
            seed=self.seed,
            mode=self.mode,
            share=self.share,
            count=self.count,
            reference_share=self.reference_share,
            sections=sections,
        )


def _reference(given: Any, pool: Pool, choice: Choice, budget: int, count: int, where: str) -> list[Rows]:
    """The reference rows of every task, in draw order."""
    if given is not None:
        rows = reference_rows(given, pool, count, where)
        if (over := sum(map(len, rows)) - budget) > 0:
            warn(f"{where}: `reference` alone is {over} over the budget of {budget}: nothing is left to choose")
        return rows
    sizes = [reference_size(size, choice.reference_share) for size in pool.sizes]
    if sum(sizes) > budget:
        warn(f"{where}: a budget of {budget} is smaller than the reference set of {sum(sizes)}, which is drawn at random: "
             "nothing is left to choose (reference=[] chooses all by the method)")  # fmt: skip
        sizes = allocate(np.array(sizes, dtype=np.float64), sizes, budget).tolist()
    orders = [draw_order(names(pool, rows), choice.seed) for rows in pool.rows]
    return [rows[order[:size]] for rows, order, size in zip(pool.rows, orders, sizes, strict=True)]


@dataclass(frozen=True)
class _Ranked:
    """One task: a cluster for each of its rows, and the pick order by row number."""

    clusters: dict[int, int]
    order: Rows
    ranking: Ranking


def _rank(matrix: NDArray[Any], rows: Rows, ids: NDArray[Any], reference: Rows, choice: Choice) -> _Ranked:
    """What the stages `cluster` and `rank` make of a task."""
    unit = unit_vectors([matrix], *matrix.shape)
    k = cluster_count(len(rows), choice.clustering.images_per_cluster)
    clustering = choice.clustering
    labels = kmeans(unit, k, seed=choice.seed, device=clustering.engine, quality=clustering.quality).labels
    chosen = np.isin(rows, reference)
    guard = choice.selection.near_duplicate
    ranking = rank(
        unit,
        labels,
        available=~chosen,
        chosen=chosen,
        strategy=choice.selection.strategy,
        ids=ids[rows],
        seed=choice.seed,
        near_duplicate=None if guard == "auto" else guard,
    )
    return _Ranked(dict(zip(rows.tolist(), labels.tolist(), strict=True)), rows[ranking.rows], ranking)


def _weigh(irs: Any, weights: Any, tasks: Any, pool: Pool, choice: Choice, where: str) -> Weighed:
    scores = scores_by_task(irs, tasks, pool, where)
    given = (
        () if weights is None else [_one(values) for values in scores_by_task(weights, tasks, pool, where, "weights")]
    )
    weighed = weigh(scores, pool.sizes, choice.weights, choice.seed, given=given)
    if weighed.unknown and (irs is not None or weights is not None):
        warn(f"{where}: {weighed.unknown} of {len(pool.tasks)} tasks have no score or weight: they weigh as the mean")
    return weighed


def _one(weights: Floats) -> Floats:
    """The weight of a task, if there is one."""
    return weights[np.isfinite(weights)][:1]


def _frame(pool: Pool, drawn: list[Rows], ranked: list[_Ranked], seats: Seats, *, with_ids: bool) -> pd.DataFrame:
    import pandas as pd

    parts = [pd.DataFrame({name: [] for name in ("row", "task", "origin", "cluster", "rank", "centrality")})]
    for task, reference, one, quota in zip(pool.tasks, drawn, ranked, seats.quota.tolist(), strict=True):
        rows, none = np.concatenate([reference, one.order[:quota]]), len(reference)
        parts.append(
            pd.DataFrame(
                {
                    "row": rows,
                    "task": [task] * len(rows),
                    "origin": ["reference"] * none + ["selected"] * quota,
                    "cluster": [one.clusters[row] for row in rows.tolist()],
                    "rank": [None] * none + one.ranking.rank_in_cluster[:quota].tolist(),
                    "centrality": [float("nan")] * none + one.ranking.centrality[:quota].tolist(),
                }
            )
        )
    frame = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    frame = frame.astype({"row": "int64", "cluster": "int64", "rank": "Int64", "centrality": "float32"})
    return frame.assign(id=pool.ids[frame["row"]]) if with_ids else frame


def _plan_rows(
    pool: Pool, drawn: Sequence[Rows], supply: Sequence[int], weighed: Weighed, seats: Seats
) -> list[dict[str, Any]]:
    rows = [
        {
            "task": task,
            "images": len(pool.rows[at]),
            "reference": len(drawn[at]),
            **weighed.row(at),
            "supply": supply[at],
            "quota": int(seats.quota[at]),
            "shortfall": int(seats.shortfall[at]),
        }
        for at, task in enumerate(pool.tasks)
    ]
    return [{name: row[name] for name in _PLAN} for row in rows]
