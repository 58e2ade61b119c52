"""A proxy before an S3 server that misbehaves: what networks and busy stores really do.

Reads go wrong by what their key says (`.../slowdown/x.jpg`), listings and writes by what a test asks for next.
"""

from __future__ import annotations

import http.client
import re
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from presel.demo.setting import environment

FAULTS = (
    "slowdown", "reset", "cut", "short", "drip", "zeros", "page", "refused", "gone",
    "always-short", "always-zeros", "forbidden",
)  # fmt: skip
"""Of which a reader recovers, but for those of the last line."""
LASTING = ("broken", "stalled", "trickle", "expired", "cold", "skewed", "elsewhere", "encrypted", "keyless")
"""Of which none does."""
_CODES = {
    "slowdown": (503, "SlowDown"),
    "forbidden": (403, "AccessDenied"),
    "refused": (403, "AccessDenied"),
    "gone": (404, "NoSuchKey"),
    "broken": (500, "InternalError"),
    "expired": (400, "ExpiredToken"),
    "cold": (403, "InvalidObjectState"),
    "encrypted": (400, "InvalidRequest"),
    "keyless": (400, "KMS.DisabledException"),
    "skewed": (403, "RequestTimeTooSkewed"),
    "elsewhere": (301, "PermanentRedirect"),
}
_KEPT = {"etag", "last-modified", "content-type", "accept-ranges"}


@dataclass
class Mood:
    """What the proxy does to the next requests, and what it was asked."""

    lists: deque[str] = field(default_factory=deque)
    """Faults of the next listings, in order: those of reads; `garbled`, which ends too early and says so nowhere; `portal`, a
    page of HTML; `repeated`, in which every key comes twice."""
    writes: deque[str] = field(default_factory=deque)
    """Faults of the next writes: those of reads, or `unanswered`, which is carried out before the connection breaks."""
    denied: str = ""
    """A prefix that is neither listed nor read."""
    asked: Counter[str] = field(default_factory=Counter)
    """Requests by kind: `list`, `read`, `write`."""
    unknown: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """Headers that the server does not know, by how they begin: status, code and message with which it refuses them."""
    refused: int = 0
    """Requests refused for one of these."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: str
    seen: Counter[str]
    mood: Mood

    def parse_request(self) -> bool:
        """Whether the request goes on to its method: one with an unknown header is answered here."""
        if not super().parse_request():
            return False
        found = [
            why for begins, why in self.mood.unknown.items() for name in self.headers if name.lower().startswith(begins)
        ]
        if found:
            self.mood.refused += 1
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, code, message = found[0]
            said = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            self._answer(status, {}, said.encode())
        return not found

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        key, query = unquote(address.path), parse_qs(address.query)
        listing = "list-type" in query
        self.mood.asked["list" if listing else "read"] += 1
        if self.mood.denied and self.mood.denied in (query.get("prefix", [""])[0] if listing else key):
            self._refuse("forbidden")
        elif listing:
            self._list(self.mood.lists.popleft() if self.mood.lists else "")
        else:
            self._read(next((fault for fault in FAULTS + LASTING if f"/{fault}/" in key), ""))

    def do_HEAD(self) -> None:
        self._answer(*self._forward())

    def do_DELETE(self) -> None:
        self._answer(*self._forward())

    def do_PUT(self) -> None:
        self.mood.asked["write"] += 1
        fault = self.mood.writes.popleft() if self.mood.writes else ""
        if fault == "unanswered":
            self._forward()
            self._hang_up()
        elif fault == "reset":
            self._hang_up()
        elif fault:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._refuse(fault)
        else:
            self._answer(*self._forward())

    def _list(self, fault: str) -> None:
        if fault in _CODES:
            self._refuse(fault)
        elif fault == "reset":
            self._hang_up()
        else:
            status, headers, body = self._forward()
            if fault == "garbled":
                body = body[: len(body) // 2]
            elif fault == "portal":
                body = b"<html><body>Please log in</body></html>"
            elif fault == "repeated":
                body = re.sub(rb"(<Contents>.*?</Contents>)", rb"\1\1", body, flags=re.DOTALL)
            self._answer(status, headers, body, send=len(body) // 2 if fault == "cut" else None)

    def _read(self, fault: str) -> None:
        self.seen[self.path] += 1
        passes = {"slowdown": 2, "drip": None}.get(fault, 1) if fault in FAULTS[:9] else None
        if passes is not None and self.seen[self.path] > passes:
            fault = ""
        if fault in _CODES:
            self._refuse(fault)
        elif fault == "reset":
            self._hang_up()
        else:
            self._deliver(fault, *self._forward())

    def _deliver(self, fault: str, status: int, headers: dict[str, str], body: bytes) -> None:
        if fault in ("short", "always-short"):
            body = body[: len(body) // 2]
        elif fault in ("zeros", "always-zeros"):
            body = bytes(len(body))
        elif fault == "page":
            body = b"<html><body>502 Bad Gateway</body></html>"
        pause = {"drip": 0.05, "trickle": 0.2, "stalled": 3600.0}.get(fault, 0)
        piece = 1 if fault in ("trickle", "stalled") else max(1, len(body) // 8)
        self._answer(status, headers, body, len(body) // 2 if fault == "cut" else None, pause, piece)

    def _forward(self) -> tuple[int, dict[str, str], bytes]:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=20)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.lower() in _KEPT}
        return answer.status, kept, answer.read()

    def _refuse(self, fault: str) -> None:
        status, code = _CODES[fault]
        self._answer(status, {}, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _answer(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes,
        send: int | None = None,
        pause: float = 0,
        piece: int = 1 << 20,
    ) -> None:
        """`send`: bytes that are sent of those that are announced."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = body if send is None else body[:send]
        try:
            for start in range(0, 0 if self.command == "HEAD" else len(sent), piece if pause else len(sent) or 1):
                self.wfile.write(sent[start : start + piece] if pause else sent)
                self.wfile.flush()
                self.server.leaving.wait(pause)  # type: ignore[attr-defined]
        except OSError:
            self.close_connection = True  # whoever read has lost patience
        if send is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.leaving = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # connections break here all the time


@contextmanager
def faulty(endpoint: str) -> Iterator[Mood]:
    """While it lasts, the environment points at the misbehaving proxy."""
    mood = Mood()
    proxy = Proxy(type("Bound", (Handler,), {"upstream": endpoint, "seen": Counter(), "mood": mood}))
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        with environment(AWS_ENDPOINT_URL=f"http://127.0.0.1:{proxy.server_address[1]}"):
            yield mood
    finally:
        proxy.leaving.set()
        proxy.shutdown()
        proxy.server_close()
