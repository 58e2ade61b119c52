"""An S3 server that answers listings and reads of made-up objects from memory: quick enough that the client is what limits.

    python -m benchmarks.s3_memory PORT OBJECTS BYTES

moto answers 300 reads a second on a busy machine and rclone 2,500; a comparison of clients needs a server that keeps up and
that everybody has. It knows `list-type=2` and plain reads, checks no signature, and holds one body for all keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from bisect import bisect_right
from urllib.parse import parse_qs, unquote, urlsplit

_PAGE = 1000


class Objects:
    def __init__(self, count: int, size: int) -> None:
        self.keys = sorted(f"task{number % 10}/{number:06d}.jpg" for number in range(count))
        self.body = os.urandom(size)
        self.etag = hashlib.md5(self.body).hexdigest()

    def answer(self, target: str) -> bytes:
        address = urlsplit(target)
        _, _, key = unquote(address.path).lstrip("/").partition("/")
        if key:
            return _response("200 OK", self.body, self.etag)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        return _response("200 OK", self._listing(asked))

    def _listing(self, asked: dict[str, str]) -> bytes:
        prefix, delimiter, after = (asked.get(name, "") for name in ("prefix", "delimiter", "continuation-token"))
        found, folders, following = [], set(), ""
        for key in self.keys[bisect_right(self.keys, after) if after else 0 :]:
            if not key.startswith(prefix):
                continue
            head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if cut:
                folders.add(prefix + head + cut)
            elif len(found) == _PAGE:
                following = found[-1]
                break
            else:
                found.append(key)
        return self._xml(found, sorted(folders), following)

    def _xml(self, keys: list[str], folders: list[str], following: str) -> bytes:
        size, etag = len(self.body), self.etag
        rows = [f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>{etag}</ETag></Contents>" for key in keys]
        rows += [f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders]
        if following:
            rows.append(f"<NextContinuationToken>{following}</NextContinuationToken>")
        cut = str(bool(following)).lower()
        return f"<ListBucketResult><IsTruncated>{cut}</IsTruncated>{''.join(rows)}</ListBucketResult>".encode()


def _response(status: str, body: bytes, etag: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nLast-Modified: Tue, 24 Nov 2026 00:00:00 GMT\r\n"
    return (head + (f'ETag: "{etag}"\r\n' if etag else "") + "\r\n").encode() + body


class Connection(asyncio.Protocol):
    """One client: requests without bodies, answered in order."""

    def __init__(self, objects: Objects) -> None:
        self._objects, self._read = objects, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while b"\r\n\r\n" in self._read:
            head, _, self._read = self._read.partition(b"\r\n\r\n")
            self._transport.write(self._objects.answer(head.split(b" ", 2)[1].decode()))


async def serve(port: int, objects: Objects) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(objects), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Objects(int(sys.argv[2]), int(sys.argv[3]))))
