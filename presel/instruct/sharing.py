"""One engine for all threads of a process that want the same, and how all of them end.

Stages run in threads (Prefect's task runner) and share one engine per store and generator, so that eight tasks of a flow do
not ask eight times as fast as the limit allows. A process that is told to end lets what is under way finish: it is paid for.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from presel.config import GeneratorConfig
from presel.errors import EndpointUnavailable
from presel.instruct.engine import Engine

_engines: dict[tuple[str, str], tuple[Engine, int]] = {}
_closing: set[Engine] = set()
_ended: list[Exception] = []
"""Why no engine may be opened any more, if that is so: the first reason counts."""
_guard = threading.Lock()


@contextmanager
def shared(store: str, generator: GeneratorConfig) -> Iterator[Engine]:
    """The engine of this process for a store and a generator; the last to leave closes it.

    Raises ConfigError when there is no key, no price or no usable address, and whatever `drain` was told: a thread that
    becomes free while a process ends must not begin anew.
    """
    name = (store, generator.model_dump_json())
    with _guard:
        if _ended:
            raise _ended[0]
        engine, users = _engines.get(name) or (Engine(store, generator), 0)
        _engines[name] = (engine, users + 1)
        if _ended:  # told while it opened
            engine.stop(_ended[0])
    try:
        yield engine
    finally:
        with _guard:
            users = _engines[name][1] - 1
            _engines[name] = (engine, users)
            if not users:
                del _engines[name]
                _closing.add(engine)
        if not users:
            try:
                engine.close()
            finally:
                _closing.discard(engine)


def drain(why: Exception) -> None:
    """Stop every engine of this process, and open no other until `resume`.

    What is under way is kept, what waits fails with `why`. Takes no lock: it is called from signal handlers.
    """
    _ended.append(why)
    for engine, _ in list(_engines.values()):
        engine.stop(why)


def resume() -> None:
    """Let engines be opened again: a process (a notebook, a worker) may live on after a run that was stopped."""
    _ended.clear()


def drained(seconds: float) -> bool:
    """Wait until every engine of this process has kept what was under way, at most so long; whether that is so."""
    deadline = time.monotonic() + seconds
    while (_engines or _closing) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not (_engines or _closing)


@contextmanager
def draining_on_sigterm() -> Iterator[None]:
    """SIGTERM lets what is under way finish and be kept; only then does it do what it did before.

    Only the main thread hears signals. Elsewhere this does nothing: the owner of the main thread has to wrap it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = []

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        drain(EndpointUnavailable("stopped by SIGTERM", fix="run again: every answer so far is kept"))

    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if heard:
            resume()  # if anything is left to go on, it is the caller's business
            signal.raise_signal(signal.SIGTERM)
