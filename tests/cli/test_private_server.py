"""Which server a command uses, and that a private one has nothing in common with another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from presel.cli.prefect_run import directly_to_loopback
from presel.cli.private_server import environment, writable_home

ASK = "from presel.cli.prefect_run import server_address; print(server_address())"


def asked(home: Path, **settings: str) -> str:
    told = {**os.environ, "PREFECT_HOME": str(home), **settings}
    return subprocess.run(
        [sys.executable, "-c", ASK], env=told, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_server_named_in_a_profile_counts_as_the_environments_does(tmp_path: Path) -> None:
    assert asked(tmp_path) == "None"
    (tmp_path / "profiles.toml").write_text(
        'active = "own"\n[profiles.own]\nPREFECT_API_URL = "http://there:4200/api"\n'
    )
    assert asked(tmp_path) == "http://there:4200/api"
    assert asked(tmp_path, PREFECT_API_URL="http://other:4200/api") == "http://other:4200/api"


def test_a_private_server_is_told_nothing_of_another_ones_database_login_or_queue(tmp_path: Path) -> None:
    url = "postgresql+asyncpg://prefect:word@there/prefect"
    others = {
        "PREFECT_API_DATABASE_CONNECTION_URL": url,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": url,
        "PREFECT_SERVER_DATABASE_HOST": "there",
        "PREFECT_SERVER_API_AUTH_STRING": "admin:word",
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "elsewhere",
    }
    told = environment({**others, "PREFECT_HOME": "kept", "PATH": "kept"}, tmp_path)
    assert told.items() >= {"PREFECT_HOME": "kept", "PATH": "kept"}.items()
    assert told.keys() & others.keys() == {"PREFECT_SERVER_DATABASE_CONNECTION_URL"}
    assert told["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == f"sqlite+aiosqlite:///{tmp_path}/presel.db"


def test_a_home_that_cannot_be_written_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    assert writable_home() is None
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file/home"))
    own = writable_home()
    assert own is not None
    assert Path(own).stat().st_mode & 0o077 == 0


def test_this_machine_is_exempt_from_a_proxy_beside_what_was_exempt_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intern.example")
    monkeypatch.setenv("no_proxy", "*")
    directly_to_loopback()
    directly_to_loopback()
    assert os.environ["NO_PROXY"] == "intern.example,127.0.0.1,localhost,::1"
    assert os.environ["no_proxy"] == "*"
