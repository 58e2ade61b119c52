"""The coverage curve against direct counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presel.errors import InputError
from presel.selection.coverage import coverage_curve


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 1000), st.floats(-0.5, 1.0))
def test_the_share_is_that_of_images_within_the_cosine_of_an_early_pick(n: int, seed: int, cosine: float) -> None:
    rows, generator = unit(n, 4, seed), np.random.default_rng(seed)
    chosen, order = generator.random(n) < 0.1, generator.permutation(n)
    picks, budgets = order[: n // 2 + 1], np.array([0, 1, 3, n])
    got = coverage_curve(rows, picks, budgets, cosine=cosine, chosen=chosen)
    cosines = rows @ rows.T
    clear = np.abs(cosines - cosine) > 1e-5
    for budget, share in zip(budgets, got, strict=True):
        held = np.concatenate([np.flatnonzero(chosen), picks[:budget]])
        low = ((cosines >= cosine) & clear)[:, held].any(axis=1).mean() if len(held) else 0
        high = ((cosines >= cosine) | ~clear)[:, held].any(axis=1).mean() if len(held) else 0
        assert low - 1e-12 <= share <= high + 1e-12
    assert (np.diff(got) >= 0).all()


def test_everything_picked_covers_everything() -> None:
    assert coverage_curve(unit(3000, 8), np.arange(3000), [3000], cosine=1.0).tolist() == [1.0]


def test_a_sample_estimates_the_whole_within_its_error() -> None:
    rows, picks = unit(9000, 6), np.arange(200)
    whole = coverage_curve(rows, picks, [50, 200], cosine=0.9, sample=9000)
    part = coverage_curve(rows, picks, [50, 200], cosine=0.9, sample=4000)
    np.testing.assert_allclose(part, whole, atol=0.02)


def test_an_empty_task_is_covered_by_nothing() -> None:
    assert coverage_curve(np.zeros((0, 3)), [], [0, 5], cosine=0.5).tolist() == [0, 0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"picks": [5]},
        {"picks": [-1]},
        {"picks": [1.5]},
        {"picks": ["a"]},
        {"picks": [[0], [1, 2]]},
        {"cosine": 1.5},
        {"cosine": float("nan")},
        {"cosine": "0.5"},
        {"budgets": [-1]},
        {"budgets": [1.5]},
        {"seed": -1},
    ],
)
def test_unusable_arguments_are_input_errors(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"presel\.selection\.coverage"):
        coverage_curve(**({"embeddings": unit(5, 3), "picks": [0], "budgets": [1], "cosine": 0.5} | arguments))


def test_a_bad_row_is_named() -> None:
    rows = unit(5, 3)
    rows[4] = np.nan
    with pytest.raises(InputError, match=r"rows \[4\]"):
        coverage_curve(rows, [0], [1], cosine=0.5)
