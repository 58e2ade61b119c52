"""Why an image was, or was not, picked: its whole way through the pipeline, in words and in figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow.compute as pc
from pydantic import BaseModel

from presel.errors import NotFound
from presel.runs.nearest import Neighbour, nearest_chosen
from presel.runs.refused import refused
from presel.runs.run_record import PoolRecord, RunRecord
from presel.sources.catalog import removed_ids
from presel.sources.listing import readable
from presel.tables import table_store
from presel.tables.schemas import TableRef, rows_of


class Explanation(BaseModel):
    """Everything the run knows about one image."""

    key: str
    task: str
    verdict: str
    sample_id: str | None = None
    content: str | None = None
    listed: dict[str, Any] | None = None
    rejects: list[dict[str, Any]] = []
    reference: dict[str, Any] | None = None
    relevance: dict[str, Any] | None = None
    ranking: dict[str, Any] | None = None
    quota: int | None = None
    instruction: dict[str, Any] | None = None
    paid_usd: float | None = None
    instead: list[Neighbour] = []
    """Of a sample that has no instructions: the nearest of its task that have, or will have."""


def explain(record: RunRecord | PoolRecord, image: str) -> Explanation:
    """The story of one image, named by its key or its sample id. Raises NotFound when the run never saw it."""
    image = readable(image)
    sample = _row(record.samples.split(), image, ["sample_id", "task", "key", "content"])
    key = sample["key"] if sample else image
    listed, was_listed = _listed(record, key)
    rejects = [row for rows in refused(record) for row in rows_of(rows) if key == row["key"] or image == row["id"]]
    if not (listed or rejects or sample):
        what = f"'{image}' is not in the source any more" if was_listed else f"the run never listed '{image}'"
        fix = "give the key as it stands below the source's address, or a sample id"
        raise NotFound(what, where=record.config.source.uri, fix=fix)
    task = (sample or listed or rejects[0])["task"]
    found = Explanation(key=key, task=task, verdict="", listed=listed, rejects=rejects)
    if sample:
        found = found.model_copy(update={"sample_id": sample["sample_id"], "content": sample["content"]})
    if isinstance(record, PoolRecord):
        told = verdict(found) if rejects else "listed and usable; no plan has been made yet"
        return found.model_copy(update={"verdict": told})
    if sample:
        found = _with_choice(record, found, sample["sample_id"])
    return found.model_copy(update={"verdict": verdict(found)})


def _with_choice(record: RunRecord, found: Explanation, sample_id: str) -> Explanation:
    reference = _row(record.reference_instructions, sample_id)
    instruction = reference or _row(record.instructions, sample_id)
    plan = {row["task"]: row for row in rows_of(table_store.read(record.plan))}
    return found.model_copy(
        update={
            "reference": _row(record.reference, sample_id) if reference else None,
            "relevance": _row(record.relevance, sample_id),
            "ranking": _row(record.rankings, sample_id),
            "quota": plan[found.task]["quota"],
            "instruction": instruction,
            "paid_usd": instruction["cost_usd"] if instruction else None,
            "instead": [] if instruction else nearest_chosen(record, found.task, sample_id),
        }
    )


def verdict(found: Explanation) -> str:
    """One sentence: what happened to the image, and by which rule."""
    if found.instruction and found.reference:
        return f"instructed: drawn into the reference set of {found.task} (draw {found.reference['order'] + 1})"
    if found.instruction and found.ranking:
        return f"picked: {_place(found)}, within {found.task}'s quota of {found.quota}"
    if found.instruction:
        return "kept: an earlier version of the dataset paid for it"
    if found.rejects:
        last = found.rejects[-1]
        return f"rejected at {last['stage']}: {last['reason']}" + (f" ({last['detail']})" if last["detail"] else "")
    if found.ranking and found.quota is not None:
        if found.ranking["order"] < found.quota:
            return f"chosen: {_place(found)}, within {found.task}'s quota of {found.quota}; not instructed yet"
        short = found.ranking["order"] + 1 - found.quota
        return f"not picked: {_place(found)}, {short} beyond {found.task}'s quota of {found.quota}"
    return "listed, not ranked"


def _place(found: Explanation) -> str:
    row = found.ranking or {}
    return (
        f"number {row['order'] + 1} in its task's order, rank {row['rank'] + 1} of cluster {row['cluster']} "
        f"with neighbour centrality {row['centrality']:.3f}"
    )


def _row(refs: Iterable[TableRef], image: str, columns: list[str] | None = None) -> dict[str, Any] | None:
    for ref in refs:
        table = table_store.read(ref, columns)
        for name in ("sample_id", "key"):
            if name in table.column_names:
                rows = rows_of(table.filter(pc.equal(table[name], image)))
                if rows:
                    return rows[0]
    return None


def _listed(record: RunRecord | PoolRecord, key: str) -> tuple[dict[str, Any] | None, bool]:
    """The catalog's row of what lies under a key now, and whether there ever was one."""
    gone, ever = removed_ids(record.catalog), False
    for ref in record.catalog.split():
        table = table_store.read(ref)
        found = table.filter(pc.equal(table["key"], key))
        ever = ever or found.num_rows > 0
        if there := rows_of(found.filter(pc.invert(pc.is_in(found["image_id"], value_set=gone)))):
            return there[0], True
    return None, ever
