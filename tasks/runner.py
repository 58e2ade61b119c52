"""Where the tasks of a flow run: threads of its process, or the workers of a Ray or Dask cluster, as `execution.runner` says.

A flow's task runner is fixed when its module is loaded, the configuration comes with the run. So the flows have one runner
that looks at the run's own parameter when the first task is submitted, and hands everything to Prefect's runner of that name.
Ray and Dask are optional and imported only then: `pip install 'presel[ray]'`, `presel[dask]`.

Threads are the default because a stage uses the machine's cores itself. A cluster pays off when one task takes minutes: its
workers start in some 20 s and import everything anew. Whatever runs a stage, its output has the same bytes.

Tasks that ask an API stay threads of the flow's process under any runner. They wait for a provider rather than compute, and
what the configuration allows (requests in flight, a minute) holds for a process: four workers would ask four times that.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from types import TracebackType
from typing import Any, Self

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import RunInput
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from presel.config import ExecutionConfig, RefreshConfig
from presel.errors import ConfigError, require
from presel.instruct.sharing import resume
from tasks.board import Board, board
from tasks.draining import drain_if_stopped
from tasks.lanes import Lane
from tasks.naming import stage_in_words
from tasks.resources import Resource, resource_of


class ConfiguredTaskRunner(TaskRunner[Any]):
    """Prefect's runner of the kind that the flow run's `config` asks for, made when the first task is submitted."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._threads: TaskRunner[Any] | None = None
        self._cluster: TaskRunner[Any] | None = None
        self._stack = ExitStack()

    def duplicate(self) -> Self:
        return type(self)()

    def submit(
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> PrefectFuture[Any]:
        execution = _execution_of_this_run()
        future: PrefectFuture[Any]
        if execution.runner == "threads" or resource_of(task.name) is Resource.API:
            future = self._here(execution).submit(task, parameters, wait_for, dependencies)
        else:
            runner = self._there(execution)
            with _resources(task, execution):
                future = runner.submit(task, parameters, wait_for, dependencies)
        if shown := board():
            looks = task.cache_policy == NO_CACHE
            _count_on(shown, shown.begun(task.name, stage_in_words(task, parameters), looks), future)
        return future

    def _here(self, execution: ExecutionConfig) -> TaskRunner[Any]:
        if self._threads is None:
            self._threads = self._stack.enter_context(ThreadPoolTaskRunner(max_workers=execution.workers))
        return self._threads

    def _there(self, execution: ExecutionConfig) -> TaskRunner[Any]:
        if self._cluster is None:
            self._cluster = self._stack.enter_context(cluster_runner(execution))
            _enough_gpus(execution)
        return self._cluster

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        drain_if_stopped(error)
        self._stack.__exit__(kind, error, trace)  # waits for the threads, which may ask nothing any more
        resume()
        super().__exit__(kind, error, trace)


def cluster_runner(execution: ExecutionConfig) -> TaskRunner[Any]:
    """Prefect's own task runner for Ray or Dask. Raises MissingExtra when it is not installed."""
    makers: dict[str, Callable[[ExecutionConfig], TaskRunner[Any]]] = {"ray": _ray, "dask": _dask}
    require(execution.runner, f"execution.runner: {execution.runner}")
    return makers[execution.runner](execution)


def _ray(execution: ExecutionConfig) -> TaskRunner[Any]:
    from prefect_ray import RayTaskRunner

    where: dict[str, Any] = (
        {"address": execution.cluster} if execution.cluster else {"init_kwargs": {"num_cpus": execution.workers}}
    )
    runner: TaskRunner[Any] = RayTaskRunner(**where)
    return runner


def _dask(execution: ExecutionConfig) -> TaskRunner[Any]:
    from prefect_dask import DaskTaskRunner

    local = {
        "n_workers": execution.workers,
        "threads_per_worker": 1,
        "resources": {"GPU": 1},
        "dashboard_address": None,
    }
    where: dict[str, Any] = {"address": execution.cluster} if execution.cluster else {"cluster_kwargs": local}
    runner: TaskRunner[Any] = DaskTaskRunner(**where)
    return runner


def _enough_gpus(execution: ExecutionConfig) -> None:
    """Raises ConfigError when a local Ray cluster lacks what tasks will ask for: Ray would let them wait for ever."""
    if execution.runner != "ray" or execution.cluster or not execution.gpus:
        return
    import ray

    there = ray.cluster_resources().get("GPU", 0)
    if there < execution.gpus:
        raise ConfigError(
            "the local Ray cluster has fewer GPUs than a task asks for",
            where="execution.gpus",
            expected=f"at most {there:g}",
            got=f"{execution.gpus:g}",
            fix="lower it (0: tasks ask for none), or name a cluster that has them in execution.cluster",
        )


def _execution_of_this_run() -> ExecutionConfig:
    context = FlowRunContext.get()
    config = (context.parameters if context and context.parameters else {}).get("config")
    return config.execution if isinstance(config, RefreshConfig) else ExecutionConfig()


def _count_on(shown: Board, lane: Lane, future: PrefectFuture[Any]) -> None:
    """Tell the board of the state that a task ends in."""

    def ended(done: PrefectFuture[Any]) -> None:
        with suppress(asyncio.CancelledError, concurrent.futures.CancelledError):  # where the run is told to stop
            done.wait()  # it is over: this only fetches its state
            shown.ended(lane, str(done.state.name), done.result(raise_on_failure=False), str(done.task_run_id))

    future.add_done_callback(ended)


def _resources(task: Task[..., Any], execution: ExecutionConfig) -> AbstractContextManager[Any]:
    """A task that wants an accelerator asks the cluster for one, as long as the cluster is not this machine alone."""
    if resource_of(task.name) is not Resource.GPU or not execution.gpus:
        return nullcontext()
    wanted: AbstractContextManager[Any]
    if execution.runner == "ray":
        from prefect_ray.context import remote_options

        # One call a process: the memory of the card is given back with it.
        wanted = remote_options(num_gpus=execution.gpus, max_calls=1)
    else:
        import dask

        wanted = dask.annotate(resources={"GPU": 1})
    return wanted
