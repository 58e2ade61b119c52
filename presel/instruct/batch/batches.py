"""Batch mode: requests are gathered into files, and their answers come within a day at half the price.

The same ledger, the same keys, the same money: a lease pays for one batch, and is what its metadata name. A batch is not
lost with the process that asked for it. The next process that opens the store, in either mode, finds its lease,
fetches its answers and settles it (`run.py`). Until then no other process may buy what it asks.

Pictures go from the encoder to a file on the local disk, so memory holds the requests, about 5 kB each, and never
the pictures of 50,000 of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, BinaryIO

from presel.config import BatchConfig
from presel.errors import BudgetExceeded, EndpointRefused, EndpointUnavailable
from presel.images.reasons import Reason
from presel.instruct.batch.run import End, Left, Runner
from presel.instruct.batch.spool import Spool, Ticket, line_of
from presel.instruct.jobs import Unanswerable
from presel.instruct.keeping import insisted
from presel.instruct.ledger import Answer
from presel.instruct.money.lease_log import Lease
from presel.instruct.questions.request import Request

log = logging.getLogger(__name__)

_LOOK_AROUND = 10.0
"""Seconds between two looks for batches of other processes."""
_BAD_REQUESTS = 10


class Batches:
    """The batches of one engine, and those that others left. Lives in the engine's loop."""

    def __init__(
        self,
        runner: Runner,
        config: BatchConfig,
        cap_reached: Callable[[int], BudgetExceeded],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._run, self._config, self._cap_reached, self._spawn = runner, config, cap_reached, spawn
        self._desk, self._io = runner.desk, runner.io
        self._spool: Spool | None = None
        self._touched = 0.0
        self._ends: dict[str, asyncio.Future[End]] = {}
        self._foreign: dict[int, asyncio.Event] = {}
        self._at_foreign: dict[str, asyncio.Event] = {}
        self._fetched: set[str] = set()
        self._waiting: dict[int, int] = {}
        """Lease number -> requests of batches that the provider works on."""
        self._answers = self._declined = 0
        self._desk.on_stop.append(self._stop)

    @property
    def note(self) -> str:
        """For people: what is waited for."""
        if not self._waiting:
            return ""
        return f"{sum(self._waiting.values())} requests in {len(self._waiting)} batches at the provider"

    async def answer(self, request: Request, picture: Callable[[], Awaitable[bytes]]) -> tuple[Answer, bool] | None:
        """The answer to a request and whether this engine bought it; None: ask live. `picture` gives the JPEG in base64.

        A batch may take a day: where others in one were answered, half of the tries are enough to give a request up. Raises
        Unanswerable, and whatever ends the run.
        """
        tries, alone = 0, False
        while True:
            before, request = request.key, self._run.accepted.fitted(request)
            found = await self.fetched(request.key)
            if found is None and request.key != before:
                found = await self._io(self._run.ledger.find, request.key)
            if found is not None:
                return found, request.key in self._fetched
            # Not a coroutine: its frame would keep the picture for as long as it waits, which may be a day.
            end = await self._gathered(request, await picture())
            if isinstance(end, Answer):
                return end, True
            if isinstance(end, Unanswerable):
                raise end
            if self._config.finish_live:
                return None
            tries, alone = tries + (not end.free), alone or end.alone
            if alone and 2 * tries >= self._run.attempts:
                why = Unanswerable(end.reason, f"{tries} batches: {end.message}")
                await insisted(self._io, self._run.given_up.note, request.key, why)
                raise why
            if tries >= self._run.attempts:
                raise self._given_up(end, tries)

    def expects(self, key: str) -> bool:
        """Whether an earlier process has put a request into a batch whose end is still waited for."""
        return key in self._at_foreign

    async def fetched(self, key: str) -> Answer | None:
        """The answer to a request that an earlier process has put into a batch; waits until that batch has ended."""
        waited = False
        while (batch := self._at_foreign.get(key)) is not None:
            await batch.wait()
            waited = True
            if self._desk.stopped is not None:
                raise self._desk.stopped
        return await self._io(self._run.ledger.find, key) if waited else None

    async def adopt(self) -> None:
        """Wait for the batches that other processes have begun: none of what they ask may be bought again."""
        for lease in await self._io(self._run.purse.batches_of_others):
            if lease.number not in self._foreign:
                ended = self._foreign[lease.number] = asyncio.Event()
                self._at_foreign.update(dict.fromkeys(lease.amounts, ended))
                self._spawn(self._watch(lease, ended))

    async def serve(self) -> None:
        """For ever: send a file when nothing more comes; look for batches of others."""
        looked = time.monotonic()
        while True:
            await asyncio.sleep(min(self._config.gather / 2, 1.0))
            now = time.monotonic()
            if self._spool is not None and now - self._touched >= self._config.gather:
                self._close_spool()
            if now - looked >= _LOOK_AROUND:
                await self.adopt()
                looked = time.monotonic()

    async def close(self) -> None:
        await self._run.api.close()
        if self._spool is not None:
            self._spool.close()

    # --- gathering ---------------------------------------------------------------------------------------------------

    def _gathered(self, request: Request, picture: bytes) -> asyncio.Future[End]:
        """Put a request into the next file; the future is its end."""
        if self._desk.stopped is not None:
            raise self._desk.stopped
        line = line_of(request, picture)
        if self._spool is not None and not self._spool.fits(line):
            self._close_spool()
        if self._spool is None:
            most, largest = self._config.requests_per_file, int(1e6 * self._config.megabytes_per_file)
            self._spool = Spool(most, largest)
        end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._ends[request.key] = end
        self._spool.add(Ticket(request, end), line)
        self._touched = time.monotonic()
        end.add_done_callback(lambda _: self._ends.pop(request.key, None))
        return end

    def _close_spool(self) -> None:
        if self._spool is not None:
            self._spawn(self._submit(self._spool))
        self._spool = None

    async def _submit(self, spool: Spool) -> None:
        """Find money for a file, and begin its batch; what the cap has no room for now waits for what others give back."""
        waiting = dict(spool.tickets)
        while waiting and self._desk.stopped is None:
            await self._io(self._run.drift.share, self._run.estimator)
            wanted = [(key, self._price(ticket.request)) for key, ticket in waiting.items()]
            some = self._desk.allowance.affordable(wanted)
            if not some:  # bills are out, and may leave room
                await self._run.pause(min(self._config.poll, 1.0))
                continue
            grant = await self._io(self._run.purse.lease, some, True)
            if grant.exhausted:
                self._desk.stop(self._cap_reached(len(waiting)))
                break
            if grant.lease is not None:
                self._run.hold(grant.lease)
                granted = {key: waiting.pop(key) for key in grant.lease.amounts}
                await self._resolve_known(granted, grant.check)
                await self._begin(grant.lease, granted, spool)
                continue
            await self._resolve_known(waiting, grant.held)
            await self.adopt()
            await self._run.pause(min(self._config.poll, 1.0))
        spool.close()

    def _price(self, request: Request) -> float:
        return self._config.price_share * self._run.estimator.cost(request)

    async def _resolve_known(self, tickets: dict[str, Ticket], keys: Iterable[str]) -> None:
        """Others have, or had, these requests under way: have their answers come?"""
        for key in [key for key in keys if key in tickets]:
            found = await self._io(self._run.ledger.find, key)
            if found is not None:
                _resolve(tickets.pop(key), found)

    # --- waiting -----------------------------------------------------------------------------------------------------

    async def _begin(self, lease: Lease, tickets: dict[str, Ticket], spool: Spool) -> None:
        if not tickets:
            await self._run.settle(lease, 0.0, 0.0)
            return
        file, digest = await self._io(spool.file_for, list(tickets))
        self._spawn(self._through(lease, tickets, file, digest))

    async def _through(self, lease: Lease, tickets: dict[str, Ticket], file: BinaryIO, digest: str) -> None:
        requests = {key: ticket.request for key, ticket in tickets.items()}
        with file:
            batch = await self._run.create(lease, requests, file, digest)
        self._waiting[lease.number] = len(requests)
        try:
            ends = await self._run.reap(lease, batch.id, requests)
        finally:
            del self._waiting[lease.number]
        if ends is not None:
            self._judge(ends)
            if any(isinstance(end, Left) and end.free for end in ends.values()):
                await self._run.pause(self._config.poll)  # the provider's queue is full
            for key, ticket in tickets.items():
                _resolve(ticket, ends[key])

    async def _watch(self, lease: Lease, ended: asyncio.Event) -> None:
        """Until a batch of another process is settled, by that process or by this one."""
        purse, number = self._run.purse, lease.number
        self._waiting[number] = len(lease.amounts)
        try:
            while self._desk.stopped is None and not await self._io(purse.taken, lease):
                if await self._run.is_elsewhere(lease):
                    purse.elsewhere.add(number)
                    break
                if await self._io(self._run.log.batch, number) or await self._io(purse.gone, lease):
                    ends = await self._run.fetch(lease)
                    self._fetched.update(key for key, end in (ends or {}).items() if isinstance(end, Answer))
                    self._judge(ends or {})
                else:
                    await self._run.pause(min(self._config.poll, 1.0))
        finally:
            del self._waiting[number]
            for key in [key for key, event in self._at_foreign.items() if event is ended]:
                del self._at_foreign[key]
            ended.set()

    def _judge(self, ends: dict[str, End]) -> None:
        """A declined request is about its picture, unless nothing was ever answered."""
        self._answers += sum(isinstance(end, Answer) for end in ends.values())
        declined = [end for end in ends.values() if isinstance(end, Unanswerable)]
        self._declined += len(declined)
        if declined and not self._answers and self._declined >= _BAD_REQUESTS:
            raise EndpointRefused(
                f"the first {self._declined} requests were all refused: {declined[0]}",
                fix="check `generator.model`, and that it takes pictures and a JSON schema",
            )

    def _given_up(self, end: Left, tries: int) -> Exception:
        if end.reason is Reason.TIMEOUT:  # the provider had no time: that says nothing about the picture
            return EndpointUnavailable(
                f"{tries} batches in a row ended without an answer: {end.message}",
                fix="run again later, or set `generator.batch.finish_live: true`; every answer so far is kept",
            )
        return Unanswerable(end.reason, f"{tries} batches: {end.message}")

    def _stop(self, why: Exception) -> None:
        """The run ends; batches at the provider do not, and are fetched by the next one."""
        for end in list(self._ends.values()):
            if not end.done():
                end.set_exception(why)
        with contextlib.suppress(KeyError):
            for event in set(self._at_foreign.values()):
                event.set()


def _resolve(ticket: Ticket, end: End) -> None:
    if not ticket.end.done():
        ticket.end.set_result(end)
