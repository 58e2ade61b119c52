"""A proxy before an S3 server that misbehaves on objects whose key says how: what networks and busy stores really do."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from presel.demo.setting import environment

FAULTS = ("slowdown", "reset", "cut", "short", "drip", "always-short", "forbidden")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: str
    seen: Counter[str]

    def do_GET(self) -> None:
        status, headers, body = self._forward()
        fault = next((fault for fault in FAULTS if f"/{fault}/" in unquote(urlsplit(self.path).path)), "")
        self.seen[self.path] += 1
        first = self.seen[self.path] == 1
        if fault == "forbidden":
            self._answer(403, {}, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        elif fault == "slowdown" and self.seen[self.path] <= 2:
            self._answer(503, {}, b"<Error><Code>SlowDown</Code><Message>busy</Message></Error>")
        elif fault == "reset" and first:
            self.close_connection = True
        elif fault == "cut" and first:
            self._answer(status, headers, body, send=len(body) // 2)
            self.close_connection = True
        elif fault == "always-short" or (fault == "short" and first):
            self._answer(status, headers, body[: len(body) // 2])
        elif fault == "drip":
            self._answer(status, headers, body, pause=0.05)
        else:
            self._answer(status, headers, body)

    def do_PUT(self) -> None:
        self._answer(*self._forward())

    def do_DELETE(self) -> None:
        self._answer(*self._forward())

    def _forward(self) -> tuple[int, dict[str, str], bytes]:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=20)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.lower() in _KEPT}
        return answer.status, kept, answer.read()

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, send: int | None = None, pause: float = 0
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        piece = max(1, len(body) // 8) if pause else len(body) or 1
        for start in range(0, len(body) if send is None else send, piece):
            self.wfile.write(body[start : start + piece if send is None else min(send, start + piece)])
            time.sleep(pause)

    def log_message(self, format: str, *args: object) -> None:
        pass


_KEPT = {"etag", "last-modified", "content-type", "accept-ranges"}


@contextmanager
def faulty(endpoint: str) -> Iterator[None]:
    """While it lasts, the environment points at the misbehaving proxy."""
    handler = type("Bound", (Handler,), {"upstream": endpoint, "seen": Counter()})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        with environment(AWS_ENDPOINT_URL=f"http://127.0.0.1:{proxy.server_address[1]}"):
            yield
    finally:
        proxy.shutdown()
        proxy.server_close()
