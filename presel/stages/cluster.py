"""k-means of one task's images (METHOD, step 7): about a hundred images a cluster, on unit vectors."""

from __future__ import annotations

import pyarrow as pa

from presel.config import ClusteringConfig
from presel.selection.clustering import cluster_count, kmeans
from presel.tables import table_store
from presel.tables.schemas import CLUSTERS, TableRef
from presel.tables.stage import stage
from presel.tables.table_store import Output
from presel.tables.vectors import unit_vectors


@stage("cluster", version=2)
def cluster(out: Output, samples: TableRef, config: ClusteringConfig, seed: int) -> None:
    """A cluster for every sample of one task, the reference set included."""
    table = table_store.read(samples, ["sample_id", "vector"])
    k = cluster_count(table.num_rows, config.images_per_cluster)
    found = kmeans(unit_vectors(table), k, seed=seed, device=config.engine, quality=config.quality)
    out.write(
        pa.table({"sample_id": table["sample_id"], "cluster": pa.array(found.labels, pa.int32())}, schema=CLUSTERS),
        CLUSTERS,
        samples.label,
    )
    out.note(clusters=k, inertia=found.inertia, iterations=found.iterations)
