"""An endpoint of raw bytes, independent of the double that presel ships: it says to chosen pictures whatever a test wants said.

The double speaks correct HTTP and misbehaves within it. Here a reply is what goes over the wire, so that it can be cut,
compressed wrongly, chunked, framed as server-sent events or be no HTTP at all.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from presel.config import ImageConfig
from presel.config.keys import digest
from presel.demo.endpoint.listening import listening
from presel.images import for_api
from tests.instruct.pools import Pool

Says = Callable[[int], bytes]
"""The how manieth request about its picture (from 1) -> the bytes of a whole response; b"": the connection is reset."""

TURNS = json.dumps({"turns": [{"question": "What is it?", "response": "A picture."}]})


def http(
    status: int, body: bytes | str, *headers: str, kind: str = "application/json", length: int | None = None
) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines.append(f"content-length: {len(data) if length is None else length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + data


def completion(
    content: Any = TURNS, *, finish: Any = "stop", usage: Any = ..., message: Any = None, **more: Any
) -> dict[str, Any]:
    """A chat completion; `usage` left out: a plausible one; None: none."""
    said = {"role": "assistant", "content": content} if message is None else message
    body = {"id": "x", "object": "chat.completion", "model": "m", "choices": [{"index": 0, "message": said}]}
    body["choices"][0]["finish_reason"] = finish  # type: ignore[index]
    plausible = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    if usage is not None:
        body["usage"] = plausible if usage is ... else usage
    return {**body, **more}


def answer(content: Any = TURNS, *headers: str, **shape: Any) -> bytes:
    """A response that is read as an answer, unless `shape` (of `completion`) makes it none."""
    return http(200, json.dumps(completion(content, **shape)), *headers)


def failure(status: int, code: Any = "x", message: Any = "no", *headers: str) -> bytes:
    return http(status, json.dumps({"error": {"message": message, "code": code, "type": "x"}}), *headers)


class Hostile:
    """The running endpoint: `requests` counts what was asked about each picture, by its place in the pool."""

    def __init__(
        self, pool: Pool, says: Mapping[int, Says], latency: float, every_path: Callable[[], bytes] | None
    ) -> None:
        self.url = ""
        self.requests: Counter[int] = Counter()
        self.headers: list[bytes] = []
        self._says, self._latency, self._every_path = says, latency, every_path
        self._places = {
            digest(for_api(pool.file(i).read_bytes(), ImageConfig(), 768)): i for i in range(pool.images)
        }  # fmt: skip

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
                body = await reader.readexactly(int(lengths[0]) if lengths else 0)
                self.headers.append(head)
                raw = self._raw(body)
                await asyncio.sleep(self._latency)
                if not raw:
                    writer.transport.abort()
                    return
                await self._send(writer, raw)
                if b"connection: close" in raw[:500]:
                    break
        writer.close()

    def _raw(self, body: bytes) -> bytes:
        if self._every_path is not None:
            return self._every_path()
        picture = body.partition(b"base64,")[2].partition(b'"')[0]
        place = self._places[digest(base64.b64decode(picture))]
        self.requests[place] += 1
        says = self._says.get(place)
        return says(self.requests[place]) if says else answer()

    async def _send(self, writer: asyncio.StreamWriter, raw: bytes) -> None:
        if b"x-trickle:" in raw[:500]:
            async for piece in _drip(raw):
                writer.write(piece)
                await writer.drain()
        else:
            writer.write(raw)
            await writer.drain()


async def _drip(raw: bytes) -> AsyncIterator[bytes]:
    for i in range(len(raw)):
        yield raw[i : i + 1]
        await asyncio.sleep(0.02)


@contextmanager
def hostile(
    pool: Pool, says: Mapping[int, Says], latency: float = 0.0, every_path: Callable[[], bytes] | None = None
) -> Iterator[Hostile]:
    """Serve a pool's pictures: what `says` has no place for is answered well. `every_path`: say that to whatever is asked."""
    endpoint = Hostile(pool, says, latency, every_path)
    with listening(endpoint.connection) as endpoint.url:
        yield endpoint
