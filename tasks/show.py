"""What people see in the Prefect UI: never cached, since a cached task makes no artifacts (Prefect's UI shows them per run)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect import runtime

from presel.concurrency import progress
from presel.config import RefreshConfig
from presel.instruct import verdict
from presel.instruct.money.bounds import at_most
from presel.report import ui_pages
from presel.runs import run_record
from presel.runs.figures import dollars
from presel.runs.housekeeping.gc import Collected
from presel.runs.run_record import RunRecord
from presel.runs.summary import Summary
from presel.selection.reference import reference_size
from presel.stages.instruct import instruct
from presel.tables.schemas import TableRef
from tasks.artifacts import show_markdown, show_table
from tasks.board import board
from tasks.policy import Policy
from tasks.resources import Resource
from tasks.run_names import planned, rename

log = logging.getLogger("presel.show")
SHOW = Policy(Resource.CPU, retries=2, delays=(2, 10), timeout=timedelta(minutes=30))


def _price_reference(
    reference: Sequence[TableRef], catalog: TableRef, samples: TableRef, config: RefreshConfig
) -> str | None:
    """What the reference set may cost, said before the first of it is paid for; the form of approval, if any may be bought."""
    missing = instruct.missing(reference, config.source, config.generator, config.encoder.images, catalog)
    images = {part.label: part.rows for part in samples.parts}
    unpaid = {ref.label: reference_size(images[ref.label], config.reference.share) for ref in missing}
    scored = {ref.label: reference_size(images[ref.label], config.reference.share) for ref in reference}
    judged = verdict.at_most(scored, config)
    limit = at_most(unpaid, config.generator) + judged
    words = f"at most {dollars(limit)}, less what is paid for already" if limit else "all of it is paid for"
    count = sum(scored.values())
    progress.report("price", "reference set", count, count, "images", words, {"at_most_usd": limit})
    log.info("reference set: %d images, %s", count, words)
    return ui_pages.reference_markdown(unpaid, limit, samples, config) if limit else None


def _show_plan(record: RunRecord) -> None:
    """The plan and what it rests on, before the selection is paid for."""
    run_record.save(record)
    name, run = record.config.dataset.name, Summary(record)
    rename(planned(run))
    _listed("plan", show_markdown(f"{name}-plan", ui_pages.plan_markdown(run), ui_pages.plan_words(run)))


def _show_results(record: RunRecord) -> None:
    """What came of it and where it lies, with the map of the pool; a gallery of picks; the rejects."""
    run_record.save(record)
    name, run = record.config.dataset.name, Summary(record)
    pool_map, gallery = (ui_pages.made_with_the_report(record, file) for file in ("map.md", "gallery.md"))
    result = f"{ui_pages.result_markdown(run, _begun())}\n{pool_map}"
    _listed("result", show_markdown(f"{name}-result", result, "The version, its price, the report, what was refused"))
    _listed("gallery", show_markdown(f"{name}-gallery", gallery, "Picks of every task with their instructions"))
    _listed("rejects", show_table(f"{name}-rejects", ui_pages.reject_rows(run), ui_pages.reject_words(run)))
    _listed("report", ui_pages.report_link(record))


def _listed(what: str, address: str | None) -> None:
    """On the board, which is the contents of what a run shows."""
    shown = board()
    if shown and address:
        shown.links(what, address)


def _begun() -> datetime:
    """When this flow run was to begin."""
    return runtime.flow_run.scheduled_start_time or datetime.now(UTC)


def _show_garbage(config: RefreshConfig, collected: Collected) -> None:
    """What could go, by kind of output, and how much of it went."""
    rows = [
        {"output": kind, "files": files, "MB": round(size / 1e6, 1)} for kind, (files, size) in collected.stages.items()
    ]
    words = (
        f"{collected.files:,} files ({collected.bytes / 1e6:,.1f} MB) are not needed, {collected.due:,} of them were marked "
        f"by an earlier run; {collected.freed / 1e6:,.1f} MB removed now."
    )
    if collected.waits_for:
        words += f" Nothing is removed while a run is under way ({len(collected.waits_for)} now)."
    show_table(f"{config.dataset.name}-garbage", rows, words)


price_reference = SHOW.plain_task(_price_reference, "price reference set")
show_plan = SHOW.plain_task(_show_plan, "show plan")
show_results = SHOW.plain_task(_show_results, "show results")
show_garbage = SHOW.plain_task(_show_garbage, "show garbage")
