"""Requests that got no answer at any try while others got theirs. For a day, no run asks them again.

A picture that a server chokes on (always 500, always 429, a line of a batch that never comes) costs its tries once, not with
every run. But the server may change. So `<store>/ledger/given_up/<request key>.json` says until when the verdict counts:
a little less than a day, so that tomorrow's refresh asks again. Delete the object to ask at once.

The verdicts are read once, when an engine opens. They do not concern a server that answers no request at all: the next run asks
it again.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from presel.errors import IntegrityError, NotFound
from presel.images.reasons import Reason
from presel.instruct.jobs import Unanswerable
from presel.storage import Store
from presel.storage.sealed import seal, unseal

log = logging.getLogger(__name__)

FOLDER = "ledger/given_up"
FORMAT = 1
FOR = timedelta(hours=20)


class GivenUp:
    """What a store knows of such requests. `read` and `note` block; `find` does not."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Unanswerable] = {}

    def read(self) -> None:
        """Take over what others noted, and clear away what no longer counts."""
        for entry in list(self._store.list(f"{FOLDER}/")):
            key, found = entry.path.rpartition("/")[2].removesuffix(".json"), self._read(entry.path)
            if found is None:
                self._store.delete(entry.path)
            else:
                self._known[key] = found
        if self._known:
            said = "%d requests that got no answer at any try are not asked again for up to %d hours (%s)"
            log.info(said, len(self._known), FOR.total_seconds() / 3600, self._store.locate(FOLDER))

    def find(self, key: str) -> Unanswerable | None:
        """Why a request is not asked, or None: it may be."""
        found = self._known.get(key)
        return Unanswerable(found.reason, found.detail) if found else None

    def note(self, key: str, why: Unanswerable) -> None:
        """Remember that a request was given up. Raises StorageError."""
        until = (datetime.now(UTC) + FOR).isoformat(timespec="seconds")
        document = {"reason": str(why.reason), "detail": why.detail, "until": until}
        self._store.write(f"{FOLDER}/{key}.json", seal(document, FORMAT))

    def _read(self, path: str) -> Unanswerable | None:
        """What counts still; what cannot be read does not: asking again is the safe side."""
        try:
            found = unseal(self._store.read(path), FORMAT, what="a note", where=path, fix="delete it")
            if datetime.fromisoformat(found["until"]) > datetime.now(UTC):
                return Unanswerable(Reason(found["reason"]), str(found["detail"]))
        except (NotFound, IntegrityError, ValueError, KeyError, TypeError):
            pass
        return None
