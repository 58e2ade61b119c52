"""A server that comes back is waited for; before a flow runs, a wrong address still fails at once."""

from __future__ import annotations

import contextvars
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar
from uuid import uuid4

import httpx
import pytest
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.concurrency import _leases
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from presel.cli.prefect_run import free_port
from tasks.patience import LEASE, let_the_slot_go, wait_for_the_server
from tasks.policy import FLOW


@pytest.fixture
def patient(monkeypatch):
    """What the hook sets, for one test."""
    for client in (PrefectHttpxSyncClient, PrefectHttpxAsyncClient):
        monkeypatch.setattr(client, "_has_connected", False, raising=False)
    name = "renew_concurrency_lease"
    monkeypatch.setattr(SyncPrefectClient, name, getattr(SyncPrefectClient, name))
    return lambda: wait_for_the_server(None, None, None)


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def serve_soon(port: int, seconds: float) -> None:
    time.sleep(seconds)
    with HTTPServer(("127.0.0.1", port), Healthy) as server:
        server.handle_request()


def test_every_flow_waits_for_its_server():
    assert wait_for_the_server in FLOW["on_running"]


def test_a_new_client_waits_for_a_server_that_is_away_once_a_flow_runs(patient):
    port = free_port()
    with PrefectHttpxSyncClient() as client, pytest.raises(httpx.ConnectError):
        client.get(f"http://127.0.0.1:{port}/")
    patient()
    patient()
    server = threading.Thread(target=serve_soon, args=(port, 0.5))
    server.start()
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 3}), PrefectHttpxSyncClient() as client:
        assert client.get(f"http://127.0.0.1:{port}/").status_code == 200
    server.join()


def test_a_server_that_stays_away_is_not_waited_for_longer_than_the_setting_says(patient):
    patient()
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        PrefectHttpxSyncClient() as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get(f"http://127.0.0.1:{free_port()}/")


class Leasing(BaseHTTPRequestHandler):
    """A server that grants what it is asked for, and notes for how long."""

    asked: ClassVar[list[float]] = []

    def do_GET(self):
        self.send_error(404)  # there are no tokens against forged requests here

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body["lease_duration"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Gone(Leasing):
    """A server that has given the slot away."""

    def do_POST(self):
        self.asked.append(-1.0)
        let_the_slot_go()
        self.send_error(410)


def test_a_run_that_has_paused_does_not_end_because_its_slot_is_gone(patient):
    patient()
    Leasing.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Gone) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = {PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api"}
        with temporary_settings(here), get_client(sync_client=True) as client:
            # A renewal that was under way as the run paused is refused; there is none after that.
            client.renew_concurrency_lease(uuid4(), 300)
            client.renew_concurrency_lease(uuid4(), 300)
        server.shutdown()
    assert len(Leasing.asked) == 1
    Leasing.asked.clear()


def test_a_slot_is_kept_as_long_as_a_server_is_waited_for(patient):
    patient()
    patient()
    with HTTPServer(("127.0.0.1", 0), Leasing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api"}):
            stop = threading.Event()
            here = contextvars.copy_context().run  # where the setting is
            renewing = threading.Thread(target=here, args=(_leases._lease_renewal_loop, uuid4(), 300, stop))
            renewing.start()
            while not Leasing.asked and renewing.is_alive():
                time.sleep(0.05)
            stop.set()
            renewing.join(30)
        server.shutdown()
    assert Leasing.asked == [LEASE]
