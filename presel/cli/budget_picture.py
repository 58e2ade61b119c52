"""How other budgets would be shared out, as a picture in the terminal: a column a budget, a row a task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from presel.cli.console import screen, visible
from presel.errors import ConfigError
from presel.runs import budget_curve
from presel.runs.budget_curve import Point
from presel.runs.figures import dollars
from presel.runs.run_record import RunRecord

_BLOCKS = " ▁▂▃▄▅▆▇█"
_STEPS, _COLUMN, _NAME, _TASKS = 10, 8, 14, 24
_RANGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%?\s*(?:\.\.\s*(\d+(?:\.\d+)?)\s*%?\s*)?")


def shares(said: str) -> list[float]:
    """`5%..50%` as ten shares, or as many as the terminal has room for; `20%` as one. Raises ConfigError."""
    found = _RANGE.fullmatch(said)
    scale = 100 if "%" in said else 1  # 5%..50% or 0.05..0.5
    try:
        low, high = float(found[1]) / scale, float(found[2] or found[1]) / scale  # type: ignore[index]
    except (TypeError, ValueError):
        low = high = 0.0
    if not 0 < low <= high <= 1:
        raise ConfigError("no range of budgets", where="--budget", expected="5%..50%, or one as 20%", got=said)
    steps = _steps(high - low, max(2, min(_STEPS, (screen.width - _NAME) // _COLUMN)))
    return [round(low + (high - low) * step / max(1, steps - 1), 4) for step in range(steps)]


def _steps(span: float, room: int) -> int:
    """So many columns as there is room for, fewer where that makes them whole per cents apart."""
    if not span:
        return 1
    even = (steps for steps in range(room, room // 2, -1) if steps > 1 and abs(100 * span / (steps - 1) % 1) < 1e-9)
    return next(even, room)


def points(record: RunRecord, plan: Sequence[Mapping[str, Any]], budgets: Sequence[float]) -> list[Point]:
    """What each of them would buy: the plan's own division, with the plan's prices."""
    return budget_curve.of_plan(record.rankings, [row for row in plan if row["usable"]], record.samples.rows, budgets)


def draw(found: Sequence[Point], plan: Sequence[Mapping[str, Any]]) -> None:
    """Quotas, each with a block for the share of its task's images that would be instructed; then records, price, coverage."""
    rows = sorted((row for row in plan if row["usable"]), key=lambda row: (-row["weight"], row["task"]))
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    grid.add_column("task", overflow="fold", max_width=_NAME + 4)
    for point in found:
        grid.add_column(f"{point.share:.3g}" if point.share < 0.001 else f"{100 * point.share:.3g}%", justify="right")
    for row in rows[:_TASKS]:
        grid.add_row(escape(visible(row["task"])), *(_quota(point, row) for point in found))
    if rest := rows[_TASKS:]:
        sums = (sum(point.quotas[row["task"]] for row in rest) for point in found)
        grid.add_row(f"{len(rest)} more", *(f"{total:,}  " for total in sums))
    grid.add_row()
    grid.add_row("records", *(f"{point.records:,}  " for point in found))
    grid.add_row("price", *(f"{_short(point.price_usd)}  " for point in found))
    grid.add_row("coverage", *(f"{point.coverage:.0%} {block(point.coverage)}" for point in found))
    screen.print(
        "How a budget is shared out. Blocks: the share of a task's images that would be instructed.", soft_wrap=True
    )
    screen.print(grid)


def _quota(point: Point, row: Mapping[str, Any]) -> str:
    quota = point.quotas[row["task"]]
    return f"{quota:,} {block((quota + row['reference'] + row['kept']) / row['usable'])}"


def _short(usd: float) -> str:
    return dollars(usd) if usd < 100 else f"${usd:,.0f}"


def block(share: float) -> str:
    """One sign for a share of 0 to 1; anything above nothing shows."""
    return _BLOCKS[min(8, max(int(share > 0), round(8 * share)))]
