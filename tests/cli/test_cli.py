"""The command line as a process: what a shell or a script sees."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml


def presel(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, "-m", "presel.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)


def test_init_writes_the_deployments_of_that_source_and_store_beside_it(tmp_path):
    where = ("--source", str(tmp_path / "pool"), "--store", "s3://mine/store")
    assert presel("init", str(tmp_path / "presel.yaml"), "--deployments", *where).returncode == 0
    [config] = [one["parameters"]["config"] for one in deployments(tmp_path) if one["name"] == "refresh"]
    assert config["source"]["uri"] == str(tmp_path / "pool")
    assert config["store"] == "s3://mine/store"
    again = presel("init", str(tmp_path / "other.yaml"), "--deployments")
    assert again.returncode == 2
    assert "prefect.yaml: the file exists already" in again.stderr
    assert not (tmp_path / "other.yaml").exists()


def deployments(folder):
    return yaml.safe_load((folder / "prefect.yaml").read_text())["deployments"]


def test_init_writes_a_configuration_once(tmp_path):
    path = str(tmp_path / "presel.yaml")
    assert presel("init", path).returncode == 0
    again = presel("init", path)
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert presel("init", path, "--force", "--json").stdout.startswith("{")


def test_a_wrong_configuration_stops_every_command_before_it_starts(tmp_path):
    path = tmp_path / "presel.yaml"
    path.write_text("source:\n  uri: pool\nstore: s\ngenerator:\n  max_cots: 1\n")
    for command in ("plan", "run", "status", "doctor"):
        result = presel(command, "-c", str(path))
        assert result.returncode == 2
        assert "presel.yaml:5: generator.max_cots" in result.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_is_json_when_json_was_asked_for(tmp_path):
    result = presel("status", "-c", str(tmp_path / "none.yaml"), "--json")
    assert result.returncode == 2
    assert json.loads(result.stdout)["error"] == "ConfigError"


def test_status_before_any_run_says_what_to_do(tmp_path):
    path = tmp_path / "presel.yaml"
    presel("init", str(path), "--source", str(tmp_path / "pool"), "--store", str(tmp_path / "store"))
    result = presel("status", "-c", str(path))
    assert result.returncode == 3
    assert "presel run" in result.stderr


def test_doctor_has_one_line_per_thing_and_names_the_fix(tmp_path):
    (tmp_path / "pool" / "task").mkdir(parents=True)
    (tmp_path / "pool" / "task" / "a.jpg").write_bytes(b"x")
    path = tmp_path / "presel.yaml"
    presel("init", str(path), "--source", str(tmp_path / "pool"), "--store", str(tmp_path / "store"))
    overrides = ["--set", "encoder.name=builtin", "--set", "generator.base_url=http://127.0.0.1:9/v1"]
    overrides += ["--set", "reference_model.model=builtin"]
    result = presel("doctor", "-c", str(path), *overrides, "--patience", "90", "--json", OPENAI_API_KEY="")
    found = {line["check"]: line for line in json.loads(result.stdout)}
    assert result.returncode == 1
    assert found["source"]["level"] == found["store"]["level"] == found["encoder"]["level"] == "ok"
    assert found["reference"]["level"] == "ok"
    assert found["api key"]["level"] == found["endpoint"]["level"] == "error"
    assert "export OPENAI_API_KEY" in found["api key"]["fix"]


@pytest.mark.parametrize("command", ["init", "doctor", "plan", "run", "status", "explain", "report", "demo", "ledger"])
def test_every_command_explains_itself(command):
    result = presel(command, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout
