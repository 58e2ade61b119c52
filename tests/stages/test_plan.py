"""The plan stage: METHOD, steps 4 and 5."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.config import BudgetConfig, ClusteringConfig, SelectionConfig, WeightsConfig
from presel.selection.budget import allocate
from presel.selection.seats import budget_size, divide
from presel.selection.weights import task_weights
from presel.stages.cluster import cluster
from presel.stages.plan import plan_budget
from presel.stages.rank import rank
from presel.stages.select import select
from presel.tables import table_store
from presel.tables.schemas import TableRef
from tests.stages.choosing import ids_of, instructed, paid_before, samples_of, scored, vectors

IRS = {"cats": [0.8, 0.9, 1.0], "dogs": [0.3, 0.4, 0.5], "owls": [0.6, 0.6, 0.6]}


def planned(
    store: Path, sizes: dict[str, int], share: float, *, kept: int = 0
) -> tuple[TableRef, list[dict[str, Any]], list[TableRef]]:
    """(PLAN, its rows, rankings) of tasks of these sizes, three reference samples each."""
    where = str(store)
    samples = samples_of(where, {task: vectors(size, seed=size) for task, size in sizes.items()})
    rankings, reference = [], []
    for part in samples.split():
        ids = ids_of(part)
        reference.append(instructed(where, part.label, ids[:3]).split()[0])
        paid = paid_before(where, part, ids[3 : 3 + kept])
        clusters = cluster(part, ClusteringConfig(), 0)
        rankings.append(rank(part, clusters, reference[-1], paid, SelectionConfig(near_duplicate=None), 0))
    relevance = [scored(where, task, IRS[task]) for task in sizes]
    plan = plan_budget(samples, rankings, reference, relevance, WeightsConfig(), BudgetConfig(share=share), 0)
    return plan, table_store.read(plan).to_pylist(), rankings


def test_quotas_are_weight_times_what_the_reference_set_leaves_of_the_budget(tmp_path: Path) -> None:
    plan, rows, _ = planned(tmp_path, {"cats": 200, "dogs": 300, "owls": 250}, 0.2)
    weight = task_weights([np.mean(IRS[row["task"]]) for row in rows]) * np.sqrt([200, 300, 250])
    weight /= weight.sum()
    np.testing.assert_allclose([row["weight"] for row in rows], weight, rtol=1e-12)
    left = 150 - 9  # B = 0.2 x 750, |D_ref| = 9
    quota = [row["quota"] for row in rows]
    assert sum(quota) == left
    assert np.abs(np.array(quota) - weight * left).max() < 1
    assert [row["shortfall"] for row in rows] == [0, 0, 0]
    assert [row["supply"] for row in rows] == [197, 297, 247]
    assert table_store.facts(plan)["budget"] == 150
    assert table_store.facts(plan)["unplaced"] == 0


def test_what_a_small_task_cannot_take_is_shown_and_goes_to_the_others(tmp_path: Path) -> None:
    _, rows, _ = planned(tmp_path, {"cats": 300, "dogs": 20, "owls": 300}, 0.25)
    by_task = {row["task"]: row for row in rows}
    left = 155 - 9
    assert by_task["dogs"]["quota"] == by_task["dogs"]["supply"] == 17
    assert sum(row["quota"] for row in rows) == left
    wanted = allocate([row["weight"] for row in rows], [left] * 3, left)
    assert by_task["dogs"]["shortfall"] == wanted[1] - 17 > 0
    weights = [by_task[task]["weight"] for task in ("cats", "owls")]
    others = [by_task[task]["quota"] for task in ("cats", "owls")]
    assert np.abs(np.array(others) - np.array(weights) / sum(weights) * (left - 17)).max() < 1


def test_samples_that_stay_take_seats_of_the_budget(tmp_path: Path) -> None:
    _, rows, _ = planned(tmp_path, {"cats": 200, "dogs": 300}, 0.2, kept=10)
    assert [row["kept"] for row in rows] == [10, 10]
    assert sum(row["quota"] for row in rows) == 100 - 6 - 20


def test_the_price_is_that_of_the_reference_answers(tmp_path: Path) -> None:
    _, rows, _ = planned(tmp_path, {"cats": 200, "dogs": 300}, 0.2)
    for row in rows:
        assert row["price_usd"] == pytest.approx(0.01 * row["quota"])


def test_the_selection_is_the_first_quota_rows_of_the_ranking(tmp_path: Path) -> None:
    plan, rows, rankings = planned(tmp_path, {"cats": 200, "dogs": 300}, 0.2)
    for row, ranking in zip(rows, rankings, strict=True):
        chosen = table_store.read(select(ranking, plan)).to_pylist()
        assert [one["sample_id"] for one in chosen if one["picked"]] == ids_of(ranking)[: row["quota"]]


@pytest.mark.parametrize(
    ("samples", "share", "budget"),
    [
        (100, 0.15, 15),
        (10, 0.3, 3),
        (7, 0.15, 1),
        (6, 0.15, 0),
        (0, 0.5, 0),
        (100, 1.0, 100),
        (100, 0.29, 29),
        (50, 0.58, 29),
    ],
)
def test_a_budget_is_rounded_down_but_not_by_what_floats_lose(samples: int, share: float, budget: int) -> None:
    assert budget_size(samples, share) == budget


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60)), min_size=1, max_size=8),
    st.integers(0, 200),
)
def test_a_division_is_exact_and_names_what_nobody_could_take(tasks: list[tuple[float, int]], total: int) -> None:
    weight, supply = np.array([w for w, _ in tasks]), [s for _, s in tasks]
    seats = divide(weight, supply, total)
    assert seats.quota.sum() == min(total, sum(supply))
    assert seats.unplaced == total - seats.quota.sum()
    assert (seats.quota <= supply).all()
    # Whoever falls short is full, and the shortfall is what the caps took from its share.
    assert (seats.quota[seats.shortfall > 0] == np.array(supply)[seats.shortfall > 0]).all()
    np.testing.assert_array_equal(
        seats.shortfall, np.maximum(0, allocate(weight, [total] * len(tasks), total) - seats.quota)
    )


def test_a_budget_that_is_spent_already_leaves_nothing_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        _, rows, _ = planned(tmp_path, {"cats": 30, "dogs": 30}, 0.1, kept=2)
    assert [row["quota"] for row in rows] == [0, 0]
    assert "4 over the budget" in caplog.text
    assert divide(np.array([0.5, 0.5]), [9, 9], -4).unplaced == 0


def test_a_smaller_budget_of_the_cost_curve_is_no_reason_to_warn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        _, rows, _ = planned(tmp_path, {"cats": 40, "dogs": 40}, 0.2)
    assert sum(row["quota"] for row in rows) == 16 - 6
    assert not caplog.text
