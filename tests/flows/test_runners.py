"""How a refresh is executed is a choice of the run's: it needs the runner installed, and changes no key."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from presel.config import ExecutionConfig
from presel.demo.setting import demo_config
from presel.errors import ConfigError
from tasks.runner import cluster_runner


@pytest.mark.parametrize("runner", ["ray", "dask"])
def test_a_runner_that_is_not_installed_says_how_to_get_it(runner: str) -> None:
    if importlib.util.find_spec(f"prefect_{runner}"):
        pytest.skip("it is installed")
    with pytest.raises(ConfigError, match=rf"presel\[{runner}\]"):
        cluster_runner(ExecutionConfig(runner=runner))


def test_how_a_refresh_is_executed_is_in_no_key_and_in_no_dataset(tmp_path: Path) -> None:
    from presel.config.keys import canonical
    from presel.dataset.settings import portable

    plain = demo_config("pool", "store")
    other = plain.model_copy(update={"execution": ExecutionConfig(runner="ray", workers=9, approve=True)})
    assert canonical(plain) == canonical(other)
    assert portable(plain) == portable(other)
