"""Publishing: from the tables of a run to an immutable dataset version.

Not a keyed stage like the others, because its output is named by a number that people quote, and numbers are handed out in
the order of asking. It is idempotent all the same: `content` is one digest over the records, the selection, the plan, the
rejects and the configuration, and a content that the latest version already holds publishes nothing. Library versions, the
card and the diff are left out of it (an upgraded library that changes no record is no reason to publish); dates and
addresses appear only in the manifest's `run`. So two runs in two folders publish the same bytes in every other file.

Memory: the records of a dataset as Arrow's columns, as they came and in order: 506 MB at 150,000 records (196 MB of files), 135
of them there before. The files of records are written row by row into temporary files without a name (under TMPDIR, as large
as the version): what they hold decides the version's number, so they must be whole before the store gets any. The pool's size
does not matter.
"""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from tempfile import TemporaryFile, gettempdir
from typing import Any

import pyarrow as pa

from presel import __version__, formats, table_store
from presel.config import RefreshConfig
from presel.dataset import history, versions
from presel.dataset.changes import diff, drift
from presel.dataset.records import chosen, records, rejected
from presel.dataset.settings import portable, without_credentials
from presel.errors import StorageError
from presel.instruct.parsing import CAP_REACHED
from presel.report.card import card
from presel.run_record import RunRecord
from presel.tables import INSTRUCTIONS, RELEVANCE, DatasetRef, Rows, TableRef, rows_of

log = logging.getLogger(__name__)
_LIBRARIES = (
    "numpy",
    "pyarrow",
    "pillow",
    "torch",
    "torchvision",
    "transformers",
    "peft",
    "open_clip_torch",
    "timm",
    "openai",
)


def publish(record: RunRecord) -> DatasetRef:
    """Publish what a run made, unless the latest version already holds it.

    Reads the run's instructions, selection, relevance, plan, and the rejects of all its tables. Returns the new version, or
    the latest one if nothing changed. Raises IntegrityError when a sample occurs twice or was instructed without being ranked.
    """
    content = content_of(record)
    with _written(content) as files:
        return _publish_new(content, files, record)


def _publish_new(content: Content, files: versions.Files, record: RunRecord) -> DatasetRef:
    config, digest = record.config, versions.content_digest(files)
    before = versions.latest(config.store, config.dataset.name)
    if before is not None and versions.manifest(before)["content"] == digest:
        versions.point_at_latest(config.store, config.dataset.name)  # a run may have died between its manifest and this
        log.info("nothing changed: %s version %d stands", before.name, before.version)
        return before
    base = table_store.facts(record.history)["base"] if record.history else None
    made_from = {"content": digest, "inputs": history.inputs_digest(record.samples, config, record.basis), "base": base}
    return _publish(content, files, before, config, made_from)


def content_of(record: RunRecord) -> Content:
    """What a version of this run holds."""
    selected, planned = _all(record.instructions, INSTRUCTIONS), table_store.read(record.plan)
    reference, relevance = _all(record.reference_instructions, INSTRUCTIONS), _all(record.relevance, RELEVANCE)
    picked = chosen(map(table_store.read, record.selection), selected["sample_id"].combine_chunks())
    return Content(
        records=records(reference, selected, picked, relevance, planned),
        chosen=picked,
        plan=planned,
        rejects=rejected(map(table_store.rejects, record.tables())),
        settings=portable(record.config),
    )


@dataclass(frozen=True)
class Content:
    """What decides whether a version is a new one."""

    records: pa.Table
    chosen: pa.Table
    plan: pa.Table
    rejects: pa.Table
    settings: dict[str, Any]

    @property
    def unpaid(self) -> int:
        """Chosen images without instructions because the money cap was reached."""
        return sum(row["reason"] == CAP_REACHED for row in rows_of(self.rejects))

    def rows(self, *columns: str) -> Rows:
        """Records, of these columns alone."""
        return Rows(self.records.select(columns))


@contextmanager
def _written(content: Content) -> Iterator[versions.Files]:
    """The files that `content` decides, those of records on disk."""
    rows = content.rows("sample_id", "task", "key", "turns")
    try:
        with TemporaryFile() as llava, TemporaryFile() as messages, TemporaryFile() as data:
            llava.writelines(formats.llava_json(rows))
            messages.writelines(formats.messages_jsonl(rows))
            table_store.encode_into(data, content.records)
            yield {
                "llava.json": llava,
                "messages.jsonl": messages,
                "data.parquet": data,
                "selection.parquet": table_store.encode(content.chosen),
                "plan.parquet": table_store.encode(content.plan),
                "rejects.parquet": table_store.encode(content.rejects),
                "config.json": _json(content.settings),
            }
    except OSError as error:  # of these files alone: a store says it in words of its own
        fix = "free space there, or name another folder in TMPDIR"
        raise StorageError("a version's files could not be written aside", where=gettempdir(), fix=fix) from error


def _publish(
    content: Content,
    files: versions.Files,
    before: DatasetRef | None,
    config: RefreshConfig,
    made_from: dict[str, Any],
) -> DatasetRef:
    store, name = config.store, config.dataset.name
    libraries = library_versions()
    promise = {"before": before and before.version, "libraries": libraries, **made_from}
    number = versions.claim(store, name, promise)
    if content.unpaid:
        log.warning("%s version %d lacks %d images that the money cap held back", name, number, content.unpaid)
    changes = changes_against(before, content)
    description = card(
        name,
        number,
        plan=rows_of(content.plan),
        records=content.rows("task", "origin", "model", "cost_usd"),
        rejects=rows_of(content.rejects),
        changes=changes,
        config=content.settings,
    )
    files = {
        **files,
        "card.md": description.encode(),
        "diff.json": _json(changes),
        "versions.json": _json(libraries),
    }
    about = {"before": changes["before"], "records": len(content.records), **made_from}
    run = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": without_credentials(config.source.uri),
        "endpoint": without_credentials(config.generator.base_url),
    }
    return versions.complete(store, name, number, files, about, run)


def changes_against(before: DatasetRef | None, content: Content) -> dict[str, Any]:
    """diff.json: against the version before, or against nothing."""
    compared = ["sample_id", "turns", "origin", "cost_usd"]
    old = table_store.decoded_rows(versions.file(before, "data.parquet"), compared) if before else []
    old_plan = rows_of(table_store.decode(versions.file(before, "plan.parquet"))) if before else []
    return {
        "before": before and before.version,
        "unpaid": content.unpaid,
        "records": diff(old, content.rows(*compared)),
        "weights": drift(_weights(old_plan), _weights(rows_of(content.plan))),
    }


def library_versions() -> dict[str, str]:
    """Versions of what can change a record: presel, Python and the libraries between an image and its number."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"presel": __version__, "python": platform.python_version(), **found}


def _weights(plan: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {row["task"]: row["weight"] or 0.0 for row in plan}


def _all(refs: Sequence[TableRef], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *(table_store.read(ref) for ref in refs)])


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
