"""Money over time: when the answers of a version were bought, as the ledger remembers it.

Every answer is an object, so of many only some are read: 400 at even steps through their keys, which are hashes, each standing
for as many dollars as the others. An answer that an earlier version bought stands at the time when it was bought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import fsum

from presel.concurrency.ahead import ahead, shared_pool
from presel.errors import IntegrityError
from presel.instruct.ledger import Ledger
from presel.report.gallery import spread
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import TableRef

READ = 400
_READERS = 16


@dataclass(frozen=True)
class Spending:
    """Points of a rising line: seconds since the first answer, and US dollars that were spent until then."""

    points: tuple[tuple[float, float], ...]
    read: int
    answers: int
    first: str
    """When the first answer came, as it is to be printed."""


def spending(instructed: Sequence[TableRef]) -> Spending | None:
    """Of INSTRUCTIONS tables. None where fewer than two answers are in the ledger."""
    costs: dict[str, float] = {}
    for ref in instructed:
        rows = table_store.read(ref, ["request", "cost_usd"])
        known = zip(rows["request"].to_pylist(), rows["cost_usd"].to_pylist(), strict=True)
        costs |= {request: cost or 0.0 for request, cost in known if request}
    if not instructed or not costs:
        return None
    ledger = Ledger(open_store(instructed[0].store))

    def bought(request: str) -> tuple[float, float] | None:
        try:
            answer = ledger.find(request)
        except IntegrityError:  # `presel verify` says which
            return None
        return None if answer is None else (datetime.fromisoformat(answer.answered).timestamp(), costs[request])

    some = spread(sorted(costs), READ)
    times = sorted(found for found in ahead(bought, some, shared_pool("ledger", _READERS), window=64) if found)
    read = fsum(cost for _, cost in times)
    if len(times) < 2:
        return None
    scale = fsum(costs.values()) / read if read else 0.0
    start, spent, points = times[0][0], 0.0, [(0.0, 0.0)]
    for time, cost in times:
        spent += cost * scale
        points.append((time - start, spent))
    first = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Spending(tuple(points), len(times), len(costs), first)
