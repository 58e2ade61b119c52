"""What the deployments expect on a Prefect server, made or brought up to date; running it twice changes nothing.

    python -m deployments.provision s3://my-bucket/presel

- the work pools of `POOLS`;
- the results block, so that every worker finds the references of finished tasks on the store;
- an automation that marks a flow run as crashed when its heartbeat stops. Prefect itself never does: a run whose machine lost
  power would say Running for ever, and hold the one slot of its deployment.

There is no limit on tasks that want a GPU: stages share the cards of their process (presel.encoders.spread,
presel.stages.score), a worker of one run at a time (`--limit 1`) has its machine to itself, and a task that holds one of
Prefect's slots fails when its server is away.
"""

from __future__ import annotations

import argparse
import contextlib
from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists

from tasks.results import StoreResults

POOLS = ("presel-cpu", "presel-gpu", "presel-api")
BLOCK = "presel"
ZOMBIES = "presel: a flow run without a heartbeat has crashed"
FLOWS = ("refresh", "plan", "housekeeping", "finetune")
# Flows beat every 30 s (PREFECT_FLOWS_HEARTBEAT_FREQUENCY in prefect.yaml and of `presel run`), but cannot while the server is
# away: one that comes back after two minutes must not find every run crashed.
SILENCE = timedelta(seconds=180)
_ALIVE_OR_ENDED = {
    f"prefect.flow-run.{event}" for event in ("heartbeat", "Completed", "Failed", "Cancelled", "Crashed")
}


def provision(store: str, pool_type: str = "process") -> None:
    """Create or update everything. `pool_type`: of the pools that are made here."""
    StoreResults(store=store).save(BLOCK, overwrite=True)
    with get_client(sync_client=True) as client:
        for name in POOLS:
            _pool(client, name, pool_type)
        _zombies(client)


def _pool(client: SyncPrefectClient, name: str, kind: str) -> None:
    with contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=name, type=kind))


def _zombies(client: SyncPrefectClient) -> None:
    """Not forced: a run that ended in time keeps its state, because the server refuses to crash what is finished.

    These flows only: others on the server beat every 180 s, Prefect's default, and would all be crashed.
    """
    wanted = AutomationCore(
        name=ZOMBIES,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.heartbeat"},
            expect=_ALIVE_OR_ENDED,
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(state=StateType.CRASHED, message="no heartbeat: its process or its machine is gone")
        ],
    )
    known = client.read_automations_by_name(ZOMBIES)
    if known:
        client.update_automation(known[0].id, wanted)
    else:
        client.create_automation(wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="s3://bucket/prefix or a folder that every worker can reach")
    parser.add_argument("--type", default="process", help="of the work pools: process, docker or kubernetes")
    arguments = parser.parse_args()
    provision(arguments.store, arguments.type)
    print(f"pools {', '.join(POOLS)}; block presel-store-results/{BLOCK} -> {arguments.store}; automation '{ZOMBIES}'")


if __name__ == "__main__":
    main()
