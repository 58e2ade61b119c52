"""Publishing: from the tables of a run to an immutable dataset version.

Not a keyed stage like the others, because its output is named by a number that people quote, and numbers are handed out in
the order of asking. It is idempotent all the same: `content` is one digest over the records, the selection, the plan, the
rejects and the configuration, and a content that the latest version already holds publishes nothing. Library versions, the
card and the diff are left out of it (an upgraded library that changes no record is no reason to publish); dates and
addresses appear only in the manifest's `run`. So two runs in two folders publish the same bytes in every other file.

Memory: the records of a dataset, four times over (as rows, and as each format's bytes, since a store takes whole objects):
1.0 GB and 7 s of one core at 100,000 records of 0.9 kB (224 MB of files). The pool's size does not matter.
"""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from typing import Any

import pyarrow as pa

from presel import __version__, formats, table_store
from presel.config import RefreshConfig
from presel.dataset import history, versions
from presel.dataset.changes import diff, drift
from presel.dataset.records import chosen, records, rejected
from presel.dataset.settings import portable, without_credentials
from presel.instruct.parsing import CAP_REACHED
from presel.report.card import card
from presel.run_record import RunRecord
from presel.tables import INSTRUCTIONS, RELEVANCE, DatasetRef, TableRef, rows_of

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
    config, content = record.config, content_of(record)
    before = versions.latest(config.store, config.dataset.name)
    if before is not None and versions.manifest(before)["content"] == content.digest:
        versions.point_at_latest(config.store, config.dataset.name)  # a run may have died between its manifest and this
        log.info("nothing changed: %s version %d stands", before.name, before.version)
        return before
    base = table_store.facts(record.history)["base"] if record.history else None
    made_from = {"inputs": history.inputs_digest(record.samples, config), "base": base}
    return _publish(content, before, config, made_from)


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

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        return rows_of(self.records)

    @cached_property
    def files(self) -> dict[str, bytes]:
        return {
            "llava.json": formats.llava_json(self.rows),
            "messages.jsonl": formats.messages_jsonl(self.rows),
            "data.parquet": table_store.encode(self.records),
            "selection.parquet": table_store.encode(self.chosen),
            "plan.parquet": table_store.encode(self.plan),
            "rejects.parquet": table_store.encode(self.rejects),
            "config.json": _json(self.settings),
        }

    @cached_property
    def digest(self) -> str:
        return versions.content_digest(self.files)


def _publish(
    content: Content, before: DatasetRef | None, config: RefreshConfig, made_from: dict[str, Any]
) -> DatasetRef:
    store, name = config.store, config.dataset.name
    libraries = library_versions()
    promise = {"content": content.digest, "before": before and before.version, "libraries": libraries, **made_from}
    number = versions.claim(store, name, promise)
    if content.unpaid:
        log.warning("%s version %d lacks %d images that the money cap held back", name, number, content.unpaid)
    changes = changes_against(before, content)
    description = card(
        name,
        number,
        plan=rows_of(content.plan),
        records=content.rows,
        rejects=rows_of(content.rejects),
        changes=changes,
        config=content.settings,
    )
    files = {
        **content.files,
        "card.md": description.encode(),
        "diff.json": _json(changes),
        "versions.json": _json(libraries),
    }
    about = {"content": content.digest, "before": changes["before"], "records": len(content.rows), **made_from}
    run = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": without_credentials(config.source.uri),
        "endpoint": without_credentials(config.generator.base_url),
    }
    return versions.complete(store, name, number, files, about, run)


def changes_against(before: DatasetRef | None, content: Content) -> dict[str, Any]:
    """diff.json: against the version before, or against nothing."""
    old_records = _rows(before, "data.parquet") if before else []
    old_plan = _rows(before, "plan.parquet") if before else []
    return {
        "before": before and before.version,
        "unpaid": content.unpaid,
        "records": diff(old_records, content.rows),
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


def _rows(ref: DatasetRef, name: str) -> list[dict[str, Any]]:
    return rows_of(table_store.decode(versions.file(ref, name)))


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
