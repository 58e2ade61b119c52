"""A whole installation on this machine: PostgreSQL, a Prefect server on it, an S3 server, an annotator, process workers.

Slow, so it runs in `make test-system` only (`PRESEL_SYSTEM=1`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from presel.cli.prefect_run import free_port
from presel.demo.setting import environment, staged
from tests.system.installation import ROOT, Installation
from tests.system.postgres import Postgres, programs
from tests.system.processes import until

PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_COLORS": "false",
    "PREFECT_WORKER_QUERY_SECONDS": "3",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    if not os.environ.get("PRESEL_SYSTEM"):
        for item in here:
            item.add_marker(
                pytest.mark.skip(reason="starts PostgreSQL, a server and workers: `make test-system` runs it")
            )
    elif here and programs() is None:
        raise pytest.UsageError("PostgreSQL is not installed (Debian: apt-get install postgresql)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Not in pytest's folder: whenever a pytest starts on this machine it closes that to other users, and PostgreSQL, which
    has to be one, ends at its next checkpoint (seen).
    """
    with TemporaryDirectory(prefix="presel-postgres-") as folder:
        database = Postgres(folder)
        database.start()
        yield database
        database.stop()


@pytest.fixture(scope="session")
def installation(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder, port = tmp_path_factory.mktemp("installation"), free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        **PREFECT,
        "PREFECT_API_DATABASE_CONNECTION_URL": postgres.url,
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_HOME": str(folder / "prefect"),
    }
    with environment(**settings), staged(folder, images=150, s3=True) as setting:
        found = Installation(url, setting, folder, settings, postgres)
        try:
            found.start_server()
            deploy(found)
            yield found
        finally:
            found.kill(*found.processes)


def deploy(found: Installation) -> None:
    """prefect.yaml as it stands, with this installation's configuration and the nightly schedule once a minute."""
    subprocess.run(
        [sys.executable, "-m", "deployments.provision", found.setting.config.store],
        cwd=ROOT, env={**os.environ, **found.settings}, check=True, capture_output=True,
    )  # fmt: skip
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    for deployment in document["deployments"]:
        deployment["parameters"]["config"] = found.setting.config.model_dump(mode="json")
        for schedule in deployment.get("schedules", []):
            if schedule["slug"] == "nightly":
                schedule["cron"] = "* * * * *"
    file = found.folder / "prefect.yaml"
    file.write_text(yaml.safe_dump(document))
    found.prefect("deploy", "--all", "--prefect-file", str(file))


@pytest.fixture(scope="session")
def scheduled(installation: Installation) -> str:
    """The run that the schedule started, finished."""
    installation.start_worker("one")
    installation.start_worker("two")
    run = until(lambda: next(iter(installation.runs("refresh")), None), 600, 2.0)
    installation.wait(run["id"])
    installation.pause_schedules("refresh/refresh")
    return run["id"]
