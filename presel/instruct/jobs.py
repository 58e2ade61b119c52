"""Where each request of an engine stands: waiting for money, ready to send, under way, or ended.

Everything here runs in the engine's loop, between two awaits, so there are no locks. A job that ends, however it
ends, gives back its share of its lease; the last job of a lease settles it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from presel.images.reasons import Reason
from presel.instruct.ledger import Answer
from presel.instruct.money.allowance import Allowance
from presel.instruct.money.lease_log import Lease
from presel.instruct.money.prices import NOTHING, Usage
from presel.instruct.questions.request import Request


class Unanswerable(Exception):
    """No answer can be had to this one request: `reason` and `detail` for its reject row. Never leaves the package."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(eq=False)
class Job:
    """One request on its way. `picture` is the JPEG in base64, `urgent` puts a follow-up before new samples."""

    request: Request
    picture: bytes
    urgent: bool
    answer: asyncio.Future[tuple[Answer, bool]]
    estimate: Usage = NOTHING
    lease: Lease | None = None
    tries: int = 0
    throttled: int = 0
    throttled_since: float | None = None
    """Seconds on the monotonic clock."""
    under_way: bool = False
    """Somebody sends it, or takes its answer: it ends with that, and not before."""
    failing_since: int | None = None
    """How many answers the engine had when this one first failed, or was put aside."""
    failed_at: int | None = None
    """How many it had when this one failed last."""
    apart: int = 0
    """How often it failed again after others had been answered: what fails alone has a reason of its own."""

    def fails(self, answers: int) -> None:
        """Note that it got no answer once more, when the engine had so many."""
        self.apart += self.failed_at is not None and answers > self.failed_at
        self.failed_at = answers

    @property
    def key(self) -> str:
        return self.request.key

    @property
    def tokens(self) -> int:
        """Reserved, input and output."""
        return self.estimate.input_tokens + self.estimate.output_tokens

    @property
    def reserved(self) -> float:
        """US dollars set aside for the next try."""
        return self.lease.amounts[self.key] if self.lease else 0.0


@dataclass
class Account:
    """What has become of one lease so far."""

    lease: Lease
    unfinished: set[str]
    spent: float = 0.0
    lost: float = 0.0


class Desk:
    """The jobs of one engine. `settle` is called with an account whose last job has ended."""

    def __init__(self, settle: Callable[[Account], None], allowance: Allowance) -> None:
        self.allowance = allowance
        self.queue: list[Job] = []
        """They need money."""
        self.ready: list[Job] = []
        """They have it, and wait for the pacer."""
        self.stopped: Exception | None = None
        self.on_stop: list[Callable[[Exception], None]] = []
        """Called once, with the reason, when nothing more may be sent."""
        self._accounts: dict[int, Account] = {}
        self._closing: dict[int, Account] = {}
        self._settle = settle
        self._away: dict[Job, asyncio.TimerHandle] = {}
        self.jobs: set[Job] = set()
        """All that have not ended, wherever they are."""
        self._change = asyncio.Event()

    def add(self, request: Request, picture: bytes, urgent: bool) -> Job:
        job = Job(request, picture, urgent, asyncio.get_running_loop().create_future())
        self.jobs.add(job)
        self.needs_money(job, front=urgent)
        return job

    def needs_money(self, job: Job, front: bool = True) -> None:
        job.under_way = False
        if self._may_go_on(job):
            self.queue.insert(0 if front else len(self.queue), job)
            self.changed()

    def is_ready(self, job: Job, front: bool = True) -> None:
        job.under_way = False
        if self._may_go_on(job):
            self.ready.insert(0 if front else len(self.ready), job)
            self.changed()

    def later(self, job: Job, seconds: float, then: Callable[..., None], *args: Any) -> None:
        """Put a job away for a while; `then(job, *args)` brings it back."""
        job.under_way = False
        if not self._may_go_on(job):
            return

        def back() -> None:
            del self._away[job]
            then(job, *args)

        self._away[job] = asyncio.get_running_loop().call_later(seconds, back)

    def open(self, lease: Lease) -> None:
        self._accounts[lease.number] = Account(lease, set(lease.amounts))

    def release(self, job: Job, *, spent: float = 0.0, lost: float = 0.0) -> None:
        """Give back a job's share of its lease: `spent` on an answer, `lost` on a try that may be billed without one."""
        lease, job.lease = job.lease, None
        if lease is None:
            return
        self.allowance.settle(lease.amounts[job.key], spent + lost)
        account = self._accounts[lease.number]
        account.unfinished.discard(job.key)
        account.spent += spent
        account.lost += lost
        if not account.unfinished:
            self._closing[lease.number] = self._accounts.pop(lease.number)
            self._settle(account)

    def settled(self, account: Account) -> None:
        """What it came to is in the log now."""
        del self._closing[account.lease.number]
        self.changed()

    def come_to(self) -> dict[int, float]:
        """What our own leases have come to so far, in US dollars, those that are being settled included. From any thread."""
        accounts = [*list(self._accounts.values()), *list(self._closing.values())]
        return {account.lease.number: account.spent + account.lost for account in accounts}

    def reprice(self) -> None:
        """Reservations were too small: what is not sent yet needs larger ones."""
        for job in self.ready[::-1]:
            self.release(job)
            self.needs_money(job)
        self.ready.clear()

    @property
    def waits_for_bills(self) -> bool:
        """Whether money is out of which it is not known yet what it was spent on."""
        return bool(self._accounts)

    def finish(self, job: Job, answer: Answer, *, bought: bool) -> None:
        self.release(job)
        self.jobs.discard(job)
        if not job.answer.done():
            job.answer.set_result((answer, bought))
        self.changed()

    def fail(self, job: Job, error: Exception) -> None:
        self.release(job)
        self.jobs.discard(job)
        if not job.answer.done():
            job.answer.set_exception(error)
        self.changed()

    def stop(self, why: Exception) -> None:
        """Send nothing more. What is under way ends by itself; what waits fails with the first reason given."""
        self.stopped = self.stopped or why
        for timer in self._away.values():
            timer.cancel()
        for place in (self.queue, self.ready, self._away):
            place.clear()
        for job in [job for job in self.jobs if not job.under_way]:  # some are in no place: on their way to one
            self.fail(job, self.stopped)
        hooks, self.on_stop = self.on_stop, []
        for hook in hooks:
            hook(self.stopped)

    def changed(self) -> None:
        """Wake all that wait for `change`."""
        self._change.set()

    async def change(self, at_most: float | None = None) -> None:
        """Until something changed, or so many seconds have passed."""
        self._change.clear()
        try:
            async with asyncio.timeout(at_most):
                await self._change.wait()
        except TimeoutError:
            return

    def _may_go_on(self, job: Job) -> bool:
        if self.stopped is not None:
            self.fail(job, self.stopped)
        return self.stopped is None
