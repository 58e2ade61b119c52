"""How fast to ask: one pacer a process and endpoint, fed with every answer. Arithmetic only: time comes in as a number.

Four brakes, the tightest counts:
- a window of requests in flight: where no limit is known, doubled per round trip until the first 429, then AIMD (x0.75
  on a 429, +1 per 25 successes). A known limit needs no careful beginning, which would waste 3 % of the first minute;
- requests and tokens per minute as a leaky bucket (GCRA): evenly spaced, 99 % of the limit. What is late is caught up on, a
  quarter of a second at most and 0.8 % of the limit. Together that stays below the limit in every window of 60 s, uses at least
  97 % of it, and is no burst to a server that counts by the second;
- a pause that the server asked for (`Retry-After`, or a rate header that says nothing is left until then): nobody sends;
- a circuit breaker: more than half of the last 20 tries failed without an answer, so wait, then send one probe.

A 429 costs a request nothing: it goes back to the front of the queue, and is not counted among its tries.
"""

from __future__ import annotations

import email.utils
import math
import random
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

USE = 0.99
"""The share of a limit that is used: a server's minute is not exactly ours."""
_CATCH_UP = 0.25
"""Seconds' worth of requests that may follow at once when our own loop was late."""
LONGEST_PAUSE = 600.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(text: str | None) -> float | None:
    """A duration as rate headers write it (`6m0s`, `120ms`, `1.5`), or None."""
    if not text:
        return None
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds a server asks us to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date; None if it does not say."""
    milliseconds = seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, LONGEST_PAUSE)
    asked = headers.get("retry-after")
    wait = seconds(asked)
    if wait is None and asked:
        try:
            wait = email.utils.parsedate_to_datetime(asked).timestamp() - (time.time() if now is None else now)
        except ValueError:
            return None
    return None if wait is None else min(max(wait, 0.0), LONGEST_PAUSE)


def backoff(attempt: int, base: float = 0.5, longest: float = 30.0) -> float:
    """Full jitter: anywhere between 0 and base x 2^attempt, so that a crowd does not come back as a crowd."""
    return random.uniform(0, min(longest, base * 2**attempt))


@dataclass
class Bucket:
    """A limit per minute as evenly spaced units (GCRA): `due` is when the next unit would be on time."""

    per_minute: float | None
    due: float = 0.0

    def delay(self, now: float, amount: float) -> float:
        """Seconds until `amount` units may pass."""
        if self.per_minute is None:
            return 0.0
        # An amount above the burst passes when the bucket is idle: it then blocks the bucket for as long as it takes.
        return max(0.0, self.due - now - max(self._burst() - amount, 0.0) * self._spacing())

    def take(self, now: float, amount: float) -> None:
        if self.per_minute is not None:
            self.due = max(self.due, now) + amount * self._spacing()

    def correct(self, amount: float) -> None:
        """Give back (negative) or take more, once the real amount is known."""
        if self.per_minute is not None:
            self.due += amount * self._spacing()

    def _spacing(self) -> float:
        return 60.0 / (self.per_minute or math.inf) / USE

    def _burst(self) -> float:
        return max(1.0, min(0.008, _CATCH_UP / 60) * (self.per_minute or 0.0))


@dataclass
class Breaker:
    """Opens when most of the recent tries failed; then one probe at a time until one succeeds."""

    size: int = 20
    least: int = 10
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=20))
    opened: int = 0
    """How often in a row it opened: each time waits longer."""
    until: float = 0.0
    probing: bool = False

    def delay(self, now: float) -> float:
        if not self.opened:
            return 0.0
        return math.inf if self.probing else max(0.0, self.until - now)

    def start(self) -> None:
        self.probing = bool(self.opened)

    def succeeded(self) -> None:
        if self.opened:
            self.recent.clear()
        self.opened, self.probing = 0, False
        self.recent.append(True)

    def failed(self, now: float) -> None:
        self.recent.append(False)
        if self.probing or self._tripped():
            self.opened += 1
            self.until = now + min(60.0, 0.5 * 2**self.opened) * random.uniform(0.5, 1.0)
            self.recent.clear()
        self.probing = False

    def _tripped(self) -> bool:
        return len(self.recent) >= self.least and sum(self.recent) * 2 < len(self.recent)


class Pace:
    """When the next request may start. Not thread-safe: it lives in the engine's loop."""

    def __init__(
        self, concurrency: int, requests_per_minute: int | None = None, tokens_per_minute: int | None = None
    ) -> None:
        self.most = concurrency
        self.window = float(concurrency if requests_per_minute else min(8, concurrency))
        self.in_flight = 0
        self.requests, self.tokens = Bucket(requests_per_minute), Bucket(tokens_per_minute)
        self.breaker = Breaker()
        self._learns = requests_per_minute is None, tokens_per_minute is None
        self._slow_start = True
        self._paused_until = 0.0
        self._shrunk_at = -math.inf

    def delay(self, now: float, tokens: int) -> float:
        """Seconds until a request of that size may start; infinity: not before one in flight ends."""
        if self.in_flight >= int(self.window):
            return math.inf
        return max(
            self._paused_until - now,
            self.requests.delay(now, 1),
            self.tokens.delay(now, tokens),
            self.breaker.delay(now),
            0.0,
        )

    def start(self, now: float, tokens: int) -> None:
        self.in_flight += 1
        self.requests.take(now, 1)
        self.tokens.take(now, tokens)
        self.breaker.start()

    def succeeded(self, now: float, headers: Mapping[str, str], tokens: int, used: int) -> None:
        """An answer came: `tokens` were reserved for it, `used` were used."""
        self.in_flight -= 1
        self.window = min(float(self.most), self.window + (1 if self._slow_start else 1 / 25))
        self.tokens.correct(used - tokens)
        self.breaker.succeeded()
        self.heed(now, headers)

    def throttled(self, now: float, headers: Mapping[str, str], started: float, tries: int) -> None:
        """A 429. Everybody waits; the window shrinks once per round trip, not once per refused request of the same burst."""
        self.in_flight -= 1
        self._slow_start = False
        if started > self._shrunk_at:
            self.window = max(1.0, self.window * 0.75)
            self._shrunk_at = now
        asked = retry_after(headers)
        self.pause(now + (asked if asked is not None else backoff(tries)))
        self.breaker.probing = False
        self.heed(now, headers)

    def failed(self, now: float, headers: Mapping[str, str]) -> None:
        """No answer: a 5xx, a reset, a time-out, a broken body."""
        self.in_flight -= 1
        self.breaker.failed(now)
        asked = retry_after(headers)
        if asked is not None:
            self.pause(now + asked)

    def ended(self) -> None:
        """Neither answer nor failure: the request was declined, or the run is over."""
        self.in_flight -= 1
        self.breaker.probing = False

    def pause(self, until: float) -> None:
        self._paused_until = max(self._paused_until, until)

    def heed(self, now: float, headers: Mapping[str, str]) -> None:
        """Learn limits that the configuration leaves open, and wait where a header says that nothing is left.

        Azure and some proxies send -1 or 0 for "I do not know": limits below 1 are ignored, and so is an empty remainder
        without a time at which it fills again.
        """
        for bucket, name, learns in (
            (self.requests, "requests", self._learns[0]),
            (self.tokens, "tokens", self._learns[1]),
        ):
            limit = _number(headers.get(f"x-ratelimit-limit-{name}"))
            if learns and limit is not None and limit >= 1:
                bucket.per_minute = limit
                if bucket is self.requests and self._slow_start:
                    self.window = float(self.most)
            left = _number(headers.get(f"x-ratelimit-remaining-{name}"))
            wait = seconds(headers.get(f"x-ratelimit-reset-{name}"))
            if left == 0 and wait and limit is not None and limit >= 1:
                self.pause(now + min(wait, LONGEST_PAUSE))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
