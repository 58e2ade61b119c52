"""k-means: its contract, its quality against recorded scikit-learn runs, and hostile input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.pools import clustered, diffuse
from presel.errors import InputError
from presel.selection.clustering import Clustering, kmeans, passes, schedule, state


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def distances(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((rows[:, None, :].astype(np.float64) - centroids[None].astype(np.float64)) ** 2).sum(axis=2)


def assert_sound(result: Clustering, rows: np.ndarray, k: int) -> None:
    """Shapes, types, nearest centroids, and an inertia that is what it says."""
    assert result.labels.shape == (len(rows),)
    assert result.labels.dtype == np.int32
    assert result.centroids.shape == (k, rows.shape[1])
    assert result.centroids.dtype == np.float32
    squared = distances(rows, result.centroids)
    own = squared[np.arange(len(rows)), result.labels]
    assert (own <= squared.min(axis=1) + 1e-5).all()
    assert result.inertia == pytest.approx(own.sum(), rel=1e-5, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 120), st.integers(1, 12), st.integers(1, 9), st.integers(0, 1000))
def test_every_row_is_with_its_nearest_centroid_and_no_cluster_is_empty(n: int, k: int, d: int, seed: int) -> None:
    rows, k = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32), min(k, n)
    result = kmeans(rows, k, seed=seed)
    assert_sound(result, rows, k)
    assert set(result.labels.tolist()) == set(range(k))


def test_centroids_are_the_means_of_small_problems() -> None:
    rows = unit(400, 8)
    result = kmeans(rows, 6, seed=0)
    for label in range(6):
        np.testing.assert_allclose(result.centroids[label], rows[result.labels == label].mean(axis=0), atol=1e-5)


def test_labels_are_numbered_by_first_appearance() -> None:
    labels = kmeans(unit(300, 5), 9, seed=3).labels
    first = [int(np.flatnonzero(labels == label)[0]) for label in range(9)]
    assert first == sorted(first)


def test_separate_groups_are_found() -> None:
    rows = clustered(3000, 32, 30, seed=5)
    truth = kmeans(rows, 30, seed=0, quality="best").inertia
    assert kmeans(rows, 30, seed=1).inertia < 1.02 * truth


@pytest.mark.parametrize(
    "pool", [clustered(6000, 48, 70, seed=1), diffuse(6000, 48, seed=1)], ids=["clustered", "diffuse"]
)
def test_inertia_is_at_most_that_of_scikit_learn(pool: np.ndarray) -> None:
    from sklearn.cluster import KMeans

    assert kmeans(pool, 60, seed=0).inertia <= 1.002 * KMeans(60, random_state=0).fit(pool).inertia_


def test_the_number_of_threads_changes_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = clustered(12_000, 64, 150, seed=2)
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(kmeans(rows, 120, seed=4))
    assert results[0].labels.tobytes() == results[1].labels.tobytes()
    assert results[0].centroids.tobytes() == results[1].centroids.tobytes()
    assert results[0].inertia == results[1].inertia


def test_the_number_of_threads_changes_no_byte_of_the_projected_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = diffuse(12_000, 256, seed=2)
    monkeypatch.setattr(schedule, "EXACT_WORK", 1.0)
    monkeypatch.setattr(schedule, "CHEAP_WORK", 1.0)
    monkeypatch.setattr(passes, "PROBE", 1)  # every block, whatever a probe would say
    found = []
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        result = kmeans(rows, 120, seed=0, device="cpu", quality="fast")
        found.append((result.labels.tobytes(), result.centroids.tobytes(), result.inertia))
    assert found[0] == found[1] == found[2]


def test_a_seed_repeats_and_another_differs() -> None:
    rows = unit(2000, 16)
    one, again, other = (kmeans(rows, 40, seed=s) for s in (1, 1, 2))
    assert one.labels.tobytes() == again.labels.tobytes()
    assert one.labels.tobytes() != other.labels.tobytes()


def test_the_way_of_large_problems_stays_close_to_exact_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = diffuse(8000, 96, seed=3)
    exact = kmeans(rows, 160, seed=0)
    monkeypatch.setattr(schedule, "EXACT_WORK", 1.0)
    monkeypatch.setattr(schedule, "CHEAP_WORK", 1.0)
    large = kmeans(rows, 160, seed=0)
    assert large.inertia < 1.01 * exact.inertia
    squared = distances(rows[:2000], large.centroids)
    assert (squared.argmin(axis=1) != large.labels[:2000]).mean() < 0.1


def test_kept_candidate_lists_equal_fresh_ones_where_centroids_moved() -> None:
    rows = unit(1000, 6)
    current = state.State(rows, rows[:50])
    near = passes.NearPasses(current, 8)
    current.moved[:] = False
    current.centroids[7], current.moved[7] = rows[900], True
    near.run()
    assert near.lists[7].tolist() == current.neighbours(8, np.array([7]))[0].tolist()


def test_a_pass_without_a_refresh_still_moves_rows_but_makes_no_lists() -> None:
    rows = unit(1000, 6)
    current = state.State(rows, rows[:50])
    near = passes.NearPasses(current, 8)
    near.run()
    before = near.lists.copy()
    current.centroids[7], current.moved[7] = rows[900], True
    assert near.run(refresh=False) > 0
    np.testing.assert_array_equal(near.lists, before)
    assert not current.moved.any()


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_floats_and_layouts_are_accepted(dtype: type) -> None:
    rows = unit(200, 8).astype(dtype)
    want = kmeans(rows.astype(np.float32), 5, seed=0)
    assert kmeans(rows, 5, seed=0).labels.tobytes() == want.labels.tobytes()
    assert kmeans(np.asfortranarray(rows), 5, seed=0).labels.tobytes() == want.labels.tobytes()
    assert kmeans(np.repeat(rows, 2, axis=0)[::2], 5, seed=0).labels.tobytes() == want.labels.tobytes()


def test_one_cluster_is_the_mean() -> None:
    rows = unit(50, 4)
    result = kmeans(rows, 1, seed=0)
    np.testing.assert_allclose(result.centroids[0], rows.mean(axis=0), atol=1e-6)
    assert result.labels.tolist() == [0] * 50


def test_as_many_clusters_as_rows_leave_no_error() -> None:
    rows = unit(40, 6)
    result = kmeans(rows, 40, seed=0)
    assert result.inertia < 1e-9
    assert result.labels.tolist() == list(range(40))


def test_one_dimension_is_enough() -> None:
    rows = np.concatenate([np.full(10, -1.0), np.full(10, 1.0)])[:, None]
    assert kmeans(rows, 2, seed=0).labels.tolist() == [0] * 10 + [1] * 10


@pytest.mark.parametrize("n", [1, 30, 5000])
def test_identical_rows_share_a_cluster(n: int) -> None:
    result = kmeans(np.ones((n, 3), dtype=np.float32), min(n, 4), seed=0)
    assert set(result.labels.tolist()) == {0}
    assert result.inertia == 0
    assert np.isfinite(result.centroids).all()


def test_fewer_distinct_rows_than_clusters_are_separated_all_the_same() -> None:
    rows = np.repeat(unit(3, 4), 20, axis=0)
    result = kmeans(rows, 5, seed=0)
    assert len(set(result.labels.tolist())) == 3
    assert result.inertia < 1e-9


def test_a_bad_row_is_named() -> None:
    rows = unit(30, 4)
    rows[11, 2] = np.inf
    with pytest.raises(InputError, match=r"rows \[11\]"):
        kmeans(rows, 3, seed=0)


def test_values_too_large_or_too_small_to_square_are_named() -> None:
    rows = unit(30, 4)
    rows[3] *= 1e30
    with pytest.raises(InputError, match=r"rows \[3\]"):
        kmeans(rows, 3, seed=0)
    rows[3] *= 1e-30
    rows[5] *= np.float32(1e-20)
    with pytest.raises(InputError, match=r"rows \[5\]"):
        kmeans(rows, 3, seed=0)


@pytest.mark.parametrize(
    ("n", "k", "options"),
    [
        (0, 1, {}),
        (3, 4, {}),
        (3, 0, {}),
        (3, -1, {}),
        (3, 1.5, {}),
        (3, 2, {"quality": "superb"}),
        (3, 2, {"device": "abacus"}),
        (3, 2, {"device": "cuda:99"}),
        (3, 2, {"device": "meta"}),
        (3, 2, {"device": ""}),
        (3, 2, {"device": None}),
        (3, 2, {"device": 0}),
        (3, 2, {"quality": []}),
        (3, 2, {"quality": None}),
        (3, 2, {"seed": -1}),
        (3, 2, {"seed": None}),
        (3, None, {}),
        (3, "2", {}),
    ],
)
def test_unusable_arguments_are_input_errors(n: int, k: int, options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"presel\.selection\.clustering\.kmeans"):
        kmeans(unit(n, 4), k, **({"seed": 0} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [1, 2, 40])
def test_faiss_meets_the_same_contract(k: int) -> None:
    rows = clustered(3000, 24, 40, seed=7)
    result = kmeans(rows, k, seed=0, device="faiss")
    assert_sound(result, rows, k)
    assert result.inertia < 1.02 * kmeans(rows, k, seed=0).inertia


def test_faiss_repeats_its_bytes_and_follows_the_seed() -> None:
    rows = diffuse(2000, 32, seed=1)
    one, again, other = (kmeans(rows, 20, seed=seed, device="faiss") for seed in (3, 3, 4))
    assert one.labels.tobytes() == again.labels.tobytes()
    assert one.centroids.tobytes() == again.centroids.tobytes()
    assert one.labels.tobytes() != other.labels.tobytes()


def test_faiss_takes_fewer_distinct_rows_than_clusters() -> None:
    result = kmeans(np.repeat(unit(3, 4), 5, axis=0), 6, seed=0, device="faiss")
    assert [len(set(result.labels[i : i + 5].tolist())) for i in (0, 5, 10)] == [1, 1, 1]
    assert result.inertia < 1e-5


def test_a_gpu_is_taken_by_nobody_who_did_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    from presel.selection.clustering import through_faiss

    def taken(*_: object) -> None:
        raise AssertionError("faiss was called")

    monkeypatch.setattr(through_faiss, "cluster_through_faiss", taken)
    rows = unit(300, 8)
    assert kmeans(rows, 5, seed=0).labels.tobytes() == kmeans(rows, 5, seed=0, device="auto").labels.tobytes()
    with pytest.raises(AssertionError, match="faiss was called"):
        kmeans(rows, 5, seed=0, device="gpu")


def test_a_gpu_that_is_not_there_is_said_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"no such GPU.*clustering\.engine: cpu"):
        kmeans(unit(30, 4), 3, seed=0, device="gpu:77")
