"""Whatever runs the stages, threads or the workers of a local Ray or Dask cluster: the same bytes (in `make test-system`)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from prefect import flow

from flows.refresh import refresh
from presel.config import ExecutionConfig, ReferenceModelConfig, RefreshConfig
from presel.demo.setting import demo_config, environment, staged
from presel.errors import ConfigError
from presel.tables.schemas import DatasetRef
from tasks.cpu import CPU
from tasks.gpu import GPU
from tasks.policy import FLOW
from tasks.results import results_in
from tests.refresh.straight import straight

pytestmark = pytest.mark.skipif(
    not os.environ.get("PRESEL_SYSTEM"), reason="starts a cluster: `make test-system` runs it"
)
# One BLAS thread a worker; Ray says nothing to anybody; workers find the flows as this process does.
QUIET = {
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
}


def files(dataset: DatasetRef) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(Path(dataset.uri).iterdir())
        if file.name not in {"manifest.json", "claim.json"}
    }


@pytest.mark.parametrize("runner", ["ray", "dask"])
def test_a_cluster_of_two_workers_makes_the_bytes_that_threads_make(runner: str, tmp_path: Path) -> None:
    with environment(**QUIET), staged(tmp_path, images=150) as setting:
        model = ReferenceModelConfig(model="builtin", fit="none")
        source = setting.config.source.model_copy(update={"part_size": 50})
        config = setting.config.model_copy(update={"reference_model": model, "source": source})
        expected = straight(config.model_copy(update={"store": str(tmp_path / "straight")}))
        asked = setting.requests()
        config = config.model_copy(update={"execution": ExecutionConfig(runner=runner, workers=2)})
        dataset = refresh.with_options(result_storage=results_in(config.store))(config)
        assert setting.requests() == 2 * asked
    assert files(dataset) == files(expected.dataset)


def test_on_ray_a_gpu_task_gets_the_share_of_a_gpu_that_was_asked_for_and_no_other_task_does(tmp_path: Path) -> None:
    """The cluster says that it has a GPU; Ray hands out what is said, whether or not there is a card."""
    import ray

    config = demo_config("pool", str(tmp_path)).model_copy(
        update={"execution": ExecutionConfig(runner="ray", workers=2, gpus=0.5)}
    )
    with environment(**QUIET):
        ray.init(num_cpus=2, num_gpus=1, include_dashboard=False)
        try:
            with_gpu, without = what_tasks_get(config)
        finally:
            ray.shutdown()
    assert with_gpu["GPU"] == 0.5
    assert "GPU" not in without


def test_a_local_ray_cluster_without_the_gpus_asked_for_is_refused_in_place_of_waiting_for_ever(tmp_path: Path) -> None:
    config = demo_config("pool", str(tmp_path)).model_copy(
        update={"execution": ExecutionConfig(runner="ray", workers=2, gpus=64)}
    )
    with environment(**QUIET), pytest.raises(ConfigError, match=r"execution\.gpus"):
        what_tasks_get(config)


@flow(**FLOW)
def what_tasks_get(config: RefreshConfig) -> tuple[dict[str, float], dict[str, float]]:
    """The resources that Ray gave to a task of either policy."""
    return GPU.plain_task(_resources, "gpu").submit().result(), CPU.plain_task(_resources, "cpu").submit().result()


def _resources() -> dict[str, float]:
    import ray

    return dict(ray.get_runtime_context().get_assigned_resources())
