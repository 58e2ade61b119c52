"""The references a run produced: a few kilobytes that lead to everything, and survive the run on the store.

`status` and `explain` start from the latest record; `report` and `verify` from that of the last run which published, or which
found its dataset unchanged: a plan, and a refresh that failed, leave that one alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from presel.config import RefreshConfig
from presel.errors import IntegrityError, NotFound, __version__
from presel.storage import open_store
from presel.storage.sealed import seal, unseal
from presel.tables.schemas import DatasetRef, Reference, TableRef

_LATEST, _PUBLISHED, _POOL = "latest.json", "published.json", "pool.json"
FORMAT = 3
"""Of a record. Raise it when the record, or the configuration in it, cannot be read by the presel before."""


_BESIDE = frozenset({"basis", "apart"})
"""Tables that a run needs and that are not about its pool."""


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
    basis: tuple[TableRef, ...] = ()
    """The reference instructions of an earlier run, where `model` and `relevance` are still of those."""
    apart: tuple[TableRef, ...] = ()
    """Embeddings of images of tests, which no sample may be or nearly be."""
    selection: tuple[TableRef, ...] = ()
    instructions: tuple[TableRef, ...] = ()
    dataset: DatasetRef | None = None
    report: TableRef | None = None
    guard: TableRef | None = None
    """The near-duplicate guard's threshold."""

    def with_instructions(
        self, selection: Iterable[TableRef], instructions: Iterable[TableRef], dataset: DatasetRef | None = None
    ) -> RunRecord:
        """The record of a refresh from that of its plan."""
        update = {"selection": tuple(selection), "instructions": tuple(instructions), "dataset": dataset}
        return self.model_copy(update=update)

    def tables(self) -> list[TableRef]:
        """Every table of the run itself, in the order of the method."""
        found: list[TableRef] = []
        for name in type(self).model_fields:
            value = () if name in _BESIDE else getattr(self, name)
            found += value if isinstance(value, tuple) else [value]
        return [ref for ref in found if isinstance(ref, TableRef)]

    def moved(self, store: str) -> RunRecord:
        """The same of a store that was copied or moved: where its tables lie now is what counts."""

        def here(value: object) -> object:
            return value.model_copy(update={"store": store}) if isinstance(value, TableRef) else value

        update = {name: tuple(map(here, value)) if isinstance(value, tuple) else here(value) for name, value in self}
        update["config"] = self.config.model_copy(update={"store": store})
        if self.dataset is not None:
            folder = f"datasets/{self.dataset.name}/{self.dataset.version}"
            update["dataset"] = self.dataset.model_copy(update={"uri": open_store(store).locate(folder)})
        return self.model_copy(update=update)

    def needed(self) -> list[TableRef]:
        """What must stay on the store for the next run to go on from here."""
        return [*self.tables(), *self.basis, *self.apart]


class PoolRecord(Reference):
    """What a run found before it planned anything: all there is to show where a plan fails."""

    config: RefreshConfig
    catalog: TableRef
    embeddings: tuple[TableRef, ...]
    samples: TableRef
    basis: tuple[TableRef, ...] = ()

    def tables(self) -> list[TableRef]:
        return [self.catalog, *self.embeddings, self.samples]


def save_pool(record: PoolRecord) -> None:
    """Keep what a run found."""
    document = seal(record.model_dump(mode="json"), FORMAT)
    open_store(record.config.store).write(_path(record.config.dataset.name, _POOL), document)


def pool(store: str, name: str) -> PoolRecord | None:
    """What the last run of that name found, if it can be read."""
    found, path = open_store(store), _path(name, _POOL)
    try:
        document = unseal(found.read(path), FORMAT, what="what a run found", where=found.locate(path), fix="run again")
        return PoolRecord.model_validate({key: value for key, value in document.items() if key != "format"})
    except (NotFound, IntegrityError, ValidationError):
        return None


def save(record: RunRecord) -> None:
    """Make this the latest record of its dataset name; with a dataset, the published one too."""
    document = seal({**record.model_dump(mode="json"), "presel": __version__}, FORMAT)
    store, name = open_store(record.config.store), record.config.dataset.name
    if record.dataset is not None:
        store.write(_path(name, _PUBLISHED), document)
    store.write(_path(name), document)


def latest(store: str, name: str) -> RunRecord:
    """The latest record. Raises NotFound when nothing has been planned for that name yet, IntegrityError as `read` does."""
    found = open_store(store)
    try:
        return read(store, _path(name))
    except NotFound as error:
        raise NotFound(
            f"nothing has been planned for dataset '{name}' yet",
            where=found.uri,
            fix="run `presel plan` or `presel run`",
        ) from error


def published(store: str, name: str) -> RunRecord | None:
    """The record of the last run that ended with a dataset. Raises IntegrityError as `read` does."""
    try:
        return read(store, _path(name, _PUBLISHED))
    except NotFound:  # nothing was published yet, or by a presel that kept one record only
        record = latest(store, name)
        return record if record.dataset is not None else None


def of_store(store: str) -> Iterator[RunRecord]:
    """Latest and published record of every dataset name on a store."""
    for entry in open_store(store).list("runs/"):
        if entry.path.endswith((f"/{_LATEST}", f"/{_PUBLISHED}")):
            yield read(store, entry.path)


def read(store: str, path: str) -> RunRecord:
    """A record by its path. Raises IntegrityError when it is damaged, or not of this presel's making and unlike its own."""
    found = open_store(store)
    where, fix = found.locate(path), "`presel run` writes it anew, and buys nothing that is paid for"
    document = unseal(found.read(path), FORMAT, what="the record of the last run", where=where, fix=fix)
    by = document.pop("presel", "an unknown version")
    document.pop("format")
    try:
        record = RunRecord.model_validate(document)
        return record if record.config.store == store else record.moved(store)
    except ValidationError as error:
        first = error.errors()[0]
        raise IntegrityError(
            "the record of the last run is of another presel",
            where=where,
            expected=f"what {__version__} reads",
            got=f"written by {by}: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            fix=fix,
        ) from error


def _path(name: str, which: str = _LATEST) -> str:
    return f"runs/{name}/{which}"
