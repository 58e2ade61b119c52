"""The table that a terminal shows while a run is under way: whole at every width, and what happens in it."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from presel.cli.live import Live, money
from presel.cli.live_table import Row, page
from presel.concurrency.progress import Pace, Progress
from tests.test_progress import Clock

STEADY = {"done": 1_204, "total": 2_466.0, "unit": "images", "over": False}


def pace(done: float) -> Pace:
    clock = Clock()
    found = Pace(60.0, clock)
    clock.now = 10.0
    found.reached(done)
    return found


def rows(count: int = 3) -> list[Row]:
    over = [Row(f"stage {number}", 2_472, 2_472, "objects", pace(0), over=True, rejects=6) for number in range(count)]
    return [*over, Row("instruct reference", pace=pace(1_204), note="loss 0.337", **STEADY)]


def shown(width: int, height: int = 40, **words: str) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    said = {"money": "$0.0043 spent; the store has spent $0.0043 of its cap of $1.00 (0.4%)", "doing": "", **words}
    console.print(page("presel  refresh demo  10 s", rows(), width=width, height=height, **said))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_every_column_is_whole_at_every_width(width: int) -> None:
    lines = shown(width)
    assert all(len(line) <= width for line in lines)
    told = " ".join("\n".join(lines).split())
    for word in (
        "instruct reference",
        "1,204/2,466 images",
        "120/s",
        "10 s",
        "rejects",
        "2,472 objects",
        "$1.00 (0.4%)",
    ):
        assert word in told
    assert "…" not in told
    assert ("loss 0.337" in told) == (width >= 120)


def test_a_low_terminal_shows_the_stages_that_are_under_way() -> None:
    console = Console(file=io.StringIO(), width=80, height=10, force_terminal=True, color_system=None)
    console.print(page("run", rows(20), "", "", width=80, height=10))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 10
    assert "instruct reference" in lines[-1]
    assert any("17 before" in line for line in lines)


def test_an_endpoint_that_is_silent_is_said_below_the_table() -> None:
    silent = rows()[-1]._replace(trouble="the endpoint does not answer")
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    console.print(page("run", [silent], "", "waiting", width=80, height=40))
    assert "the endpoint does not answer" in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_others_write_meanwhile_stands_above_the_table_and_tears_nothing() -> None:
    written = io.StringIO()
    console = Console(file=written, width=80, force_terminal=True)
    with Live(console, "run demo") as live:
        for done in range(1, 5):
            live(Progress("embed", "00000", done, 4, "images"))
            console.print(f"a warning {done}")
            live._display.refresh()
    frames = re.split(r"\r\x1b\[2K((?:\x1b\[1A\x1b\[2K)*)", written.getvalue())
    below = None
    for moved, body in zip(frames[1::2], frames[2::2], strict=True):
        if below is not None:
            assert moved.count("1A") == below
        table = body.rpartition("a warning")[2] if "a warning" in body else body
        below = table.count("\n") - ("a warning" in body)


def test_without_a_terminal_each_finished_piece_is_a_line() -> None:
    written = io.StringIO()
    console = Console(file=written, width=80)
    with Live(console, "presel  refresh demo") as live:
        live.doing("starting")
        for done in (1, 2, 2):
            live(Progress("embed", "00000", done, 2, "images", "a note"))
    assert written.getvalue().splitlines() == ["presel  refresh demo: starting", "  embed 00000: 2 images  a note"]


def test_the_money_of_a_run_and_of_its_store() -> None:
    told = [
        {"spent_usd": 0.5, "saved_usd": 0.25, "store_usd": 1.5, "cap_usd": 2.0},
        {"spent_usd": 0.5, "store_usd": 1.0, "cap_usd": 2.0},
    ]
    assert money(told) == "$1.00 spent, $0.2500 saved by reuse; the store has spent $1.50 of its cap of $2.00 (75.0%)"
    assert money([]) == ""
