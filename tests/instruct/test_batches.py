"""Batch mode: the same answers at half the price, whoever dies in between."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from presel.concurrency.progress import Progress, listening
from presel.config import BatchConfig, GeneratorConfig
from presel.demo.endpoint import Endpoint, looks, serve
from presel.errors import BudgetExceeded, EndpointRefused, EndpointUnavailable
from presel.instruct.batch import client
from presel.instruct.batch.client import BatchClient
from presel.instruct.batch.spool import line_of
from presel.instruct.ledger import Ledger
from presel.instruct.money.purse import spending
from presel.instruct.questions.request import Request, opening
from presel.storage import open_store
from presel.tables import table_store
from tests.instruct.pools import BATCH, PRICES, Pool, generator, reasons, rows
from tests.instruct.run_stage import Worker

STEPS = ("upload", "intent", "create", "poll", "download")


def batch(url: str, finish_live: bool = False, **settings: Any) -> GeneratorConfig:
    how = {name: settings.pop(name) for name in list(settings) if name in BatchConfig.model_fields}
    return generator(url, mode="batch", batch=BATCH.model_copy(update={"finish_live": finish_live, **how}), **settings)


def bill(endpoint: Endpoint) -> float:
    """What a provider that sells batches at half the price would charge, if nothing was asked live."""
    counts = endpoint.counts
    return (PRICES.input_per_million * counts.input_tokens + PRICES.output_per_million * counts.output_tokens) / 2e6


def spent(pool: Pool) -> dict[str, float]:
    return spending(open_store(pool.store))


def texts(ref: Any) -> list[Any]:
    return [(row["sample_id"], row["turns"], row["request"]) for row in rows(ref)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "backoff", lambda _attempt: 0.01)


def test_a_batch_gives_the_turns_of_live_requests_at_half_the_price(tmp_path: Path) -> None:
    one, other = Pool(tmp_path / "one"), Pool(tmp_path / "other")
    with serve(looks) as endpoint:
        there = one.instruct(batch(endpoint.url), picked=8)
        assert (endpoint.counts.total, endpoint.counts.batched) == (0, 8)
        assert spent(one) == {"spent_usd": pytest.approx(bill(endpoint)), "reserved_usd": 0}
        live = other.instruct(generator(endpoint.url), picked=8)
    assert texts(there) == texts(live)
    assert table_store.facts(there)["cost_usd"] == pytest.approx(table_store.facts(live)["cost_usd"] / 2)


def test_answers_of_a_batch_serve_live_requests_and_the_reverse(pool: Pool) -> None:
    with serve(looks) as endpoint:
        pool.instruct(batch(endpoint.url), picked=4)
        pool.forget_tables()
        pool.instruct(generator(endpoint.url), picked=6)
        pool.forget_tables()
        pool.instruct(batch(endpoint.url), picked=8)
    assert (endpoint.counts.batched, endpoint.counts.total) == (4 + 2, 2)


def test_files_are_split_by_count_and_by_bytes(tmp_path: Path) -> None:
    for number, limits in enumerate(({"requests_per_file": 5}, {"megabytes_per_file": 0.01})):
        pool = Pool(tmp_path / str(number))
        with serve(looks) as endpoint:
            ref = pool.instruct(batch(endpoint.url, **limits), picked=12)
            sent = [data for data in endpoint.batches.files.values() if b'"method"' in data]
        assert ref.rows == 12
        assert len(sent) > 2
        assert all(data.count(b"\n") <= 5 for data in sent) or all(len(data) <= 10_000 for data in sent)
        assert len(endpoint.batches.batches) == len(sent)


def test_a_line_of_a_file_is_the_request_as_it_is_sent_live() -> None:
    request = opening("ab" * 32, "t", generator("http://a/v1"))
    line = json.loads(line_of(request, b"AAAA"))
    assert line["custom_id"] == request.key
    assert line["body"] == json.loads(request.body(b"AAAA"))


def test_a_request_comes_back_from_its_document() -> None:
    request = opening("ab" * 32, "t", generator("http://a/v1"))
    assert Request.of(json.loads(json.dumps(request.document()))).key == request.key


def test_metadata_name_store_lease_and_file(pool: Pool) -> None:
    with serve(looks) as endpoint:
        pool.instruct(batch(endpoint.url), picked=2)
    (found,) = endpoint.batches.batches.values()
    assert set(found.metadata) == {"presel_store", "presel_lease", "presel_file"}
    assert found.metadata["presel_lease"] == "0"


@pytest.mark.parametrize("step", STEPS)
def test_kill_9_before(step: str, pool: Pool) -> None:
    """Whatever the step, the next run buys each answer once, and its bytes are those of an undisturbed run."""
    with serve(looks, batch_seconds=0.3) as endpoint:
        os.environ["PRESEL_TEST_URL"] = endpoint.url
        assert Worker(pool.root, "${PRESEL_TEST_URL}", 10, "--batch", "--die-before", step).wait() == -9
        ref = pool.instruct(batch("${PRESEL_TEST_URL}"), picked=10)
        assert endpoint.counts.batched == 10
        assert spent(pool) == {"spent_usd": pytest.approx(bill(endpoint)), "reserved_usd": 0}
        undisturbed = Pool(pool.root / "calm").instruct(batch("${PRESEL_TEST_URL}"), picked=10)
    assert ref.digest == undisturbed.digest


def test_a_live_run_waits_for_the_batch_that_a_dead_one_left(pool: Pool) -> None:
    with serve(looks, batch_seconds=0.3) as endpoint:
        assert Worker(pool.root, endpoint.url, 10, "--batch", "--die-before", "poll").wait() == -9
        ref = pool.instruct(generator(endpoint.url, batch=BATCH), picked=12)
    assert ref.rows == 12
    assert (endpoint.counts.batched, endpoint.counts.total) == (10, 2)


def test_a_batch_at_another_endpoint_is_left_to_whoever_asks_that_one(pool: Pool) -> None:
    with serve(looks, batch_seconds=0.3) as one, serve(looks) as other:
        assert Worker(pool.root, one.url, 6, "--batch", "--die-before", "poll").wait() == -9
        with pytest.raises(BudgetExceeded):  # what that batch holds is not waited for here
            pool.instruct(generator(other.url, max_cost=1.001 * spent(pool)["reserved_usd"]), picked=6)
        assert pool.instruct(batch(other.url), picked=6).rows == 6
        assert other.counts.batched == 6
        assert spent(pool)["reserved_usd"] > 0
        assert pool.instruct(batch(one.url), picked=6).rows == 6
    assert (one.counts.batched, other.counts.batched) == (6, 6)
    assert spent(pool) == {"spent_usd": pytest.approx(bill(one) + bill(other)), "reserved_usd": 0}


def test_a_batch_that_the_provider_does_not_know_stops_the_run_and_is_not_bought_again(pool: Pool) -> None:
    with serve(looks) as endpoint:
        assert Worker(pool.root, endpoint.url, 6, "--batch", "--die-before", "poll").wait() == -9
        hidden = endpoint.batches.batches.pop("batch_0000")  # as for a key of another project
        with pytest.raises(EndpointRefused, match="does not know the batch"):
            pool.instruct(batch(endpoint.url), picked=6)
        endpoint.batches.batches["batch_0000"] = hidden
        assert pool.instruct(batch(endpoint.url), picked=6).rows == 6
    assert endpoint.counts.batched == 6


def test_a_creation_whose_answer_was_lost_is_found_by_its_metadata(pool: Pool) -> None:
    with serve(looks, faults={"reset": 0.5, "truncated": 0.2}, seed=3) as endpoint:
        ref = pool.instruct(batch(endpoint.url, requests_per_file=2, attempts=20), picked=12)
    lost = [fault for fault in endpoint.counts.faults if "POST batches" in fault]
    assert lost
    assert (ref.rows, endpoint.counts.batched, len(endpoint.batches.batches)) == (12, 12, 6)


def test_what_a_batch_leaves_open_can_be_finished_live(pool: Pool) -> None:
    with serve(looks, faults={"batch_expires": 1.0}) as endpoint:
        ref = pool.instruct(batch(endpoint.url, finish_live=True), picked=8)
    assert ref.rows == 8
    assert (endpoint.counts.batched, endpoint.counts.total) == (4, 4)


def test_follow_ups_go_into_another_batch_or_are_asked_live(tmp_path: Path) -> None:
    for live in (False, True):
        with serve(looks, faults={"wrong_schema": 1.0}) as endpoint:
            ref = Pool(tmp_path / str(live)).instruct(batch(endpoint.url, finish_live=live), picked=4)
        assert ref.rows == 4
        assert (endpoint.counts.batched, endpoint.counts.total) == ((4, 4) if live else (8, 0))


def test_a_partly_failed_batch_is_asked_again_for_its_failed_part_only(pool: Pool) -> None:
    with serve(looks, faults={"server_error": 0.2, "rate_limit": 0.1, "filtered_400": 0.2}, seed=5) as endpoint:
        ref = pool.instruct(batch(endpoint.url, attempts=20), picked=12)
    declined = endpoint.counts.faults["filtered_400"]
    assert declined > 0
    assert endpoint.counts.faults["server_error"] > 0
    assert (ref.rows, reasons(ref)) == (12 - declined, ["declined"] * declined)
    assert endpoint.counts.billed == 12 - declined


def test_a_full_queue_at_the_provider_is_only_a_matter_of_time(pool: Pool) -> None:
    with serve(looks, faults={"batch_fails": 0.6}, seed=2) as endpoint:
        ref = pool.instruct(batch(endpoint.url, requests_per_file=3), picked=12)
    assert (ref.rows, endpoint.counts.billed) == (12, 12)
    assert any(found.status == "failed" for found in endpoint.batches.batches.values())


def test_the_cap_holds_in_batches_and_what_was_bought_is_kept(pool: Pool) -> None:
    with serve(looks) as endpoint:
        with pytest.raises(BudgetExceeded):
            pool.instruct(batch(endpoint.url, max_cost=0.0015), picked=12)
        bought = endpoint.counts.batched
        assert 0 < bought < 12
        assert bill(endpoint) <= 0.0015
        ref = pool.instruct(batch(endpoint.url), picked=12)
    assert (ref.rows, endpoint.counts.batched) == (12, 12)


def test_two_workers_with_batches_on_one_image_buy_it_once(pool: Pool) -> None:
    with serve(looks, batch_seconds=0.5) as endpoint:
        workers = [Worker(pool.root, endpoint.url, 10, "--batch") for _ in range(2)]
        assert [worker.wait() for worker in workers] == [0, 0]
    assert endpoint.counts.batched == 10


def test_an_endpoint_without_batches_is_said_to_have_none(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(looks) as endpoint:
        monkeypatch.setattr(endpoint.batches, "reply", lambda _incoming: None)
        with pytest.raises(EndpointRefused, match="no batch API"):
            pool.instruct(batch(endpoint.url), picked=2)
    assert spent(pool) == {"spent_usd": 0, "reserved_usd": 0}


def test_a_run_that_ends_while_a_batch_is_under_way_leaves_it_to_the_next(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from presel.instruct.sharing import drain, resume

    with serve(looks, batch_seconds=1.5) as endpoint:
        retrieve = BatchClient.retrieve

        async def and_stop(self: BatchClient, name: str) -> Any:
            drain(EndpointUnavailable("stopped"))
            return await retrieve(self, name)

        monkeypatch.setattr(BatchClient, "retrieve", and_stop)
        with pytest.raises(EndpointUnavailable, match="stopped"):
            pool.instruct(batch(endpoint.url), picked=6)
        assert spent(pool)["reserved_usd"] > 0
        monkeypatch.setattr(BatchClient, "retrieve", retrieve)
        resume()
        ref = pool.instruct(batch(endpoint.url), picked=6)
    assert (ref.rows, endpoint.counts.batched) == (6, 6)


def test_a_storm_changes_no_turn_of_a_batch(tmp_path: Path) -> None:
    on_the_way = {"rate_limit": 0.1, "server_error": 0.1, "reset": 0.1, "truncated": 0.1, "html": 0.05}
    of_batches = {"batch_expires": 0.3, "batch_fails": 0.1}
    answers = {"refusal": 0.1, "fenced": 0.2, "wrong_schema": 0.1, "length": 0.1}
    found = []
    for name, shares in (("calm", answers), ("storm", {**answers, **on_the_way, **of_batches})):
        with serve(looks, faults=shares, seed=5) as endpoint:
            os.environ["PRESEL_TEST_URL"] = endpoint.url
            pool = Pool(tmp_path / name, images=24)
            settings = batch("${PRESEL_TEST_URL}", requests_per_file=8, attempts=20)
            found.append(texts(pool.instruct(settings, picked=16, clusters=3)))
            assert spent(pool)["spent_usd"] >= bill(endpoint) - 1e-12
            assert len(list(Ledger(open_store(pool.store)).all_keys())) >= endpoint.counts.billed
    assert found[0] == found[1]


def test_progress_tells_what_the_provider_works_on(pool: Pool) -> None:
    heard: list[Progress] = []
    with serve(looks, batch_seconds=0.8) as endpoint, listening(heard.append):
        pool.instruct(batch(endpoint.url), picked=5)
    assert any("5 requests in 1 batches at the provider" in progress.note for progress in heard)
