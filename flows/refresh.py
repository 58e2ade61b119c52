"""The main flow: choose the images worth instructing, instruct only those, publish the dataset."""

from __future__ import annotations

from prefect import flow, unmapped

from flows.plan import plan
from presel.config import RefreshConfig
from presel.tables.schemas import DatasetRef
from tasks.api import instruct
from tasks.approval import await_approval
from tasks.cpu import build_report, publish, select
from tasks.export import export_version
from tasks.policy import FLOW
from tasks.show import show_results


@flow(name="refresh", flow_run_name="refresh {config.dataset.name}", **FLOW)
def refresh(config: RefreshConfig) -> DatasetRef:
    """One refresh of a dataset. Whatever is done or paid for already is reused."""
    # Embed the pool, instruct the reference set, weigh the tasks, rank their images, divide the budget.
    # Its tasks are this run's own: one page in the UI shows them all, with their progress, log and artifacts.
    planned = plan.fn(config)
    await_approval(planned)
    # Only now pay for the rest: the first images of each task's ranking, as many as its quota.
    selection = select.map(planned.rankings, unmapped(planned.plan)).result()
    instructions = instruct.map(
        selection, unmapped(config.source), unmapped(config.generator), unmapped(config.encoder.images),
        unmapped(planned.catalog),
    ).result()  # fmt: skip
    # A version never changes once published; the report is its companion.
    dataset = publish(planned.with_instructions(selection, instructions))
    report = build_report(planned.with_instructions(selection, instructions, dataset))
    show_results(report)
    # Where `export.to` names a place, trainers find the version there, pictures included.
    export_version(dataset, config)
    return dataset
