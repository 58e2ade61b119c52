"""Headers come from outside: reading them never raises, and none of them makes a run wait for long without a word."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.instruct.endpoint import limits
from presel.instruct.endpoint.limits import LONGEST_PAUSE, Pace, retry_after, seconds
from tests.instruct.hostile import TURNS, answer, failure, hostile
from tests.instruct.pools import Pool, generator

NAMES = [
    "retry-after",
    "retry-after-ms",
    *(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
]
DAYS = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Sun", "", "x"]),
    *(st.integers(-9, 99),) * 1,
    st.sampled_from(["Jan", "Dec", "Foo"]),
    st.integers(-1, 10**12),
    *(st.integers(-9, 99),) * 3,
    st.sampled_from(["GMT", "+9999", "-9999", "", "EST", "+999999"]),
)
VALUES = st.one_of(
    st.text(max_size=40),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["9" * 5000, "1e999", "-1", "\u0661", "0x10", "99999999999999999999h", "1m" * 40, "NaN"]),
    DAYS,
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.integers(0, 10**6))
def test_whatever_a_header_says_it_is_read_and_no_pause_is_longer_than_the_longest(
    headers: dict[str, str], tokens: int
) -> None:
    wait = retry_after(headers, now=1.7e9)
    assert wait is None or 0 <= wait <= LONGEST_PAUSE
    assert all(found is None or found >= 0 for found in map(seconds, headers.values()))
    pace = Pace(8)
    pace.start(0.0, tokens)
    pace.heed(0.0, headers, tokens)
    pace.throttled(0.0, headers, -1.0, 1, tokens)
    pace.start(0.0, tokens)
    pace.failed(0.0, headers)
    pace.start(0.0, tokens)
    pace.succeeded(0.0, headers, tokens, tokens)
    wait = pace.delay(0.0, tokens)
    assert math.isfinite(wait)
    assert wait <= LONGEST_PAUSE + 4 * 30 / limits.USE


@pytest.mark.parametrize(
    "header",
    [
        "retry-after: Mon, 01 Jan 99999999999 00:00:00 GMT",
        "retry-after: Fri, 31 Dec 9999 23:59:59 -2359",
        "retry-after: Mon, 01 Jan 0001 00:00:00 +2359",
        f"retry-after: {'9' * 400}",
    ],
)
@pytest.mark.parametrize("status", [429, 500])
def test_an_absurd_time_to_wait_until_hangs_nothing(
    header: str, status: int, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr("presel.instruct.sending.backoff", lambda *_: 0.01)
    said = failure(status, "x", "no", header)
    with hostile(pool, {0: lambda times: said if times == 1 else answer()}) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=3)
    assert (ref.rows, endpoint.requests[0]) == (3, 2)


@pytest.mark.parametrize("limit", ["x-ratelimit-limit-tokens: 1", "x-ratelimit-limit-requests: 1"])
def test_a_limit_that_cannot_be_meant_is_said_and_not_believed(
    limit: str, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    limits._said.clear()
    started = time.monotonic()
    with hostile(pool, {i: lambda _: answer(TURNS, limit) for i in range(12)}) as endpoint:
        assert pool.instruct(generator(endpoint.url), picked=12).rows == 12
    assert time.monotonic() - started < 10
    assert sum(limit.partition(":")[0] in record.getMessage() for record in caplog.records) == 1


def test_a_pause_of_a_day_is_said_and_asked_about_again(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limits._said.clear()
    monkeypatch.setattr(limits, "LONGEST_PAUSE", 0.05)
    said = failure(429, "x", "no", "retry-after: 86400")
    with hostile(pool, {0: lambda times: said if times == 1 else answer()}) as endpoint:
        assert pool.instruct(generator(endpoint.url), picked=3).rows == 3
    assert any("86,400 s" in record.getMessage() for record in caplog.records if record.levelname == "WARNING")


def test_whatever_is_waited_for_the_log_says_so(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("presel.instruct.sending._LOOK_EVERY", 0.05)
    monkeypatch.setattr("presel.instruct.sending._LONGEST_SILENCE", 0.1)
    with hostile(pool, {}, latency=0.6) as endpoint:
        assert pool.instruct(generator(endpoint.url), picked=2).rows == 2
    assert any("requests are under way" in record.getMessage() for record in caplog.records)
