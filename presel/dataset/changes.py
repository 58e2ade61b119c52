"""What a dataset version changes against the one before it: records, weights, money.

A record is *kept* when the same sample carries the same turns, *changed* when its turns differ (another prompt, another
model), *added* or *dropped* otherwise. Money follows the answers: one that the version before holds too, to the token and the
cent, is what reuse saved, even where two of them say the same; any other is what this version spent. (An answer that an earlier
version paid for, the one before dropped and this one brings back counts as spent here although the ledger gave it for
nothing: the figure is an upper bound.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import groupby
from math import fsum
from operator import itemgetter
from typing import Any

from presel.dataset.trainer_formats import CHOSEN_ORIGINS

Record = Mapping[str, Any]
ANSWER = ("turns", "model", "input_tokens", "output_tokens", "cost_usd")
"""Columns by which one bought answer is told from another."""


def diff(before: Iterable[Record], after: Iterable[Record]) -> dict[str, Any]:
    """Ids and money by what happened to a record. Both sides are rows of (`sample_id`, `key`, `origin`, ANSWER) in order
    of `sample_id`: they are gone through side by side, so that of two large versions only ids and costs are held."""
    ids: dict[str, list[str]] = {"added": [], "changed": [], "dropped": [], "kept": []}
    spent: list[float] = []
    saved: list[float] = []
    chosen = again = renamed = 0
    for sample, old, new in _side_by_side(before, after):
        happened = _happened(old, new)
        ids[happened].append(sample)
        renamed += happened == "kept" and old is not None and new is not None and old.get("key") != new.get("key")
        if new is not None:
            (saved if _is_reused(old, new) else spent).append(new["cost_usd"] or 0.0)
        if _is_chosen(old):
            chosen, again = chosen + 1, again + _is_chosen(new)
    return {
        **{name: {"records": len(ids[name]), "ids": ids[name]} for name in ("added", "changed", "dropped")},
        "kept": {"records": len(ids["kept"])} | ({"renamed": renamed} if renamed else {}),
        "selection_overlap": again / chosen if chosen else None,
        "spent_usd": fsum(spent),
        "saved_by_reuse_usd": fsum(saved),
    }


def in_words(records: Mapping[str, Any]) -> str:
    """What `diff` counted: `2 added, 0 changed, 96 kept (3 under another name), 1 dropped`."""
    told = {name: f"{records[name]['records']:,} {name}" for name in ("added", "changed", "kept", "dropped")}
    if renamed := records["kept"].get("renamed"):
        told["kept"] += f" ({renamed:,} under another name)"
    return ", ".join(told.values())


def drift(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    """How far task weights moved. `moved` is half the sum of absolute differences: the share that went to other tasks."""
    tasks = sorted({*before, *after})
    both = {task: {"before": before.get(task), "after": after.get(task)} for task in tasks}
    moved = fsum(abs(after.get(task, 0.0) - before.get(task, 0.0)) for task in tasks) / 2
    return {"moved": moved if before else None, "tasks": both}


def _side_by_side(
    before: Iterable[Record], after: Iterable[Record]
) -> Iterator[tuple[str, Record | None, Record | None]]:
    """Each sample once, with its record on either side."""
    both = merge(_of_side(0, before), _of_side(1, after), key=itemgetter(0, 1))
    for sample, found in groupby(both, key=itemgetter(0)):
        by_side = {side: row for _, side, row in found}
        yield sample, by_side.get(0), by_side.get(1)


def _of_side(side: int, rows: Iterable[Record]) -> Iterator[tuple[str, int, Record]]:
    return ((row["sample_id"], side, row) for row in rows)


def _happened(old: Record | None, new: Record | None) -> str:
    if old is None:
        return "added"
    if new is None:
        return "dropped"
    return "kept" if new["turns"] == old["turns"] else "changed"


def _is_reused(old: Record | None, new: Record) -> bool:
    return old is not None and all(old[name] == new[name] for name in ANSWER)


def _is_chosen(record: Record | None) -> bool:
    """The selection leaves the reference set out."""
    return record is not None and record["origin"] in CHOSEN_ORIGINS
