"""Figures for Prometheus while a flow runs, if PRESEL_METRICS names an address (`127.0.0.1:9464`) for its process to answer at.

They count what the board shows, from the same progress: units of work, requests, tokens, dollars, refusals, seconds of tasks. A
flow is a process of its own and so is its endpoint: it ends with the run, and two runs on one machine need two ports (the
second says so in its log and goes on without). What is bought is on the store for good: `presel ledger stats`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter as Counts
from collections import defaultdict
from functools import cache

from presel.concurrency.progress import Listener, Progress
from presel.errors import ConfigError, PreselError, require
from presel.tables import table_store
from presel.tables.schemas import TableRef

VARIABLE = "PRESEL_METRICS"
log = logging.getLogger("presel.metrics")  # below `presel`, whose lines go to the UI
_guard = threading.Lock()


class Meters:
    """The meters of this process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Summary

        self.registry = all_of = CollectorRegistry()
        self._units = Counter("presel_units", "Units of work done", ["stage", "unit"], registry=all_of)
        self._requests = Counter("presel_requests", "Answers bought", registry=all_of)
        self._tokens = Counter("presel_tokens", "Tokens billed", ["direction"], registry=all_of)
        self._spent = Counter("presel_spent_usd", "US dollars spent by this process", registry=all_of)
        self._saved = Counter(
            "presel_saved_usd", "US dollars that answers paid for earlier would have cost", registry=all_of
        )
        self._store = Gauge("presel_store_spent_usd", "US dollars spent from this store by all runs", registry=all_of)
        self._cap = Gauge("presel_cap_usd", "US dollars the store may spend; 0 without a cap", registry=all_of)
        self._rejects = Counter("presel_rejects", "Images and answers refused", ["stage", "reason"], registry=all_of)
        self._seconds = Summary("presel_task_seconds", "Seconds that tasks took", ["stage", "state"], registry=all_of)

    def listener(self, stage: str) -> Listener:
        """Hears the progress of one task run. Its reports count from the task's start, meters only ever go on."""
        before: dict[str, float] = defaultdict(float)

        def grown(name: str, value: float) -> float:
            growth = max(0.0, value - before[name])
            before[name] += growth
            return growth

        def hear(progress: Progress) -> None:
            self._units.labels(stage, progress.unit).inc(grown("done", progress.done))
            figures = progress.figures
            self._requests.inc(grown("requests", figures.get("requests", 0)))
            for direction in ("input", "output"):
                self._tokens.labels(direction).inc(grown(direction, figures.get(f"{direction}_tokens", 0)))
            self._spent.inc(grown("spent", figures.get("spent_usd", 0.0)))
            self._saved.inc(grown("saved", figures.get("saved_usd", 0.0)))
            if "cap_usd" in figures:
                self._store.set(figures["store_usd"])
                self._cap.set(figures["cap_usd"])

        return hear

    def ran(self, stage: str, state: str, seconds: float, result: object) -> None:
        """A task is over."""
        self._seconds.labels(stage, state).observe(seconds)
        if isinstance(result, TableRef) and result.rejects:
            try:
                reasons = Counts(table_store.rejects(result)["reason"].to_pylist())
            except PreselError as error:  # a figure is not worth the task that made it
                log.warning("the rejects of %s are not counted: %s", stage, error)
                return
            for reason, count in reasons.items():
                self._rejects.labels(stage, reason).inc(count)


def meters() -> Meters | None:
    """Those of this process, served over HTTP; None where nobody asked for any. Raises ConfigError for a wrong address."""
    with _guard:  # tasks begin in threads, and the first one opens the port
        return _served(os.environ.get(VARIABLE, ""))


@cache
def _served(address: str) -> Meters | None:
    if not address:
        return None
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError("no address to answer at", where=VARIABLE, expected="host:port", got=address)
    require("metrics", VARIABLE)
    found = Meters()
    _serve(found, host or "127.0.0.1", int(port))
    return found


def _serve(found: Meters, host: str, port: int) -> None:
    from prometheus_client import start_http_server

    try:
        start_http_server(port, host, registry=found.registry)
    except OSError as error:
        log.warning("no metrics: %s:%d cannot be listened at (%s)", host, port, error.strerror)
