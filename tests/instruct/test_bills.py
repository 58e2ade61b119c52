"""Bills that nobody expected: what a gateway's time-out, an absurd usage or a new price does to the cap."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from presel.errors import BudgetExceeded, IntegrityError
from presel.instruct.ledger import Ledger
from presel.instruct.money.owners import Owner
from presel.instruct.money.prices import Estimator, Usage, price_of, published
from presel.instruct.money.purse import Purse, spending
from presel.instruct.questions.request import opening
from presel.runs.housekeeping.verify import damaged
from presel.storage import open_store
from tests.instruct.hostile import Says, answer, failure, hostile
from tests.instruct.pools import PRICES, Pool, generator


def spent(pool: Pool) -> float:
    return spending(open_store(pool.store))["spent_usd"]


@pytest.mark.parametrize("status", [504, 524])
def test_a_time_out_of_a_gateway_counts_as_its_reservation(status: int, pool: Pool) -> None:
    says: Says = lambda times: failure(status) if times == 1 else answer()  # noqa: E731
    with hostile(pool, {0: says}) as endpoint:
        pool.instruct(generator(endpoint.url), picked=1)
    (bought,) = Ledger(open_store(pool.store)).answers()
    assert endpoint.requests[0] == 2
    assert spent(pool) > 5 * bought.cost_usd


@pytest.mark.parametrize(
    "usage", [{"completion_tokens": 10_000_000}, {"prompt_tokens": 10_000_000}, {"total_tokens": 9e14}]
)
def test_a_usage_beyond_all_sense_counts_as_reserved_and_is_said(
    usage: dict[str, int], pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    absurd = answer(usage={"prompt_tokens": 100, "completion_tokens": 20, **usage})
    with caplog.at_level(logging.WARNING), hostile(pool, {3: lambda _: absurd}) as endpoint:
        assert pool.instruct(generator(endpoint.url, max_cost=0.1), picked=12).rows == 12
    assert "it counts as reserved" in caplog.text
    assert spent(pool) < 0.01
    assert endpoint.requests.total() == 12


@pytest.mark.parametrize("times", [30, 100])
def test_after_the_first_bill_that_surprises_one_request_at_a_time_is_asked(times: int, tmp_path: Path) -> None:
    """The bound: the cap, and by how much the requests that were in flight at the surprise were under-reserved."""
    pool, in_flight, cap = Pool(tmp_path, images=150), 16, 0.5
    answered = []

    def says(_: int) -> bytes:
        answered.append(1)
        dear = times if len(answered) > 40 else 1
        return answer(usage={"prompt_tokens": 1000 * dear, "completion_tokens": 800 * dear})

    one = (PRICES.input_per_million * 1000 + PRICES.output_per_million * 800) / 1e6
    with hostile(pool, dict.fromkeys(range(150), says), latency=0.01) as endpoint, pytest.raises(BudgetExceeded):
        pool.instruct(generator(endpoint.url, max_cost=cap, concurrency=in_flight), picked=150)
    dear = endpoint.requests.total() - 40
    assert spent(pool) == pytest.approx(40 * one + dear * times * one)
    assert spent(pool) <= max(cap, 40 * one + in_flight * times * one)


def test_a_bill_that_is_as_dear_as_the_last_surprise_is_none() -> None:
    settings = generator("http://a/v1")
    estimator, request = Estimator(price_of(settings)), opening("c" * 64, "t", settings)
    dear = Usage(100 * published(request).input_tokens, 100 * request.output_limit, True)
    assert estimator.learn(request, dear)
    for left in (2, 1, 0):
        assert estimator.unproven == left + 1
        assert not estimator.learn(request, dear)
        assert estimator.unproven == left


def purse(folder: Path, cap: float = 1.0) -> Purse:
    store = open_store(str(folder))
    owner = Owner(store)
    owner.beat()
    return Purse(store, cap, owner, 2)


def spend(money: Purse, leases: int, usd: float) -> None:
    for number in range(leases):
        lease = money.lease([(f"{number}", usd)]).lease
        assert lease is not None
        money.settle(lease, spent=usd, lost=0.0)


@pytest.mark.parametrize("lost", [0, 3, 5])
def test_a_lease_whose_file_is_lost_counts_as_settled_and_is_noticed(lost: int, tmp_path: Path) -> None:
    spend(purse(tmp_path), 6, 0.15)
    (tmp_path / f"ledger/leases/{lost:08d}.json").unlink()
    assert purse(tmp_path).lease([("x", 0.2)]).exhausted
    assert spending(open_store(str(tmp_path)))["spent_usd"] == pytest.approx(0.9)
    assert [str(lost) in error.what for error in damaged(open_store(str(tmp_path)))] == [True]


def test_a_lost_lease_of_which_nobody_knows_what_it_came_to_stops_whoever_would_spend(tmp_path: Path) -> None:
    money = purse(tmp_path)
    spend(money, 3, 0.1)
    for name in ("00000001.json", "00000001-settled.json"):
        (tmp_path / "ledger/leases" / name).unlink()
    with pytest.raises(IntegrityError, match="lease 1 of the money log is gone") as caught:
        purse(tmp_path).lease([("x", 0.2)])
    assert "00000001-settled.json" in str(caught.value.fix)
    (tmp_path / "ledger/leases/00000001-settled.json").write_text('{"spent": 0.7, "lost": 0}')
    assert purse(tmp_path).lease([("x", 0.2)]).exhausted


def test_the_last_lease_is_missed_where_an_answer_names_it(tmp_path: Path) -> None:
    spend(purse(tmp_path), 2, 0.1)
    assert [error.what for error in damaged(open_store(str(tmp_path)), [-1, 0, 2])] == [
        "lease 2 of the money log is gone"
    ]


@pytest.mark.parametrize("name", ["00000001.json", "00000001-settled.json"])
def test_an_empty_document_in_the_money_log_is_said_in_words(name: str, tmp_path: Path) -> None:
    spend(purse(tmp_path), 3, 0.1)
    (tmp_path / "ledger/leases" / name).write_text(json.dumps({}))
    with pytest.raises(IntegrityError, match="lacks"):
        purse(tmp_path).lease([("x", 0.2)])
