import numpy as np
import pytest

from presel.report.coverage_curves import STEPS, closeness, of_task, together
from tests.report.test_projection import islands

NONE = np.zeros(0, dtype=np.int64)


def test_picks_that_reach_every_island_cover_more_than_picks_from_one() -> None:
    vectors = islands(5, 20)
    spread, crowded = np.arange(0, 100, 20), np.arange(5)
    reference = np.zeros(100, dtype=np.bool_)
    assert of_task(vectors, spread, reference).planned[-1] > 2 * of_task(vectors, crowded, reference).planned[-1]


def test_coverage_never_falls_and_starts_with_the_reference_set() -> None:
    vectors, reference = islands(5, 20), np.arange(100) < 20
    found = of_task(vectors, np.arange(25, 100, 7), reference)
    assert found.planned[0] == pytest.approx(found.random[0])
    assert found.planned[0] > 0
    assert (np.diff(found.planned) >= 0).all()
    assert (np.diff(found.random) >= -1e-12).all()
    assert len(found.planned) == STEPS + 1


def test_the_same_task_gives_the_same_curves() -> None:
    vectors, reference = islands(5, 20), np.zeros(100, dtype=np.bool_)
    one, other = (of_task(vectors, np.arange(9), reference) for _ in range(2))
    assert one.random.tobytes() == other.random.tobytes()


def test_the_pool_s_curve_counts_images_alike() -> None:
    large, small = islands(5, 20), islands(1, 10)
    tasks = [
        of_task(large, np.arange(5), np.zeros(100, dtype=np.bool_)),
        of_task(small, np.arange(2), np.zeros(10, dtype=np.bool_)),
    ]
    found = together(tasks, reference=4)
    assert found is not None
    assert (found.records[0], found.records[-1]) == (4, 11)
    assert found.planned[-1] == pytest.approx((100 * tasks[0].planned[-1] + 10 * tasks[1].planned[-1]) / 110)


def test_nothing_picked_or_nothing_there_is_no_curve() -> None:
    assert together([of_task(islands(1, 10), NONE, np.ones(10, dtype=np.bool_))], reference=10) is None
    assert together([], reference=0) is None


def test_closeness_of_copies_is_one_and_of_a_single_image_too() -> None:
    assert closeness(np.tile(islands(1, 1), (8, 1))) == pytest.approx(1.0)
    assert closeness(islands(1, 1)) == 1.0
