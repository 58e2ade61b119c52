"""What share of full-data quality budgets reached on the benchmark pools, from the file that the evidence wrote here.

It is a benchmark of small models on other pictures, and is shown as that: no promise for the pool at hand.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

_FILE = "benchmark.json"
SETTINGS = "`strategy: coverage`, `near_duplicate: auto` and `size_prior: 0.5`"
"""What the file calls ours."""


@cache
def pools() -> tuple[dict[str, Any], ...]:
    """One dictionary a pool: `pool`, and in `default` and `random` for each budget its `share`, `seeds` and `of_full`."""
    told = json.loads((resources.files(__package__) / _FILE).read_text(encoding="utf-8"))
    return tuple(told["pools"])


def words(share: float) -> str:
    """A sentence about the budget nearest to `share` that every pool has; empty without one."""
    measured = set.intersection(*({row["share"] for row in pool["ours"]} for pool in pools())) if pools() else set()
    if not measured:
        return ""
    nearest = min(sorted(measured), key=lambda budget: abs(budget - share))
    ours, chance = ([100 * _at(pool[name], nearest) for pool in pools()] for name in ("ours", "random"))
    return (
        f"On {len(pools())} benchmark pools {nearest:.0%} reached {min(ours):.0f} to {max(ours):.0f} % of what full data did "
        f"with {SETTINGS}, random {min(chance):.0f} to {max(chance):.0f} % (small models; no promise: docs/evidence.md)."
    )


def reached(share: float) -> str:
    """The share of full data, with those settings, at that budget, over the pools that have it; a dash where none has."""
    found = [100 * _at(pool["ours"], share) for pool in pools() if any(row["share"] == share for row in pool["ours"])]
    if not found:
        return "-"
    low, high = f"{min(found):.0f}", f"{max(found):.0f}"
    return f"{low} %" if low == high else f"{low}-{high} %"


def _at(rows: list[dict[str, Any]], share: float) -> float:
    return float(next(row["of_full"] for row in rows if row["share"] == share))
