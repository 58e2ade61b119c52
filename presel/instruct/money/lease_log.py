"""The lease log on the store: numbered, append-only, read by any number of workers.

    ledger/leases/00000007.json           who, for which requests, at most how much each; written by conditional create
    ledger/leases/00000007-settled.json   what it came to; also a conditional create, so one settlement counts
    ledger/lost/00000007-<key>.json       a try that was sent and brought no answer
    ledger/totals/00000063.json           the sum of all leases up to 63, so that nobody has to read them again

The money cap rests on this: the holder of number n has read every lease before n. So a number is claimed only right
behind the last one read, and a claim that loses reads on before it tries again. A number whose file is gone is not free: the
next lease, or its own settlement, shows that it was taken.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from presel.errors import AlreadyExists, IntegrityError, NotFound
from presel.storage import Store
from presel.storage.sealed import seal, unseal

log = logging.getLogger(__name__)

LEASES, LOST, TOTALS = "ledger/leases", "ledger/lost", "ledger/totals"
FORMAT = 1
"""Of all of them. What was spent is known from nowhere else: a presel that raises this must still read the formats before."""
_TOTAL_EVERY = 64


@dataclass
class Lease:
    """Money set aside for named requests: request key -> US dollars at most."""

    number: int
    owner: str
    amounts: dict[str, float]
    in_flight: int
    """How many of them its owner may have under way at once."""
    batch: bool = False
    """It pays for a batch at the provider, which outlives its owner (batches.py)."""

    @property
    def amount(self) -> float:
        return math.fsum(self.amounts.values())


class LeaseLog:
    """What one owner has read of the log so far. Not thread-safe."""

    def __init__(self, store: Store, owner: str) -> None:
        self.store, self.owner = store, owner
        self.open: dict[int, Lease] = {}
        self.spent = 0.0
        self.foreign: set[str] = set()
        """Requests that others have leased since we began to read."""
        self._next = 0
        self._through = self._totalled = -1
        self._beyond: dict[int, float] = {}
        """What settled leases cost that lie beyond the unbroken row of settled ones, which ends at `_through`."""
        self._start_from_a_total()

    @property
    def reserved(self) -> float:
        """US dollars that open leases hold."""
        return math.fsum(lease.amount for lease in self.open.values())

    def read_on(self) -> None:
        """Read what is new. By name, without a listing: a log of thousands of leases costs what its new end costs."""
        while (lease := self._at(self._next)) is not None:
            self._append(lease)
        for number in [n for n, lease in self.open.items() if lease.owner != self.owner]:
            settled = self._read(_settled_path(number))
            if settled is not None:
                self._note_settled(number, settled)

    def _at(self, number: int) -> Lease | None:
        """The lease of a number; None: it is the next free one. One whose file is lost counts as what it was settled for.

        Raises IntegrityError when a lost one was not settled: then nobody knows what it came to.
        """
        document = self._read(_lease_path(number))
        if document is None and self._was_taken(number):
            document = self._read(_lease_path(number))  # it may have come this moment
            if document is None:
                return self._lost(number)
        return Lease(**document) if document is not None else None

    def _was_taken(self, number: int) -> bool:
        return self.store.exists(_lease_path(number + 1)) or self.store.exists(_settled_path(number))

    def _lost(self, number: int) -> Lease:
        error = _gone(self.store, number)
        if not self.store.exists(_settled_path(number)):
            raise error
        log.warning("%s: %s; what it was settled for counts", error.where, error.what)
        return Lease(number, "nobody", {}, 0)

    def claim(self, amounts: dict[str, float], in_flight: int, batch: bool = False) -> Lease | None:
        """A lease under the next number, or None when somebody else took that number first: then read on."""
        lease = Lease(self._next, self.owner, amounts, in_flight, batch)
        try:
            self.store.create(_lease_path(lease.number), seal(vars(lease), FORMAT))
        except AlreadyExists:
            # It may be our own: a client that retries a create whose answer got lost is told that it exists.
            if self._read(_lease_path(lease.number)) != vars(lease):
                return None
        self._append(lease)
        return lease

    def settle(self, lease: Lease, spent: float, lost: float) -> None:
        """Say what a lease came to. If it was said before, that counts."""
        document: dict[str, Any] = {"spent": spent, "lost": lost, "by": self.owner}
        try:
            self.store.create(_settled_path(lease.number), seal(document, FORMAT))
        except AlreadyExists:
            document = self._read(_settled_path(lease.number)) or document
        self._note_settled(lease.number, document)
        self._write_total()

    def is_settled(self, lease: Lease) -> bool:
        return self.store.exists(_settled_path(lease.number))

    def note_lost(self, lease: Lease, key: str) -> None:
        document = {"lost": lease.amounts[key]}
        self.store.write(f"{_lost_prefix(lease.number)}{key}.json", seal(document, FORMAT))

    def lost_keys(self, lease: Lease) -> set[str]:
        prefix = _lost_prefix(lease.number)
        return {entry.path.removeprefix(prefix).removesuffix(".json") for entry in self.store.list(prefix)}

    def _append(self, lease: Lease) -> None:
        self.open[lease.number] = lease
        if lease.owner != self.owner:
            self.foreign.update(lease.amounts)
        self._next = lease.number + 1

    def _note_settled(self, number: int, document: Mapping[str, Any]) -> None:
        if self.open.pop(number, None) is None:
            return
        cost = document["spent"] + document["lost"]
        self.spent += cost
        self._beyond[number] = cost
        while self._through + 1 in self._beyond:
            self._through += 1
            del self._beyond[self._through]

    def _start_from_a_total(self) -> None:
        newest = max((entry.path for entry in self.store.list(f"{TOTALS}/")), default=None)
        total = self._read(newest) if newest else None
        if total is not None:
            self._through = self._totalled = total["through"]
            self._next, self.spent = total["through"] + 1, total["spent"]

    def _write_total(self) -> None:
        if self._through - self._totalled >= _TOTAL_EVERY:
            total = {"through": self._through, "spent": self.spent - math.fsum(self._beyond.values())}
            self.store.write(f"{TOTALS}/{self._through:08d}.json", seal(total, FORMAT))
            self._totalled = self._through

    def _read(self, path: str) -> dict[str, Any] | None:
        return _read(self.store, path)


def damaged(store: Store, named: Iterable[int] = ()) -> Iterator[IntegrityError]:
    """What is wrong with the log, document by document. Reads all of it. `named`: the leases that paid for answers."""
    names = [entry.path.rpartition("/")[2].removesuffix(".json") for entry in store.list(f"{LEASES}/")]
    there = {int(name) for name in names if name.isdigit()}
    taken = {int(name.partition("-")[0]) for name in names if name[:8].isdigit()} | {n for n in named if n >= 0}
    yield from (_gone(store, number) for number in range(max(taken, default=-1) + 1) if number not in there)
    for folder in (LEASES, LOST, TOTALS):
        for entry in store.list(f"{folder}/"):
            try:
                _read(store, entry.path)
            except IntegrityError as error:
                yield error


def _gone(store: Store, number: int) -> IntegrityError:
    return IntegrityError(
        f"lease {number} of the money log is gone",
        where=store.locate(_lease_path(number)),
        fix="restore it from a backup. Where there is none, say what it came to at most, so that the cap holds: "
        f'write `{{"spent": <US dollars>, "lost": 0}}` to {_settled_path(number)}',
    )


def _read(store: Store, path: str) -> dict[str, Any] | None:
    try:
        data = store.read(path)
    except NotFound:
        return None
    where, fix = store.locate(path), "restore it from a backup: nothing else says what was spent"
    document = unseal(data, FORMAT, what="the money log", where=where, fix=fix)
    document.pop("format")
    if missing := _fields(path) - document.keys():
        raise IntegrityError(f"the money log lacks {', '.join(sorted(missing))}", where=where, fix=fix)
    return document


def _fields(path: str) -> set[str]:
    """What a document of the log says at least."""
    if path.startswith(TOTALS):
        return {"through", "spent"}
    if path.startswith(LOST):
        return {"lost"}
    return {"spent", "lost"} if path.endswith("-settled.json") else {"number", "owner", "amounts", "in_flight"}


def _lease_path(number: int) -> str:
    return f"{LEASES}/{number:08d}.json"


def _settled_path(number: int) -> str:
    return f"{LEASES}/{number:08d}-settled.json"


def _lost_prefix(number: int) -> str:
    return f"{LOST}/{number:08d}-"
