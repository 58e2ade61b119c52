"""Every way an endpoint can fail, over a real socket, and what each means."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai
import pytest

from presel.errors import ConfigError, EndpointRefused
from presel.instruct.endpoint.client import Client, resolved_base_url
from presel.instruct.endpoint.failures import FAILURES
from presel.instruct.endpoint.outcomes import Answered, Declined, Failed, Outcome, Throttled
from presel.instruct.questions.request import opening
from tests.instruct.pools import KEY_VARIABLE, SECRET, generator

GOOD = json.dumps({"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]})


@asynccontextmanager
async def endpoint(raw: bytes, *, then: str = "close") -> AsyncIterator[str]:
    """A server that reads one request and says `raw`, then closes, resets or hangs."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        if then == "reset":
            writer.transport.abort()
        elif then == "hang":
            await asyncio.sleep(5)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


def response(status: int, body: str, *headers: str, kind: str = "application/json", length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        f"content-type: {kind}",
        f"content-length: {length or len(body.encode())}",
        *headers,
    ]
    return ("\r\n".join([*lines, "connection: close"]) + "\r\n\r\n" + body).encode()


def error(code: str, message: str = "no") -> str:
    return json.dumps({"error": {"message": message, "code": code, "type": "x"}})


async def asked(url: str, timeout: float = 5.0) -> Outcome:
    settings = generator(url, timeout=timeout)
    client = Client(settings)
    try:
        return await client.ask(opening("c" * 64, "t", settings), b"AAAA")
    finally:
        await client.close()


def outcome(raw: bytes, *, then: str = "close", timeout: float = 5.0) -> Outcome:
    async def run() -> Outcome:
        async with endpoint(raw, then=then) as url:
            return await asked(url, timeout)

    return asyncio.run(run())


def test_an_answer_is_an_answer() -> None:
    found = outcome(response(200, GOOD))
    assert isinstance(found, Answered)
    assert found.body == json.loads(GOOD)


@pytest.mark.parametrize(
    ("raw", "then", "reason"),
    [
        (response(200, GOOD, length=5000), "close", "connection"),
        (response(200, GOOD[:40]), "close", "broken_body"),
        (response(200, "<html>bad gateway</html>", kind="text/html"), "close", "broken_body"),
        (response(200, "[]"), "close", "broken_body"),
        (response(200, '{"choices": []}'), "close", "broken_body"),
        (response(200, ""), "close", "broken_body"),
        (b"", "reset", "connection"),
        (b"HTTP/1.1 200 OK\r\n", "reset", "connection"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "close", "connection"),
        (b"", "hang", "timeout"),
        (response(200, GOOD, length=5000), "hang", "timeout"),
    ],
    ids=[
        "short",
        "cut",
        "html",
        "list",
        "no-choice",
        "nothing",
        "reset",
        "reset-late",
        "not-http",
        "silence",
        "stalls",
    ],
)
def test_what_fails_after_it_was_sent_may_be_tried_again_and_may_be_billed(raw: bytes, then: str, reason: str) -> None:
    found = outcome(raw, then=then, timeout=0.3 if then == "hang" else 5.0)
    assert isinstance(found, Failed)
    assert (found.reason, found.billed) == (reason, True)


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 520, 529])
def test_a_server_error_may_be_tried_again_and_is_not_billed(status: int) -> None:
    found = outcome(response(status, error("server_error"), "retry-after: 2"))
    assert isinstance(found, Failed)
    assert (found.billed, found.headers["retry-after"]) == (False, "2")


def test_nobody_listening_is_not_billed() -> None:
    found = asyncio.run(asked("http://127.0.0.1:9/v1"))
    assert isinstance(found, Failed)
    assert (found.reason, found.billed) == ("connection", False)


def test_429_is_only_a_matter_of_time() -> None:
    assert isinstance(outcome(response(429, error("rate_limit_exceeded"), "retry-after: 3")), Throttled)


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "invalid_api_key"), (402, ""), (403, ""), (404, "model_not_found"), (429, "insufficient_quota"), (301, "")],
)
def test_what_will_never_work_stops_the_run(status: int, code: str) -> None:
    with pytest.raises(EndpointRefused) as caught:
        outcome(response(status, error(code)))
    assert caught.value.fix


@pytest.mark.parametrize(
    "code", ["content_filter", "content_policy_violation", "invalid_image_format", "image_parse_error"]
)
def test_a_400_about_the_picture_is_the_providers_last_word(code: str) -> None:
    found = outcome(response(400, error(code)))
    assert isinstance(found, Answered)
    assert found.status == 400


