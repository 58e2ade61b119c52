"""`presel status --watch`: a run that is under way elsewhere, looked at from here.

That a run is under way stands on the store, whoever runs it, and so does the money it spends. Its stages stand on its board,
which the Prefect server has: that of a worker, or of a `presel run` that has PREFECT_API_URL. A private server has no address.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from presel.cli.console import screen, visible
from presel.concurrency.progress import duration
from presel.config import RefreshConfig
from presel.errors import MissingExtra
from presel.instruct.money.purse import spending
from presel.runs.figures import dollars
from presel.runs.housekeeping.gc import GRACE
from presel.runs.housekeeping.under_way import UnderWay, under_way
from presel.storage import open_store

EVERY = 2.0
"""Seconds between two looks."""


class Board(NamedTuple):
    """What a run's board says: its line, and its stages as rows below their headings."""

    line: str
    rows: list[list[str]]


Boards = Callable[[Sequence[str]], dict[str, Board]]


def watch(settings: RefreshConfig, every: float = EVERY) -> bool:
    """Show runs of that store until the last one ends. False where none is under way."""
    runs, boards, said = under_way(settings.store, GRACE), _boards(), ""
    if not runs:
        return False
    with Live(console=screen, auto_refresh=False, transient=False) as display:
        while runs:
            seen = boards([run.run for run in runs])
            words = _words(runs, seen, settings)
            if screen.is_terminal:
                display.update(_page(words, list(seen.values())), refresh=True)
            elif words[-1] != said:
                said = words[-1]
                screen.print("\n".join(words), markup=False, soft_wrap=True)
            time.sleep(every)
            runs = under_way(settings.store, GRACE)
    return True


def _words(runs: Sequence[UnderWay], seen: dict[str, Board], settings: RefreshConfig) -> list[str]:
    lines = []
    for run in runs:
        age = duration((datetime.now(UTC) - run.since).total_seconds())
        told = (
            seen[run.run].line if run.run in seen else "where its stages stand, only its own terminal or server knows"
        )
        lines.append(f"a run is under way since {run.since:%H:%M:%S UTC}, for {age}: {told}")
    cap, money = settings.generator.max_cost, spending(open_store(settings.store))
    of_cap = "" if cap == "unlimited" else f" of its cap of {dollars(cap)}"
    reserved = f", {dollars(money['reserved_usd'])} are reserved" if money["reserved_usd"] else ""
    return [*lines, f"the store has spent {dollars(money['spent_usd'])}{of_cap}{reserved}"]


def _page(words: Sequence[str], boards: Sequence[Board]) -> RenderableType:
    return Group(*(Text(visible(line), overflow="fold") for line in words), *(_table(board) for board in boards))


def _table(board: Board) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    head, *rows = board.rows or [[]]
    for name in head:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*(escape(visible(cell)) for cell in row[: len(head)]))
    return grid


def _boards() -> Boards:
    """How to ask the configured Prefect server; where there is none, nothing is known."""
    from presel.cli.prefect_run import first_contact, quiet, server_address

    try:
        if server_address() is None:
            return lambda _: {}
        quiet(private=False)
    except (ImportError, MissingExtra):
        return lambda _: {}
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
    from prefect.client.schemas.sorting import ArtifactSort

    def ask(runs: Sequence[str]) -> dict[str, Board]:
        of_runs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=list(runs)))
        with first_contact(), get_client(sync_client=True) as client:
            found = client.read_artifacts(artifact_filter=of_runs, sort=ArtifactSort.UPDATED_DESC, limit=50)
        boards = [one for one in found if (one.key or "").endswith("-board")]
        return {str(one.flow_run_id): read(one.description or "", str(one.data)) for one in reversed(boards)}

    return ask


def read(line: str, page: str) -> Board:
    """The board from its markdown."""
    lines = [row for row in page.splitlines() if row.startswith("| ")]
    rows = [[_plain(cell) for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in lines]
    return Board(line, rows)


def _plain(cell: str) -> str:
    return html.unescape(re.sub(r"\\(\W)", r"\1", cell.strip()))
