"""What a dataset version changes against the one before it: records, weights, money.

A record is *kept* when the same sample carries the same turns, *changed* when its turns differ (another prompt, another
model), *added* or *dropped* otherwise. Money follows: what is kept was paid for by an earlier run and is what reuse saved;
what is added or changed is what this version spent. (An answer that an earlier version paid for, the one before dropped and
this one brings back counts as spent here although the ledger gave it for nothing: the figure is an upper bound.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum
from typing import Any

from presel.formats import CHOSEN_ORIGINS

Record = Mapping[str, Any]


def diff(before: Iterable[Record], after: Iterable[Record]) -> dict[str, Any]:
    """Ids and money by what happened to a record. Both sides are rows of RECORDS, in any order."""
    old = {record["sample_id"]: record for record in before}
    new = {record["sample_id"]: record for record in after}
    kept = [i for i in new if i in old and new[i]["turns"] == old[i]["turns"]]
    changed = [i for i in new if i in old and new[i]["turns"] != old[i]["turns"]]
    added, dropped = [i for i in new if i not in old], [i for i in old if i not in new]
    return {
        "added": {"records": len(added), "ids": sorted(added)},
        "changed": {"records": len(changed), "ids": sorted(changed)},
        "dropped": {"records": len(dropped), "ids": sorted(dropped)},
        "kept": {"records": len(kept)},
        "selection_overlap": _overlap(old, new),
        "spent_usd": cost(new[i] for i in (*added, *changed)),
        "saved_by_reuse_usd": cost(new[i] for i in kept),
    }


def drift(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    """How far task weights moved. `moved` is half the sum of absolute differences: the share that went to other tasks."""
    tasks = sorted({*before, *after})
    both = {task: {"before": before.get(task), "after": after.get(task)} for task in tasks}
    moved = fsum(abs(after.get(task, 0.0) - before.get(task, 0.0)) for task in tasks) / 2
    return {"moved": moved if before else None, "tasks": both}


def cost(records: Iterable[Record]) -> float:
    """US dollars that the answers of these records cost when they were bought. Exact whatever the order."""
    return fsum(record["cost_usd"] or 0.0 for record in records)


def _overlap(old: Mapping[str, Record], new: Mapping[str, Record]) -> float | None:
    """Share of the earlier selection, the reference set left out, that is selected or kept; None without an earlier one."""
    chosen = [i for i, record in old.items() if record["origin"] in CHOSEN_ORIGINS]
    again = [i for i in chosen if i in new and new[i]["origin"] in CHOSEN_ORIGINS]
    return len(again) / len(chosen) if chosen else None
