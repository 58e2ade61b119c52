"""A Prefect server that is away for minutes (an upgrade, a restart, a kill) delays a run; it does not end it.

Two habits of Prefect's client stand against that, and it has a setting for neither (read in 3.9.1):

- A refused connection is tried again only by a client that has connected before, and most requests of a run (an artifact, a
  slot) make a client of their own. That is to let a wrong address fail at once. A flow that runs has the right address, so
  from then on every client of its process counts as connected, and `PREFECT_CLIENT_MAX_RETRIES` decides: tries after 2, 4, 8 s
  and so on, so that a run loses at most as long again as the server was away.
- The lease of a deployment's one slot is renewed for 300 s at a time. A server that was away for longer finds it expired, gives
  the slot away, and the run ends itself (seen after 250 s). Here it is renewed for an hour, as long as requests are tried. The
  slot of a run whose machine is gone comes free all the same, when the run is marked as crashed.

And one against approvals: the server takes the slot back when a run pauses, the client goes on renewing it, is told that it is
gone, and ends the run (seen 80 s after the pause). So a run that pauses stops renewing.

One name that is touched is private, `_has_connected`. `tests/tasks/test_patience.py` fails should a new version of Prefect
have no use for it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State

LEASE = 3600.0
"""Seconds that a deployment's slot is kept without word from its run."""

_given_back = threading.Event()
_CONNECTED = property(lambda _client: True, lambda _client, _value: None)


def wait_for_the_server(_flow: Flow[..., object], _flow_run: FlowRun, _state: State) -> None:
    """A hook of every flow (`on_running`), called before its first lease is renewed. Doing it twice changes nothing."""
    for client in (PrefectHttpxSyncClient, PrefectHttpxAsyncClient):
        client._has_connected = _CONNECTED  # type: ignore[assignment] # the instances' own value no longer counts
    _given_back.clear()
    patient: Any = _for_long(SyncPrefectClient.renew_concurrency_lease)
    SyncPrefectClient.renew_concurrency_lease = patient  # type: ignore[method-assign]


def let_the_slot_go() -> None:
    """Called by a run that is about to pause. It has no slot when it goes on; another run may be beside it."""
    _given_back.set()


def _for_long(renew: Callable[..., Any]) -> Callable[..., Any]:
    renew = getattr(renew, "__wrapped__", renew)

    @functools.wraps(renew)
    def renewed(client: SyncPrefectClient, lease_id: UUID, lease_duration: float) -> Any:  # noqa: ARG001
        if _given_back.is_set():
            return None
        try:
            return renew(client, lease_id, LEASE)
        except Exception:
            if _given_back.is_set():
                return None
            raise

    return renewed
