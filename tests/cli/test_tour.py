"""What the demo leaves behind is enough to look at it: the configuration in its folder is the one that ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from presel.cli.tour import leave_configuration
from presel.config.file import load
from presel.demo.setting import demo_config


@pytest.mark.parametrize("paper", [False, True])
def test_the_configuration_beside_the_demos_report_is_the_one_that_ran(
    paper: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    config = demo_config(f"{folder}/pool", f"{folder}/store", seed=3, paper=paper)
    path = leave_configuration(config, folder)
    assert load(path) == config
    assert len(path.read_text().splitlines()) < 60
    monkeypatch.chdir(tmp_path)
    folder.rename(tmp_path / "moved")
    assert load(Path("moved/presel.yaml")).store == str(tmp_path / "moved/store")
