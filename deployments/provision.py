"""What the deployments expect on a Prefect server, made or brought up to date; running it twice changes nothing.

    python -m deployments.provision s3://my-bucket/presel [--notify slack-webhook/presel]

- the work pools of `POOLS`;
- the results block, so that every worker finds the references of finished tasks on the store;
- an automation that marks a flow run as crashed when its heartbeat stops. Prefect itself never does: a run whose machine lost
  power would say Running for ever, and hold the one slot of its deployment;
- if asked, an automation that sends word through a notification block: a run has failed, crashed, or waits for approval.

There is no limit on tasks that want a GPU: stages share the cards of their process (presel.encoders.spread,
presel.stages.score), a worker of one run at a time (`--limit 1`) has its machine to itself, and a task that holds one of
Prefect's slots fails when its server is away.
"""

from __future__ import annotations

import argparse
import contextlib
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from tasks.results import StoreResults

POOLS = ("presel-cpu", "presel-gpu", "presel-api")
BLOCK = "presel"
ZOMBIES = "presel: a flow run without a heartbeat has crashed"
NEWS = "presel: a flow run failed, crashed, or waits for approval"
FLOWS = ("refresh", "plan", "housekeeping", "export", "finetune")
_OF_OUR_FLOWS = {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}
# Flows beat every 30 s (PREFECT_FLOWS_HEARTBEAT_FREQUENCY in prefect.yaml and of `presel run`), but cannot while the server is
# away: one that comes back after two minutes must not find every run crashed.
SILENCE = timedelta(seconds=180)
_ALIVE_OR_ENDED = {
    f"prefect.flow-run.{event}" for event in ("heartbeat", "Completed", "Failed", "Cancelled", "Crashed")
}


_SUBJECT = "presel: {{ flow_run.name }} is {{ flow_run.state.name }}"
_APPROVAL = "Its plan is made. Open the run: its artifacts hold the plan and the price, Resume pays, Cancel ends it."
_BODY = (
    "{% if flow_run.state.name == 'Paused' %}" + _APPROVAL + "{% else %}{{ flow_run.state.message or '' }}{% endif %}"
    "\n{{ flow_run|ui_url or '' }}"
)


def provision(store: str, pool_type: str = "process", notify: str | None = None) -> None:
    """Create or update everything. `pool_type`: of the pools that are made here; `notify`: `type/name` of a saved block."""
    StoreResults(store=store).save(BLOCK, overwrite=True)
    with get_client(sync_client=True) as client:
        for name in POOLS:
            _pool(client, name, pool_type)
        _automation(client, _zombies())
        if notify:
            kind, _, name = notify.partition("/")
            _automation(client, _news(client.read_block_document_by_name(name, kind).id))


def _pool(client: SyncPrefectClient, name: str, kind: str) -> None:
    with contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=name, type=kind))


def _zombies() -> AutomationCore:
    """Not forced: a run that ended in time keeps its state, because the server refuses to crash what is finished.

    These flows only: others on the server beat every 180 s, Prefect's default, and would all be crashed.
    """
    return AutomationCore(
        name=ZOMBIES,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.heartbeat"},
            expect=_ALIVE_OR_ENDED,
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            match_related=_OF_OUR_FLOWS,
            for_each={"prefect.resource.id"},
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(state=StateType.CRASHED, message="no heartbeat: its process or its machine is gone")
        ],
    )


def _news(block: UUID) -> AutomationCore:
    return AutomationCore(
        name=NEWS,
        trigger=EventTrigger(
            posture=Posture.Reactive,
            expect={f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "Paused")},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            match_related=_OF_OUR_FLOWS,
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(0),
        ),
        actions=[SendNotification(block_document_id=block, subject=_SUBJECT, body=_BODY)],
    )


def _automation(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    known = client.read_automations_by_name(wanted.name)
    if known:
        client.update_automation(known[0].id, wanted)
    else:
        client.create_automation(wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="s3://bucket/prefix or a folder that every worker can reach")
    parser.add_argument("--type", default="process", help="of the work pools: process, docker or kubernetes")
    parser.add_argument("--notify", help="a saved notification block, as type/name: slack-webhook/presel")
    arguments = parser.parse_args()
    try:
        provision(arguments.store, arguments.type, arguments.notify)
    except ObjectNotFound:
        parser.error(f"there is no block {arguments.notify}: save it first (docs/operations.md, Notifications)")
    print(f"work pools   {', '.join(POOLS)}")
    print(f"block        presel-store-results/{BLOCK} -> {arguments.store}")
    print(f"automations  {ZOMBIES}" + (f"; {NEWS} -> {arguments.notify}" if arguments.notify else ""))


if __name__ == "__main__":
    main()
