"""The report: a published version, the vectors of its samples and the loss curve become one page.

Almost everything on it is read from the version itself, so a report can be made again from what was published, and the
figures on it are the published ones. The page is found again by the digest of the version; its date is the version's, so a
second run makes the same page, or rather none.

Memory: the vectors of a task, some 100 bytes of every record, and all of the records that are shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from presel import progress
from presel.config import ImageConfig, SourceConfig
from presel.dataset import versions
from presel.dataset.rows import digest_of
from presel.dataset.trainer_formats import CHOSEN_ORIGINS
from presel.errors import InputError, NotFound
from presel.images import Rejected, thumbnail
from presel.images.decoders import opened
from presel.report import pieces
from presel.report.contents import Contents, Map
from presel.report.coverage_curves import Coverage, TaskCoverage, of_task, together
from presel.report.gallery import Row, choose
from presel.report.page import build_report as page
from presel.report.plots import Dot
from presel.report.projection import POINTS, project
from presel.runs.run_record import RunRecord
from presel.sources import open_source
from presel.tables import table_store
from presel.tables.schemas import DatasetRef, Rows, TableRef, rows_of
from presel.tables.stage import stage
from presel.tables.table_store import Output
from presel.tables.vectors import unit_vectors

_PICKED = ["sample_id", "task", "order", "outcome"]
_TOLD = ["sample_id", "task", "origin", "cost_usd", "irs", "loss_with_question", "loss_without_question"]
_COUNTED = ["task", "origin", "cost_usd"]
_SCORED = ["sample_id", "task", "irs", "loss_with_question", "loss_without_question"]
SIDE = 208
"""Pixels of a thumbnail's longer side: 156 to 180 CSS pixels wide on the page, and sharp enough in the enlarged view."""


def build_report(record: RunRecord) -> RunRecord:
    """The record of a run with its report. Raises InputError when the run has not published yet."""
    if record.dataset is None:
        raise InputError("there is no dataset to report on", where="presel.stages.report", fix="publish first")
    config = record.config
    report = build(record.dataset, record.samples, record.model, config.source, config.encoder.images, config.store)
    return record.model_copy(update={"report": report})


@stage("report", version=4)
def build(
    out: Output,
    dataset: DatasetRef,
    samples: TableRef,
    model: TableRef,
    source: SourceConfig,
    images: ImageConfig,
    store: str,
) -> None:
    """`page.html`, and for the Prefect UI `map.md` and `gallery.md`. `model` is the output with the FIT table."""
    contents = gather(dataset, samples, model, source, images)
    out.write_file("page.html", page(contents))
    out.write_file("map.md", pieces.map_page(contents).encode())
    out.write_file("gallery.md", pieces.gallery_page(contents).encode())
    out.note(store=store, pictures=len(contents.pictures))


def gather(
    dataset: DatasetRef,
    samples: TableRef,
    model: TableRef,
    source: SourceConfig,
    limits: ImageConfig = ImageConfig(),  # noqa: B008 - frozen
) -> Contents:
    """All that the page shows, read from where it lies."""
    manifest = versions.manifest(dataset)
    selection = table_store.decode(versions.file(dataset, "selection.parquet"), _PICKED)
    with versions.opened(dataset, "data.parquet") as data:
        records = pq.read_table(data, columns=_TOLD, use_threads=False, pre_buffer=False)
        scored = rows_of(records.filter(pc.is_valid(records["irs"])).select(_SCORED))
        chosen = choose(selection, scored)
        wanted = sorted({row["sample_id"] for row in chosen.rows()})
        shown = chosen.completed({row["sample_id"]: row for row in table_store.find_rows(data, "sample_id", wanted)})
    surveyed, coverage = survey(samples, records, selection)
    return Contents(
        name=dataset.name,
        version=dataset.version,
        date=manifest["run"]["created"].replace("T", " ")[:16] + " UTC",
        plan=_rows(dataset, "plan.parquet"),
        records=Rows(records.select(_COUNTED)),
        scored=scored,
        shown=shown,
        rejects=_rows(dataset, "rejects.parquet"),
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
        map=surveyed,
        coverage=coverage,
        fit=rows_of(table_store.read(model)),
        pictures=thumbnails(shown.rows(), source, limits),
    )


