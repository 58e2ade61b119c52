"""From a run's tables to the rows of a version. Tables in, tables out: nothing is read or written here.

All is asked for in pieces (a range of sample ids, a task), because a version of ten million images has 1.5 million records, and
these were 4 GB at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from presel.dataset.trainer_formats import DIGEST, RECORDS
from presel.errors import IntegrityError
from presel.tables.ratings import FIELDS
from presel.tables.schemas import REJECTS, SELECTION, TEXT, rows_of

WHERE = "presel.dataset.records"
CHOSEN = SELECTION.append(pa.field("outcome", TEXT))
"""`selection.parquet`: what was picked, and what came in for it. `outcome` is instructed, replacement or refused.
Samples that stay from an earlier version (`kept`) come first, by a negative `order`."""

_SCORE = ("irs", "loss_with_question", "loss_without_question")
_PLACE = ("cluster", "centrality", "rank")


def records(
    reference: pa.Table,
    selected: pa.Table,
    chosen: pa.Table,
    relevance: pa.Table,
    plain: pa.Table,
    rated: pa.Table,
    plan: pa.Table,
) -> pa.Table:
    """RECORDS of all instructions with their scores, places and weights, ordered by `sample_id`.

    `reference` and `selected` are INSTRUCTIONS, `plain` is PLAIN (`presel.dataset.plain`), `rated` RATINGS; all but the plan
    may be the rows of some samples alone. Raises IntegrityError when a sample occurs twice, was selected without a row in
    `chosen`, or belongs to a task that the plan lacks. Columns are joined and ordered in Arrow: with dictionaries, publishing
    150,000 records took twice the memory.
    """
    scored = _with(reference, relevance, "sample_id", _SCORE)
    placed = _with(selected, chosen, "sample_id", (*_PLACE, "kept"))
    origin = pc.if_else(pc.fill_null(placed["kept"], False), "kept", "selected")
    parts = [
        scored.append_column("origin", pa.repeat("reference", len(scored))),
        placed.append_column("origin", origin),
    ]
    rows = _with(pa.concat_tables(parts, promote_options="default"), plan, "task", ("weight",))
    rows = _with(rows, plain, "sample_id", ("plain",))
    rows = _with(rows, rated, "sample_id", [name for name, _ in FIELDS])
    ordered = rows.rename_columns({"content": DIGEST}).select(RECORDS.names).take(pc.sort_indices(rows["sample_id"]))
    _check(ordered, chosen, plan)
    return ordered.cast(RECORDS)


def chosen(ranking: pa.Table, instructed: pa.Array) -> pa.Table:
    """CHOSEN: of one task's SELECTION what was picked or instructed, with what became of it."""
    answered = pc.is_in(ranking["sample_id"], value_set=instructed)
    met = pc.if_else(ranking["picked"], "instructed", "replacement")
    outcome = pc.if_else(answered, met, "refused")
    rows = ranking.append_column("outcome", outcome).filter(pc.or_(ranking["picked"], answered))
    return rows.cast(CHOSEN)


_BEFORE_SAMPLES = pa.array(["ingest", "embed"])


def rejected(tables: Iterable[pa.Table]) -> pa.Table:
    """REJECTS of all stages, each row once, in an order that depends on nothing but the rows.

    What was refused before it was a sample is named by its key alone: the id of a listed object holds its etag, which another
    copy of the same folder does not share.
    """
    rows = pa.concat_tables([REJECTS.empty_table(), *map(_told, tables)])
    once = rows.group_by(REJECTS.names, use_threads=False).aggregate([]).select(REJECTS.names)
    return once.sort_by([(name, "ascending") for name in REJECTS.names]).combine_chunks()


def rejected_rows(tables: Iterable[pa.Table]) -> list[dict[str, str]]:
    """`rejected` as dictionaries."""
    return rows_of(rejected(tables))


def _told(rows: pa.Table) -> pa.Table:
    early = pc.is_in(rows["stage"], value_set=_BEFORE_SAMPLES)
    columns = {name: pc.fill_null(rows[name], "") for name in REJECTS.names}
    return pa.table(columns | {"id": pc.if_else(early, "", columns["id"])}, schema=REJECTS)


def _check(rows: pa.Table, chosen: pa.Table, plan: pa.Table) -> None:
    ids = rows["sample_id"]
    if again := _first(rows, pc.equal(ids.slice(0, max(0, len(ids) - 1)), ids.slice(1))):
        one, other = again
        raise IntegrityError(
            "a sample was instructed twice",
            where=WHERE,
            expected="reference and selected samples that do not overlap, each once",
            got=f"{one['sample_id']} ({one['key']}) as {one['origin']} and {other['origin']}",
        )
    if unplanned := _first(rows, pc.invert(_among(rows["task"], plan["task"]))):
        planned = sorted(plan["task"].to_pylist())
        raise IntegrityError("the plan lacks a task", where=WHERE, expected=planned, got=unplanned[0]["task"])
    unranked = pc.and_(pc.equal(rows["origin"], "selected"), pc.invert(_among(ids, chosen["sample_id"])))
    if found := _first(rows, unranked):
        raise IntegrityError(
            "a sample was instructed that no selection ranked",
            where=WHERE,
            expected="a row of SELECTION",
            got=found[0]["key"],
        )


def _first(rows: pa.Table, wrong: pa.ChunkedArray) -> list[dict[str, Any]]:
    """The first wrong row and the one after it; nothing when none is wrong."""
    at = pc.index(wrong, True).as_py()
    return [] if at < 0 else rows_of(rows.slice(at, 2))


def _among(values: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(values, value_set=known.combine_chunks())


def _with(rows: pa.Table, other: pa.Table, key: str, columns: Sequence[str]) -> pa.Table:
    """Rows with columns of the row of `other` that has the same key, null where there is none."""
    places = pc.index_in(rows[key], value_set=other[key].combine_chunks())
    for name in columns:
        rows = rows.append_column(name, other[name].take(places))
    return rows
