"""The ledger at full size: 150,000 paid answers (15 % of a million images), or 1,500,000 (of ten).

    python -m benchmarks.ledger /big/folder --answers 150000
    python -m benchmarks.ledger s3 --answers 5000             against moto, over HTTP: what a request more or less costs

Answers and money leases are written as the engine writes them, 128 to a lease; on a folder without waiting for the disk (step
`durable` times that on 2,000). Then, each in a process of its own: a purse is opened and leases; keys that exist and keys
that do not are looked up; the ledger is counted, exported, listed and checked. Printed: wall and CPU seconds, peak memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from presel.config.keys import short_digest
from presel.demo.setting import s3_server
from presel.errors import IntegrityError
from presel.instruct import ledger as book
from presel.instruct.ledger import Answer, Ledger
from presel.instruct.money.lease_log import LeaseLog
from presel.instruct.money.owners import Owner
from presel.instruct.money.purse import Purse
from presel.storage import Store, open_store

A_LEASE = 128
LOOKED_UP = 20_000
_REQUEST = {
    "model": "made up",
    "base_url": "http://127.0.0.1:9/v1",
    "messages": [{"role": "user", "content": "q" * 900}],
}
_BODY = {"choices": [{"message": {"content": "a" * 400}}], "usage": {"prompt_tokens": 900, "completion_tokens": 80}}


def key(number: int) -> str:
    return short_digest("answer", str(number))


def answer(number: int) -> Answer:
    return Answer(
        key(number), _REQUEST, 200, _BODY, 900, 80, 0.0005, True, number // A_LEASE, "2026-11-24T00:00:00+00:00"
    )


class Undurable:
    """The same files, without waiting for the disk: a million waits say how fast the disk is and nothing else."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def create(self, path: str, data: bytes) -> None:
        file = Path(self._store.uri) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def fill(store: Store, count: int) -> str:
    fast: Store = Undurable(store) if not store.uri.startswith("s3://") else store  # type: ignore[assignment]
    ledger, log = Ledger(fast), LeaseLog(fast, "filler")
    for start in range(0, count, A_LEASE):
        numbers = range(start, min(count, start + A_LEASE))
        lease = log.claim({key(number): 0.001 for number in numbers}, in_flight=32)
        assert lease is not None
        for number in numbers:
            ledger.keep(answer(number))
        log.settle(lease, 0.0005 * len(numbers), 0.0)
    return f"{count:,} answers, {count // A_LEASE + 1:,} leases"


def durable(store: Store, count: int) -> str:
    ledger = Ledger(store)
    for number in range(count, count + 2000):
        ledger.keep(answer(number))
    return "2,000 answers kept, each on the disk before the next"


def purse(store: Store, _count: int) -> str:
    """What a run pays before its first request, and for one lease."""
    opened = Purse(store, 1e9, Owner(store), 32)
    opened.clear()
    grant = opened.lease([(f"new-{time.time()}-{number}", 0.001) for number in range(A_LEASE)])
    assert grant.lease is not None
    opened.settle(grant.lease, 0.0, 0.0)
    return f"${opened.spent():,.2f} spent"


def look_up(store: Store, count: int) -> str:
    ledger, step = Ledger(store), max(1, count // LOOKED_UP)
    found = sum(ledger.find(key(number)) is not None for number in range(0, count, step))
    missed = sum(ledger.find(short_digest("nobody asked", str(number))) is None for number in range(0, count, step))
    return f"{found:,} found, {missed:,} not there"


def stats(store: Store, _count: int) -> str:
    return f"{book.stats(Ledger(store))[0]['answers']:,} answers"


def export(store: Store, _count: int) -> str:
    return f"{sum(len(line) for line in book.export(Ledger(store))) / 1e6:,.0f} MB"


def keys(store: Store, _count: int) -> str:
    return f"{sum(1 for _ in Ledger(store).all_keys()):,} keys"


def check(store: Store, _count: int) -> str:
    wrong = sum(isinstance(found, IntegrityError) for _, found in Ledger(store).checked())
    return f"{wrong} faults"


STEPS: dict[str, Callable[[Store, int], str]] = {
    "fill": fill,
    "durable": durable,
    "open a purse": purse,
    "look up": look_up,
    "stats": stats,
    "export": export,
    "list keys": keys,
    "check all": check,
}


def measured(step: str, store: Store, count: int) -> None:
    started, cpu = time.perf_counter(), time.process_time()
    said = STEPS[step](store, count)
    wall, spent = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {step} | {wall:,.1f} | {spent:,.1f} | {peak:,.0f} | {said} |", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("place", help="a folder, or s3")
    options.add_argument("--answers", type=int, default=150_000)
    options.add_argument("--step", nargs="+", choices=STEPS, default=list(STEPS))
    asked = options.parse_args()
    if asked.place != "s3" and len(asked.step) == 1:
        measured(asked.step[0], open_store(asked.place), asked.answers)
        return
    print(
        f"load {os.getloadavg()[0]:.1f}; {asked}\n| step | wall s | CPU s | peak MB | |\n|---|---|---|---|---|",
        flush=True,
    )
    if asked.place == "s3":
        with s3_server() as root:
            for step in asked.step:
                measured(step, open_store(f"{root}/ledger-at-size"), asked.answers)
        return
    for step in asked.step:
        command = [sys.executable, "-m", "benchmarks.ledger", asked.place, f"--answers={asked.answers}", "--step", step]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
