"""What a person can do while a refresh runs: watch it, approve its plan, stop it; and what nobody may see: the key.

In a real Chromium, of runs that take a minute and more: `make test-system` has them.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

from presel.demo.annotator import annotator
from presel.demo.endpoint import serve
from presel.demo.setting import ENDPOINT, KEY, Setting, environment, pool
from presel.instruct.ledger import Ledger
from presel.storage import open_store
from tests.chromium import needs_a_browser, screenshots
from tests.flows.started import IMAGES, SECRET, start, until
from tests.flows.ui import ControlRoom

pytestmark = pytest.mark.skipif(
    not os.environ.get("PRESEL_SYSTEM"), reason="runs to watch: `make test-system` has them"
)


def answers(store: Path) -> int:
    return sum(1 for _ in Ledger(open_store(str(store))).all_keys())


@pytest.fixture
def slow(folder: Path, setting: Setting) -> Iterator[Setting]:
    """The same annotator, at one answer in 0.4 s, for one key alone."""
    answers, pictures = pool(setting.config.source.uri, folder, IMAGES, 0)
    with (
        serve(annotator(answers, pictures), latency=0.4, key=SECRET) as endpoint,
        environment(**{ENDPOINT: endpoint.url}),
    ):
        yield Setting(setting.config, requests=lambda: endpoint.counts.total)


@needs_a_browser
def test_a_plan_is_approved_in_the_browser_and_the_run_is_watched_to_its_end(
    slow: Setting, tmp_path: Path, browser: Any, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    room = ControlRoom(browser, prefect_server, screenshots(tmp_path_factory))
    known, process = room.known(), start(slow, tmp_path / "store", concurrency=1, approve=True)
    run = until(lambda: room.run_in("Paused", known), process)
    asked = slow.requests()
    assert "cap of $1.00" in room.open_artifact(run, "demo-plan", "images to instruct beside")
    room.open_artifact(run, "demo-board", "Waiting for approval")
    room.open_run(run)
    room.page.get_by_role("button", name="Resume").click()
    room.sees("Pay for this plan?")
    room.keep("approval")
    assert slow.requests() == asked, "nothing is bought while it waits"
    room.page.get_by_role("textbox").last.fill("Grace Hopper")
    # Until the server has it: a page that is left before that takes the answer with it.
    with room.page.expect_response(lambda answer: answer.url.endswith(f"{run}/resume")) as told:
        room.page.get_by_role("button", name="Submit").click()
    assert told.value.ok
    watched, deadline = "", time.monotonic() + 600
    while (
        process.poll() is None
        and time.monotonic() < deadline
        and not ("instructions/min" in watched and "left" in watched)
    ):
        time.sleep(1)
        watched = room.open_artifact(run, "demo-board", "stage")
    room.keep("watched")
    assert "instruct select" in watched
    assert "This run has spent $0.0" in watched
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-3000:]
    assert slow.requests() > asked
    lines = room.ask("logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200)
    assert "Approved by Grace Hopper" in [line["message"] for line in lines]


@needs_a_browser
def test_a_wrong_key_is_told_in_words_on_the_page_of_the_run(
    slow: Setting, tmp_path: Path, browser: Any, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    room = ControlRoom(browser, prefect_server, screenshots(tmp_path_factory))
    known = room.known()
    with environment(**{KEY: "a wrong one"}):
        process = start(slow, tmp_path / "store")
        process.communicate(timeout=600)
    assert process.returncode != 0
    run = room.run_in("Failed", known)
    assert run
    said = room.open_artifact(run, "demo-board", "EndpointRefused")
    assert "Incorrect API key provided" in said
    assert "check the key in the environment variable" in said
    room.open_run(run)
    room.sees("EndpointRefused")
    assert "Traceback" not in room.page.inner_text("body")
    room.keep("failed")
    room.tab("Details")
    room.sees("Flow run encountered an exception: EndpointRefused")


def test_sigterm_keeps_what_was_asked_for_and_the_next_run_buys_the_rest(slow: Setting, tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = start(slow, store)
    until(lambda: slow.requests() >= 4, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=600)
    assert process.returncode != 0
    bought, asked = answers(store), slow.requests()
    assert bought == asked, "every request that was sent is an answer that was kept"
    with get_client(sync_client=True) as client:
        told = [artifact.description for artifact in client.read_artifacts(limit=200) if artifact.key == "demo-board"]
    assert any(words.startswith("Stopped by a signal.") for words in told), told
    again = start(slow, store)
    output, _ = again.communicate(timeout=600)
    assert again.returncode == 0, output[-3000:]
    assert answers(store) == slow.requests()


def test_the_key_is_in_no_log_no_artifact_no_parameter_and_no_file(setting: Setting, tmp_path: Path) -> None:
    process = start(setting, tmp_path / "store")
    output, _ = process.communicate(timeout=600)
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
    assert SECRET not in json.dumps(told)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 50
    assert not [file for file in files if SECRET.encode() in file.read_bytes()]
