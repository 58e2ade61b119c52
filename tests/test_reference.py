"""The reference draw: uniform, of the seed and the ids alone, and the same for ever, since its samples are paid for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.selection.reference import draw_order, reference_size

IDS = [f"image {number}" for number in range(8)]


def test_the_draw_is_the_one_that_stores_were_paid_by() -> None:
    assert draw_order(IDS, 0) == [6, 4, 2, 1, 0, 3, 5, 7]
    assert draw_order(IDS, 1) == [6, 0, 2, 3, 7, 4, 5, 1]
    assert draw_order(IDS, 7) == [7, 3, 6, 2, 4, 1, 0, 5]


@given(st.lists(st.text(max_size=8), unique=True, max_size=30), st.integers(0, 2**40), st.randoms())
def test_another_order_of_ids_draws_the_same(ids, seed, random) -> None:
    shuffled = random.sample(ids, len(ids))
    assert [ids[at] for at in draw_order(ids, seed)] == [shuffled[at] for at in draw_order(shuffled, seed)]


def test_a_sample_that_was_drawn_stays_drawn_unless_a_new_one_comes_before_it() -> None:
    ids = [str(number) for number in range(500)]
    few, many = ([ids[at] for at in draw_order(ids[:count], 3)] for count in (400, 500))
    assert [one for one in many if int(one) < 400] == few


def test_every_sample_is_drawn_as_often_as_any_other() -> None:
    ids = [str(number) for number in range(20)]
    drawn = np.bincount([draw_order(ids, seed)[0] for seed in range(2000)], minlength=20)
    assert drawn.min() > 60  # 100 each, give or take four standard deviations
    assert drawn.max() < 140


@pytest.mark.parametrize(
    ("samples", "share", "size"),
    [(0, 0.05, 0), (1, 0.05, 1), (9, 0.05, 1), (29, 0.05, 1), (30, 0.05, 2), (49, 0.05, 2), (50, 0.05, 3), (3, 1.0, 3)],
)
def test_the_share_is_rounded_half_up_and_every_task_has_one(samples: int, share: float, size: int) -> None:
    assert reference_size(samples, share) == size
