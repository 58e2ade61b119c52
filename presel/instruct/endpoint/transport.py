"""How the SDK's requests get onto the wire: kept-alive HTTP/1.1 connections on asyncio itself, parsed by h11.

The SDK takes any httpx2 transport. httpx2's own takes half of a request's CPU when a 100 kB picture is attached: a pool
that looks at every connection, a lock and a trace around every step, a stream on a stream. This one does what is needed for a
request that is in memory whole and an answer that is wanted whole (measured: docs/performance.md).

What a failure means decides whether money counts as spent, so the line is drawn in one place, `_connected`: before it returns,
not a byte was sent, and whatever goes wrong is a ConnectError or a ConnectTimeout. After it, no failure is called so.

There are no time-outs for reading or writing: the caller has a deadline for the whole request, and its cancellation closes
the connection, since an answer that is still on its way would be taken for the next request's.
"""

from __future__ import annotations

import asyncio
import select
import ssl
import time

import h11
import httpx2

_CONNECT = 15.0
_KEPT = 5.0
"""Seconds a connection may lie idle and still be used again; servers and balancers close theirs without a word."""
_LARGEST_HEAD = 100 * 1024


class Transport(httpx2.AsyncBaseTransport):
    """Connections to whatever hosts are asked for. Lives in one event loop; any number of requests at a time."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._idle: dict[tuple[str, str, int], list[_Connection]] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        place = request.url.scheme, request.url.host, request.url.port or _PORTS[request.url.scheme]
        connection = self._kept(place) or await self._connected(place)
        try:
            status, headers, body = await connection.exchange(request)
        except BaseException:
            connection.abort()
            raise
        if connection.rests():
            self._idle.setdefault(place, []).append(connection)
        return httpx2.Response(status, headers=headers, content=body)

    async def aclose(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()

    def _kept(self, place: tuple[str, str, int]) -> _Connection | None:
        """The connection that was used last, unless the server has closed it."""
        kept = self._idle.get(place, [])
        while kept:
            connection = kept.pop()
            if connection.usable():
                return connection
            connection.abort()
        return None

    async def _connected(self, place: tuple[str, str, int]) -> _Connection:
        scheme, host, port = place
        trust = self._trust if scheme == "https" else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop), host, port, ssl=trust, happy_eyeballs_delay=0.25
                )
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(f"no connection within {_CONNECT:.0f} s") from error
        except OSError as error:
            raise httpx2.ConnectError(str(error)) from error
        return connection


_PORTS = {"http": 80, "https": 443}


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)
        self._answer: asyncio.Future[tuple[int, list[tuple[bytes, bytes]], bytes]] | None = None
        self._head: h11.Response | None = None
        self._body: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._since = 0.0

    async def exchange(self, request: httpx2.Request) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and the raw body. Raises httpx2.HTTPError, after which the connection is of no use."""
        assert self._transport is not None
        self._answer, self._head, self._body = self._loop.create_future(), None, []
        method, target = request.method.encode(), request.url.raw_path
        try:
            said = self._http.send(h11.Request(method=method, target=target, headers=request.headers.raw))
            self._http.send_with_data_passthrough(h11.Data(data=request.content))
            self._http.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise httpx2.LocalProtocolError(str(error)) from error
        self._transport.write(b"".join((said or b"", request.content)))
        return await self._answer

    def rests(self) -> bool:
        """After an exchange: make ready for another, or close; whether another may follow."""
        if self._transport is None or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            self.abort()
            return False
        self._http.start_next_cycle()
        self._since = time.monotonic()
        return True

    def usable(self) -> bool:
        """Whether an idle connection is still one: a readable idle socket means that the server has hung up."""
        if self._transport is None or self._transport.is_closing() or time.monotonic() - self._since > _KEPT:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # --- called by the loop ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked: whatever this is, it must not become the next request's answer
        self._read(data)

    def eof_received(self) -> None:
        self._read(b"")

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if error is not None:
            self._fail(httpx2.ReadError(str(error) or type(error).__name__))
        self._read(b"")  # a body without a length ends here; anything else is not all there

    def _read(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            return
        try:
            self._http.receive_data(data)
            while not self._answer.done() and (event := self._http.next_event()) is not h11.NEED_DATA:
                self._note(event)
        except h11.RemoteProtocolError as error:
            self._fail(httpx2.RemoteProtocolError(str(error)))

    def _note(self, event: object) -> None:
        if isinstance(event, h11.Response):
            self._head = event
        elif isinstance(event, h11.Data):
            self._body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and self._head is not None:
            assert self._answer is not None
            headers = self._head.headers.raw_items()
            self._answer.set_result((self._head.status_code, headers, b"".join(self._body)))
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            self._fail(httpx2.RemoteProtocolError("the server hung up without an answer"))

    def _fail(self, error: httpx2.HTTPError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
