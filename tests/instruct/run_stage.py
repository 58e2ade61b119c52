"""Workers in processes of their own, that can be killed: `worker(ROOT, URL, PICKED, ...)`.

They are forked from one process that has imported everything, which saves two seconds of CPU for each of the thirty of
them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from presel.errors import PreselError
from presel.instruct.batch.client import BatchClient
from presel.instruct.batch.log import BatchLog
from presel.instruct.batch.run import Runner
from presel.instruct.ledger import Answer, Ledger
from presel.instruct.money.purse import paid_here
from presel.storage import open_store
from tests.instruct.pools import BATCH, Pool, generator


def die_at_answer(number: int) -> None:
    """kill -9 when the n-th answer has arrived and is not yet written."""
    keep, seen = Ledger.keep, []

    def keep_or_die(self: Ledger, answer: Answer) -> Answer:
        seen.append(answer)
        if len(seen) >= number:
            os.kill(os.getpid(), signal.SIGKILL)
        return keep(self, answer)

    Ledger.keep = keep_or_die  # type: ignore[method-assign]


BATCH_STEPS: dict[str, tuple[type, str]] = {
    "upload": (Runner, "create"),
    "intent": (BatchLog, "intend"),
    "create": (BatchClient, "create"),
    "id": (BatchLog, "begun"),
    "poll": (Runner, "reap"),
    "download": (Ledger, "keep"),
}
"""kill -9 just before this."""


def die_before(step: str) -> None:
    owner, name = BATCH_STEPS[step]
    setattr(owner, name, lambda *_args, **_kwargs: os.kill(os.getpid(), signal.SIGKILL))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("url")
    parser.add_argument("picked", type=int)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--task", default="shapes")
    parser.add_argument("--label", default="")
    parser.add_argument("--max-cost", type=float, default=10.0)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--die-at-answer", type=int)
    parser.add_argument("--batch", action="store_true")
    parser.add_argument("--die-before", choices=BATCH_STEPS)
    asked = parser.parse_args(arguments)
    if asked.die_before:
        die_before(asked.die_before)
    if asked.die_at_answer:
        die_at_answer(asked.die_at_answer)
    pool = Pool(asked.root, asked.images, asked.task)
    mode = {"mode": "batch", "batch": BATCH} if asked.batch else {}
    settings = generator(asked.url, concurrency=asked.concurrency, max_cost=asked.max_cost, **mode)
    try:
        ref = pool.instruct(settings, asked.picked)
    except PreselError as error:
        print(json.dumps({"error": type(error).__name__, "text": str(error)}))
        return error.exit_code
    print(json.dumps({"rows": ref.rows, "digest": ref.digest, "paid": paid_here(open_store(pool.store))}))
    return 0


class Worker:
    """A process that instructs; `said` is what it did."""

    def __init__(self, *arguments: object) -> None:
        self._out = Path(tempfile.mkstemp(suffix=".json")[1])
        words = [str(argument) for argument in arguments]
        self.process = _processes.Process(target=_work, args=(words, dict(os.environ), str(self._out)))
        self.process.start()

    @property
    def running(self) -> bool:
        return self.process.is_alive()

    def wait(self, timeout: float = 60) -> int:
        """Its exit code."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, "it does not end"
        return self.process.exitcode

    @property
    def said(self) -> dict[str, Any]:
        text = self._out.read_text()
        assert text, "it said nothing"
        return dict(json.loads(text))


def _work(arguments: list[str], environment: dict[str, str], out: str) -> None:
    os.environ.update(environment)
    with Path(out).open("w") as file:
        sys.stdout = file
        code = main(arguments)
    sys.exit(code)


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["openai", "tests.instruct.run_stage", "presel.instruct.endpoint.client"])
