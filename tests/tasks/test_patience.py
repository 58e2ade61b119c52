"""A server that comes back is waited for; before a flow runs, a wrong address still fails at once."""

from __future__ import annotations

import inspect
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient
from prefect.concurrency import _leases
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from presel.cli.prefect_run import free_port
from tasks.patience import RENEWED_AFTER, wait_for_the_server
from tasks.policy import FLOW


@pytest.fixture
def patient(monkeypatch):
    """What the hook sets, for one test."""
    for client in (PrefectHttpxSyncClient, PrefectHttpxAsyncClient):
        monkeypatch.setattr(client, "_has_connected", False, raising=False)
    monkeypatch.setattr(_leases, "_RENEWAL_FRACTION", _leases._RENEWAL_FRACTION)
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


def test_leases_are_renewed_early(patient):
    patient()
    assert "_RENEWAL_FRACTION" in inspect.getsource(_leases._lease_renewal_loop)
    assert _leases._RENEWAL_FRACTION == RENEWED_AFTER
