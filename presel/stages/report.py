"""The report: a published version, the vectors of its samples and the loss curve become one page.

Almost everything on it is read from the version itself, so a report can be made again from what was published, and the
figures on it are the published ones. The page is found again by the digest of the version; its date is the version's, so a
second run makes the same page, or rather none.

Memory: the vectors of a task, some 100 bytes of every record, and all of the records that are shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from presel.config import ImageConfig, SourceConfig
from presel.dataset import versions
from presel.errors import InputError
from presel.report import pieces, sheets
from presel.report.answers import COLUMNS, answers, refused_answers
from presel.report.contents import Contents
from presel.report.gallery import choose
from presel.report.money_curve import spending
from presel.report.page import build_report as page
from presel.report.page import files_beside
from presel.report.refusals import grouped
from presel.report.survey import Choice, survey
from presel.report.thumbnails import small_ones, taken
from presel.report.timing import STEPS, timing
from presel.runs.run_record import RunRecord
from presel.tables import table_store
from presel.tables.guard import guard_of
from presel.tables.schemas import DatasetRef, Rows, TableRef, rows_of
from presel.tables.stage import stage
from presel.tables.table_store import Output

Tables = Mapping[str, tuple[TableRef, ...]]
_PICKED = ["sample_id", "task", "order", "outcome"]
_TOLD = ["sample_id", "task", "origin", "cost_usd", "irs", "loss_with_question", "loss_without_question"]
_COUNTED = ["task", "origin", "cost_usd"]
_SCORED = ["sample_id", "task", "irs", "loss_with_question", "loss_without_question"]


def build_report(record: RunRecord) -> RunRecord:
    """The record of a run with its report. Raises InputError when the run has not published yet."""
    if record.dataset is None:
        raise InputError("there is no dataset to report on", where="presel.stages.report", fix="publish first")
    config = record.config
    tables = {name: refs for name in STEPS if (refs := _some(getattr(record, name)))}
    report = build(
        record.dataset, record.samples, record.model, tables, config.source, config.encoder.images, config.store
    )
    return record.model_copy(update={"report": report})


@stage("report", version=5)
def build(
    out: Output,
    dataset: DatasetRef,
    samples: TableRef,
    model: TableRef,
    tables: Tables,
    source: SourceConfig,
    images: ImageConfig,
    store: str,
) -> None:
    """`page.html` with a folder of what it has no room for, and for the Prefect UI `map.md` and `gallery.md`.

    `model` is the output with the FIT table; `tables` are the run's others, by their names in its record.
    """
    contents = gather(dataset, samples, model, source, images, tables)
    out.write_file("page.html", page(contents))
    for name, data in files_beside(contents).items():
        out.write_file(name, data)
    out.write_file("map.md", pieces.map_page(contents).encode())
    out.write_file("gallery.md", pieces.gallery_page(contents).encode())
    out.note(store=store, pictures=len(contents.pictures))


def gather(
    dataset: DatasetRef,
    samples: TableRef,
    model: TableRef,
    source: SourceConfig,
    limits: ImageConfig = ImageConfig(),  # noqa: B008 - frozen
    tables: Tables = MappingProxyType({}),
) -> Contents:
    """All that the page shows, read from where it lies. `tables` are the run's, by their names in its record."""
    manifest = versions.manifest(dataset)
    selection = table_store.decode(versions.file(dataset, "selection.parquet"), _PICKED)
    rejects = table_store.decode(versions.file(dataset, "rejects.parquet"))
    plan = _rows(dataset, "plan.parquet")
    with versions.opened(dataset, "data.parquet") as data:
        records = pq.read_table(data, columns=_TOLD, use_threads=False, pre_buffer=False)
        scored = rows_of(records.filter(pc.is_valid(records["irs"])).select(_SCORED))
        chosen = choose(selection, scored)
        wanted = sorted({row["sample_id"] for row in chosen.rows()})
        shown = chosen.completed({row["sample_id"]: row for row in table_store.find_rows(data, "sample_id", wanted)})
        clusters, rankings = ({ref.label: ref for ref in tables.get(name, ())} for name in ("clusters", "rankings"))
        choice = Choice(records, selection, rejects, plan, clusters, rankings)
        found = survey(samples, choice, (row["sample_id"] for picks in shown.gallery.values() for row in picks))
        on_map = sorted(dot.sample_id for dot in found.map.dots if dot.kind != "pool") if found.map else []
        bought = answers(table_store.decoded_rows(data, COLUMNS))
        said = {row["sample_id"]: row["turns"][0] for row in table_store.find_rows(data, "sample_id", on_map)}
    refused = rows_of(rejects)
    large, small = taken(shown.rows(), small_ones(found, grouped(refused)), source, limits)
    return Contents(
        name=dataset.name,
        version=dataset.version,
        date=manifest["run"]["created"].replace("T", " ")[:16] + " UTC",
        plan=plan,
        records=Rows(records.select(_COUNTED)),
        scored=scored,
        shown=shown,
        rejects=refused,
        changes=_json(dataset, "diff.json"),
        config=_json(dataset, "config.json"),
        libraries=_json(dataset, "versions.json"),
        digests={
            "version": dataset.digest,
            "content": manifest["content"],
            "data.parquet": manifest["files"]["data.parquet"]["sha256"],
            "samples": samples.digest,
            "reference model": model.digest,
        },
        map=found.map,
        said=said,
        coverage=found.coverage,
        beside=found.beside,
        clusters=found.clusters,
        copies=found.copies,
        fit=rows_of(table_store.read(model)),
        verdict=_verdict(tables),
        answers=bought,
        refused_answers=list(refused_answers(refused)),
        timing=timing(tables, _published_before(dataset, samples.store)),
        spending=spending([*tables.get("reference_instructions", ()), *tables.get("instructions", ())]),
        pictures=large,
        sheets=sheets.make(small.items()),
        guards={task: one["threshold"] for ref in tables.get("guard", ()) for task, one in guard_of(ref).items()},
    )


def _some(found: TableRef | tuple[TableRef, ...] | None) -> tuple[TableRef, ...]:
    if isinstance(found, TableRef):
        return (found,)
    return found or ()


def _verdict(tables: Tables) -> str:
    """The plan's word on the reference set."""
    return str(table_store.facts(tables["plan"][0]).get("verdict", "")) if tables.get("plan") else ""


def _published_before(dataset: DatasetRef, store: str) -> float:
    """When the version before this one was published, in seconds since 1970; 0 without one."""
    earlier = [number for number in versions.versions(store, dataset.name) if number < dataset.version]
    if not earlier:
        return 0.0
    made = versions.manifest(versions.find(store, dataset.name, earlier[-1]))["run"]["created"]
    return datetime.fromisoformat(made).timestamp()


def _rows(dataset: DatasetRef, name: str) -> list[dict[str, Any]]:
    return rows_of(table_store.decode(versions.file(dataset, name)))


def _json(dataset: DatasetRef, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(versions.file(dataset, name))
    return read
