"""The cap holds for eight processes on one store, counted at the endpoint by what it bills, whatever that is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from presel.instruct.money.purse import spending
from presel.storage import open_store
from tests.instruct.hostile import TURNS, answer, hostile
from tests.instruct.pools import PRICES, Pool
from tests.instruct.run_stage import Worker

WORKERS, IMAGES = 8, 12


class Bills:
    """What an endpoint charges, by the usage it would bill."""

    def __init__(self, tokens: tuple[int, int], said: Mapping[str, Any] | None) -> None:
        self.tokens, self.said, self.answers = tokens, said, 0

    def __call__(self, _times: int) -> bytes:
        self.answers += 1
        return answer(TURNS, usage=self.said)

    @property
    def usd(self) -> float:
        read, written = self.tokens
        return self.answers * (PRICES.input_per_million * read + PRICES.output_per_million * written) / 1e6


THOUGHT = {"prompt_tokens": 400, "completion_tokens": 20, "completion_tokens_details": {"reasoning_tokens": 700}}
PROVIDERS = {
    "as estimated": ((400, 100), {"prompt_tokens": 400, "completion_tokens": 100}, 0.010),
    "longer than the limit": ((400, 4000), {"prompt_tokens": 400, "completion_tokens": 4000}, 0.24),
    "dearer pictures": ((12_000, 100), {"prompt_tokens": 12_000, "completion_tokens": 100}, 0.20),
    "no usage": ((400, 700), None, 0.06),
    "thinking beside the answer": ((400, 720), THOUGHT, 0.06),
}
"""What is billed for an answer, what `usage` says of it, and the cap: each allows about a third of all answers."""
QUICK = ("longer than the limit", "no usage")
SYSTEM = bool(os.environ.get("PRESEL_SYSTEM"))
ASKED = {name: provider for name, provider in PROVIDERS.items() if (name in QUICK) is not SYSTEM}
"""The others in `make test-system`: eight processes take their time."""


@pytest.mark.parametrize(("tokens", "said", "cap"), ASKED.values(), ids=ASKED.keys())
def test_eight_workers_of_which_two_are_killed_never_pass_the_cap(
    tokens: tuple[int, int], said: Mapping[str, Any] | None, cap: float, tmp_path: Path
) -> None:
    bills = Bills(tokens, said)
    pools = [Pool(tmp_path, IMAGES, f"task{number}") for number in range(WORKERS)]
    with hostile(pools[0], dict.fromkeys(range(IMAGES), bills), latency=0.05) as endpoint:
        workers = []
        for number in range(WORKERS):
            died = ["--die-at-answer", 3] if number < 2 else []
            asked = ["--images", IMAGES, "--task", f"task{number}", "--max-cost", cap, *died]
            workers.append(Worker(tmp_path, endpoint.url, IMAGES, *asked))
        ends = [worker.wait(600) for worker in workers]
    assert 7 in ends
    assert set(ends[2:]) <= {0, 7}
    money = spending(open_store(str(tmp_path / "store")))
    assert bills.usd <= money["spent_usd"] + 1e-12  # sums of the same cents in another order
    assert money["spent_usd"] <= cap
    assert money["spent_usd"] > cap / 2
