"""The plan: task weights from IRS, the budget divided by weight and supply, a price for every share (METHOD, steps 4, 5).

It is the table a person signs before money is spent, so it holds what decided each number: how many were listed and are
usable, how many stay from an earlier version, how many reference samples were scored, the IRS with its interval, the
weight, the supply, the quota, and the seats a task's weight asked for that its supply could not fill.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from presel.config import BudgetConfig, WeightsConfig
from presel.instruct.money.prices import quote
from presel.runs import budget_curve
from presel.selection.seats import Floats, Seats, budget_size, divide, weigh
from presel.tables import table_store
from presel.tables.kept_samples import kept_of
from presel.tables.schemas import PLAN, TableRef
from presel.tables.stage import stage
from presel.tables.table_store import Output

log = logging.getLogger(__name__)


@stage("plan", version=4)
def plan_budget(
    out: Output,
    samples: TableRef,
    rankings: list[TableRef],
    reference: list[TableRef],
    relevance: list[TableRef],
    weighting: WeightsConfig,
    config: BudgetConfig,
    seed: int,
) -> None:
    """Weight, quota and price of every task. `reference` are the reference instructions; the lists are in task order.

    `curve.json` beside it tells what budgets of 5 to 50 % would cost and cover.
    """
    counts: dict[str, dict[str, int]] = json.loads(table_store.file(samples, "tasks.json"))
    scores, given = [_values(ref, "irs") for ref in relevance], [_values(ref, "weight") for ref in relevance]
    weighed = weigh(scores, [ref.rows for ref in samples.split()], weighting, seed, given=given)
    if weighed.unknown:
        log.warning("%d of %d tasks have no score or weight: they weigh as the mean", weighed.unknown, len(scores))
    kept = [kept_of(ref) for ref in rankings]
    held = [answered.num_rows for answered in kept]
    seated = sum(ref.rows for ref in reference) + sum(held)

    def divided(share: float) -> Seats:
        left = budget_size(samples.rows, share) - seated
        return divide(weighed.weight, [ref.rows for ref in rankings], left, held)

    over = seated - budget_size(samples.rows, config.share)
    if over > 0:
        log.warning("reference set and kept samples are %d over the budget: nothing is left to choose", over)
    seats, costs = divided(config.share), _costs_of_tasks(reference)
    rows = [
        {
            "task": ranking.label,
            "images": counts[ranking.label]["images"],
            "usable": counts[ranking.label]["usable"],
            "reference": reference[i].rows,
            "kept": held[i],
            **weighed.row(i),
            "supply": ranking.rows,
            "quota": int(seats.quota[i]),
            "shortfall": int(seats.shortfall[i]),
            **_priced(costs[i], int(seats.quota[i]) + _unpaid(kept[i])),
        }
        for i, ranking in enumerate(rankings)
    ]
    out.write_rows([*rows, *_unusable(counts, rows)], PLAN)
    points = budget_curve.cost_and_coverage(
        rankings,
        [row["usable"] for row in rows],
        [float(np.mean(cost)) if cost else 0.0 for cost in costs],
        seated,
        lambda share: divided(share).quota,
    )
    out.write_file(budget_curve.CURVE_FILE, budget_curve.write(points))
    out.note(budget=budget_size(samples.rows, config.share), unplaced=seats.unplaced, verdict=weighed.verdict)


def _priced(costs: list[float], quota: int) -> dict[str, float | None]:
    price = quote(costs, quota)
    values = {"price_usd": price.expected, "price_low_usd": price.low, "price_high_usd": price.high}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _unusable(counts: dict[str, dict[str, int]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each task that has images and not one usable: nothing to weigh, but not to be passed over."""
    nothing = dict.fromkeys(("reference", "kept", "scored", "supply", "quota", "shortfall"), 0)
    shown = {row["task"] for row in rows}
    return [
        {"task": task, "images": count["images"], "usable": 0, **nothing, "weight": 0.0}
        for task, count in sorted(counts.items())
        if task not in shown
    ]


def _unpaid(kept: pa.Table) -> int:
    """Kept samples that would be asked about in another way than before: they must be paid for again."""
    return sum(not answered for answered in kept["answered"].to_pylist())


def _values(relevance: TableRef, column: str) -> Floats:
    """What a RELEVANCE table holds in that column, without what is missing."""
    return np.asarray(table_store.read(relevance, [column])[column].drop_null().to_numpy(), dtype=np.float64)


def _costs_of_tasks(reference: Sequence[TableRef]) -> list[list[float]]:
    """What each reference answer of a task cost; those of all tasks where a task has none."""
    costs: list[list[float]] = [table_store.read(ref, ["cost_usd"])["cost_usd"].to_pylist() for ref in reference]
    together = [cost for of_task in costs for cost in of_task]
    return [of_task or together for of_task in costs]
