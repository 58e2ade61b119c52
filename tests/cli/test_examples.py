"""`presel examples`: every one is listed, and what it writes can be loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from presel.cli.app import app
from presel.config.file import load

NAMES = [file.stem for file in sorted((Path(__file__).parents[2] / "deployments/examples").glob("*.yaml"))]
run = CliRunner().invoke


def test_every_example_is_listed_with_a_sentence() -> None:
    told = json.loads(run(app, ["examples", "--json"]).stdout)
    assert [each["name"] for each in told] == NAMES
    assert all(each["about"].endswith(".") and len(each["about"]) > 40 for each in told)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_written_once_and_loads(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_URL", "http://there/v1")
    to = tmp_path / "presel.yaml"
    assert run(app, ["examples", name, "--to", str(to)]).exit_code == 0
    assert load(to).source.uri.startswith("s3://")
    assert run(app, ["examples", name, "--to", str(to)]).exit_code != 0
    assert run(app, ["examples", "none", "--to", str(to), "--force"]).exit_code != 0
