"""One table for a run: a line a stage, fitted to the terminal's width and height. No state; what is shown comes in as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from presel.cli.console import visible
from presel.concurrency.progress import Pace, duration

BAR_FROM, NOTE_FROM = 100, 120
"""Widths from which there is room for a bar, and for what a stage says in words."""
_BAR, _HEAD_AND_FOOT = 16, 6


class Row(NamedTuple):
    """What one stage has come to."""

    name: str
    done: int
    total: float
    unit: str
    pace: Pace
    over: bool
    rejects: int | None = None
    """None: nobody counts them here."""
    note: str = ""
    trouble: str = ""
    cached: bool = False
    """Nothing was made: it was there."""


def page(headline: str, rows: Sequence[Row], money: str, doing: str, width: int, height: int) -> RenderableType:
    """What the terminal shows: a headline, the stages, the money, and what is being waited for."""
    parts: list[RenderableType] = [Text(visible(headline), style="bold", no_wrap=True, overflow="ellipsis")]
    if rows:
        parts.append(_table(rows, width, max(1, height - _HEAD_AND_FOOT)))
    if money:
        parts.append(Text(money, overflow="fold"))
    trouble = next((row.trouble for row in reversed(rows) if row.trouble and not row.over), "")
    if said := trouble or doing:
        parts.append(Text(visible(said), style="yellow" if trouble else "dim", overflow="fold"))
    return Group(*parts)


def _table(rows: Sequence[Row], width: int, most: int) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2 if width >= BAR_FROM else 1, 0, 0))
    grid.expand = width >= NOTE_FROM
    grid.add_column("stage", no_wrap=True, overflow="ellipsis", max_width=20, min_width=8)
    grid.add_column("done", justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True, overflow="ellipsis", max_width=12)
    if width >= BAR_FROM:
        grid.add_column("", width=_BAR)
    for heading in ("rate", "left", "rejects"):
        grid.add_column(heading, justify="right", no_wrap=True)
    if width >= NOTE_FROM:
        grid.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    if hidden := len(rows) - most:
        grid.add_row(f"{hidden} before", style="dim") if hidden > 0 else None
    for row in rows[-most:]:
        grid.add_row(*_cells(row, width), style="dim" if row.over else "")
    return grid


def _cells(row: Row, width: int) -> list[RenderableType]:
    done = f"{row.done:,}" if row.over else f"{row.done:,}/{row.total:,.0f}"
    cells: list[RenderableType] = [visible(row.name), done, row.unit]
    if width >= BAR_FROM:
        cells.append(
            ProgressBar(total=max(row.total, 1), completed=row.total or 1 if row.over else row.done, width=_BAR)
        )
    moving = not row.over and row.pace.rate > 0
    cells.append(rate(row.pace.rate) if moving else "made before" if row.cached else "")
    cells.append(duration((row.total - row.done) / row.pace.rate) if moving and row.total > row.done else "")
    cells.append(f"{row.rejects:,}" if row.rejects else "")
    if width >= NOTE_FROM:
        cells.append(Text(visible(row.note), style="dim"))
    return cells


def rate(a_second: float) -> str:
    """`120/s`; slow work is told by the minute."""
    if a_second < 1:
        return f"{60 * a_second:.1f}/min"
    return f"{a_second:,.0f}/s" if a_second >= 10 else f"{a_second:.1f}/s"
