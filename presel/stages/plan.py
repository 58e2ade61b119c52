"""The plan: task weights from IRS, the budget divided by weight and supply, a price for every share (METHOD, steps 4, 5).

It is the table a person signs before money is spent, so it holds what decided each number: how many were listed and are
usable, how many reference samples were scored, the IRS with its interval, the weight, the supply, the quota, and
the seats a task's weight asked for that its supply could not fill.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from presel import budget, table_store, weights
from presel.config import BudgetConfig, WeightsConfig
from presel.instruct.prices import quote
from presel.stage import stage
from presel.table_store import Output
from presel.tables import PLAN, TableRef

Floats = npt.NDArray[np.float64]


@stage("plan", version=1)
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
    """Weights, quotas and prices of every task. `reference` are the reference instructions; lists are in task order."""
    counts: dict[str, dict[str, int]] = json.loads(table_store.file(samples, "tasks.json"))
    scores = [_scores(ref) for ref in relevance]
    weighed = weights.weigh(scores, [counts[r.label]["usable"] for r in rankings], weighting, seed)
    supply = np.array([ref.rows for ref in rankings])
    instructed = sum(ref.rows for ref in reference)
    total = max(0, budget_size(sum(c["usable"] for c in counts.values()), config.share) - instructed)
    quotas = budget.allocate(weighed.weights, supply, total)
    wanted = budget.allocate(weighed.weights, np.full(len(supply), total), total)
    for i, ranking in enumerate(rankings):
        costs = table_store.read(reference[i], ["cost_usd"])["cost_usd"].to_pylist()
        price = quote(costs, int(quotas[i]))
"""to be continued"""


def budget_size(samples: int, share: float) -> int:
    """B: how many samples may be instructed in all, rounded down, since a cap is a cap."""
    return math.floor(share * samples + 1e-9)


def _scores(relevance: TableRef) -> Floats:
    return np.array(table_store.read(relevance, ["irs"])["irs"].to_numpy(), dtype=np.float64)
