"""A proxy before an S3 server that writes down how it was asked: by which address, under which headers."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

_DROPPED = {"transfer-encoding", "connection", "server", "date", "content-length"}


class Asked(NamedTuple):
    method: str
    host: str
    path: str
    headers: dict[str, str]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: str
    heard: list[Asked]

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        host = address.netloc or self.headers["Host"]
        self.heard.append(Asked(self.command, host, address.path, {k.lower(): v for k, v in self.headers.items()}))
        # The server behind knows path addresses only; a bucket in the host name is put where it understands it.
        bucket = f"/{host.partition('.s3.')[0]}" if ".s3." in host else ""
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=20)
        query = f"?{address.query}" if address.query else ""
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection.request(self.command, f"{bucket}{address.path}{query}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _DROPPED:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def recorder(endpoint: str) -> Iterator[tuple[str, list[Asked]]]:
    """The proxy's address, and what it heard."""
    heard: list[Asked] = []
    handler = type("Bound", (Handler,), {"upstream": endpoint, "heard": heard})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}", heard
    finally:
        proxy.shutdown()
        proxy.server_close()
