"""Pictures of records, read ahead: from an earlier export where it has them, from the source where not.

Nothing is ever replaced: a picture that is gone or is another one by now ends the export, in words,
because a trainer that finds a record without it may train on something else in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from presel.concurrency.ahead import ahead, shared_pool
from presel.config import SourceConfig
from presel.errors import IntegrityError
from presel.export.pictures import Writing, written
from presel.export.record import Copied, Record, Wanted
from presel.images import Rejected
from presel.sources import Source, open_source

THREADS = 16
AHEAD = 48
"""Records in the making: what memory holds of pictures at most, shards aside."""
Started = tuple[Record, tuple[Copied | None, ...]]
"""A record with those of its pictures that an earlier export has."""
Finished = tuple[Record, tuple[Copied, ...]]


class Reader:
    """Copies pictures of a source as they are `written`. Used by several threads."""

    def __init__(self, source: SourceConfig, how: Writing, copied: Callable[[Wanted], Copied | None]) -> None:
        """`copied`: finds a picture that lies there already."""
        self._source: Source = open_source(source)
        self._where = source.uri.rstrip("/")
        self._how, self._copied = how, copied

    def __call__(self, started: Started) -> Finished:
        """Raises IntegrityError when a picture cannot be read or is not the one that was instructed."""
        record, had = started
        return record, tuple(self.picture(*both) for both in zip(record.wanted, had, strict=True))

    def picture(self, wanted: Wanted, had: Copied | None = None) -> Copied:
        found = had or self._copied(wanted)
        return found if found is not None and self._how.only in (None, found.extension) else self._new(wanted)

    def _new(self, wanted: Wanted) -> Copied:
        data = self._source.read_content(wanted.key, wanted.content)
        if isinstance(data, Rejected):
            raise self._unusable(wanted, f"{data.reason}: {data.detail}" if data.detail else str(data.reason))
        made = written(data, self._how)
        if isinstance(made, Rejected):
            raise self._unusable(wanted, f"{made.reason}: {made.detail}")
        return Copied(wanted.name, *made)

    def _unusable(self, wanted: Wanted, got: str) -> IntegrityError:
        return IntegrityError(
            f"the picture of record {wanted.name} cannot be exported",
            where=f"{self._where}/{wanted.key}",
            expected=f"the picture that was instructed, SHA-256 {wanted.content}",
            got=got,
            fix="put it back, or publish a version without it (`presel run`); `presel verify` names all that are gone",
        )


def read_ahead(work: Callable[[Started], Finished], records: Iterable[Started]) -> Iterator[Finished]:
    """Records with their pictures, in order, a bounded number of them at a time; `work` is a Reader, or one that does more."""
    return ahead(work, records, shared_pool("export", THREADS), AHEAD)
