"""What of the deployment files can be checked without a container runtime: that they parse, and agree with each other."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.provision import POOLS
from presel.config.file import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deployments"
EXAMPLES = sorted((FOLDER / "examples").glob("*.yaml"))
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_valid_configuration(path: Path) -> None:
    assert load(path).generator.max_cost


def test_there_is_an_example_for_each_way_to_run() -> None:
    assert {path.stem for path in EXAMPLES} == {"openai-aws", "vllm-minio", "llava-665k", "vision-flan"}


def test_every_variable_that_compose_wants_is_in_the_example_environment() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", (FOLDER / "compose.yaml").read_text()))
    given = set(re.findall(r"^(\w+)=", (FOLDER / "example.env").read_text(), re.MULTILINE))
    assert wanted <= given
    ignored = (ROOT / ".gitignore").read_text().split()
    assert "deployments/.env" in ignored


def test_compose_services_depend_on_services_that_exist_and_can_be_healthy() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        for name, condition in service.get("depends_on", {}).items():
            assert name in services
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "nothing listens beyond this machine unless somebody decides so"


def test_every_pool_has_a_worker_and_every_deployment_a_pool() -> None:
    started = {
        words[words.index("--pool") + 1]
        for service in COMPOSE["services"].values()
        if "--pool" in (words := shlex.split(str(service.get("command", ""))))
    }
    assert started == set(POOLS)
    assert {deployment["work_pool"]["name"] for deployment in DEPLOYMENTS} == set(POOLS)


def test_compose_runs_the_database_and_the_store_with_fixed_versions() -> None:
    for service in COMPOSE["services"].values():
        if service["image"] != "presel":
            assert re.search(r":[\w.-]*\d", service["image"])
            assert not service["image"].endswith(":latest")


def test_the_image_copies_what_exists_runs_as_a_user_and_pins_its_base() -> None:
    steps = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    for step in steps:
        if step.startswith("COPY"):
            assert all((ROOT / source).exists() for source in step.split()[1:-1]), step
    assert steps[0].startswith("FROM ")
    assert re.search(r":\d", steps[0])
    users = [step.split()[1] for step in steps if step.startswith("USER")]
    assert users
    assert users[-1] != "root"
    assert "-c constraints.txt" in DOCKERFILE
    [folder] = [step.split()[1] for step in steps if step.startswith("WORKDIR")]
    assert folder in json.dumps(job_template())


def job_template() -> dict[str, Any]:
    return json.loads((FOLDER / "kubernetes/base-job-template.json").read_text())


def test_the_kubernetes_job_uses_every_variable_it_declares_and_no_other() -> None:
    template = job_template()
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["terminationGracePeriodSeconds"] >= 30, "a cancelled run drains for up to 25 s"


def test_the_kubernetes_worker_belongs_to_a_pool_that_exists() -> None:
    documents = list(yaml.safe_load_all((FOLDER / "kubernetes/worker.yaml").read_text()))
    assert [document["kind"] for document in documents] == ["ServiceAccount", "Role", "RoleBinding", "Deployment"]
    container = documents[-1]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][container["args"].index("--pool") + 1] in POOLS


def test_every_program_that_systemd_starts_is_one_that_the_documentation_starts() -> None:
    documented = (ROOT / "docs/operations.md").read_text()
    units = sorted((FOLDER / "systemd").glob("*.service"))
    assert [unit.name for unit in units] == ["prefect-server.service", "presel-worker@.service"]
    for unit in units:
        [command] = re.findall(r"^ExecStart=/srv/presel/(.*)$", unit.read_text(), re.MULTILINE)
        assert command.replace("presel-%i", "presel-gpu") in documented
        assert "Restart=always" in unit.read_text()


SECRET_NAMES = re.compile(r"(?i)(password|secret_access_key|api_key|token)[ \t]*[:=][ \t]*['\"]?[\w/+-]{8,}")


@pytest.mark.parametrize(
    "path", [ROOT / "prefect.yaml", *sorted(file for file in FOLDER.rglob("*") if file.is_file())], ids=lambda p: p.name
)
def test_no_deployment_file_holds_a_secret(path: Path) -> None:
    if path.suffix != ".pyc":
        assert not SECRET_NAMES.search(path.read_text())


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("https://api.openai.com/v1", True),
        ("${BASE}/v1", True),
        ("https://router.example/v1?api-version=2024-10-21", True),
        ("https://user:word@router.example/v1", False),
        ("https://${USER}:${WORD}@router.example/v1", False),
        ("https://router.example/v1?api_key=abc", False),
    ],
)
def test_a_server_refuses_to_keep_a_deployment_whose_address_holds_a_password(address: str, taken: bool) -> None:
    from prefect.server.schemas.actions import DeploymentCreate
    from prefect.utilities.callables import parameter_schema

    from flows.refresh import refresh

    generator = {"max_cost": 1, "base_url": address}
    config = {"source": {"uri": "s3://bucket/images"}, "store": "s3://bucket/presel", "generator": generator}
    kept = {
        "name": "refresh",
        "flow_id": "00000000-0000-0000-0000-000000000000",
        "parameters": {"config": config},
        "parameter_openapi_schema": parameter_schema(refresh).model_dump(),
        "enforce_parameter_schema": True,
    }
    if taken:
        DeploymentCreate.model_validate(kept)
    else:
        with pytest.raises(ValueError, match="does not match"):
            DeploymentCreate.model_validate(kept)
