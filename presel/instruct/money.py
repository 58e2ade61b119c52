"""The money cap: a durable log of leases that any number of workers write without a server between them.

Before a request may be sent it is part of a lease: `<store>/ledger/leases/<n>.json`, which names the request keys and what
each may cost at most. A lease takes the next free number by conditional create, so whoever gets number n has read
all leases before it; the sum over them plus its own amount stays within the cap or it is not written. That is the
whole proof: with an exact `create` the cap holds for threads, processes and machines, in any interleaving.

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

import json
import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from presel.errors import AlreadyExists, NotFound, StorageUnavailable
from presel.instruct.ledger import Ledger
from presel.instruct.owners import Owner, Watch
from presel.storage import Store

log = logging.getLogger(__name__)

LEASES, TOTALS = "ledger/leases", "ledger/totals"
_TOTAL_EVERY = 64


@dataclass
class Lease:
    """Money set aside for named requests: request key -> US dollars at most."""

    number: int
    owner: str
    amounts: dict[str, float]
    in_flight: int
    """How many of them its owner may have under way at once."""

    @property
    def amount(self) -> float:
        return math.fsum(self.amounts.values())


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


@dataclass
class _Log:
    """What has been read of the lease log so far."""

    next: int = 0
    spent: float = 0.0
    open: dict[int, Lease] = field(default_factory=dict)
    settled: dict[int, float] = field(default_factory=dict)
    """What settled leases beyond `through` cost."""
    through: int = -1
    """Every lease up to this one is settled."""
    totalled: int = -1
    foreign: set[str] = field(default_factory=set)


class Purse:
    """One worker's view of the store's money. Thread-safe."""

    def __init__(self, store: Store, cap: float, owner: Owner, in_flight: int) -> None:
        self.store, self.cap, self.owner, self.in_flight = store, cap, owner, in_flight
        self._ledger, self._watch = Ledger(store), Watch(store)
        self._log, self._lock = _Log(), threading.Lock()
        self._read_total()

    def lease(self, wanted: Sequence[tuple[str, float]]) -> Grant:
        """Set money aside for as many of the wanted requests as the cap allows, in their order.

        `wanted` are (request key, US dollars at most). Raises StorageError.
        """
        with self._lock:
            grant = self._try_lease(wanted)
            blocked = bool(grant.held) or grant.lease is None
            if blocked and self._settle_the_dead() and grant.lease is None:
                return self._try_lease(wanted)
            return grant

    def settle(self, lease: Lease, spent: float, lost: float) -> None:
        """Close one of our leases: `spent` for answers, `lost` for tries that may have been billed without one."""
        with self._lock:
            self._settle(lease, spent, lost)
            self._write_total()

    def lose(self, lease: Lease, key: str) -> None:
        """Note that a try was sent and brought no answer: if we die before we settle, whoever settles for us must know."""
        self.store.write(f"{_lost_prefix(lease.number)}{key}.json", json.dumps({"lost": lease.amounts[key]}).encode())

    def open_amount(self) -> float:
        """US dollars that open leases hold, ours and others', as last seen."""
        with self._lock:
            return math.fsum(lease.amount for lease in self._log.open.values())

    def spent(self) -> float:
        """US dollars this store has spent in all, as last seen; open leases count as nothing yet."""
        with self._lock:
            return self._log.spent

    def look(self) -> None:
        """Read what others did."""
        with self._lock:
            self._read_log()

    def clear(self) -> None:
        """Read what others did, and settle what the dead left."""
        with self._lock:
            self._read_log()
            self._settle_the_dead()

    def lost(self, lease: Lease) -> bool:
        """Whether others took us for dead and settled one of our leases."""
        return self.store.exists(_settled_path(lease.number))

    # --- leasing ---------------------------------------------------------------------------------------------------

    def _try_lease(self, wanted: Sequence[tuple[str, float]]) -> Grant:
        for _ in range(10_000):
            self._read_log()
            held = self._held_by_others()
            waiting = frozenset(key for key, _ in wanted if key in held)
            amounts = self._affordable([(key, amount) for key, amount in wanted if key not in waiting])
            if not amounts:
                return Grant(None, waiting, exhausted=not self._log.open and not waiting)
            lease = Lease(self._log.next, self.owner.id, amounts, self.in_flight)
            try:
                self.store.create(_path(lease.number), json.dumps(lease.__dict__).encode())
            except AlreadyExists:
                continue
            self._log.open[lease.number] = lease
            self._log.next += 1
            return Grant(lease, waiting, check=frozenset(amounts) & self._log.foreign)
        raise StorageUnavailable("no lease number could be claimed", where=self.store.locate(LEASES))

    def _affordable(self, wanted: Sequence[tuple[str, float]]) -> dict[str, float]:
        room = self.cap - self._log.spent - math.fsum(lease.amount for lease in self._log.open.values())
        amounts: dict[str, float] = {}
        for key, amount in wanted:
            if math.fsum([*amounts.values(), amount]) > room:
                break
            amounts[key] = amount
        return amounts

    def _held_by_others(self) -> set[str]:
        return {key for lease in self._log.open.values() if lease.owner != self.owner.id for key in lease.amounts}

    # --- settling --------------------------------------------------------------------------------------------------

    def _settle(self, lease: Lease, spent: float, lost: float) -> None:
        document: dict[str, Any] = {"spent": spent, "lost": lost, "by": self.owner.id}
        try:
            self.store.create(_settled_path(lease.number), json.dumps(document).encode())
        except AlreadyExists:  # we were taken for dead, or somebody else was quicker: what was written first counts
            document = _read(self.store, _settled_path(lease.number)) or document
        self._note_settled(lease.number, document)

    def _settle_the_dead(self) -> bool:
        owners = {lease.owner for lease in self._log.open.values()} - {self.owner.id}
        dead = sorted(owner for owner in owners if self._watch.dead(owner))
        for owner in dead:
            self._inherit(owner, [lease for lease in self._log.open.values() if lease.owner == owner])
            self._watch.bury(owner)
        return bool(dead)

    def _inherit(self, owner: str, leases: Sequence[Lease]) -> None:
        """Settle what a dead owner left. Of what it noted nothing of, `in_flight` may be billed: the dearest count."""
        left = {lease.number: self._what_was_left(lease) for lease in leases}
        unknown = sorted(((amount, n) for n, (_, _, rest) in left.items() for amount in rest), reverse=True)
        at_risk = unknown[: max(lease.in_flight for lease in leases)]
        for lease in leases:
            spent, noted, _ = left[lease.number]
            lost = math.fsum([noted, *(amount for amount, number in at_risk if number == lease.number)])
            said = "lease %d of %s, which is gone, is settled: %.4f USD answered, %.4f USD perhaps billed"
            log.warning(said, lease.number, owner, spent, lost)
            self._settle(lease, spent, lost)

    def _what_was_left(self, lease: Lease) -> tuple[float, float, list[float]]:
        """US dollars spent on answers, noted as lost, and reserved for each request of which nothing is known."""
        answers = {key: self._ledger.find(key) for key in lease.amounts}
        spent = math.fsum(answer.cost_usd for answer in answers.values() if answer and answer.lease == lease.number)
        noted = self.store.list(_lost_prefix(lease.number))
        failed = {entry.path.rpartition("-")[2].removesuffix(".json") for entry in noted}
        unknown = [lease.amounts[key] for key, answer in answers.items() if not answer and key not in failed]
        return spent, math.fsum(lease.amounts[key] for key in failed), unknown

    # --- the log ---------------------------------------------------------------------------------------------------

    def _read_log(self) -> None:
        """Read on where we stopped. By name, without a listing: a log of thousands of leases costs what its new end costs."""
        while (document := _read(self.store, _path(self._log.next))) is not None:
            lease = Lease(**document)
            self._log.open[lease.number] = lease
            if lease.owner != self.owner.id:
                self._log.foreign.update(lease.amounts)
            self._log.next += 1
        for number in [n for n, lease in self._log.open.items() if lease.owner != self.owner.id]:
            settled = _read(self.store, _settled_path(number))
            if settled is not None:
                self._note_settled(number, settled)

    def _note_settled(self, number: int, document: Mapping[str, Any]) -> None:
        if self._log.open.pop(number, None) is None:
            return
        cost = document["spent"] + document["lost"]
        self._log.spent += cost
        self._log.settled[number] = cost
        while self._log.through + 1 in self._log.settled:
            self._log.through += 1
            del self._log.settled[self._log.through]

    def _read_total(self) -> None:
        """Start from the newest total instead of the first lease."""
        newest = max((entry.path for entry in self.store.list(f"{TOTALS}/")), default=None)
        total = _read(self.store, newest) if newest else None
        if total is not None:
            self._log.through = self._log.totalled = total["through"]
            self._log.next, self._log.spent = total["through"] + 1, total["spent"]

    def _write_total(self) -> None:
        """Spare later workers the reading of leases that are all settled. What lies beyond them is not in the total."""
        if self._log.through - self._log.totalled >= _TOTAL_EVERY:
            spent = self._log.spent - math.fsum(self._log.settled.values())
            document = json.dumps({"through": self._log.through, "spent": spent}).encode()
            self.store.write(f"{TOTALS}/{_name(self._log.through)}.json", document)
            self._log.totalled = self._log.through


def spending(store: Store) -> dict[str, float]:
    """US dollars a store has spent (`spent_usd`), and what open leases hold on top (`reserved_usd`). Only reads."""
    purse = Purse(store, math.inf, Owner(store), 0)
    purse.look()
    return {"spent_usd": purse.spent(), "reserved_usd": purse.open_amount()}


def _read(store: Store, path: str) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(store.read(path))
    except NotFound:
        return None
    return document


def _name(number: int) -> str:
    return f"{number:08d}"


def _path(number: int) -> str:
    return f"{LEASES}/{_name(number)}.json"


def _lost_prefix(number: int) -> str:
    return f"ledger/lost/{_name(number)}-"


def _settled_path(number: int) -> str:
    return f"{LEASES}/{_name(number)}-settled.json"
