"""The log that a person reads in the UI: one line for each part, and an error in words.

- With PREFECT_LOGGING_EXTRA_LOGGERS=presel the library's lines go to the UI; the root logger's level would hold back all but
  warnings, and to lower that one would let every HTTP request through.
- A stage says what it made (`instruct select chart: 43 rows, 0 rejects, $0.0061`); that it is Completed as well needs no line.
- An error that presel raises on purpose is a whole explanation. The stack below it would be 40 lines, once for each task.
- Stages run in worker threads, where Prefect can only act on a timeout once the call returns, and it says so on every task run.
  The limits that bite are inside: on each request, each read.
"""

from __future__ import annotations

import logging

from presel.errors import PreselError

_NOISE = (
    "running in a worker thread",
    "Finished in state Completed(",
    "Running hook '",
    "Hook '",
    "finished running successfully",
)


def tidy() -> None:
    """Set up for this process; again changes nothing."""
    library = logging.getLogger("presel")
    if library.level == logging.NOTSET:
        library.setLevel(logging.INFO)
    for name in ("prefect.task_runs", "prefect.flow_runs", "prefect.engine"):
        logger = logging.getLogger(name)
        if _readable not in logger.filters:
            logger.addFilter(_readable)


def _readable(record: logging.LogRecord) -> bool:
    """Whether the line is worth showing. One that tells of a PreselError loses its stack and keeps its words."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if isinstance(error, PreselError):
        record.exc_info = None
        record.msg, record.args = f"{type(error).__name__}: {error}", ()
        return True
    said = record.getMessage()
    return not any(noise in said for noise in _NOISE)
