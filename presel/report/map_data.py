"""The map as the page's script wants it: columns rather than dots, numbers for names, so that 20,000 weigh little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from presel.report.contents import Contents, Map
from presel.report.dots import Near
from presel.report.sheets import COLUMNS, ROWS

GRID = 10_000
"""Positions are whole numbers up to it."""
KINDS = ("pool", "reference", "picked")
_LONGEST = 600
"""Characters of a question or a response; the list of instructions has all of it."""


def map_data(contents: Contents, found: Map, palette: Mapping[str, str]) -> dict[str, Any]:
    """`x`, `y`, `task`, `kind` and the others: one value a dot, in the order of the dots."""
    tasks = sorted({dot.task for dot in found.dots})
    number = {task: i for i, task in enumerate(tasks)}
    dots = found.dots
    return {
        "tasks": tasks,
        "colours": [palette[task] for task in tasks],
        "kinds": KINDS,
        "grid": GRID,
        "sheet": [COLUMNS, ROWS],
        "x": [round(GRID * dot.x) for dot in dots],
        "y": [round(GRID * (1 - dot.y)) for dot in dots],
        "task": [number[dot.task] for dot in dots],
        "kind": [KINDS.index(dot.kind) for dot in dots],
        "key": [dot.key for dot in dots],
        "why": [dot.why for dot in dots],
        "cluster": [dot.cluster for dot in dots],
        "rank": [None if dot.rank is None else dot.rank + 1 for dot in dots],
        "centrality": [_rounded(dot.centrality) for dot in dots],
        "irs": [_rounded(dot.irs) for dot in dots],
        "cell": [contents.sheets.cell(dot.sample_id) for dot in dots],
        "picked": [_near(dot.picked) for dot in dots],
        "skipped": [_near(dot.skipped) for dot in dots],
        "said": {
            i: [turn["question"][:_LONGEST], turn["response"][:_LONGEST]]
            for i, dot in enumerate(dots)
            if (turn := contents.said.get(dot.sample_id))
        },
    }


def _near(near: Near | None) -> list[float] | None:
    return None if near is None else [near.dot, round(near.cosine, 3)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
