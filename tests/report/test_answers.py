from typing import Any

import pytest

from presel.report.answers import answers, refused_answers
from presel.report.answers_data import list_data, packed_to_fit
from presel.report.packed import unpacked
from presel.report.sheets import Sheets


def record(name: str, *responses: str, task: str = "ocr") -> dict[str, Any]:
    turns = [{"question": "What?", "response": response} for response in responses]
    about = {"key": f"{task}/{name}.png", "origin": "selected", "model": "m", "cost_usd": 0.1}
    return {"sample_id": name, "task": task, "turns": turns, **about}


def test_a_task_s_answers_are_told_by_their_lengths_and_how_they_begin() -> None:
    rows = [record(str(i), "It is red.") for i in range(3)] + [record("9", "A blue car stands there.", "It is red.")]
    (told,) = answers(rows).tasks
    assert (told.records, told.turns, told.low, told.median, told.longest) == (4, 1.25, 3, 3, 5)
    assert told.beginnings == (("it is", 0.8), ("a blue", 0.2))
    assert told.distinct == pytest.approx(0.4)
    assert max(told.bars) == 100


def test_a_task_of_empty_answers_and_no_answers_at_all_can_be_told() -> None:
    (told,) = answers([record("0", "")]).tasks
    assert (told.median, told.longest) == (0, 0)
    assert answers([]).of == 0


def test_the_list_holds_every_answer_and_every_refused_one_with_its_reason() -> None:
    late = {"stage": "instruct", "task": "ocr", "key": "ocr/x.png", "id": "x", "reason": "not_finite", "detail": "why"}
    refused = list(refused_answers([late, {**late, "stage": "embed"}]))
    data = list_data(answers([record("0", "red")]).rows, refused, Sheets((), {"0": 7}))
    assert [(row[0], row[4], row[7]) for row in data["rows"]] == [("ocr/0.png", 7, ""), ("ocr/x.png", -1, "not finite")]


def test_more_than_the_page_has_room_for_is_cut_at_the_end_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presel.report.answers_data.INLINE", 2_000)
    rows = [record(f"{i:04d}", f"number {i * 7919 % 1000}") for i in range(500)]
    data, count = packed_to_fit(rows, [], Sheets())
    assert 0 < count < 500
    assert [row[0] for row in unpacked(data)["rows"]] == [row["key"] for row in rows[:count]]
