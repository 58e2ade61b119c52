"""What a provider may do to a batch, and what may stand in its files, beyond what its documents promise."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from presel.demo.endpoint import Endpoint, files, looks, serve
from presel.demo.setting import s3_server
from presel.errors import EndpointRefused, EndpointUnavailable
from presel.instruct.batch import client, run
from presel.instruct.ledger import Ledger
from presel.instruct.money.purse import spending
from presel.storage import open_store
from tests.instruct.pools import SECRET, Pool
from tests.instruct.run_stage import Worker
from tests.instruct.test_batches import batch

Lines = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "backoff", lambda _attempt: 0.01)


def spoiling(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Lines], list[Any]]) -> None:
    """Every output file holds what `spoil` makes of its lines; a string is a line as it stands."""

    def keep(self: files.Batches, documents: Lines) -> str:
        lines = [line if isinstance(line, str) else json.dumps(line) for line in spoil(documents)]
        return self._keep("\n".join(lines).encode())

    monkeypatch.setattr(files.Batches, "_lines", keep)


def failed(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "response": {"status_code": 500, "body": None}}


OUT_OF_CREDIT = {"status_code": 429, "body": {"error": {"code": "insufficient_quota", "message": "no credit"}}}
STRANGERS: list[Any] = [
    "", "null", "[]", "{", '{"custom_id": 5}', '{"custom_id": ["a"]}', '{"custom_id": "nobody"}', "[" * 100_000,
    '{"custom_id": "' + "0" * 32 + '", "response": {"status_code": 200, "body": {"choices": []}}}',
]  # fmt: skip


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: [*lines, *map(failed, lines)],
        lambda lines: [*map(failed, lines), *lines],
        lambda lines: [line for line in lines for _ in range(3)],
        lambda lines: [*STRANGERS, *lines],
    ],
    ids=["an error after the answer", "an error before it", "each thrice", "lines of nobody"],
)
def test_lines_that_should_not_be_there_take_no_answer_back(
    spoil: Callable[[Lines], list[Any]], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiling(monkeypatch, spoil)
    with serve(looks) as endpoint:
        ref = pool.instruct(batch(endpoint.url), picked=6)
    assert (ref.rows, endpoint.counts.batched) == (6, 6)
    assert spending(open_store(pool.store))["reserved_usd"] == 0


@pytest.mark.parametrize(
    "response",
    [
        OUT_OF_CREDIT,
        None,
        "late",
        {},
        {"status_code": "200"},
        {"status_code": 200},
        {"status_code": 200, "body": "x"},
        {"body": [1]},
    ],
    ids=str,
)
def test_a_line_that_says_nothing_is_asked_again_in_another_batch(
    response: object, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled: list[str] = []

    def once(lines: Lines) -> list[Any]:
        if not lines or spoiled:
            return list(lines)
        spoiled.append(lines[0]["custom_id"])
        return [{**lines[0], "response": response, "error": ["odd"]}, *lines[1:]]

    spoiling(monkeypatch, once)
    with serve(looks) as endpoint:
        ref = pool.instruct(batch(endpoint.url), picked=4)
    assert (ref.rows, endpoint.counts.batched, len(endpoint.batches.batches)) == (4, 5, 2)


@pytest.mark.parametrize("lost", [None, {"status_code": 500, "body": None}, "missing"], ids=str)
def test_a_line_that_never_comes_is_a_reject_for_a_day_while_the_others_go_on(
    lost: object, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    never: list[str] = []

    def spoil(lines: Lines) -> list[Any]:
        never.extend(line["custom_id"] for line in lines[:1] if not never)
        kept = [line for line in lines if line["custom_id"] not in never]
        return kept + [{**line, "response": lost} for line in lines if line not in kept and lost != "missing"]

    spoiling(monkeypatch, spoil)
    monkeypatch.setenv("PRESEL_TEST_URL", "")
    with serve(looks) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        settings = batch("${PRESEL_TEST_URL}")
        ref = pool.instruct(settings, picked=6)
        assert (ref.rows, ref.rejects) == (6, 1), "its seat went on"
        asked = endpoint.counts.batched
        assert asked <= 6 + 1 + settings.attempts
        assert pool.instruct(settings, picked=6).digest == ref.digest
        assert endpoint.counts.batched == asked


def test_a_key_in_an_output_file_goes_no_further_however_it_is_spelled(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spelled = "".join(f"\\u{ord(letter):04x}" for letter in SECRET)
    spoiling(monkeypatch, lambda lines: [json.dumps(line).replace("pixels", f"{spelled} {SECRET}") for line in lines])
    with serve(looks) as endpoint:
        assert pool.instruct(batch(endpoint.url), picked=12).rows == 12
    kept = "".join(json.dumps(answer.body) for answer in Ledger(open_store(pool.store)).answers())
    assert SECRET not in kept
    assert "[key removed]" in kept


def cancelled(endpoint: Endpoint) -> None:
    while not endpoint.batches.batches:
        time.sleep(0.01)
    address = f"{endpoint.url}/batches/{next(iter(endpoint.batches.batches))}/cancel"
    urllib.request.urlopen(urllib.request.Request(address, data=b"", method="POST")).read()


def test_of_a_cancelled_batch_the_finished_part_is_kept_and_the_rest_asked_once(pool: Pool) -> None:
    with serve(looks, batch_seconds=1.0) as endpoint:
        somebody = threading.Thread(target=cancelled, args=(endpoint,))
        somebody.start()
        ref = pool.instruct(batch(endpoint.url), picked=8)
        somebody.join()
    assert [found.status for found in endpoint.batches.batches.values()] == ["cancelled", "completed"]
    assert (ref.rows, endpoint.counts.batched) == (8, 8)


def test_a_file_that_fails_validation_stops_the_run_and_holds_no_money(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaint = {"code": "invalid_json_line", "message": "This line is not parseable.", "line": 1}
    monkeypatch.setattr(files, "_invalid", lambda _lines: complaint)
    with serve(looks) as endpoint, pytest.raises(EndpointRefused, match="invalid_json_line"):
        pool.instruct(batch(endpoint.url), picked=4)
    assert spending(open_store(pool.store)) == {"spent_usd": 0, "reserved_usd": 0}


def test_an_orphan_is_found_behind_more_batches_than_a_page_holds(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAGE", 2)
    with serve(looks, batch_seconds=0.2) as endpoint:
        assert Worker(pool.root, endpoint.url, 4, "--batch", "--die-before", "id").wait() == -9
        for number in range(5):
            Pool(pool.root / f"other{number}").instruct(batch(endpoint.url), picked=1)
        asked = endpoint.counts.batched
        assert pool.instruct(batch(endpoint.url), picked=4).rows == 4
    assert endpoint.counts.batched == asked == 4 + 5


@pytest.mark.parametrize("step", ["upload", "create", "poll"])
def test_a_killed_run_leaves_no_file_on_the_local_disk(
    step: str, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "local"
    local.mkdir()
    monkeypatch.setenv("TMPDIR", str(local))
    with serve(looks) as endpoint:
        assert Worker(pool.root, endpoint.url, 6, "--batch", "--die-before", step).wait() == -9
    assert list(local.iterdir()) == []


def test_batches_work_the_same_on_s3(tmp_path: Path) -> None:
    with s3_server() as bucket, serve(looks, faults={"batch_expires": 0.5, "reset": 0.1}, seed=2) as endpoint:

        class OnS3(Pool):
            store = f"{bucket}/store"

        pool = OnS3(tmp_path, images=12)
        ref = pool.instruct(batch(endpoint.url, requests_per_file=4, attempts=20), picked=12)
        money = spending(open_store(pool.store))
    assert (ref.rows, endpoint.counts.billed) == (12, 12)
    assert money["reserved_usd"] == 0


class Twisted:
    """Creates batches, and says of the first what it likes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: int, metadata: dict[str, str]) -> None:
        create, document, told = files.Batches._create, files._document, []

        def created(batches: files.Batches, incoming: Any) -> Any:
            answer = create(batches, incoming)
            told.append(1)
            return files.reply(status, files.failure("x", "no")) if len(told) == 1 and status else answer

        monkeypatch.setattr(files.Batches, "_create", created)
        monkeypatch.setattr(
            files,
            "_document",
            lambda batch: {**(found := document(batch)), "metadata": {**found["metadata"], **metadata}},
        )


