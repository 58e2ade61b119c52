"""The pacer in simulated time: what it lets through, and when."""

from __future__ import annotations

import itertools
import math
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.instruct.endpoint.limits import Bucket, Pace, backoff, retry_after, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120ms", 0.12),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("2", 2),
        ("0.5", 0.5),
        ("", None),
        ("soon", None),
        ("-1", None),
    ],
)
def test_durations_as_rate_headers_write_them(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


def test_retry_after_in_all_its_forms() -> None:
    from datetime import UTC, datetime

    date = format_datetime(datetime.fromtimestamp(1_000_007, UTC), usegmt=True)
    assert retry_after({"retry-after": "3"}) == 3
    assert retry_after({"retry-after-ms": "150", "retry-after": "3"}) == 0.15
    assert retry_after({"retry-after": date}, now=1_000_000) == 7
    assert retry_after({"retry-after": date}, now=2_000_000) == 0
    assert retry_after({"retry-after": "after lunch"}) is None
    assert retry_after({}) is None


@given(st.integers(0, 30))
def test_backoff_is_anywhere_below_its_bound(attempt: int) -> None:
    assert 0 <= backoff(attempt) <= min(30.0, 0.5 * 2**attempt)


@pytest.mark.parametrize("limit", [3, 60, 100, 600, 10_000])
def test_a_limit_is_used_to_97_percent_and_never_passed_in_any_minute(limit: int) -> None:
    bucket, now, sent = Bucket(limit), 0.0, []
    while now < 300:
        wait = bucket.delay(now, 1)
        now += wait
        if wait == 0:
            bucket.take(now, 1)
            sent.append(now)
        else:
            now += 1e-4  # a loop that is always a little late
    first = 0
    for last, at in enumerate(sent):
        while sent[first] <= at - 60:
            first += 1
        assert last - first + 1 <= limit
    assert len(sent) >= 0.97 * limit * 300 / 60


def test_tokens_are_given_back_when_fewer_were_used() -> None:
    pace = Pace(64, tokens_per_minute=60_000)
    now = 0.0
    for _ in range(30):
        now += pace.delay(now, 2000) if pace.delay(now, 2000) < math.inf else 0
        pace.start(now, 2000)
        pace.succeeded(now, {}, 2000, 500)
    assert now < 60 * 30 * 2000 / 60_000 / 2


def test_a_throttled_burst_shrinks_the_window_once_and_stops_everybody() -> None:
    pace = Pace(64)
    pace.window = 40.0
    for _ in range(10):
        pace.start(1.0, 1)
    for _ in range(10):
        pace.throttled(2.0, {"retry-after": "5"}, started=1.0, tries=0)
    assert pace.window == 30.0
    assert pace.delay(2.0, 1) == 5.0
    assert pace.delay(7.0, 1) == 0.0


def test_the_window_doubles_until_the_first_429_and_then_grows_slowly() -> None:
    pace = Pace(64)
    for _ in range(8):
        pace.start(0.0, 1)
    for _ in range(8):
        pace.succeeded(0.1, {}, 1, 1)
    assert pace.window == 16
    pace.start(0.2, 1)
    pace.throttled(0.3, {}, started=0.2, tries=0)
    for _ in range(25):
        pace.start(1.0, 1)
        pace.succeeded(1.1, {}, 1, 1)
    assert pace.window == pytest.approx(13)


def test_headers_teach_limits_that_the_configuration_leaves_open() -> None:
    open_pace, set_pace = Pace(8), Pace(8, requests_per_minute=10)
    for pace in (open_pace, set_pace):
        pace.heed(0.0, {"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "499"})
    assert (open_pace.requests.per_minute, set_pace.requests.per_minute) == (500, 10)


def test_a_known_limit_is_used_from_the_first_second_and_evenly() -> None:
    configured, told = Pace(48, requests_per_minute=600), Pace(48)
    told.heed(0.0, {"x-ratelimit-limit-requests": "600"})
    for pace in (configured, told):
        started, now = 0, 0.0
        while now < 2.0:
            if pace.delay(now, 1) == 0:
                pace.start(now, 1)
                started += 1
            now += 0.001
        assert 20 <= started <= 23


def test_nothing_left_until_a_time_means_waiting_until_then() -> None:
    pace = Pace(8)
    pace.heed(
        0.0,
        {
            "x-ratelimit-limit-requests": "5",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "0m50s",
        },
    )
    assert pace.delay(0.0, 1) == 50


@pytest.mark.parametrize("unknown", ["-1", "0"])
def test_limits_that_mean_unknown_are_ignored(unknown: str) -> None:
    pace = Pace(8)
    pace.heed(
        0.0,
        {
            "x-ratelimit-limit-requests": unknown,
            "x-ratelimit-remaining-requests": unknown,
            "x-ratelimit-reset-requests": "60s",
        },
    )
    assert pace.requests.per_minute is None
    assert pace.delay(0.0, 1) == 0


def test_the_breaker_opens_when_most_fail_probes_alone_and_closes_on_success() -> None:
    pace = Pace(64)
    for now in range(10):
        pace.start(float(now), 1)
        pace.failed(float(now), {})
    opened = pace.delay(9.0, 1)
    assert 0 < opened <= 60
    pace.start(9.0 + opened, 1)  # the probe
    assert pace.delay(9.0 + opened, 1) == math.inf
    pace.succeeded(10.0 + opened, {}, 1, 1)
    assert pace.delay(10.0 + opened, 1) == 0


def test_a_breaker_that_keeps_opening_waits_longer() -> None:
    pace, now, waits = Pace(64), 0.0, []
    for _ in range(10):
        pace.start(now, 1)
        pace.failed(now, {})
    for _ in range(6):
        waits.append(pace.delay(now, 1))
        now += waits[-1]
        pace.start(now, 1)
        pace.failed(now, {})
    assert all(later > earlier * 0.99 for earlier, later in itertools.pairwise(waits))
