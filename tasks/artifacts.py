"""Artifacts of a run: shown once, or kept up to date by a thread that nobody waits for.

Those that a person looks for (the plan, the board) belong to the flow run, not to the task that made them. They are few, since
the run's Artifacts tab shows them in no order: the board links to them in the order of reading.

A server that is away for minutes makes Prefect's client wait for minutes (tasks/patience.py). A GPU must not stand still
for the sake of a percentage, so what changes while work goes on is sent by one thread of the process, the latest state only,
and a state that could not be sent is superseded by the next. One that is shown once is waited for. None is worth a run: what
the server will not take is a line in the log, and everything it would have shown is on the store.
"""

from __future__ import annotations

import contextvars
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

log = logging.getLogger("presel.artifacts")  # below `presel`, whose lines go to the UI

_LAST_WORD = 5.0
"""Seconds that the end of a task waits for its last state to be sent."""


def show_markdown(key: str, text: str, description: str) -> str | None:
    """A page of the current flow run. It stays below 200 kB: the server's Artifacts page loads every latest one whole.

    Returns its id; None where the server would not take it.
    """
    return _create("markdown", key, text, description)


def show_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> str | None:
    """A table of the current flow run, likewise."""
    return _create("table", key, json.dumps(list(rows)), description)


class LiveArtifact:
    """One that is created by the first `say` and brought up to date by those that follow."""

    def __init__(self, kind: str, key: str | None, flow_run: str | None, task_run: str | None = None) -> None:
        self._what = {"type": kind, "key": key and _key(key), "flow_run_id": flow_run, "task_run_id": task_run}
        # Prefect finds its server through the context; the thread has none of its own.
        self._context = contextvars.copy_context()
        self.id: UUID | None = None
        """Once it was sent."""
        self._wanted: tuple[Any, str, threading.Event] | None = None

    def say(self, data: Any, description: str) -> None:
        """What it shall show. Returns at once."""
        self._wanted = data, description, threading.Event()
        _courier.send(self)

    def settle(self) -> None:
        """Wait a little until what was said last has been sent."""
        if self._wanted is not None:
            self._wanted[2].wait(_LAST_WORD)

    def deliver(self) -> None:
        """Send what was said last. Never fails."""
        assert self._wanted is not None
        data, description, sent = self._wanted
        try:
            self._context.run(self._send, data, description)
        except Exception:
            log.debug("an artifact was not brought up to date", exc_info=True)
        sent.set()

    def _send(self, data: Any, description: str) -> None:
        with get_client(sync_client=True) as client:
            if self.id is None:
                self.id = client.create_artifact(ArtifactCreate(**self._what, data=data, description=description)).id
            else:
                client.update_artifact(self.id, ArtifactUpdate(data=data, description=description))


class _Courier:
    """The thread. Several states of one artifact that wait are one delivery: of the latest."""

    def __init__(self) -> None:
        self._waiting: dict[LiveArtifact, None] = {}
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def send(self, artifact: LiveArtifact) -> None:
        with self._wake:
            self._waiting[artifact] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="presel-artifacts", daemon=True)
                self._thread.start()
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._waiting:
                    self._wake.wait()
                artifact = next(iter(self._waiting))
                del self._waiting[artifact]
            artifact.deliver()


_courier = _Courier()


def _create(kind: str, key: str, data: str, description: str) -> str | None:
    what = ArtifactCreate(
        type=kind, key=_key(key), data=data, description=description, flow_run_id=runtime.flow_run.id or None
    )
    try:
        with get_client(sync_client=True) as client:
            return str(client.create_artifact(what).id)
    except Exception as error:
        log.warning("the artifact %s is not shown (%s: %s)", key, type(error).__name__, error)
        return None


def _key(name: str) -> str:
    """Prefect takes small letters, digits and dashes; a dataset's name may have underscores, a stage's blanks."""
    return name.replace("_", "-").replace(" ", "-")
