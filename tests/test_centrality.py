"""Neighbour centrality against a float64 restatement, and its degenerate cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presel.errors import InputError
from presel.selection import centrality
from presel.selection.centrality import neighbor_centrality


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def restated(rows: np.ndarray, labels: np.ndarray, k: int, available: np.ndarray) -> np.ndarray:
    result = np.full(len(rows), np.nan)
    for label in np.unique(labels[available]):
        members = np.flatnonzero((labels == label) & available)
        for i in members:
            others = members[members != i]
            cosines = np.sort(rows[others].astype(np.float64) @ rows[i].astype(np.float64))[::-1]
            result[i] = cosines[:k].mean() if len(others) else 0.0
    return result


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 6), st.integers(1, 9), st.integers(0, 10_000))
def test_it_is_the_mean_cosine_to_the_nearest_available_members(n: int, clusters: int, k: int, seed: int) -> None:
    rows, generator = unit(n, 7, seed), np.random.default_rng(seed)
    labels, available = generator.integers(-2, clusters, n), generator.random(n) < 0.7
    got = neighbor_centrality(rows, labels, k=k, available=available)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, restated(rows, labels, k, available), atol=2e-6)


def test_a_cluster_larger_than_a_block_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = unit(500, 16), np.zeros(500, dtype=int)
    whole = neighbor_centrality(rows, labels)
    monkeypatch.setattr(centrality, "BLOCK", 7 * 500)
    np.testing.assert_allclose(neighbor_centrality(rows, labels), whole, atol=1e-6)


def test_a_cluster_converted_in_parts_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = np.repeat(unit(60, 16), 5, axis=0), np.zeros(300, dtype=int)
    whole = neighbor_centrality(rows, labels)
    monkeypatch.setattr(centrality, "WIDE", 64)
    monkeypatch.setattr(centrality, "BLOCK", 64 * 50)
    np.testing.assert_array_equal(neighbor_centrality(rows, labels), whole)


def test_order_does_not_hang_on_float32_where_all_rows_point_one_way() -> None:
    rows = unit(1, 1024) + 1e-2 * unit(200, 1024, seed=1)
    wide = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    cosines = wide @ wide.T
    np.fill_diagonal(cosines, -np.inf)
    exact = np.sort(cosines, axis=1)[:, -5:].mean(axis=1)
    values = neighbor_centrality(rows, np.zeros(200, dtype=int))
    assert (np.diff(exact[np.argsort(-values, kind="stable")]) < 1e-7).all()


@pytest.mark.parametrize("length", [1e-19, 1e-20, 1e-22, 1e-30, 1e-40])
@pytest.mark.parametrize("label", [0, 1])
def test_a_row_too_short_to_be_measured_is_named(length: float, label: int) -> None:
    rows, labels = unit(20, 4), np.zeros(20, dtype=int)
    rows[7] *= np.float32(length)
    labels[7] = label
    with pytest.raises(InputError, match=r"rows \[7\]"):
        neighbor_centrality(rows, labels)


def test_short_rows_that_can_be_measured_are_compared_like_any() -> None:
    rows = unit(40, 4)
    lengths = np.where(np.arange(40) % 2, np.float32(1e-17), np.float32(1e17))[:, None]
    want = neighbor_centrality(rows, np.zeros(40, dtype=int))
    np.testing.assert_allclose(neighbor_centrality(rows * lengths, np.zeros(40, dtype=int)), want, atol=1e-6)


def test_copies_tie_exactly_wherever_they_stand() -> None:
    rows = unit(301, 33)
    rows[[5, 100, 187, 300]] = rows[5]
    values = neighbor_centrality(rows, np.zeros(301, dtype=int))
    assert len(set(values[[5, 100, 187, 300]].tolist())) == 1
    same = neighbor_centrality(np.repeat(rows[:1], 333, axis=0), np.arange(333) % 7)
    assert np.unique(same).tolist() == [1.0]


def test_alone_is_zero_and_a_pair_shares_its_cosine() -> None:
    rows = unit(3, 5)
    values = neighbor_centrality(rows, [0, 1, 1])
    assert values[0] == 0
    assert values[1] == values[2] == pytest.approx(float(rows[1] @ rows[2]), abs=1e-6)


def test_length_and_layout_of_the_rows_do_not_matter() -> None:
    rows, labels = unit(90, 12), np.arange(90) % 4
    want = neighbor_centrality(rows, labels)
    np.testing.assert_allclose(neighbor_centrality(rows * 3.5, labels), want, atol=1e-6)
    np.testing.assert_allclose(neighbor_centrality(rows.astype(np.float64), labels), want, atol=1e-6)
    np.testing.assert_array_equal(neighbor_centrality(np.repeat(rows, 2, axis=1)[:, ::2], labels), want)
    np.testing.assert_array_equal(neighbor_centrality(np.asfortranarray(rows), labels), want)


def test_a_zero_row_is_at_right_angles_to_everything() -> None:
    rows = unit(6, 4)
    rows[2] = 0
    values = neighbor_centrality(rows, np.zeros(6, dtype=int))
    assert values[2] == 0
    assert np.isfinite(values).all()


@pytest.mark.parametrize("label", [0, 1])
def test_one_bad_row_is_named_unless_it_is_not_available(label: int) -> None:
    rows = unit(20, 4)
    rows[7, 1] = np.nan
    labels = np.zeros(20, dtype=int)
    labels[7] = label
    with pytest.raises(InputError, match=r"rows \[7\]"):
        neighbor_centrality(rows, labels)
    values = neighbor_centrality(rows, labels, available=np.arange(20) != 7)
    assert np.flatnonzero(np.isnan(values)).tolist() == [7]


def test_nothing_in_nothing_out() -> None:
    assert neighbor_centrality(np.zeros((0, 4)), np.zeros(0, dtype=int)).shape == (0,)


@pytest.mark.parametrize(
    "arguments",
    [
        {"embeddings": np.zeros(5)},
        {"embeddings": np.zeros((5, 0))},
        {"labels": np.zeros(4, dtype=int)},
        {"labels": np.zeros(5)},
        {"k": 0},
        {"available": np.arange(5)},
    ],
)
def test_unusable_arguments_are_input_errors(arguments: dict[str, object]) -> None:
    usable: dict[str, object] = {"embeddings": unit(5, 3), "labels": np.zeros(5, dtype=int)}
    with pytest.raises(InputError):
        neighbor_centrality(**(usable | arguments))  # type: ignore[arg-type]
