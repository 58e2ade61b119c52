"""Where the unlabelled images lie: what is there, which task each belongs to, and its bytes.

A source is a store that is only ever listed and read. Listing says all that is needed to name an object (key, etag, size), so
an unchanged pool is recognised without reading one. Reading answers with bytes or with the reason why not: a pool changes
while it is read, and an object that vanished, was overwritten or is forbidden is that object's fate, not the run's. So is one
that the server fails on, or drips, at every attempt, as long as there are few of them and the server answers otherwise. A
server that is gone, or throttles for longer than every retry lasts, does end the run: it would otherwise turn thousands of good
images into rejects.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property

from presel.config import SourceConfig
from presel.config.keys import short_digest
from presel.errors import AccessDenied, NotFound, ObjectArchived, ObjectChanged, StorageError, StorageUnavailable
from presel.images import Reason, Rejected
from presel.sources.arrived import Chosen, Doubts, Listed, Wanted, may_be
from presel.sources.patience import Patience
from presel.sources.patterns import Excluded, matcher
from presel.sources.task_map import TaskMap
from presel.sources.task_names import SINGLE_TASK, first_folder, load_task_map
from presel.storage import Entry, open_store

_READS = 3
"""Of an object that does not come as it should."""
_PAUSE = 0.05
"""Seconds before the second read, and again before the third."""


class Source:
    """The images below `config.uri`. Cheap, thread-safe."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self._store = open_store(config.uri, config.s3)
        self._patience = Patience(self._store)
        self._doubts = Doubts()
        self._rule = None if isinstance(config.tasks, str) else matcher(config.tasks.glob())

    @property
    def digest(self) -> str:
        """Names this source, whatever it holds at the moment."""
        rule = self.config.tasks
        return short_digest("source", self._store.uri, rule if isinstance(rule, str) else f"rule {rule.glob()}")

    @cached_property
    def task_map(self) -> TaskMap | None:
        """The file that says which task an object belongs to, read when it is first asked; None where the key says it."""
        return load_task_map(self.config, self._store.uri) if self.config.mapping else None

    @property
    def root(self) -> str:
        """Its address."""
        return self._store.uri

    def entries(self, without: str | None = None) -> Iterator[tuple[str, str, Entry]]:
        """(key, task, entry) of every object, once for each of its tasks, streaming, in no particular order.

        An object without a task comes once, with an empty one.
        `without`: the address of a store; its objects are left out when it lies inside the source.
        Raises AccessDenied and StorageUnavailable: a listing with holes would look like a pool with images removed.
        """
        own, excluded = _below(self._store.uri, without), Excluded(self.config.exclude)
        for entry in self._store.walk(lambda path: excluded(path) or (own is not None and path.startswith(own))):
            for task in self.tasks_of(entry.path) or ("",):
                yield entry.path, task, entry

    def tasks_of(self, key: str) -> tuple[str, ...]:
        """The tasks an object belongs to, sorted; none for an object at the root of a source whose folders are tasks, or
        one that the mapping does not name."""
        if self.task_map is not None:
            return self.task_map.tasks_of(key)
        if self._rule is not None:
            found = self._rule.fullmatch(key)
            return (found["task"],) if found else ()
        return (SINGLE_TASK,) if self.config.tasks == "single" else first_folder(key)

    def expect(self, reads: int) -> None:
        """So many objects are to be read: how many of them may fail does not depend on which come first."""
        self._patience.expect(reads)

    def read(self, key: str, etag: str | None = None, size: int | None = None) -> bytes | Rejected:
        """The whole object as it was listed, or why not.

        With an `etag`, only if it is still that object; with a `size`, only if so many bytes came.
        """
        return self._fetched(key, etag, Listed(etag, size, self._doubts))

    def read_content(self, key: str, content: str) -> bytes | Rejected:
        """The picture under a key whose bytes have that SHA-256, or why not: `changed` only if another one lies there now."""
        wanted = Chosen(content)
        got = self._fetched(key, None, wanted)
        if isinstance(got, Rejected) and wanted.settled is not None:
            with suppress(StorageError):
                entry = self._store.find(key)
                if entry is not None and entry.size == len(wanted.settled) and may_be(entry.etag, wanted.settled):
                    return Rejected(Reason.CHANGED, "the image is not the one that was embedded and chosen")
        return got

    def beside(self, key: str, most: int) -> bytes:
        """An object that is no picture, or the first `most` bytes of it and one more. Raises what a store's reading raises."""
        with self._store.open(key) as file:
            return file.read(most + 1)

    def excuse(self, error: StorageUnavailable) -> Rejected:
        """The reject that a read becomes which failed at every attempt; raises the error where it is the store that fails."""
        return self._patience.excuse(error)

    def _fetched(self, key: str, etag: str | None, wanted: Wanted) -> bytes | Rejected:
        """What is read, read again as often as it takes, up to three times.

        A proxy may cut a body and announce the shorter length, answer with a page of its own, or with a refusal that is over a
        moment later: all of that looks like success, or like the object's fate, until it is asked again.
        """
        self._patience.count()
        end: Rejected | NotFound = Rejected(Reason.UNREADABLE)
        for attempt in range(_READS):
            time.sleep(_PAUSE * attempt)
            try:
                data = self._store.read_version(key, etag) if etag else self._store.read(key)
            except ObjectChanged as error:
                return Rejected(Reason.CHANGED, error.what)
            except ObjectArchived:
                return Rejected(Reason.ARCHIVED, "restore it, then refresh")
            except NotFound as error:
                end = error
            except AccessDenied as error:
                end = Rejected(Reason.UNREADABLE, error.what)
            except StorageUnavailable as error:  # it was asked eight times
                return self._patience.excuse(error)
            else:
                wrong = wanted.wrong(data)
                if not wrong:
                    return data
                end = Rejected(Reason.UNREADABLE, wrong)
        return self._patience.missing(end) if isinstance(end, NotFound) else end


def open_source(config: SourceConfig) -> Source:
    return Source(config)


def _below(source: str, store: str | None) -> str | None:
    """The prefix that a store has inside a source, if it does."""
    if store is None:
        return None
    root, inside = source.rstrip("/") + "/", open_store(store).uri.rstrip("/") + "/"
    return inside[len(root) :] if inside.startswith(root) and inside != root else None
