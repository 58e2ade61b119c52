"""As much HTTP/1.1 as an API client speaks, on asyncio streams: requests in, whole or spoiled responses out.

A web framework would refuse to send what a broken provider sends (a body shorter than announced, a reset in the
middle, a body that trickles), and `http.server` reaches a tenth of the requests per second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

_WORDS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
_LARGEST = 256 * 2**20


@dataclass(frozen=True)
class Incoming:
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What goes back. `manner`: whole | reset (nothing, then a reset) | truncated (half a body) | slow | hang."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: str = "whole"
    kind: str = "application/json"


def reply(status: int, document: Any, headers: Mapping[str, str] | None = None, manner: str = "whole") -> Reply:
    return Reply(status, json.dumps(document, ensure_ascii=False).encode(), headers or {}, manner)


async def receive(reader: asyncio.StreamReader) -> Incoming | None:
    """The next request of a connection, or None when the client is done."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = min(int(headers.get("content-length", "0")), _LARGEST)
    try:
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    path, _, query = path.partition("?")
    return Incoming(method, path, headers, body, dict(parse_qsl(query)))


async def send(writer: asyncio.StreamWriter, answer: Reply, slowness: float) -> bool:
    """Whether the connection can be used again."""
    if answer.manner == "reset":
        writer.transport.abort()
        return False
    body = answer.body[: len(answer.body) // 2] if answer.manner == "truncated" else answer.body
    lines = [
        f"HTTP/1.1 {answer.status} {_WORDS.get(answer.status, 'Status')}",
        f"content-type: {answer.kind}",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    if answer.manner in ("slow", "hang"):
        return await _trickle(writer, head, body, slowness if answer.manner == "slow" else 3600.0)
    writer.write(head + body)
    await writer.drain()
    return True


async def _trickle(writer: asyncio.StreamWriter, head: bytes, body: bytes, lasting: float) -> bool:
    """A byte now and then: a time-out that is counted per read never fires."""
    writer.write(head)
    pieces = [body[i : i + max(1, len(body) // 10)] for i in range(0, len(body), max(1, len(body) // 10))]
    for piece in pieces:
        await asyncio.sleep(lasting / len(pieces))
        if writer.is_closing():
            return False
        writer.write(piece)
        await writer.drain()
    return True
