"""Publishing: from the tables of a run to an immutable dataset version.

Not a keyed stage like the others, because its output is named by a number that people quote, and numbers are handed out in
the order of asking. It is idempotent all the same: `content` is one digest over the records, the selection, the plan, the
rejects and the configuration, and a content that the latest version already holds publishes nothing. Library versions, the
card and the diff are left out of it (an upgraded library that changes no record is no reason to publish); dates and
addresses appear only in the manifest's `run`. So two runs in two folders publish the same bytes in every other file.

Of each record a version says whether its file shows, opened plainly, what was instructed: pictures that the version before
lacks are read for it (`presel.dataset.plain`).

Memory: ids and costs of all records, and of the records themselves one row group of Parquet (262,144). They come by task and
are published by sample, so they are sorted on disk and joined range by range. Their files are written under TMPDIR first (as
large as the version, twice while records are sorted): what they hold decides the version's number, so they must be whole before
the store gets any. The pool's size does not matter.
"""

from __future__ import annotations

import json
import logging
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile, gettempdir
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from presel.concurrency import progress
from presel.config import RefreshConfig
from presel.dataset import history, plain, trainer_formats, versions
from presel.dataset.changes import ANSWER, diff, drift, in_words
from presel.dataset.records import CHOSEN, chosen, records, rejected
from presel.dataset.settings import portable, without_credentials
from presel.dataset.trainer_formats import RECORDS
from presel.errors import BudgetExceeded, PreselError, StorageError, SupplyError, __version__
from presel.images.reasons import Reason
from presel.report.card import card
from presel.runs.refused import refused
from presel.runs.run_record import RunRecord
from presel.sources import open_source
from presel.tables import ratings, table_store
from presel.tables.ordered import Ordered, side_by_side
from presel.tables.ratings import RATINGS
from presel.tables.schemas import INSTRUCTIONS, RELEVANCE, DatasetRef, Rows, TableRef, rows_of

