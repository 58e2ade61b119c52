"""A stage with everybody who watches it: the board of its flow run, or the progress artifact of its task run; the meters.

The board also hears of tasks that never run because they are cached, so it is told where they are called (here) or submitted
(tasks/runner.py), not by the function that they would run.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, ParamSpec, TypeVar

from prefect import Task, runtime
from prefect.cache_policies import NO_CACHE

from presel.concurrency.progress import Listener, listening
from tasks.board import board
from tasks.metrics import meters
from tasks.naming import stage_in_words
from tasks.progress import ProgressArtifact

P = ParamSpec("P")
R = TypeVar("R")


class WatchedTask(Task[P, R]):
    """A task that tells the board when a flow calls it, and how that ended."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        shown = board()
        if shown is None or kwargs.get("return_state"):
            return super().__call__(*args, **kwargs)
        lane = shown.begun(self.name, stage_in_words(self, {}), self.cache_policy == NO_CACHE)
        state = super().__call__(*args, return_state=True, **kwargs)
        result = state.result(raise_on_failure=False)
        shown.ended(lane, str(state.name), result, str(state.state_details.task_run_id))
        return state.result()


def watched(function: Callable[P, R], name: str) -> Callable[P, R]:
    """The function itself, with its name and signature, watched while it runs."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        shown, counted = board(), meters()
        # Where the flow is another process there is no board to tell: there each task run shows its own progress.
        listeners: list[Listener] = [shown.listener(name, str(runtime.task_run.id))] if shown else []
        listeners += [counted.listener(name)] if counted else []
        result, state, started = None, "Failed", time.monotonic()
        try:
            with ExitStack() as stack:
                if not shown:
                    listeners.append(stack.enter_context(ProgressArtifact()))
                stack.enter_context(listening(*listeners))
                result = function(*args, **kwargs)
            state = "Completed"
            return result
        finally:
            seconds = time.monotonic() - started
            if shown:
                shown.outputs.took(str(runtime.task_run.id), seconds)
            if counted:
                counted.ran(name, state, seconds, result)

    run.__name__ = name
    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return run
