"""Clusters as rows: how large, how many seats, which pick came first and last, and what a cluster looks like."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from presel.dataset.trainer_formats import CHOSEN_ORIGINS
from presel.report.contents import Cluster, Face

FACES = 3
"""Samples of a cluster that are shown beside its first and last pick: its most central ones."""


def clusters_of(task: str, table: pa.Table) -> list[Cluster]:
    """Of one task, largest first. `table`: samples with the columns of `dots.TOLD` and `place`, by id."""
    labels = table["cluster"].to_numpy(zero_copy_only=False)
    known = np.flatnonzero(~np.isnan(labels.astype(np.float64)))
    by_label: dict[int, list[int]] = {}
    for row in known.tolist():
        by_label.setdefault(int(labels[row]), []).append(row)
    columns = {name: table[name].to_pylist() for name in ("origin", "place", "rank", "centrality")}
    made = [_cluster(task, label, rows, columns, table) for label, rows in by_label.items()]
    return sorted(made, key=lambda cluster: (-cluster.size, cluster.number))


def _cluster(task: str, number: int, rows: list[int], columns: dict[str, list], table: pa.Table) -> Cluster:  # type: ignore[type-arg]
    picks = sorted((columns["place"][row], row) for row in rows if columns["origin"][row] in CHOSEN_ORIGINS)
    reference = sum(columns["origin"][row] == "reference" for row in rows)
    central = sorted((columns["rank"][row], row) for row in rows if columns["rank"][row] is not None)
    picked = {row for _, row in picks}
    faces = [row for _, row in central if row not in picked][:FACES]
    return Cluster(
        task=task,
        number=number,
        size=len(rows),
        reference=reference,
        seats=len(picks),
        first=_face(picks[0][1], table) if picks else None,
        last=_face(picks[-1][1], table) if len(picks) > 1 else None,
        others=tuple(_face(row, table) for row in faces),
    )


def _face(row: int, table: pa.Table) -> Face:
    sample, key, content = (table[name][row].as_py() for name in ("sample_id", "key", "content"))
    centrality = table["centrality"][row].as_py()
    return Face(sample, key, content, centrality)
