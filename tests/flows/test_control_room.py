"""What a person can do and see while a refresh runs: approve its plan, stop it; and what nobody may see: the key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.settings import PREFECT_API_URL

from presel.config import ExecutionConfig, ReferenceModelConfig
from presel.demo.setting import KEY, Setting, environment, staged
from presel.instruct.ledger import Ledger
from presel.storage import open_store

# Each test starts two or three refreshes in processes of their own: a minute and a half together on an idle machine.
pytestmark = pytest.mark.skipif(
    not os.environ.get("PRESEL_SYSTEM"), reason="whole refreshes: `make test-system` runs it"
)
ROOT = Path(__file__).parents[2]
SECRET = "sk-presel-never-to-be-seen-0123456789"
RUN = """
import sys
from flows.refresh import refresh
from presel.config import RefreshConfig
from tasks.results import results_in
config = RefreshConfig.model_validate_json(sys.stdin.read())
refresh.with_options(result_storage=results_in(config.store))(config)
"""


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("room"), images=150) as setting, environment(**{KEY: SECRET}):
        yield setting


def start(setting: Setting, store: Path, **execution) -> subprocess.Popen[str]:
    model = ReferenceModelConfig(model="builtin", fit="none")
    generator = setting.config.generator.model_copy(update={"concurrency": 2})
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


def until(done, process: subprocess.Popen[str], seconds: float = 180):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := done():
            return found
        if process.poll() is not None:
            raise AssertionError(process.communicate()[0][-3000:])
        time.sleep(0.2)
    process.kill()
    raise AssertionError("not in time: " + process.communicate()[0][-3000:])


def in_state(client, name: str, known: set):
    return [
        run for run in client.read_flow_runs(limit=200) if run.state and run.state.name == name and run.id not in known
    ]


def answers(store: Path) -> int:
    return sum(1 for _ in Ledger(open_store(str(store))).all_keys())


def test_a_run_that_wants_approval_pauses_with_its_plan_and_pays_once_it_is_resumed(setting, tmp_path):
    with get_client(sync_client=True) as client:
        known = {run.id for run in client.read_flow_runs(limit=200)}
        process = start(setting, tmp_path / "store", approve=True)
        [run] = until(lambda: in_state(client, "Paused", known), process)
        reference = answers(tmp_path / "store")
        asked = setting.requests()
        time.sleep(3)
        assert setting.requests() == asked, "nothing is bought while it waits"
        described = client.read_flow_run_input(run.id, run.state.state_details.run_input_keyset["description"])
        assert "images to instruct" in str(described)
        assert client.resume_flow_run(run.id, run_input={"approved_by": "somebody"}).status == "ACCEPT"
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0, output[-3000:]
        assert client.read_flow_run(run.id).state.name == "Completed"
    assert answers(tmp_path / "store") > reference


def test_sigterm_keeps_what_was_asked_for_and_the_next_run_buys_the_rest(setting, tmp_path):
    store, before = tmp_path / "store", setting.requests()
    process = start(setting, store)
    until(lambda: setting.requests() - before >= 4, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode != 0
    bought, asked = answers(store), setting.requests() - before
    assert bought == asked, "every request that was sent is an answer that was kept"
    again = start(setting, store)
    output, _ = again.communicate(timeout=240)
    assert again.returncode == 0, output[-3000:]
    assert answers(store) == setting.requests() - before


def test_the_key_is_in_no_log_no_artifact_no_parameter_and_no_file(setting, tmp_path):
    process = start(setting, tmp_path / "store")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output[-3000:]
    assert SECRET not in output
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(limit=200)
        ids = [run.id for run in runs]
        told = [run.model_dump_json() for run in runs]
        told += [artifact.model_dump_json() for artifact in client.read_artifacts(limit=200)]
        told += [task.model_dump_json() for task in client.read_task_runs(limit=200)]
        offset = 0
        while lines := client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=ids)), limit=200, offset=offset):
            told += [line.message for line in lines]
            offset += 200
        assert offset
        assert FlowRunFilter(id=FlowRunFilterId(any_=ids))
    assert SECRET not in json.dumps(told)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 50
    assert not [file for file in files if SECRET.encode() in file.read_bytes()]
