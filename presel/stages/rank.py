"""The pick order of one task (METHOD, steps 8 and 9), before any budget is known.

Because budgets nest, the whole order can be made once: a quota of q takes its first q rows. So the order depends on
the clusters, the reference set and the strategy, never on weights or money, and its length is the task's exact supply,
near-duplicates already left out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from presel.config import SelectionConfig
from presel.images.reasons import Reason
from presel.report.coverage_curves import closeness
from presel.runs.budget_curve import COVERAGE_FILE, encoded
from presel.selection import strategies
from presel.selection.coverage import coverage_curve
from presel.selection.duplicates import USUAL_THRESHOLD
from presel.tables import table_store
from presel.tables.guard import threshold_of
from presel.tables.kept_samples import KEPT_FILE
from presel.tables.schemas import KEPT, RANKING, TableRef
from presel.tables.stage import stage
from presel.tables.table_store import Output
from presel.tables.vectors import unit_vectors


@stage("rank", version=4)
def rank(
    out: Output,
    samples: TableRef,
    clusters: TableRef,
    reference: TableRef,
    paid: TableRef,
    config: SelectionConfig,
    seed: int,
    guard: TableRef | None = None,
) -> None:
    """Every available sample of a task in pick order. `reference` are the task's reference instructions, `paid` its PAID.

    `guard` holds the threshold that `near_duplicate: auto` stands for; without it that is the usual one.

    `kept.parquet` beside it holds KEPT: what stays from an earlier version and holds a seat of its cluster already;
    `coverage.parquet` the share of the task that the first 0, 1, 2, ... picks stand for, with what is chosen already.
    """
    table = table_store.read(samples)
    labels = table_store.read(clusters)["cluster"].to_numpy()
    tried, before = attempted(reference), table_store.read(paid)
    chosen = _among(table, pa.concat_arrays([tried, before["sample_id"].combine_chunks()]))
    kept = before.filter(pc.and_(before["stays"], pc.invert(pc.is_in(before["sample_id"], value_set=tried))))
    held = _among(table, kept["sample_id"].combine_chunks())
    vectors = unit_vectors(table)
    ranking = strategies.rank(
        vectors,
        labels,
        available=~chosen,
        chosen=chosen,
        held=held,
        strategy=config.strategy,
        ids=table["sample_id"].to_numpy(zero_copy_only=False),
        seed=seed,
        near_duplicate=_threshold(config, guard, samples.label),
        across=config.near_duplicate == "auto",
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
    out.write_file(KEPT_FILE, table_store.encode(_kept(kept, labels[held])))
    shares = coverage_curve(
        vectors, ranking.rows, np.arange(len(ranking) + 1), cosine=closeness(vectors), chosen=chosen, seed=seed
    )
    out.write_file(COVERAGE_FILE, encoded(shares))
    _reject_near_duplicates(out, table, ranking)


def _threshold(config: SelectionConfig, guard: TableRef | None, task: str) -> float | None:
    if config.near_duplicate != "auto":
        return config.near_duplicate
    return USUAL_THRESHOLD if guard is None else threshold_of(guard, task)


def _kept(rows: pa.Table, labels: npt.NDArray[np.int64]) -> pa.Table:
    """KEPT rows of samples by ascending id, with the labels of their clusters in the same order."""
    count = rows.num_rows
    columns = {
        "cluster": labels,
        "centrality": pa.nulls(count),
        "rank": pa.nulls(count),
        "order": np.arange(-count, 0),
        "answered": rows["answered"].combine_chunks(),
    }
    named = rows.select(["sample_id", "task", "key", "content"])
    for name, values in columns.items():
        named = named.append_column(name, pa.array(values, KEPT.field(name).type))
    return named.cast(KEPT)


def _among(table: pa.Table, ids: pa.Array) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.is_in(table["sample_id"], value_set=ids).to_numpy(zero_copy_only=False)
    return found


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
            reason=Reason.NEAR_DUPLICATE,
            detail=f"cosine {cosine:.4f} with {keys[original]}",
        )
