"""Which runs are under way on a store, so that `gc` removes nothing beneath them.

What a run needs may have been needed by nobody for weeks: a pool that is again what it was in spring finds the tables of
spring, and no record names them before its plan is made. So a run says on the store that it has begun, and that it has ended.
One that was killed never says the latter; it counts for as long as anything waits to be removed, then no more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from presel.errors import NotFound
from presel.storage import open_store

FOLDER = "housekeeping/runs"


class UnderWay(NamedTuple):
    run: str
    since: datetime


def announce(store: str, run: str, now: datetime | None = None) -> None:
    """A run begins, or begins again. Before it looks for anything."""
    open_store(store).write(f"{FOLDER}/{run}", (now or datetime.now(UTC)).isoformat(timespec="seconds").encode())


def withdraw(store: str, run: str) -> None:
    """It has ended. One that was never announced is fine."""
    open_store(store).delete(f"{FOLDER}/{run}")


def under_way(store: str, within: timedelta, now: datetime | None = None) -> list[UnderWay]:
    """Runs that began no longer ago than that, and have not ended."""
    place, oldest, found = open_store(store), (now or datetime.now(UTC)) - within, []
    for entry in place.list(f"{FOLDER}/"):
        try:
            since = datetime.fromisoformat(place.read(entry.path).decode())
        except (NotFound, ValueError):  # it has ended this moment; or is damaged, and would count for ever
            continue
        if since >= oldest:
            found.append(UnderWay(entry.path.rpartition("/")[2], since))
    return sorted(found, key=lambda run: (run.since, run.run))
