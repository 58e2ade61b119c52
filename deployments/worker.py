"""Prefect's process worker, with which a Retry works at any moment.

    python -m deployments.worker --pool presel-gpu --limit 1      # takes what `prefect worker start` takes

A flow run whose process was killed is reported twice: by the runner within the worker, at once, and by the worker around it,
once the runner has let go (it first starts a process that loads the flow, to look for hooks: seconds). The second report takes
any state for one that the dead process left, so a run that somebody has retried in between is Crashed again (seen). Here the
runner's report is the only one.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that the type `process` is this one from now on is what is wanted

    class Worker(ProcessWorker):
        """What `--type process` means in this process."""

        type = "process"

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
