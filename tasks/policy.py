"""What Prefect adds to a stage: a name, retries, a timeout and a cache. No task has a body of its own.

The cache key is the stage's own key, so Prefect and the store agree on what is already there: a task whose output exists
shows as Cached in the UI, in the same run, in a retry, or in tomorrow's schedule on another machine. Should a table
have been deleted, the record of it goes too, and the task runs again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from presel.config.keys import short_digest
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import TableRef
from presel.tables.stage import Stage, store_of
from tasks.announcing import announce, withdraw
from tasks.board import close_board, open_board
from tasks.logs import tidy
from tasks.orphans import close_orphans
from tasks.patience import wait_for_the_server
from tasks.resources import Resource, declare
from tasks.results import RESULTS, StoreResults
from tasks.runner import ConfiguredTaskRunner
from tasks.watched import WatchedTask, watched

P = ParamSpec("P")
R = TypeVar("R")

tidy()

FLOW: dict[str, Any] = {
    # A flow's own result is in the store already; the references of its tasks persist by their cache policy.
    "persist_result": False,
    "on_running": [wait_for_the_server, announce, close_orphans, open_board],
    "on_completion": [withdraw, close_board],
    "on_failure": [withdraw, close_board],
    # No hook for crashed or cancelled runs: a worker starts a process of ten seconds for it and only then reports the crash a
    # second time, which ends a run that somebody has retried meanwhile (seen).
    "task_runner": ConfiguredTaskRunner(),
}


@dataclass
class ContentKey(CachePolicy):
    """Stage, version, input digests and settings: the same key under which the stage stores its output."""

    stage: Stage[Any] | None = None

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002 - Prefect's signature
        **kwargs: Any,  # noqa: ARG002
    ) -> str | None:
        assert self.stage is not None
        store, key = store_of(inputs), self.stage.key(inputs)
        # The record holds the store's address: a store that was moved is found by the stage itself, not by Prefect.
        record = f"{self.stage.name}-{key}-{short_digest(store)[:8]}"
        if table_store.find(store, self.stage.name, key) is None:
            # Deployments for several stores share one results block (deployments/provision.py): the record lies on its store.
            block = task_ctx.result_store.result_storage
            open_store(block.store if isinstance(block, StoreResults) else store).delete(f"{RESULTS}/{record}")
        return record


@dataclass(frozen=True)
class Policy:
    """How one kind of resource is treated."""

    resource: Resource
    retries: int
    delays: tuple[float, ...]
    timeout: timedelta

    def stage_task(self, stage: Stage[P], run_name: str) -> Task[P, TableRef]:
        """A cached task. `run_name` is what the UI shows; `{parameter.field}` is filled in from the inputs."""
        return WatchedTask(
            watched(stage, stage.name),
            name=stage.name,
            task_run_name=run_name,
            version=str(stage.version),
            cache_policy=ContentKey(stage=stage),
            result_serializer="json",
            **self._common(stage.name),
        )

    def plain_task(self, function: Callable[P, R], name: str) -> Task[P, R]:
        """A task that must look at the world, or show something, every time."""
        return WatchedTask(
            watched(function, name), name=name, task_run_name=name, cache_policy=NO_CACHE, **self._common(name)
        )

    def _common(self, name: str) -> dict[str, Any]:
        declare(name, self.resource)
        return {
            "retries": self.retries,
            "retry_delay_seconds": list(self.delays),
            "retry_condition_fn": worth_retrying,
            "timeout_seconds": self.timeout.total_seconds(),
        }


def worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry what may pass by itself (throttling, a reset connection); never what will fail again the same way."""
    error = state.result(raise_on_failure=False)
    return bool(getattr(error, "retryable", isinstance(error, ConnectionError | TimeoutError)))
