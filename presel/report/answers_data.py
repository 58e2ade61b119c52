"""The list of instructions as the page's script wants it, as long as the page has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from presel.report.packed import packed
from presel.report.sheets import COLUMNS, ROWS, Sheets

INLINE = 900_000
"""Characters of packed instructions that the page itself holds."""
_REFUSED = 4_000
Row = Mapping[str, Any]


def list_data(rows: Sequence[Row], refused: Sequence[Row], sheets: Sheets) -> dict[str, Any]:
    """`tasks`, `models` and `origins` are named once; each row points to them."""
    shown = [*rows, *refused[:_REFUSED]]
    tasks, models, origins = (sorted({row.get(name) or "" for row in shown}) for name in ("task", "model", "origin"))
    places = [{name: i for i, name in enumerate(names)} for names in (tasks, models, origins)]
    return {
        "tasks": tasks,
        "models": models,
        "origins": origins,
        "sheet": [COLUMNS, ROWS],
        "rows": [
            [
                row["key"],
                *(place[row.get(name) or ""] for name, place in zip(("task", "model", "origin"), places, strict=True)),
                sheets.cell(row["sample_id"] or f"key {row['key']}"),
                [[turn["question"], turn["response"]] for turn in row.get("turns", ())],
                row.get("cost_usd") or 0,
                row.get("reason", ""),
                row.get("detail", "")[:300],
            ]
            for row in shown
        ],
    }


def packed_to_fit(rows: Sequence[Row], refused: Sequence[Row], sheets: Sheets) -> tuple[str, int]:
    """As many of the first rows as the page has room for, and how many these are."""
    count = min(len(rows), 8_000)
    while True:
        found = packed(list_data(rows[:count], refused, sheets))
        if len(found) <= INLINE or not count:
            return found, count
        count = int(count * 0.9 * INLINE / len(found))