def test_a_400_that_came_cut_is_asked_again_for_its_reason() -> None:
    found = outcome(response(400, error("content_filter")[:40]))
    assert isinstance(found, Failed)
    assert (found.reason, found.billed) == ("broken_body", False)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_another_4xx_is_for_the_engine_to_judge(status: int) -> None:
    assert isinstance(outcome(response(status, error("invalid_request"))), Declined)


@pytest.mark.parametrize("code", [429, "x"])
def test_an_error_with_status_200_is_a_failure_of_the_moment(code: int | str) -> None:
    found = outcome(response(200, json.dumps({"error": {"code": code, "message": "slow"}})))
    assert isinstance(found, Failed)
    assert (found.reason, found.billed) == ("server_error", False)


def test_a_key_that_the_endpoint_says_back_goes_no_further() -> None:
    body = json.dumps({"choices": [{"message": {"content": f"Your key is {SECRET}"}}]})
    found = outcome(response(200, body))
    assert isinstance(found, Answered)
    assert SECRET not in json.dumps(found.body)
    with pytest.raises(EndpointRefused) as caught:
        outcome(response(401, error("invalid_api_key", f"Incorrect API key provided: {SECRET}")))
    chain, seen = caught.value, []
    while chain is not None:
        seen.append(repr(chain) + str(chain) + repr(vars(chain)))
        chain = chain.__cause__ or chain.__context__  # type: ignore[assignment]
    assert SECRET not in "".join(seen)


def test_every_exception_of_the_sdk_and_of_its_transport_has_a_meaning() -> None:
    mapped = tuple(FAILURES)
    raised_by_us = (openai.APIStatusError,)  # has a status of its own
    not_from_create = (
        openai.LengthFinishReasonError,
        openai.ContentFilterFinishReasonError,
        openai.InvalidWebhookSignatureError,
        openai.OAuthError,
    )
    foreign = [
        kind
        for module in (openai, httpx2)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning)
    ]
    unmapped = [
        kind.__name__
        for kind in foreign
        if not issubclass(kind, (*mapped, *raised_by_us, *not_from_create)) and kind is not openai.OpenAIError
    ]
    assert unmapped == ["WebSocketConnectionClosedError", "WebSocketQueueFullError", "_AmbiguousModuleClientUsageError",
                        "CookieConflict", "InvalidURL"]  # fmt: skip


@pytest.mark.parametrize("url", ["ftp://a", "nonsense", "https://user:pass@a/v1", "${PRESEL_NOT_SET}/v1"])
def test_an_address_that_cannot_be_used_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError):
        resolved_base_url(url)


def test_an_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESEL_TEST_PORT", "8765")
    assert resolved_base_url("http://127.0.0.1:${PRESEL_TEST_PORT}/v1/") == "http://127.0.0.1:8765/v1"


def test_without_a_key_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ConfigError, match=f"export {KEY_VARIABLE}"):
        Client(generator("http://127.0.0.1:9/v1"))


ERRORS = {
    "a list": (
        json.dumps([{"error": {"code": 400, "message": "Unknown name", "status": "INVALID_ARGUMENT"}}]),
        "Unknown name",
    ),
    "fields": (json.dumps({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]}), '"msg": "Extra inputs"'),
    "a page": ("<html><style>a {}</style><h1>400</h1><p>no such &lt;field&gt;</p></html>", "400 no such <field>"),
    "text": ("json: unknown field seed\n", "json: unknown field seed"),
    "another object": (json.dumps({"reason": "too hot"}), '"reason": "too hot"'),
    "a word": (json.dumps({"error": "no"}), "no"),
    "nothing": ("", "status 400"),
    "much": (json.dumps({"error": {"message": "x" * 5000}}), "x" * 1000),
}


@pytest.mark.parametrize("shape", ERRORS)
def test_an_error_is_quoted_whatever_its_shape(shape: str) -> None:
    text, said = ERRORS[shape]
    found = outcome(response(400, text, kind="text/html" if shape == "a page" else "application/json"))
    assert isinstance(found, Declined)
    assert said in found.message
    assert len(found.message) < 1100


@pytest.mark.parametrize("status", [504, 524])
def test_a_time_out_of_a_gateway_may_be_billed(status: int) -> None:
    found = outcome(response(status, "<html>504 Gateway Time-out</html>", kind="text/html"))
    assert isinstance(found, Failed)
    assert (found.billed, "Gateway Time-out" in found.message) == (True, True)
