"""A real Prefect server with its UI, for these tests alone (starting one takes some 12 s), a pool to refresh, and a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from presel.demo.setting import KEY, Setting, environment, staged
from tests.chromium import chromium
from tests.flows.started import IMAGES, SECRET


@pytest.fixture(scope="session", autouse=True)
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address; `<address>/api` is the API that flows of this process report to."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_LEVEL,
        PREFECT_RESULTS_LOCAL_STORAGE_PATH,
        temporary_settings,
    )

    from presel.cli.prefect_run import free_port, wait_for

    home, port = tmp_path_factory.mktemp("prefect"), free_port()
    address = f"http://127.0.0.1:{port}"
    own = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home}/prefect.db",
        "PREFECT_SERVER_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    quick = {
        PREFECT_API_URL: f"{address}/api",
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_RESULTS_LOCAL_STORAGE_PATH: tmp_path_factory.mktemp("results"),
        PREFECT_LOGGING_LEVEL: "ERROR",
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **own}, **quiet) as process:
        try:
            wait_for(f"{address}/api/health")
            with temporary_settings(quick):
                yield address
        finally:
            # While there is a server to hear them: at its exit pytest would wait for one that is gone (seen: over a minute).
            for worker in (EventsWorker, APILogWorker):
                worker.drain_all(timeout=60)
            process.terminate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("room")


@pytest.fixture(scope="module")
def setting(folder: Path) -> Iterator[Setting]:
    with staged(folder, images=IMAGES) as setting, environment(**{KEY: SECRET}):
        yield setting


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened
