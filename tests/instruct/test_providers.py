"""Servers that refuse what OpenAI takes: each line of docs/howto/providers.md, against a double that behaves so."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from presel.demo.endpoint import Endpoint, looks, serve
from presel.errors import EndpointRefused
from presel.instruct.endpoint.accepted import FOLDER, Accepted
from presel.instruct.ledger import Answer, Ledger
from presel.instruct.questions.request import opening
from presel.storage import open_store
from tests.instruct.pools import BATCH, Pool, generator, reasons, rows
from tests.instruct.providers import PROVIDERS

THINKS = {"reasoning_effort": "low"}


def answers(pool: Pool) -> list[Answer]:
    return list(Ledger(open_store(pool.store)).answers())


def refused(endpoint: Endpoint) -> int:
    return endpoint.counts.faults["refused"]


@pytest.mark.parametrize(
    ("provider", "model", "request_", "sent"),
    [
        ("openai", "gpt-4.1-mini", {}, {"max_tokens", "seed", "temperature"}),
        ("thinking", "openai/gpt-5-mini", {}, {"max_completion_tokens", "seed"}),
        ("thinking", "my-deployment", {}, {"max_completion_tokens", "seed"}),
        ("gemini", "gemini-2.5-flash", {}, {"max_tokens", "temperature"}),
        ("mistral", "pixtral-12b", {}, {"max_tokens", "temperature"}),
        ("vllm", "qwen", THINKS, {"max_tokens", "seed", "temperature"}),
        ("ollama", "llava", {}, {"max_tokens", "seed", "temperature", "response_format"}),
        ("json only", "deepseek", {}, {"max_tokens", "seed", "temperature", "response_format"}),
        ("words only", "llava", {}, {"max_tokens", "temperature", "response_format"}),
    ],
)
def test_what_a_server_does_not_take_is_learned_from_its_refusal(
    pool: Pool, provider: str, model: str, request_: Mapping[str, Any], sent: set[str]
) -> None:
    with serve(looks, refuses=PROVIDERS[provider].refusal) as endpoint:
        settings = generator(endpoint.url, model=model, request=request_)
        ref = pool.instruct(settings, picked=6)
        first = refused(endpoint)
        assert {frozenset(answer.request["parameters"]) for answer in answers(pool)} == {frozenset(sent)}
        assert {row["request"] for row in rows(ref)} == {answer.key for answer in answers(pool)}
        pool.forget_tables()
        again = pool.instruct(settings, picked=9)
    assert (ref.rows, again.rows, endpoint.counts.billed) == (6, 9, 9)
    assert refused(endpoint) == first, "the store knows what was learned"
    assert reasons(again) == []


def test_it_is_said_once_and_costs_nothing(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), serve(looks, refuses=PROVIDERS["gemini"].refusal) as endpoint:
        pool.instruct(generator(endpoint.url), picked=12)
    said = [record.getMessage() for record in caplog.records if "does not take `seed`" in record.getMessage()]
    assert len(said) == 1
    assert endpoint.counts.billed == 12


def test_what_is_configured_is_sent_and_is_the_same_request_as_what_is_learned(pool: Pool) -> None:
    with serve(looks, refuses=PROVIDERS["gemini"].refusal) as endpoint:
        pool.instruct(generator(endpoint.url), picked=6)
        learned = refused(endpoint)
        pool.forget_tables()
        pool.instruct(generator(endpoint.url, request={"seed": None}), picked=6)
    assert learned > 0
    assert (endpoint.counts.billed, refused(endpoint)) == (6, learned)


def test_answers_from_before_a_parameter_was_refused_are_found(pool: Pool) -> None:
    with serve(looks) as endpoint:
        port = int(endpoint.url.rpartition(":")[2].removesuffix("/v1"))
        pool.instruct(generator(endpoint.url), picked=6)
    with serve(looks, refuses=PROVIDERS["gemini"].refusal, port=port) as endpoint:
        pool.forget_tables()
        assert pool.instruct(generator(endpoint.url), picked=9).rows == 9
    assert endpoint.counts.billed == 3


def test_in_a_batch_the_lines_that_were_refused_go_into_the_next(pool: Pool) -> None:
    with serve(looks, refuses=PROVIDERS["thinking"].refusal) as endpoint:
        ref = pool.instruct(generator(endpoint.url, model="mine", mode="batch", batch=BATCH), picked=4)
    assert (ref.rows, endpoint.counts.billed) == (4, 4)


def test_damaged_knowledge_is_learned_again(pool: Pool) -> None:
    with serve(looks, refuses=PROVIDERS["gemini"].refusal) as endpoint:
        pool.instruct(generator(endpoint.url), picked=3)
        (place,) = (pool.root / "store" / FOLDER).iterdir()
        place.write_text('{"changes": {"seed": "model", "messages": null}}')
        pool.forget_tables()
        assert pool.instruct(generator(endpoint.url), picked=6).rows == 6
    assert json.loads(place.read_text())["changes"] == {"seed": None}
    assert endpoint.counts.billed == 6


def test_what_extra_body_asks_for_is_sent_and_never_left_out(pool: Pool) -> None:
    bodies: list[dict[str, Any]] = []

    def refuses(incoming: Any) -> None:
        bodies.append(json.loads(incoming.body))

    with serve(looks, refuses=refuses) as endpoint:
        pool.instruct(generator(endpoint.url, request={"extra_body": {"top_k": 1}}), picked=1)
    assert bodies[0]["top_k"] == 1
    picky = PROVIDERS["openai"].__class__(("top_k",))
    with serve(looks, refuses=picky.refusal) as endpoint, pytest.raises(EndpointRefused, match="top_k"):
        pool.instruct(generator(endpoint.url, request={"extra_body": {"top_k": 1}}), picked=12)


def test_azures_older_form_has_its_version_and_its_key_where_azure_looks(pool: Pool) -> None:
    with serve(looks, refuses=PROVIDERS["azure"].refusal) as endpoint:
        address = endpoint.url.replace("/v1", "/openai/deployments/mine/v1") + "?api-version=2024-10-21"
        assert pool.instruct(generator(address, model="mine"), picked=3).rows == 3


def test_headers_of_ones_own_are_sent(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESEL_TEST_SITE", "https://example.org")
    with serve(looks, refuses=PROVIDERS["headers"].refusal) as endpoint:
        request = {"extra_headers": {"HTTP-Referer": "${PRESEL_TEST_SITE}"}}
        assert pool.instruct(generator(endpoint.url, request=request), picked=3).rows == 3


@pytest.mark.parametrize("form", ["json", "none"])
def test_without_a_schema_the_model_is_told_of_it_in_words(pool: Pool, form: str) -> None:
    bodies: list[dict[str, Any]] = []

    def refuses(incoming: Any) -> None:
        bodies.append(json.loads(incoming.body))

    with serve(looks, refuses=refuses) as endpoint:
        pool.instruct(generator(endpoint.url, request={"response_format": form}), picked=1)
    assert bodies[0].get("response_format") == ({"type": "json_object"} if form == "json" else None)
    assert '"turns"' in bodies[0]["messages"][0]["content"]


REFUSALS = {
    "openai, a limit": (
        400,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        {"max_tokens": "max_completion_tokens"},
    ),
    "openai, a temperature": (
        400,
        "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.",
        {"temperature": None},
    ),
    "azure": (400, "Unrecognized request argument supplied: seed", {"seed": None}),
    "azure, a schema": (
        400,
        "response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later",
        {"response_format": "json"},
    ),
    "gemini, a schema": (
        400,
        "Unknown name \"additionalProperties\" at 'generation_config.response_schema': Cannot find field.",
        {"response_format": "json"},
    ),
    "two at once": (422, "seed, temperature: Extra inputs are not permitted", {"seed": None, "temperature": None}),
    "a length": (
        400,
        "'max_tokens' or 'max_completion_tokens' is too large: 800. This model's maximum context length is 512 tokens.",
        {},
    ),
    "a schema that is none": (400, "Invalid schema for response_format 'instruction': 'turn' is not a type", {}),
    "a picture": (400, "could not decode the picture of a poppy seed-head", {}),
    "a busy server": (429, "temperature is too high in here", {}),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_teaches_what_it_names_and_nothing_else(name: str, pool: Pool) -> None:
    status, message, changes = REFUSALS[name]
    settings = generator("http://a/v1")
    for text in (message, json.dumps([{"error": {"message": message, "param": None}}]), f"<p>{message}</p>"):
        accepted = Accepted(open_store(pool.store), settings)
        accepted.learn(opening("c" * 64, "t", settings), status, text)
        assert accepted.changes == changes


def test_a_limit_that_is_refused_under_both_names_is_not_asked_for_in_turn(pool: Pool) -> None:
    settings = generator("http://a/v1")
    accepted, first = Accepted(open_store(pool.store), settings), opening("c" * 64, "t", settings)
    for name in ("max_tokens", "max_completion_tokens"):
        accepted.learn(accepted.fitted(first), 400, f"Unsupported parameter: {name}")
    assert accepted.changes == {"max_tokens": "max_completion_tokens"}


def test_a_key_in_a_header_of_ones_own_comes_from_the_environment() -> None:
    with pytest.raises(ValueError, match="environment"):
        generator("http://a/v1", request={"extra_headers": {"X-Api-Key": "abc"}})
