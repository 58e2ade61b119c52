"""The references a run produced: a few kilobytes that lead to everything, and survive the run on the store.

`status`, `explain` and `report` start from the latest record; so does the next refresh's diff.
"""

from __future__ import annotations

from collections.abc import Iterable

from presel.config import RefreshConfig
from presel.errors import NotFound
from presel.storage import open_store
from presel.tables import DatasetRef, Reference, TableRef


class RunRecord(Reference):
    """What a plan (and, once money was spent, a refresh) consists of. Per-task tuples are in the order of `samples`."""

    config: RefreshConfig
    catalog: TableRef
    embeddings: tuple[TableRef, ...]
    samples: TableRef
    clusters: tuple[TableRef, ...]
    reference: tuple[TableRef, ...]
    reference_instructions: tuple[TableRef, ...]
    model: TableRef
    relevance: tuple[TableRef, ...]
    rankings: tuple[TableRef, ...]
    plan: TableRef
    history: TableRef | None = None
    selection: tuple[TableRef, ...] = ()
    instructions: tuple[TableRef, ...] = ()
    dataset: DatasetRef | None = None
    report: TableRef | None = None

    def with_instructions(
        self, selection: Iterable[TableRef], instructions: Iterable[TableRef], dataset: DatasetRef | None = None
    ) -> RunRecord:
        """The record of a refresh from that of its plan."""
        update = {"selection": tuple(selection), "instructions": tuple(instructions), "dataset": dataset}
        return self.model_copy(update=update)

    def tables(self) -> list[TableRef]:
        """Every table of the run, in the order of the method."""
        found: list[TableRef] = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            found += value if isinstance(value, tuple) else [value]
        return [ref for ref in found if isinstance(ref, TableRef)]


def save(record: RunRecord) -> None:
    """Make this the latest record of its dataset name."""
    data = record.model_dump_json(indent=1).encode()
    open_store(record.config.store).write(_path(record.config.dataset.name), data)


def latest(store: str, name: str) -> RunRecord:
    """The latest record. Raises NotFound when nothing has been planned for that name yet."""
    found = open_store(store)
    try:
        return RunRecord.model_validate_json(found.read(_path(name)))
    except NotFound as error:
        raise NotFound(
            f"nothing has been planned for dataset '{name}' yet",
            where=found.uri,
            fix="run `presel plan` or `presel run`",
        ) from error


def _path(name: str) -> str:
    return f"runs/{name}/latest.json"
