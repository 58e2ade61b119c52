"""Word of a run, as a webhook hears it: which run, and the first error with its fix."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from prefect import flow, tags
from prefect.blocks.notifications import CustomWebhookNotificationBlock

from deployments.provision import provision
from presel.errors import NotFound


class Hook(BaseHTTPRequestHandler):
    heard: ClassVar[list[dict[str, str]]] = []

    def do_POST(self):
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@flow(name="refresh", flow_run_name="refresh pets")
def failing() -> None:
    raise NotFound("the bucket is gone", where="s3://pets", fix="check the address")


def test_a_failed_run_is_told_of_in_words(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    words = {"subject": "{{subject}}", "body": "{{body}}"}
    address = f"http://127.0.0.1:{server.server_port}/"
    block = CustomWebhookNotificationBlock(name="presel", url=address, json_data=words)
    block.save("presel", overwrite=True)
    provision(str(tmp_path), notify="custom-webhook/presel")
    deadline = time.monotonic() + 90
    while not Hook.heard and time.monotonic() < deadline:  # a server takes some seconds to know a new automation
        with tags("presel"), pytest.raises(NotFound):
            failing()
        time.sleep(5)
    server.shutdown()
    assert Hook.heard[0]["subject"] == "presel: refresh pets is Failed"
    assert "NotFound: s3://pets: the bucket is gone; check the address" in Hook.heard[0]["body"]
