"""Are the bytes that came those of the object? What can be checked: its length, its digest, and its etag where that is one.

The etag of S3 is the MD5 of an object that was put in one piece and not encrypted by a key of its own. It may look the same and
be something else, so one that does not agree is a reason to read again; bytes that come twice are believed all the same.
"""

from __future__ import annotations

import hashlib
import re
import threading
from typing import Protocol

from presel.config.keys import digest

_MD5 = re.compile(r"[0-9a-f]{32}")
_DOUBTS = 20


class Wanted(Protocol):
    def wrong(self, data: bytes) -> str:
        """Why these are not the bytes that are wanted, in words that are the same every time; nothing if they are."""


class Doubts:
    """Whether etags are still worth a second read: they are no MD5 where so many turned out not to be. Thread-safe."""

    def __init__(self) -> None:
        self._lock, self._left = threading.Lock(), _DOUBTS

    def any(self) -> bool:
        return self._left > 0

    def resolved(self) -> None:
        """Bytes that did not agree with their etag came a second time."""
        with self._lock:
            self._left -= 1


class Listed:
    """An object as it was listed, as far as that is known."""

    def __init__(self, etag: str | None, size: int | None, doubts: Doubts) -> None:
        self._etag, self._size, self._doubts, self._came = etag, size, doubts, ""

    def wrong(self, data: bytes) -> str:
        if self._size is not None and len(data) != self._size:
            return f"{self._size:,} bytes were listed, another number came, each time"
        if self._etag is None or not self._doubts.any() or may_be(self._etag, data):
            return ""
        before, self._came = self._came, digest(data)
        if before == self._came:
            self._doubts.resolved()
            return ""
        return "other bytes came each time"


class Chosen:
    """An object of known content."""

    settled: bytes | None = None
    """Other bytes, if they came twice."""

    def __init__(self, content: str) -> None:
        self._content, self._came = content, ""

    def wrong(self, data: bytes) -> str:
        came = digest(data)
        if came == self._content:
            return ""
        self.settled = data if came == self._came else None
        self._came = came
        return "its bytes are not those that were embedded and chosen"


def may_be(etag: str, data: bytes) -> bool:
    """Whether bytes may be those of an object with that etag."""
    return not _MD5.fullmatch(etag) or hashlib.md5(data, usedforsecurity=False).hexdigest() == etag
