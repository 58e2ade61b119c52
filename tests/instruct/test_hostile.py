"""What a broken, careless or malicious endpoint says never ends a run that could go on, and never costs more than its tries."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from presel.concurrency.progress import Progress, listening
from presel.errors import EndpointRefused, EndpointUnavailable
from presel.instruct import sending
from presel.instruct.endpoint import limits
from presel.instruct.ledger import Ledger
from presel.instruct.money.purse import spending
from presel.storage import open_store
from presel.tables import table_store
from tests.instruct.hostile import TURNS, answer, completion, failure, hostile, http
from tests.instruct.pools import Pool, generator, reasons, rows

ATTEMPTS = 2
BODY = json.dumps(completion())
CHUNKED = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"
DEEP = "[" * 200_000
UPSTREAM = {"code": 429, "message": "Provider returned error"}
SILENT = {"role": "assistant", "content": None}


def turns(question: Any = "What is it?", response: Any = "A picture.") -> str:
    return json.dumps({"turns": [{"question": question, "response": response}]})


GOOD: dict[str, bytes] = {
    "content in parts": answer([{"type": "text", "text": TURNS[:20]}, {"type": "text", "text": TURNS[20:]}]),
    "finish null": answer(finish=None),
    "finish unknown": answer(finish="because"),
    "finish is an object": answer(finish={"a": 1}),
    "usage missing": answer(usage=None),
    "usage zero": answer(usage={"prompt_tokens": 0, "completion_tokens": 0}),
    "usage negative": answer(usage={"prompt_tokens": -5, "completion_tokens": -1}),
    "usage in words": answer(usage={"prompt_tokens": "many", "completion_tokens": "few"}),
    "usage a list": answer(usage=[1, 2]),
    "usage not finite": http(200, BODY.replace("100", "1e999").replace("20,", "NaN,")),
    "usage absurd": answer(usage={"prompt_tokens": 10**15, "completion_tokens": 10**15}),
    "usage true": answer(usage={"prompt_tokens": True, "completion_tokens": True}),
    "another model": answer(model="something-else"),
    "gzip": http(200, gzip.compress(BODY.encode()), "content-encoding: gzip"),
    "chunked": http(200, CHUNKED, "transfer-encoding: chunked"),
    "continue first": b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
    "duplicate headers": answer(TURNS, "x-request-id: a", "x-request-id: b", "x-ratelimit-limit-requests: 5, 7"),
    "rates that are none": answer(
        TURNS,
        "x-ratelimit-limit-requests: inf",
        "x-ratelimit-remaining-requests: nan",
        "x-ratelimit-reset-requests: soon",
        "x-ratelimit-limit-tokens: -1",
        "x-ratelimit-remaining-tokens: 1e999",
        "x-ratelimit-reset-tokens: 99999999999999999999h",
    ),
    "latin-1 headers": answer(TURNS, "x-note: caf\xe9"),
    "a thought before": answer(f'<think>Perhaps {{"turns": []}}?</think>{TURNS}'),
    "two thoughts": answer(f"<think>[</think><thinking>{{</thinking>\n{TURNS}"),
    "a thought in a thought": answer(f"<think>a<think>b</think>c {{</think>{TURNS}"),
    "a thought without its beginning": answer(f'Well, {{"turns": [1]}}.\n</think>\n\n{TURNS}'),
    "a thought as a part": answer(
        [
            {"type": "thinking", "thinking": [{"type": "text", "text": "{"}]},
            {"type": "reasoning", "text": "["},
            {"type": "text", "text": TURNS},
        ]
    ),
    "thoughts of others": answer(f"[THINK]{{[/THINK]{TURNS}"),
    "channels": answer(f"<|channel|>analysis<|message|>{{<|end|><|start|>assistant<|channel|>final<|message|>{TURNS}"),
    "a sentence that quotes a thought": answer(turns("What does it say?", "It says </think>.")),
    "an error of no meaning": answer(f"```json\n{TURNS}\n```", error={"code": 0, "message": "success"}),
    "an error after the whole answer": answer(TURNS, finish="error"),
    "a list of one": http(200, f"[{BODY}]"),
    "fenced": answer(f"```json\n{TURNS}\n```"),
    "half of a bracket missing": answer(TURNS[:-2]),
    "NUL": answer(turns("What\x00 is it?", "A \x00picture.")),
    "lone surrogate": answer(turns("What is \ud800 it?", "A \udc00 picture.")),
    "lone surrogate beside it": answer(id="\ud800"),
    "invalid UTF-8": http(200, BODY.encode().replace(b"A picture", b"A \xff picture")),
    "escaped control characters": answer(turns("What\x07 is it?", "A\x1b[31m picture.")),
    "number beside the choices": http(200, BODY[:-1] + ', "n": 123456789012345678901234567890}'),
    "created": http(201, BODY),
    "a byte order mark": http(200, b"\xef\xbb\xbf" + BODY.encode()),
}
"""All of these hold an answer."""

REJECTS: dict[str, tuple[bytes, str, int]] = {
    "a thought that is never closed": (answer(f"<think>It may be {TURNS}"), "empty", 2),
    "half a sentence, null": (answer(TURNS[:-6], finish=None), "length", 2),
    "half a sentence, eos": (answer(TURNS[:-6], finish="eos"), "length", 2),
    "half a sentence, stop": (answer(TURNS[:-6]), "length", 2),
    "missing brackets, null": (answer(TURNS[:-2], finish=None), "length", 2),
    "missing brackets, unknown": (answer(TURNS[:-2], finish="because"), "length", 2),
    "missing brackets, model_length": (answer(TURNS[:-2], finish="model_length"), "length", 2),
    "missing brackets, MAX_TOKENS": (answer(TURNS[:-2], finish="MAX_TOKENS"), "length", 2),
    "missing brackets, max_tokens": (answer(TURNS[:-2], finish="FinishReason.max_tokens"), "length", 2),
    "SAFETY": (answer("", finish="SAFETY"), "content_filter", 1),
    "content null": (answer(None), "empty", 2),
    "only spaces": (answer(" \n\t "), "empty", 2),
    "tool calls": (answer(None, message={"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}), "empty", 2),
    "content an object": (answer({"turns": []}), "empty", 2),
    "message a string": (answer(message="hello"), "empty", 2),
    "message a list": (answer(message=[1]), "empty", 2),
    "length": (answer(TURNS[:30], finish="length"), "length", 2),
    "length and nothing": (answer("", finish="length"), "length", 2),
    "filter": (answer("", finish="content_filter"), "content_filter", 1),
    "refusal is an object": (answer(None, message={"refusal": {"why": "no"}, "content": None}), "refused", 1),
    "half JSON": (answer('{"turns": [{"quest'), "length", 2),
    "JSON of something else": (answer('{"a": 1}'), "invalid_json", 2),
    "turns of numbers": (answer('{"turns": [1, 2]}'), "schema", 2),
    "turns of turns": (answer('{"turns": {"turns": {"turns": 1}}}'), "invalid_json", 2),
    "deep JSON": (answer(DEEP), "invalid_json", 2),
    "deep list of turns": (answer('[{"turns":' * 5000), "invalid_json", 2),
    "5 MB of words": (answer("word " * 1_000_000), "invalid_json", 2),
    "5 MB in a turn": (answer(turns(response="word " * 1_000_000)), "too_long", 2),
    "5 MB of brackets": (answer("[{" * 2_500_000), "invalid_json", 2),
    "a leaked placeholder": (answer(turns("<image>\nWhat?")), "placeholder", 2),
    "response null": (answer(turns(response=None)), "schema", 2),
    "response of spaces": (answer(turns(response="  ")), "empty", 2),
    "response of control characters": (answer(turns(response="\x00\x01")), "empty", 2),
    "400": (failure(400), "declined", 1),
    "400 without words": (http(400, b""), "declined", 1),
    "400 with an odd body": (http(400, json.dumps({"error": ["a", {"b": 1}]})), "declined", 1),
    "400 with a number for a code": (failure(400, 17, {"a": 1}), "declined", 1),
    "400 with a lone surrogate": (failure(400, "x", "\ud800"), "declined", 1),
    "400 about the picture with a lone surrogate": (failure(400, "content_filter", "\ud800\x00"), "declined", 1),
    "413": (http(413, "<html>too large</html>", kind="text/html"), "declined", 1),
    "422": (http(422, json.dumps({"detail": [{"loc": ["body"], "msg": "bad"}]})), "declined", 1),
}  # fmt: skip
"""Name -> what is said, the reject's reason, the requests it takes."""

