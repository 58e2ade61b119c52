"""The select stage: a quota is a prefix of the pick order, the rest is its reserve."""

from __future__ import annotations

from pathlib import Path

import pytest

from presel.config import ClusteringConfig, SelectionConfig
from presel.stages.cluster import cluster
from presel.stages.rank import rank
from presel.stages.select import select
from presel.tables import table_store
from presel.tables.schemas import PLAN, TableRef
from presel.tables.table_store import Output
from tests.stages.choosing import ids_of, instructed, paid_before, samples_of, vectors


def a_ranking(store: str, stays: int = 0) -> tuple[TableRef, list[str]]:
    samples = samples_of(store, {"cats": vectors(150)})
    ids = ids_of(samples)
    paid = paid_before(store, samples, ids[:stays])
    none = instructed(store, "cats", [])
    return rank(
        samples, cluster(samples, ClusteringConfig(), 0), none, paid, SelectionConfig(near_duplicate=None), 0
    ), ids


def a_plan(store: str, quota: dict[str, int]) -> TableRef:
    out = Output(store, "plan", f"made {quota}".replace("'", "").replace(" ", "-"))
    counts = dict.fromkeys(("images", "usable", "reference", "kept", "scored", "supply", "shortfall"), 1)
    out.write_rows([{"task": task, **counts, "weight": 1.0, "quota": seats} for task, seats in quota.items()], PLAN)
    return out.commit({})


@pytest.mark.parametrize("quota", [0, 1, 40, 150])
def test_the_first_rows_are_picked_and_the_rest_waits_in_order(tmp_path: Path, quota: int) -> None:
    ranking, _ = a_ranking(str(tmp_path))
    rows = table_store.read(select(ranking, a_plan(str(tmp_path), {"cats": quota}))).to_pylist()
    assert [row["sample_id"] for row in rows] == ids_of(ranking)
    assert [row["picked"] for row in rows] == [True] * quota + [False] * (150 - quota)
    assert not any(row["kept"] for row in rows)


def test_a_larger_quota_keeps_what_a_smaller_one_picked(tmp_path: Path) -> None:
    ranking, _ = a_ranking(str(tmp_path))
    few, more = (
        {
            row["sample_id"]
            for row in table_store.read(select(ranking, a_plan(str(tmp_path), {"cats": q}))).to_pylist()
            if row["picked"]
        }
        for q in (30, 31)
    )
    assert few < more


def test_kept_samples_stand_first_and_take_nothing_of_the_quota(tmp_path: Path) -> None:
    ranking, ids = a_ranking(str(tmp_path), stays=4)
    rows = table_store.read(select(ranking, a_plan(str(tmp_path), {"cats": 6}))).to_pylist()
    assert [row["sample_id"] for row in rows[:4]] == ids[:4]
    assert [row["kept"] for row in rows[:10]] == [True] * 4 + [False] * 6
    assert [row["picked"] for row in rows] == [True] * 10 + [False] * 140


def test_a_task_without_a_line_in_the_plan_gets_nothing(tmp_path: Path) -> None:
    ranking, _ = a_ranking(str(tmp_path))
    rows = table_store.read(select(ranking, a_plan(str(tmp_path), {"dogs": 6}))).to_pylist()
    assert not any(row["picked"] for row in rows)
