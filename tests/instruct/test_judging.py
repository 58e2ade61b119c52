from __future__ import annotations

import json

import pytest

from presel.config import PromptConfig
from presel.demo.endpoint import looks, serve
from presel.instruct.questions.judging import SCHEMA, judge
from presel.instruct.questions.parsing import Problem
from presel.instruct.questions.request import Request
from presel.tables import table_store
from presel.tables.turn import Turn
from tests.instruct.pools import Pool, generator, reasons, rows
from tests.instruct.test_parsing import OPENING, answer

TURNS = [Turn("What is it?", "A dog.")]
JUDGED = PromptConfig(judge="The response is true of the image.")


def test_a_judge_sees_the_picture_the_turns_and_the_criteria() -> None:
    asked = judge(OPENING, TURNS, "It is true.", [])
    assert isinstance(asked, Request)
    assert asked.schema == SCHEMA
    assert asked.messages[0]["content"].endswith("It is true.")
    assert "A dog." in asked.messages[1]["content"][0]["text"]
    assert asked.body(b"AAAA").count(b"data:image/jpeg;base64,AAAA") == 1
    assert asked.key != OPENING.key


@pytest.mark.parametrize("other", [("It is short.", "A dog."), ("It is true.", "A cat.")])
def test_other_criteria_or_other_turns_are_another_question(other: tuple[str, str]) -> None:
    one, two = judge(OPENING, TURNS, "It is true.", []), judge(OPENING, [Turn("What is it?", other[1])], other[0], [])
    assert isinstance(one, Request)
    assert isinstance(two, Request)
    assert one.key != two.key


def test_what_a_judge_says_counts_and_what_it_mumbles_is_asked_again_once() -> None:
    fit, unfit = answer(json.dumps({"fit": True, "reason": ""})), answer(json.dumps({"fit": False, "reason": "A cat."}))
    mumbled = answer("Well, perhaps.")
    assert judge(OPENING, TURNS, "c", [fit]) is None
    assert judge(OPENING, TURNS, "c", [unfit]) == Problem("judged_unfit", "A cat.")
    assert isinstance(judge(OPENING, TURNS, "c", [mumbled]), Request)
    assert judge(OPENING, TURNS, "c", [mumbled, fit]) is None
    assert isinstance(judge(OPENING, TURNS, "c", [mumbled, mumbled]), Problem)
    assert isinstance(judge(OPENING, TURNS, "c", [answer(status=400)]), Problem)


def test_what_is_judged_unfit_is_a_reject_whose_seat_goes_on_and_a_rerun_pays_nothing(pool: Pool) -> None:
    with serve(looks, faults={"unfit": 0.4}, seed=1) as endpoint:
        settings = generator(endpoint.url, prompt=JUDGED)
        ref = pool.instruct(settings, picked=6)
        paid = endpoint.counts.total
        pool.forget_tables()
        again = pool.instruct(settings, picked=6)
    assert ref.rows == 6
    assert ref.rejects > 0
    assert set(reasons(ref)) == {"judged_unfit"}
    assert paid == 2 * (ref.rows + ref.rejects)
    assert (again.rows, endpoint.counts.total) == (ref.rows, paid)
    assert sum(row["cost_usd"] for row in rows(ref)) < table_store.facts(ref)["cost_usd"]


def test_other_criteria_ask_the_judge_again_and_not_the_annotator(pool: Pool) -> None:
    with serve(looks) as endpoint:
        pool.instruct(generator(endpoint.url, prompt=JUDGED), picked=3)
        pool.instruct(generator(endpoint.url, prompt=PromptConfig(judge="It is short.")), picked=3)
    assert endpoint.counts.total == 6 + 3


def test_a_judged_batch_pays_once_too(pool: Pool) -> None:
    from tests.instruct.pools import BATCH

    with serve(looks) as endpoint:
        ref = pool.instruct(generator(endpoint.url, prompt=JUDGED, mode="batch", batch=BATCH), picked=4)
    assert (ref.rows, endpoint.counts.batched) == (4, 8)
