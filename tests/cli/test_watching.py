"""`presel status --watch`: it ends with the last run, and shows the board as it stands."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from presel.cli.watching import read, watch
from presel.demo.setting import demo_config
from presel.runs.housekeeping.under_way import announce, withdraw
from tasks.board import Board


@pytest.fixture(autouse=True)
def _no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))


def test_watching_ends_with_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = demo_config(str(tmp_path / "pool"), str(tmp_path / "store"))
    assert watch(settings, every=0.01) is False
    announce(settings.store, "some-run")
    threading.Timer(0.5, withdraw, (settings.store, "some-run")).start()
    began = time.monotonic()
    assert watch(settings, every=0.05) is True
    assert time.monotonic() - began < 30
    assert "a run is under way since" in capsys.readouterr().out


def test_the_stages_of_a_board_are_read_from_its_page() -> None:
    board = Board("demo", "run")
    lane = board.begun("embed", "embed")
    head, row = read(board.line("Running"), board.page("Running")).rows
    assert head[:3] == ["stage", "tasks", "done"]
    assert row[0] == "embed"
    assert row[1] == "0 of 1"
    assert len(row) == len(head)
    board.ended(lane, "Completed")
