"""The cap holds: across requests, threads, processes and crashes."""

from __future__ import annotations

import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presel.demo.endpoint import Counts, looks, serve
from presel.errors import BudgetExceeded
from presel.instruct.ledger import Ledger
from presel.instruct.money import owners
from presel.instruct.money.owners import Owner
from presel.instruct.money.purse import Purse, spending
from presel.storage import open_store
from presel.storage.folder import FolderStore
from tests.instruct.pools import PRICES, Pool, generator
from tests.instruct.run_stage import Worker


def purse(folder: Path, cap: float = 1.0, in_flight: int = 2) -> Purse:
    store = open_store(str(folder))
    owner = Owner(store)
    owner.beat()
    return Purse(store, cap, owner, in_flight)


def bill(counts: Counts) -> float:
    """What the endpoint would charge."""
    return (PRICES.input_per_million * counts.input_tokens + PRICES.output_per_million * counts.output_tokens) / 1e6


def test_a_lease_covers_as_many_requests_as_the_cap_allows_in_their_order(tmp_path: Path) -> None:
    grant = purse(tmp_path).lease([("a", 0.4), ("b", 0.5), ("c", 0.2)])
    assert grant.lease is not None
    assert list(grant.lease.amounts) == ["a", "b"]


def test_what_is_settled_for_less_can_be_leased_again(tmp_path: Path) -> None:
    money = purse(tmp_path)
    first = money.lease([("a", 0.9)]).lease
    assert first is not None
    waiting = money.lease([("b", 0.9)])
    assert (waiting.lease, waiting.exhausted) == (None, False)
    money.settle(first, spent=0.05, lost=0.0)
    assert money.lease([("b", 0.9)]).lease is not None
    assert money.lease([("c", 0.9)]).lease is None


def test_the_cap_is_reached_when_no_open_lease_can_give_anything_back(tmp_path: Path) -> None:
    money = purse(tmp_path)
    lease = money.lease([("a", 0.9)]).lease
    assert lease is not None
    money.settle(lease, spent=0.9, lost=0.0)
    assert money.lease([("b", 0.2)]).exhausted


def test_a_request_that_another_live_worker_has_leased_is_held(tmp_path: Path) -> None:
    one, other = purse(tmp_path), purse(tmp_path)
    lease = one.lease([("a", 0.1), ("b", 0.1)]).lease
    grant = other.lease([("b", 0.1), ("c", 0.1)])
    assert lease is not None
    assert grant.lease is not None
    assert (set(grant.lease.amounts), grant.held) == ({"c"}, {"b"})
    one.settle(lease, 0.1, 0.0)
    afterwards = other.lease([("b", 0.1)])
    assert afterwards.check == {"b"}  # its answer may be in the ledger by now


def test_a_worker_elsewhere_counts_as_dead_only_after_its_heartbeat_stood_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = purse(tmp_path, in_flight=1)
    there = purse(tmp_path, in_flight=1)
    there.lease([("a", 0.4), ("b", 0.5)])
    beat = tmp_path / "ledger" / "workers" / f"{there.owner.id}.json"
    beat.write_text(json.dumps({**json.loads(beat.read_text()), "host": "another machine"}))
    clock = [1000.0]
    monkeypatch.setattr(owners, "_clock", lambda: clock[0])
    for seconds in (0, 40, 40):
        clock[0] += seconds
        assert here.lease([("c", 0.2)]).lease is None
    clock[0] += 20
    assert here.lease([("c", 0.2)]).lease is not None
    assert here.spent() == pytest.approx(0.5)  # one request could be in flight: the dearest may have been billed


def test_what_a_dead_worker_noted_as_lost_is_counted_beside_what_was_in_flight(tmp_path: Path) -> None:
    dead, heir = purse(tmp_path, in_flight=1), purse(tmp_path, in_flight=1)
    lease = dead.lease([("a", 0.1), ("b", 0.2), ("c", 0.3)]).lease
    assert lease is not None
    assert dead.lease([("d", 0.25)]).lease is not None  # one request may be in flight, not one of each lease
    dead.lose(lease, "a")
    beat = tmp_path / "ledger" / "workers" / f"{dead.owner.id}.json"
    beat.write_text(json.dumps({**json.loads(beat.read_text()), "pid": 2**22 + 1}))  # no such process
    heir.clear()
    assert heir.spent() == pytest.approx(0.1 + 0.3)


def test_a_create_that_was_retried_after_a_lost_answer_is_still_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = FolderStore.create

    def twice(self: FolderStore, path: str, data: bytes) -> None:
        create(self, path, data)
        create(self, path, data)

    monkeypatch.setattr(FolderStore, "create", twice)
    money = purse(tmp_path)
    lease = money.lease([("a", 0.9)]).lease
    assert lease is not None
    money.settle(lease, spent=0.2, lost=0.0)
    assert spending(open_store(str(tmp_path))) == {"spent_usd": 0.2, "reserved_usd": 0}


def test_totals_spare_reading_old_leases_and_say_the_same(tmp_path: Path) -> None:
    money = purse(tmp_path, cap=1000.0)
    for i in range(150):
        lease = money.lease([(str(i), 1.0)]).lease
        assert lease is not None
        money.settle(lease, spent=0.25, lost=0.25)
    store = open_store(str(tmp_path))
    assert [entry.path for entry in store.list("ledger/totals/")]
    assert spending(store) == {"spent_usd": pytest.approx(75.0), "reserved_usd": 0}


