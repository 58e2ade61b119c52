"""What another budget would buy: records, price, and the share of the pool that has an instructed image close by.

Rankings answer this for every budget at once, since budgets nest: `rank` notes how much of its task the first q picks cover,
and here each budget is divided as the plan divides its own. "Close" is the pool's own measure (report/covering.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from presel.selection.seats import budget_size, divide
from presel.tables import table_store
from presel.tables.schemas import TableRef

COVERAGE_FILE, CURVE_FILE = "coverage.parquet", "curve.json"
BUDGETS = tuple(percent / 100 for percent in range(5, 55, 5))


class Point(NamedTuple):
    """One budget that might have been chosen."""

    share: float
    """Of the usable images, the reference set included."""
    records: int
    price_usd: float
    """Of what is not paid for yet."""
    coverage: float
    """Share of the pool's images, 0 to 1."""
    tasks: Mapping[str, float]
    """The same within each task."""
    quotas: Mapping[str, int] = {}
    """Seats of each task, beside those that are taken."""


def encoded(shares: npt.NDArray[np.float64]) -> bytes:
    """The covered share of a task after 0, 1, 2, ... picks, as a file beside its ranking."""
    return table_store.encode(pa.table({"share": pa.array(shares, pa.float64())}))


def covered(ranking: TableRef) -> npt.NDArray[np.float64]:
    """float64 [picks + 1]: what `encoded` wrote beside one task's ranking."""
    data = table_store.file(ranking, COVERAGE_FILE)
    shares: npt.NDArray[np.float64] = table_store.decode(data)["share"].to_numpy()
    return shares


def cost_and_coverage(
    rankings: Sequence[TableRef],
    images: Sequence[int],
    costs: Sequence[float],
    seated: int,
    quotas: Callable[[float], npt.NDArray[np.int64]],
    budgets: Sequence[float] = BUDGETS,
) -> list[Point]:
    """A point for every budget. Per task, in order: `images`, and `costs` in US dollars of one more answer.

    `seated` counts reference and kept samples; `quotas` divides what a share leaves beside them.
    """
    shares = [covered(ranking) for ranking in rankings]
    points = []
    for share in budgets:
        quota = quotas(share)
        of_task = [float(curve[q]) for curve, q in zip(shares, quota, strict=True)]
        price = float(np.dot(quota, costs))
        points.append(
            Point(
                share=share,
                records=seated + int(quota.sum()),
                price_usd=price,
                coverage=float(np.average(of_task, weights=images)) if sum(images) else 0.0,
                tasks={ranking.label: value for ranking, value in zip(rankings, of_task, strict=True)},
                quotas={ranking.label: int(q) for ranking, q in zip(rankings, quota, strict=True)},
            )
        )
    return points


def of_plan(
    rankings: Sequence[TableRef], plan: Sequence[Mapping[str, Any]], samples: int, budgets: Sequence[float]
) -> list[Point]:
    """Any budgets, divided as the plan divides its own. `plan`: rows of PLAN with usable images, in the order of rankings."""
    held, supply = [row["kept"] for row in plan], [row["supply"] for row in plan]
    seated = sum(row["reference"] for row in plan) + sum(held)
    weight = np.array([row["weight"] for row in plan], dtype=np.float64)
    mean = sum(row["price_usd"] or 0.0 for row in plan) / max(1, sum(row["quota"] for row in plan))
    costs = [row["price_usd"] / row["quota"] if row["price_usd"] and row["quota"] else mean for row in plan]

    def quotas(share: float) -> npt.NDArray[np.int64]:
        return divide(weight, supply, budget_size(samples, share) - seated, held).quota

    return cost_and_coverage(rankings, [row["usable"] for row in plan], costs, seated, quotas, budgets)


def write(points: Sequence[Point]) -> bytes:
    kept = ("share", "records", "price_usd", "coverage", "tasks")
    told = [{name: getattr(point, name) for name in kept} for point in points]
    return json.dumps(told, ensure_ascii=False, indent=1).encode()


def read(plan: TableRef) -> list[dict[str, Any]]:
    """The curve beside a plan, one dictionary per budget."""
    points: list[dict[str, Any]] = json.loads(table_store.file(plan, CURVE_FILE))
    return points
