"""The pick order of one task (METHOD, steps 8 and 9), before any budget is known.

Because budgets nest, the whole order can be made once: a quota of q takes its first q rows. So the order depends on
the clusters, the reference set and the strategy, never on weights or money, and its length is the task's exact supply,
near-duplicates already left out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from presel import strategies, table_store
from presel.config import SelectionConfig
from presel.stage import stage
from presel.table_store import Output
from presel.tables import RANKING, TableRef
from presel.vectors import unit_vectors


@stage("rank", version=1)
def rank(
    out: Output, samples: TableRef, clusters: TableRef, reference: TableRef, config: SelectionConfig, seed: int
) -> None:
    """Every available sample of a task in pick order. `reference` are the task's reference instructions."""
    table = table_store.read(samples)
    labels = table_store.read(clusters)["cluster"].to_numpy()
    chosen = pc.is_in(table["sample_id"], value_set=attempted(reference)).to_numpy(zero_copy_only=False)
    ranking = strategies.rank(
        unit_vectors(table),
        labels,
        available=~chosen,
        chosen=chosen,
        strategy=config.strategy,
        ids=table["sample_id"].to_numpy(zero_copy_only=False),
        seed=seed,
        near_duplicate=config.near_duplicate,
    )
    rows = table.select(["sample_id", "task", "key", "content"]).take(pa.array(ranking.rows, pa.int64()))
    columns = {
        "cluster": ranking.clusters,
        "centrality": ranking.centrality,
        "rank": ranking.rank_in_cluster,
        "order": np.arange(len(ranking)),
    }
    for name, values in columns.items():
        rows = rows.append_column(name, pa.array(values, RANKING.field(name).type))
    out.write(rows.cast(RANKING), RANKING, samples.label)
    _reject_near_duplicates(out, table, ranking)


def attempted(reference: TableRef) -> pa.Array:
    """Ids that were paid for or refused as reference samples: they are never chosen again."""
    instructed = table_store.read(reference, ["sample_id"])["sample_id"].combine_chunks()
    return pa.concat_arrays([instructed, table_store.rejects(reference)["id"].combine_chunks()])


def _reject_near_duplicates(out: Output, table: pa.Table, ranking: strategies.Ranking) -> None:
    keys, ids, tasks = (table[name].to_pylist() for name in ("key", "sample_id", "task"))
    for row, original, cosine in zip(ranking.copies, ranking.copy_of, ranking.cosine, strict=True):
        out.reject(
            task=tasks[row],
            key=keys[row],
            id=ids[row],
            reason="near_duplicate",
            detail=f"cosine {cosine:.4f} with {keys[original]}",
        )
