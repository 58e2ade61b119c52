"""Which pictures wait for people: what the last run chose, asked for and did not get."""

from __future__ import annotations

from typing import Any, Literal

from presel.images.reasons import Reason
from presel.runs.run_record import RunRecord
from presel.tables import table_store
from presel.tables.schemas import TableRef, rows_of

Set = Literal["reference", "selection"]


def pending(record: RunRecord, of: Set | None = None) -> tuple[Set, list[dict[str, Any]]]:
    """The set that waits, and its rows in pick order, all tasks side by side: who stops halfway has some of each.

    The reference set comes first, since weights and quotas rest on it: with `of` left out, the selection is only looked at
    where nothing of the reference set waits.
    """
    reference = _waiting(record.reference, record.reference_instructions)
    if of == "reference" or (of is None and reference):
        return "reference", reference
    return "selection", _waiting(record.selection, record.instructions)


def why_picked(row: dict[str, Any]) -> str:
    """In words for the person who writes about it."""
    if row.get("centrality") is None:
        return f"a random sample of the task {row['task']}"
    if row.get("kept"):
        return "it stays from an earlier version"
    place = "the most typical picture" if row["rank"] == 0 else f"number {row['rank'] + 1} in being typical"
    return f"{place} of its group ({row['cluster']}), pick {row['order'] + 1} of the task {row['task']}"


def _waiting(wanted: tuple[TableRef, ...], instructed: tuple[TableRef, ...]) -> list[dict[str, Any]]:
    found = []
    for chosen, answered in zip(wanted, instructed, strict=True):
        rejects = table_store.rejects(answered)
        ids = {row["id"] for row in rows_of(rejects) if row["reason"] == Reason.PENDING}
        if ids:
            found += [row for row in rows_of(table_store.read(chosen)) if row["sample_id"] in ids]
    return sorted(found, key=lambda row: (row["order"], row["task"], row["sample_id"]))
