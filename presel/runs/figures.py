"""The figures that card, page and UI all show, computed once: a line per task, and the money.

What all images would have cost is an estimate and says so: each task's usable images at the mean price of the answers
bought there (at the pool's mean where none was bought).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from presel.dataset.trainer_formats import CHOSEN_ORIGINS
from presel.selection.seats import budget_size

Row = Mapping[str, Any]
OF_OBJECTS = frozenset({"ingest", "embed", "assemble"})
"""Stages whose rejects are listed objects that are no sample: listed = usable + these. Later ones refuse a sample."""


@dataclass(frozen=True)
class TaskLine:
    """One task, from listing to published records."""

    task: str
    images: int
    usable: int
    reference: int
    irs: float | None
    irs_low: float | None
    irs_high: float | None
    weight: float
    supply: int
    quota: int
    shortfall: int
    kept: int
    """Seats of the budget, beside the quota, that an earlier version's samples hold."""
    picked: int
    """Chosen by a plan, this one's or an earlier one's (`kept`), and instructed."""
    rejected: int
    """Listed objects that are no sample."""
    passed_over: int
    """Samples that were refused later: near-duplicates, answers that could not be used."""
    spent_usd: float
    """What the published answers cost when they were bought."""
    all_usd: float
    """Estimate: every usable image at this task's mean price."""

    @property
    def records(self) -> int:
        return self.reference + self.picked


def task_lines(plan: Sequence[Row], records: Iterable[Row], rejects: Sequence[Row]) -> list[TaskLine]:
    """One line per task of the plan, in the plan's order. `records` are rows of RECORDS, `rejects` of REJECTS."""
    refused = Counter((row["task"], row["stage"] in OF_OBJECTS) for row in rejects)
    costs: dict[str, list[float]] = defaultdict(list)
    origins: Counter[tuple[str, str]] = Counter()
    for row in records:
        origins[row["task"], row["origin"]] += 1
        costs[row["task"]].append(row["cost_usd"] or 0.0)
    pool_price = _mean([cost for of_task in costs.values() for cost in of_task])
    return [
        TaskLine(
            **{name: row[name] for name in ("task", "images", "usable", "irs")},
            **{name: row[name] for name in ("weight", "supply", "quota", "kept", "shortfall")},
            # One sample has a score and no interval.
            irs_low=row["irs_low"] if origins[row["task"], "reference"] > 1 else None,
            irs_high=row["irs_high"] if origins[row["task"], "reference"] > 1 else None,
            reference=origins[row["task"], "reference"],
            picked=sum(origins[row["task"], origin] for origin in CHOSEN_ORIGINS),
            rejected=refused[row["task"], True],
            passed_over=refused[row["task"], False],
            spent_usd=fsum(costs[row["task"]]),
            all_usd=row["usable"] * (_mean(costs[row["task"]]) if costs[row["task"]] else pool_price),
        )
        for row in plan
    ]


@dataclass(frozen=True)
class Totals:
    """The sums over all tasks that a headline needs."""

    tasks: int
    """Those with a usable image."""
    images: int
    usable: int
    reference: int
    kept: int
    picked: int
    rejected: int
    passed_over: int
    shortfall: int
    spent_usd: float
    all_usd: float

    @property
    def records(self) -> int:
        return self.reference + self.picked

    @property
    def share(self) -> float:
        """Records per usable image, 0 to 1."""
        return self.records / self.usable if self.usable else 0.0


def totals(lines: Sequence[TaskLine], rejects: Sequence[Row]) -> Totals:
    """`rejects` are counted apart: some belong to no task of the plan."""
    return Totals(
        tasks=sum(line.usable > 0 for line in lines),
        images=sum(line.images for line in lines),
        usable=sum(line.usable for line in lines),
        reference=sum(line.reference for line in lines),
        kept=sum(line.kept for line in lines),
        picked=sum(line.picked for line in lines),
        rejected=sum(row["stage"] in OF_OBJECTS for row in rejects),
        passed_over=sum(row["stage"] not in OF_OBJECTS for row in rejects),
        shortfall=sum(line.shortfall for line in lines),
        spent_usd=fsum(line.spent_usd for line in lines),
        all_usd=fsum(line.all_usd for line in lines),
    )


def over_budget(plan: Sequence[Row], share: float) -> int:
    """Seats that are taken beyond what the budget holds: the reference set's, and those of what earlier versions hold."""
    seats: int = sum(row[name] for row in plan for name in ("reference", "kept"))
    return max(0, seats - budget_size(sum(row["usable"] for row in plan), share))


def over_budget_words(plan: Sequence[Row], share: float) -> str:
    """What is over and why, and the way back; nothing while nothing is."""
    over, kept = over_budget(plan, share), sum(row["kept"] for row in plan)
    if not over:
        return ""
    words = f"{over:,} records are over the budget of {budget_size(sum(row['usable'] for row in plan), share):,}"
    if not kept:
        return f"{words}: the reference set alone is larger, and nothing is chosen beside it."
    return (
        f"{words}: {kept:,} that an earlier version holds stay (history.keep: always), and nothing is chosen beside them. "
        "To go back: `presel run --rebase VERSION`, or history.keep: while_budget. What is paid for stays in the ledger."
    )


def dollars(amount: float | None) -> str:
    """US dollars as a person writes them: whole above 1,000, cents above 1, four digits below; "–" for None."""
    if amount is None:
        return "–"
    if 0 < amount < 1:
        return f"${amount:.4f}"
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values) if values else 0.0
