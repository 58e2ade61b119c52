"""A stage with everybody who watches it: the progress artifact of its task run, the board of its flow run, the meters."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import runtime

from presel.progress import listening
from tasks.board import board
from tasks.metrics import meters
from tasks.progress import ProgressArtifact

P = ParamSpec("P")
R = TypeVar("R")


def watched(function: Callable[P, R], name: str) -> Callable[P, R]:
    """The function itself, with its name and signature, watched while it runs."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        shown, counted = board(), meters()
        listeners = [shown.listener(name, str(runtime.task_run.id))] if shown else []
        listeners += [counted.listener(name)] if counted else []
        result, state, started = None, "Failed", time.monotonic()
        try:
            with ProgressArtifact() as artifact, listening(artifact, *listeners):
                result = function(*args, **kwargs)
            state = "Completed"
            return result
        finally:
            if shown:
                shown.ran(name, state)
            if counted:
                counted.ran(name, state, time.monotonic() - started, result)

    run.__name__ = name
    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return run
