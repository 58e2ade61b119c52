"""Live progress in a terminal; one line per finished piece of work where there is none (a log, CI)."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from presel import progress
from presel.cli.console import visible


class Live:
    """Listens to a run and shows each stage as one bar, summed over its parts or tasks."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._parts: dict[str, dict[str, tuple[int, int]]] = {}
        self._bars: dict[str, TaskID] = {}
        self._paces: dict[str, progress.Pace] = {}
        self._display = Progress(
            TextColumn("{task.description:>12}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[pace]}"),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )

    def __call__(self, event: progress.Progress) -> None:
        if not event.total:
            return  # nothing to do is not worth a line
        with self._lock:
            parts = self._parts.setdefault(event.stage, {})
            before = parts.get(event.label, (0, 0))
            parts[event.label] = (event.done, event.total)
            if self._console.is_terminal:
                self._draw(event, parts)
            elif event.done == event.total and before[0] != event.done:
                note = f"  {event.note}" if event.note else ""
                label = visible(event.label)
                self._console.print(
                    f"  {event.stage} {label}: {event.done} {event.unit}{note}", markup=False, soft_wrap=True
                )

    def _draw(self, event: progress.Progress, parts: dict[str, tuple[int, int]]) -> None:
        if event.stage not in self._bars:
            self._bars[event.stage] = self._display.add_task(event.stage, unit=event.unit, note="", pace="")
            self._paces[event.stage] = progress.Pace()
        done, total = (sum(values) for values in zip(*parts.values(), strict=True))
        self._paces[event.stage].reached(done)
        pace = self._paces[event.stage].words(event.unit, total - done) if done < total else ""
        self._display.update(
            self._bars[event.stage], completed=done, total=total, unit=event.unit, note=event.note, pace=pace
        )

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()
