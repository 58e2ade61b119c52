"""What came before: which earlier version a refresh builds on, and what it paid for.

Stages are functions of their inputs, so history must be one of them, and it must not move while nothing else does. Hence
the *base* of a refresh: the newest version that was made from something else, another pool or other settings. When the
newest version was made from exactly what is there now, the base is the one *it* built on: every key stays what it was, all
tasks are cached, and nothing is published. A pool is its samples, not their names: a renamed file is not another pool.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from presel.config import RefreshConfig
from presel.config.keys import digest, short_digest
from presel.dataset import versions
from presel.dataset.settings import portable, without_credentials
from presel.reference_model import imports
from presel.tables import table_store
from presel.tables.schemas import DatasetRef, TableRef


def task_digest(task: str, ids: Sequence[str]) -> str:
    """One task's samples, by their ids in ascending order."""
    return short_digest(task, digest("\n".join(ids).encode()))


def inputs_digest(samples: TableRef, config: RefreshConfig, basis: Sequence[TableRef] = ()) -> str:
    """What a version is made from: the pool, the settings that decide the content, an imported table's content, and the
    earlier reference set whose weights it keeps, if it does (`presel.stages.basis`).
    """
    uri = config.reference_model.precomputed
    imported = [] if uri is None else [digest(imports.fetch(uri))]
    weighed_by = [ref.digest for ref in basis]
    return short_digest(_pool(samples), json.dumps(portable(config), sort_keys=True), *imported, *weighed_by)


def base_of(samples: TableRef, config: RefreshConfig, basis: Sequence[TableRef] = ()) -> DatasetRef | None:
    """The version that a refresh of this pool with these settings and weights builds on."""
    rebase = config.history.rebase
    if rebase == 0:
        return None
    store, name = config.store, config.dataset.name
    start = versions.latest(store, name) if rebase is None else versions.find(store, name, rebase)
    if start is None or versions.manifest(start).get("inputs") != inputs_digest(samples, config, basis):
        return start
    return base_before(store, start)


def base_before(store: str, version: DatasetRef) -> DatasetRef | None:
    """The version that a published one built on."""
    number = versions.manifest(version).get("base")
    return None if number is None else versions.find(store, version.name, number)


def lineage(store: str, version: DatasetRef | None) -> tuple[DatasetRef, ...]:
    """A version, the one it built on, and so on, newest first."""
    found = []
    while version is not None:
        found.append(version)
        version = base_before(store, version)
    return tuple(found)


def that_kept(store: str, base: DatasetRef | None) -> tuple[DatasetRef, ...]:
    """A version and those before it whose samples it would hold if their pictures were there: what returns to the pool stays
    again. A version that was chosen anew wanted no more of what was before it than it holds."""
    found = []
    for version in lineage(store, base):
        found.append(version)
        if _settings(version)["history"]["keep"] not in KEEPING:
            break
    return tuple(found)


KEEPING = frozenset({"always", "while_budget"})
"""Policies under which a sample stays because an earlier version holds it."""


class Lost(NamedTuple):
    """What the pool has lost since a version."""

    share: float
    """Of its usable images or of its records, whichever is more, 0 to 1."""
    words: str


def lost(samples: TableRef, config: RefreshConfig) -> Lost | None:
    """Since the latest version; None before the first."""
    before = versions.latest(config.store, config.dataset.name)
    if before is None:
        return None
    plan = table_store.decode(versions.file(before, "plan.parquet"), ["usable"])
    usable, held = sum(plan["usable"].to_pylist()), instructed(before)
    columns = (table_store.read_part(samples, part, ["sample_id"])["sample_id"] for part in samples.parts)
    there = sum(int(pc.sum(pc.is_in(ids, value_set=held)).as_py() or 0) for ids in columns)
    share = max(1 - samples.rows / max(1, usable), 1 - there / max(1, len(held)))
    return Lost(
        share,
        f"since version {before.version} the pool has lost much of what it held: {samples.rows:,} usable images where there "
        f"were {usable:,}, and pictures of {there:,} of its {len(held):,} records",
    )


def places(version: DatasetRef) -> dict[str, int]:
    """Sample id to its place in the pick order of its task, of what the version itself picked."""
    rows = table_store.decode(versions.file(version, "selection.parquet"), ["sample_id", "order"])
    rows = rows.filter(pc.greater_equal(rows["order"], 0))
    return dict(zip(rows["sample_id"].to_pylist(), rows["order"].to_pylist(), strict=True))


def instructed(version: DatasetRef) -> pa.Array:
    """Ids of all samples of a version."""
    with versions.opened(version, "data.parquet") as data:
        rows = pq.read_table(data, columns=["sample_id"], use_threads=False, pre_buffer=False)
    return rows["sample_id"].combine_chunks()


def generator_settings(version: DatasetRef) -> dict[str, Any]:
    """How the instructions of a version were asked for."""
    settings = _settings(version)
    return {**settings["generator"], "base_url": versions.manifest(version)["run"]["endpoint"], **_sent(settings)}


def present_settings(config: RefreshConfig) -> dict[str, Any]:
    """How they would be asked for now, in the same words."""
    settings = portable(config)
    return {**settings["generator"], "base_url": without_credentials(config.generator.base_url), **_sent(settings)}


def asked_alike(task: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a sample of this task would be asked about in the same way, so that its answer is paid for already."""
    return _asked(task, one) == _asked(task, other)


def _asked(task: str, settings: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in settings.items() if name not in {"prompt", "prompts"}}
    return {**rest, "prompt": settings["prompts"].get(task, settings["prompt"])}


def _sent(settings: dict[str, Any]) -> dict[str, Any]:
    """What decides the picture that is sent."""
    return {"images": settings["encoder"]["images"]}


def _settings(version: DatasetRef) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(versions.file(version, "config.json"))
    return settings


def _pool(samples: TableRef) -> str:
    noted = table_store.facts(samples).get("pool")
    if noted is not None:
        return str(noted)
    parts = (
        (part.label, table_store.read_part(samples, part, ["sample_id"])["sample_id"].to_pylist())
        for part in samples.parts
    )
    return short_digest(*(task_digest(label, ids) for label, ids in parts))
