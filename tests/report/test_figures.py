from typing import Any

import pytest

from presel.runs.figures import dollars, task_lines, totals


def plan(task: str, usable: int) -> dict[str, Any]:
    return {
        "task": task,
        "images": usable + 1,
        "usable": usable,
        "irs": 0.5,
        "irs_low": 0.4,
        "irs_high": 0.6,
        "weight": 0.5,
        "supply": usable,
        "quota": 2,
        "kept": 0,
        "shortfall": 0,
    }


def record(task: str, cost: float | None, origin: str = "selected") -> dict[str, Any]:
    return {"task": task, "cost_usd": cost, "origin": origin}


def test_all_images_cost_each_task_s_mean_price_and_the_pool_s_where_none_was_bought() -> None:
    records = [record("a", 0.1, "reference"), record("a", 0.3), record("b", 0.5)]
    lines = task_lines([plan("a", 10), plan("b", 10), plan("c", 10)], records, [])
    assert [line.all_usd for line in lines] == pytest.approx([2.0, 5.0, 3.0])
    assert [line.spent_usd for line in lines] == pytest.approx([0.4, 0.5, 0.0])
    assert [(line.reference, line.picked) for line in lines] == [(1, 1), (0, 1), (0, 0)]


def test_rejects_of_no_planned_task_count_in_the_total_only() -> None:
    rejects = [{"task": task, "stage": "embed"} for task in ("a", "a", "")]
    lines = task_lines([plan("a", 10)], [], rejects)
    assert lines[0].rejected == 2
    assert totals(lines, rejects).rejected == 3


def test_a_sample_that_is_passed_over_later_is_no_rejected_object() -> None:
    rejects = [{"task": "a", "stage": stage} for stage in ("ingest", "embed", "assemble", "rank", "instruct", "score")]
    lines = task_lines([plan("a", 10)], [], rejects)
    assert (lines[0].rejected, lines[0].passed_over) == (3, 3)
    assert (totals(lines, rejects).rejected, totals(lines, rejects).passed_over) == (3, 3)


def test_tasks_without_a_usable_image_are_not_counted_as_tasks() -> None:
    sums = totals(task_lines([plan("a", 10), plan("b", 0)], [], []), [])
    assert (sums.tasks, sums.share) == (1, 0.0)


@pytest.mark.parametrize(
    ("amount", "words"),
    [(None, "–"), (0.0, "$0.00"), (0.0123, "$0.0123"), (0.25, "$0.2500"), (999.5, "$999.50"), (12_345.6, "$12,346")],
)
def test_money_is_written_as_a_person_writes_it(amount: float | None, words: str) -> None:
    assert dollars(amount) == words
