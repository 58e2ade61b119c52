"""A paid answer is in our hands: a store that fails for a moment must not cost it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from presel.errors import StorageUnavailable
from presel.instruct.endpoint.limits import backoff
from presel.instruct.ledger import Answer, Ledger

TRIES = 6


async def keep(ledger: Ledger, answer: Answer, io: Callable[..., Awaitable[Any]]) -> Answer:
    """Make an answer durable, trying for a while; returns the one that counts. Raises StorageUnavailable after six tries."""
    kept: Answer = await insisted(io, ledger.keep, answer)
    return kept


async def insisted(io: Callable[..., Awaitable[Any]], work: Callable[..., Any], *args: Any) -> Any:
    """What `work` returns, called up to six times while the store is away. `io` runs something blocking off the loop."""
    for attempt in range(TRIES - 1):
        try:
            return await io(work, *args)
        except StorageUnavailable:
            await asyncio.sleep(backoff(attempt))
    return await io(work, *args)
