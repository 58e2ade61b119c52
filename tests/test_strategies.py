"""Selection: what every strategy promises, and what sets each apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presel.errors import InputError
from presel.selection.budget import allocate
from presel.selection.centrality import neighbor_centrality
from presel.selection.strategies import STRATEGIES, rank, select

EVERY = pytest.mark.parametrize("strategy", sorted(STRATEGIES))


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    """Small pools with copies, uneven clusters, rows that are not available and rows that are taken."""
    n, seed = draw(st.integers(1, 80)), draw(st.integers(0, 10_000))
    generator = np.random.default_rng(seed)
    rows = unit(n, 6, seed)
    copies = generator.random(n) < 0.3
    rows[copies] = rows[generator.integers(0, n, int(copies.sum()))]
    return {
        "embeddings": rows,
        "labels": generator.integers(0, 1 + n // 8, n),
        "available": generator.random(n) < 0.9,
        "chosen": generator.random(n) < 0.1,
        "ids": generator.permutation(10 * n)[:n],
        "seed": seed % 7,
        "near_duplicate": draw(st.sampled_from([None, 1.0, 0.95, 0.5])),
    }


@EVERY
@settings(max_examples=25, deadline=None)
@given(pool=pools())
def test_every_pickable_row_is_ranked_once_or_is_a_named_copy(strategy: str, pool: dict[str, Any]) -> None:
    ranking = rank(strategy=strategy, **pool)
    pickable = np.flatnonzero(pool["available"] & ~pool["chosen"])
    assert sorted([*ranking.rows, *ranking.copies]) == pickable.tolist()
    assert np.isfinite(ranking.centrality).all()
    np.testing.assert_array_equal(ranking.clusters, pool["labels"][ranking.rows])
    kept = {*ranking.rows.tolist(), *np.flatnonzero(pool["chosen"]).tolist()}
    assert set(ranking.copy_of.tolist()) <= kept
    np.testing.assert_array_equal(pool["labels"][ranking.copies], pool["labels"][ranking.copy_of])


@EVERY
@settings(max_examples=25, deadline=None)
@given(pool=pools())
def test_no_two_picks_of_a_cluster_are_near_duplicates(strategy: str, pool: dict[str, Any]) -> None:
    if pool["near_duplicate"] is None:
        return
    ranking = rank(strategy=strategy, **pool)
    held = np.concatenate([ranking.rows, np.flatnonzero(pool["chosen"])])
    cosines = pool["embeddings"][ranking.rows] @ pool["embeddings"][held].T
    same = pool["labels"][ranking.rows][:, None] == pool["labels"][held][None]
    other = ranking.rows[:, None] != held[None]
    assert not (same & other & (cosines > pool["near_duplicate"] + 1e-5)).any()
    assert (ranking.cosine >= pool["near_duplicate"] - 1e-5).all()


@EVERY
@settings(max_examples=25, deadline=None)
@given(pool=pools(), budget=st.integers(0, 90), more=st.integers(0, 20))
def test_a_smaller_budget_is_a_prefix_of_a_larger_one(
    strategy: str, pool: dict[str, Any], budget: int, more: int
) -> None:
    small, large = (select(budget=b, strategy=strategy, **pool) for b in (budget, budget + more))
    np.testing.assert_array_equal(small, large[: len(small)])
    assert len(small) == min(budget, len(rank(strategy=strategy, **pool)))


@EVERY
@settings(max_examples=25, deadline=None)
@given(pool=pools())
def test_the_order_of_rows_changes_nothing_but_their_numbers(strategy: str, pool: dict[str, Any]) -> None:
    order = np.random.default_rng(1).permutation(len(pool["labels"]))
    per_row = ("embeddings", "labels", "available", "chosen", "ids")
    shuffled = pool | {name: pool[name][order] for name in per_row}
    one, other = rank(strategy=strategy, **pool), rank(strategy=strategy, **shuffled)
    np.testing.assert_array_equal(pool["ids"][one.rows], shuffled["ids"][other.rows])
    assert one.centrality.tobytes() == other.centrality.tobytes()
    np.testing.assert_array_equal(pool["ids"][one.copy_of], shuffled["ids"][other.copy_of])


@EVERY
@pytest.mark.parametrize("n", [0, 1, 5, 99, 100, 199, 200])
def test_tasks_of_every_small_size_are_ranked_whole(strategy: str, n: int) -> None:
    labels = np.arange(n) % max(1, n // 100)
    assert sorted(select(unit(n, 5), labels, 10**6, strategy=strategy)) == list(range(n))


@EVERY
def test_identical_images_are_taken_by_id_or_once_with_the_guard(strategy: str) -> None:
    rows, ids = np.ones((12, 3), dtype=np.float32), [f"image-{i:02d}" for i in range(11, -1, -1)]
    labels = np.zeros(12, dtype=int)
    guarded = rank(rows, labels, strategy=strategy, ids=ids, near_duplicate=0.99)
    assert len(guarded) == 1
    assert set(guarded.copy_of.tolist()) == set(guarded.rows.tolist())
    if strategy not in ("random", "balanced", "kcentre"):  # chance opens those
        assert select(rows, labels, 12, strategy=strategy, ids=ids).tolist() == list(range(11, -1, -1))


def test_picks_are_the_most_central_of_each_cluster_under_divisor_seats() -> None:
    rows, labels, ids = unit(400, 9), np.random.default_rng(0).integers(0, 7, 400), np.arange(400)[::-1]
    available = np.random.default_rng(1).random(400) < 0.8
    centrality = neighbor_centrality(rows, labels, available=available)
    picks = select(rows, labels, 90, available=available, ids=ids)
    seats = allocate(np.bincount(labels[available]), np.bincount(labels[available]), 90)
    for label in range(7):
        members = np.flatnonzero((labels == label) & available)
        best = members[np.lexsort((ids[members], -centrality[members]))]
        assert picks[labels[picks] == label].tolist() == best[: seats[label]].tolist()


def test_equal_claims_of_clusters_go_to_the_lowest_label() -> None:
    labels = np.repeat([3, 1, 2], 10)
    assert labels[select(unit(30, 4), labels, 6)].tolist() == [1, 2, 3, 1, 2, 3]


def test_a_clump_of_copies_yields_one_pick_and_its_seats_go_to_the_next_of_the_cluster() -> None:
    rows = unit(120, 32)
    rows[:20] = rows[0] + 0.002 * unit(20, 32, seed=1)
    labels = np.arange(120) % 2
    labels[:20] = 0
    plain, guarded = select(rows, labels, 30), select(rows, labels, 30, near_duplicate=0.99)
    assert (plain < 20).sum() == (labels[plain] == 0).sum()  # every seat of its cluster
    assert (guarded < 20).sum() == 1
    assert np.bincount(labels[guarded]).tolist() == np.bincount(labels[plain]).tolist()


def test_copies_of_the_reference_set_are_left_out() -> None:
    rows = unit(40, 16)
    rows[1] = rows[0]
    chosen = np.arange(40) == 0
    ranking = rank(rows, np.zeros(40, dtype=int), chosen=chosen, near_duplicate=0.999)
    assert ranking.copies.tolist() == [1]
    assert ranking.copy_of.tolist() == [0]
    assert 0 not in ranking.rows


@EVERY
def test_nothing_is_left_where_every_row_repeats_a_chosen_one(strategy: str) -> None:
    rows, chosen = np.ones((5, 3)), np.arange(5) == 0
    ranking = rank(rows, np.zeros(5, dtype=int), chosen=chosen, near_duplicate=0.98, strategy=strategy)
    assert len(ranking) == 0
    assert sorted(ranking.copies.tolist()) == [1, 2, 3, 4]
    assert select(rows, np.zeros(5, dtype=int), 3, chosen=chosen, near_duplicate=0.98, strategy=strategy).tolist() == []


@EVERY
def test_the_lowest_and_the_highest_label_are_labels_like_any(strategy: str) -> None:
    bounds = np.iinfo(np.int64)
    labels = np.array([bounds.min, bounds.max, 0])[np.arange(12) % 3]
    ranking = rank(unit(12, 4), labels, strategy=strategy)
    assert sorted(ranking.rows.tolist()) == list(range(12))
    for label in set(labels.tolist()):
        assert ranking.rank_in_cluster[ranking.clusters == label].tolist() == [0, 1, 2, 3]


def test_many_copies_beyond_one_block_are_all_found() -> None:
    rows = np.repeat(unit(3, 24), 700, axis=0)
    assert len(rank(rows, np.zeros(2100, dtype=int), near_duplicate=0.999)) == 3


def test_chance_belongs_to_the_id_so_a_growing_pool_keeps_its_order() -> None:
    ids = [f"id-{i}" for i in range(300)]
    small = select(unit(200, 4), np.zeros(200, dtype=int), 200, strategy="random", ids=ids[:200], seed=3)
    large = select(unit(300, 4), np.zeros(300, dtype=int), 300, strategy="random", ids=ids, seed=3)
    assert large[large < 200].tolist() == small.tolist()
    assert select(unit(200, 4), np.zeros(200, dtype=int), 200, strategy="random", seed=4).tolist() != small.tolist()


def test_ids_may_come_as_any_sequence_of_one_kind() -> None:
    rows, labels = unit(30, 4), np.zeros(30, dtype=int)
    words = [f"id-{i:02d}" for i in range(30)]
    for ways in (
        (list(range(30)), np.arange(30, dtype=np.uint8), np.arange(30).astype(object)),
        (words, tuple(words), np.array(words), np.array(words, dtype=object)),
    ):
        orders = [select(rows, labels, 30, strategy="random", ids=ids).tolist() for ids in ways]
        assert all(order == orders[0] for order in orders)
    assert len(select(rows, labels, 30, ids=[2**70 + i for i in range(30)])) == 30


def test_random_picks_are_spread_evenly() -> None:
    picks = np.array(
        [select(unit(100, 2), np.zeros(100, dtype=int), 10, strategy="random", seed=s) for s in range(300)]
    )
    counts = np.bincount(picks.ravel(), minlength=100)
    assert counts.sum() == 3000
    assert 10 <= counts.min() <= counts.max() <= 55  # 30 expected, standard deviation 5


def test_balanced_gives_every_cluster_the_same() -> None:
    labels = np.repeat([0, 1, 2], [100, 20, 5])
    assert np.bincount(labels[select(unit(125, 3), labels, 30, strategy="balanced")]).tolist() == [13, 12, 5]


def test_typiclust_starts_with_the_largest_cluster_that_has_nothing() -> None:
    labels = np.repeat([0, 1, 2], [5, 30, 20])
    chosen = np.arange(55) == 10  # cluster 1 has a row already
    assert labels[select(unit(55, 3), labels, 3, strategy="typiclust", chosen=chosen)].tolist() == [2, 0, 1]


def test_k_centre_goes_to_the_farthest_row() -> None:
    angles = np.deg2rad([0, 5, 90, 100, 178])
    rows = np.column_stack([np.cos(angles), np.sin(angles)])
    chosen = np.arange(5) == 0
    assert select(rows, np.zeros(5, dtype=int), 2, strategy="kcentre", chosen=chosen).tolist() == [4, 2]


def test_coverage_picks_leave_less_uncovered_than_central_picks() -> None:
    generator = np.random.default_rng(0)
    centre = unit(6, 12)[generator.choice(6, 240, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])]
    rows = centre + 0.3 * unit(240, 12, seed=2)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    covered = {}
    for strategy in ("presel", "coverage"):
        picks = select(rows, np.zeros(240, dtype=int), 8, strategy=strategy)
        covered[strategy] = (rows @ rows[picks].T).max(axis=1).mean()
    assert covered["coverage"] > covered["presel"] + 0.05


def test_coverage_avoids_what_the_reference_set_covers() -> None:
    groups = np.repeat(unit(2, 8), 20, axis=0) + 0.05 * unit(40, 8, seed=3)
    first = select(groups, np.zeros(40, dtype=int), 1, strategy="coverage", chosen=np.arange(40) < 3)
    assert first[0] >= 20


@EVERY
def test_a_bad_row_is_named_unless_it_is_not_available(strategy: str) -> None:
    rows = unit(30, 4)
    rows[4, 0] = np.nan
    labels = np.arange(30) % 3
    with pytest.raises(InputError, match=r"rows \[4\]"):
        select(rows, labels, 5, strategy=strategy)
    assert 4 not in select(rows, labels, 30, strategy=strategy, available=np.arange(30) != 4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"budget": -1},
        {"budget": 1.5},
        {"strategy": "oracle"},
        {"near_duplicate": 0.0},
        {"near_duplicate": 1.1},
        {"near_duplicate": float("nan")},
        {"labels": np.zeros(3, dtype=int)},
        {"available": np.ones(3, dtype=bool)},
        {"ids": ["a", "b"]},
        {"ids": ["a", "b", "a", "c", "d"]},
        {"ids": ["a", None, "b", "c", "d"]},
        {"ids": [1, "a", "b", "c", "d"]},
        {"ids": np.array([1, "a", "b", "c", "d"], dtype=object)},
        {"ids": [[1], [1, 2], [3], [4], [5]]},
        {"ids": np.full(5, np.nan)},
        {"ids": [True, False, 2, 3, 4]},
        {"seed": None},
        {"seed": "x"},
        {"seed": float("nan")},
        {"seed": 1.5},
        {"near_duplicate": "0.9"},
        {"near_duplicate": True},
        {"strategy": []},
        {"strategy": None},
        {"embeddings": unit(5, 3) * np.float32(1e-20)},
        {"embeddings": [[1.0], [1.0, 2.0]]},
    ],
)
def test_unusable_arguments_are_input_errors(arguments: dict[str, Any]) -> None:
    usable: dict[str, Any] = {"embeddings": unit(5, 3), "labels": np.zeros(5, dtype=int), "budget": 2}
    with pytest.raises(InputError, match=r"presel\.selection\.strategies"):
        select(**(usable | arguments))


@pytest.mark.parametrize("strategy", ["presel", "balanced"])
def test_clusters_that_hold_seats_wait_for_those_that_hold_none(strategy: str) -> None:
    rows = np.random.default_rng(3).normal(size=(40, 8)).astype(np.float32)
    labels = np.repeat([0, 1], 20)
    held = np.zeros(40, dtype=bool)
    held[:4] = True
    ranking = rank(rows, labels, held=held, strategy=strategy)
    assert (ranking.clusters[:4] == 1).all()
    assert not set(ranking.rows) & set(np.flatnonzero(held))
    assert sorted(ranking.clusters[4:6]) == [0, 1]


@EVERY
@settings(max_examples=25, deadline=None)
@given(pool=pools())
def test_across_clusters_no_two_picks_of_a_task_are_near_duplicates(strategy: str, pool: dict[str, Any]) -> None:
    ranking = rank(strategy=strategy, across=True, **pool)
    kept = {*ranking.rows.tolist(), *np.flatnonzero(pool["chosen"]).tolist()}
    assert set(ranking.copy_of.tolist()) <= kept
    assert not set(ranking.copies.tolist()) & set(ranking.rows.tolist())
    if pool["near_duplicate"] is None:
        return
    held = np.concatenate([ranking.rows, np.flatnonzero(pool["chosen"])])
    cosines = pool["embeddings"][ranking.rows] @ pool["embeddings"][held].T
    other = ranking.rows[:, None] != held[None]
    assert not (other & (cosines > pool["near_duplicate"] + 1e-5)).any()


def test_what_was_taken_in_a_cluster_with_nothing_left_keeps_its_copies_out_of_others() -> None:
    rows = np.concatenate([unit(6, 8, seed=1), unit(1, 8, seed=1)])  # the last one repeats the first
    labels, chosen = np.array([0] * 6 + [1]), np.arange(7) == 6
    ranking = rank(rows, labels, chosen=chosen, near_duplicate=0.999, across=True)
    assert (ranking.copies.tolist(), ranking.copy_of.tolist()) == ([0], [6])


def test_a_scene_that_two_clusters_share_is_picked_once_from_the_larger() -> None:
    scene = unit(1, 8, seed=3)
    rows = np.concatenate([unit(6, 8, seed=1), scene, unit(3, 8, seed=2), scene])
    labels = np.array([0] * 7 + [1] * 4)
    inside, across = (rank(rows, labels, near_duplicate=0.999, across=both) for both in (False, True))
    assert {6, 10} <= set(inside.rows.tolist())
    assert (across.copies.tolist(), across.copy_of.tolist()) == ([10], [6])
