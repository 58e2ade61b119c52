"""Asking thousands of questions at once: one loop, one pacer, one purse for a process, however many threads want answers.

A question's way: ledger (paid already?) -> picture -> lease (money, and the claim that nobody else buys it) -> pace
-> API -> ledger -> its caller. The order is the whole point: money is set aside before a byte is sent, and an answer
is durable before anybody looks at it. What is killed between the provider's answer and the ledger's write is lost:
at most the requests in flight.

The engine's own thread runs the event loop. Looking into the ledger and making pictures has a pool of threads, keeping
answers and money another, so that a paid answer never waits behind hundreds of pictures. A way into a thread and back
costs 0.4 ms of CPU beside a busy loop, as much as a request on the wire: there is one before each request and one after.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from presel.config import GeneratorConfig
from presel.errors import EndpointUnavailable
from presel.instruct.batch.log import BatchLog
from presel.instruct.endpoint.accepted import Accepted
from presel.instruct.given_up import GivenUp
from presel.instruct.jobs import Account, Desk
from presel.instruct.leasing import Leasing
from presel.instruct.ledger import Answer, Ledger
from presel.instruct.money.allowance import Allowance
from presel.instruct.money.bounds import one_each, room
from presel.instruct.money.drift import Drift
from presel.instruct.money.owners import BEAT_EVERY, Owner
from presel.instruct.money.prices import Estimator, price_of
from presel.instruct.money.purse import Purse
from presel.instruct.questions.request import Request
from presel.instruct.sending import Done, Sending
from presel.instruct.sides import Sides
from presel.instruct.worth import Worth
from presel.storage import open_store

if TYPE_CHECKING:
    from presel.instruct.batch.batches import Batches

T = TypeVar("T")
log = logging.getLogger(__name__)

_IO_THREADS = 16
_READING_THREADS = 32


class Engine:
    """Answers requests for one store and one endpoint. Use `sharing.shared`. `run` brings work to its loop."""

    def __init__(self, store: str, generator: GeneratorConfig) -> None:
        self.generator = generator
        self._estimator = Estimator(price_of(generator))
        self._allowance = Allowance()
        self.worth = Worth("all tasks together")
        self._store = open_store(store)
        self._ledger = Ledger(self._store)
        self._owner = Owner(self._store)
        cap = math.inf if generator.max_cost == "unlimited" else float(generator.max_cost)
        self.purse = Purse(self._store, cap, self._owner, generator.concurrency)
        self._asking: dict[str, asyncio.Task[tuple[Answer, bool]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(_IO_THREADS, thread_name_prefix="presel-io")
        self._readers = ThreadPoolExecutor(_READING_THREADS, thread_name_prefix="presel-read")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="presel-instruct", daemon=True)
        self._thread.start()
        try:
            self.run(self._open()).result()
        except BaseException:
            self._end()
            raise

    # --- for threads -----------------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the engine's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    @property
    def done(self) -> Done:
        """What was sent and got so far."""
        return self._sending.done

    @property
    def note(self) -> str:
        """For people: what the provider works on, if it is more than the requests in flight."""
        return self._batches.note

    def announce(self, images: Mapping[str, int]) -> None:
        """So many images of each task are to be instructed: what that costs at most is what may be spent without asking."""
        at_most, more = one_each(images, self.generator), room(images, self.generator)
        self._loop.call_soon_threadsafe(self._allowance.announce, sum(images.values()), at_most, more)

    def spent(self) -> float:
        """US dollars that the store has spent, as last seen; of this process's open leases what they have come to so far."""
        return self.purse.spent(self._desk.come_to())

    def stop(self, why: Exception) -> None:
        """Send nothing more: what waits fails with `why`, what is under way is waited for by `close`, and kept."""
        self._loop.call_soon_threadsafe(self._desk.stop, why)

    def close(self) -> None:
        """Wait for what is under way, settle every lease, end the thread."""
        self.stop(EndpointUnavailable("the run was ended", where=self.generator.base_url))
        try:
            self.run(self._drain()).result()
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._pool.shutdown()
        self._readers.shutdown()
        self._loop.close()

    # --- for coroutines in the loop ----------------------------------------------------------------------------------

    async def io(self, work: Callable[..., T], *args: Any) -> T:
        """Run something blocking in the engine's pool of threads."""
        return await self._loop.run_in_executor(self._pool, work, *args)

    async def prepared(self, work: Callable[..., T], *args: Any) -> T:
        """The same for what comes before sending: hundreds that wait for a CPU must not stand before an answer to be kept."""
        return await self._loop.run_in_executor(self._readers, work, *args)

    async def answer(
        self,
        request: Request,
        picture: Callable[[], bytes],
        *,
        at: Callable[[int], bytes] | None = None,
        urgent: bool = False,
    ) -> tuple[Answer, bool]:
        """The answer to a request, and whether this call bought it.

        `picture` makes the JPEG to send, in base64; it is called in a thread, and only if the ledger has no answer. `at` makes
        it as another `image_side` would have it: an answer about the very same bytes counts (sides.py).

        Raises Unanswerable when this request alone cannot be answered, and a PreselError when the run cannot go on.
        """
        asking = self._asking.get(request.key)
        first = asking is None
        if asking is None:
            asking = self._loop.create_task(self._ask(request, picture, at, urgent))
            self._asking[request.key] = asking
            asking.add_done_callback(lambda task: self._asked(request.key, task))
        answer, bought = await asyncio.shield(asking)
        return answer, bought and first

    async def _ask(
        self, request: Request, picture: Callable[[], bytes], at: Callable[[int], bytes] | None, urgent: bool
    ) -> tuple[Answer, bool]:
        batch = self.generator.batch
        live = self.generator.mode == "live" or (urgent and batch.finish_live)
        asked = self._accepted.fitted(request)
        at_once = live and self._desk.stopped is None and not self._batches.expects(asked.key)
        found, made = await self.prepared(self._paid_or_made, (request, asked), picture, at, at_once)
        found = found or await self._batches.fetched(asked.key)
        if found is not None:
            self.done.known = True
            return found, False
        if (given_up := self._given_up.find(asked.key)) is not None:
            raise given_up
        if self._desk.stopped is not None:  # the run goes on without its answers, so it need not read its pictures
            raise self._desk.stopped

        if not live:
            answered = await self._batches.answer(asked, lambda: self.prepared(picture))
            if answered is not None:
                return answered
        if not self._desk.queue and not self._desk.ready:
            self.done.last_answer = time.monotonic()  # the time in which nobody asked anything does not count
        jpeg = await self.prepared(picture) if made is None else made
        return await self._desk.add(asked, jpeg, urgent).answer

    def _paid_or_made(
        self,
        forms: tuple[Request, ...],
        picture: Callable[[], bytes],
        at: Callable[[int], bytes] | None,
        at_once: bool,
    ) -> tuple[Answer | None, bytes | None]:
        """The answer there is, or the picture to ask with: in one go, since a way into a thread and back costs 0.4 ms of CPU.

        `forms`: as it is configured, and as the endpoint takes it. An answer about the picture as an older release would have
        sent it is one, too.
        """
        keys = dict.fromkeys(each.key for form in forms for each in (form, *form.earlier()))
        found = next((found for key in keys if (found := self._ledger.find(key))), None)
        if found is None and at is not None:
            found = self._sides.sent_before(forms, self._ledger, picture, at)
        return found, picture() if at_once and found is None else None

    def _asked(self, key: str, task: asyncio.Task[tuple[Answer, bool]]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # the caller may be gone by now: that is no error of its own

    # --- life ----------------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        self._desk = Desk(self._settle, self._allowance)
        self._sides = await self.io(Sides, self._store, self.generator.image_side)
        self._accepted = await self.io(Accepted, self._store, self.generator)
        shared = (self._ledger, self._estimator, self._accepted, self.generator, self.io)
        self._drift = Drift(self._store, self.generator)
        self._leasing = Leasing(self._desk, self.purse, self._drift, *shared)
        self._given_up = GivenUp(self._store)
        self._sending = Sending(self._desk, self.purse, self._owner, self._given_up, *shared, self._spawn)
        await self.io(self._owner.beat)
        await self.io(self.purse.clear)
        await self.io(self._given_up.read)
        self._batches = self._opened_batches()
        await self._batches.adopt()
        services = (
            self._beat(),
            self._leasing.serve(),
            self._sending.serve(),
            self._sending.watch(),
            self._batches.serve(),
        )
        self._services = [self._loop.create_task(self._watched(service)) for service in services]

    def _opened_batches(self) -> Batches:
        from presel.instruct.batch.batches import Batches
        from presel.instruct.batch.client import BatchClient
        from presel.instruct.batch.run import Runner

        config, client = self.generator.batch, self._sending.client
        runner = Runner(
            api=BatchClient(client, self.generator),
            log=BatchLog(self._store),
            purse=self.purse,
            ledger=self._ledger,
            estimator=self._estimator,
            drift=self._drift,
            accepted=self._accepted,
            given_up=self._given_up,
            reading=client.reading,
            desk=self._desk,
            io=self.io,
            attempts=self.generator.attempts,
            poll=config.poll,
            price_share=config.price_share,
            base_url=self.generator.base_url.rstrip("/"),
        )
        return Batches(runner, config, self._leasing.cap_reached, self._spawn)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY)
            await self.io(self._owner.beat)

    def _settle(self, account: Account) -> None:
        async def settle() -> None:
            await self.io(self.purse.settle, account.lease, account.spent, account.lost)
            self._desk.settled(account)

        self._spawn(settle())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(self._watched(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        """Nothing in the engine may fail in silence: every caller that waits for an answer is told why there is none."""
        try:
            await work
        except Exception as error:
            log.debug("the engine stops", exc_info=True)
            self._desk.stop(error)

    async def _drain(self) -> None:
        while self._tasks or self._asking:
            await asyncio.wait([*self._tasks, *self._asking.values()], return_when=asyncio.FIRST_COMPLETED)
        for service in self._services:
            service.cancel()
        await asyncio.gather(*self._services, return_exceptions=True)
        await self._sending.client.close()
        await self._batches.close()
        await self.io(self._owner.leave)
