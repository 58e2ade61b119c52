"""Ready jobs go out as fast as the pacer allows; every outcome leads to an answer in the ledger, another try, or an end.

| outcome | tried again | counts as spent |
|---|---|---|
| answer | no | its `usage` |
| 429 | when the server says, for ever, without counting as a try | nothing |
| 504 and 524, time-outs of a gateway | the same as a reset | its whole reservation: it may be billed |
| other 5xx, refused connection | after a jittered pause, up to `attempts` | nothing |
| reset, time-out, broken or HTML body | the same, under a new reservation | its whole reservation: it may be billed |
| 400, 415, 422 that names a parameter | at once, without it (accepted.py) | nothing |
| 400, 413, 422 about one picture | no: a reject | nothing |
| 401, 402, 403, 404, no credit, ten 4xx and never an answer | no: the run stops | nothing |

A request that failed `attempts` times is put aside, tried as often again after the others, and then given up: as a
reject. If nobody was answered meanwhile, that may be the endpoint's fault: the reject is `unavailable`, which the next run
asks about again, and the third such request in a row says that the endpoint is down: EndpointUnavailable.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from presel.config import GeneratorConfig
from presel.errors import EndpointRefused, EndpointUnavailable, PreselError
from presel.images.reasons import Reason
from presel.instruct.endpoint.accepted import Accepted
from presel.instruct.endpoint.limits import Pace, backoff
from presel.instruct.endpoint.outcomes import Answered, Failed, Outcome, Rejected, Throttled
from presel.instruct.jobs import Desk, Job, Unanswerable
from presel.instruct.keeping import keep
from presel.instruct.ledger import Answer, Ledger
from presel.instruct.money.owners import Owner
from presel.instruct.money.prices import NOTHING, Estimator, Usage, usage_of
from presel.instruct.money.purse import Purse
from presel.progress import duration

log = logging.getLogger(__name__)

PATIENCE = 900.0
"""Seconds without any answer, while asking, after which the endpoint counts as down."""
_SILENCE, _WARN_EVERY = 15.0, 60.0
"""Seconds without any answer, while requests fail, after which people are told, and how often the log says it again."""
_DOWN = 3
"""So many requests given up, and no answer to anybody meanwhile, are about the endpoint, not about three pictures."""
_BAD_REQUESTS = 10
"""So many 4xx without a single answer are about the configuration, not about ten pictures."""


@dataclass
class Done:
    """What an engine has sent and got since it started."""

    requests: int = 0
    answers: int = 0
    spent_usd: float = 0.0
    refused: int = 0
    given_up: int = 0
    """Requests in a row, none of them and nobody else being answered."""
    last_answer: float = 0.0
    failing: str = ""
    """Why the last request got no answer; empty once another has got one."""

    def trouble(self) -> str:
        """That nobody is answered, for how long, and why, in words; empty while answers come."""
        silent = time.monotonic() - self.last_answer
        return f"no answer for {duration(silent)} ({self.failing})" if self.failing and silent > _SILENCE else ""


class Sending:
    """The engine's way to the API."""

    def __init__(
        self,
        desk: Desk,
        purse: Purse,
        owner: Owner,
        ledger: Ledger,
        estimator: Estimator,
        accepted: Accepted,
        generator: GeneratorConfig,
        io: Callable[..., Awaitable[Any]],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._desk, self._purse, self._owner, self._ledger = desk, purse, owner, ledger
        self._estimator, self._generator, self._io, self._spawn = estimator, generator, io, spawn
        self._accepted = accepted
        self._pace = Pace(generator.concurrency, generator.requests_per_minute, generator.tokens_per_minute)
        from presel.instruct.endpoint.client import (
            Client,  # the SDK takes half a second to import: only whoever asks pays it
        )

        self.client = Client(generator)
        self.done = Done(last_answer=time.monotonic())
        self._warned = -_WARN_EVERY

    async def serve(self) -> None:
        """For ever: send what is ready, when the pacer allows it."""
        while True:
            if not self._desk.ready:
                await self._desk.change()
                continue
            wait = self._pace.delay(time.monotonic(), self._desk.ready[0].tokens)
            if wait > 0:
                await self._desk.change(min(wait, 1.0))
                self._lose_patience()
                continue
            job = self._desk.ready.pop(0)
            if self._owner.trusted or not await self._was_taken_for_dead(job):
                self._pace.start(time.monotonic(), job.tokens)
                self.done.requests += 1
                self._spawn(self._send(job))

    async def _send(self, job: Job) -> None:
        started = time.monotonic()
        try:
            outcome = await self.client.ask(job.request, job.picture)
        except Exception as error:  # refused for good, or something nobody foresaw: either way the run stops
            self._pace.ended()
            self._desk.release(job, lost=0.0 if isinstance(error, PreselError) else job.reserved)
            self._desk.fail(job, error)
            self._desk.stop(error)
            return
        await self._take(job, outcome, started)

    async def _take(self, job: Job, outcome: Outcome, started: float) -> None:
        now = time.monotonic()
        if isinstance(outcome, Answered):
            await self._answered(job, outcome)
        elif isinstance(outcome, Throttled):
            self._pace.throttled(now, outcome.headers, started, job.throttled)
            job.throttled += 1
            self._desk.is_ready(job)
        elif isinstance(outcome, Rejected):
            self._pace.ended()
            if not await self._asked_otherwise(job, outcome):
                self._refused(job, outcome)
        else:
            self._pace.failed(now, outcome.headers)
            await self._failed(job, outcome)

    async def _answered(self, job: Job, outcome: Answered) -> None:
        """Durable first; only then does anybody look at it."""
        bought = outcome.status == 200
        usage = usage_of(outcome.body, job.request, job.estimate) if bought else NOTHING
        cost = self._estimator.price.of(usage.input_tokens, usage.output_tokens)
        try:
            kept = await keep(self._ledger, _answer(job, outcome, usage, cost), self._io)
        except Exception as error:
            self._desk.release(job, spent=cost)
            self._desk.fail(job, error)
            raise
        finally:
            used = usage.input_tokens + usage.output_tokens
            self._pace.succeeded(time.monotonic(), outcome.headers, job.tokens, used)
        if self._estimator.learn(job.request, usage):
            self._desk.reprice()
        self.done.answers += 1
        self.done.given_up, self.done.failing = 0, ""
        self.done.spent_usd += cost
        self.done.last_answer = time.monotonic()
        self._desk.release(job, spent=cost)
        self._desk.finish(job, kept, bought=True)

    async def _asked_otherwise(self, job: Job, outcome: Rejected) -> bool:
        """A refusal that names a parameter: whether the request can be sent without it, or in another form."""
        self._accepted.learn(job.request, outcome.status, outcome.text)
        asked = self._accepted.fitted(job.request)
        if asked.key == job.key:
            return False
        self._desk.release(job)
        self._desk.reprice()  # those that are ready would be refused, too
        await self._io(self._accepted.share)
        self._desk.needs_money(job)
        return True

    def _refused(self, job: Job, outcome: Rejected) -> None:
        """A 4xx: about this picture, or about the whole configuration?"""
        self.done.refused += 1
        if self.done.refused < _BAD_REQUESTS or self.done.answers:
            self._desk.fail(job, Unanswerable(Reason.DECLINED, outcome.message))
            return
        error = EndpointRefused(
            f"the first {self.done.refused} requests were all refused: {outcome.message}",
            where=self._generator.base_url,
            fix="check `generator.model`, and that it takes pictures and a JSON schema",
        )
        self._desk.fail(job, error)
        self._desk.stop(error)

    async def _failed(self, job: Job, outcome: Failed) -> None:
        job.tries += 1
        if job.failing_since is None:
            job.failing_since = self.done.answers
        self.done.failing = f"{outcome.reason}: {outcome.message}"
        log.info("try %d of %s failed: %s", job.tries, job.key, self.done.failing)
        self._warn()
        if outcome.billed and job.lease:  # the reservation may be used up: the next try needs one of its own
            await self._io(self._purse.lose, job.lease, job.key)
            self._desk.release(job, lost=job.reserved)
        if job.tries % self._generator.attempts == 0:
            self._desk.release(job)
            self._put_aside(job, outcome)
            return
        again = self._desk.is_ready if job.lease else self._desk.needs_money
        self._desk.later(job, backoff(job.tries), again)

    def _warn(self) -> None:
        """In the log, while nobody is answered: the board says the same, and neither waits until the run gives up."""
        trouble, now = self.done.trouble(), time.monotonic()
        if trouble and now - self._warned > _WARN_EVERY:
            self._warned = now
            log.warning("%s: %s; it is tried again", self._generator.base_url, trouble)

    def _put_aside(self, job: Job, outcome: Failed) -> None:
        """This one fails again and again. Do the others?"""
        if self.done.answers and job.tries == self._generator.attempts:
            job.failing_since = (
                self.done.answers
            )  # those of the first round may have come before the endpoint broke down
            self._desk.later(job, backoff(job.tries), self._desk.needs_money, False)
            return
        if self.done.answers > (job.failing_since or 0):
            self._desk.fail(job, Unanswerable(outcome.reason, f"{job.tries} tries: {outcome.message}"))
            return
        self.done.given_up += 1
        said = f"{outcome.reason}: {outcome.message}"
        down = self.done.given_up >= _DOWN
        self._desk.fail(
            job, self._down(said) if down else Unanswerable(Reason.UNAVAILABLE, f"{job.tries} tries: {said}")
        )

    async def _was_taken_for_dead(self, job: Job) -> bool:
        """This process slept so long that others may have settled its leases: then the job needs a new one."""
        await self._io(self._owner.beat)
        if job.lease is None or not await self._io(self._purse.taken, job.lease):
            return False
        self._desk.release(job)
        self._desk.needs_money(job)
        return True

    def _lose_patience(self) -> None:
        patience = max(PATIENCE, 3 * self._generator.timeout)
        if time.monotonic() - self.done.last_answer > patience:
            self._down(f"none in {patience:.0f} seconds")

    def _down(self, message: str) -> EndpointUnavailable:
        error = EndpointUnavailable(
            f"the endpoint gives no answers: {message}",
            where=self._generator.base_url,
            fix="run again when it is back: every answer so far is kept",
        )
        self._desk.stop(error)
        return error


def _answer(job: Job, outcome: Answered, usage: Usage, cost: float) -> Answer:
    return Answer(
        key=job.key,
        request=job.request.document(),
        status=outcome.status,
        body=outcome.body,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=cost,
        measured=usage.measured,
        lease=job.lease.number if job.lease else -1,
        answered=datetime.now(UTC).isoformat(timespec="seconds"),
    )
