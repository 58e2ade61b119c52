"""Is what lies on the store what was written? A version file by file, and the tables and answers it was made from.

A version stands on its own: its files are checked against its manifest, and what names it against what it is. Its inputs are
known while the latest record is that of this very version; of an older one they may have been collected, which is no fault. The
pictures are the source's, not ours: checking them means reading every one, so it is asked for. Of the ledger all answers are
read, not only the published ones: what older versions were made of, and what the next may use, was paid for as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from presel.concurrency import progress
from presel.config import SourceConfig
from presel.config.keys import digest
from presel.dataset import rows, versions
from presel.dataset.trainer_formats import DIGEST
from presel.errors import IntegrityError, NotFound
from presel.images import Reason, Rejected
from presel.instruct.ledger import Ledger
from presel.instruct.money.lease_log import damaged
from presel.runs import run_record
from presel.runs.housekeeping.pointers import wrong_pointers
from presel.runs.run_record import RunRecord
from presel.sources import open_source
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import DatasetRef, TableRef, rows_of


def verify(version: DatasetRef, record: RunRecord | None = None, pictures: SourceConfig | None = None) -> list[str]:
    """What is wrong, a line each; nothing when all is as it was written.

    `record`: of the run that made the version; its tables and the paid answers are checked as well. `pictures`: where the
    images lie, to compare each published one with the bytes that were chosen.
    """
    wrong = [f"version {version.version}: {line}" for line in versions.verify(version)]
    broken = bool(wrong)
    if not broken:
        wrong += wrong_pointers(version)
    if record is not None:
        wrong += [line for ref in record.needed() for line in _table(ref)]
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
    """The record of the run that published a version, as long as it is the last that did and can be read."""
    try:
        record = run_record.published(store, version.name)
    except (NotFound, IntegrityError):  # a damaged one is said with the pointers
        return None
    return record if record is not None and record.dataset == version else None


def _table(ref: TableRef) -> Iterator[str]:
    store, where = open_store(ref.store), f"{ref.stage} {ref.key}"
    files: dict[str, str] = {}
    try:
        files = table_store.manifest(ref.store, ref.folder)["files"]
    except NotFound:
        yield f"{where}: the manifest is gone"
    except IntegrityError as error:
        yield f"{where}: {error.what}"
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
    """Each answer in the ledger is what was written, each published one is there, and so is the money log."""
    missing, leases = _published(record), set[int]()
    for done, (key, found) in enumerate(Ledger(open_store(record.config.store)).checked(), start=1):
        missing.pop(key, None)
        if isinstance(found, IntegrityError):
            yield f"ledger: {key}: {found.what}"
        else:
            leases.add(found.lease)
        progress.report("verify", "ledger", done, done + len(missing), "answers")
    yield from (f"ledger: the answer {request} about {key} is gone" for request, key in missing.items())
    yield from (f"ledger: {error.where}: {error.what}" for error in damaged(open_store(record.config.store), leases))


def _published(record: RunRecord) -> dict[str, str]:
    """Request to image of what the version's instructions were read from."""
    found: dict[str, str] = {}
    for ref in (*record.reference_instructions, *record.instructions):
        with suppress(NotFound, IntegrityError):  # said with the tables
            told = table_store.read(ref, ["key", "request"])
            found |= zip(told["request"].to_pylist(), told["key"].to_pylist(), strict=True)
    return found


def _pictures(version: DatasetRef, config: SourceConfig) -> Iterator[str]:
    source = open_source(config)
    chosen = rows_of(rows.table(version, ["key", DIGEST]))
    for done, row in enumerate(chosen, start=1):
        try:
            data = source.read_content(row["key"], row[DIGEST])
        except NotFound as error:
            yield f"source: {error}"
            return
        if isinstance(data, Rejected):
            what = "is not the picture that was chosen" if data.reason == Reason.CHANGED else f"is {data.reason}"
            yield f"source: {row['key']} {what}"
        progress.report("verify", "pictures", done, len(chosen), "images")
