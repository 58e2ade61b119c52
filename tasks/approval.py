"""Approval before money is spent: with `execution.approve` the run pauses until somebody resumes it in the UI.

Before the selection the plan is shown twice: as the artifact `<dataset>-plan`, and in words in the form that the Resume button
opens. With `approve: all` the run pauses before the reference set, too, if any of it is still to be bought. Cancelling the
run instead costs nothing more.
"""

from __future__ import annotations

from prefect import get_run_logger, pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from presel.config import RefreshConfig
from presel.config.keys import short_digest
from presel.report.ui_pages import approval_markdown, plan_words
from presel.runs.run_record import RunRecord
from presel.runs.summary import Summary
from tasks.board import board
from tasks.patience import let_the_slot_go
from tasks.run_names import begun, planned, rename, wanted


class Approval(RunInput):
    """The form for the person who resumes the run."""

    approved_by: str = Field("", description="your name, for the run's log")


def await_reference(form: str | None, config: RefreshConfig) -> None:
    """Before the reference set is bought; `form`: what it costs, None if nothing. Called by the flow: only a flow can pause."""
    if form is not None and config.execution.approve == "all":
        get_run_logger().info("Waiting for approval of the reference set")
        name = begun(config.dataset.name)
        rename(f"{name}: approve the reference set?")
        _ask(form, "the reference set", f"reference-{short_digest(form)[:12]}", config)
        rename(name)


def await_approval(record: RunRecord) -> None:
    """Before the selection is bought. Returns at once unless the configuration asks for approval."""
    if not record.config.execution.approve:
        return
    run = Summary(record)
    get_run_logger().info("Waiting for approval: %s", plan_words(run))
    rename(planned(run, waits=True))
    _ask(approval_markdown(run), wanted(run), f"approve-{record.plan.digest[:12]}", record.config)
    rename(planned(run))


def _ask(form: str, about: str, key: str, config: RefreshConfig) -> None:
    if shown := board():
        shown.say(f"Waiting for approval of {about}: open the run, Resume pays, Cancel ends it")
    let_the_slot_go()
    answer = pause_flow_run(
        wait_for_input=Approval.with_initial_data(description=form),
        timeout=int(config.execution.approval_timeout * 3600),
        poll_interval=5,
        key=key,
    )
    get_run_logger().info("Approved by %s", answer.approved_by or "somebody who gave no name")
