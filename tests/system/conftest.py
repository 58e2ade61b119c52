"""A whole installation on this machine: PostgreSQL, a Prefect server on it, an S3 server, an annotator, process workers.

Slow, so it runs in `make test-system` only (`PRESEL_SYSTEM=1`). PostgreSQL is Debian's package; it refuses to run as root, so
as root it is run as the user `postgres` that the package makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from presel.cli.prefect_run import free_port, wait_for
from presel.demo.setting import Setting, environment, staged

ROOT = Path(__file__).parents[2]
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
    reason = None
    if not os.environ.get("PRESEL_SYSTEM"):
        reason = "starts PostgreSQL, a server and workers: `make test-system` runs it"
    elif _postgres() is None:
        reason = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if reason:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


def _postgres() -> Path | None:
    """Where PostgreSQL's programs lie; Debian keeps them off the path."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    found = shutil.which("initdb") or next(iter(packaged), None)
    return Path(found).resolve().parent if found else None


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty database, as SQLAlchemy writes it."""
    programs, folder, port = _postgres(), tmp_path_factory.mktemp("postgres"), free_port()
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for parent in [folder, *folder.parents][:3]:
            parent.chmod(0o755)
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = {"user": user.pw_uid, "group": user.pw_gid}
    data = folder / "data"
    setup = [str(programs / "initdb"), "-D", str(data), "-U", "presel", "--auth=trust", "-E", "UTF8"]
    subprocess.run(setup, check=True, capture_output=True, cwd=folder, **as_user)
    serve = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1", "-F"]
    with subprocess.Popen(serve, cwd=folder, stderr=subprocess.DEVNULL, **as_user) as process:
        ready = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
        _until(lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0, 60)
        yield f"postgresql+asyncpg://presel@127.0.0.1:{port}/postgres"
        process.send_signal(signal.SIGINT)


def _until(done: Callable[[], Any], seconds: float, every: float = 0.5) -> Any:
    """The first truthy answer. Fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = done()
        if answer:
            return answer
        time.sleep(every)
    raise AssertionError(f"not within {seconds:.0f} s")


def _descendants(pid: int) -> list[int]:
    """A worker starts flows in sessions of their own, so its process group is not all of it."""
    found: list[int] = []
    with suppress(FileNotFoundError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [*_descendants(int(child)), int(child)]
    return found


@dataclass
class Installation:
    """What an operator has: a server that can be killed, workers that can be killed, a pool that can change."""

    url: str
    setting: Setting
    folder: Path
    settings: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> None:
        """A Prefect process in a group of its own, its output in a file."""
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.settings},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def start_server(self) -> None:
        self.start("server", "server", "start", "--host", "127.0.0.1", "--port", self.url.rpartition(":")[2])
        wait_for(f"{self.url}/api/health", 180)

    def start_worker(self, name: str, pool: str = "presel-gpu") -> None:
        self.start(name, "worker", "start", "--pool", pool, "--type", "process", "--limit", "1", "--name", name)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """The process and everything it has started, all within a moment: a power cut, as far as they can tell."""
        process = self.processes.pop(name)
        for pid in [*_descendants(process.pid), process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        process.wait(60)

    def prefect(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        environment = {**os.environ, **self.settings}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def post(self, path: str, **body: Any) -> Any:
        answer = httpx.post(f"{self.url}/api/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Flow runs of a deployment, oldest first, those that were only planned left out."""
        found = self.post("flow_runs/filter", deployments={"name": {"any_": [deployment]}}, sort="START_TIME_ASC")
        return [run for run in found if run["state_type"] != "SCHEDULED"]

    def run(self, run_id: str) -> dict[str, Any]:
        return httpx.get(f"{self.url}/api/flow_runs/{run_id}", timeout=60).json()

    def trigger(self, deployment: str, **parameters: Any) -> str:
        """Start a run of a deployment; its id."""
        found = httpx.get(f"{self.url}/api/deployments/name/{deployment}", timeout=60).json()
        merged = {**found["parameters"], **parameters}
        return self.post(f"deployments/{found['id']}/create_flow_run", parameters=merged, state={"type": "SCHEDULED"})[
            "id"
        ]

    def pause_schedules(self, deployment: str) -> None:
        found = httpx.get(f"{self.url}/api/deployments/name/{deployment}", timeout=60).json()
        for schedule in found["schedules"]:
            path = f"{self.url}/api/deployments/{found['id']}/schedules/{schedule['id']}"
            httpx.patch(path, json={"active": False}, timeout=60).raise_for_status()

    def wait(self, run_id: str, *states: str, seconds: float = 420) -> dict[str, Any]:
        """The run, once it is in one of the states; the failure says what the server has heard of it."""
        try:
            return _until(lambda: (run := self.run(run_id))["state_name"] in states and run, seconds, 1.0)
        except AssertionError:
            events = self.post("events/filter", filter={"resource": {"id": [f"prefect.flow-run.{run_id}"]}}, limit=50)
            heard = [(event["occurred"], event["event"]) for event in events["events"]]
            raise AssertionError(f"{self.run(run_id)['state']}, {heard}, {self.tasks(run_id)}") from None

    def tasks(self, run_id: str) -> dict[str, str]:
        """Task run name -> state name, of a flow run and of the flows within it."""
        inner = self.post("flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run_id]}})
        ids = [run_id, *(run["id"] for run in inner)]
        found = self.post("task_runs/filter", flow_runs={"id": {"any_": ids}}, limit=200)
        return {task["name"]: task["state_name"] for task in sorted(found, key=lambda task: task["created"])}

    def logs(self, run_id: str) -> list[str]:
        inner = self.post("flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run_id]}})
        ids = [run_id, *(run["id"] for run in inner)]
        lines: list[str] = []
        while page := self.post("logs/filter", logs={"flow_run_id": {"any_": ids}}, limit=200, offset=len(lines)):
            lines += [line["message"] for line in page]
        return lines


@pytest.fixture(scope="session")
def installation(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder, port = tmp_path_factory.mktemp("installation"), free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        **PREFECT,
        "PREFECT_API_DATABASE_CONNECTION_URL": database,
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_HOME": str(folder / "prefect"),
    }
    with environment(**settings), staged(folder, images=150, s3=True) as setting:
        found = Installation(url, setting, folder, settings)
        try:
            found.start_server()
            deploy(found)
            yield found
        finally:
            for name in list(found.processes):
                found.kill(name, signal.SIGTERM)


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
