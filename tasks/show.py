"""What people see in the Prefect UI: never cached, since a cached task makes no artifacts (PREFECT UI shows them per run).

Each artifact stays below 200 kB: they live in the server's database, and its Artifacts page loads every latest one.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from presel import run_record, summary
from presel.config import RefreshConfig
from presel.housekeeping.gc import Collected
from presel.report import pieces
from presel.run_record import RunRecord
from tasks.policy import Policy

SHOW = Policy(tag="show", retries=2, delays=(2, 10), timeout=timedelta(minutes=30))


def _show_plan(record: RunRecord) -> None:
    """The plan as a table and the weights as a picture, before the selection is paid for."""
    run_record.save(record)
    name = record.config.dataset.name
    create_table_artifact(pieces.plan_rows(record), key=f"{name}-plan", description=pieces.plan_words(record))
    create_markdown_artifact(
        pieces.weights_markdown(record), key=f"{name}-weights", description="What a question is worth in each task"
    )
    create_table_artifact(
        summary.budget_rows(record), key=f"{name}-budgets", description="What other budgets would cost and cover"
    )


def _show_results(record: RunRecord) -> None:
    """Rejects, the map of the pool, a gallery of picks, and where the dataset and the report lie."""
    run_record.save(record)
    name = record.config.dataset.name
    create_table_artifact(
        pieces.reject_rows(record), key=f"{name}-rejects", description="Every refusal, with its reason"
    )
    create_markdown_artifact(
        pieces.map_markdown(record), key=f"{name}-map", description="The pool in two dimensions, with the picks"
    )
    create_markdown_artifact(
        pieces.gallery_markdown(record),
        key=f"{name}-gallery",
        description="Picks of every task with their instructions",
    )
    create_link_artifact(
        summary.report_address(record), key=f"{name}-report", link_text="The report", description="One page"
    )
    if record.dataset is not None:
        create_link_artifact(
            record.dataset.uri,
            key=f"{name}-dataset",
            link_text=f"Version {record.dataset.version}",
            description="The dataset",
        )


def _show_garbage(config: RefreshConfig, collected: Collected) -> None:
    """What could go, by kind of output, and how much of it went."""
    rows = [
        {"output": kind, "files": files, "MB": round(size / 1e6, 1)} for kind, (files, size) in collected.stages.items()
    ]
    words = (
        f"{collected.files:,} files ({collected.bytes / 1e6:,.1f} MB) are not needed, {collected.due:,} of them were marked "
        f"by an earlier run; {collected.freed / 1e6:,.1f} MB removed now."
    )
    create_table_artifact(rows, key=f"{config.dataset.name}-garbage", description=words)


show_plan = SHOW.plain_task(_show_plan, "show plan")
show_results = SHOW.plain_task(_show_results, "show results")
show_garbage = SHOW.plain_task(_show_garbage, "show garbage")
