"""The plug is pulled: on the server at each stage, on a flow's process, and on everything at once, database included."""

from __future__ import annotations

import os
import signal
import time

import pytest

from presel.dataset import versions
from presel.instruct.money.purse import spending
from presel.storage import open_store
from tests.refresh.straight import straight
from tests.system.installation import Installation
from tests.system.processes import descendants, runs_a_flow, until

SLOW = 40
"""Requests a minute: slow enough to pull the plug among them."""
ENDED = {"Completed", "Cached", "Crashed"}
"""Task runs of a killed flow run, once it has been retried: one whose name had not reached the server stays, as crashed."""


@pytest.mark.parametrize(("stage", "seconds"), [("embed", 5), ("instruct", 120), ("publish", 30)])
def test_a_server_that_is_away_delays_a_run_and_does_not_end_it(
    installation: Installation, scheduled: str, stage: str, seconds: int
) -> None:
    store = installation.setting.config.store
    installation.add_images(600 + seconds, 60)
    before, asked, bought = (
        installation.latest().dataset.version,
        installation.setting.requests(),
        installation.answers(),
    )
    shown = {"embed": "tables/embed/", "publish": f"datasets/demo/{before + 1}/"}
    known = {path: sum(1 for _ in open_store(store).list(path)) for path in shown.values()}

    def begun() -> bool:
        """Seen at the annotator or the store, which tell sooner than the server."""
        if stage == "instruct":
            return installation.setting.requests() > asked + 1
        return sum(1 for _ in open_store(store).list(shown[stage])) > known[shown[stage]]

    run = installation.refresh(installation.config(requests_per_minute=SLOW))
    until(begun, 600, 0.1)
    installation.kill("server")
    time.sleep(seconds)
    installation.start_server()
    ended = installation.wait(run)
    assert ended["state_name"] == "Completed", installation.logs(run)[-5:]
    until(lambda: set(installation.tasks(run).values()) <= {"Completed", "Cached"}, 240)
    assert installation.latest().dataset.version == before + 1
    assert installation.setting.requests() - asked == installation.answers() - bought > 0


def test_a_flow_whose_process_is_killed_is_crashed_at_once_and_the_retry_button_takes_it_up(
    installation: Installation, scheduled: str
) -> None:
    installation.add_images(800, 60)
    before, asked, bought = (
        installation.latest().dataset.version,
        installation.setting.requests(),
        installation.answers(),
    )
    run = installation.refresh(installation.config(requests_per_minute=SLOW))
    until(lambda: installation.setting.requests() > asked + 1, 600)
    workers = [installation.processes[name].pid for name in ("one", "two")]
    [flow] = [pid for worker in workers for pid in descendants(worker) if runs_a_flow(pid)]
    os.kill(flow, signal.SIGKILL)
    installation.wait(run, "Crashed", seconds=240)
    installation.retry(run)
    assert installation.wait(run)["state_name"] == "Completed", installation.logs(run)[-5:]
    tasks = installation.tasks(run)
    assert {state for name, state in tasks.items() if name.startswith(("embed ", "assemble ", "cluster "))} == {
        "Cached"
    }
    assert set(tasks.values()) <= ENDED
    assert installation.latest().dataset.version == before + 1
    in_flight = installation.setting.config.generator.concurrency
    assert 0 <= (installation.setting.requests() - asked) - (installation.answers() - bought) <= in_flight


def test_when_everything_loses_power_at_once_runs_are_seen_to_have_crashed_and_go_on_where_they_stood(
    installation: Installation, scheduled: str
) -> None:
    installation.add_images(500, 60)
    store = installation.setting.config.store
    deployed, alone = (
        installation.config(store=f"{store}-{name}", requests_per_minute=SLOW) for name in ("dark", "alone")
    )
    installation.processes["by hand"] = installation.presel("run", config=alone)
    run = installation.refresh(deployed)
    until(lambda: installation.answers(alone.store) > 1 and installation.answers(deployed.store) > 1, 600)
    [by_hand] = [found["id"] for found in installation.of_store(alone.store) if not found["parent_task_run_id"]]
    installation.cut_power()
    installation.postgres.start()
    installation.start_server()
    assert installation.run(run)["state_name"] == installation.run(by_hand)["state_name"] == "Running"
    installation.start_worker("three")
    crashed = installation.wait(run, "Crashed", seconds=600)
    assert "heartbeat" in crashed["state"]["message"]
    installation.wait(by_hand, "Crashed", seconds=240)
    asked, bought = installation.setting.requests(), installation.answers(deployed.store)
    installation.prefect("flow-run", "retry", run)
    time.sleep(5)
    assert installation.wait(run)["state_name"] == "Completed", installation.logs(run)[-5:]
    tasks = installation.tasks(run)
    assert set(tasks.values()) <= ENDED
    assert {state for name, state in tasks.items() if name.startswith("embed ")} == {"Cached"}
    assert installation.setting.requests() - asked == installation.answers(deployed.store) - bought > 0
    assert spending(open_store(deployed.store))["reserved_usd"] == 0
    undisturbed, cut = straight(installation.config(store=f"{store}-calm")), installation.latest(deployed.store)
    assert versions.verify(cut.dataset) == []
    assert versions.manifest(cut.dataset)["files"] == versions.manifest(undisturbed.dataset)["files"]
