"""The server itself: a thread with an event loop on a free port of 127.0.0.1, that counts everything it is asked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

from presel.demo.endpoint.answers import Annotate, Question, completion, disguised, failure, understood
from presel.demo.endpoint.faults import Faults
from presel.demo.endpoint.files import Batches
from presel.demo.endpoint.http import Incoming, Reply, receive, reply, send
from presel.demo.endpoint.listening import listening
from presel.demo.endpoint.verdicts import asks_for_a_verdict, verdict

Refuses = Callable[[Incoming], Reply | None]


@dataclass
class Counts:
    """What the endpoint was asked. `billed` is what a provider would put on the bill, lost answers included."""

    total: int = 0
    """Live requests."""
    batched: int = 0
    """Lines of batches that were worked through."""
    answered: int = 0
    billed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    most_at_once: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def document(self) -> dict[str, Any]:
        return {**vars(self), "faults": dict(self.faults)}


@dataclass(frozen=True)
class Exchange:
    """One request and what became of it."""

    at: float
    """Seconds on the monotonic clock, at arrival."""
    request: str
    """Digest of the request body."""
    picture: str
    """Digest of the picture that was sent."""
    status: int
    fault: str | None
    billed: bool


class Endpoint:
    """A running endpoint. Its counts and requests may be read at any time."""

    def __init__(
        self,
        annotate: Annotate,
        faults: Faults,
        latency: float,
        requests_per_minute: int | None,
        key: str | None,
        batch_seconds: float = 0.0,
        refuses: Refuses | None = None,
        logprobs: bool = True,
    ) -> None:
        self._logprobs = logprobs
        self._refuses = refuses or (lambda _: None)
        self.counts = Counts()
        self.requests: list[Exchange] = []
        self.url = ""
        self._annotate, self._faults, self._latency, self._key = annotate, faults, latency, key
        self._limit = requests_per_minute
        self._recent: deque[float] = deque()
        self._times: Counter[str] = Counter()
        self._at_once = 0
        self.batches = Batches(self._line, faults.of_a_batch, batch_seconds)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client's connection until it closes."""
        with suppress(ConnectionError, asyncio.CancelledError):  # cancelled when the server stops
            while (incoming := await receive(reader)) is not None:
                self._at_once += 1
                self.counts.most_at_once = max(self.counts.most_at_once, self._at_once)
                try:
                    answer = self._reply(incoming)
                    if self._latency:
                        await asyncio.sleep(self._latency)
                    reusable = await send(writer, answer, slowness=max(0.2, self._latency))
                finally:
                    self._at_once -= 1
                if not reusable:
                    break
        writer.close()

    def _reply(self, incoming: Incoming) -> Reply:
        if self._key is not None and incoming.headers.get("authorization") != f"Bearer {self._key}":
            return reply(401, failure("invalid_api_key", "Incorrect API key provided."))
        if incoming.path.endswith("/counts"):
            return reply(200, self.counts.document())
        if incoming.path.endswith("/models"):
            return reply(200, {"object": "list", "data": [{"id": "demo-annotator", "object": "model"}]})
        if not incoming.path.endswith("/chat/completions"):
            return self._file_or_batch(incoming)
        self.counts.total += 1
        if refused := self._refuses(incoming):
            return self._noted(None, "refused", refused, None)
        try:
            question = understood(incoming.body)
        except (ValueError, KeyError, TypeError) as error:
            return self._noted(None, "", reply(400, failure("invalid_request", str(error))), None)
        return self._chat(question)

    def _chat(self, question: Question) -> Reply:
        self._times[question.digest] += 1
        now = time.monotonic()
        if self._over_the_limit(now):
            return self._noted(question, "limit", self._throttle(question.digest), now)
        fault = self._faults.on_the_way(question.digest, self._times[question.digest])
        if fault == "rate_limit":
            return self._noted(question, fault, self._throttle(question.digest), now)
        if fault == "server_error":
            status = 500 if self._times[question.digest] % 2 else 503
            return self._noted(question, fault, reply(status, failure("server_error", "The server had an error.")), now)
        if fault == "html":
            page = Reply(200, b"<html><body>502 Bad Gateway</body></html>", {}, "whole", "text/html")
            return self._noted(question, fault, page, now, billed=True)
        if fault in ("error_in_200", "error_in_choice"):
            body = disguised(question, fault == "error_in_choice")
            return self._noted(question, fault, reply(200, body), now)
        manner = fault if fault in ("reset", "slow", "hang", "truncated") else "whole"
        return self._answer(question, fault, manner, now)

    def _answer(self, question: Question, on_the_way: str | None, manner: str, now: float) -> Reply:
        status, body, fault = self._answered(question)
        if status != 200:
            return self._noted(question, fault, reply(status, body, manner=manner), now)
        if fault is not None:
            self.counts.faults[fault] += 1
        return self._noted(question, on_the_way, reply(200, body, self._headers(now), manner), now, billed=True)

    def _answered(self, question: Question) -> tuple[int, Any, str | None]:
        """Status, body, and the fault that spoiled the answer. What is answered is billed."""
        fault = self._faults.of_the_answer(question.digest)
        if fault == "filtered_400":
            return 400, failure("content_filter", "The picture was flagged by our policy."), fault
        try:
            if asks_for_a_verdict(question):
                body = verdict(question, self._logprobs)
            else:
                turns = self._annotate(question.picture, question.words, question.body)
                body = completion(question, turns, fault)
        except (ValueError, OSError) as error:
            return 400, failure("invalid_request", str(error)), None
        usage = body.get("usage", {})
        self.counts.input_tokens += usage.get("prompt_tokens", 0)
        self.counts.output_tokens += usage.get("completion_tokens", 0)
        return 200, body, fault

    # --- batches -----------------------------------------------------------------------------------------------------

    def _line(self, raw: bytes) -> tuple[int, Any]:
        """One line of a batch. Of the faults on the way only those can happen that are not about a connection."""
        self.counts.batched += 1
        if refused := self._refuses(Incoming("POST", "/v1/chat/completions", {"authorization": "a batch"}, raw)):
            return refused.status, json.loads(refused.body)
        question = understood(raw)
        self._times[question.digest] += 1
        on_the_way = self._faults.on_the_way(question.digest, self._times[question.digest])
        if on_the_way in ("server_error", "rate_limit"):
            status = 429 if on_the_way == "rate_limit" else 500
            spoiled = reply(status, failure(on_the_way, "Not now."))
            self._noted(question, on_the_way, spoiled, None)
            return status, failure(on_the_way, "Not now.")
        if on_the_way in ("error_in_200", "error_in_choice"):
            body = disguised(question, on_the_way == "error_in_choice")
            self._noted(question, on_the_way, reply(200, body), None)
            return 200, body
        status, body, fault = self._answered(question)
        self._noted(question, fault, reply(status, body), None, billed=status == 200)
        return status, body

    def _file_or_batch(self, incoming: Incoming) -> Reply:
        """With faults on the way: what was asked is done all the same when only the word of it is lost."""
        about = hashlib.sha256(f"{incoming.method}{incoming.path}".encode() + incoming.body).hexdigest()
        self._times[about] += 1
        fault = self._faults.on_the_way(about, self._times[about])
        if fault:
            self.counts.faults[f"{fault} ({incoming.method} {incoming.path.split('/')[2]})"] += 1
        if fault == "rate_limit":
            return self._throttle(about)
        if fault == "server_error":
            return reply(500, failure("server_error", "The server had an error."))
        done = self.batches.reply(incoming) or reply(404, failure("not_found", f"no such path: {incoming.path}"))
        if fault == "html":
            return Reply(200, b"<html><body>502 Bad Gateway</body></html>", {}, "whole", "text/html")
        if fault in ("error_in_200", "error_in_choice"):
            return reply(200, failure("server_error", "The server had an error."))
        return replace(done, manner=fault or "whole")

    def _noted(
        self, question: Question | None, fault: str | None, answer: Reply, now: float | None, billed: bool = False
    ) -> Reply:
        if fault:
            self.counts.faults[fault] += 1
        self.counts.billed += billed
        self.counts.answered += billed and answer.manner in ("whole", "slow") and fault != "html"
        self.requests.append(
            Exchange(
                time.monotonic() if now is None else now,
                question.digest if question else "",
                hashlib.sha256(question.picture).hexdigest() if question else "",
                answer.status,
                fault or None,
                billed,
            )
        )
        return answer

    # --- rates -------------------------------------------------------------------------------------------------------

    def _over_the_limit(self, now: float) -> bool:
        """A sliding window of one minute."""
        if self._limit is None:
            return False
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if len(self._recent) >= self._limit:
            return True
        self._recent.append(now)
        return False

    def _throttle(self, about: str) -> Reply:
        """429, with `Retry-After` in one of its three forms."""
        form = int(about[:2], 16) % 3
        wait: Mapping[str, str] = (
            {"retry-after": "1"},
            {"retry-after-ms": "150"},
            {"retry-after": formatdate(time.time() + 1, usegmt=True)},
        )[form]
        answer = reply(429, failure("rate_limit_exceeded", "Rate limit reached.", "requests"))
        return replace(answer, headers=wait)

    def _headers(self, now: float) -> dict[str, str]:
        if self._limit is None:
            return {}
        left = self._limit - len(self._recent)
        reset = 60 - (now - self._recent[0]) if self._recent else 0.0
        return {
            "x-ratelimit-limit-requests": str(self._limit),
            "x-ratelimit-remaining-requests": str(left),
            "x-ratelimit-reset-requests": f"{reset:.3f}s",
        }


@contextmanager
def serve(
    annotate: Annotate,
    *,
    faults: str | Mapping[str, float] = "none",
    seed: int = 0,
    latency: float = 0.0,
    requests_per_minute: int | None = None,
    key: str | None = None,
    port: int = 0,
    batch_seconds: float = 0.0,
    refuses: Refuses | None = None,
    logprobs: bool = True,
) -> Iterator[Endpoint]:
    """Run an endpoint for the length of a block.

    `annotate` gives the turns for a picture (a ValueError of it is answered with 400); `faults` is a profile's name
    or shares of your own; `latency` in seconds; `requests_per_minute` is enforced over a sliding minute; `key`: any
    other API key is refused; `batch_seconds`: how long a batch takes; `refuses`: what a
    server says to requests that it does not take; `logprobs`: whether it gives log-probabilities.

    Raises ConfigError when the port is taken.
    """
    endpoint = Endpoint(
        annotate, Faults(faults, seed), latency, requests_per_minute, key, batch_seconds, refuses, logprobs
    )
    with listening(endpoint.connection, port) as endpoint.url:
        yield endpoint
