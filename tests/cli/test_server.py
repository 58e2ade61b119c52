"""A Prefect server that is not there is one line, at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from presel.cli.prefect_run import free_port
from presel.config.template import render


@pytest.mark.parametrize("command", ["run", "cancel"])
def test_a_server_that_does_not_answer_is_named_in_one_line(command: str, tmp_path: Path) -> None:
    config = tmp_path / "presel.yaml"
    config.write_text(render(source__uri=str(tmp_path), store=str(tmp_path / "store")))
    url = f"http://127.0.0.1:{free_port()}/api"
    arguments = [sys.executable, "-m", "presel.cli", command, "-c", str(config)]
    told = {**os.environ, "PREFECT_API_URL": url, "OPENAI_API_KEY": "word"}
    done = subprocess.run(arguments, env=told, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 6
    *_, line = done.stderr.strip().splitlines()  # `run` says first that it starts
    assert line.startswith(f"EndpointUnavailable {url}: the Prefect server does not answer")
