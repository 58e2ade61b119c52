"""What on a store nobody needs any more, and its removal.

Needed is what the latest record of any dataset name points to, the catalogs that the next listing starts from, and the report
of every version. Published versions hold all their data themselves; they, the ledger and the records are never touched.
Everything else below `tables/` and `results/` is what `presel` can make again at no charge.

A refresh that is under way has tables that no record names yet. So removal takes two looks: one that *marks* what is not
needed (with the time), and a later one that removes what was marked at least `grace` ago and is still not needed. A weekly
run does both. The grace is six days: a run may wait a day for a batch of answers, and longer for a large pool's vectors.
It may also find what was marked long ago and is needed again, so nothing is removed while a run is under way
(presel.runs.housekeeping.under_way); that is looked at before each output that goes.

A write that was killed leaves a hidden file in a folder. One that is under way looks the same, and the grace tells them apart.

A catalog takes parts over from earlier ones, so liveness is decided file by file. Of an output that goes, the manifest goes
first: a half removed output does not exist, rather than being broken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from presel.concurrency import progress
from presel.config.keys import short_digest
from presel.dataset import versions
from presel.errors import IntegrityError, NotFound
from presel.runs import run_record
from presel.runs.housekeeping.under_way import UnderWay, under_way
from presel.sources import catalog
from presel.storage import Entry, Store, open_store
from presel.tables import table_store
from presel.tables.schemas import TableRef

MARKS = "housekeeping/marked.json"
GRACE = timedelta(days=6)
UNFINISHED = "unfinished writes"


class Garbage(NamedTuple):
    """Files that nothing needs, relative to the store."""

    path: str
    kind: str
    """The stage whose output it is of, `results`, or UNFINISHED."""
    bytes: int
    due: bool
    """Marked long enough ago to be removed now."""


def look(store: str, grace: timedelta = GRACE, now: datetime | None = None) -> list[Garbage]:
    """What is not needed, in path order. Marks what is seen for the first time; removes nothing.

    Raises IntegrityError when a record cannot be read: what it needs would be unknown.
    """
    place, now = open_store(store), now or datetime.now(UTC)
    needed = _needed(place, store)
    unneeded = [(entry, _kind(entry.path)) for entry in _removable(place) if not needed.holds(entry.path)]
    unneeded += [(entry, UNFINISHED) for entry in place.leftovers()]
    before = _marks(place)
    marks = {entry.path: before.get(entry.path, now.isoformat()) for entry, _ in unneeded}
    if marks != before:
        place.write(MARKS, json.dumps(marks, indent=1, sort_keys=True).encode())
    return [
        Garbage(entry.path, kind, entry.size, datetime.fromisoformat(marks[entry.path]) + grace <= now)
        for entry, kind in unneeded
    ]


def remove(store: str, garbage: Iterable[Garbage]) -> int:
    """Remove what is due of what a `look` found, as long as no run is under way; returns how many bytes that was."""
    place, freed = open_store(store), 0
    due = sorted((found for found in garbage if found.due), key=lambda found: (not _marker(found.path), found.path))
    for done, found in enumerate(due, start=1):
        if (done == 1 or _marker(found.path)) and under_way(store, GRACE):
            break
        place.delete(found.path)
        freed += found.bytes
        progress.report("gc", "store", done, len(due), "files", f"{freed / 1e6:,.1f} MB freed")
    return freed


class Collected(NamedTuple):
    """What one collection came to. `stages`: for each kind of output, files and bytes that nothing needs."""

    files: int
    bytes: int
    due: int
    """Files that were marked long enough ago."""
    freed: int
    """Bytes removed."""
    waits_for: list[UnderWay]
    """Runs under way: nothing is removed before they have ended."""
    stages: dict[str, tuple[int, int]]


def collect(store: str, delete: bool, grace: timedelta = GRACE) -> Collected:
    """Look, mark, and, if told to, remove what is due."""
    garbage = look(store, grace)
    stages: dict[str, tuple[int, int]] = {}
    for found in garbage:
        files, size = stages.get(found.kind, (0, 0))
        stages[found.kind] = (files + 1, size + found.bytes)
    return Collected(
        files=len(garbage),
        bytes=sum(found.bytes for found in garbage),
        due=sum(found.due for found in garbage),
        freed=remove(store, garbage) if delete else 0,
        waits_for=under_way(store, GRACE),
        stages=dict(sorted(stages.items())),
    )


class _Needed(NamedTuple):
    folders: frozenset[str]
    files: frozenset[str]
    results: frozenset[str]

    def holds(self, path: str) -> bool:
        return path in self.files or path in self.results or path.rpartition("/")[0] in self.folders


def _needed(place: Store, store: str) -> _Needed:
    refs = [*_of_records(store), *_of_catalogs(place, store), *_of_reports(place, store)]
    return _Needed(
        folders=frozenset(ref.folder for ref in refs),
        files=frozenset(part.path for ref in refs for part in ref.parts),
        results=frozenset(f"results/{ref.stage}-{ref.key}-{short_digest(store)[:8]}" for ref in refs),
    )


def _of_records(store: str) -> Iterator[TableRef]:
    for record in run_record.of_store(store):
        yield from record.needed()


def _of_catalogs(place: Store, store: str) -> Iterator[TableRef]:
    for entry in place.list("catalogs/"):
        with suppress(IntegrityError, NotFound):
            told = catalog.pointed(store, entry.path)
            found = table_store.find(store, told.stage, told.key)
            if found is not None:
                yield found


def _of_reports(place: Store, store: str) -> Iterator[TableRef]:
    """Reports by the version they were made of, which their manifest names by its digest."""
    names = {entry.path.split("/")[1] for entry in place.list("datasets/")}
    digests = {versions.find(store, name, n).digest for name in names for n in versions.versions(store, name)}
    for entry in place.list("tables/report/"):
        if _marker(entry.path):
            said = table_store.manifest(store, entry.path.rpartition("/")[0])
            if said["inputs"]["dataset"]["digest"] in digests:
                yield TableRef.model_validate(said["table"])


def _removable(place: Store) -> Iterator[Entry]:
    yield from place.list("tables/")
    yield from place.list("results/")


def _kind(path: str) -> str:
    top, name = path.split("/")[:2]
    return name if top == "tables" else top


def _marks(place: Store) -> dict[str, str]:
    """When what was first seen to be unneeded; none where they are gone or damaged, which only puts removal off."""
    with suppress(NotFound, ValueError):
        marks: dict[str, str] = json.loads(place.read(MARKS))
        return marks
    return {}


def _marker(path: str) -> bool:
    return path.endswith("/manifest.json")