def survey(samples: TableRef, records: pa.Table, selection: pa.Table) -> tuple[Map | None, Coverage | None]:
    """One pass over the vectors, a task in memory at a time: a map of a uniform sample, and how much the picks cover.

    The map shows the first samples in the order of their ids, which are hashes: a uniform sample.
    """
    drawn: pa.Table | None = None
    covered = []
    for part in samples.parts:
        table = table_store.read_part(samples, part, ["sample_id", "task", "key", "vector"])
        in_task = (rows.filter(pc.equal(rows["task"], part.label)) for rows in (records, selection))
        covered.append(_coverage(table, *in_task))
        together_so_far = table if drawn is None else pa.concat_tables([drawn, table])
        drawn = together_so_far.take(pc.sort_indices(together_so_far, [("sample_id", "ascending")])[:POINTS])
    if drawn is None or not drawn.num_rows:
        return None, None
    reference = pc.sum(pc.equal(records["origin"], "reference")).as_py() or 0
    on_map = records.filter(pc.is_in(records["sample_id"], value_set=drawn["sample_id"]))
    return _map(drawn, _by_sample(on_map, "origin"), samples.rows), together(covered, reference)


def _coverage(table: pa.Table, records: pa.Table, selection: pa.Table) -> TaskCoverage:
    """Of one task."""
    origin, order = _by_sample(records, "origin"), _by_sample(selection, "order")
    ids = table["sample_id"].to_pylist()
    reference = np.array([origin.get(name) == "reference" for name in ids], dtype=np.bool_)
    picks = sorted((order[name], row) for row, name in enumerate(ids) if origin.get(name) in CHOSEN_ORIGINS)
    return of_task(unit_vectors(table), np.array([row for _, row in picks], dtype=np.int64), reference)


def _by_sample(rows: pa.Table, column: str) -> dict[str, Any]:
    return dict(zip(rows["sample_id"].to_pylist(), rows[column].to_pylist(), strict=True))


def _map(table: pa.Table, origin: Mapping[str, str], samples: int) -> Map:
    projection = project(unit_vectors(table))
    dots = []
    for row, (x, y) in zip(rows_of(table.drop_columns("vector")), projection.positions.tolist(), strict=True):
        kind = {"reference": "reference", "selected": "picked", "kept": "picked"}.get(
            origin.get(row["sample_id"], ""), "pool"
        )
        dots.append(Dot(x, y, row["task"], kind, f"{row['key']} ({row['task']}, {kind})"))
    return Map(dots, samples, projection.kept)


def thumbnails(rows: Iterable[Row], source: SourceConfig, limits: ImageConfig) -> dict[str, bytes]:
    """Sample id to a small JPEG. One that is gone, or is not the one that was chosen, is left out: it shows as missing."""
    wanted = list({row["sample_id"]: row for row in rows}.values())
    images, found = open_source(source), {}
    images.expect(len(wanted))
    for done, row in enumerate(wanted):
        with suppress(NotFound):  # the whole source may be gone by now
            data = images.read_content(row["key"], digest_of(row))
            image = data if isinstance(data, Rejected) else opened(data, limits, row["key"], SIDE)
            if not isinstance(image, Rejected):
                found[row["sample_id"]] = thumbnail(image, SIDE)
        progress.report("report", "thumbnails", done + 1, len(wanted), "images")
    return found


def _rows(dataset: DatasetRef, name: str) -> list[dict[str, Any]]:
    return rows_of(table_store.decode(versions.file(dataset, name)))


def _json(dataset: DatasetRef, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(versions.file(dataset, name))
    return read
