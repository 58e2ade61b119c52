"""Jobs that need money become jobs that are ready: a lease for up to 128 of them at a time.

Leasing runs ahead of sending by about one window of requests, so the pacer never waits for the store, and no
further: what a crashed worker had leased counts as spent until its owner is known to be dead.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from presel.config import GeneratorConfig
from presel.errors import BudgetExceeded
from presel.instruct.endpoint.accepted import Accepted
from presel.instruct.jobs import Desk, Job
from presel.instruct.ledger import Ledger
from presel.instruct.money.drift import Drift
from presel.instruct.money.lease_log import Lease
from presel.instruct.money.prices import Estimator
from presel.instruct.money.purse import Purse

log = logging.getLogger(__name__)

CHUNK = 128
_UNPROVEN = 0.02
"""Of the money that is left: what may be out before the first bill has come."""
_LOOK_AGAIN = 0.3
"""Seconds until the next look when all that is left is held by others, or their open leases hold the money."""


class Leasing:
    """The engine's way to its purse. `io` runs something blocking off the loop."""

    def __init__(
        self,
        desk: Desk,
        purse: Purse,
        drift: Drift,
        ledger: Ledger,
        estimator: Estimator,
        accepted: Accepted,
        generator: GeneratorConfig,
        io: Callable[..., Awaitable[Any]],
    ) -> None:
        self._desk, self._purse, self._drift = desk, purse, drift
        self._ledger, self._estimator, self._accepted, self._io = ledger, estimator, accepted, io
        self._ahead = max(16, generator.concurrency)
        self._max_cost = generator.max_cost
        self._warned = 0.0

    async def serve(self) -> None:
        """For ever: lease for what is queued as soon as little is ready."""
        while True:
            probing = not self._proven and self._desk.waits_for_bills
            if not self._desk.queue or len(self._desk.ready) >= self._ahead or probing:
                await self._desk.change()
            elif not await self._lease(self._desk.queue[:CHUNK]):
                await asyncio.sleep(_LOOK_AGAIN)

    async def _lease(self, jobs: list[Job]) -> bool:
        """Whether any job got money or an answer."""
        await self._io(self._drift.share, self._estimator)
        jobs = [job for job in jobs if not await self._known_otherwise(job)]
        if not jobs:
            return True
        for job in jobs:
            job.estimate = self._estimator.tokens(job.request)
        price = self._estimator.price
        wanted = [(job.key, price.of(job.estimate.input_tokens, job.estimate.output_tokens)) for job in jobs]
        try:
            some = self._desk.allowance.affordable(wanted if self._proven else self._probe(wanted))
        except BudgetExceeded as reached:
            self._desk.stop(reached)
            return True
        if not some:
            return False
        grant = await self._io(self._purse.lease, some)
        self._warn()
        if grant.exhausted:
            self._desk.stop(self.cap_reached(len(self._desk.queue)))
            return True
        if grant.lease is not None:
            self._desk.open(grant.lease)
            await self._hand_out(jobs, grant.lease, grant.check)
        came = [await self._look_again(job) for job in jobs if job.key in grant.held]
        return grant.lease is not None or any(came)

    @property
    def _proven(self) -> bool:
        return self._estimator.calibrated and not self._estimator.unproven

    async def _known_otherwise(self, job: Job) -> bool:
        """Put a request into the form that the endpoint takes by now; whether it was paid for in that form."""
        before, job.request = job.key, self._accepted.fitted(job.request)
        found = await self._io(self._ledger.find, job.key) if job.key != before else None
        if found is not None and job in self._desk.queue:
            self._desk.queue.remove(job)
            self._desk.finish(job, found, bought=False)
        return found is not None

    def _probe(self, wanted: list[tuple[str, float]]) -> list[tuple[str, float]]:
        """Before the first bill nobody knows whether the bounds hold: only so many that it would not matter if they do not.

        After a bill that surprised: one at a time, until the price is known.
        """
        if self._estimator.unproven:
            return wanted[:1]
        sums = itertools.accumulate(amount for _, amount in wanted)
        most = _UNPROVEN * self._purse.room()
        return wanted[: max(1, sum(total <= most for total in sums))]

    async def _hand_out(self, jobs: list[Job], lease: Lease, check: frozenset[str]) -> None:
        for job in [job for job in jobs if job.key in lease.amounts]:
            job.lease = lease
            self._desk.allowance.hold(lease.amounts[job.key])
            if job in self._desk.queue:
                self._desk.queue.remove(job)
        for job in [job for job in jobs if job.lease is lease]:
            # Somebody leased this request before we did: perhaps the answer came after we last looked.
            found = await self._io(self._ledger.find, job.key) if job.key in check else None
            if found is not None:
                self._desk.finish(job, found, bought=False)
            else:
                self._desk.is_ready(job, front=job.urgent)

    async def _look_again(self, job: Job) -> bool:
        """Another worker is buying this answer: has it come? If not, others go first."""
        found = await self._io(self._ledger.find, job.key)
        if job not in self._desk.queue:
            return False
        self._desk.queue.remove(job)
        if found is None:
            self._desk.queue.append(job)
        else:
            self._desk.finish(job, found, bought=False)
        return found is not None

    def cap_reached(self, unsent: int) -> BudgetExceeded:
        """What ends a run at the cap."""
        return BudgetExceeded(
            f"the next request could pass the money cap, with {unsent} still to send",
            where="generator.max_cost",
            expected=f"at most {self._max_cost} USD spent by this store",
            got=f"{self._purse.spent():.4f} USD spent",
            fix="every answer so far is kept and never bought again: raise `max_cost` and run again to go on, or set "
            "`generator.on_cap: publish` to publish what is paid for",
        )

    def _warn(self) -> None:
        spent, cap = self._purse.spent(), self._purse.cap
        share = 0.8 if spent >= 0.8 * cap else 0.5 if spent >= 0.5 * cap else 0.0
        if share > self._warned and math.isfinite(cap) and cap > 0:
            self._warned = share
            log.warning("%.0f %% of the money cap is spent: %.2f of %.2f USD", 100 * share, spent, cap)