def test_a_lease_settled_beyond_an_open_one_is_counted_once_by_whoever_starts_from_a_total(tmp_path: Path) -> None:
    money = purse(tmp_path, cap=1000.0)
    leases = [money.lease([(str(i), 1.0)]).lease for i in range(66)]
    for number in (*range(63), 65, 63):  # 64 stays open, and the total that 63 completes must not hold 65
        money.settle(leases[number], spent=0.5, lost=0.0)  # type: ignore[arg-type]
    store = open_store(str(tmp_path))
    assert [entry.path for entry in store.list("ledger/totals/")] == ["ledger/totals/00000063.json"]
    assert spending(store) == {"spent_usd": pytest.approx(65 * 0.5), "reserved_usd": 1.0}
    money.settle(leases[64], spent=0.25, lost=0.0)  # type: ignore[arg-type]
    assert spending(store) == {"spent_usd": pytest.approx(65 * 0.5 + 0.25), "reserved_usd": 0}
    assert money.spent() == pytest.approx(65 * 0.5 + 0.25)


def test_of_two_settlements_of_a_lease_the_first_counts_and_once(tmp_path: Path) -> None:
    money, heir = purse(tmp_path), purse(tmp_path)
    lease = money.lease([("a", 0.9)]).lease
    assert lease is not None
    heir.settle(lease, spent=0.5, lost=0.25)
    for _ in range(2):
        money.settle(lease, spent=0.1, lost=0.0)
        assert money.spent() == 0.75


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.floats(0.01, 0.5), min_size=1, max_size=4), st.floats(0, 1)),
        max_size=25,
    )
)
def test_reservations_and_spending_never_pass_the_cap(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, list[float], float]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    workers = [purse(folder) for _ in range(3)]
    open_leases: list[tuple[Purse, object]] = []
    for number, (who, amounts, share) in enumerate(steps):
        grant = workers[who].lease([(f"{number}-{i}", amount) for i, amount in enumerate(amounts)])
        if grant.lease is not None:
            open_leases.append((workers[who], grant.lease))
        if share > 0.5 and open_leases:
            owner, lease = open_leases.pop(0)
            owner.settle(lease, spent=lease.amount * share, lost=0.0)  # type: ignore[attr-defined, arg-type]
        seen = spending(open_store(str(folder)))
        assert seen["spent_usd"] + seen["reserved_usd"] <= 1.0 + 1e-9


def test_racing_threads_never_lease_more_than_the_cap(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def worker(number: int) -> float:
        money = purse(tmp_path)
        start.wait()
        grants = [money.lease([(f"{number}-{i}", 0.07)]).lease for i in range(5)]
        return math.fsum(lease.amount for lease in grants if lease)

    with ThreadPoolExecutor(8) as threads:
        leased = math.fsum(threads.map(worker, range(8)))
    assert leased == pytest.approx(0.98)


def test_the_stage_stops_before_the_cap_and_keeps_what_it_has(pool: Pool) -> None:
    with serve(looks) as endpoint:
        with pytest.raises(BudgetExceeded, match="raise `max_cost`") as caught:
            pool.instruct(generator(endpoint.url, max_cost=0.003), picked=12)
        bought = endpoint.counts.total
        assert bill(endpoint.counts) <= 0.003
        assert 0 < bought < 12
        assert len(list(Ledger(open_store(pool.store)).all_keys())) == bought
        ref = pool.instruct(generator(endpoint.url, max_cost=1.0), picked=12)
    assert (ref.rows, endpoint.counts.total) == (12, 12)
    assert caught.value.exit_code == 7


def test_the_cap_holds_for_four_processes_of_which_one_is_killed(tmp_path: Path) -> None:
    cap = 0.014
    with serve(looks, latency=0.02) as endpoint:
        workers = []
        for number in range(4):
            Pool(tmp_path, 24, f"task{number}")
            died = ["--die-at-answer", 3] if number == 0 else []
            asked = ["--images", 24, "--task", f"task{number}", "--max-cost", cap, *died]
            workers.append(Worker(tmp_path, endpoint.url, 24, *asked))
        killed, *ended = [worker.wait(100) for worker in workers]
    stopped = [worker for worker, code in zip(workers[1:], ended, strict=True) if code == 7]
    assert killed == -9
    assert set(ended) <= {0, 7}  # whoever comes first may get all it wants
    assert stopped
    assert all(worker.said["error"] == "BudgetExceeded" for worker in stopped)
    spent = spending(open_store(str(tmp_path / "store")))
    assert bill(endpoint.counts) <= spent["spent_usd"] <= cap
    assert endpoint.counts.billed > 20  # most of it was put to use


def test_without_a_cap_everything_is_counted_all_the_same(pool: Pool) -> None:
    with serve(looks) as endpoint:
        pool.instruct(generator(endpoint.url, max_cost="unlimited"), picked=12)
    assert spending(open_store(pool.store))["spent_usd"] == pytest.approx(bill(endpoint.counts))
