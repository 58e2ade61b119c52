"""Whatever runs the stages, threads or the workers of a local Ray or Dask cluster: the same bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

import pytest

from flows.refresh import refresh
from presel.config import ExecutionConfig, ReferenceModelConfig
from presel.demo.setting import environment, staged
from presel.errors import ConfigError
from presel.tables import DatasetRef
from tasks.results import results_in
from tasks.runner import prefect_runner
from tests.refresh.straight import straight

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


@pytest.mark.skipif(not os.environ.get("PRESEL_SYSTEM"), reason="starts a cluster: `make test-system` runs it")
@pytest.mark.parametrize("runner", ["ray", "dask"])
def test_a_cluster_of_two_workers_makes_the_bytes_that_threads_make(runner: str, tmp_path: Path) -> None:
    pytest.importorskip(f"prefect_{runner}", reason=f"pip install 'presel[{runner}]'")
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


@pytest.mark.parametrize("runner", ["ray", "dask"])
def test_a_runner_that_is_not_installed_says_how_to_get_it(runner: str) -> None:
    if importlib.util.find_spec(f"prefect_{runner}"):
        pytest.skip("it is installed")
    with pytest.raises(ConfigError, match=rf"presel\[{runner}\]"):
        prefect_runner(ExecutionConfig(runner=runner))


def test_how_a_refresh_is_executed_is_in_no_key_and_in_no_dataset(tmp_path: Path) -> None:
    from presel.dataset.settings import portable
    from presel.demo.setting import demo_config
    from presel.keys import canonical

    plain = demo_config("pool", "store")
    other = plain.model_copy(update={"execution": ExecutionConfig(runner="ray", workers=9, approve=True)})
    assert canonical(plain) == canonical(other)
    assert portable(plain) == portable(other)
