"""What Prefect adds: seen from its own objects, no server needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.results import ResultStore

import tasks.api
import tasks.cpu
import tasks.gpu
from presel.config import ClusteringConfig
from presel.errors import EndpointRefused, EndpointUnavailable, StorageUnavailable
from presel.stages.cluster import cluster
from presel.storage import open_store
from presel.tables.schemas import CLUSTERS
from presel.tables.table_store import Output
from tasks.policy import FLOW, ContentKey, worth_retrying
from tasks.results import StoreResults


def every_task() -> list[Task]:
    modules = (tasks.cpu, tasks.gpu, tasks.api)
    return [value for module in modules for value in vars(module).values() if isinstance(value, Task)]


@pytest.mark.parametrize("task", every_task(), ids=lambda task: task.name)
def test_every_task_has_retries_a_timeout_and_no_tag_to_wait_for(task):
    assert task.retries > 0
    assert task.timeout_seconds > 0
    assert not task.tags


@pytest.mark.parametrize("task", every_task(), ids=lambda task: task.name)
def test_every_stage_is_cached_by_content_but_those_that_look_at_the_world(task):
    looking = {"ingest", "check pool", "vectors of tests", "basis of the weights", "history", "publish", "report"}
    if task.name in looking | {"collect garbage", "verify"}:
        assert task.cache_policy == NO_CACHE
    else:
        assert isinstance(task.cache_policy, ContentKey)
        assert task.persist_result


def context(results: object) -> Any:
    """Of a task run: all that a cache key looks at there is where results are kept."""
    return SimpleNamespace(result_store=ResultStore(result_storage=StoreResults(store=str(results))))


def inputs_on(store: object) -> dict[str, Any]:
    samples = Output(str(store), "assemble", "k")
    samples.write_rows([{"sample_id": "a", "cluster": 0}], CLUSTERS, "chart")
    return {"samples": samples.commit({}), "config": ClusteringConfig(), "seed": 1}


def test_the_cache_key_is_the_stages_own_key_and_names_the_store(tmp_path):
    inputs, policy = inputs_on(tmp_path), ContentKey(stage=cluster)
    key = policy.compute_key(context(tmp_path), inputs, {})
    assert cluster.key(inputs) in key
    moved = {**inputs, "samples": inputs["samples"].model_copy(update={"store": str(tmp_path / "elsewhere")})}
    assert policy.compute_key(context(tmp_path), moved, {}) != key


@pytest.mark.parametrize("results", [".", "of another deployment"])
def test_a_record_whose_table_is_gone_is_forgotten_wherever_records_are_kept(tmp_path, results):
    inputs, policy = inputs_on(tmp_path), ContentKey(stage=cluster)
    record = f"results/{policy.compute_key(context(tmp_path / results), inputs, {})}"
    open_store(str(tmp_path / results)).write(record, b"{}")
    policy.compute_key(context(tmp_path / results), inputs, {})
    assert not open_store(str(tmp_path / results)).exists(record)


class _State:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def result(self, raise_on_failure: bool) -> BaseException:
        return self.error


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (StorageUnavailable("throttled"), True),
        (EndpointUnavailable("overloaded"), True),
        (ConnectionResetError(), True),
        (EndpointRefused("no such key"), False),
        (ValueError("a bug"), False),
    ],
)
def test_only_what_may_pass_by_itself_is_tried_again(error, again):
    assert worth_retrying(None, None, _State(error)) is again


def test_a_worker_starts_no_process_to_say_that_a_run_was_killed() -> None:
    assert not {"on_crashed", "on_cancellation"} & FLOW.keys()
