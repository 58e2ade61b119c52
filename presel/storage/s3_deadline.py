"""No answer may take for ever: a server that sends one byte a second keeps every read time-out content, and hangs a run.

botocore's time-outs are per read of the socket. So each answer is read here in the pieces that the network delivers, and one
that is slower than `SLOWEST` bytes a second, after `GRACE` seconds, is a time-out like any other: tried again where botocore
tries again, StorageUnavailable in the end. An object of 50 kB may take 80 s, one of 100 MB more than a day. The length that was
announced is checked here, too: botocore does so for objects, but would take half of a listing's page for the page.

botocore has no setting for it, but asks `before-send` hooks for an answer before it sends a request itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

GRACE = 30.0
"""Seconds before an answer's speed is looked at."""
SLOWEST = 1000
"""Bytes a second, on average."""
_PIECE = 1 << 16


def hurry(client: Any) -> None:
    """Let every answer to this client be read by the clock."""
    session = client._endpoint.http_session  # its proxies, certificates and connection pool are the client's

    def send(request: Any, **_: object) -> Any:
        from botocore.awsrequest import AWSResponse
        from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

        streamed, request.stream_output = request.stream_output, True
        answer = session.send(request)
        request.stream_output = streamed
        raw: Any = Clocked(answer.raw, ReadTimeoutError(endpoint_url=request.url, error="the answer comes too slowly"))
        if not streamed:
            raw = Whole(raw.read())
            announced = answer.headers.get("content-length", "")
            if request.method != "HEAD" and announced.isdigit() and int(announced) != raw.size:
                raise ConnectionClosedError(endpoint_url=request.url, error="the answer broke off")
        return AWSResponse(answer.url, answer.status_code, answer.headers, raw)

    client.meta.events.register("before-send.s3", send)


class Whole:
    """An answer that is here."""

    def __init__(self, body: bytes) -> None:
        self.size, self._body = len(body), body

    def stream(self) -> Iterator[bytes]:
        yield self._body


class Clocked:
    """A urllib3 response, of which one waits for no more than what arrives in time."""

    def __init__(self, raw: Any, late: Exception) -> None:
        self._raw, self._late = raw, late
        self._started, self._got = time.monotonic(), 0

    def read(self, amt: int | None = None) -> bytes:
        """As many bytes, or all that are left. Raises the time-out when they come too slowly."""
        pieces: list[bytes] = []
        wanted = float("inf") if amt is None else amt
        while wanted > 0 and (piece := self._raw.read1(int(min(wanted, _PIECE)))):
            pieces.append(piece)
            wanted -= len(piece)
            self._got += len(piece)
            if time.monotonic() - self._started > GRACE + self._got / SLOWEST:
                self._raw.close()
                raise self._late
        return b"".join(pieces)

    def stream(self) -> Iterator[bytes]:
        """For an error's body, which botocore reads to the end."""
        yield self.read()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
