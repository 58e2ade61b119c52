"""While a flow runs, the store says so; afterwards it does not, however the flow ended."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from prefect import flow

from presel.config import RefreshConfig
from presel.demo.setting import demo_config
from presel.runs.housekeeping.under_way import under_way
from tasks.policy import FLOW

DAY = timedelta(days=1)


@flow(name="looks", **FLOW)
def looks(config: RefreshConfig, fails: bool = False) -> int:
    found = len(under_way(config.store, DAY))
    if fails:
        raise ValueError(found)
    return found


def test_a_run_is_announced_until_it_has_ended(tmp_path: Path):
    config = demo_config(str(tmp_path / "pool"), str(tmp_path / "store"))
    assert looks(config) == 1
    with pytest.raises(ValueError, match="1"):
        looks(config, fails=True)
    assert under_way(config.store, DAY) == []


def test_housekeeping_does_not_wait_for_itself(tmp_path: Path):
    config = demo_config(str(tmp_path / "pool"), str(tmp_path / "store"))
    assert looks.with_options(name="housekeeping")(config) == 0
