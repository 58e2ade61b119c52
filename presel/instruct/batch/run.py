"""One batch from its file to its answers, in steps of which each can be the last that its process does.

    lease (money, and the claim) -> requests kept -> file uploaded -> intent kept -> batch created -> id kept
      -> polled -> each answer kept -> lease settled

A process that dies before the intent has created nothing. One that dies after it may have: the provider's list of batches
says so, since the metadata name the store, the lease and the file. If it is not listed, the uploaded file is deleted
*before* it is looked for a last time and the lease is given back: a request to create that is still on its way then finds
no file, and is refused. Everything after the id may be done by any number of processes at once: an answer is kept once, a
lease is settled once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO

from presel.errors import EndpointError, EndpointRefused, EndpointUnavailable, NotFound
from presel.images.reasons import Reason
from presel.instruct.batch.client import ENDED, Batch, BatchClient
from presel.instruct.batch.lines import outcome_of
from presel.instruct.batch.log import BatchLog
from presel.instruct.endpoint.accepted import Accepted
from presel.instruct.endpoint.failures import Reading
from presel.instruct.endpoint.outcomes import Answered, Declined, Failed
from presel.instruct.given_up import GivenUp
from presel.instruct.jobs import Desk, Unanswerable
from presel.instruct.keeping import keep
from presel.instruct.ledger import Answer, Ledger
from presel.instruct.money.drift import Drift
from presel.instruct.money.lease_log import Lease
from presel.instruct.money.prices import NOTHING, Estimator, usage_of
from presel.instruct.money.purse import Purse
from presel.instruct.questions.request import Request
from presel.storage import bodies

log = logging.getLogger(__name__)

PATIENCE = 3600.0
"""Seconds for which the batch API may be out of reach while a batch is waited for."""
_LOOKS = 3
_AT_ONCE = 32
_LARGEST, _LINE, _LETTERS = bodies.LARGEST, 1 << 14, 32
"""Bytes that a file of answers may have: in any case, for each request, and for each token of its answer."""
_FULL_QUEUE = ("token_limit_exceeded", "rate_limit_exceeded", "batch_limit_exceeded")


@dataclass(frozen=True)
class Left:
    """A batch ended without an answer to this request, and without a bill for it."""

    reason: Reason
    message: str
    free: bool = False
    """That was not a try of its own."""
    alone: bool = False
    """The batch was worked through, and others in it were answered."""


End = Answer | Left | Unanswerable


@dataclass
class Runner:
    """Runs batches of one store at one endpoint. Lives in the engine's loop."""

    api: BatchClient
    log: BatchLog
    purse: Purse
    ledger: Ledger
    estimator: Estimator
    drift: Drift
    accepted: Accepted
    given_up: GivenUp
    reading: Reading
    desk: Desk
    io: Callable[..., Awaitable[Any]]
    attempts: int
    poll: float
    price_share: float
    base_url: str
    """Of the endpoint, as it is written in keys."""
    _held: dict[int, float] = field(default_factory=dict)

    async def create(self, lease: Lease, requests: Mapping[str, Request], file: BinaryIO, digest: str) -> Batch:
        """Upload a file and create its batch. Raises EndpointError; the lease is given back if there is none."""
        created = False
        try:
            await self.io(self.log.keep_requests, lease.number, list(requests.values()))
            for _ in range(self.attempts):
                metadata = await self._metadata(lease, digest)
                name = await self.api.upload(file, f"presel-{metadata['presel_store']}-{lease.number}.jsonl")
                await self._still_ours(lease)
                await self.io(self.log.intend, lease.number, name, digest, self.base_url)
                created = True  # until the opposite is known
                batch = await self._created(lease, name, metadata)
                if batch is not None:
                    await self.io(self.log.begun, lease.number, batch.id)
                    return batch
                created = False
            raise EndpointUnavailable("no batch could be created", fix="run again: nothing was bought")
        except EndpointError:
            if not created:
                await self.settle(lease, 0.0, 0.0)
            raise

    async def is_elsewhere(self, lease: Lease) -> bool:
        """Whether a batch is at another endpoint than ours. Then it holds none of our keys, and we leave it alone."""
        intent = await self.io(self.log.intent, lease.number)
        return intent is not None and intent["base_url"] != self.base_url

    async def fetch(self, lease: Lease) -> dict[str, End] | None:
        """What became of a batch that another process began; None if there is none (any more) and its lease is settled."""
        name = await self.io(self.log.batch, lease.number)
        if name is None:
            found = await self._left_behind(lease)
            if found is None:
                return None
            name = found.id
            await self.io(self.log.begun, lease.number, name)
        try:
            requests = await self.io(self.log.requests, lease.number)
        except NotFound:
            if await self.io(self.purse.taken, lease):  # another process was quicker, and tidied up
                return None
            raise
        return await self.reap(lease, name, requests)

    async def reap(self, lease: Lease, name: str, requests: Mapping[str, Request]) -> dict[str, End] | None:
        """Wait for a batch, keep its answers, settle its lease; None: the run was ended before the batch was."""
        batch = await self._ended(name)
        if self.desk.stopped is not None:
            return None
        if batch is None:
            raise EndpointRefused(
                f"the provider does not know the batch {name}, which may be paid for",
                where=f"lease {lease.number} of this store",
                fix="use the key of the account or project that began it; or, to give it up and buy its answers again, delete "
                f"ledger/batches/{lease.number:08d}.json and ledger/batches/{lease.number:08d}-intent.json",
            )
        if batch.status == "failed":
            await self.settle(lease, 0.0, 0.0)
            return self._all_failed(batch, requests)
        return await self._taken_in(lease, batch, requests)

    async def _taken_in(self, lease: Lease, batch: Batch, requests: Mapping[str, Request]) -> dict[str, End]:
        largest = _LARGEST + sum(_LINE + _LETTERS * request.output_limit for request in requests.values())
        lines = [
            *await self._lines(batch.output, batch.completed, largest),
            *await self._lines(batch.errors, 0, largest),
        ]
        known = [(line, requests[line["custom_id"]]) for line in lines if line["custom_id"] in requests]
        ends: dict[str, End] = {}
        spent = lost = 0.0
        for start in range(0, len(known), _AT_ONCE):
            some = known[start : start + _AT_ONCE]
            for (_, request), (end, cost, risk) in zip(
                some, await asyncio.gather(*(self._end(line, request, lease) for line, request in some)), strict=True
            ):
                if not isinstance(ends.get(request.key), Answer):  # a second line about it takes no answer back
                    ends[request.key] = end
                spent, lost = spent + cost, lost + risk
        missing = [key for key in requests if key not in ends]
        answered = sum(isinstance(end, Answer) for end in ends.values())
        if answered < batch.completed:  # the file was cut: what is missing of it was billed
            lost += sum(sorted((lease.amounts[key] for key in missing), reverse=True)[: batch.completed - answered])
        await self.settle(lease, spent, lost)
        ends |= {key: Left(Reason.TIMEOUT, f"the batch {batch.status} without it") for key in missing}
        apart = bool(answered) and batch.status == "completed"
        return {key: replace(end, alone=apart) if isinstance(end, Left) else end for key, end in ends.items()}

    def hold(self, lease: Lease) -> None:
        """One of our own batches: its price counts against what was announced until it is settled."""
        self._held[lease.number] = lease.amount
        self.desk.allowance.hold(lease.amount)

    async def settle(self, lease: Lease, spent: float, lost: float) -> None:
        if (held := self._held.pop(lease.number, None)) is not None:
            self.desk.allowance.settle(held, spent + lost)
        await self.io(self.purse.settle, lease, spent, lost)
        await self.io(self.log.tidy, lease.number)
        self.desk.changed()

    async def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the run."""
        until = time.monotonic() + seconds
        while self.desk.stopped is None and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.2))

    # --- was it created? --------------------------------------------------------------------------------------------------

    async def _metadata(self, lease: Lease, digest: str) -> dict[str, str]:
        store = await self.io(self.log.identity)
        return {"presel_store": store, "presel_lease": str(lease.number), "presel_file": digest}

    async def _created(self, lease: Lease, file: str, metadata: dict[str, str]) -> Batch | None:
        """A batch of an uploaded file; None if there certainly is none and never will be."""
        try:
            batch = await self.api.create(file, metadata)
        except EndpointRefused:  # that is an answer: there is none. But servers have refused what they created
            batch = await self._refused_and_there(file, metadata)
            if batch is None:
                await self.settle(lease, 0.0, 0.0)
                raise
        return batch or await self._orphan(file, metadata)

    async def _refused_and_there(self, file: str, metadata: dict[str, str]) -> Batch | None:
        try:
            return await self._orphan(file, metadata)
        except EndpointRefused:  # it lists no batches, either
            return None

    async def _orphan(self, file: str, metadata: Mapping[str, str]) -> Batch | None:
        """Find the batch whose creation nobody saw succeed. None: it does not exist, and cannot come to exist any more."""
        for look in range(_LOOKS):
            found = await self.api.find(file, metadata)
            if found is not None:
                log.info("batch %s was created by a process that could not keep its id", found.id)
                return found
            await asyncio.sleep(min(self.poll, 2.0) * look)
        await self.api.delete(file)
        return await self.api.find(file, metadata)

    async def _left_behind(self, lease: Lease) -> Batch | None:
        intent = await self.io(self.log.intent, lease.number)
        if intent is not None:
            found = await self._orphan(intent["file"], await self._metadata(lease, intent["digest"]))
            if found is not None:
                return found
        await self.settle(lease, 0.0, 0.0)
        return None

    async def _still_ours(self, lease: Lease) -> None:
        """A process that slept may have been taken for dead, and its lease given back: it may create nothing under it."""
        if await self.io(self.purse.taken, lease):
            raise EndpointUnavailable("this process slept, and others took over its batch", fix="run again")

    # --- what came of it? -------------------------------------------------------------------------------------------------

    async def _ended(self, name: str) -> Batch | None:
        heard = time.monotonic()
        while self.desk.stopped is None:
            try:
                batch = await self.api.retrieve(name)
                heard = time.monotonic()
            except EndpointUnavailable:
                if time.monotonic() - heard > PATIENCE:
                    raise
            else:
                if batch is None or batch.status in ENDED:
                    return batch
            await self.pause(self.poll)
        return None

    async def _lines(self, file: str | None, least: int, largest: int) -> list[dict[str, Any]]:
        return (await self.api.download(file, least, largest) if file else None) or []

    def _all_failed(self, batch: Batch, requests: Mapping[str, Request]) -> dict[str, End]:
        code, message = batch.complaint
        if code not in _FULL_QUEUE:
            raise EndpointRefused(f"the provider refuses a batch: {code}: {message}"[:400], fix="set `mode: live`")
        return {key: Left(Reason.SERVER_ERROR, f"{code}: {message}", free=True) for key in requests}

    async def _end(self, line: Mapping[str, Any], request: Request, lease: Lease) -> tuple[End, float, float]:
        """A line's end, what it cost, and what it may have cost without an answer."""
        outcome = outcome_of(line, self.reading)
        if isinstance(outcome, Answered):
            answer = self._answer(outcome, request, lease)
            return await keep(self.ledger, answer, self.io), answer.cost_usd, 0.0
        if isinstance(outcome, Declined) and await self._asked_otherwise(request, outcome):
            return Left(Reason.DECLINED, outcome.message, free=True), 0.0, 0.0
        if isinstance(outcome, Declined):
            return Unanswerable(Reason.DECLINED, outcome.message), 0.0, 0.0
        if isinstance(outcome, Failed):
            return Left(outcome.reason, outcome.message), 0.0, lease.amounts[request.key] if outcome.billed else 0.0
        return Left(Reason.SERVER_ERROR, outcome.message), 0.0, 0.0

    async def _asked_otherwise(self, request: Request, outcome: Declined) -> bool:
        """Whether a refusal names a parameter without which, or in another form of which, the request can be sent."""
        self.accepted.learn(request, outcome.status, outcome.text)
        if self.accepted.fitted(request).key == request.key:
            return False
        await self.io(self.accepted.share)
        return True

    def _answer(self, outcome: Answered, request: Request, lease: Lease) -> Answer:
        estimate = self.estimator.tokens(request)
        usage = usage_of(outcome.body, request, estimate) if outcome.status == 200 else NOTHING
        self.estimator.learn(request, usage)
        return Answer(
            key=request.key,
            request=request.document(),
            status=outcome.status,
            body=outcome.body,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=self.price_share * self.estimator.price.of(usage.input_tokens, usage.output_tokens),
            measured=usage.measured,
            lease=lease.number,
            answered=datetime.now(UTC).isoformat(timespec="seconds"),
        )
