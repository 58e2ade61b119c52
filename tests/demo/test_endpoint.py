"""The endpoint double is what the real API is to a client, misbehaves on demand, and counts."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx2
import openai
import pytest

from presel.config import ImageConfig
from presel.config.keys import digest
from presel.demo.annotator import annotator, sent_picture
from presel.demo.drawing.truth import QA, Facts
from presel.demo.endpoint import PROFILES, Endpoint, looks, serve
from presel.demo.endpoint.faults import Faults
from presel.demo.pool import Answers
from presel.errors import ConfigError
from presel.images import for_api
from tests.instruct.pools import picture


def ask(endpoint: Endpoint, seed: int = 0, **more: object) -> openai.types.chat.ChatCompletion:
    url = "data:image/jpeg;base64," + base64.b64encode(picture(seed)).decode()
    content = [{"type": "text", "text": "Write one question."}, {"type": "image_url", "image_url": {"url": url}}]
    with openai.OpenAI(api_key="any", base_url=endpoint.url, max_retries=0) as client:
        return client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": content}],  # type: ignore[list-item, misc]
            **more,  # type: ignore[arg-type]
        )


def test_it_answers_the_sdk_as_the_api_does() -> None:
    with serve(looks) as endpoint:
        answer = ask(endpoint)
    assert answer.choices[0].finish_reason == "stop"
    assert set(json.loads(answer.choices[0].message.content or "")["turns"][0]) == {"question", "response"}
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert (endpoint.counts.total, endpoint.counts.billed) == (1, 1)
    assert endpoint.requests[0].picture == digest(picture(0))


def test_the_same_picture_gets_the_same_answer_from_every_endpoint() -> None:
    with serve(looks) as one, serve(looks) as other:
        assert ask(one).choices == ask(other).choices


def test_faults_are_drawn_at_about_their_share_and_the_same_for_every_run() -> None:
    shares = PROFILES["storm"]
    drawn = [Faults(shares, 7).on_the_way(str(i), 1) for i in range(4000)]
    assert drawn == [Faults(shares, 7).on_the_way(str(i), 1) for i in range(4000)]
    for name, count in Counter(drawn).items():
        if name is not None:
            assert count / 4000 == pytest.approx(shares[name], abs=0.015)


def test_a_fault_of_the_answer_stays_and_one_on_the_way_passes() -> None:
    faults = Faults({"server_error": 0.5, "refusal": 0.5}, 0)
    on_the_way = {faults.on_the_way("a", times) for times in range(20)}
    assert on_the_way == {None, "server_error"}
    assert len({faults.of_the_answer("a") for _ in range(20)}) == 1


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown faults"):
        Faults({"earthquake": 1.0}, 0)


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ("rate_limit", openai.RateLimitError),
        ("server_error", openai.InternalServerError),
        ("reset", openai.APIConnectionError),
        ("truncated", json.JSONDecodeError),
        ("filtered_400", openai.BadRequestError),
    ],
)
def test_faults_reach_the_sdk_as_the_errors_users_know(fault: str, raised: type[Exception]) -> None:
    with serve(looks, faults={fault: 1.0}) as endpoint, pytest.raises(raised):
        ask(endpoint)
    assert endpoint.counts.faults[fault] == 1


@pytest.mark.parametrize(
    ("fault", "finish", "refused"),
    [("refusal", "stop", True), ("content_filter", "content_filter", False), ("length", "length", False)],
)
def test_faults_of_the_answer_are_worded_as_the_api_words_them(fault: str, finish: str, refused: bool) -> None:
    with serve(looks, faults={fault: 1.0}) as endpoint:
        choice = ask(endpoint, max_tokens=500).choices[0]
    assert choice.finish_reason == finish
    assert bool(choice.message.refusal) == refused


def test_429_says_when_to_come_back_in_every_form() -> None:
    forms = set()
    with serve(looks, faults={"rate_limit": 1.0}) as endpoint:
        for seed in range(12):
            with pytest.raises(openai.RateLimitError) as caught:
                ask(endpoint, seed)
            headers = caught.value.response.headers
            forms.add("ms" if "retry-after-ms" in headers else "s" if headers["retry-after"].isdigit() else "date")
    assert forms == {"ms", "s", "date"}


def test_a_limit_is_kept_over_a_sliding_minute_and_told_in_headers() -> None:
    with serve(looks, requests_per_minute=3) as endpoint:
        for seed in range(3):
            ask(endpoint, seed)
        with pytest.raises(openai.RateLimitError):
            ask(endpoint, 4)
        headers = httpx2.get(endpoint.url + "/models").headers
    assert "x-ratelimit-limit-requests" not in headers
    assert endpoint.counts.faults == {"limit": 1}


def test_another_key_is_refused() -> None:
    with serve(looks, key="the right one") as endpoint, pytest.raises(openai.AuthenticationError):
        ask(endpoint)
    assert endpoint.counts.total == 0


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"model": "m", "messages": [{"content": [{"type": "image_url"}]}]}'])
def test_nonsense_is_a_400(body: bytes) -> None:
    with serve(looks) as endpoint:
        assert httpx2.post(endpoint.url + "/chat/completions", content=body).status_code == 400


def test_its_counts_can_be_asked_for() -> None:
    with serve(looks, faults={"server_error": 1.0}) as endpoint:
        with pytest.raises(openai.InternalServerError):
            ask(endpoint)
        counts = httpx2.get(endpoint.url + "/counts").json()
    assert (counts["total"], counts["billed"], counts["faults"]) == (1, 0, {"server_error": 1})


def test_it_ends_while_requests_hang() -> None:
    with serve(looks, faults={"hang": 1.0}) as endpoint:

        async def hang() -> None:
            async with asyncio.timeout(0.2):
                await openai.AsyncOpenAI(api_key="x", base_url=endpoint.url).chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "?"}]
                )

        with pytest.raises(TimeoutError):
            asyncio.run(hang())


@pytest.mark.parametrize("way", [["presel.demo.endpoint"], ["presel.cli", "demo", "endpoint"]], ids=["module", "cli"])
def test_it_runs_on_its_own(way: list[str]) -> None:
    command = [sys.executable, "-m", *way, "--port", "0", "--faults", "mild"]
    root = Path(__file__).parents[2]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ})
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        assert httpx2.get(url + "/models").json()["data"]
        assert httpx2.get(url + "/counts").json()["total"] == 0
    finally:
        server.terminate()
        last, _ = server.communicate()
    assert json.loads(last)["total"] == 0


def test_a_port_that_is_taken_is_said_in_words() -> None:
    with serve(looks) as first:
        taken = httpx2.URL(first.url).port
        with pytest.raises(ConfigError, match="cannot be used"), serve(looks, port=taken or 0):
            raise AssertionError("two servers on one port")


def test_the_annotator_knows_a_picture_by_the_jpeg_that_was_sent() -> None:
    image = picture(5)
    facts = Facts((QA("How many?", "Two."), QA("Which colour?", "Red.")), "Two red things.")
    answers = Answers({digest(image): facts})
    answer = annotator(answers, {sent_picture(image, 384) or "": digest(image)})
    sent = for_api(image, ImageConfig(), 384)
    asked = answer(sent, "one question with its response", {})
    assert asked in ([("How many?", "Two.")], [("Which colour?", "Red.")])
    assert asked == answer(sent, "one question with its response", {})
    assert sorted(answer(sent, "exactly 2 questions", {})) == [("How many?", "Two."), ("Which colour?", "Red.")]
    assert answer(sent, ": each asks for a caption, and", {})[0][1] == "Two red things."
    assert "not drawn" in answer(picture(6), "one question", {})[0][1]
    assert sent_picture(b"no picture", 384) is None


def lines(count: int) -> bytes:
    """A batch file."""
    url = "data:image/jpeg;base64," + base64.b64encode(picture(0)).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}]
    bodies = [{"model": "m", "messages": [{"role": "user", "content": content}], "seed": i} for i in range(count)]
    return b"".join(json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/chat/completions", "body": body}).encode()
                    + b"\n" for i, body in enumerate(bodies))  # fmt: skip


def batch(sdk: openai.OpenAI, file: bytes, **metadata: str) -> openai.types.Batch:
    uploaded = sdk.files.create(file=("f.jsonl", file), purpose="batch")
    return sdk.batches.create(
        completion_window="24h", endpoint="/v1/chat/completions", input_file_id=uploaded.id, metadata=metadata
    )


def finished(sdk: openai.OpenAI, created: openai.types.Batch) -> openai.types.Batch:
    while (found := sdk.batches.retrieve(created.id)).status == "in_progress":
        time.sleep(0.01)
    return found


def test_a_batch_is_worked_through_and_its_output_is_shuffled() -> None:
    with serve(looks, batch_seconds=0.05) as endpoint, openai.OpenAI(api_key="any", base_url=endpoint.url) as sdk:
        found = finished(sdk, batch(sdk, lines(20), who="me"))
        output = [json.loads(line) for line in sdk.files.content(found.output_file_id or "").text.splitlines()]
        listed = list(sdk.batches.list(limit=1))
    names = [line["custom_id"] for line in output]
    assert (found.status, found.metadata, listed) == ("completed", {"who": "me"}, [found])
    assert names != sorted(names)
    assert set(names) == {f"r{i}" for i in range(20)}
    assert output[0]["response"]["body"]["choices"]
    assert (endpoint.counts.batched, endpoint.counts.billed, endpoint.counts.total) == (20, 20, 0)


def test_of_an_expired_or_cancelled_batch_the_finished_half_is_delivered_and_billed() -> None:
    with (
        serve(looks, faults={"batch_expires": 1.0}, batch_seconds=0.05) as endpoint,
        openai.OpenAI(api_key="any", base_url=endpoint.url) as sdk,
    ):
        expired = finished(sdk, batch(sdk, lines(10)))
        errors = sdk.files.content(expired.error_file_id or "").text.splitlines()
        cancelled = sdk.batches.cancel(batch(sdk, lines(11)).id)
    assert (expired.status, len(errors), cancelled.status) == ("expired", 5, "cancelled")
    assert {json.loads(line)["error"]["code"] for line in errors} == {"batch_expired"}
    assert endpoint.counts.billed == 5 + 6


@pytest.mark.parametrize("file", [b"{", b"", lines(2)[:-1] + b"\n" + lines(2)], ids=["no json", "empty", "twice"])
def test_a_file_that_is_none_fails_as_a_whole(file: bytes) -> None:
    with serve(looks) as endpoint, openai.OpenAI(api_key="any", base_url=endpoint.url) as sdk:
        found = finished(sdk, batch(sdk, file))
    assert found.status == "failed"
    assert found.errors is not None
    assert found.errors.data
    assert endpoint.counts.billed == 0


def test_a_batch_of_a_deleted_file_is_refused() -> None:
    with serve(looks) as endpoint, openai.OpenAI(api_key="any", base_url=endpoint.url) as sdk:
        uploaded = sdk.files.create(file=("f.jsonl", lines(1)), purpose="batch")
        sdk.files.delete(uploaded.id)
        with pytest.raises(openai.BadRequestError):
            sdk.batches.create(completion_window="24h", endpoint="/v1/chat/completions", input_file_id=uploaded.id)


def test_a_creation_that_is_lost_on_the_way_back_has_happened() -> None:
    with (
        serve(looks, faults={"reset": 0.5}, seed=1) as endpoint,
        openai.OpenAI(api_key="any", base_url=endpoint.url, max_retries=20) as sdk,
    ):
        for i in range(6):
            batch(sdk, lines(i + 1))
    assert len(endpoint.batches.batches) > 6
