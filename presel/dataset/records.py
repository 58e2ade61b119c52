"""From a run's tables to the rows of a version. Tables in, tables out: nothing is read or written here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from presel.errors import IntegrityError
from presel.formats import RECORDS
from presel.tables import REJECTS, SELECTION, TEXT, rows_of

WHERE = "presel.dataset.records"
CHOSEN = SELECTION.append(pa.field("outcome", TEXT))
"""`selection.parquet`: what was picked, and what came in for it. `outcome` is instructed, replacement or refused.
Samples that stay from an earlier version (`kept`) come first, by a negative `order`."""

_SCORE = ("irs", "loss_with_question", "loss_without_question")
_PLACE = ("cluster", "centrality", "rank")


def records(reference: pa.Table, selected: pa.Table, chosen: pa.Table, relevance: pa.Table, plan: pa.Table) -> pa.Table:
    """RECORDS of all instructions with their scores, places and weights, ordered by `sample_id`.

    `reference` and `selected` are INSTRUCTIONS. Raises IntegrityError when a sample occurs twice, was selected without a
    row in `chosen`, or belongs to a task that the plan lacks.
    """
    scores, places, weights = _by(relevance, "sample_id"), _by(chosen, "sample_id"), _by(plan, "task")
    rows = [{**row, "origin": "reference", **_some(scores.get(row["sample_id"]), _SCORE)} for row in rows_of(reference)]
    for row in rows_of(selected):
        place = places.get(row["sample_id"])
        origin = "kept" if place and place["kept"] else "selected"
        rows.append({**row, "origin": origin, **_some(place, _PLACE)})
    rows.sort(key=lambda row: row["sample_id"])
    _check(rows, places, weights)
    return pa.Table.from_pylist([{**row, "weight": weights[row["task"]]["weight"]} for row in rows], schema=RECORDS)


def chosen(rankings: Iterable[pa.Table], instructed: pa.Array) -> pa.Table:
    """CHOSEN: of each task's SELECTION what was picked or instructed, by task and order, with what became of it.

    A ranking holds every image of its task and is let go before the next is asked for; the rest of it stays in the tables.
    """
    parts = [CHOSEN.empty_table()]
    for ranking in rankings:
        answered = pc.is_in(ranking["sample_id"], value_set=instructed)
        met = pc.if_else(ranking["picked"], "instructed", "replacement")
        outcome = pc.if_else(answered, met, "refused")
        kept = ranking.append_column("outcome", outcome).filter(pc.or_(ranking["picked"], answered))
        parts.append(kept.cast(CHOSEN))
    return pa.concat_tables(parts).sort_by([("task", "ascending"), ("order", "ascending")]).combine_chunks()


_BEFORE_SAMPLES = {"ingest", "embed"}


def rejected(tables: Iterable[pa.Table]) -> pa.Table:
    """REJECTS of all stages: `rejected_rows` as a table."""
    return pa.Table.from_pylist(rejected_rows(tables), schema=REJECTS)


def rejected_rows(tables: Iterable[pa.Table]) -> list[dict[str, str]]:
    """Rows of REJECTS of all stages, each once, in an order that depends on nothing but the rows.

    What was refused before it was a sample is named by its key alone: the id of a listed object holds its etag, which another
    copy of the same folder does not share.
    """
    told = (row | {"id": ""} if row["stage"] in _BEFORE_SAMPLES else row for table in tables for row in rows_of(table))
    rows = {tuple(row[name] or "" for name in REJECTS.names) for row in told}
    return [dict(zip(REJECTS.names, row, strict=True)) for row in sorted(rows)]


def _check(rows: Sequence[Mapping[str, Any]], places: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    for one, other in pairwise(rows):
        if one["sample_id"] == other["sample_id"]:
            raise IntegrityError(
                "a sample was instructed twice",
                where=WHERE,
                expected="reference and selected samples that do not overlap, each once",
                got=f"{one['sample_id']} ({one['key']}) as {one['origin']} and {other['origin']}",
            )
    for row in rows:
        if row["task"] not in plan:
            raise IntegrityError("the plan lacks a task", where=WHERE, expected=sorted(plan), got=row["task"])
        if row["origin"] == "selected" and row["sample_id"] not in places:
            raise IntegrityError(
                "a sample was instructed that no selection ranked",
                where=WHERE,
                expected="a row of SELECTION",
                got=row["key"],
            )


def _by(table: pa.Table, column: str) -> dict[str, dict[str, Any]]:
    return {row[column]: row for row in rows_of(table)}


def _some(row: Mapping[str, Any] | None, columns: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in columns} if row else {}
