"""kill -9 at random moments of a refresh that buys an answer for every image, again and again: what is paid, what comes out.

`PRESEL_KILLS` says how often: 2 kills of a pool of 60 images by default; from 50 on the pool has 2,000. The moments are drawn
from a seed, over what the endpoint has been asked so far and the milliseconds after it, so they fall between a request and
its answer, inside writes, in the leases, and into the stages around.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from presel.config import (
    BudgetConfig,
    DatasetConfig,
    EncoderConfig,
    GeneratorConfig,
    ReferenceModelConfig,
    RefreshConfig,
    SelectionConfig,
    SourceConfig,
)
from presel.demo.endpoint import looks, serve
from presel.demo.endpoint.server import Endpoint
from presel.instruct.ledger import Ledger
from presel.instruct.money.purse import spending
from presel.storage import open_store
from tests.instruct.nursery import ADDRESS, Nursery, nursery
from tests.instruct.pools import KEY_VARIABLE, PRICES, picture

KILLS = int(os.environ.get("PRESEL_KILLS", "2"))
IMAGES = 2000 if KILLS >= 50 else 60
IN_FLIGHT = 8
ON_THE_WAY = {"rate_limit": 0.02, "server_error": 0.03, "reset": 0.02, "slow": 0.02, "truncated": 0.02}
IN_THE_ANSWER = {"refusal": 0.02, "wrong_schema": 0.04, "fenced": 0.1, "length": 0.02, "filtered_400": 0.02}


@contextmanager
def provider() -> Iterator[Endpoint]:
    with serve(looks, faults={**ON_THE_WAY, **IN_THE_ANSWER}, seed=9, latency=0.08) as endpoint:
        yield endpoint


def refresh_of(root: Path, store: str) -> RefreshConfig:
    """Everything that is usable is instructed, so that the ways of a rejected sample's seat end in shortfall, too."""
    return RefreshConfig(
        source=SourceConfig(uri=str(root / "pool")),
        store=str(root / store),
        encoder=EncoderConfig(name="builtin"),
        budget=BudgetConfig(share=0.95),
        generator=GeneratorConfig(
            model="m", base_url=f"${{{ADDRESS}}}", api_key_env=KEY_VARIABLE, max_cost=100.0, prices=PRICES, timeout=20.0,
            concurrency=IN_FLIGHT, image_side=64,
        ),
        reference_model=ReferenceModelConfig(model="builtin", fit="none"),
        selection=SelectionConfig(near_duplicate=None),
        dataset=DatasetConfig(name="killed"),
    )  # fmt: skip


def paid_twice(endpoint: Endpoint) -> int:
    """Answers that were delivered whole to a request that had one already."""
    whole = [e for e in endpoint.requests if e.billed and e.fault in (None, "slow")]
    return sum(times - 1 for times in Counter(exchange.request for exchange in whole).values())


def bytes_of(store: Path) -> dict[str, str]:
    """Digest of every file of the published version and of every table of instructions."""
    version = [f for f in (store / "datasets/killed/1").iterdir() if f.name not in {"manifest.json", "claim.json"}]
    tables = list((store / "tables/instruct").rglob("*.parquet"))
    return {str(f.relative_to(store)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(version + tables)}


def kill(nursery: Nursery, config: RefreshConfig, endpoint: Endpoint, moments: random.Random) -> bool:
    """Whether a refresh was killed before it had ended by itself."""
    process = nursery.start(endpoint.url, config)
    asked = endpoint.counts.total + moments.randint(0, 2 * IMAGES // (KILLS + 1))
    late = moments.random() * 0.2
    deadline = time.monotonic() + 600
    while endpoint.counts.total < asked and Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(late)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    return nursery.end() == -signal.SIGKILL


def test_kill_9_at_random_moments_costs_the_requests_in_flight_and_not_a_byte_of_the_dataset(tmp_path: Path) -> None:
    for i in range(IMAGES):
        folder = tmp_path / "pool" / f"task{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:05d}.jpg").write_bytes(picture(i))
    moments = random.Random(2026)
    with nursery() as runs:
        with provider() as calm:
            runs.start(calm.url, refresh_of(tmp_path, "calm"))
            assert runs.end() == 0
        with provider() as endpoint:
            killed = refresh_of(tmp_path, "killed")
            kills = sum(kill(runs, killed, endpoint, moments) for _ in range(KILLS))
            runs.start(endpoint.url, killed)
            assert runs.end() == 0
            asked = endpoint.counts.total
            runs.start(endpoint.url, killed)
            assert runs.end() == 0
            assert endpoint.counts.total == asked
    assert paid_twice(calm) == 0
    twice, money = paid_twice(endpoint), spending(open_store(killed.store))
    answers = len(list(Ledger(open_store(killed.store)).all_keys()))
    print(
        f"\n{kills} kills, {asked} requests, {answers} answers kept, {twice} paid twice, bound {kills * IN_FLIGHT}, {money}"
    )
    print(f"undisturbed: {calm.counts.total} requests, {spending(open_store(str(tmp_path / 'calm')))}")
    assert kills > KILLS // 2
    assert twice <= kills * IN_FLIGHT
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "calm")
    assert answers == len(list(Ledger(open_store(str(tmp_path / "calm"))).all_keys()))
    billed = (
        PRICES.input_per_million * endpoint.counts.input_tokens
        + PRICES.output_per_million * endpoint.counts.output_tokens
    ) / 1e6
    assert billed <= money["spent_usd"] <= 100.0
    assert money["reserved_usd"] == 0
