"""What is mended, what is asked again, what is given up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.config import GeneratorConfig
from presel.instruct.ledger import Answer
from presel.instruct.questions.dialogue import Instruction, follow
from presel.instruct.questions.parsing import Problem, read
from presel.instruct.questions.request import Request, opening
from presel.tables.turn import Turn

GOOD = {"question": "What colour is it?", "response": "Red."}
OPENING = opening("c" * 64, "t", GeneratorConfig(max_cost=1.0))


def answer(content: Any = None, *, status: int = 200, finish: str = "stop", **message: Any) -> Answer:
    body = {"choices": [{"message": {"content": content, **message}, "finish_reason": finish}]}
    if status != 200:
        body = {"error": {"message": "flagged"}}
    return Answer("k", {}, status, body, 10, 5, 0.001, True, 0, "2026-11-24T00:00:00+00:00")


def text(*turns: dict[str, str]) -> str:
    return json.dumps({"turns": list(turns)})


@pytest.mark.parametrize(
    "content",
    [
        text(GOOD),
        "```json\n" + text(GOOD) + "\n```",
        "Of course! Here it is:\n" + text(GOOD),
        text(GOOD)[:-1] + ",}",
        text(GOOD)[:-2],
        text(GOOD).replace('"', "'"),
        json.dumps([GOOD]),
        json.dumps(GOOD),
        json.dumps({"Turns": [{"Question": GOOD["question"], "Response": GOOD["response"]}]}),
        [{"type": "text", "text": text(GOOD)}],
    ],
    ids=["plain", "fenced", "chatty", "comma", "bracket", "quotes", "list", "bare", "capitals", "parts"],
)
def test_what_can_be_mended_is_mended(content: Any) -> None:
    assert read(answer(content), 1) == (Turn(GOOD["question"], GOOD["response"]),)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        (None, "empty"),
        ("   \n", "empty"),
        ("The picture shows a dog.", "invalid_json"),
        (json.dumps({"items": ["Red."]}), "invalid_json"),
        (json.dumps({"turns": [{"question": "Q?"}]}), "schema"),
        (json.dumps({"turns": [{"question": "Q?", "response": {"a": 1}}]}), "schema"),
        (json.dumps({"turns": ["Red."]}), "schema"),
        (json.dumps({"turns": []}), "invalid_json"),
        (text({"question": "Q?", "response": " "}), "empty"),
        (text({"question": "What is in <image>?", "response": "A dog."}), "placeholder"),
        (text({"question": "What?", "response": "x" * 20_001}), "too_long"),
        (text({"question": "A dog.", "response": "a dog."}), "alternation"),
    ],
)
def test_what_cannot_be_mended_is_asked_again(content: Any, reason: str) -> None:
    found = read(answer(content), 1)
    assert isinstance(found, Problem)
    assert (found.reason, found.remedy) == (reason, "again")


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (answer(None, refusal="I can't help with that."), "refused"),
        (answer("", finish="content_filter"), "content_filter"),
        (answer(status=400), "declined"),
        (answer("I'm sorry, but I can't help with that."), "refused"),
        (answer(text({"question": "Who is it?", "response": "I can't identify people in images."})), "refused"),
    ],
)
def test_what_the_provider_refuses_is_not_asked_again(refused: Answer, reason: str) -> None:
    found = read(refused, 1)
    assert isinstance(found, Problem)
    assert (found.reason, found.remedy) == (reason, "none")


def test_too_few_turns_are_asked_again_and_too_many_are_shortened() -> None:
    two = text(GOOD, {"question": "How big?", "response": "Big."})
    few, many = read(answer(two), 3), read(answer(two), 1)
    assert isinstance(few, Problem)
    assert (few.reason, few.remedy) == ("turns", "again")
    assert many == (Turn(GOOD["question"], GOOD["response"]),)


def test_an_answer_that_is_whole_although_it_is_called_cut_is_used() -> None:
    assert read(answer(text(GOOD), finish="length"), 1) == (Turn(GOOD["question"], GOOD["response"]),)
    cut = read(answer(text(GOOD)[:-6], finish="length"), 1)
    assert isinstance(cut, Problem)
    assert cut.remedy == "longer"


def test_an_apology_inside_an_answer_is_no_refusal() -> None:
    found = read(answer(text({"question": "What does the sign say?", "response": "Sorry, we are closed."})), 1)
    assert not isinstance(found, Problem)


def test_at_most_one_longer_and_one_repeated_request_follow_the_first() -> None:
    cut, bad = answer('{"turns": [', finish="length"), answer("no")
    longer = follow(OPENING, [cut], 1)
    assert isinstance(longer, Request)
    assert longer.key == OPENING.longer().key
    again = follow(OPENING, [cut, bad], 1)
    assert isinstance(again, Request)
    assert again.output_limit == longer.output_limit
    assert isinstance(follow(OPENING, [cut, bad, bad], 1), Problem)
    assert isinstance(follow(OPENING, [cut, cut], 1), Problem)
    assert isinstance(follow(OPENING, [bad, bad], 1), Problem)
    assert isinstance(follow(OPENING, [cut, bad, answer(text(GOOD))], 1), Instruction)


@given(st.text(max_size=200))
def test_no_answer_whatever_breaks_the_parser(content: str) -> None:
    read(answer(content), 1)


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20)),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_passes_has_what_was_asked_for(pairs: list[tuple[str, str]]) -> None:
    found = read(answer(text(*({"question": q, "response": r} for q, r in pairs))), len(pairs))
    if not isinstance(found, Problem):
        assert len(found) == len(pairs)
        assert all(turn.question and turn.response for turn in found)
        assert len({turn.question for turn in found}) == len(found)
