"""kill -9 at random writes of a refresh, again and again, then once to the end: the dataset of an undisturbed run.

`PRESEL_KILLS` says how often (8 by default, 50 in `make test-system`). The moments are drawn from a seed over all writes of
a run, ledger and leases included, so every stage is hit.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from presel.config import ReferenceModelConfig, RefreshConfig
from presel.demo.setting import Setting, staged
from presel.instruct.money.purse import spending
from presel.storage import open_store

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("PRESEL_KILLS", "8"))
LIVES = 4
IN_FLIGHT = 4


class Nursery:
    """Runs refreshes in processes that may be killed."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log

    def run(self, config: RefreshConfig, fatal: int | None = None) -> dict[str, Any]:
        command = {"config": config.model_dump(mode="json"), "log": str(self.log), "fatal": fatal}
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def embedded(self) -> list[tuple[int, str]]:
        """(process, part) for every part whose embedding was begun."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return sorted({(process, label) for process, stage, label in lines if stage == "embed"})


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    with staged(tmp_path_factory.mktemp("killed"), images=150) as setting:
        yield setting


@pytest.fixture
def nursery(setting: Setting, tmp_path: Path) -> Iterator[Nursery]:
    command = [sys.executable, "-m", "tests.refresh.doomed"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(command, cwd=ROOT, text=True, env=environment, **pipes) as process:
        yield Nursery(process, tmp_path / "log")
        process.stdin.close()


def settled(setting: Setting, store: Path) -> RefreshConfig:
    config = setting.config
    return config.model_copy(
        update={
            "store": str(store),
            "source": config.source.model_copy(update={"part_size": 40}),
            "generator": config.generator.model_copy(update={"concurrency": IN_FLIGHT}),
            "reference_model": ReferenceModelConfig(model="builtin", fit="none"),
        }
    )


def published(store: Path) -> dict[str, str]:
    """What readers find: the half of a file that a killed write left beside its target is in no listing."""
    place = open_store(str(store))
    found = {Path(entry.path).name: entry.path for entry in place.list("datasets/demo/1/")}
    return {
        name: hashlib.sha256(place.read(path)).hexdigest()
        for name, path in found.items()
        if name not in {"manifest.json", "claim.json"}
    }


def test_a_refresh_killed_at_any_write_is_finished_by_the_next_with_the_same_bytes(
    setting: Setting, nursery: Nursery, tmp_path: Path
) -> None:
    whole = nursery.run(settled(setting, tmp_path / "undisturbed"))
    requests, parts = setting.requests(), len(nursery.embedded())
    moments = random.Random(6)
    assert whole["status"] == 0
    assert parts > 3
    deaths = 0
    for life in range(max(1, KILLS // LIVES)):
        config = settled(setting, tmp_path / f"life-{life}")
        nursery.log.unlink(missing_ok=True)
        asked = setting.requests()
        # The first moment may be any, the last write included; the later ones are early enough to be reached.
        fatal = [moments.randint(1, whole["writes"] // (4 if later else 1)) for later in range(LIVES)]
        ends = [nursery.run(config, fatal=moment)["status"] for moment in fatal]
        kills = ends.count(-9)
        last = nursery.run(config)
        assert last["status"] == 0, fatal
        assert published(tmp_path / f"life-{life}") == published(tmp_path / "undisturbed"), fatal
        # Embedding: what was whole is not begun again. Money: only what was on its way can have been asked twice.
        assert parts <= len(nursery.embedded()) <= parts + kills
        assert requests <= setting.requests() - asked <= requests + kills * IN_FLIGHT
        money = spending(open_store(config.store))
        assert money["reserved_usd"] == 0
        assert money["spent_usd"] <= config.generator.max_cost
        again = nursery.run(config)
        assert again["status"] == 0
        assert setting.requests() - asked <= requests + kills * IN_FLIGHT
        deaths += kills
    assert deaths > KILLS // 2
