"""The progress of one task run as a Prefect artifact: percentage, rate, time left. Work of a few seconds shows none.

For tasks that a Ray or Dask worker runs. Others tell the board (tasks/board.py), and need no card of their own.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from prefect import runtime

from presel.concurrency.progress import Pace, Progress, duration
from tasks.artifacts import LiveArtifact

_FIRST_AFTER = 5.0
_SECONDS_BETWEEN_UPDATES = 2.0


class ProgressArtifact:
    """Listens to one task run's progress."""

    def __init__(self) -> None:
        self._artifact: LiveArtifact | None = None
        self._started = time.monotonic()
        self._next = self._started + _FIRST_AFTER
        self._pace = Pace()
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        if not progress.total:
            return
        self._last = progress
        self._pace.reached(progress.done)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SECONDS_BETWEEN_UPDATES
        if self._artifact is None:
            run = runtime.flow_run.id, runtime.task_run.id
            self._artifact = LiveArtifact("progress", f"progress-{progress.stage}", *run)
        pace = self._pace.words(progress.unit, progress.total - progress.done)
        self._artifact.say(_percent(progress), f"{_count(progress)}, {pace}{_note(progress)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        last, artifact = self._last, self._artifact
        if artifact is None or last is None:
            return
        took = duration(time.monotonic() - self._started)
        if kind is None:
            artifact.say(100.0, f"{last.stage} {last.label}: {last.done:,} {last.unit} in {took}{_note(last)}")
        else:
            artifact.say(_percent(last), f"stopped after {took} ({kind.__name__}) at {_count(last)}{_note(last)}")
        artifact.settle()


def _percent(progress: Progress) -> float:
    return round(100.0 * progress.done / progress.total, 1)


def _count(progress: Progress) -> str:
    return f"{progress.stage} {progress.label}: {progress.done:,} of {progress.total:,} {progress.unit}"


def _note(progress: Progress) -> str:
    return f"; {progress.note}" if progress.note else ""
