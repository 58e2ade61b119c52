"""Refreshes in processes of their own, as `presel run` starts them, so that a test can watch and stop them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from prefect.settings import PREFECT_API_URL

from presel.config import ExecutionConfig, ReferenceModelConfig
from presel.demo.setting import Setting

ROOT = Path(__file__).parents[2]
IMAGES = 150
SECRET = "sk-presel-never-to-be-seen-0123456789"
RUN = """
import sys
from flows.refresh import refresh
from presel.config import RefreshConfig
from tasks.results import results_in
config = RefreshConfig.model_validate_json(sys.stdin.read())
refresh.with_options(result_storage=results_in(config.store))(config)
"""


def start(setting: Setting, store: Path, *, concurrency: int = 2, **execution: Any) -> subprocess.Popen[str]:
    model = ReferenceModelConfig(model="builtin", fit="none")
    generator = setting.config.generator.model_copy(update={"concurrency": concurrency})
    config = setting.config.model_copy(
        update={
            "store": str(store),
            "reference_model": model,
            "generator": generator,
            "execution": ExecutionConfig(**execution),
        }
    )
    settings = {
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "presel,openai",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(config.model_dump_json())
    process.stdin.close()
    process.stdin = None
    return process


def until(done, process: subprocess.Popen[str], seconds: float = 600):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := done():
            return found
        if process.poll() is not None:
            raise AssertionError(process.communicate()[0][-3000:])
        time.sleep(0.2)
    process.kill()
    raise AssertionError("not in time: " + process.communicate()[0][-3000:])
