"""What an operator has: a server that can be killed, workers that can be killed, a pool that can change."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from presel.cli.prefect_run import wait_for
from presel.config import RefreshConfig
from presel.demo.pool import draw
from presel.demo.setting import Setting
from presel.instruct.ledger import Ledger
from presel.runs import run_record
from presel.runs.run_record import RunRecord
from presel.storage import open_store
from tests.system import processes
from tests.system.postgres import Postgres
from tests.system.processes import until

ROOT = Path(__file__).parents[2]
ENDED = ("Completed", "Failed", "Crashed", "Cancelled")


@dataclass
class Installation:
    """A Prefect server, its workers, and the store and pool of the configuration that is deployed there."""

    url: str
    setting: Setting
    folder: Path
    settings: dict[str, str]
    postgres: Postgres
    processes: dict[str, subprocess.Popen[Any]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, module: str = "prefect") -> None:
        """A process of Prefect, or around it, in a group of its own, its output in a file."""
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, **self.settings},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def start_server(self) -> None:
        self.start("server", "server", "start", "--host", "127.0.0.1", "--port", self.url.rpartition(":")[2])
        wait_for(f"{self.url}/api/health", 300)

    def start_worker(self, name: str, pool: str = "presel-gpu") -> None:
        self.start(name, "--pool", pool, "--limit", "1", "--name", name, module="deployments.worker")

    def kill(self, *names: str) -> None:
        """Processes of this installation and everything they have started."""
        processes.kill(*[self.processes.pop(name) for name in names])

    def cut_power(self) -> None:
        """Everything is gone within a moment: workers, flows, the server, its database."""
        processes.kill(*self.processes.values(), self.postgres.process)
        self.processes.clear()

    def prefect(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        environment = {**os.environ, **self.settings}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def post(self, path: str, **body: Any) -> Any:
        answer = httpx.post(f"{self.url}/api/{path}", json=body, timeout=120)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Flow runs of a deployment, oldest first, those that were only planned left out."""
        found = self.post("flow_runs/filter", deployments={"name": {"any_": [deployment]}}, sort="START_TIME_ASC")
        return [run for run in found if run["state_type"] != "SCHEDULED"]

    def of_store(self, store: str) -> list[dict[str, Any]]:
        """Flow runs whose configuration names that store."""
        found = self.post("flow_runs/filter", limit=200)
        return [run for run in found if run["parameters"].get("config", {}).get("store") == store]

    def run(self, run_id: str) -> dict[str, Any]:
        return httpx.get(f"{self.url}/api/flow_runs/{run_id}", timeout=120).json()

    def trigger(self, deployment: str, **parameters: Any) -> str:
        """Start a run of a deployment; its id."""
        found = httpx.get(f"{self.url}/api/deployments/name/{deployment}", timeout=120).json()
        merged = {**found["parameters"], **parameters}
        return self.post(f"deployments/{found['id']}/create_flow_run", parameters=merged, state={"type": "SCHEDULED"})[
            "id"
        ]

    def config(self, store: str | None = None, **generator: Any) -> RefreshConfig:
        """What is deployed, with another store or another pace."""
        config = self.setting.config
        paced = config.generator.model_copy(update=generator)
        return config.model_copy(update={"generator": paced, "store": store or config.store})

    def refresh(self, config: RefreshConfig | None = None) -> str:
        """A run of the deployment `refresh`; its id."""
        given = config or self.setting.config
        return self.trigger("refresh/refresh", config=given.model_dump(mode="json"))

    def retry(self, run_id: str) -> None:
        """What the UI's Retry sends."""
        self.post(f"flow_runs/{run_id}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=True)
        time.sleep(5)

    def presel(self, *arguments: str, config: RefreshConfig) -> subprocess.Popen[Any]:
        """The command line, with a configuration in a file."""
        file = self.folder / f"{len(list(self.folder.glob('*.yaml')))}.yaml"
        file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
        command = [sys.executable, "-m", "presel.cli", *arguments, "-c", str(file)]
        environment = {**os.environ, **self.settings}
        return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE)

    def latest(self, store: str | None = None) -> RunRecord:
        config = self.setting.config
        return run_record.latest(store or config.store, config.dataset.name)

    def answers(self, store: str | None = None) -> int:
        """Paid answers on the store."""
        return sum(1 for _ in Ledger(open_store(store or self.setting.config.store)).all_keys())

    def add_images(self, first: int, count: int) -> None:
        source = open_store(self.setting.config.source.uri)
        for number in range(first, first + count):
            source.write(f"photo/new-{number}.jpg", draw("photo", number, 0).data)

    def pause_schedules(self, deployment: str) -> None:
        found = httpx.get(f"{self.url}/api/deployments/name/{deployment}", timeout=120).json()
        for schedule in found["schedules"]:
            path = f"{self.url}/api/deployments/{found['id']}/schedules/{schedule['id']}"
            httpx.patch(path, json={"active": False}, timeout=120).raise_for_status()

    def wait(self, run_id: str, *states: str, seconds: float = 900) -> dict[str, Any]:
        """The run, once it is in one of the states (any that ends it); the failure says what the server has heard of it."""
        wanted = states or ENDED
        try:
            return until(lambda: (run := self.run(run_id))["state_name"] in wanted and run, seconds, 1.0)
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
