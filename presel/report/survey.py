"""One pass over the vectors of a pool, a task in memory at a time: everything on the page that asks who is like whom.

The map shows the first samples in the order of their ids. Ids are hashes, so these are a uniform sample, and always the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from presel.dataset.trainer_formats import CHOSEN_ORIGINS
from presel.report.contents import Beside, Cluster, Copies, Map
from presel.report.copies import most_alike, taken_out
from presel.report.coverage_curves import Coverage, TaskCoverage, of_task, together
from presel.report.dots import Dot, Near, dots, is_instructed, told
from presel.report.faces import clusters_of
from presel.report.neighbours import Nearest, either_side
from presel.report.projection import POINTS, project
from presel.tables import table_store
from presel.tables.schemas import CLUSTERS, RANKING, REJECTS, TableRef
from presel.tables.vectors import unit_vectors

_WANTED = ["sample_id", "task", "key", "content", "vector"]


@dataclass(frozen=True)
class Choice:
    """The tables that say what became of samples. `clusters` and `rankings` are one a task, by its name, or none."""

    records: pa.Table
    """`sample_id`, `task`, `origin`, `irs` of a version."""
    selection: pa.Table
    """`sample_id`, `task`, `order`, `outcome`."""
    rejects: pa.Table
    """REJECTS."""
    plan: Sequence[Mapping[str, object]]
    clusters: Mapping[str, TableRef] = field(default_factory=dict)
    rankings: Mapping[str, TableRef] = field(default_factory=dict)

    def of_task(self, task: str) -> dict[str, pa.Table]:
        """The tables of `dots.TOLD`."""
        ranking = _of(self.rankings, task, RANKING)
        found = {
            name: table.filter(pc.equal(table["task"], task))
            for name, table in (("records", self.records), ("selection", self.selection), ("rejects", self.rejects))
        }
        late = found["rejects"].filter(pc.not_equal(found["rejects"]["id"], ""))
        return {
            **found,
            "rejects": late.rename_columns(["sample_id" if name == "id" else name for name in REJECTS.names]),
            "ranking": ranking,
            "clusters": _of(self.clusters, task, CLUSTERS),
        }

    @property
    def quotas(self) -> dict[str, int]:
        return {str(row["task"]): int(str(row["quota"])) for row in self.plan}


@dataclass(frozen=True)
class Survey:
    """What one pass found."""

    map: Map | None = None
    coverage: Coverage | None = None
    beside: Mapping[str, Beside] = field(default_factory=dict)
    clusters: Sequence[Cluster] = ()
    copies: Sequence[Copies] = ()


def survey(samples: TableRef, choice: Choice, shown: Iterable[str] = ()) -> Survey:
    """`shown`: samples whose nearest skipped neighbour is looked for in their whole task."""
    drawn: pa.Table | None = None
    wanted = pa.array(sorted(set(shown)), pa.string())
    covered: list[TaskCoverage] = []
    beside: dict[str, Beside] = {}
    clusters: list[Cluster] = []
    copies: list[Copies] = []
    for part in samples.parts:
        tables = choice.of_task(part.label)
        table = _told(table_store.read_part(samples, part, _WANTED), tables)
        vectors = unit_vectors(table)
        picks, origin = _picks(table), np.array(table["origin"].to_pylist(), dtype=object)
        covered.append(of_task(vectors, picks, origin == "reference"))
        copies.append(
            Copies(
                part.label,
                *taken_out(part.label, table, tables["rejects"]),
                most_alike(part.label, table, vectors, picks),
            )
        )
        beside |= _beside(table, vectors, wanted, choice.quotas)
        clusters += clusters_of(part.label, table)
        together_so_far = table if drawn is None else pa.concat_tables([drawn, table])
        drawn = together_so_far.take(pc.sort_indices(together_so_far, [("sample_id", "ascending")])[:POINTS])
    if drawn is None or not drawn.num_rows:
        return Survey()
    reference = pc.sum(pc.equal(choice.records["origin"], "reference")).as_py() or 0
    drawn_map = _map(drawn, samples.rows, choice.quotas)
    return Survey(drawn_map, together(covered, reference), beside, clusters, copies)


def _told(table: pa.Table, tables: Mapping[str, pa.Table]) -> pa.Table:
    """The samples of a task with what became of them, and where they stand in the order of picking (`place`)."""
    table = told(table, tables)
    places = pc.index_in(table["sample_id"], value_set=tables["selection"]["sample_id"].combine_chunks())
    return table.append_column("place", tables["selection"]["order"].take(places))


def _picks(table: pa.Table) -> NDArray[np.int64]:
    """Row numbers of what was chosen and instructed, in the order of picking."""
    chosen = zip(table["origin"].to_pylist(), table["place"].to_pylist(), strict=True)
    picks = sorted((place, row) for row, (origin, place) in enumerate(chosen) if origin in CHOSEN_ORIGINS)
    return np.array([row for _, row in picks], dtype=np.int64)


def _beside(
    table: pa.Table, vectors: NDArray[np.float32], wanted: pa.Array, quotas: Mapping[str, int]
) -> dict[str, Beside]:
    """Each shown sample's nearest neighbours of either kind."""
    of = np.flatnonzero(pc.is_in(table["sample_id"], value_set=wanted).to_numpy(zero_copy_only=False))
    picked, skipped = (_neighbours(table, side, quotas) for side in either_side(vectors, of, _chosen(table)))
    names = table["sample_id"].take(pa.array(of)).to_pylist()
    return {name: Beside(*sides) for name, *sides in zip(names, skipped, picked, strict=True)}


def _neighbours(table: pa.Table, side: Nearest, quotas: Mapping[str, int]) -> list[tuple[Dot, float] | None]:
    found = side.row >= 0
    made = iter(dots(table.take(pa.array(side.row[found])).drop_columns("vector"), quotas))
    return [(next(made), float(cosine)) if there else None for there, cosine in zip(found, side.cosine, strict=True)]


def _map(table: pa.Table, samples: int, quotas: Mapping[str, int]) -> Map:
    vectors = unit_vectors(table)
    projection = project(vectors)
    chosen, tasks = _chosen(table), np.array(table["task"].to_pylist(), dtype=object)
    placed = [
        replace(dot, x=x, y=y)
        for dot, (x, y) in zip(dots(table.drop_columns("vector"), quotas), projection.positions.tolist(), strict=True)
    ]
    for task in sorted(set(tasks.tolist())):
        rows = np.flatnonzero(tasks == task)
        sides = either_side(vectors[rows], np.arange(len(rows)), chosen[rows])
        for i, row in enumerate(rows.tolist()):
            picked, skipped = (
                Near(int(rows[side.row[i]]), float(side.cosine[i])) if side.row[i] >= 0 else None for side in sides
            )
            placed[row] = replace(placed[row], picked=picked, skipped=skipped)
    return Map(placed, samples, projection.kept, projection.placed)


def _chosen(table: pa.Table) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = is_instructed(table).to_numpy(zero_copy_only=False).astype(np.bool_)
    return found


def _of(tables: Mapping[str, TableRef], task: str, schema: pa.Schema) -> pa.Table:
    return table_store.read(tables[task]) if task in tables else schema.empty_table()
