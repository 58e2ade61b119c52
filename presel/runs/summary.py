"""What a person asks after a run: per task, how many and why, and what it cost against what everything would have cost."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from math import fsum
from typing import Any, NamedTuple

from presel.dataset.records import rejected_rows
from presel.images.reasons import Reason
from presel.runs.figures import TaskLine, over_budget_words, task_lines
from presel.runs.refused import refused
from presel.runs.run_record import RunRecord
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.guard import threshold_of
from presel.tables.schemas import rows_of


class Money(NamedTuple):
    """US dollars."""

    everything: float
    """Estimate: every usable image at the mean price of its task's answers."""
    paid: float
    """What the dataset's answers cost when they were bought, whichever run bought them."""
    expected: float
    """The plan's price for the selection, the reference set included."""


class Guarded(NamedTuple):
    """What the near-duplicate guard did in a task."""

    threshold: float | None
    """The cosine from which an image is a copy; None: there is no guard."""
    left_out: int

    def __str__(self) -> str:
        return "" if self.threshold is None else f"{self.left_out:,} from {self.threshold:.3f}"


class Summary:
    """A run in figures. Each table is read when it is first asked for, and once."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record

    @cached_property
    def plan(self) -> list[dict[str, Any]]:
        """The rows of PLAN, one a task."""
        return rows_of(table_store.read(self.record.plan))

    @cached_property
    def bought(self) -> list[dict[str, Any]]:
        """`task`, `cost_usd` and `origin` of every instruction."""
        record = self.record
        origins = (("reference", record.reference_instructions), ("selected", record.instructions))
        return [
            {**row, "origin": origin}
            for origin, tables in origins
            for ref in tables
            for row in rows_of(table_store.read(ref, ["task", "cost_usd"]))
        ]

    @cached_property
    def rejects(self) -> list[dict[str, str]]:
        """Rows of REJECTS: every refused image or answer with its reason, in a fixed order."""
        return rejected_rows(refused(self.record))

    @cached_property
    def guards(self) -> dict[str, Guarded]:
        """By task, those that have a ranking: what counts as a near-duplicate there, and how many the plan left out."""
        record, fixed = self.record, self.record.config.selection.near_duplicate
        copies = Counter(row["task"] for row in self.rejects if row["reason"] == Reason.NEAR_DUPLICATE)
        found = {}
        for ranking in record.rankings:
            task = ranking.label
            cosine = threshold_of(record.guard, task) if record.guard else None if fixed == "auto" else fixed
            found[task] = Guarded(cosine, copies[task])
        return found

    @cached_property
    def lines(self) -> list[TaskLine]:
        """The figures of every task, as the report and the card show them."""
        return task_lines(self.plan, self.bought, self.rejects)

    @cached_property
    def money(self) -> Money:
        """From what the answers cost, as it stands in the tables."""
        reference = fsum(row["cost_usd"] for row in self.bought if row["origin"] == "reference")
        return Money(
            everything=fsum(line.all_usd for line in self.lines),
            paid=fsum(line.spent_usd for line in self.lines),
            expected=reference + fsum(row["price_usd"] or 0.0 for row in self.plan),
        )

    @property
    def over_budget(self) -> str:
        """What is over the budget and why, in words; nothing while nothing is."""
        return over_budget_words(self.plan, self.record.config.budget.share)

    def task_rows(self) -> list[dict[str, Any]]:
        """One row per task: the plan's columns, what became of it (`picked`, `rejected`, `passed_over`), and what the guard
        left out (`near_duplicates`, from a cosine of `guard`)."""
        none = Guarded(None, 0)
        return [
            {
                **row,
                "picked": line.picked,
                "rejected": line.rejected,
                "passed_over": line.passed_over,
                "guard": self.guards.get(row["task"], none).threshold,
                "near_duplicates": self.guards.get(row["task"], none).left_out,
            }
            for row, line in zip(self.plan, self.lines, strict=True)
        ]

    def reject_counts(self) -> dict[str, int]:
        """How many were refused for which reason, most frequent first."""
        counted = Counter(row["reason"] for row in self.rejects)
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def report_address(record: RunRecord) -> str:
    """Where the page lies, or what would make one."""
    if record.report is None:
        return "no report yet: run `presel run`"
    return open_store(record.report.store).locate(f"{record.report.folder}/page.html")
