"""prefect.yaml against a real server: what it names exists, its parameters are valid, deploying twice is deploying once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from prefect.events.worker import EventsWorker

from deployments.provision import FLOWS, POOLS, ZOMBIES, provision
from presel.cli.deployed import configurations
from presel.config import RefreshConfig
from presel.tables.schemas import DatasetRef
from tasks.publishing import tell

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


def prefect(*arguments: str) -> str:
    from prefect.settings import PREFECT_API_URL

    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_CLI_COLORS": "false"}
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_a_deployment_names_a_flow_that_exists_and_parameters_that_it_takes(deployment):
    import importlib

    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    assert set(deployment["parameters"]) <= set(flow.parameters.properties)
    assert RefreshConfig.model_validate(deployment["parameters"]["config"])
    assert deployment["concurrency_limit"]["limit"] == 1
    assert deployment["work_pool"]["name"] in POOLS
    assert flow.name in FLOWS, "its crashed runs would say Running for ever"


def test_provisioning_and_deploying_twice_is_the_same_as_once(tmp_path):
    from prefect.client.orchestration import get_client

    for _ in range(2):
        provision(str(tmp_path))
        prefect("deploy", "--all")
    with get_client(sync_client=True) as client:
        found = {deployment.name: deployment for deployment in client.read_deployments()}
        automations = client.read_automations_by_name(ZOMBIES)
        pools = {pool.name for pool in client.read_work_pools()}
    assert set(found) == {deployment["name"] for deployment in DEPLOYMENTS}
    assert len(automations) == 1
    assert set(POOLS) <= pools
    assert [schedule.schedule.cron for schedule in found["refresh"].schedules] == ["0 3 * * *"]
    assert found["refresh"].global_concurrency_limit.limit == 1
    assert found["refresh"].parameter_openapi_schema["properties"]["config"]
    assert configurations() == dict.fromkeys(
        ["refresh/instruct", "refresh/refresh"], DEPLOYMENTS[0]["parameters"]["config"]
    )


def test_the_server_refuses_a_wrong_configuration_before_anything_starts(tmp_path):
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    provision(str(tmp_path))
    prefect("deploy", "--name", "refresh")
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("refresh/refresh")
        wrong = {"config": {**deployment.parameters["config"], "budget": {"share": 1.5}}}
        with pytest.raises(PrefectHTTPStatusError, match=r"409|422"):
            client.create_flow_run_from_deployment(deployment.id, parameters=wrong)


def test_a_published_version_starts_the_export_that_waits_for_it(tmp_path: Path) -> None:
    """The trigger as it stands in prefect.yaml, switched on; the event as a refresh sends it."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId

    provision(str(tmp_path))
    switched_on = (ROOT / "prefect.yaml").read_text().replace("enabled: false", "enabled: true")
    ours = ROOT / "prefect.local.test.yaml"
    try:
        ours.write_text(switched_on)
        prefect("deploy", "--name", "export", "--prefect-file", ours.name)
    finally:
        ours.unlink()
    for name, version in (("another", 7), ("dataset", 12)):
        tell(str(tmp_path), DatasetRef(name=name, version=version, uri="u", digest="d" * 32, records=3))
    EventsWorker.drain_all(timeout=60)
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("export/export")
        of_it = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]))
        deadline = time.monotonic() + 120
        while not (runs := client.read_flow_runs(flow_run_filter=of_it)) and time.monotonic() < deadline:
            time.sleep(0.5)
    assert [run.parameters["version"] for run in runs] == [12]
    assert runs[0].parameters["config"] == deployment.parameters["config"]
