"""A server's answer, bounded: in packed and in unpacked bytes, counted while it comes and unpacked piece by piece.

A library reads a body to its end, whatever its size; one of gzip that unpacks to gigabytes holds up everything else and ends
the process. What is too large, cut, or packed in a way that was not asked for is an `httpx2.DecodingError`.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from presel.errors import require

require("instruct", "asking an endpoint")

import httpx2  # noqa: E402

LARGEST = 8 * 2**20
"""Bytes of a body, packed and unpacked: a thousand times the answer that was asked for."""
_PIECE = 1 << 20
_largest = ContextVar("largest", default=LARGEST)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Of the bodies that are asked for within: so many bytes, in place of `LARGEST`."""
    before = _largest.set(size)
    try:
        yield
    finally:
        _largest.reset(before)


def bound(response: httpx2.Response) -> None:
    """A hook of a client: what reads this response from now on gets its bytes in the clear, and not too many."""
    coding = response.headers.pop("content-encoding", "").strip().lower()
    response.stream = _Body(response.stream, coding, _largest.get())


async def bound_async(response: httpx2.Response) -> None:
    bound(response)


class _Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, raw: Any, coding: str, largest: int) -> None:
        self._raw, self._coding, self._largest = raw, coding, largest
        self._packed = self._unpacked = 0
        self._zip: Any = None if coding in ("", "identity") else zlib.decompressobj(zlib.MAX_WBITS | 32)

    def __iter__(self) -> Iterator[bytes]:
        self._look_at_its_coding()
        for piece in self._raw:
            yield from self._clear(piece)
        self._look_at_its_end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._look_at_its_coding()
        async for piece in self._raw:
            for clear in self._clear(piece):
                yield clear
        self._look_at_its_end()

    def close(self) -> None:
        self._raw.close()

    async def aclose(self) -> None:
        await self._raw.aclose()

    def _look_at_its_coding(self) -> None:
        if self._coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise httpx2.DecodingError(f"a body in {self._coding[:40]!r}, which was not asked for")

    def _look_at_its_end(self) -> None:
        if self._zip is not None and self._packed and not self._zip.eof:
            raise httpx2.DecodingError("a packed body that is cut")

    def _clear(self, piece: bytes) -> Iterator[bytes]:
        self._packed = self._counted(self._packed, piece, "")
        if self._zip is None:
            yield piece
            return
        while piece and not self._zip.eof:
            try:
                found = cast("bytes", self._zip.decompress(piece, _PIECE))
            except zlib.error as error:
                raise httpx2.DecodingError(str(error)) from error
            self._unpacked = self._counted(self._unpacked, found, " when unpacked")
            piece = self._zip.unconsumed_tail
            yield found

    def _counted(self, before: int, more: bytes, how: str) -> int:
        if before + len(more) > self._largest:
            raise httpx2.DecodingError(f"a body of more than {self._largest} bytes{how}")
        return before + len(more)
