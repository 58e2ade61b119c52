"""What a person asks after a run: per task, how many and why, and what it cost against what everything would have cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import pyarrow as pa

from presel import table_store
from presel.run_record import RunRecord
from presel.storage import open_store
from presel.tables import REJECTS, TableRef, rows_of


class Money(NamedTuple):
    """US dollars."""

    everything: float
    """Expected price of instructing every usable sample."""
    paid: float
    """What the dataset's answers cost when they were bought, whichever run bought them."""
    expected: float
    """The plan's price for the selection, the reference set included."""


def task_rows(record: RunRecord) -> list[dict[str, Any]]:
    """One row per task: the plan's columns, and what became of it (`picked`, `rejected`)."""
    picked = _per_task(record.instructions)
    rejected = Counter(all_rejects(record)["task"].to_pylist())
    return [
        {**row, "picked": picked[row["task"]], "rejected": rejected[row["task"]]}
        for row in rows_of(table_store.read(record.plan))
    ]


def all_rejects(record: RunRecord) -> pa.Table:
    """Every refused image or answer of a run with its reason, by stage, task and key."""
    tables = [table_store.rejects(ref) for ref in record.tables() if ref.rejects]
    together = pa.concat_tables([REJECTS.empty_table(), *tables])
    return together.sort_by([("stage", "ascending"), ("task", "ascending"), ("key", "ascending"), ("id", "ascending")])


def money(record: RunRecord) -> Money:
    """From the ledger's figures as they stand in the tables."""
    plan = rows_of(table_store.read(record.plan))
    reference = _cost(record.reference_instructions)
    usable, instructed = sum(row["usable"] for row in plan), sum(row["reference"] for row in plan)
    each = reference / instructed if instructed else 0.0
    return Money(
        everything=each * usable,
        paid=reference + _cost(record.instructions),
        expected=reference + sum(row["price_usd"] or 0.0 for row in plan),
    )


def _per_task(instructions: Iterable[TableRef]) -> Counter[str]:
    found: Counter[str] = Counter()
    for ref in instructions:
        found.update(table_store.read(ref, ["task"])["task"].to_pylist())
    return found


def _cost(instructions: Iterable[TableRef]) -> float:
    return sum(sum(table_store.read(ref, ["cost_usd"])["cost_usd"].to_pylist()) for ref in instructions)


def reject_counts(record: RunRecord) -> dict[str, int]:
    """How many were refused for which reason, most frequent first."""
    counted = Counter(all_rejects(record)["reason"].to_pylist())
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def report_address(record: RunRecord) -> str:
    """Where the page lies, or what would make one."""
    if record.report is None:
        return "no report yet: run `presel run`"
    return open_store(record.report.store).locate(f"{record.report.folder}/page.html")
