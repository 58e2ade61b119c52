"""How fast to ask: one pacer a process and endpoint, fed with every answer. Arithmetic only: time comes in as a number.

Four brakes, the tightest counts:
- a window of requests in flight: where no limit is known, doubled per round trip until the first 429, then AIMD (x0.75
  on a 429, +1 per 25 successes). A known limit needs no careful beginning, which would waste 3 % of the first minute;
- requests and tokens per minute as a leaky bucket (GCRA): evenly spaced, 99 % of the limit. What is late is caught up on, a
  quarter of a second at most and 0.8 % of the limit. Together that stays below the limit in every window of 60 s, uses at least
  97 % of it, and is no burst to a server that counts by the second;
- a pause that the server asked for (`Retry-After`, or a rate header that says nothing is left until then): nobody sends;
- a circuit breaker: more than half of the last 20 tries failed without an answer, so wait, then send one probe.

A 429 costs a request nothing, and is not counted among its tries. One that gets it again and again while others are answered
has a reason of its own, such as a picture too large for the limit (sending.py). Headers come from outside: reading them
never raises, and none is believed for longer than a minute.
"""

from __future__ import annotations

import email.utils
import logging
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
LONGEST_PAUSE = 60.0
"""Seconds for which a header is believed: after that one request finds out, at no cost, whether it still holds."""
PROBE_PAUSE = 60.0
"""Seconds at most between two probes of an endpoint that answers nobody."""
_TRUSTED = 2
_SLOWEST = 30.0
"""Seconds from one request to the next below which a limit in a header is not meant as one per minute (or is a mistake)."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_said: dict[str, float] = {}
log = logging.getLogger(__name__)


def seconds(text: str | None) -> float | None:
    """A duration as rate headers write it (`6m0s`, `120ms`, `1.5`), or None."""
    if not text:
        return None
    text = text.strip()[:100]
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds a server asks us to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date; None if it does not say.

    Never raises, and never more than LONGEST_PAUSE: what is longer is said, and then asked again.
    """
    milliseconds, asked = seconds(headers.get("retry-after-ms")), headers.get("retry-after")
    wait = seconds(asked) if milliseconds is None else milliseconds / 1000
    if wait is None and asked:
        try:
            then = email.utils.parsedate_to_datetime(asked[:100]).timestamp()
        except (ValueError, OverflowError, TypeError, IndexError, OSError):
            return None  # a date that no calendar has
        wait = then - (time.time() if now is None else now)
    return None if wait is None else _believed(max(wait, 0.0), "asks to wait")


def _believed(wait: float, what: str) -> float:
    if wait > LONGEST_PAUSE:
        _say(what, f"the endpoint {what} for {wait:,.0f} s: it is asked again in {LONGEST_PAUSE:.0f} s")
    return min(wait, LONGEST_PAUSE)


def _say(about: str, words: str) -> None:
    """In the log, once a minute about the same thing: thousands of answers may carry the same header."""
    now = time.monotonic()
    if now - _said.get(about, -math.inf) > 60.0:
        _said[about] = now
        log.warning("%s", words)


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

    def learn(self, per_minute: float, now: float) -> None:
        """Take a limit over; what is owed under the former one is owed at the new pace."""
        if self.per_minute is not None and per_minute > self.per_minute:
            self.due = now + max(0.0, self.due - now) * self.per_minute / per_minute
        self.per_minute = per_minute

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
            self.until = now + min(PROBE_PAUSE, 0.5 * 2**self.opened) * random.uniform(0.5, 1.0)
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
        self.heed(now, headers, tokens)

    def throttled(self, now: float, headers: Mapping[str, str], started: float, tries: int, tokens: int = 1) -> None:
        """A 429. Everybody waits; the window shrinks once per round trip, not once per refused request of the same burst."""
        self.in_flight -= 1
        self._slow_start = False
        if started > self._shrunk_at:
            self.window = max(1.0, self.window * 0.75)
            self._shrunk_at = now
        asked = retry_after(headers)
        own = backoff(tries) if asked is None or tries > _TRUSTED else 0.0  # `Retry-After: 0`, and then 429 again
        self.pause(now + max(asked or 0.0, own))
        self.breaker.probing = False
        self.heed(now, headers, tokens)

    def failed(self, now: float, headers: Mapping[str, str], again: bool = False) -> None:
        """No answer: a 5xx, a reset, a time-out, a broken body. `again`: this request has failed before.

        The breaker counts requests, not tries: three pictures that a server chokes on are not a server that is down.
        """
        self.in_flight -= 1
        if not again or self.breaker.probing:
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

    def paused(self, now: float) -> float:
        """Seconds left of a pause that the endpoint asked for."""
        return max(0.0, self._paused_until - now)

    def heed(self, now: float, headers: Mapping[str, str], tokens: int = 1) -> None:
        """Learn limits that the configuration leaves open, and wait where a header says that nothing is left.

        Azure and some proxies send -1 or 0 for "I do not know": limits below 1 are ignored, and so is an empty remainder
        without a time at which it fills again. A limit that lets a request like the one just answered (`tokens`) pass less than
        twice a minute is per second, or a mistake: not believed. If it was meant, there will be a 429.
        """
        for bucket, name, learns, amount in (
            (self.requests, "requests", self._learns[0], 1),
            (self.tokens, "tokens", self._learns[1], tokens),
        ):
            limit = _number(headers.get(f"x-ratelimit-limit-{name}"))
            if learns and limit is not None and 1 <= limit < 60.0 * amount / _SLOWEST:
                said = f"the endpoint announces x-ratelimit-limit-{name}: {limit:g}, which cannot be meant per minute"
                _say(name, said)
            elif learns and limit is not None and limit >= 1:
                bucket.learn(limit, now)
                if bucket is self.requests and self._slow_start:
                    self.window = float(self.most)
            left = _number(headers.get(f"x-ratelimit-remaining-{name}"))
            wait = seconds(headers.get(f"x-ratelimit-reset-{name}"))
            if left == 0 and wait and limit is not None and limit >= 1:
                self.pause(now + _believed(wait, f"says that no {name} are left"))


def _number(text: str | None) -> float | None:
    try:
        found = float(text) if text else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) else None
