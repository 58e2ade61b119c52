"""Progress of work, for any listener: a terminal, the Prefect UI, a metrics endpoint, a test, or none.

The library reports; it does not know who shows it. Listeners hang on a context variable, so two runs in one process do
not hear each other, and Prefect's task threads inherit the listener of their flow. How fast work goes and how long it will
still take is the listener's arithmetic (`Pace`): it knows when it began to listen.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    stage: str
    label: str
    """The part, task or set that is being worked on."""
    done: int
    total: int
    unit: str
    note: str = ""
    """What else a person would want to see, in words: money spent, the loss."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """The same for programs, counted from the start of this stage and label: requests, tokens, US dollars (see stages)."""
    trouble: str = ""
    """Why it does not go on just now, in words, though it has not failed: an endpoint that does not answer."""


Listener = Callable[[Progress], None]
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("presel_progress", default=())


def report(
    stage: str,
    label: str,
    done: int,
    total: int,
    unit: str,
    note: str = "",
    figures: Mapping[str, float] | None = None,
    trouble: str = "",
) -> None:
    for listener in _listeners.get():
        listener(Progress(stage, label, done, total, unit, note, figures or {}, trouble))


@contextmanager
def listening(*listeners: Listener) -> Iterator[None]:
    """Hear every report made in this context until the block ends."""
    token = _listeners.set((*_listeners.get(), *listeners))
    try:
        yield
    finally:
        _listeners.reset(token)


_TOO_SHORT = 1.0
"""Seconds of work that say nothing about how fast it goes."""


class Pace:
    """Units a second over the last minute, so that a pause or a burst of answers paid for already is soon forgotten."""

    def __init__(self, window: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        self._window, self._now = window, now
        self._marks: deque[tuple[float, float]] = deque([(now(), 0.0)])

    def reached(self, done: float) -> None:
        now = self._now()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > self._window:
            self._marks.popleft()

    @property
    def rate(self) -> float:
        """Units a second; 0 where nothing has moved."""
        (start, before), (_, done) = self._marks[0], self._marks[-1]
        return max(0.0, done - before) / max(self._now() - start, 1e-3)

    def words(self, unit: str, left: float) -> str:
        """`12 images/s, about 3 min left`; slow work is told by the minute."""
        rate = self.rate
        if not rate:
            return "nothing has moved lately" if self._marks[-1][1] else "nothing has moved yet"
        if self._now() - self._marks[0][0] < _TOO_SHORT:
            return "just begun"
        speed = f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.1f} {unit}/s"
        speed = speed if rate >= 1 else f"{60 * rate:.1f} {unit}/min"
        return f"{speed}, about {duration(left / rate)} left" if left > 0 else speed


def duration(seconds: float) -> str:
    """`40 s`, `7 min`, `3 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
