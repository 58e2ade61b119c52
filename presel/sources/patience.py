"""Is it this object, or the store? How many reads may fail at every attempt before a run stops believing in the first.

One object that answers 500 for ever must not keep a million others from being embedded, and a store that is down must not
become a million rejects. Both look the same for one read: every retry failed. So failed reads of a part are excused, up to one
in a hundred of its objects (three, if there are fewer), in whatever order they come, and while the store still answers when it
is listed. What is excused is `unreadable`, and so read again by the next refresh.

An object that is not there was deleted since it was listed, unless nothing is there any more: a folder whose mount went away
would become a dataset without its pictures.
"""

from __future__ import annotations

import threading

from presel.errors import NotFound, StorageUnavailable
from presel.images import Reason, Rejected
from presel.storage import Store

_FIRST = 3
_SHARE = 100


class Patience:
    """For the reads of one part. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._expected = self._reads = self._failed = 0

    def expect(self, reads: int) -> None:
        """So many reads are to come."""
        with self._lock:
            self._expected += reads

    def count(self) -> None:
        """One more read begins."""
        with self._lock:
            self._reads += 1

    def excuse(self, error: StorageUnavailable) -> Rejected:
        """The reject that a failed read becomes; raises the error where it is the store that fails."""
        with self._lock:
            self._failed += 1
            too_many = self._failed > max(_FIRST, max(self._expected, self._reads) // _SHARE)
        if too_many:
            raise error
        next(iter(self._store.list()), None)  # raises where nobody answers
        # No more than that: the address or the time in an error's words would make two equal rejects differ.
        return Rejected(Reason.UNREADABLE, "the server failed at every attempt to read it")

    def missing(self, error: NotFound) -> Rejected:
        """The reject that an object becomes which is gone; raises NotFound where all of them are."""
        if next(iter(self._store.list()), None) is None:
            raise NotFound(
                "the source held images when it was listed, and nothing now",
                where=self._store.uri,
                fix="check whether it is mounted, then run again: what is done already is found again",
            ) from error
        return Rejected(Reason.UNREADABLE, error.what)