@pytest.mark.parametrize("status", [400, 409, 429, 500, 503])
@pytest.mark.parametrize("metadata", [{}, {"region": "eu"}], ids=["as sent", "and more"])
def test_a_batch_that_was_created_whatever_the_server_said_is_not_bought_twice(
    status: int, metadata: dict[str, str], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Twisted(monkeypatch, status, metadata)
    with serve(looks) as endpoint:
        ref = pool.instruct(batch(endpoint.url), picked=6)
    assert (ref.rows, endpoint.counts.billed, len(endpoint.batches.batches)) == (6, 6, 1)


def test_a_file_of_answers_beyond_all_sense_is_not_taken_in_and_the_next_run_fetches_it(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "backoff", lambda _attempt: 0.01)
    with serve(looks) as endpoint:
        settings = batch(endpoint.url)
        with monkeypatch.context() as small:
            small.setattr(run, "_LARGEST", 100)
            small.setattr(run, "_LINE", 1)
            small.setattr(run, "_LETTERS", 0)
            with pytest.raises(EndpointUnavailable, match=r"a body of more than 112 bytes"):
                pool.instruct(settings, picked=12)
        asked = endpoint.counts.batched
        assert pool.instruct(settings, picked=12).rows == 12
        assert endpoint.counts.batched == asked, "what is paid for is fetched, not bought again"
