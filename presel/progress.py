"""Saying how far work has come, to whoever listens: a terminal, the Prefect UI, a test, nobody.

The library reports; it does not know who shows it. Listeners hang on a context variable, so two runs in one process do
not hear each other, and Prefect's task threads inherit the listener of their flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    stage: str
    label: str
    """The part, task or set that is being worked on."""
    done: int
    total: int
    unit: str
    note: str = ""
    """What else a person would want to see: rates, money spent."""


Listener = Callable[[Progress], None]
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("presel_progress", default=())


def report(stage: str, label: str, done: int, total: int, unit: str, note: str = "") -> None:
    for listener in _listeners.get():
        listener(Progress(stage, label, done, total, unit, note))


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear every report made in this context until the block ends."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)
