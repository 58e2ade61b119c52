"""An error that comes with status 200 is a failure of the moment: never an answer, whoever kept it once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from presel.demo.endpoint import looks, serve
from presel.errors import EndpointUnavailable
from presel.instruct.ledger import FOLDER, Answer, Ledger, _encoded, line
from presel.storage import open_store
from tests.instruct.pools import Pool, generator, rows

_VOID: list[dict[str, Any]] = [
    {"error": {"code": 429, "message": "upstream"}, "choices": [{"message": {"content": None}}]},
    {"choices": [{"error": {"code": 502}, "message": {"role": "assistant", "content": '{"turns": [{"q'}}], "usage": {}},
    {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": '{"turns"'}, "finish_reason": "error"}], "usage": {"prompt_tokens": 9}},
    {"choices": []},
]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presel.instruct.sending.backoff", lambda *_: 0.01)
    monkeypatch.setattr("presel.instruct.endpoint.limits.Breaker.delay", lambda *_: 0.0)


@pytest.mark.parametrize("kind", ["error_in_200", "error_in_choice"])
def test_errors_with_status_200_end_the_run_and_the_next_one_asks_again(
    kind: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = generator("${PRESEL_TEST_URL}", attempts=2)
    with serve(looks, faults={kind: 1.0}) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        with pytest.raises(EndpointUnavailable, match="rate-limited upstream") as caught:
            pool.instruct(settings, picked=12)
    assert caught.value.exit_code == 6
    assert not list(Ledger(open_store(pool.store)).all_keys())
    with serve(looks) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        assert pool.instruct(settings, picked=12).rows == 12


def test_what_an_older_release_kept_of_this_kind_is_asked_again_once_and_stays_where_it_is(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, ledger = generator("${PRESEL_TEST_URL}"), Ledger(open_store(pool.store))
    with serve(looks) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        first = rows(pool.instruct(settings, picked=5))
    void = [replace(answer, body=body) for answer, body in zip(ledger.answers(), _VOID, strict=True)]
    for answer in void:
        open_store(pool.store).write(f"{FOLDER}/{answer.key[:2]}/{answer.key}.json", _encoded(answer))
        assert ledger.find(answer.key) is None
        assert set(line(answer)) >= {"key", "words"}
    for expected in (5, 0):
        pool.forget_tables()
        with serve(looks) as endpoint:
            monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
            assert rows(pool.instruct(settings, picked=5)) == first
            assert endpoint.counts.total == expected
    kept = list(ledger.answers())
    assert [answer for answer in kept if answer in void] == sorted(void, key=lambda answer: answer.key)
    assert len(kept) == 10


def test_of_two_answers_in_the_place_of_an_error_the_first_one_counts(pool: Pool) -> None:
    ledger = Ledger(open_store(pool.store))
    good = {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
    void = Answer("a" * 32, {"model": "m"}, 200, {"choices": []}, 0, 0, 0.0, False, 1, "")
    open_store(pool.store).create(f"{FOLDER}/aa/{'a' * 32}.json", _encoded(void))
    first, second = replace(void, body=good, lease=2), replace(void, body=good, lease=3)
    assert ledger.keep(first) == first
    assert ledger.keep(second) == first == ledger.find("a" * 32)
