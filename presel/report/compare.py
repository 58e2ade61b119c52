"""Two versions of a dataset side by side: plans, how far weights moved, which picks came, stayed and went, the cost.

A page of its own, made when it is asked for: any two versions of a store can be compared, and nothing about it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

import pyarrow as pa

from presel.config import ImageConfig, SourceConfig
from presel.dataset import versions
from presel.dataset.changes import drift
from presel.dataset.rows import table
from presel.dataset.trainer_formats import CHOSEN_ORIGINS, DIGEST
from presel.report import sheets
from presel.report.gallery import spread
from presel.report.sheets import Sheets
from presel.report.thumbnails import Wanted, taken
from presel.tables import table_store
from presel.tables.schemas import DatasetRef, rows_of

SHOWN = 48
"""Picks of either kind that are shown."""
_COLUMNS = ("sample_id", "task", "key", DIGEST, "origin", "cost_usd")


@dataclass(frozen=True)
class Picks:
    """Picks that came, stayed or went: how many, and some of them at even steps through their ids."""

    heading: str
    count: int
    shown: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """Of two versions."""

    name: str
    before: int
    after: int
    tasks: Sequence[Mapping[str, Any]]
    """A row a task: `task`, and of either side `weight`, `quota`, `picked` and `cost` (None: the task is not there)."""
    moved: float | None
    """Share of the weight that went to other tasks."""
    records: tuple[int, int]
    cost: tuple[float, float]
    picks: Sequence[Picks]
    sheets: Sheets


def compare(before: DatasetRef, after: DatasetRef, source: SourceConfig, limits: ImageConfig) -> Comparison:
    """Reads both versions, and from the source the pictures that are shown."""
    sides = [table(version, _COLUMNS) for version in (before, after)]
    plans = [rows_of(table_store.decode(versions.file(version, "plan.parquet"))) for version in (before, after)]
    picks = _picks(*(_chosen(side) for side in sides))
    wanted = [Wanted(row["sample_id"], row["key"], row["task"], row[DIGEST]) for kind in picks for row in kind.shown]
    weights = [{row["task"]: row["weight"] or 0.0 for row in plan} for plan in plans]
    _, small = taken([], wanted, source, limits)
    return Comparison(
        name=after.name,
        before=before.version,
        after=after.version,
        tasks=_tasks(plans, sides),
        moved=drift(*weights)["moved"],
        records=(sides[0].num_rows, sides[1].num_rows),
        cost=(_cost(sides[0]), _cost(sides[1])),
        picks=picks,
        sheets=sheets.make(small.items()),
    )


def _chosen(records: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["sample_id"]: row for row in rows_of(records) if row["origin"] in CHOSEN_ORIGINS}


def _picks(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> list[Picks]:
    kinds = {
        "Added": [new[name] for name in sorted(new.keys() - old.keys())],
        "Kept": [new[name] for name in sorted(new.keys() & old.keys())],
        "Dropped": [old[name] for name in sorted(old.keys() - new.keys())],
    }
    return [Picks(heading, len(rows), spread(rows, SHOWN)) for heading, rows in kinds.items()]


def _tasks(plans: Sequence[Sequence[Mapping[str, Any]]], sides: Sequence[pa.Table]) -> list[dict[str, Any]]:
    told = [{row["task"]: row for row in plan} for plan in plans]
    counted = [_by_task(side) for side in sides]
    return [
        {
            "task": task,
            "sides": [
                {
                    "weight": plan[task]["weight"] or 0.0,
                    "quota": plan[task]["quota"],
                    "picked": count.get(task, (0, 0.0))[0],
                    "cost": count.get(task, (0, 0.0))[1],
                }
                if task in plan
                else None
                for plan, count in zip(told, counted, strict=True)
            ],
        }
        for task in sorted({*told[0], *told[1]})
    ]


def _by_task(records: pa.Table) -> dict[str, tuple[int, float]]:
    """Picks, and the cost of all records."""
    found: dict[str, tuple[int, float]] = {}
    columns = (records[name].to_pylist() for name in ("task", "origin", "cost_usd"))
    for task, origin, cost in zip(*columns, strict=True):
        picked, spent = found.get(task, (0, 0.0))
        found[task] = picked + (origin in CHOSEN_ORIGINS), spent + (cost or 0.0)
    return found


def _cost(records: pa.Table) -> float:
    return fsum(cost or 0.0 for cost in records["cost_usd"].to_pylist())
