"""What a person asks after a run: per task, how many and why, and what it cost against what everything would have cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from math import fsum
from typing import Any, NamedTuple

import pyarrow as pa

from presel import curve, table_store
from presel.report.figures import TaskLine, task_lines
from presel.run_record import RunRecord
from presel.storage import open_store
from presel.tables import REJECTS, TableRef, rows_of


class Money(NamedTuple):
    """US dollars."""

    everything: float
    """Estimate: every usable image at the mean price of its task's answers."""
    paid: float
    """What the dataset's answers cost when they were bought, whichever run bought them."""
    expected: float
    """The plan's price for the selection, the reference set included."""


def task_rows(record: RunRecord) -> list[dict[str, Any]]:
    """One row per task: the plan's columns, and what became of it (`picked`, `rejected`)."""
    plan = rows_of(table_store.read(record.plan))
    return [
        {**row, "picked": line.picked, "rejected": line.rejected} for row, line in zip(plan, lines(record), strict=True)
    ]


def lines(record: RunRecord) -> list[TaskLine]:
    """The figures of every task, as the report and the card show them."""
    bought = [*_bought(record.reference_instructions, "reference"), *_bought(record.instructions, "selected")]
    return task_lines(rows_of(table_store.read(record.plan)), bought, rows_of(all_rejects(record)))


def money(record: RunRecord) -> Money:
    """From what the answers cost, as it stands in the tables."""
    plan = rows_of(table_store.read(record.plan))
    reference = fsum(row["cost_usd"] for row in _bought(record.reference_instructions, "reference"))
    of_tasks = lines(record)
    return Money(
        everything=fsum(line.all_usd for line in of_tasks),
        paid=fsum(line.spent_usd for line in of_tasks),
        expected=reference + fsum(row["price_usd"] or 0.0 for row in plan),
    )


def spent_since(record: RunRecord, start: float) -> float:
    """US dollars for answers that were bought by stages which ended after `start` (seconds since 1970)."""
    bought = (*record.reference_instructions, *record.instructions)
    fresh = [ref for ref in bought if table_store.finished(ref) >= start]
    return fsum(float(table_store.facts(ref).get("spent_usd", 0.0)) for ref in fresh)


def all_rejects(record: RunRecord) -> pa.Table:
    """Every refused image or answer of a run with its reason, by stage, task and key."""
    tables = [table_store.rejects(ref) for ref in record.tables() if ref.rejects]
    together = pa.concat_tables([REJECTS.empty_table(), *tables])
    return together.sort_by([("stage", "ascending"), ("task", "ascending"), ("key", "ascending"), ("id", "ascending")])


def budget_rows(record: RunRecord) -> list[dict[str, Any]]:
    """What budgets of 5 to 50 % would cost and cover, from the one ranking there is."""
    return [
        {
            "budget": f"{point['share']:.0%}",
            "records": point["records"],
            "price_usd": round(point["price_usd"], 4),
            "coverage": f"{point['coverage']:.1%}",
        }
        for point in curve.read(record.plan)
    ]


def reject_counts(record: RunRecord) -> dict[str, int]:
    """How many were refused for which reason, most frequent first."""
    counted = Counter(all_rejects(record)["reason"].to_pylist())
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def report_address(record: RunRecord) -> str:
    """Where the page lies, or what would make one."""
    if record.report is None:
        return "no report yet: run `presel run`"
    return open_store(record.report.store).locate(f"{record.report.folder}/page.html")


def _bought(instructions: Iterable[TableRef], origin: str) -> Iterator[dict[str, Any]]:
    for ref in instructions:
        for row in rows_of(table_store.read(ref, ["task", "cost_usd"])):
            yield {**row, "origin": origin}
