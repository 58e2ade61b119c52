"""One picture that an endpoint chokes on is a reject after bounded tries, for a day; the others go on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from presel.instruct.endpoint import limits
from presel.instruct.given_up import FOLDER, FORMAT
from presel.storage import open_store
from presel.storage.sealed import seal
from tests.instruct.hostile import Says, answer, failure, hostile, http
from tests.instruct.pools import Pool, generator, reasons

ATTEMPTS = 3


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "backoff", lambda *_: 0.02)
    monkeypatch.setattr("presel.instruct.sending.backoff", lambda *_: 0.02)
    monkeypatch.setattr("presel.instruct.sending._A_MINUTE", 0.2)


def always(raw: bytes) -> Says:
    return lambda _times: raw


def settings(**more: Any) -> Any:
    return generator("${PRESEL_TEST_URL}", attempts=ATTEMPTS, concurrency=4, **more)


BAD = {
    "server_error": http(500, b"CUDA out of memory"),
    "throttled": failure(429, "rate_limit_exceeded", "Request too large: limit 1000, requested 1700", "retry-after: 0"),
    "connection": b"",
    "declined": failure(400, "bad_request", "cannot identify image file"),
}


@pytest.mark.parametrize(("reason", "said"), BAD.items(), ids=BAD.keys())
def test_pictures_that_always_fail_are_rejects_for_a_day_while_the_others_go_on(
    reason: str, said: bytes, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(tmp_path, images=30)
    bad = {3: always(said), 4: always(said), 9: always(said)}
    with hostile(pool, bad) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        ref = pool.instruct(settings(), picked=20)
        assert (ref.rows, len(reasons(ref))) == (20, 3)
        assert set(reasons(ref)) <= {reason, "unavailable"}
        assert max(endpoint.requests[i] for i in bad) <= 8 * ATTEMPTS
        asked = endpoint.requests.total()
        again = pool.instruct(settings(), picked=20)
        assert (again.rows, reasons(again)) == (20, [reason] * 3), "whoever was answered after them has told"
        assert endpoint.requests.total() == asked, "a rerun does not try again"
    if reason == "declined":
        return  # the provider's word about the picture stands
    store = open_store(pool.store)
    for entry in list(store.list(f"{FOLDER}/")):
        document = json.loads(store.read(entry.path))
        assert document["until"] > datetime.now(UTC).isoformat()
        document["until"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        store.write(entry.path, seal({k: document[k] for k in ("reason", "detail", "until")}, FORMAT))
    with hostile(pool, {}) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        ref = pool.instruct(settings(), picked=20)
        assert (ref.rows, ref.rejects, endpoint.requests.total()) == (20, 0, 3), "another day asks again"
    assert not list(store.list(f"{FOLDER}/"))


def test_bad_pictures_that_come_last_do_not_end_the_run_and_the_next_one_knows_them(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left whose answers could tell: they may be asked again once, and whoever is answered then tells."""
    with hostile(pool, {i: always(http(500, b"")) for i in (7, 8, 9)}) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        first = pool.instruct(settings(), picked=10, images=10)
        assert (first.rows, len(reasons(first))) == (7, 3)
        asked = endpoint.requests.total()
        again = pool.instruct(settings(), picked=10)  # two more, which are answered
        assert again.rows == 9
        assert sum(endpoint.requests[i] for i in (7, 8, 9)) <= 3 * 4 * ATTEMPTS
        asked = endpoint.requests.total()
        assert (pool.instruct(settings(), picked=10).rows, endpoint.requests.total()) == (9, asked)


def test_a_picture_that_is_always_throttled_shrinks_nobodys_window(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, windows = Pool(tmp_path, images=60), []
    throttled = limits.Pace.throttled
    monkeypatch.setattr(
        limits.Pace, "throttled", lambda self, *args: (throttled(self, *args), windows.append(self.window))[0]
    )
    with hostile(pool, {0: always(BAD["throttled"])}) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        ref = pool.instruct(settings(), picked=50)
    assert (ref.rows, set(reasons(ref)) <= {"throttled", "unavailable"}) == (50, True)
    assert len(windows) <= 4, "from then on it waits by itself"
    assert endpoint.requests.total() - endpoint.requests[0] == 50


def test_whoever_is_throttled_like_everybody_else_is_never_given_up(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all requests four in five are told to wait, whatever they ask."""
    monkeypatch.setattr("presel.instruct.sending._A_MINUTE", 60.0)
    pool = Pool(tmp_path, images=25)
    slow = failure(429, "rate_limit_exceeded", "slow down", "retry-after-ms: 1")
    says = {i: lambda times: slow if times % 5 else answer() for i in range(25)}
    with hostile(pool, says) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        ref = pool.instruct(settings(), picked=25)
    assert (ref.rows, ref.rejects, endpoint.requests.total()) == (25, 0, 125)