NO_ANSWER: dict[str, tuple[bytes, str]] = {
    "empty body": (http(200, b""), "broken_body"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "broken_body"),
    "accepted and nothing else": (http(202, b""), "broken_body"),
    "HTML": (http(200, "<html>502</html>", kind="text/html"), "broken_body"),
    "no choices": (http(200, '{"choices": []}'), "broken_body"),
    "choices null": (http(200, '{"choices": null, "usage": {"prompt_tokens": 5}}'), "broken_body"),
    "choices of strings": (http(200, '{"choices": ["a"]}'), "broken_body"),
    "JSON null": (http(200, "null"), "broken_body"),
    "deep body": (http(200, DEEP), "broken_body"),
    "deep body of objects": (http(200, '{"a":' * 100_000), "broken_body"),
    "as deep as can just be read": (http(200, BODY[:-1] + ', "x": ' + "[" * 900 + "]" * 900 + "}"), "broken_body"),
    "a number with 5,000 digits": (http(200, '{"choices": ' + "1" * 5000 + "}"), "broken_body"),
    "server-sent events": (http(200, f"data: {BODY}\n\ndata: [DONE]\n\n", kind="text/event-stream"), "broken_body"),
    "bad gzip": (http(200, b"not gzip", "content-encoding: gzip"), "broken_body"),
    "cut gzip": (http(200, gzip.compress(BODY.encode())[:40], "content-encoding: gzip"), "broken_body"),
    "cut": (http(200, BODY[:50], "connection: close", length=500), "connection"),
    "chunks that end": (http(200, CHUNKED[:60], "transfer-encoding: chunked", "connection: close"), "connection"),
    "chunks that are none": (http(200, "zz\r\nhello", "transfer-encoding: chunked", "connection: close"), "connection"),
    "reset": (b"", "connection"),
    "no HTTP": (b"hello, who is there?\r\n\r\nconnection: close", "connection"),
    "trickle": (http(200, BODY, "x-trickle: yes", "connection: close"), "timeout"),
    "408": (failure(408), "server_error"),
    "409": (failure(409), "server_error"),
    "500": (failure(500), "server_error"),
    "502 in HTML": (http(502, "<html>bad gateway</html>", kind="text/html"), "server_error"),
    "503": (http(503, b""), "server_error"),
    "504": (http(504, b"upstream"), "server_error"),
    "520": (http(520, b""), "server_error"),
    "529": (failure(529, "overloaded_error"), "server_error"),
    "599": (http(599, b""), "server_error"),
    "an error with status 200": (http(200, '{"error": {"message": "no", "code": null}}'), "server_error"),
    "an error in words with status 200": (http(200, '{"error": "overloaded"}'), "server_error"),
    "a detail with status 200": (http(200, '{"detail": "upstream timed out"}'), "server_error"),
    "a list of errors with status 200": (http(200, '[{"error": {"code": 503, "message": "no"}}]'), "server_error"),
    "an error beside an empty choice": (answer(None, usage=None, finish=None, error=UPSTREAM), "server_error"),
    "an error in the choice": (
        http(200, json.dumps({"choices": [{"error": UPSTREAM, "message": SILENT}]})),
        "server_error",
    ),
    "an error in the message": (answer(message={**SILENT, "error": UPSTREAM}, usage=None), "server_error"),
    "an error that was billed": (answer("", finish="error"), "server_error"),
    "an error after half an answer": (answer(TURNS[:30], finish="error"), "server_error"),
    "an error beside half an answer": (answer(TURNS[:30], error=UPSTREAM), "server_error"),
    "nothing and no usage": (answer(None, usage=None), "broken_body"),
    "nothing and a usage of nothing": (answer("", usage={"prompt_tokens": 0, "completion_tokens": 0}), "broken_body"),
    "message missing": (http(200, json.dumps({"choices": [{"finish_reason": "stop"}]})), "broken_body"),
}
"""Name -> what is said, the reject's reason after all tries."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "backoff", lambda *_: 0.01)
    monkeypatch.setattr("presel.instruct.sending.backoff", lambda *_: 0.01)


def always(raw: bytes) -> Callable[[int], bytes]:
    return lambda _times: raw


@pytest.mark.parametrize("said", GOOD.values(), ids=GOOD.keys())
def test_an_answer_in_an_odd_shape_is_an_answer(said: bytes, pool: Pool) -> None:
    with hostile(pool, {0: always(said)}) as endpoint:
        ref = pool.instruct(generator(endpoint.url, attempts=ATTEMPTS), picked=3)
    assert (ref.rows, ref.rejects, endpoint.requests[0]) == (3, 0, 1)
    text = json.dumps([row["turns"] for row in rows(ref)], ensure_ascii=False)
    assert text.encode()
    assert not any(
        ord(letter) < 32 for turn in json.loads(text) for letter in turn[0]["question"] + turn[0]["response"]
    )
    kept = list(Ledger(open_store(pool.store)).answers())
    assert len(kept) == 3
    assert 0 < spending(open_store(pool.store))["spent_usd"] < 0.05


@pytest.mark.parametrize(("said", "reason", "requests"), REJECTS.values(), ids=REJECTS.keys())
def test_an_answer_that_cannot_be_used_is_a_reject(said: bytes, reason: str, requests: int, pool: Pool) -> None:
    with hostile(pool, {0: always(said)}) as endpoint:
        ref = pool.instruct(generator(endpoint.url, attempts=ATTEMPTS), picked=3)
    assert (ref.rows, reasons(ref), endpoint.requests[0]) == (3, [reason], requests)
    assert len(table_store.rejects(ref)["detail"][0].as_py()) < 500
    kept = list(Ledger(open_store(pool.store)).answers())
    assert len(kept) == 3 + sum(answer.request["content"] == pool.content[0] for answer in kept)


@pytest.mark.parametrize(("said", "reason"), NO_ANSWER.values(), ids=NO_ANSWER.keys())
def test_what_is_no_answer_is_asked_again_a_bounded_number_of_times(said: bytes, reason: str, pool: Pool) -> None:
    with hostile(pool, {0: always(said)}) as endpoint:
        ref = pool.instruct(generator(endpoint.url, attempts=ATTEMPTS, timeout=0.5), picked=3)
    assert (ref.rows, set(reasons(ref)) <= {reason, "unavailable"}) == (3, True)
    assert len(list(Ledger(open_store(pool.store)).all_keys())) == 3, "none of it is an answer, and kept as one"
    assert reason in table_store.rejects(ref)["reason"][0].as_py() + table_store.rejects(ref)["detail"][0].as_py()
    assert ATTEMPTS <= endpoint.requests[0] <= 2 * ATTEMPTS
    assert spending(open_store(pool.store))["reserved_usd"] == 0


@pytest.mark.parametrize(
    "header",
    [
        "retry-after: -5",
        "retry-after: 0",
        "retry-after: soon",
        "retry-after: Mon, 01 Jan 2001 00:00:00 GMT",
        "retry-after: Mon, 99 Foo 0000 99:99:99 GMT",
        "retry-after: Mon, 01 Jan 0001 00:00:00",
        "retry-after-ms: 1e999",
        "retry-after-ms: -1",
        "retry-after: \xb2",
        "x-ratelimit-reset-requests: \xb2s",
    ],
)
def test_whatever_a_throttling_endpoint_says_about_when(header: str, pool: Pool) -> None:
    throttled = failure(429, "rate_limit_exceeded", "slow down", header)
    with hostile(pool, {0: lambda times: throttled if times < 3 else answer()}) as endpoint:
        ref = pool.instruct(generator(endpoint.url, attempts=1), picked=3)
    assert (ref.rows, ref.rejects, endpoint.requests[0]) == (3, 0, 3)


@pytest.mark.parametrize(
    "said",
    [
        failure(401, "invalid_api_key"),
        http(402, b""),
        http(403, "<html>forbidden</html>", kind="text/html"),
        failure(404, "model_not_found", "no such model"),
        failure(429, "insufficient_quota", "You exceeded your current quota"),
        http(307, b"", "location: http://127.0.0.1:1/elsewhere"),
        http(308, b"", "location: /v1/chat/completions"),
    ],
    ids=["401", "402", "403", "404", "quota", "307", "308"],
)
def test_what_concerns_every_request_stops_the_run_even_in_its_middle(
    said: bytes, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = generator("${PRESEL_TEST_URL}", concurrency=1)
    with hostile(pool, {5: always(said)}) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        with pytest.raises(EndpointRefused) as caught:
            pool.instruct(settings, picked=12)
    assert caught.value.exit_code == 6
    assert caught.value.fix
    assert len(list(Ledger(open_store(pool.store)).all_keys())) >= 1
    with hostile(pool, {}) as endpoint:  # when the matter is settled, it goes on where it was
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        assert pool.instruct(settings, picked=12).rows == 12
    assert 0 < endpoint.requests.total() < 12


def test_the_last_requests_of_a_run_say_nothing_about_their_pictures_when_nobody_is_answered(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine are too few to call an endpoint down that has answered before; they are asked again by the next run. Ten are not."""
    monkeypatch.setattr(limits, "PROBE_PAUSE", 0.5)
    settings = generator("${PRESEL_TEST_URL}", attempts=ATTEMPTS)
    with hostile(pool, {i: always(http(503, b"")) for i in range(2, 12)}) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        assert pool.instruct(settings, picked=2, images=2).rows == 2
        ref = pool.instruct(settings, picked=5, images=5)
        assert (ref.rows, reasons(ref)) == (2, ["unavailable"] * 3)
        with pytest.raises(EndpointUnavailable, match="run again"):
            pool.instruct(settings, picked=12)
    with hostile(pool, {}) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        assert pool.instruct(settings, picked=11, images=11).rows == 11


def test_three_requests_in_a_row_are_enough_where_the_endpoint_has_never_answered(pool: Pool) -> None:
    with (
        hostile(pool, {i: always(http(503, b"")) for i in range(12)}) as endpoint,
        pytest.raises(EndpointUnavailable, match="run again"),
    ):
        pool.instruct(generator(endpoint.url, attempts=ATTEMPTS), picked=3, images=3)


def test_while_nobody_is_answered_the_log_and_the_progress_say_so_and_why(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending, "_SILENCE", 0.0)
    heard: list[Progress] = []
    settings = generator("${PRESEL_TEST_URL}", attempts=ATTEMPTS)
    with hostile(pool, {i: always(http(503, b"")) for i in range(12)}) as endpoint, listening(heard.append):
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        with pytest.raises(EndpointUnavailable):
            pool.instruct(settings, picked=12)
    assert any(told.trouble.startswith("no answer for 0 s (") and "503" in told.trouble for told in heard)
    assert all(told.trouble in told.note for told in heard)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 1
    assert "it is tried again" in warned[0]
