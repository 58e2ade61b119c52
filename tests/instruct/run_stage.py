"""A worker in a process of its own: `run_stage.py ROOT URL PICKED [...]`. Prints what it did as JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from presel.errors import PreselError
from presel.instruct.ledger import Answer, Ledger
from tests.instruct.pools import Pool, generator


def die_at_answer(number: int) -> None:
    """kill -9 when the n-th answer has arrived and is not yet written."""
    keep, seen = Ledger.keep, []

    def keep_or_die(self: Ledger, answer: Answer) -> Answer:
        seen.append(answer)
        if len(seen) >= number:
            os.kill(os.getpid(), signal.SIGKILL)
        return keep(self, answer)

    Ledger.keep = keep_or_die  # type: ignore[method-assign]


def main() -> int:
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
    asked = parser.parse_args()
    if asked.die_at_answer:
        die_at_answer(asked.die_at_answer)
    pool = Pool(asked.root, asked.images, asked.task)
    settings = generator(asked.url, concurrency=asked.concurrency, max_cost=asked.max_cost)
    try:
        ref = pool.instruct(settings, asked.picked)
    except PreselError as error:
        print(json.dumps({"error": type(error).__name__, "text": str(error)}))
        return error.exit_code
    print(json.dumps({"rows": ref.rows, "digest": ref.digest}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
