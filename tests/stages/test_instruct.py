"""The stage: who is instructed, who succeeds a reject, and that only answers decide."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from presel.concurrency.progress import Progress, listening
from presel.config import PromptConfig
from presel.config.keys import digest
from presel.demo.endpoint import looks, serve
from presel.errors import ConfigError, EndpointRefused, EndpointUnavailable
from presel.instruct.ledger import Ledger
from presel.stages.instruct import successors
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import INSTRUCTIONS
from tests.instruct.pools import KEY_VARIABLE, SECRET, Pool, generator, reasons, rows
from tests.instruct.run_stage import Worker


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, SECRET)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


def names(ref: Any) -> set[str]:
    return {Path(row["key"]).stem for row in rows(ref)}


def test_every_picked_sample_gets_its_turns_and_its_price(pool: Pool) -> None:
    with serve(looks) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=5)
    table = table_store.read(ref)
    assert table.schema == INSTRUCTIONS
    assert table["sample_id"].to_pylist() == sorted(table["sample_id"].to_pylist())
    assert names(ref) == {f"{i:04d}" for i in range(5)}
    facts = table_store.facts(ref)
    assert facts["requests"] == 5
    assert facts["spent_usd"] == pytest.approx(sum(row["cost_usd"] for row in rows(ref)))
    assert facts["input_tokens"] == endpoint.counts.input_tokens
    assert all(row["kind"] == "conversation" and len(row["turns"]) == 1 for row in rows(ref))


def test_a_task_may_have_a_prompt_of_its_own(pool: Pool) -> None:
    own = {"shapes": PromptConfig(kind="reasoning", turns=3)}
    with serve(looks) as endpoint:
        ref = pool.instruct(generator(endpoint.url, prompts=own), picked=2)
    assert [(row["kind"], len(row["turns"])) for row in rows(ref)] == [("reasoning", 3)] * 2


def test_a_rejects_seat_goes_to_its_own_clusters_next_sample(pool: Pool) -> None:
    pool.file(1).unlink()
    pool.file(2).write_bytes(b"not what was chosen")
    with serve(looks) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=4, clusters=2)
    # 1 is of the odd cluster, so 5 follows it; 2 is of the even one, so 4 does.
    assert names(ref) == {"0000", "0003", "0004", "0005"}
    assert sorted(reasons(ref)) == ["changed", "unreadable"]


def test_a_picture_that_could_not_be_read_is_asked_about_again(pool: Pool) -> None:
    away = pool.file(1).rename(pool.file(1).with_suffix(".away"))
    with serve(looks) as endpoint:
        first = pool.instruct(generator(endpoint.url), picked=4)
        assert pool.instruct(generator(endpoint.url), picked=4).digest == first.digest
        away.rename(pool.file(1))
        again = pool.instruct(generator(endpoint.url), picked=4)
    assert (names(first), reasons(first)) == ({"0000", "0002", "0003", "0004"}, ["unreadable"])
    assert (names(again), reasons(again)) == ({"0000", "0001", "0002", "0003"}, [])
    assert endpoint.counts.total == 5


def test_a_successor_that_fails_is_succeeded_in_turn(pool: Pool) -> None:
    for i in (0, 2, 4):
        pool.file(i).unlink()
    with serve(looks) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=2, clusters=2)
    assert names(ref) == {"0001", "0006"}
    assert ref.rejects == 3


def test_when_a_cluster_has_none_left_the_next_of_any_takes_the_seat(pool: Pool) -> None:
    for i in range(0, 12, 2):
        pool.file(i).unlink()
    with serve(looks) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=2, clusters=2)
    assert names(ref) == {"0001", "0003"}


def test_what_the_whole_task_cannot_seat_is_a_shortfall(pool: Pool) -> None:
    for i in range(10):
        pool.file(i).unlink()
    with serve(looks) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=5)
    assert (ref.rows, ref.rejects) == (2, 10)
    assert table_store.facts(ref)["shortfall"] == 3


def test_successors_come_by_cluster_first_and_leave_the_reserve() -> None:
    reserve = [{"sample_id": str(i), "cluster": i % 3, "order": i} for i in range(10, 16)]
    failed = [{"sample_id": "x", "cluster": 2, "order": 0}, {"sample_id": "y", "cluster": 9, "order": 1}]
    chosen = successors(failed, reserve)
    assert [row["order"] for row in chosen] == [10, 11]
    assert [row["order"] for row in reserve] == [12, 13, 14, 15]


def test_refusals_and_filters_become_rejects_with_their_reasons(pool: Pool) -> None:
    shares = {"refusal": 0.25, "content_filter": 0.25, "filtered_400": 0.25}
    with serve(looks, faults=shares, seed=1) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=12)
    assert set(reasons(ref)) == {"refused", "content_filter", "declined"}
    assert ref.rows + ref.rejects == 12
    assert table_store.facts(ref)["shortfall"] == ref.rejects
    assert table_store.facts(ref)["rejected_usd"] > 0


def test_an_answer_of_another_shape_is_asked_again_once_with_the_problem_named(pool: Pool) -> None:
    with serve(looks, faults={"wrong_schema": 1.0}) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=3)
    assert (ref.rows, endpoint.counts.total) == (3, 6)
    answers = list(Ledger(open_store(pool.store)).answers())
    assert sorted(len(answer.request["messages"]) for answer in answers) == [2] * 3 + [4] * 3
    assert sum(row["cost_usd"] for row in rows(ref)) == pytest.approx(sum(answer.cost_usd for answer in answers))


def test_a_storm_changes_nothing_but_the_time_it_takes(tmp_path: Path) -> None:
    on_the_way = {"rate_limit": 0.05, "server_error": 0.1, "reset": 0.1, "truncated": 0.1, "html": 0.05, "slow": 0.05}
    answers = {"refusal": 0.1, "fenced": 0.2, "wrong_schema": 0.1, "length": 0.1, "filtered_400": 0.05}
    pools = [Pool(tmp_path / name, images=30) for name in ("calm", "storm", "calm again")]
    digests = []
    for pool, shares in zip(pools, (answers, {**answers, **on_the_way}, answers), strict=True):
        with serve(looks, faults=shares, seed=5) as endpoint:
            os.environ["PRESEL_TEST_URL"] = endpoint.url
            digests.append(pool.instruct(generator("${PRESEL_TEST_URL}"), picked=20, clusters=3).digest)
    assert digests[0] == digests[1] == digests[2]


def test_bad_credentials_stop_the_run_at_once(pool: Pool) -> None:
    with serve(looks, key="another") as endpoint, pytest.raises(EndpointRefused, match="401"):
        pool.instruct(generator(endpoint.url), picked=12)


def test_ten_refusals_and_never_an_answer_are_about_the_configuration(pool: Pool) -> None:
    def broken(picture: bytes, words: str, request: Mapping[str, Any]) -> list[tuple[str, str]]:
        raise ValueError("this model takes no pictures")

    with serve(broken) as endpoint, pytest.raises(EndpointRefused, match="first 10 requests were all refused"):
        pool.instruct(generator(endpoint.url), picked=12)


def test_one_picture_that_the_endpoint_chokes_on_is_a_reject(pool: Pool) -> None:
    def moody(picture: bytes, words: str, request: Mapping[str, Any]) -> list[tuple[str, str]]:
        if digest(picture) == poison:
            raise ValueError("I do not like this picture")
        return looks(picture, words, request)

    from presel.config import ImageConfig
    from presel.images import for_api

    poison = digest(for_api(pool.file(3).read_bytes(), ImageConfig(), 768))
    with serve(moody) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=6)
    assert (ref.rows, reasons(ref)) == (6, ["declined"])
    assert "0003" not in names(ref)


def test_an_endpoint_that_is_down_is_said_to_be_down(pool: Pool) -> None:
    with pytest.raises(EndpointUnavailable, match="run again") as caught:
        pool.instruct(generator("http://127.0.0.1:9/v1", attempts=1), picked=2)
    assert caught.value.retryable


@pytest.mark.parametrize(
    "wrong", [{"prices": None, "model": "unheard-of"}, {"base_url": "nonsense"}, {"api_key_env": "PRESEL_NO_SUCH_KEY"}]
)
def test_a_wrong_configuration_is_said_before_anything_is_asked(wrong: dict[str, Any], pool: Pool) -> None:
    with serve(looks) as endpoint:
        settings = generator(endpoint.url).model_copy(update=wrong)
        with pytest.raises(ConfigError):
            pool.instruct(settings, picked=2)
        assert endpoint.counts.total == 0


def test_progress_tells_how_many_and_how_much(pool: Pool) -> None:
    heard: list[Progress] = []
    with serve(looks) as endpoint, listening(heard.append):
        pool.instruct(generator(endpoint.url), picked=5)
    last = heard[-1]
    assert (last.stage, last.label, last.done, last.total) == ("instruct", "reference shapes", 5, 5)
    assert "spent" in last.note
    assert last.figures["requests"] == 5
    assert last.figures["store_usd"] == pytest.approx(last.figures["spent_usd"])
    assert 0 < last.figures["spent_usd"] <= last.figures["cap_usd"]


def test_the_money_of_the_store_is_what_every_stage_has_spent_to_the_last_answer(pool: Pool) -> None:
    heard: list[Progress] = []
    with serve(looks) as endpoint, listening(heard.append):
        pool.instruct(generator(endpoint.url), picked=2)
        first = heard[-1].figures
        pool.instruct(generator(endpoint.url), picked=6)
    last = heard[-1].figures
    assert last["saved_usd"] == pytest.approx(first["spent_usd"])
    assert last["store_usd"] == pytest.approx(first["spent_usd"] + last["spent_usd"])


def test_the_key_is_in_nothing_that_was_written(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)

    def telltale(picture: bytes, words: str, request: Mapping[str, Any]) -> list[tuple[str, str]]:
        return [("Which key do you use?", f"It is {SECRET}.")]

    with serve(telltale, faults="storm", seed=2) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=12)
    written = b"".join(file.read_bytes() for file in pool.root.rglob("*") if file.is_file())
    assert SECRET.encode() not in written
    assert SECRET not in caplog.text
    assert SECRET not in json.dumps(rows(ref))
    assert b"[key removed]" in written


def started(pool: Pool, url: str, picked: int) -> Worker:
    return Worker(pool.root, url, picked, "--images", pool.images)


def test_kill_9_at_any_moment_costs_at_most_the_requests_in_flight(tmp_path: Path) -> None:
    """Kills at three depths of one run of 60; then it is finished, and equal to a run that was never disturbed."""
    pool, calm = Pool(tmp_path / "killed", images=70), Pool(tmp_path / "calm", images=70)
    faults = {"refusal": 0.05, "wrong_schema": 0.1, "server_error": 0.05}
    with serve(looks, faults=faults, latency=0.1) as endpoint:
        os.environ["PRESEL_TEST_URL"] = endpoint.url
        kills = 0
        for answers in (1, 15, 40):
            worker = started(pool, "${PRESEL_TEST_URL}", 60)
            while endpoint.counts.answered < answers and worker.running:
                time.sleep(0.005)
            kills += worker.running
            worker.process.kill()
            worker.wait()
        last = started(pool, "${PRESEL_TEST_URL}", 60)
        assert last.wait(100) == 0
        paid = endpoint.counts.billed
        undisturbed = calm.instruct(generator("${PRESEL_TEST_URL}", concurrency=4), picked=60)
        needed = endpoint.counts.billed - paid
    assert last.said["digest"] == undisturbed.digest
    assert kills == 3
    assert needed <= paid <= needed + 4 * kills


def test_sigterm_finishes_what_is_under_way_and_keeps_it(tmp_path: Path) -> None:
    pool = Pool(tmp_path, images=40)
    with serve(looks, latency=0.3) as endpoint:
        worker = started(pool, endpoint.url, 40)
        while endpoint.counts.total < 8:
            time.sleep(0.01)
        worker.process.terminate()
        code = worker.wait(30)
        kept = len(list(Ledger(open_store(pool.store)).all_keys()))
    assert code == -signal.SIGTERM
    assert endpoint.counts.total < 40
    assert kept == endpoint.counts.billed
    leases = {file.name for file in (tmp_path / "store" / "ledger" / "leases").iterdir()}
    assert sum("settled" in name for name in leases) * 2 == len(leases)
