"""Who is dead? A lease gives its money back when its owner is, and not a moment before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from presel.instruct.money import owners
from presel.instruct.money.owners import Owner, Watch
from presel.storage import open_store


@pytest.fixture
def stranger() -> Iterator[int]:
    """The id of a live process that owns nothing here."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def test_an_owner_whose_process_lives_is_not_dead(tmp_path: Path) -> None:
    owner = Owner(open_store(str(tmp_path)))
    owner.beat()
    assert not Watch(open_store(str(tmp_path))).dead(owner.id)


def test_another_process_under_a_recycled_id_keeps_no_lease_alive(tmp_path: Path, stranger: int) -> None:
    assert dead(tmp_path, pid=stranger)


def test_a_process_that_has_ended_keeps_no_lease_alive_before_anybody_waited_for_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = owners._started(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and keeps its id
        assert dead(tmp_path, pid=process.pid, started=started)


@pytest.mark.parametrize("differs", ["host", "boot", "space"])
def test_an_id_says_nothing_about_a_process_of_another_machine(tmp_path: Path, stranger: int, differs: str) -> None:
    assert not dead(tmp_path, pid=stranger, **{differs: "another"})


def dead(folder: Path, **other: object) -> bool:
    """Whether the owner of a heartbeat of this process counts as dead once the heartbeat says something else."""
    store = open_store(str(folder))
    owner = Owner(store)
    owner.beat()
    path = folder / owners.FOLDER / f"{owner.id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **other}))
    return Watch(store).dead(owner.id)
