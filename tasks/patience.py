"""A Prefect server that is away for minutes (an upgrade, a restart, a kill) delays a run; it does not end it.

Two habits of Prefect's client stand against that, and it has a setting for neither (read in 3.8.8):

- A refused connection is tried again only by a client that has connected before, and most requests of a run (an artifact, a
  slot) make a client of their own. That is to let a wrong address fail at once. A flow that runs has the right address, so
  from then on every client of its process counts as connected, and `PREFECT_CLIENT_MAX_RETRIES` decides: tries after 2, 4, 8 s
  and so on, so that a run loses at most as long again as the server was away.
- The lease of a deployment's one slot lasts 300 s and is renewed when 225 are gone. A server that stops in between for longer
  than the other 75 finds it expired, gives the slot away, and the run ends itself. Renewed after 90 s, at least 210 are left.

What is touched are private names. `tests/tasks/test_patience.py` fails should a new version of Prefect have no use for them.
"""

from __future__ import annotations

from prefect import Flow
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient
from prefect.client.schemas.objects import FlowRun, State

RENEWED_AFTER = 0.3
"""Share of a lease's length (300 s for a deployment's slot)."""

_CONNECTED = property(lambda _client: True, lambda _client, _value: None)


def wait_for_the_server(_flow: Flow[..., object], _flow_run: FlowRun, _state: State) -> None:
    """A hook of every flow (`on_running`). Doing it twice changes nothing."""
    from prefect.concurrency import _leases  # a Prefect without it costs this hook, which is logged, and not the flow

    for client in (PrefectHttpxSyncClient, PrefectHttpxAsyncClient):
        client._has_connected = _CONNECTED  # type: ignore[assignment] # the instances' own value no longer counts
    _leases._RENEWAL_FRACTION = RENEWED_AFTER
