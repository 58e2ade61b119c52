import numpy as np
import pytest

from presel.report.projection import neighbours_kept, project


def islands(count: int, each: int, dimensions: int = 24) -> np.ndarray:
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(count, dimensions)) * 3
    vectors = np.repeat(centres, each, axis=0) + rng.normal(size=(count * each, dimensions)) * 0.4
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_the_same_vectors_lie_at_the_same_places_inside_the_unit_square() -> None:
    vectors = islands(4, 30)
    one, other = project(vectors), project(vectors)
    assert one.positions.tobytes() == other.positions.tobytes()
    assert one.method == "t-SNE"
    assert one.positions.min() == 0
    assert one.positions.max() == 1


def test_islands_stay_islands() -> None:
    vectors = islands(4, 30)
    found = project(vectors)
    labels = np.repeat(np.arange(4), 30)
    distances = np.linalg.norm(found.positions[:, None] - found.positions[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).mean() == 1.0
    assert found.kept is not None
    assert found.kept > 0.4


def test_kept_neighbours_are_all_for_the_same_points_and_few_for_shuffled_ones() -> None:
    points = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    assert neighbours_kept(points, points) == 1.0
    assert neighbours_kept(points, points[np.random.default_rng(1).permutation(300)]) < 0.15


@pytest.mark.parametrize("count", [1, 2, 30])
def test_a_few_points_are_shown_by_their_principal_components(count: int) -> None:
    found = project(islands(1, count))
    assert found.positions.shape == (count, 2)
    assert found.kept is None
    assert np.isfinite(found.positions).all()


def test_identical_images_share_a_place() -> None:
    found = project(np.tile(islands(1, 1), (20, 1)))
    assert (found.positions == found.positions[0]).all()
