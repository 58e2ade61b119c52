"""A batch file in the making: lines on the local disk, so that 50,000 pictures are never in memory at once."""

from __future__ import annotations

import hashlib
from asyncio import Future
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from presel.instruct.batch_run import End
from presel.instruct.request import Request


class Ticket(NamedTuple):
    """A request in a spool, and where its end is awaited."""

    request: Request
    end: Future[End]


class Spool:
    """Requests gathered for one file, at most `most` of them in `largest` bytes. Lives in the engine's loop."""

    def __init__(self, path: Path, most: int, largest: int) -> None:
        self.tickets: dict[str, Ticket] = {}
        self._path, self._most, self._largest = path, most, largest
        self._places: dict[str, tuple[int, int]] = {}
        self._size = 0

    def fits(self, line: bytes) -> bool:
        """Whether there is room for a line; the first one always fits."""
        return not self.tickets or (len(self.tickets) < self._most and self._size + len(line) <= self._largest)

    def add(self, ticket: Ticket, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line)
        self._places[ticket.request.key] = (self._size, len(line))
        self._size += len(line)
        self.tickets[ticket.request.key] = ticket

    def file_for(self, keys: Collection[str], path: Path) -> str:
        """Write the lines of some of the requests to a file of their own; returns its SHA-256."""
        found = hashlib.sha256()
        with self._path.open("rb") as source, path.open("wb") as target:
            for key in keys:
                start, length = self._places[key]
                source.seek(start)
                line = source.read(length)
                found.update(line)
                target.write(line)
        return found.hexdigest()

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def line_of(request: Request, picture: bytes) -> bytes:
    """A line of a batch file: the request as it would be sent live (`picture`: a JPEG in base64), under its key."""
    head = f'{{"custom_id":"{request.key}","method":"POST","url":"/v1/chat/completions","body":'
    return b"".join((head.encode(), request.body(picture), b"}\n"))
