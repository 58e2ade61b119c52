"""Live progress: one table in a terminal, and a line per finished piece of work where there is none (a log, CI).

A flow's stages come from its board, which counts the tasks that are found made, too; other work is heard as it tells of itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from math import fsum
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
from rich.live import Live as Redrawn

from presel import cli
from presel.cli.console import visible
from presel.cli.live_table import Row, page
from presel.concurrency import progress
from presel.runs.figures import dollars

if TYPE_CHECKING:
    from tasks.lanes import Lane

Lanes = Callable[[], "Sequence[Lane]"]
Figures = Mapping[str, float]


class Live:
    """Listens to a run and shows each stage as one line, summed over its parts or tasks."""

    def __init__(self, console: Console, headline: str = "", lanes: Lanes | None = None) -> None:
        self._console, self._headline, self._lanes = console, headline, lanes
        self._lock = threading.Lock()
        self._told: dict[str, dict[str, progress.Progress]] = {}
        self._paces: dict[str, progress.Pace] = {}
        self._doing, self._over = "", False
        # What others write meanwhile, a library's warning or a log, comes to stand above the table.
        self._display = Redrawn(get_renderable=self._page, console=console, refresh_per_second=4)

    def doing(self, words: str) -> None:
        """What is waited for while no stage is under way."""
        self._doing = words
        if not self._console.is_terminal and words:
            self._console.print(f"{self._headline}: {words}", markup=False, soft_wrap=True)

    def __call__(self, event: progress.Progress) -> None:
        if not event.total:
            return  # nothing to do is not worth a line
        with self._lock:
            parts = self._told.setdefault(event.stage, {})
            before = parts.get(event.label)
            parts[event.label] = event
            pace = self._paces.setdefault(event.stage, progress.Pace())
            pace.reached(sum(part.done for part in parts.values()))
        if not self._console.is_terminal and event.done == event.total and (not before or before.done != event.done):
            note = f"  {event.note}" if event.note else ""
            said = f"  {event.stage} {visible(event.label)}: {event.done} {event.unit}{note}"
            self._console.print(said, markup=False, soft_wrap=True)

    def _page(self) -> RenderableType:
        lanes = list(self._lanes()) if self._lanes else []
        rows = [_of_lane(lane) for lane in lanes if _worth_a_line(lane)] if lanes else self._heard()
        told = [told.figures for lane in lanes for told in lane.told.values() if told.figures]
        wide, high = self._console.size
        high += len(rows) if self._over else 0  # the last page stands in full
        took = progress.duration(time.time() - cli.BEGAN)
        doing = "" if any(not row.over for row in rows) else self._doing
        return page(f"{self._headline}  {took}", rows, money(told), doing, wide, high)

    def _heard(self) -> list[Row]:
        with self._lock:
            return [_of_events(stage, list(parts.values()), self._paces[stage]) for stage, parts in self._told.items()]

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._display.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._doing, self._over = "", True
        self._display.stop()


def _of_events(stage: str, parts: Sequence[progress.Progress], pace: progress.Pace) -> Row:
    done, total = sum(part.done for part in parts), sum(part.total for part in parts)
    note, trouble = parts[-1].note, next((part.trouble for part in parts if part.trouble), "")
    return Row(stage, done, total, parts[-1].unit, pace, over=done >= total, note=note, trouble=trouble)


def _of_lane(lane: Lane) -> Row:
    if lane.told:
        done, total, unit = lane.done, lane.total, lane.unit
    else:
        done, total, unit = lane.ended.total(), float(lane.tasks), "tasks"
    return Row(
        lane.name,
        done,
        total,
        unit,
        lane.pace,
        over=lane.over,
        rejects=lane.rejects,
        note=lane.note,
        trouble=lane.trouble,
        cached=lane.ended["Cached"] == lane.tasks,
    )


def _worth_a_line(lane: Lane) -> bool:
    """Not a step that looks something up and is over: it has no progress, and nobody waits for it."""
    return bool(lane.told or lane.rejects or not lane.over or lane.tasks > 1 or lane.ended["Cached"])


def money(told: Sequence[Figures]) -> str:
    """What was paid, if anything was asked for: by this run, and by the store against its cap."""
    if not told:
        return ""
    spent, saved = (fsum(figures.get(name, 0.0) for figures in told) for name in ("spent_usd", "saved_usd"))
    store, cap = (max(figures.get(name, 0.0) for figures in told) for name in ("store_usd", "cap_usd"))
    words = f"{dollars(spent)} spent" + (f", {dollars(saved)} saved by reuse" if saved else "")
    return (
        f"{words}; the store has spent {dollars(store)} of its cap of {dollars(cap)} ({store / cap:.1%})"
        if cap
        else words
    )
