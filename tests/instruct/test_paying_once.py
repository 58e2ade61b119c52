"""The eleven ways to pay twice, and the reverse: a stale answer after any input of the key has changed.

Payments are counted where they are made: at the endpoint.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from presel.config import PromptConfig
from presel.demo.endpoint import looks, serve
from presel.demo.setting import s3_server
from presel.errors import StorageUnavailable
from presel.instruct import keeping
from presel.instruct.endpoint.client import Client
from presel.instruct.endpoint.outcomes import Answered, Outcome
from presel.instruct.ledger import Ledger
from presel.instruct.questions.request import Request, opening
from presel.instruct.questions.schemas import SCHEMA
from presel.storage import open_store
from presel.storage.folder import FolderStore
from presel.tables import table_store
from presel.tables.turn import Turn
from tests.instruct.pools import BATCH, Pool, generator, reasons, rows
from tests.instruct.run_stage import Worker


def test_a_crash_between_answer_and_durable_write_costs_at_most_the_requests_in_flight(pool: Pool) -> None:
    with serve(looks, latency=0.03) as endpoint:
        assert Worker(pool.root, endpoint.url, 12, "--die-at-answer", 5).wait() == -9
        before = endpoint.counts.billed
        kept = len(list(Ledger(open_store(pool.store)).all_keys()))
        finished = pool.instruct(generator(endpoint.url, concurrency=4), picked=12)
    assert kept < 12
    assert before - kept <= 4
    assert endpoint.counts.billed <= 12 + 4
    assert finished.rows == 12


def test_a_client_time_out_is_tried_again_by_us_alone_and_counted_as_spent(pool: Pool) -> None:
    with serve(looks, faults={"hang": 0.3}, seed=1) as endpoint:
        ref = pool.instruct(generator(endpoint.url, timeout=0.3), picked=6)
    hung = endpoint.counts.faults["hang"]
    settled = [json.loads(file.read_text()) for file in Path(pool.store, "ledger/leases").glob("*-settled.json")]
    assert hung > 0
    assert ref.rows == 6
    assert endpoint.counts.total == 6 + hung
    assert sum(lease["lost"] for lease in settled) > 0


@pytest.mark.parametrize("fault", ["reset", "server_error", "rate_limit"])
def test_the_sdk_tries_nothing_again_by_itself(fault: str, pool: Pool) -> None:
    async def ask(url: str) -> Outcome:
        client = Client(generator(url, timeout=2.0))
        try:
            return await client.ask(opening(pool.content[0], "t", client_settings), b"")
        finally:
            await client.close()

    client_settings = generator("http://a/v1")
    with serve(looks, faults={fault: 1.0}) as endpoint:
        assert not isinstance(asyncio.run(ask(endpoint.url)), Answered)
        assert endpoint.counts.total == 1


def test_invalid_json_is_mended_here_and_not_asked_again(pool: Pool) -> None:
    with serve(looks, faults={"fenced": 1.0}) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=12)
    assert (ref.rows, ref.rejects, endpoint.counts.total) == (12, 0, 12)


def test_a_cut_answer_is_asked_again_once_with_more_room(pool: Pool) -> None:
    with serve(looks, faults={"length": 1.0}) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=12)
        limits = {answer.request["parameters"]["max_tokens"] for answer in Ledger(open_store(pool.store)).answers()}
    assert (ref.rows, endpoint.counts.total) == (12, 24)
    assert limits == {800, 1600}


def test_an_answer_that_is_cut_again_with_more_room_is_given_up(pool: Pool) -> None:
    with serve(looks, faults={"length": 1.0}) as endpoint:
        ref = pool.instruct(generator(endpoint.url, max_output_tokens=400), picked=3, images=3)
    assert reasons(ref) == ["length"] * 3
    assert endpoint.counts.total == 6


def test_the_order_of_rows_and_the_rest_of_the_pool_are_not_in_the_key(pool: Pool) -> None:
    with serve(looks) as endpoint:
        pool.instruct(generator(endpoint.url), picked=5, images=5)
        pool.content.reverse()
        for i, content in enumerate(pool.content):  # the same images under other names
            assert content
            pool.file(i).with_suffix(".tmp").write_bytes(pool.file(11 - i).read_bytes())
        for i in range(12):
            pool.file(i).with_suffix(".tmp").replace(pool.file(i))
        ref = pool.instruct(generator(endpoint.url), picked=12)
    assert ref.rows == 12
    assert endpoint.counts.total == 12


def test_the_key_holds_no_time_and_no_reencoded_bytes(pool: Pool) -> None:
    with serve(looks) as endpoint:
        pool.instruct(generator(endpoint.url), picked=2)
        answers = list(Ledger(open_store(pool.store)).answers())
    for answer in answers:
        text = json.dumps(answer.request)
        assert "base64" not in text
        assert len(text) < 3000
        assert set(answer.request) == {"content", "picture", "messages", "schema", "model", "parameters", "base_url"}


def test_a_better_parser_is_replayed_from_the_ledger(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    from presel.instruct.questions import dialogue, parsing

    with serve(looks) as endpoint:
        settings = generator(endpoint.url)
        before = pool.instruct(settings, picked=6)

        def improved(*asked):  # type: ignore[no-untyped-def]
            found = parsing.read(*asked)
            return tuple(Turn(turn.question.upper(), turn.response) for turn in found)

        monkeypatch.setattr(dialogue, "read", improved)
        pool.forget_tables()
        after = pool.instruct(settings, picked=6)
    assert endpoint.counts.total == 6
    assert after.digest != before.digest
    assert all(row["turns"][0]["question"].isupper() for row in rows(after))


def test_a_batch_whose_id_was_not_stored_is_found_and_not_created_again(pool: Pool) -> None:
    with serve(looks, batch_seconds=0.3) as endpoint:
        assert Worker(pool.root, endpoint.url, 8, "--batch", "--die-before", "id").wait() == -9
        assert len(endpoint.batches.batches) == 1
        ref = pool.instruct(generator(endpoint.url, mode="batch", batch=BATCH), picked=8)
    assert (ref.rows, endpoint.counts.batched, len(endpoint.batches.batches)) == (8, 8, 1)


def test_an_expired_batchs_finished_part_is_kept_and_only_the_rest_is_asked_again(pool: Pool) -> None:
    with serve(looks, faults={"batch_expires": 1.0}) as endpoint:
        ref = pool.instruct(generator(endpoint.url, mode="batch", batch=BATCH), picked=8)
    assert (ref.rows, endpoint.counts.billed) == (8, 8)
    assert len(endpoint.batches.batches) == 4  # of 8, 4, 2 and 1 requests: each finished half of its own


def test_two_workers_on_one_image_buy_it_once(pool: Pool) -> None:
    with serve(looks, latency=0.05) as endpoint:
        workers = [Worker(pool.root, endpoint.url, 12, "--label", name) for name in ("a", "b", "c")]
        assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert endpoint.counts.total == 12


def test_two_threads_on_one_image_buy_it_once(pool: Pool) -> None:
    with serve(looks, latency=0.05) as endpoint, ThreadPoolExecutor(4) as threads:
        settings = generator(endpoint.url)
        refs = list(threads.map(lambda picked: pool.instruct(settings, picked), (12, 11, 10, 9)))
    assert [ref.rows for ref in refs] == [12, 11, 10, 9]
    assert endpoint.counts.total == 12


def test_a_new_run_and_a_refresh_pay_only_for_what_is_new(pool: Pool) -> None:
    with serve(looks) as endpoint:
        settings = generator(endpoint.url)
        first = pool.instruct(settings, picked=6)
        again = pool.instruct(settings, picked=6)
        assert (again, endpoint.counts.total) == (first, 6)
        more = pool.instruct(settings, picked=7)
    facts = table_store.facts(more)
    assert endpoint.counts.total == 7
    assert (facts["requests"], facts["reused"]) == (1, 6)
    assert facts["spent_usd"] < facts["cost_usd"]


def test_it_is_the_same_on_s3(tmp_path: Path) -> None:
    with s3_server() as bucket, serve(looks, faults={"reset": 0.1}, seed=4) as endpoint:

        class OnS3(Pool):
            store = f"{bucket}/store"

        pool, settings = OnS3(tmp_path, images=20), generator(endpoint.url)
        first = pool.instruct(settings, picked=10)
        more = pool.instruct(settings, picked=11)
    assert (first.rows, more.rows) == (10, 11)
    assert endpoint.counts.total == 11 + endpoint.counts.faults["reset"]
    assert endpoint.counts.faults["reset"] > 0


def test_a_store_that_fails_for_a_moment_does_not_cost_an_answer(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([True, True, False, True])
    create = FolderStore.create

    def moody(self: FolderStore, path: str, data: bytes) -> None:
        if path.startswith("ledger/answers") and next(failures, False):
            raise StorageUnavailable("slow down")
        create(self, path, data)

    monkeypatch.setattr(FolderStore, "create", moody)
    monkeypatch.setattr(keeping, "backoff", lambda _attempt: 0.01)
    with serve(looks) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=6)
    assert (ref.rows, endpoint.counts.total) == (6, 6)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "another"},
        {"temperature": 0.9},
        {"seed": 1},
        {"request": {"seed": None}},
        {"request": {"response_format": "json"}},
        {"request": {"reasoning_effort": "low"}},
        {"request": {"extra_body": {"top_k": 1}}},
        {"max_output_tokens": 801},
        {"image_detail": "high"},
        {"prompt": PromptConfig(system="Be brief.")},
        {"prompt": PromptConfig(kind="reasoning")},
        {"prompt": PromptConfig(language="Deutsch")},
        {"prompt": PromptConfig(turns=2)},
        {"prompt": PromptConfig(examples=(({"question": "How many?", "response": "Two."},),))},
        {"prompts": {"shapes": PromptConfig(template="Count the shapes.")}},
        {"prompt": PromptConfig(answer_schema={**SCHEMA, "description": "One turn."})},
    ],
    ids=str,
)
def test_no_stale_answer_after_a_change_of(changed: dict[str, object], pool: Pool) -> None:
    with serve(looks) as endpoint:
        pool.instruct(generator(endpoint.url), picked=2)
        pool.instruct(generator(endpoint.url, **changed), picked=2)
    assert endpoint.counts.total == 4


def test_no_stale_answer_from_another_endpoint(pool: Pool) -> None:
    with serve(looks) as one, serve(looks) as other:
        pool.instruct(generator(one.url), picked=2)
        pool.instruct(generator(other.url), picked=2)
    assert (one.counts.total, other.counts.total) == (2, 2)


def test_what_only_changes_how_to_ask_asks_nothing_again(pool: Pool) -> None:
    with serve(looks) as endpoint:
        pool.instruct(generator(endpoint.url), picked=4)
        pool.forget_tables()
        pool.instruct(generator(endpoint.url, timeout=33.0, concurrency=2, max_cost="unlimited", attempts=2), picked=4)
    assert endpoint.counts.total == 4


def test_other_bytes_under_an_old_name_are_another_image(pool: Pool) -> None:
    with serve(looks) as endpoint:
        pool.instruct(generator(endpoint.url), picked=2)
        changed = Pool(pool.root / "other", images=2)
        changed.file(0).write_bytes(pool.file(7).read_bytes())
        ref = changed.instruct(generator(endpoint.url), picked=1, images=1)
    assert reasons(ref) == ["changed"]


def test_a_better_way_to_make_pictures_asks_nothing_again(pool: Pool) -> None:
    with serve(looks, faults={"wrong_schema": 0.3}, seed=3) as endpoint:
        turns = [row["turns"] for row in rows(pool.instruct(generator(endpoint.url), picked=12))]
        asked = endpoint.counts.total
        store = open_store(pool.store)
        for answer in list(Ledger(store).answers()):  # as the release before would have kept them
            (older,) = Request.of(answer.request).earlier()
            store.delete(f"ledger/answers/{answer.key[:2]}/{answer.key}.json")
            Ledger(store).keep(replace(answer, key=older.key, request=older.document()))
        pool.forget_tables()
        again = pool.instruct(generator(endpoint.url), picked=12)
    assert asked > 12
    assert endpoint.counts.total == asked
    assert [row["turns"] for row in rows(again)] == turns
