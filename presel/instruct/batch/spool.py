"""A batch file in the making: lines on the local disk, so that 50,000 pictures are never in memory at once.

The files have no names: the system gives their room back when their process ends, however it ends. A named one would stay
behind for every `kill -9`, at 200 MB each.
"""

from __future__ import annotations

import hashlib
import tempfile
from asyncio import Future
from collections.abc import Collection
from typing import BinaryIO, NamedTuple, cast

from presel.instruct.batch.run import End
from presel.instruct.questions.request import Request


class Ticket(NamedTuple):
    """A request in a spool, and where its end is awaited."""

    request: Request
    end: Future[End]


class Spool:
    """Requests gathered for one file, at most `most` of them in `largest` bytes. Lives in the engine's loop."""

    def __init__(self, most: int, largest: int) -> None:
        self.tickets: dict[str, Ticket] = {}
        self._file, self._most, self._largest = nameless(), most, largest
        self._places: dict[str, tuple[int, int]] = {}
        self._size = 0

    def fits(self, line: bytes) -> bool:
        """Whether there is room for a line; the first one always fits."""
        return not self.tickets or (len(self.tickets) < self._most and self._size + len(line) <= self._largest)

    def add(self, ticket: Ticket, line: bytes) -> None:
        self._file.write(line)
        self._places[ticket.request.key] = (self._size, len(line))
        self._size += len(line)
        self.tickets[ticket.request.key] = ticket

    def file_for(self, keys: Collection[str]) -> tuple[BinaryIO, str]:
        """The lines of some of the requests in a file of their own, which the caller closes, and its SHA-256."""
        found, target = hashlib.sha256(), nameless()
        for key in keys:
            start, length = self._places[key]
            self._file.seek(start)
            line = self._file.read(length)
            found.update(line)
            target.write(line)
        return target, found.hexdigest()

    def close(self) -> None:
        self._file.close()


def nameless() -> BinaryIO:
    """A file on the local disk that goes when it is closed or its process ends."""
    return cast("BinaryIO", tempfile.TemporaryFile(prefix="presel-batch-"))


def line_of(request: Request, picture: bytes) -> bytes:
    """A line of a batch file: the request as it would be sent live (`picture`: a JPEG in base64), under its key."""
    head = f'{{"custom_id":"{request.key}","method":"POST","url":"/v1/chat/completions","body":'
    return b"".join((head.encode(), request.body(picture), b"}\n"))
