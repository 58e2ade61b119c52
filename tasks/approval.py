"""The last word before the selection is paid for: with `execution.approve` the run pauses until somebody resumes it in the UI.

The plan is shown twice: as the artifact `<dataset>-plan`, and in words in the form that the Resume button opens. Cancelling
the run instead costs nothing more than the reference set.
"""

from __future__ import annotations

from prefect import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from presel.report import pieces
from presel.run_record import RunRecord


class Approval(RunInput):
    """What whoever resumes the run is asked."""

    approved_by: str = Field("", description="your name, for the run's log")


def await_approval(record: RunRecord) -> None:
    """Return at once unless the configuration asks for approval. Called by the flow itself: only a flow can pause."""
    execution = record.config.execution
    if not execution.approve:
        return
    form = Approval.with_initial_data(description=f"## Pay for this plan?\n\n{pieces.plan_words(record)}\n")
    seconds = int(execution.approval_timeout * 3600)
    pause_flow_run(wait_for_input=form, timeout=seconds, poll_interval=5, key=f"approve-{record.plan.digest[:12]}")
