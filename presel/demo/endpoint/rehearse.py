"""An endpoint that stays up until Ctrl-C or SIGTERM, and then says what it was asked."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable

from presel.demo.endpoint.answers import looks
from presel.demo.endpoint.server import serve


def rehearse(
    say: Callable[[str], object],
    *,
    faults: str = "none",
    port: int = 8765,
    seed: int = 0,
    latency: float = 0.0,
    requests_per_minute: int | None = None,
    batch_seconds: float = 5.0,
) -> None:
    """Serve until interrupted: see `serve` for the settings. The first line said is the address, the last one its counts."""
    with serve(
        looks,
        faults=faults,
        port=port,
        seed=seed,
        latency=latency,
        requests_per_minute=requests_per_minute,
        batch_seconds=batch_seconds,
    ) as endpoint:
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):  # set, not left as they are: a script's `&` has SIGINT ignored
            signal.signal(number, lambda *_: ended.set())
        say(f"{endpoint.url}  (faults: {faults}; counts at {endpoint.url}/counts; Ctrl-C ends it)")
        ended.wait()
        say(json.dumps(endpoint.counts.document()))
