"""Ready jobs go out as fast as the pacer allows; every outcome leads to an answer in the ledger, another try, or an end.

| outcome | tried again | counts as spent |
|---|---|---|
| answer | no | its `usage` |
| 429 | when the server says, without counting as a try, until it is clear that this request alone is meant | nothing |
| 504 and 524, time-outs of a gateway | the same as a reset | its whole reservation: it may be billed |
| other 5xx, refused connection | after a jittered pause, up to `attempts` | nothing |
| reset, time-out, broken or HTML body | the same, under a new reservation | its whole reservation: it may be billed |
| 400, 415, 422 that names a parameter | at once, without it (accepted.py) | nothing |
| 400, 413, 422 about one picture | no: a reject | nothing |
| 401, 402, 403, 404, no credit, ten 4xx and never an answer | no: the run stops | nothing |

A request that failed `attempts` times while others were answered in between is given up: a reject, and for a day no run asks
again (given_up.py). Where nobody was answered in between, it is put aside and tried as often again after the others. If
nobody was answered meanwhile either, that may be the endpoint's fault: the reject is `unavailable`, which the next run asks
about again, and the third such request in a row (the tenth, where the endpoint has answered before) says that the endpoint
is down: EndpointUnavailable. A 429 makes everybody wait; a request that gets it far more often than others do waits alone,
behind them, and is given up when chance no longer explains it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from presel.concurrency.progress import duration
from presel.config import GeneratorConfig
from presel.errors import EndpointRefused, EndpointUnavailable, PreselError
from presel.images.reasons import Reason
from presel.instruct.endpoint.accepted import Accepted
from presel.instruct.endpoint.limits import Pace, backoff, retry_after
from presel.instruct.endpoint.outcomes import Answered, Declined, Failed, Outcome, Throttled
from presel.instruct.given_up import GivenUp
from presel.instruct.jobs import Desk, Job, Unanswerable
from presel.instruct.keeping import insisted, keep
from presel.instruct.ledger import Answer, Ledger
from presel.instruct.money.owners import Owner
from presel.instruct.money.prices import NOTHING, Estimator, Usage, usage_of
from presel.instruct.money.purse import Purse

log = logging.getLogger(__name__)

PATIENCE = 900.0
"""Seconds without any answer, while asking, after which the endpoint counts as down."""
_SILENCE, _WARN_EVERY = 15.0, 60.0
"""Seconds without any answer, while requests fail, after which people are told, and how often the log says it again."""
_LOOK_EVERY, _LONGEST_SILENCE = 5.0, 30.0
"""Seconds between two looks, and without any answer after which it is said what is waited for, whatever it is."""
_DOWN_AT_ONCE, _DOWN = 3, 10
"""So many requests given up, and no answer to anybody meanwhile, are about the endpoint, not about pictures: where the endpoint
has never answered a request of this run, in this process or before it, and where it has."""
_APART = 2
"""A request that failed so often again after others were answered has a reason of its own. Once is not enough: the endpoint
may have broken down after that answer."""
_UNLIKELY, _IMPOSSIBLE = 1e-2, 1e-6
"""Chances of being throttled by accident below which a request waits by itself, and is given up."""
_A_MINUTE = 65.0
_BAD_REQUESTS = 10
"""So many 4xx without a single answer are about the configuration, not about ten pictures."""


@dataclass
class Done:
    """What an engine has sent and got since it started."""

    requests: int = 0
    answers: int = 0
    known: bool = False
    """Whether the endpoint has ever answered a request that was asked for here, be it in an earlier run."""
    met: int = 0
    """Requests that were answered or throttled at their first try."""
    throttled: int = 0
    """Of them, those that were throttled."""
    spent_usd: float = 0.0
    refused: int = 0
    given_up: int = 0
    """Requests in a row, none of them and nobody else being answered."""
    last_answer: float = 0.0
    failing: str = ""
    """Why the last request got no answer; empty once another has got one."""

    def trouble(self) -> str:
        """That nobody is answered, for how long, since when, and why, in words; empty while answers come."""
        silent = time.monotonic() - self.last_answer
        if not self.failing or silent <= _SILENCE:
            return ""
        last = f", the last at {datetime.now(UTC) - timedelta(seconds=silent):%H:%M} UTC" if self.answers else ""
        return f"no answer for {duration(silent)}{last} ({self.failing})"


class Sending:
    """The engine's way to the API."""

    def __init__(
        self,
        desk: Desk,
        purse: Purse,
        owner: Owner,
        given_up: GivenUp,
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
            Client,  # the SDK takes half a second to import: only a run that asks pays for it
        )

        self.client = Client(generator)
        self.done = Done(last_answer=time.monotonic())
        self._warned = -_WARN_EVERY
        self._given_up = given_up
        self._unsure: list[tuple[str, Unanswerable]] = []

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
            if self._estimator.cost(job.request) > job.reserved + 1e-12:  # reserved before a bill that surprised
                self._desk.release(job)
                self._desk.needs_money(job)
                continue
            if not self._owner.trusted and await self._was_taken_for_dead(job):
                continue
            if self._desk.stopped is None:  # it may have been, meanwhile, and the job with it
                job.under_way = True
                self._pace.start(time.monotonic(), job.tokens)
                self.done.requests += 1
                self._spawn(self._send(job))

    async def watch(self) -> None:
        """For ever: while nobody is answered, say now and then what is waited for."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            now = time.monotonic()
            silent = now - self.done.last_answer
            if self._desk.jobs and silent > _LONGEST_SILENCE and now - self._warned > _LONGEST_SILENCE:
                self._warned = now
                log.warning("no answer for %s: %s", duration(silent), self._waited_for(now))

    def _waited_for(self, now: float) -> str:
        if self.done.failing:
            return f"{self.done.failing}; it is tried again"
        if self._pace.paused(now):
            return f"the endpoint asked for a pause, {self._pace.paused(now):.0f} s of it are left"
        if self._pace.in_flight:
            return f"{self._pace.in_flight} requests are under way"
        if self._desk.ready:
            return f"{len(self._desk.ready)} requests wait for the limits per minute"
        return f"{len(self._desk.jobs)} requests wait for money, or for what other processes buy"

    async def _send(self, job: Job) -> None:
        """Whatever happens in here, the job ends or goes on; otherwise its caller would wait for ever."""
        started = time.monotonic()
        try:
            try:
                outcome = await self.client.ask(job.request, job.picture)
            except Exception as error:  # refused for good, or something nobody foresaw: either way the run stops
                self._pace.ended()
                self._desk.release(job, lost=0.0 if isinstance(error, PreselError) else job.reserved)
                raise
            await self._take(job, outcome, started)
        except Exception as error:
            self._desk.release(job, lost=0.0 if isinstance(error, PreselError) else job.reserved)
            self._desk.fail(job, error)
            raise

    async def _take(self, job: Job, outcome: Outcome, started: float) -> None:
        now = time.monotonic()
        if not job.throttled and not job.tries:
            self.done.met += isinstance(outcome, Answered | Throttled)
        if isinstance(outcome, Answered):
            await self._answered(job, outcome)
        elif isinstance(outcome, Throttled):
            await self._throttled(job, outcome, started)
        elif isinstance(outcome, Declined):
            self._pace.ended()
            if not await self._asked_otherwise(job, outcome):
                await self._refused(job, outcome)
        else:
            self._pace.failed(now, outcome.headers, again=job.tries > 0)
            await self._failed(job, outcome)

    async def _answered(self, job: Job, outcome: Answered) -> None:
        """Durable first; only then does anybody look at it."""
        bought = outcome.status == 200
        usage = usage_of(outcome.body, job.request, job.estimate) if bought else NOTHING
        cost = self._estimator.price.of(usage.input_tokens, usage.output_tokens)
        if self._estimator.learn(job.request, usage):  # at once: while this is being kept others would be sent
            self._desk.reprice()
        try:
            kept = await keep(self._ledger, _answer(job, outcome, usage, cost), self._io)
        except Exception:
            self._desk.release(job, spent=cost)
            raise
        finally:
            used = usage.input_tokens + usage.output_tokens
            self._pace.succeeded(time.monotonic(), outcome.headers, job.tokens, used)
        self.done.answers += 1
        self.done.known = True
        self.done.given_up, self.done.failing = 0, ""
        self.done.spent_usd += cost
        self.done.last_answer = time.monotonic()
        self._desk.release(job, spent=cost)
        self._desk.finish(job, kept, bought=True)
        await self._tell()

    async def _asked_otherwise(self, job: Job, outcome: Declined) -> bool:
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

    async def _throttled(self, job: Job, outcome: Throttled, started: float) -> None:
        """Everybody waits, unless it is this request alone that is throttled again and again."""
        now, nobody = time.monotonic(), job.failed_at == self.done.answers
        job.throttled += 1
        job.throttled_since = job.throttled_since or now
        job.fails(self.done.answers)
        self.done.throttled += job.throttled == 1 and not job.tries
        self.done.failing = f"429: {outcome.message}"
        self._warn()
        said, chance = f"{job.throttled} tries: 429: {outcome.message}", self._chance(job)
        over = nobody and self._is_left_over(job, now)
        if (over and chance < _UNLIKELY) or (job.apart >= self._generator.attempts and chance < _IMPOSSIBLE):
            self._pace.ended()
            await self._give_up(job, Reason.THROTTLED, said)
        elif over:
            self._pace.ended()
            await self._give_up_unsure(job, Reason.THROTTLED, said)
        elif chance < _UNLIKELY:
            self._pace.ended()
            wait = max(retry_after(outcome.headers) or 0.0, backoff(job.throttled))
            self._desk.later(job, wait, self._desk.is_ready, False)
        else:
            self._pace.throttled(now, outcome.headers, started, job.throttled - 1, job.tokens)
            self._desk.is_ready(job, front=job.throttled == 1)

    def _chance(self, job: Job) -> float:
        """How likely it is that one request meets the limit as often as this one did, if all of them meet the same."""
        return float((self.done.throttled / (self.done.met + 1)) ** job.apart)

    def _is_left_over(self, job: Job, now: float) -> bool:
        """Whether hardly anybody else is there whose answers could tell, and a limit per minute would be over by now."""
        waited = now - (job.throttled_since or now)
        return len(self._desk.jobs) < _DOWN and job.throttled >= self._generator.attempts and waited > _A_MINUTE

    async def _refused(self, job: Job, outcome: Declined) -> None:
        """A 4xx: about this picture, or about the whole configuration?"""
        self.done.refused += 1
        if self.done.answers:
            await self._give_up(job, Reason.DECLINED, outcome.message)
            return
        if self.done.refused < _BAD_REQUESTS:
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
        job.fails(self.done.answers)
        if job.failing_since is None:
            job.failing_since = self.done.answers
        self.done.failing = f"{outcome.reason}: {outcome.message}"
        log.info("try %d of %s failed: %s", job.tries, job.key, self.done.failing)
        self._warn()
        if outcome.billed and job.lease:  # the reservation may be used up: the next try needs one of its own
            await insisted(self._io, self._purse.lose, job.lease, job.key)
            self._desk.release(job, lost=job.reserved)
        if job.tries % self._generator.attempts == 0:
            self._desk.release(job)
            await self._put_aside(job, outcome)
            return
        again = self._desk.is_ready if job.lease else self._desk.needs_money
        self._desk.later(job, backoff(job.tries), again)

    def _warn(self) -> None:
        """In the log, while nobody is answered: the board says the same, and neither waits until the run gives up."""
        trouble, now = self.done.trouble(), time.monotonic()
        if trouble and now - self._warned > _WARN_EVERY:
            self._warned = now
            log.warning("%s: %s; it is tried again", self._generator.base_url, trouble)

    async def _put_aside(self, job: Job, outcome: Failed) -> None:
        """This one fails again and again. Do the others?"""
        said = f"{job.tries} tries: {outcome.message}"
        if job.apart >= _APART:
            await self._give_up(job, outcome.reason, said)
        elif self.done.answers and job.tries == self._generator.attempts:
            # What was answered in the first round may have come before the endpoint broke down.
            job.failing_since = self.done.answers
            self._desk.later(job, backoff(job.tries), self._desk.needs_money, False)
        elif self.done.answers > (job.failing_since or 0):
            await self._give_up(job, outcome.reason, said)
        else:
            await self._give_up_unsure(job, outcome.reason, f"{outcome.reason}: {outcome.message}")

    async def _give_up(self, job: Job, reason: Reason, detail: str) -> None:
        """It is this request's own fault: a reject, and for a day nobody asks again."""
        why = Unanswerable(reason, detail)
        await insisted(self._io, self._given_up.note, job.key, why)
        self._desk.fail(job, why)

    async def _give_up_unsure(self, job: Job, reason: Reason, said: str) -> None:
        """Nobody was answered meanwhile: the request's fault, or the endpoint's? The next answer tells."""
        self.done.given_up += 1
        if self.done.given_up >= (_DOWN if self.done.known else _DOWN_AT_ONCE):
            self._desk.fail(job, self._down(said))
            return
        self._unsure.append((job.key, Unanswerable(reason, said)))
        self._desk.fail(job, Unanswerable(Reason.UNAVAILABLE, said))

    async def _tell(self) -> None:
        """Somebody is answered: so those that were given up before were at fault themselves."""
        unsure, self._unsure = self._unsure, []
        for key, why in unsure:
            await insisted(self._io, self._given_up.note, key, why)

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
