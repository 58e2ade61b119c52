"""Of all that a server knows, `presel cancel` stops the runs of one configuration, and names those it cannot stop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import get_client
from prefect.states import Paused, Running, Scheduled

from flows.refresh import refresh
from presel.cli.cancelling import cancel_runs
from presel.config import RefreshConfig

CONFIG = {"source": {"uri": "pool"}, "store": "a store", "generator": {"max_cost": 1}}
ELSEWHERE = {**CONFIG, "store": "another store"}
NAMESAKE = {**CONFIG, "dataset": {"name": "another"}}


def test_only_runs_of_this_store_and_dataset_that_are_due_and_have_a_worker_are_asked_to_stop():
    later = datetime.now(UTC) + timedelta(hours=1)
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("refresh")
        deployment = client.create_deployment(flow, "to be cancelled")

        def deployed(name: str, config: dict, state=None) -> str:
            run = client.create_flow_run_from_deployment(
                deployment, parameters={"config": config}, name=name, state=state
            )
            return run.id

        stopped = [
            deployed("running", CONFIG, Running()),
            deployed("waits for approval", CONFIG, Paused(timeout_seconds=60)),
        ]
        stopped.append(deployed("late", CONFIG))
        left = [deployed("tonight", CONFIG, Scheduled(scheduled_time=later))]
        left += [deployed("elsewhere", ELSEWHERE, Running()), deployed("namesake", NAMESAKE, Running())]
        by_hand = client.create_flow_run(refresh, parameters={"config": CONFIG}, name="by hand", state=Running())
        found = cancel_runs(RefreshConfig.model_validate(CONFIG))
        assert found.asked == ["late", "running", "waits for approval"]
        assert found.by_hand == ["by hand"]
        states = {run: client.read_flow_run(run).state.name for run in [*stopped, *left, by_hand.id]}
        client.delete_deployment(deployment)
    assert {states[run] for run in stopped} <= {"Cancelling", "Cancelled"}
    assert {states[run] for run in [*left, by_hand.id]} == {"Running", "Scheduled"}
