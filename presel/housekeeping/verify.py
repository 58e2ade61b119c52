"""Is what lies on the store what was written? A version file by file, and the tables and answers it was made from.

A version stands on its own: its files are checked against its manifest. Its inputs are known while the latest record is
that of this very version; of an older one they may have been collected, which is no fault. The pictures are the source's,
not ours: checking them means reading every one, so it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from presel import progress, run_record, table_store
from presel.config import SourceConfig
from presel.dataset import versions
from presel.errors import IntegrityError, NotFound
from presel.images import Rejected
from presel.instruct.ledger import Ledger
from presel.keys import digest
from presel.run_record import RunRecord
from presel.sources import open_source
from presel.storage import open_store
from presel.tables import DatasetRef, TableRef, rows_of


def verify(version: DatasetRef, record: RunRecord | None = None, pictures: SourceConfig | None = None) -> list[str]:
    """What is wrong, a line each; nothing when all is as it was written.

    `record`: of the run that made the version; its tables and their paid answers are checked as well. `pictures`: where the
    images lie, to compare each published one with the bytes that were chosen.
    """
    wrong = [f"version {version.version}: {line}" for line in versions.verify(version)]
    broken = bool(wrong)
    if record is not None:
        wrong += [line for ref in record.tables() for line in _table(ref)]
        wrong += _answers(record)
    if pictures is not None and not broken:
        wrong += _pictures(version, pictures)
    return wrong


def verify_latest(store: str, name: str) -> DatasetRef | None:
    """The latest version, whole, with its inputs; None when nothing is published. Raises IntegrityError with what is wrong."""
    version = versions.latest(store, name)
    if version is None:
        return None
    wrong = verify(version, record_of(version, store))
    if wrong:
        more = f", and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise IntegrityError(
            f"{len(wrong)} things have changed: {'; '.join(wrong[:10])}{more}",
            where=version.uri,
            fix="restore the files from a backup; a changed table can be deleted, and is made again",
        )
    return version


def record_of(version: DatasetRef, store: str) -> RunRecord | None:
    """The record of the run that published a version, as long as it is the latest."""
    try:
        record = run_record.latest(store, version.name)
    except NotFound:
        return None
    return record if record.dataset == version else None


def _table(ref: TableRef) -> Iterator[str]:
    store, where = open_store(ref.store), f"{ref.stage} {ref.key}"
    try:
        files = json.loads(store.read(f"{ref.folder}/manifest.json"))["files"]
    except NotFound:
        yield f"{where}: the manifest is gone"
        files = {}
    expected = {part.path: part.digest for part in ref.parts}
    expected |= {f"{ref.folder}/{name}": value for name, value in files.items()}
    for done, (path, promised) in enumerate(sorted(expected.items()), start=1):
        try:
            if digest(store.read(path)) != promised:
                yield f"{where}: {path} has changed"
        except NotFound:
            yield f"{where}: {path} is gone"
        progress.report("verify", where, done, len(expected), "files")


def _answers(record: RunRecord) -> Iterator[str]:
    """Each published answer is still in the ledger, and can be read."""
    ledger = Ledger(open_store(record.config.store))
    for ref in (*record.reference_instructions, *record.instructions):
        try:
            rows = table_store.read(ref, ["key", "request"]).to_pylist()
        except (NotFound, IntegrityError):
            continue  # said above
        yield from _lost(ledger, rows)


def _lost(ledger: Ledger, rows: Iterable[dict[str, str]]) -> Iterator[str]:
    for row in rows:
        try:
            if ledger.find(row["request"]) is None:
                yield f"ledger: the answer {row['request']} about {row['key']} is gone"
        except IntegrityError as error:
            yield f"ledger: {error.what}"


def _pictures(version: DatasetRef, config: SourceConfig) -> Iterator[str]:
    source = open_source(config)
    rows = rows_of(table_store.decode(versions.file(version, "data.parquet"), ["key", "content"]))
    for done, row in enumerate(rows, start=1):
        data = source.read(row["key"])
        if isinstance(data, Rejected):
            yield f"source: {row['key']}: {data.reason}"
        elif digest(data) != row["content"]:
            yield f"source: {row['key']} is not the picture that was chosen"
        progress.report("verify", "pictures", done, len(rows), "images")
