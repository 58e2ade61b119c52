"""The rank stage: METHOD, steps 8 and 9, and the guard that `paper` mode leaves off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from presel.config import ClusteringConfig, RefreshConfig, SelectionConfig
from presel.stages.cluster import cluster
from presel.stages.rank import rank
from presel.tables import table_store
from presel.tables.kept_samples import kept_of
from presel.tables.schemas import TableRef
from tests.stages.choosing import ids_of, instructed, paid_before, samples_of, vectors

PAPER = RefreshConfig.model_validate(
    {"mode": "paper", "source": {"uri": "pool"}, "store": "store", "generator": {"max_cost": 1}}
).selection


@dataclass
class Ranked:
    """A ranking of one task beside what it was made of; rows are numbered by ascending id."""

    ref: TableRef
    ids: list[str]
    labels: np.ndarray
    rows: np.ndarray
    centrality: np.ndarray


def ranked(
    store: Path,
    rows: np.ndarray,
    config: SelectionConfig,
    *,
    reference: list[int] | None = None,
    refused: list[int] | None = None,
    stays: list[int] | None = None,
) -> Ranked:
    samples = samples_of(str(store), {"cats": rows})
    clusters, ids = cluster(samples, ClusteringConfig(images_per_cluster=60), 0), ids_of(samples)
    tried = instructed(str(store), "cats", [ids[i] for i in reference or []], [ids[i] for i in refused or []])
    paid = paid_before(str(store), samples, [ids[i] for i in stays or []])
    ref = rank(samples, clusters, tried, paid, config, 0)
    table, place = table_store.read(ref), {one: i for i, one in enumerate(ids)}
    found = np.array([place[one] for one in table["sample_id"].to_pylist()], dtype=int)
    labels = table_store.read(clusters)["cluster"].to_numpy()
    assert table["order"].to_pylist() == list(range(len(found)))
    assert table["cluster"].to_pylist() == labels[found].tolist()
    return Ranked(ref, ids, labels, found, table["centrality"].to_numpy())


def stored_vectors(rows: np.ndarray, store: Path) -> np.ndarray:
    """Unit float64 rows as the table holds them, by ascending id."""
    listed = table_store.read(samples_of(str(store), {"cats": rows}))["vector"].to_pylist()
    wide = np.array(listed, dtype=np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))


def test_reference_and_refused_samples_are_never_chosen_and_no_other_is_lost(tmp_path: Path) -> None:
    got = ranked(tmp_path, vectors(300), PAPER, reference=[3, 50, 120], refused=[7, 200])
    assert sorted(got.rows.tolist()) == sorted(set(range(300)) - {3, 50, 120, 7, 200})
    assert got.ref.rejects == 0


def test_centrality_counts_available_members_alone(tmp_path: Path) -> None:
    rows, out_of_choice = vectors(240, seed=4), list(range(0, 240, 9))
    got = ranked(tmp_path, rows, PAPER, reference=out_of_choice[:-1], refused=out_of_choice[-1:])
    wide, available = stored_vectors(rows, tmp_path / "other"), np.ones(240, dtype=bool)
    available[out_of_choice] = False
    everyone = np.full(240, np.nan)
    for label in set(got.labels.tolist()):
        members = np.flatnonzero((got.labels == label) & available)
        cosines = wide[members] @ wide[members].T
        np.fill_diagonal(cosines, -np.inf)
        everyone[members] = np.sort(cosines, axis=1)[:, -5:].mean(axis=1)
    np.testing.assert_allclose(got.centrality, everyone[got.rows], atol=2e-6)


def test_quotas_of_clusters_follow_their_available_members_most_central_first(tmp_path: Path) -> None:
    got = ranked(tmp_path, vectors(600, seed=2), PAPER, reference=list(range(0, 600, 11)))
    available = np.bincount(got.labels[got.rows])
    for budget in (10, 97, 300):
        quota = np.bincount(got.labels[got.rows[:budget]], minlength=len(available))
        assert np.abs(quota - available / available.sum() * budget).max() < 1
    for label in range(len(available)):
        assert (np.diff(got.centrality[got.labels[got.rows] == label]) <= 0).all()


@pytest.mark.parametrize("count", [1, 5, 99])
def test_small_tasks_are_ranked_whole(tmp_path: Path, count: int) -> None:
    assert sorted(ranked(tmp_path, vectors(count), PAPER).rows.tolist()) == list(range(count))


def test_near_duplicates_are_left_out_with_their_reason_unless_in_paper_mode(tmp_path: Path) -> None:
    rows = vectors(200, seed=1)
    rows[:20] = rows[0] + 1e-3 * vectors(20, seed=9)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    guarded = ranked(tmp_path / "default", rows, SelectionConfig())
    rejected = table_store.rejects(guarded.ref).to_pylist()
    assert len(guarded.rows) + len(rejected) == 200
    clump = {f"cats/{i:05d}.jpg" for i in range(20)}
    keys = set(table_store.read(guarded.ref)["key"].to_pylist())
    assert len(keys & clump) == 1
    assert {row["key"] for row in rejected} >= clump - keys
    for row in rejected:
        assert row["reason"] == "near_duplicate"
        assert row["detail"].startswith("cosine ")
        assert row["detail"].split(" with ")[1] in keys
    assert len(ranked(tmp_path / "paper", rows, PAPER).rows) == 200


def test_a_copy_of_a_reference_sample_is_left_out(tmp_path: Path) -> None:
    rows = np.repeat(vectors(1), 5, axis=0)
    got = ranked(tmp_path, rows, SelectionConfig(), reference=[0])
    assert len(got.rows) == 0
    assert len(table_store.rejects(got.ref)) == 4


def test_samples_that_stay_hold_a_seat_and_are_not_chosen_again(tmp_path: Path) -> None:
    got = ranked(tmp_path, vectors(200, seed=6), SelectionConfig(near_duplicate=None), reference=[1], stays=[1, 10, 20])
    assert not set(got.rows.tolist()) & {1, 10, 20}
    assert kept_of(got.ref)["sample_id"].to_pylist() == [got.ids[10], got.ids[20]]  # 1 is a reference sample
    assert kept_of(got.ref)["cluster"].to_pylist() == got.labels[[10, 20]].tolist()
