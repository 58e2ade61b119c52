from typing import Any

import pyarrow as pa

from presel.report.gallery import picks_to_show, relevance_extremes, task_ends


def record(name: str, irs: float, task: str = "ocr") -> dict[str, Any]:
    return {"sample_id": name, "task": task, "irs": irs}


def picked(*tasks: str, outcomes: tuple[str, ...] = ()) -> pa.Table:
    """Named by their place in the order of picking."""
    names = [f"{i:03d}" for i in range(len(tasks))]
    return pa.table({"sample_id": names, "task": tasks, "outcome": outcomes or ("instructed",) * len(tasks)})


def test_picks_are_at_even_steps_through_the_order_first_and_last_included() -> None:
    shown = [row["sample_id"] for row in picks_to_show(picked(*["ocr"] * 100), per_task=4)["ocr"]]
    assert shown == ["000", "033", "066", "099"]


def test_a_gallery_shows_all_of_a_few_picks_and_none_that_was_refused() -> None:
    few = picked("ocr", "ocr", "ocr", outcomes=("instructed", "refused", "replacement"))
    assert [row["sample_id"] for row in picks_to_show(few)["ocr"]] == ["000", "002"]


def test_many_tasks_share_the_room_and_at_most_so_many_are_shown() -> None:
    many = picked(*(f"{task:03d}" for task in range(50) for _ in range(5)))
    assert {len(rows) for rows in picks_to_show(many, altogether=100).values()} == {2}
    assert len(picks_to_show(many, altogether=20)) == 20


def test_relevance_extremes_vary_the_task_first_and_share_no_sample() -> None:
    records = [record(f"{task}{i}", task=task, irs=i + ord(task) / 1000) for task in "abc" for i in range(4)]
    low, high = relevance_extremes(records, count=4)
    assert [row["sample_id"] for row in low] == ["a0", "b0", "c0", "a1"]
    assert [row["sample_id"] for row in high] == ["c3", "b3", "a3", "c2"]


def test_of_three_scored_samples_each_side_shows_one() -> None:
    low, high = relevance_extremes([record(name, irs=irs) for name, irs in (("a", 0.1), ("b", 0.5), ("c", 0.9))])
    assert ([row["sample_id"] for row in low], [row["sample_id"] for row in high]) == (["a"], ["c"])
    assert relevance_extremes([record("a", irs=0.1)]) == ([], [])


def test_every_task_shows_its_five_most_and_five_least_relevant_samples() -> None:
    records = [record(f"{task}{i:02d}", task=task, irs=i / 20) for task in "ab" for i in range(12)]
    ends = task_ends(records)
    assert list(ends) == ["a", "b"]
    low, high = ends["a"]
    assert [row["sample_id"] for row in low] == ["a00", "a01", "a02", "a03", "a04"]
    assert [row["sample_id"] for row in high] == ["a11", "a10", "a09", "a08", "a07"]


def test_a_sample_stands_at_one_end_of_its_task_and_many_tasks_share_the_room() -> None:
    low, high = task_ends([record(name, irs=irs) for name, irs in (("a", 0.1), ("b", 0.5), ("c", 0.9))])["ocr"]
    assert ([row["sample_id"] for row in low], [row["sample_id"] for row in high]) == (["a", "b"], ["c"])
    assert task_ends([record("a", irs=0.1)]) == {"ocr": ([record("a", irs=0.1)], [])}
    many = task_ends([record(f"{t}-{i}", task=f"{t:03d}", irs=i / 9) for t in range(100) for i in range(4)])
    assert len(many) == 80
    assert {(len(low), len(high)) for low, high in many.values()} == {(1, 1)}
