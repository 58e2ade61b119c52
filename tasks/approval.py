"""Approval before the selection is paid for: with `execution.approve` the run pauses until somebody resumes it in the UI.

The plan is shown twice: as the artifact `<dataset>-plan`, and in words in the form that the Resume button opens. Cancelling
the run instead costs nothing more than the reference set.
"""

from __future__ import annotations

from prefect import get_run_logger, pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from presel.report.ui_pages import approval_markdown, plan_words
from presel.runs.run_record import RunRecord
from presel.runs.summary import Summary
from tasks.board import board
from tasks.patience import let_the_slot_go
from tasks.run_names import planned, rename, wanted


class Approval(RunInput):
    """The form for the person who resumes the run."""

    approved_by: str = Field("", description="your name, for the run's log")


def await_approval(record: RunRecord) -> None:
    """Return at once unless the configuration asks for approval. Called by the flow itself: only a flow can pause."""
    execution = record.config.execution
    if not execution.approve:
        return
    run, logger = Summary(record), get_run_logger()
    logger.info("Waiting for approval: %s", plan_words(run))
    rename(planned(run, waits=True))
    if shown := board():
        shown.say(f"Waiting for approval of {wanted(run)}: open the run, Resume pays, Cancel ends it")
    let_the_slot_go()
    form = Approval.with_initial_data(description=approval_markdown(run))
    seconds = int(execution.approval_timeout * 3600)
    answer = pause_flow_run(
        wait_for_input=form, timeout=seconds, poll_interval=5, key=f"approve-{record.plan.digest[:12]}"
    )
    rename(planned(run))
    logger.info("Approved by %s", answer.approved_by or "somebody who gave no name")
