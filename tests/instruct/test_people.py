"""People as annotators: what is handed out, what comes back, and that it is money and answers like any other."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from presel.config import GeneratorConfig, ImageConfig, PeopleConfig, PromptConfig
from presel.demo.endpoint import looks, serve
from presel.errors import InputError, SupplyError
from presel.instruct.ledger import Ledger
from presel.instruct.money.purse import spending
from presel.instruct.people.agreement import agreement
from presel.instruct.people.handing import Handoff, hand_out
from presel.instruct.people.returned import read
from presel.instruct.people.taking import Taken, take
from presel.runs.pending import pending, why_picked
from presel.storage import open_store
from presel.tables import table_store
from tests.instruct.pools import Pool, generator, reasons, rows
from tests.instruct.test_killed import refresh_of
from tests.refresh.straight import straight

RATE = 36.0
"""US dollars an hour: a cent a second."""


def people(**settings: Any) -> GeneratorConfig:
    return GeneratorConfig(
        kind="people",
        people=PeopleConfig(hourly_rate=RATE, minutes=1.0),
        max_cost=settings.pop("max_cost", 100),
        **settings,
    )


def handed(pool: Pool, asked: GeneratorConfig, picked: int = 8, **how: Any) -> Handoff:
    wanted = sorted(table_store.read(pool.wanted(picked)).to_pylist(), key=lambda row: row["order"])[:picked]
    shape = {"store": pool.store, "source": pool.source, "generator": asked, "images": ImageConfig()}
    return hand_out(wanted, why_picked, **shape, to=str(pool.root / "out"), **{"pictures": "http://x/{key}", **how})


def tasks(pool: Pool) -> list[dict[str, Any]]:
    return json.loads((pool.root / "out" / "tasks.json").read_text())


def annotation(task: dict[str, Any], question: str = "What is it?", response: str = "A shape.", **about: Any) -> Any:
    """As Label Studio exports a task with one annotation."""
    fields = {"question_1": question, "response_1": response}
    result = [
        {"from_name": name, "to_name": "image", "type": "textarea", "value": {"text": [text]}}
        for name, text in fields.items()
    ]
    about = {"completed_by": {"id": 1, "email": "ann@example.org"}, "lead_time": 20.0, "was_cancelled": False, **about}
    return {"id": 1, "data": task["data"], "annotations": [{"id": 7, "result": result, **about}]}


def handed_in(pool: Pool, documents: object, asked: GeneratorConfig | None = None) -> Taken:
    file = pool.root / "export.json"
    file.write_text(documents if isinstance(documents, str) else json.dumps(documents))
    return take(open_store(pool.store), (asked or people()).people, read(str(file)))


def test_half_of_the_answers_make_half_of_the_table_and_the_rest_waits_with_its_seats(pool: Pool) -> None:
    before = pool.instruct(people(), picked=8)
    assert (before.rows, reasons(before)) == (0, ["pending"] * 8)
    handed(pool, people())
    first = handed_in(pool, [annotation(task) for task in tasks(pool)[:4]])
    assert (first.taken, first.refused) == (4, [])
    half = pool.instruct(people(), picked=8)
    assert (half.rows, reasons(half), table_store.facts(half)["shortfall"]) == (4, ["pending"] * 4, 4)
    assert {(row["model"], round(row["cost_usd"], 9)) for row in rows(half)} == {("people", 0.2)}
    handed_in(pool, [annotation(task) for task in tasks(pool)])
    whole = pool.instruct(people(), picked=8)
    assert (whole.rows, whole.rejects, pool.instruct(people(), picked=8)) == (8, 0, whole)


def test_what_is_handed_in_twice_is_paid_once(pool: Pool) -> None:
    handed(pool, people())
    export = [annotation(task) for task in tasks(pool)]
    assert handed_in(pool, export + export).taken == 8
    again = handed_in(pool, export)
    assert (again.taken, again.known, again.cost_usd) == (0, 8, 0.0)
    assert spending(open_store(pool.store)) == {"spent_usd": pytest.approx(8 * 0.2), "reserved_usd": 0.0}


def test_what_is_answered_is_never_handed_out_again(pool: Pool) -> None:
    handed(pool, people())
    handed_in(pool, [annotation(task) for task in tasks(pool)[:5]])
    assert handed(pool, people()).tasks == 3


def test_a_skipped_picture_gives_its_seat_to_the_next(pool: Pool) -> None:
    handed(pool, people())
    done = handed_in(pool, [annotation(task, was_cancelled=task is tasks(pool)[0]) for task in tasks(pool)[:7]])
    skipped = annotation(tasks(pool)[7], "", "", was_cancelled=True)
    done = handed_in(pool, [skipped])
    assert (done.taken, done.skipped) == (1, 1)
    ref = pool.instruct(people(), picked=8)
    assert (ref.rows, sorted(reasons(ref))) == (7, ["pending", "refused"])  # the ninth image is asked for in its place


def test_the_cap_bounds_what_is_handed_out_and_every_second_counts_in_it(pool: Pool) -> None:
    poor = people(max_cost=3.0)  # a picture is expected to take a minute: 0.60
    done = handed(pool, poor)
    assert (done.tasks, done.held_back, done.expected_usd) == (5, 3, pytest.approx(3.0))
    handed_in(pool, [annotation(task, lead_time=50) for task in tasks(pool)])
    assert spending(open_store(pool.store))["spent_usd"] == pytest.approx(2.5)
    assert handed(pool, poor).tasks == 0


@pytest.mark.parametrize("said", [1e12, math.inf, math.nan, -5, "soon", None, [], True])
def test_a_time_that_nobody_can_have_taken_costs_no_more_than_the_longest(said: object, pool: Pool) -> None:
    handed(pool, people())
    done = handed_in(pool, [annotation(tasks(pool)[0], lead_time=said)])
    assert done.taken == 1
    assert 0 <= done.cost_usd <= RATE / 2


def test_strangers_and_broken_things_are_refused_with_their_reasons_and_the_others_taken(pool: Pool) -> None:
    handed(pool, people())
    good, edited, foreign, empty, long = tasks(pool)[:5]
    edited = {"data": {**edited["data"], "sample_id": good["data"]["sample_id"]}}
    foreign = {"data": {**foreign["data"], "presel": "f" * 32}}
    export = [
        annotation(good, response="\x00\ud800 <b>A shape</b>"),
        annotation(edited),
        annotation(foreign),
        annotation(empty, response="  "),
        annotation(long, response="x" * 3_000_000),
        {"data": good["data"], "annotations": [None, {"result": "nothing"}, {"result": [1, {"value": {"text": 5}}]}]},
        {"id": 3},
        7,
        {"data": {}, "annotations": []},
    ]
    done = handed_in(pool, export)
    assert done.taken == 1
    found = sorted(refused.reason for refused in done.refused)
    assert found == ["empty", "empty", "empty", "foreign", "foreign", "foreign", "schema", "schema", "too_long"]
    assert pool.instruct(people(), picked=8).rows == 1


@pytest.mark.parametrize("text", ['[{"data": ', "", "\x00", "[" * 100_000, "nothing"])
def test_a_file_that_is_no_json_is_one_refusal(text: str, pool: Pool) -> None:
    done = handed_in(pool, text)
    assert [refused.reason for refused in done.refused] == ["invalid_json"]


def test_a_folder_of_annotations_is_read_and_a_broken_one_among_them_named(pool: Pool) -> None:
    handed(pool, people())
    target = pool.root / "target"
    target.mkdir()
    for number, task in enumerate(tasks(pool)):
        whole = annotation(task)
        (target / str(number)).write_text(
            json.dumps({**whole["annotations"][0], "task": {"id": 1, "data": whole["data"]}})
        )
    (target / "3").write_text("{cut")
    done = take(open_store(pool.store), people().people, read(str(target)))
    assert (done.taken, [(r.place, r.reason) for r in done.refused]) == (7, [("3", "invalid_json")])


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_rows_that_another_tool_filled_come_back_the_same_way(form: str, pool: Pool) -> None:
    handed(pool, people())
    import csv
    import io

    written = (pool.root / "out" / f"tasks.{form}").read_text()
    found = (
        list(csv.DictReader(io.StringIO(written))) if form == "csv" else [json.loads(x) for x in written.splitlines()]
    )
    for row in found[:6]:
        row |= {"question_1": "What?", "response_1": 'A "shape",\nround.', "annotator": "bo", "lead_time": "30"}
    file = pool.root / f"filled.{form}"
    if form == "csv":
        with file.open("w", encoding="utf-16") as sink:  # as a spreadsheet saves it
            writer = csv.DictWriter(sink, found[0].keys(), delimiter=";")
            writer.writeheader()
            writer.writerows(found)
    else:
        file.write_text("\n".join(map(json.dumps, found)) + "\nno row\n")
    done = take(open_store(pool.store), people().people, read(str(file)))
    assert (done.taken, len(done.refused)) == (6, form == "jsonl")
    assert pool.instruct(people(), picked=8).rows == 6


def test_a_second_opinion_is_kept_and_paid_and_the_first_one_counts(pool: Pool) -> None:
    handed(pool, people())
    handed_in(pool, [annotation(task, response="a red round shape") for task in tasks(pool)])
    bo = {"completed_by": 2, "lead_time": 10.0}
    done = handed_in(pool, [annotation(task, response="a red shape", **bo) for task in tasks(pool)[:4]])
    assert (done.taken, done.further) == (4, 4)
    changed = handed_in(pool, [annotation(tasks(pool)[0], response="another word", **bo)])
    assert [refused.reason for refused in changed.refused] == ["answered"]
    assert {row["turns"][0]["response"] for row in rows(pool.instruct(people(), picked=8))} == {"a red round shape"}
    (row,) = agreement(Ledger(open_store(pool.store)))
    assert (row["task"], row["pair"], row["pictures"], row["same"]) == (pool.task, "two people", 4, 0.0)
    assert row["overlap"] == pytest.approx(6 / 7)


def test_a_draft_of_the_api_is_bought_once_and_agreement_with_it_is_shown(pool: Pool) -> None:
    with serve(looks) as endpoint:
        api = generator(endpoint.url, kind="people", people=PeopleConfig(hourly_rate=RATE))
        assert handed(pool, api, drafts=True).drafts == 8
        assert handed(pool, api, drafts=True).drafts == 8
        assert endpoint.counts.total == 8
    draft = {part["from_name"]: part["value"]["text"][0] for part in tasks(pool)[0]["predictions"][0]["result"]}
    handed_in(pool, [annotation(tasks(pool)[0], draft["question_1"], draft["response_1"])])
    (row,) = agreement(Ledger(open_store(pool.store)))
    assert (row["pair"], row["same"], row["overlap"]) == ("API and people", 1.0, 1.0)


def test_one_task_by_people_needs_no_key_and_no_price(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = GeneratorConfig(
        model="nobody-knows-its-price",
        api_key_env="PRESEL_NO_SUCH_KEY",
        max_cost=1,
        people=PeopleConfig(hourly_rate=0),
        prompts={pool.task: PromptConfig(by="people")},
    )
    assert reasons(pool.instruct(asked, picked=3)) == ["pending"] * 3


@pytest.mark.parametrize("more", [{"judge": "It is true."}, {"template": "{{ caption }}"}, {"answer_schema": "{}"}])
def test_what_people_cannot_be_asked_is_refused_before_anything_starts(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="by: api"):
        people(prompt=PromptConfig(**more))


def test_what_an_api_was_asked_before_keeps_its_key_beside_people() -> None:
    from presel.instruct.questions.request import opening

    plain = GeneratorConfig(max_cost=1)
    assert opening("c" * 64, "t", plain).key == "93652a0d1a4ca9710408dfa9e07f0842"
    assert opening("c" * 64, "t", people()).key != opening("c" * 64, "t", plain).key


def test_an_inline_picture_is_in_the_task_and_a_lost_one_is_a_reject(pool: Pool) -> None:
    pool.file(0).unlink()
    done = handed(pool, people(), pictures="inline")
    assert (done.tasks, [refused.reason for refused in done.rejects]) == (7, ["unreadable"])
    assert all(task["data"]["image"].startswith("data:image/jpeg;base64,") for task in tasks(pool))


def test_a_file_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read(str(tmp_path / "nothing.json")))


def test_a_refresh_publishes_what_has_come_and_says_what_waits(tmp_path: Path) -> None:
    pool = Pool(tmp_path, images=24)
    config = refresh_of(tmp_path, "store").model_copy(update={"generator": people()})
    with pytest.raises(SupplyError, match="presel handoff"):
        straight(config)
    handed(pool, config.generator, picked=24)
    handed_in(pool, [annotation(task) for task in tasks(pool)[:12]])
    record = straight(config)
    assert record.dataset is not None
    which, waiting = pending(record)
    budget = 22  # 95 % of 24: of the 12 that came back up to two are beyond it
    asked = [*record.reference_instructions, *record.instructions]
    waits = sum(reasons(ref).count("pending") for ref in asked)
    assert budget <= record.dataset.records + waits <= budget + 2  # a reference image that waits holds no seat
    assert 10 <= record.dataset.records <= 12
    where = {"reference": record.reference_instructions, "selection": record.instructions}[which]
    assert len(waiting) == sum(reasons(ref).count("pending") for ref in where)
    assert [row["order"] for row in waiting] == sorted(row["order"] for row in waiting)
    assert all(why_picked(row).endswith(pool.task) for row in waiting)
    handed_in(pool, [annotation(task) for task in tasks(pool)])
    whole = straight(config)
    assert whole.dataset is not None
    assert (whole.dataset.version, pending(whole)[1]) == (2, [])
    assert whole.dataset.records == budget
