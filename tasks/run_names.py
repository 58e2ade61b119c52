"""What a flow run is called: by its dataset when it begins (flows/), by what it will buy once that is planned, and in the end
by what came of it, so that a list of runs, of boards or of notifications can be read."""

from __future__ import annotations

import logging

from prefect import runtime
from prefect.client.orchestration import get_client

from presel.runs.figures import dollars
from presel.runs.summary import Summary
from presel.tables.schemas import DatasetRef

log = logging.getLogger("presel.names")


def wanted(run: Summary) -> str:
    """`246 images for $0.0346`: what the plan would buy."""
    quota, price = sum(row["quota"] for row in run.plan), sum(row["price_usd"] or 0.0 for row in run.plan)
    return f"{quota:,} images for {dollars(price)}"


def planned(run: Summary, waits: bool = False) -> str:
    """`refresh demo: 246 images for $0.0346`; as a question while that waits for approval."""
    what = f"approve {wanted(run)}?" if waits else wanted(run)
    return f"{begun(run.record.config.dataset.name)}: {what}"


def begun(dataset: str) -> str:
    """`refresh demo`."""
    return f"{runtime.flow_run.flow_name} {dataset}"


def ended(flow: str, dataset: DatasetRef, came: str, spent: float) -> str:
    """`refresh demo v12: 367 records, $0.0514`, what this run has spent; `came` is what publishing said, if anything was."""
    named = f"{flow} {dataset.name} v{dataset.version}"
    if not came:
        return named
    what = "nothing changed" if came.startswith("nothing changed") else f"{dataset.records:,} records"
    return f"{named}: {what}, {dollars(spent)}"


def rename(name: str, flow_run: str = "") -> None:
    """Call the current flow run that, or another one. A name is not worth a run: nothing fails."""
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run or runtime.flow_run.id, name=name)  # type: ignore[arg-type] # text will do
    except Exception:
        log.debug("a run keeps its name", exc_info=True)
