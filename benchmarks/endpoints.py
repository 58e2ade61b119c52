"""Endpoints to measure against, each in a process of its own: the double that presel ships, and one that owes it nothing.

    python -m benchmarks.endpoints --latency 0.05 --limit 600 --tells headers

The second is as little server as will do: asyncio streams, one canned answer, a limit over a sliding minute that it says in
headers, in `Retry-After` (seconds or a date) or not at all, and the time of every request it was sent.
"""

from __future__ import annotations

import argparse
import asyncio
import email.utils
import json
import math
import os
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TELLS = ("nothing", "headers", "seconds", "date")


@dataclass(frozen=True)
class Running:
    """An endpoint's address and process."""

    url: str
    pid: int

    def counts(self) -> dict[str, Any]:
        """What it was asked so far."""
        with urllib.request.urlopen(f"{self.url}/counts") as answer:
            return dict(json.load(answer))

    def cpu(self) -> float:
        """Seconds of CPU it has used."""
        with Path(f"/proc/{self.pid}/stat").open() as file:
            user, system = file.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def endpoint(latency: float, *options: str, kind: str = "double") -> Iterator[Running]:
    """`kind`: double or minimal; `options` are its command line's."""
    module = {"double": "presel.demo.endpoint", "minimal": "benchmarks.endpoints"}[kind]
    command = [sys.executable, "-m", module, "--port", "0", "--latency", str(latency), *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield Running(server.stdout.readline().split()[0], server.pid)
    finally:
        server.terminate()
        server.wait()


TURNS = json.dumps({"turns": [{"question": "What is to be seen?", "response": "Something that was drawn at random."}]})
ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TURNS}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 30, "total_tokens": 930},
    }
).encode()
SLOWER = b'{"error": {"message": "slower", "type": "requests", "code": "rate_limit_exceeded"}}'


@dataclass
class Minimal:
    latency: float
    limit: float
    tells: str
    came: list[float] = field(default_factory=list)
    """When each request came, refused ones included."""
    refused: int = 0
    _minute: deque[float] = field(default_factory=deque)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                body = await reader.readexactly(length)
                if b"/counts" in head[:99]:
                    told = {"total": len(self.came), "came": self.came, "refused": self.refused}
                    status, headers, said = 200, {}, json.dumps(told).encode()
                else:
                    status, headers, said = self._answer(body)
                if status == 200 and length:
                    await asyncio.sleep(self.latency)
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{lines}content-length: {len(said)}\r\n\r\n".encode() + said)
                await writer.drain()
        writer.close()

    def _answer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        json.loads(body)
        now = time.monotonic()
        self.came.append(now)
        while self._minute and self._minute[0] <= now - 60:
            self._minute.popleft()
        if len(self._minute) >= self.limit:
            self.refused += 1
            wait = self._minute[0] + 60 - now
            date = email.utils.formatdate(time.time() + wait + 1, usegmt=True)
            told = {"seconds": str(math.ceil(wait)), "date": date}.get(self.tells)
            return 429, {"retry-after": told} if told else {}, SLOWER
        if math.isfinite(self.limit):
            self._minute.append(now)
        if self.tells != "headers":
            return 200, {}, ANSWER
        left, reset = self.limit - len(self._minute), self._minute[0] + 60 - now
        names = ("limit", "remaining", "reset")
        values = (f"{self.limit:.0f}", f"{left:.0f}", f"{reset:.3f}s")
        return 200, {f"x-ratelimit-{n}-requests": v for n, v in zip(names, values, strict=True)}, ANSWER


async def serve(minimal: Minimal, port: int) -> None:
    server = await asyncio.start_server(minimal.connection, "127.0.0.1", port, limit=2**20, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--limit", type=float, default=math.inf)
    parser.add_argument("--tells", choices=TELLS, default="nothing")
    asked = parser.parse_args()
    asyncio.run(serve(Minimal(asked.latency, asked.limit, asked.tells), asked.port))


if __name__ == "__main__":
    main()
