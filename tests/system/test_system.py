"""As an operator has it: deployed, scheduled, on PostgreSQL and S3, with the plug pulled. The tests follow one another."""

from __future__ import annotations

import time

import pytest

from presel import run_record
from presel.dataset import versions
from presel.demo.pool import draw
from presel.instruct.ledger import Ledger
from presel.instruct.money import spending
from presel.run_record import RunRecord
from presel.storage import open_store
from tests.system.conftest import Installation, _until


def latest(installation: Installation) -> RunRecord:
    config = installation.setting.config
    return run_record.latest(config.store, config.dataset.name)


def answers(installation: Installation) -> int:
    return sum(1 for _ in Ledger(open_store(installation.setting.config.store)).all_keys())


def add_images(installation: Installation, first: int, count: int) -> None:
    source = open_store(installation.setting.config.source.uri)
    for number in range(first, first + count):
        source.write(f"photo/new-{number}.jpg", draw("photo", number, 0).data)


@pytest.fixture(scope="module")
def scheduled(installation: Installation) -> str:
    """The run that the schedule started, finished."""
    installation.start_worker("one")
    installation.start_worker("two")
    run = _until(lambda: next(iter(installation.runs("refresh")), None), 240, 2.0)
    installation.wait(run["id"], "Completed", "Failed", "Crashed")
    installation.pause_schedules("refresh/refresh")
    return run["id"]


def test_the_schedule_starts_a_refresh_that_publishes(installation: Installation, scheduled: str) -> None:
    run, record = installation.run(scheduled), latest(installation)
    assert run["state_name"] == "Completed", installation.logs(scheduled)[-5:]
    assert run["auto_scheduled"]
    assert record.dataset.version == 1
    assert record.dataset.uri.startswith("s3://")
    assert versions.verify(record.dataset) == []
    assert record.dataset.records == int(0.15 * record.samples.rows)
    assert answers(installation) == installation.setting.requests()


def test_a_second_refresh_at_the_same_time_gives_way(installation: Installation, scheduled: str) -> None:
    first = installation.trigger("refresh/refresh")
    second = installation.trigger("refresh/refresh")
    ends = {installation.wait(run, "Completed", "Cancelled", "Failed")["state_name"] for run in (first, second)}
    assert ends == {"Completed", "Cancelled"}
    kept = first if installation.run(first)["state_name"] == "Completed" else second
    tasks = installation.tasks(kept)
    assert {name for name, state in tasks.items() if state == "Completed"} <= {
        *("ingest", "history", "publish", "report", "show plan", "show results", "plan-0"),
    }
    assert versions.versions(installation.setting.config.store, "demo") == [1]


def test_a_run_whose_machine_lost_power_is_seen_to_have_crashed_and_is_taken_up_elsewhere(
    installation: Installation, scheduled: str
) -> None:
    add_images(installation, 500, 40)
    asked = installation.setting.requests()
    run = installation.trigger("refresh/refresh")
    _until(lambda: installation.tasks(run).get("ingest") == "Completed", 180)
    time.sleep(2)
    installation.kill("one")
    installation.kill("two")
    assert installation.run(run)["state_name"] == "Running"
    crashed = installation.wait(run, "Crashed", seconds=240)
    assert "heartbeat" in crashed["state"]["message"]
    installation.start_worker("three")
    installation.prefect("flow-run", "retry", run)
    time.sleep(5)
    ended = installation.wait(run, "Completed", "Failed", "Crashed")
    assert ended["state_name"] == "Completed", installation.logs(run)[-5:]
    after = installation.tasks(run)
    assert "Running" not in after.values()
    record = latest(installation)
    assert record.dataset.version == 2
    assert versions.verify(record.dataset) == []
    in_flight = installation.setting.config.generator.concurrency
    bought = answers(installation)
    assert installation.setting.requests() - asked <= bought + in_flight
    assert spending(open_store(installation.setting.config.store))["reserved_usd"] == 0


@pytest.mark.xfail(
    strict=False,
    reason="a client gives up releasing its slot while the server is away; two settings against it, not seen to work yet",
)
def test_a_server_that_dies_during_a_run_costs_nothing(installation: Installation, scheduled: str) -> None:
    add_images(installation, 600, 40)
    run = installation.trigger("refresh/refresh")
    _until(lambda: installation.tasks(run).get("ingest") == "Completed", 180)
    installation.kill("server")
    time.sleep(5)
    installation.start_server()
    assert installation.wait(run, "Completed", "Failed", "Crashed")["state_name"] == "Completed"
    assert latest(installation).dataset.version == 3


def test_housekeeping_runs_on_its_own_pool_and_finds_nothing_wrong(installation: Installation, scheduled: str) -> None:
    installation.start_worker("four", pool="presel-cpu")
    run = installation.trigger("housekeeping/housekeeping")
    assert installation.wait(run, "Completed", "Failed", "Crashed")["state_name"] == "Completed"


def test_each_piece_of_work_has_one_line_in_the_ui(installation: Installation, scheduled: str) -> None:
    lines = installation.logs(scheduled)
    made = [line for line in lines if line.endswith("rejects") and " rows, " in line]
    assert any(line.startswith("embed ") for line in made)
    assert len(made) <= len(installation.tasks(scheduled))
    assert not any("HTTP Request" in line for line in lines)
