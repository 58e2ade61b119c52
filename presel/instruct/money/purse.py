"""The money cap: a durable log of leases that any number of workers write without a server between them.

Before a request may be sent it is part of a lease: `<store>/ledger/leases/<n>.json`, which names the request keys and what
each may cost at most. A lease takes the next free number by conditional create, so a process that gets number n
has read all leases before it. It writes its own only if the sum stays within the cap. That is the whole
proof: with an exact `create` the cap holds for threads, processes and machines, in any interleaving.

When all its requests have ended the lease is settled: `<n>-settled.json` says what was really spent (and what may
have been, for tries that were sent and never answered), and the rest is free again. The lease of a killed worker
counts whole until another one finds its owner dead (owners.py) and settles it: what was answered costs what it cost,
tries that were noted as lost cost their reservation, and so do as many of the rest as can have been in flight, since
nobody can know whether they were billed.

Because a lease names its requests, it is also the claim that keeps two workers from buying one answer: what a live
owner has leased, others wait for. The price of all this is about two small objects per 100 requests.

Bound: spending <= cap as long as no single bill exceeds its own reservation (prices.py: an upper bound that is
raised when that ever happens), plus, where a store's `create` is not exact, one lease per worker.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from presel.errors import StorageUnavailable
from presel.instruct.ledger import Ledger
from presel.instruct.money.lease_log import LEASES, Lease, LeaseLog
from presel.instruct.money.owners import Owner, Watch
from presel.storage import Store

log = logging.getLogger(__name__)

_CLAIMS = 10_000


@dataclass(frozen=True)
class Grant:
    """What came of asking for a lease."""

    lease: Lease | None
    held: frozenset[str] = frozenset()
    """Keys that another worker is about to buy: wait for its answers."""
    check: frozenset[str] = frozenset()
    """Granted keys that another worker once leased: look into the ledger before buying."""
    exhausted: bool = False
    """Nothing is left for even the first request, and no open lease can give any money back."""


class Purse:
    """One worker's view of the store's money. Thread-safe."""

    def __init__(self, store: Store, cap: float, owner: Owner, in_flight: int) -> None:
        self.cap, self.owner, self.in_flight = cap, owner, in_flight
        self._ledger, self._watch = Ledger(store), Watch(store)
        self._log, self._lock = LeaseLog(store, owner.id), threading.Lock()
        self.elsewhere: set[int] = set()
        """Leases for batches at other endpoints: they hold money, and nobody here can make them give it back."""

    def lease(self, wanted: Sequence[tuple[str, float]], batch: bool = False) -> Grant:
        """Set money aside for as many of the wanted requests as the cap allows, in their order.

        `wanted` are (request key, US dollars at most). Raises StorageError.
        """
        with self._lock:
            grant = self._try_lease(wanted, batch)
            blocked = bool(grant.held) or grant.lease is None
            if blocked and self._settle_the_dead() and grant.lease is None:
                return self._try_lease(wanted, batch)
            return grant

    def batches_of_others(self) -> list[Lease]:
        """Open leases of other owners, living or dead, that pay for batches."""
        with self._lock:
            self._log.read_on()
            return [lease for lease in self._log.open.values() if lease.batch and lease.owner != self.owner.id]

    def gone(self, lease: Lease) -> bool:
        """Whether a lease's owner is certainly dead."""
        with self._lock:
            return self._watch.dead(lease.owner)

    def settle(self, lease: Lease, spent: float, lost: float) -> None:
        """Close one of our leases: `spent` for answers, `lost` for tries that may have been billed without one."""
        with self._lock:
            self._log.settle(lease, spent, lost)
            if lease.owner == self.owner.id:
                _paid[self._log.store.locate(LEASES)] += spent + lost

    def lose(self, lease: Lease, key: str) -> None:
        """Note that a try was sent and brought no answer, for the process that settles for us if we die first."""
        self._log.note_lost(lease, key)

    def taken(self, lease: Lease) -> bool:
        """Whether others took us for dead and settled one of our leases."""
        return self._log.is_settled(lease)

    def clear(self) -> None:
        """Read what others did, and settle what the dead left."""
        with self._lock:
            self._log.read_on()
            self._settle_the_dead()

    def spent(self, come_to: Mapping[int, float] | None = None) -> float:
        """US dollars this store has spent in all, as last seen. Open leases count as nothing yet, or as what `come_to` says."""
        with self._lock:
            still_open = (usd for number, usd in (come_to or {}).items() if number in self._log.open)
            return math.fsum([self._log.spent, *still_open])

    def room(self) -> float:
        """US dollars that could still be set aside, as last seen."""
        with self._lock:
            return self.cap - self._log.spent - self._log.reserved

    # --- leasing ---------------------------------------------------------------------------------------------------

    def _try_lease(self, wanted: Sequence[tuple[str, float]], batch: bool) -> Grant:
        for _ in range(_CLAIMS):
            self._log.read_on()
            held = self._held_by_others()
            waiting = frozenset(key for key, _ in wanted if key in held)
            amounts = self._affordable([(key, amount) for key, amount in wanted if key not in waiting])
            if not amounts:
                return Grant(None, waiting, exhausted=not self._log.open.keys() - self.elsewhere and not waiting)
            lease = self._log.claim(amounts, self.in_flight, batch)
            if lease is not None:
                return Grant(lease, waiting, check=frozenset(amounts) & self._log.foreign)
        raise StorageUnavailable("no lease number could be claimed", where=self._log.store.locate(LEASES))

    def _affordable(self, wanted: Sequence[tuple[str, float]]) -> dict[str, float]:
        room = self.cap - self._log.spent - self._log.reserved
        amounts: dict[str, float] = {}
        taken = 0.0
        for key, amount in wanted:
            if taken + amount > room:
                break
            taken += amount
            amounts[key] = amount
        return amounts

    def _held_by_others(self) -> set[str]:
        return {key for lease in self._log.open.values() if lease.owner != self.owner.id for key in lease.amounts}

    # --- what the dead left --------------------------------------------------------------------------------------------------

    def _settle_the_dead(self) -> bool:
        """Except for batches: they outlive their owner, and any other process fetches them (batches.py)."""
        others = [lease for lease in self._log.open.values() if lease.owner != self.owner.id]
        with_batches = {lease.owner for lease in others if lease.batch}
        dead = sorted(
            owner for owner in {lease.owner for lease in others if not lease.batch} if self._watch.dead(owner)
        )
        for owner in dead:
            self._inherit(owner, [lease for lease in others if lease.owner == owner and not lease.batch])
            if owner not in with_batches:
                self._watch.bury(owner)
        return bool(dead)

    def _inherit(self, owner: str, leases: Sequence[Lease]) -> None:
        """Settle the leases of a dead owner.

        Of the requests without an answer or a note, up to `in_flight` may be billed; the dearest of them count.
        """
        left = {lease.number: self._what_was_left(lease) for lease in leases}
        unknown = sorted(((amount, n) for n, (_, _, rest) in left.items() for amount in rest), reverse=True)
        at_risk = unknown[: max(lease.in_flight for lease in leases)]
        for lease in leases:
            spent, noted, _ = left[lease.number]
            lost = math.fsum([noted, *(amount for amount, number in at_risk if number == lease.number)])
            said = "lease %d of %s, which is gone, is settled: %.4f USD answered, %.4f USD perhaps billed"
            log.warning(said, lease.number, owner, spent, lost)
            self._log.settle(lease, spent, lost)

    def _what_was_left(self, lease: Lease) -> tuple[float, float, list[float]]:
        """US dollars spent on answers, noted as lost, and reserved for each request of which nothing is known."""
        answers = {key: self._ledger.find(key) for key in lease.amounts}
        spent = math.fsum(answer.cost_usd for answer in answers.values() if answer and answer.lease == lease.number)
        failed = self._log.lost_keys(lease)
        unknown = [lease.amounts[key] for key, answer in answers.items() if not answer and key not in failed]
        return spent, math.fsum(lease.amounts[key] for key in failed), unknown


_paid: defaultdict[str, float] = defaultdict(float)


def paid_here(store: Store) -> float:
    """US dollars that this process has spent of a store so far: of several at once each knows its own share.

    Like the store's own sum it holds what may have been billed for tries without an answer, and no open lease.
    """
    return _paid[store.locate(LEASES)]


def spending(store: Store) -> dict[str, float]:
    """US dollars a store has spent (`spent_usd`), and what open leases hold on top (`reserved_usd`). Only reads."""
    seen = LeaseLog(store, owner="")
    seen.read_on()
    return {"spent_usd": seen.spent, "reserved_usd": seen.reserved}