log = logging.getLogger(__name__)
_RECORDS_A_GROUP = 1 << 18
_SAID = ("sample_id", "task", "key", "turns")
_COUNTED = ["task", "origin", "model", "cost_usd"]
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
    the latest one if nothing changed. Raises IntegrityError when a sample occurs twice or was instructed without being ranked,
    and SupplyError (BudgetExceeded, where money is why) when there is not one record.
    """
    with _written(record) as content:
        return _publish_new(content, record)


def _publish_new(content: Content, record: RunRecord) -> DatasetRef:
    if not content.records:
        raise _nothing(content)
    config, digest = record.config, versions.content_digest(content.files)
    before = versions.latest(config.store, config.dataset.name)
    if before is not None and versions.manifest(before)["content"] == digest:
        versions.point_at_latest(config.store, config.dataset.name)  # a run may have died between its manifest and this
        _say(before, f"nothing changed: version {before.version} stands")
        return before
    base = table_store.facts(record.history)["base"] if record.history else None
    made_from = {"content": digest, "inputs": history.inputs_digest(record.samples, config, record.basis), "base": base}
    return _publish(content, before, config, made_from)


@dataclass(frozen=True)
class Content:
    """What decides whether a version is a new one, and the files that it decides."""

    data: BinaryIO
    """RECORDS, as `data.parquet`."""
    plan: pa.Table
    rejects: pa.Table
    settings: dict[str, Any]
    files: versions.Files

    @property
    def records(self) -> int:
        return int(pq.read_metadata(self.data).num_rows)

    @property
    def unpaid(self) -> int:
        """Chosen images without instructions because the money cap was reached."""
        return int(pc.sum(pc.equal(self.rejects["reason"], Reason.CAP_REACHED)).as_py() or 0)

    def rows(self, *columns: str) -> Iterator[dict[str, Any]]:
        """Records, of these columns alone, ordered by `sample_id`."""
        return table_store.decoded_rows(self.data, columns)


@contextmanager
def _written(record: RunRecord) -> Iterator[Content]:
    try:
        with (
            TemporaryFile() as data,
            TemporaryFile() as selection,
            TemporaryFile() as llava,
            TemporaryFile() as messages,
        ):
            plan = table_store.read(record.plan)
            with TemporaryDirectory(prefix="presel-publish-") as folder:
                _write_tables(record, plan, data, selection, Path(folder))
            rejects, settings = rejected(refused(record)), portable(record.config)
            llava.writelines(trainer_formats.llava_json(table_store.decoded_rows(data, _SAID)))
            messages.writelines(trainer_formats.messages_jsonl(table_store.decoded_rows(data, _SAID)))
            files: versions.Files = {
                "llava.json": llava,
                "messages.jsonl": messages,
                "data.parquet": data,
                "selection.parquet": selection,
                "plan.parquet": table_store.encode(plan),
                "rejects.parquet": table_store.encode(rejects),
                "config.json": _json(settings),
            }
            yield Content(data, plan, rejects, settings, files)
    except OSError as error:  # of these files alone: a store says it in words of its own
        fix = "free space there, or name another folder in TMPDIR"
        raise StorageError("a version's files could not be written aside", where=gettempdir(), fix=fix) from error


def _write_tables(record: RunRecord, plan: pa.Table, data: BinaryIO, selection: BinaryIO, folder: Path) -> None:
    """`data.parquet` and `selection.parquet`."""
    by_task, by_sample = Ordered(folder, CHOSEN, "task", "order"), Ordered(folder, CHOSEN, "sample_id")
    instructed = _all(record.instructions, INSTRUCTIONS, ["sample_id", "task"])
    for ref in record.selection:
        ranking = table_store.read(ref)
        of_task = instructed.filter(pc.is_in(instructed["task"], value_set=pc.unique(ranking["task"])))
        picked = chosen(ranking, of_task["sample_id"].combine_chunks())
        by_task.add(picked)
        by_sample.add(picked)
    table_store.encode_pieces(selection, by_task.ranges(), CHOSEN)
    asked = [_ordered(refs, INSTRUCTIONS, folder) for refs in (record.reference_instructions, record.instructions)]
    seen = Ordered(folder, plain.PLAIN, "sample_id")
    for rows in plain.seen(versions.latest(record.config.store, record.config.dataset.name)):
        seen.add(rows)
    rated = Ordered(folder, RATINGS, "sample_id")
    for ref in (*record.reference_instructions, *record.instructions):
        rated.add(ratings.of(ref))
    ranges = side_by_side(*asked, by_sample, _ordered(record.relevance, RELEVANCE, folder), seen, rated)
    table_store.encode_pieces(data, _records(record.config, plan, ranges), RECORDS, _RECORDS_A_GROUP)


def _records(config: RefreshConfig, plan: pa.Table, ranges: Iterator[tuple[pa.Table, ...]]) -> Iterator[pa.Table]:
    source = open_source(config.source)
    for sampled, answered, picked, scored, seen, rated in ranges:
        looked = plain.told(pa.concat_tables([sampled, answered]), seen, source, config.encoder.images)
        yield records(sampled, answered, picked, scored, looked, rated, plan)


def _ordered(refs: Sequence[TableRef], schema: pa.Schema, folder: Path) -> Ordered:
    rows = Ordered(folder, schema, "sample_id")
    for ref in refs:
        table = table_store.read(ref)
        rows.add(table.filter(pc.is_valid(table["sample_id"])))  # an imported score may be that of a whole task
    return rows


def _publish(
    content: Content, before: DatasetRef | None, config: RefreshConfig, made_from: dict[str, Any]
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
        records=Rows(pq.read_table(content.data, columns=_COUNTED, use_threads=False, pre_buffer=False)),
        rejects=rows_of(content.rejects),
        changes=changes,
        config=content.settings,
    )
    files = {
        **content.files,
        "README.md": description.encode(),
        "diff.json": _json(changes),
        "versions.json": _json(libraries),
    }
    about = {"before": changes["before"], "records": content.records, **made_from}
    run = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": without_credentials(config.source.uri),
        "endpoint": without_credentials(config.generator.base_url),
    }
    made = versions.complete(store, name, number, files, about, run)
    _say(made, f"version {number}: {in_words(changes['records'])}")
    return made


def _nothing(content: Content) -> PreselError:
    """Why an empty dataset is not published: a reader must find neither an empty version nor exit code 0."""
    counted = Counter(content.rejects["reason"].to_pylist()).most_common(5)
    why = ", ".join(f"{count:,} {reason}" for reason, count in counted) or "nothing was chosen"
    error = BudgetExceeded if content.unpaid else SupplyError
    waits = Reason.PENDING in content.rejects["reason"].to_pylist()
    people = "`presel handoff` writes the tasks of people; " if waits else ""
    return error(
        f"not one image has instructions, so there is nothing to publish: {why}",
        fix=people + "`presel status` shows the rejects; every answer is kept",
    )


def _say(dataset: DatasetRef, what: str) -> None:
    log.info("%s: %s", dataset.name, what)
    progress.report("publish", dataset.name, dataset.records, dataset.records, "records", what)


def changes_against(before: DatasetRef | None, content: Content) -> dict[str, Any]:
    """diff.json: against the version before, or against nothing."""
    compared = ["sample_id", "key", "origin", *ANSWER]
    with versions.opened(before, "data.parquet") if before else nullcontext() as data:
        records = diff(table_store.decoded_rows(data, compared) if data else (), content.rows(*compared))
    old_plan = rows_of(table_store.decode(versions.file(before, "plan.parquet"))) if before else []
    return {
        "before": before and before.version,
        "unpaid": content.unpaid,
        "records": records,
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


def _all(refs: Sequence[TableRef], schema: pa.Schema, columns: list[str]) -> pa.Table:
    return pa.concat_tables([schema.empty_table().select(columns), *(table_store.read(ref, columns) for ref in refs)])


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
