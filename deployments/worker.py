"""Prefect's process worker, with which a Retry works at any moment.

    python -m deployments.worker --pool presel-gpu --limit 1      # takes what `prefect worker start` takes

A flow run whose process was killed is reported twice: by the runner within the worker, at once, and by the worker around it,
once the runner has let go (it first starts a process that loads the flow, to look for hooks: seconds). The second report takes
any state for one that the dead process left, so a run that somebody has retried in between is Crashed again (seen). Here the
runner's report is the only one.

And what a worker does for every run alike (submitting it, opening a process, its exit) is said in the worker's own log, not in
that of each run, which begins with what the run does. Warnings and errors are in both.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.logging.handlers import APILogHandler
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult


def of_the_run(record: logging.LogRecord) -> bool:
    """Whether a line belongs into the log of a run."""
    machinery = ("prefect.flow_runs.worker", "prefect.flow_runs.runner")
    return record.levelno >= logging.WARNING or not record.name.startswith(machinery)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that the type `process` is this one from now on is what is wanted

    class Worker(ProcessWorker):
        """What `--type process` means in this process."""

        type = "process"

        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            for handler in logging.getLogger("prefect.flow_runs").handlers:
                if isinstance(handler, APILogHandler):
                    handler.addFilter(of_the_run)

        async def run(
            self, flow_run: FlowRun, configuration: ProcessJobConfiguration, task_status: Any = None
        ) -> ProcessWorkerResult:
            """Run it to its end, which the runner reports: an exit status here would be a second report."""
            result = await super().run(flow_run, configuration, task_status)
            return ProcessWorkerResult(status_code=0, identifier=result.identifier)


def main() -> None:
    from prefect.cli import app

    sys.argv[1:] = ["worker", "start", "--type", "process", *sys.argv[1:]]
    app()


if __name__ == "__main__":
    main()
