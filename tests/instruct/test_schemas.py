from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from presel.config import PromptConfig
from presel.errors import ConfigError
from presel.instruct.ledger import Ledger
from presel.instruct.questions.request import opening
from presel.instruct.questions.schemas import SCHEMA, is_closed, schema_of, violation
from presel.storage import open_store
from presel.tables import table_store
from tests.instruct.hostile import answer, hostile
from tests.instruct.pools import Pool, generator, reasons, rows

TURN = {
    "question": {"type": "string"},
    "response": {"type": "string", "maxLength": 12},
    "level": {"enum": ["easy", "hard"]},
}


def schema(turn: dict[str, Any] = TURN, **more: Any) -> dict[str, Any]:
    item = {"type": "object", "properties": turn, "required": sorted(turn), "additionalProperties": False}
    properties = {"turns": {"type": "array", "items": item}, **more}
    return {"type": "object", "properties": properties, "required": sorted(properties), "additionalProperties": False}


def own(document: Any = None) -> dict[str, PromptConfig]:
    return {"shapes": PromptConfig(answer_schema=document or schema())}


def turns(**turn: Any) -> str:
    return json.dumps({"turns": [{"question": "What?", "response": "A box.", "level": "easy", **turn}]})


def test_an_answer_that_fits_a_tasks_own_schema_is_taken_and_the_schema_is_sent(pool: Pool) -> None:
    with hostile(pool, {i: lambda _: answer(turns()) for i in range(2)}) as endpoint:
        ref = pool.instruct(generator(endpoint.url, prompts=own()), picked=2, images=2)
    assert [row["turns"] for row in rows(ref)] == [[{"question": "What?", "response": "A box."}]] * 2
    assert all(kept.request["schema"] == schema() for kept in Ledger(open_store(pool.store)).answers())


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (turns(response="A box that is far too long."), "$.turns[0].response does not satisfy maxLength: 12"),
        (turns(level="medium"), '$.turns[0].level does not satisfy enum: ["easy", "hard"]'),
        (json.dumps({"turns": [{"question": "What?", "response": "A box."}]}), "$.turns[0] does not satisfy required"),
    ],
)
def test_an_answer_that_breaks_it_is_asked_again_once_with_the_place_named(said: str, named: str, pool: Pool) -> None:
    says = {0: lambda times: answer(said if times == 1 else turns()), 1: lambda _: answer(said)}
    with hostile(pool, says) as endpoint:
        ref = pool.instruct(generator(endpoint.url, prompts=own()), picked=2, images=2)
        asked = [kept.request["messages"][-1]["content"] for kept in Ledger(open_store(pool.store)).answers()]
    assert (ref.rows, reasons(ref), endpoint.requests.total()) == (1, ["schema"], 4)
    assert sum(isinstance(text, str) and named in text for text in asked) == 2
    assert named in table_store.rejects(ref)["detail"][0].as_py()


def test_what_can_be_mended_here_is_mended_before_it_is_judged(pool: Pool) -> None:
    spoiled = [f"```json\n{turns()[:-1]},}}\n```", json.dumps(json.loads(turns())["turns"]), turns()[:-2]]
    with hostile(pool, {i: lambda _, text=text: answer(text) for i, text in enumerate(spoiled)}) as endpoint:  # type: ignore[misc]
        ref = pool.instruct(generator(endpoint.url, prompts=own()), picked=3, images=3)
    assert (ref.rows, endpoint.requests.total()) == (3, 3)


def test_a_response_may_be_a_structure_and_is_kept_as_json(pool: Pool) -> None:
    boxes = schema({"question": {"type": "string"}, "response": {"type": "array", "items": {"type": "number"}}})
    said = json.dumps({"turns": [{"question": "Where?", "response": [1, 2.5]}]})
    with hostile(pool, {0: lambda _: answer(said)}) as endpoint:
        ref = pool.instruct(generator(endpoint.url, prompts=own(boxes)), picked=1, images=1)
    assert rows(ref)[0]["turns"][0]["response"] == "[1, 2.5]"


def test_a_changed_schema_asks_anew_and_so_does_another_order_of_its_fields() -> None:
    def key(document: Any) -> str:
        return opening("c" * 64, "shapes", generator("http://a/v1", prompts=own(document))).key

    changed = schema({**TURN, "level": {"enum": ["easy"]}})
    reordered = schema(dict(reversed(TURN.items())))
    assert (
        len({key(schema()), key(changed), key(reordered), opening("c" * 64, "shapes", generator("http://a/v1")).key})
        == 4
    )
    assert key(schema()) == key(json.dumps(schema()))


def test_a_schema_may_be_one_that_pydantic_wrote() -> None:
    class Pair(BaseModel):
        question: str
        response: str

    class Whole(BaseModel):
        turns: list[Pair]

    found = schema_of(PromptConfig(answer_schema=Whole.model_json_schema()))
    assert violation({"turns": [{"question": "a", "response": "b"}]}, found) is None
    assert (
        violation({"turns": [{"question": "a"}]}, found)
        == '$.turns[0] does not satisfy required: ["question", "response"]'
    )


def test_only_a_closed_schema_is_asked_for_strictly() -> None:
    assert is_closed(SCHEMA)
    assert is_closed(schema())
    assert not is_closed({**schema(), "additionalProperties": True})
    assert not is_closed({**schema(), "required": []})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"type": "nonsense"}, "not a JSON schema"),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "no place for question and response"),
        (schema({"question": {"type": "string"}}), "no place for question and response"),
        (schema(more={"$ref": "http://example.com/schema.json"}), "leads out of the schema"),
    ],
)
def test_a_schema_that_cannot_work_is_an_error_before_anything_is_asked(document: Any, said: str, pool: Pool) -> None:
    with hostile(pool, {}) as endpoint, pytest.raises(ConfigError, match=said):
        pool.instruct(generator(endpoint.url, prompts=own(document)), picked=1)
    assert not endpoint.requests


@pytest.mark.parametrize("text", ["{", "[]", "null", "5"])
def test_what_is_no_object_is_refused_with_the_configuration(text: str) -> None:
    with pytest.raises(ValidationError):
        PromptConfig(answer_schema=text)


def test_a_document_nested_beyond_reason_breaks_every_schema_quietly() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    node: dict[str, Any] = {"type": ["array", "object"]}
    node["items"] = {"$ref": "#/$defs/node"}
    assert violation(deep, {"$ref": "#/$defs/node", "$defs": {"node": node}, "properties": {"turns": {}}})
