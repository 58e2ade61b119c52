"""Answers that can nearly all not be used end a run in words, and no stage spends more than was announced for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from presel.errors import BudgetExceeded, EndpointRefused
from presel.instruct.ledger import Ledger
from presel.instruct.money.allowance import Allowance
from presel.instruct.money.bounds import at_most
from presel.instruct.money.purse import spending
from presel.storage import open_store
from tests.instruct.hostile import TURNS, Says, answer, hostile
from tests.instruct.pools import Pool, generator, rows

USAGE = {"prompt_tokens": 2000, "completion_tokens": 800}
BAD = {
    "thinks its limit away": answer("", finish="length", usage=USAGE),
    "empty": answer("", usage=USAGE),
    "prose": answer("It is a lovely picture of something.", usage=USAGE),
    "refuses": answer("I'm sorry, but I can't help with that.", usage=USAGE),
}


def always(raw: bytes) -> Says:
    return lambda _times: raw


@pytest.mark.parametrize("said", BAD.values(), ids=BAD.keys())
def test_a_run_whose_answers_can_all_not_be_used_ends_within_what_was_announced(said: bytes, tmp_path: Path) -> None:
    pool = Pool(tmp_path, images=60)
    with hostile(pool, {i: always(said) for i in range(60)}) as endpoint:
        settings = generator(endpoint.url, concurrency=8)
        with pytest.raises((EndpointRefused, BudgetExceeded)) as caught:
            pool.instruct(settings, picked=30)
        spent = spending(open_store(pool.store))
        assert spent["spent_usd"] <= at_most({"shapes": 30}, settings)
        assert spent["reserved_usd"] == 0
        assert endpoint.requests.total() <= 90, "its reserve was hardly touched"
    if isinstance(caught.value, EndpointRefused):
        assert caught.value.exit_code == 6
        assert "the last 20" in str(caught.value)
        keys = {key for key in Ledger(open_store(pool.store)).all_keys() if key in str(caught.value)}
        assert len(keys) == 3, "the first three answers can be looked at"


def test_some_answers_that_cannot_be_used_hand_their_seats_on(tmp_path: Path) -> None:
    """A third of all, and fifteen in a row at the beginning."""
    pool = Pool(tmp_path, images=90)
    bad = [i for i in range(90) if i < 15 or i % 3 == 0]
    with hostile(pool, {i: always(BAD["refuses"]) for i in bad}) as endpoint:
        ref = pool.instruct(generator(endpoint.url, concurrency=1), picked=30)
    assert (len(rows(ref)), ref.rejects > 15) == (30, True)


def test_a_dear_answer_for_one_seat_has_room_to_be_asked_again(pool: Pool) -> None:
    cut = answer(TURNS[:30], finish="length", usage=USAGE)
    with hostile(pool, {0: lambda times: cut if times == 1 else answer(usage=USAGE)}) as endpoint:
        assert pool.instruct(generator(endpoint.url), picked=1, images=1).rows == 1


def test_bills_of_ten_times_the_bound_stop_at_what_was_announced(tmp_path: Path) -> None:
    pool = Pool(tmp_path, images=60)
    dear = answer(usage={"prompt_tokens": 30_000, "completion_tokens": 8_000})
    with hostile(pool, {i: always(dear) for i in range(60)}) as endpoint:
        settings = generator(endpoint.url, concurrency=1)
        with pytest.raises(BudgetExceeded, match="announced"):
            pool.instruct(settings, picked=60)
    bound = at_most({"shapes": 60}, settings)
    assert 0.5 * bound < spending(open_store(pool.store))["spent_usd"] <= 1.1 * bound


def test_there_is_room_again_when_a_bill_is_lower_than_its_bound() -> None:
    allowance = Allowance()
    assert len(allowance.affordable([("a", 1e9)])) == 1, "whoever announces nothing has the cap alone"
    allowance.announce(1, 1.0, 0.5)
    allowance.announce(1, 1.0, 0.5)
    assert len(allowance.affordable([("a", 1.5), ("b", 1.0), ("c", 0.1)])) == 2
    allowance.hold(2.5)
    assert not allowance.affordable([("c", 0.1)])
    allowance.settle(2.5, 0.5)
    assert len(allowance.affordable([("c", 2.0)])) == 1
    with pytest.raises(BudgetExceeded, match="announced"):
        allowance.affordable([("d", 2.1)])


def test_a_judge_is_in_the_announced_price() -> None:
    plain: Any = generator("http://localhost")
    judged = plain.model_copy(update={"prompt": plain.prompt.model_copy(update={"judge": "It is right."})})
    assert at_most({"a": 10}, judged) > 2 * at_most({"a": 10}, plain)
    assert json.dumps(at_most({"a": 0}, plain)) == "0.0"
