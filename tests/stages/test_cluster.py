"""The cluster stage: METHOD, step 7."""

from __future__ import annotations

from pathlib import Path

import pytest

from presel.config import ClusteringConfig
from presel.stages.cluster import cluster
from presel.tables import table_store
from tests.stages.choosing import ids_of, samples_of, vectors


@pytest.mark.parametrize(("count", "clusters"), [(1, 1), (99, 1), (100, 1), (199, 1), (200, 2), (650, 6)])
def test_a_task_has_a_cluster_for_every_hundred_images_and_at_least_one(
    tmp_path: Path, count: int, clusters: int
) -> None:
    samples = samples_of(str(tmp_path), {"cats": vectors(count)})
    ref = cluster(samples, ClusteringConfig(), 0)
    table = table_store.read(ref)
    assert table["sample_id"].to_pylist() == ids_of(samples)
    assert sorted(set(table["cluster"].to_pylist())) == list(range(clusters))
    assert table_store.facts(ref)["clusters"] == clusters


def test_fewer_images_a_cluster_make_more_clusters(tmp_path: Path) -> None:
    samples = samples_of(str(tmp_path), {"cats": vectors(300)})
    ref = cluster(samples, ClusteringConfig(images_per_cluster=30), 0)
    assert table_store.facts(ref)["clusters"] == 10
