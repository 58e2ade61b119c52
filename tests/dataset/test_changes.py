from typing import Any

import pytest

from presel.dataset.changes import diff, drift, in_words


def record(
    name: str, *, response: str = "two", origin: str = "selected", cost: float | None = 0.1, model: str = "one"
) -> dict[str, Any]:
    turns = [{"question": "q", "response": response}]
    bought = {"model": model, "input_tokens": 900, "output_tokens": 8, "cost_usd": cost}
    return {"sample_id": name, "turns": turns, "origin": origin, **bought}


def test_every_record_is_added_changed_kept_or_dropped() -> None:
    before = [record("a"), record("b"), record("c")]
    after = [record("b"), record("c", response="three", cost=0.3), record("d", cost=0.4)]
    found = diff(before, after)
    assert found["added"] == {"records": 1, "ids": ["d"]}
    assert found["changed"] == {"records": 1, "ids": ["c"]}
    assert found["dropped"] == {"records": 1, "ids": ["a"]}
    assert found["kept"] == {"records": 1}


def test_new_records_are_spent_and_kept_ones_saved() -> None:
    before = [record("a", cost=0.25), record("b")]
    found = diff(before, [record("a", cost=0.25), record("c", cost=0.5), record("d", cost=None)])
    assert (found["spent_usd"], found["saved_by_reuse_usd"]) == (0.5, 0.25)


def test_an_answer_that_was_bought_anew_is_spent_even_where_it_says_the_same() -> None:
    found = diff([record("a"), record("b")], [record("a", model="other"), record("b", cost=0.2)])
    assert found["kept"] == {"records": 2}
    assert (found["spent_usd"], found["saved_by_reuse_usd"]) == (pytest.approx(0.3), 0.0)


def test_selection_overlap_leaves_the_reference_set_out() -> None:
    before = [record("a"), record("b"), record("r", origin="reference")]
    after = [record("a", origin="reference"), record("b"), record("r", origin="reference")]
    assert diff(before, after)["selection_overlap"] == 0.5
    assert diff([], after)["selection_overlap"] is None


def test_what_is_kept_from_an_earlier_version_counts_as_selected_again() -> None:
    before = [record("a"), record("b", origin="kept"), record("c")]
    after = [record("a", origin="kept"), record("b", origin="kept"), record("d")]
    assert diff(before, after)["selection_overlap"] == pytest.approx(2 / 3)


def test_drift_is_the_share_of_weight_that_went_to_other_tasks() -> None:
    found = drift({"ocr": 0.5, "chart": 0.5}, {"ocr": 0.3, "chart": 0.5, "photo": 0.2})
    assert found["moved"] == pytest.approx(0.2)
    assert found["tasks"]["photo"] == {"before": None, "after": 0.2}
    assert drift({}, {"ocr": 1.0})["moved"] is None


def test_a_record_whose_picture_has_another_name_is_kept_and_said_to_be_renamed() -> None:
    found = diff([{**record("a"), "key": "a.jpg"}, record("b")], [{**record("a"), "key": "z.jpg"}, record("b")])
    assert found["kept"] == {"records": 2, "renamed": 1}
    assert in_words(found) == "0 added, 0 changed, 2 kept (1 under another name), 0 dropped"
